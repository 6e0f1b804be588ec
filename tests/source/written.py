"""What the tests of written code share: running it, filling it, formatting it."""

from __future__ import annotations

import random
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from foveal import ops
from foveal.build import build
from foveal.errors import ShapeError
from foveal.graph import Graph, Node
from foveal.source import write_code

FILLING = torch.randn(65_521, generator=torch.Generator().manual_seed(0))


def written(graph: Graph) -> nn.Module:
    """The network that the PyTorch file defines, on the meta device."""
    text = write_code(graph)
    names: dict[str, Any] = {"__name__": "written"}
    exec(compile(text, graph.name, "exec"), names)
    (network,) = re.findall(r"^    model = (\w+)\(\)", text, re.MULTILINE)
    with torch.device("meta"):
        module: nn.Module = names[network]()
    return module


def state(module: nn.Module) -> dict[str, Tensor]:
    """Plausible values, quickly made, for every tensor of a module on the meta device."""
    return {name: _filled(name, tensor) for name, tensor in module.state_dict().items()}


def _filled(name: str, tensor: Tensor) -> Tensor:
    if not tensor.is_floating_point():
        return torch.zeros_like(tensor, device="cpu")
    size, scale = tensor.numel(), (2 / tensor[0].numel()) ** 0.5 if tensor.ndim > 1 else 1.0
    values = (FILLING[:size] * scale).repeat(-(-size // len(FILLING)))[:size].reshape(tensor.shape)
    if tensor.ndim > 1:
        return values
    return 0.1 * values if name.endswith(("bias", "mean")) else 1 + 0.1 * values.clamp(-3, 3)


def difference(graph: Graph, size: Graph | None = None) -> float:
    """How far what the file computes is from `build` with the same weights, relative to the largest value.

    Asserts that the two have the same state dict keys, and outputs of the same shapes.
    """
    with torch.device("meta"):
        expected = build(graph).eval()
    found, weights = written(graph).eval(), state(expected)
    assert sorted(found.state_dict()) == sorted(weights)
    for module in (expected, found):
        module.load_state_dict(weights, assign=True)
    x = torch.randn(1, *(size or graph).input_shape, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        ours, theirs = (y if isinstance(y, tuple) else (y,) for y in (expected(x), found(x)))
    assert [y.shape for y in ours] == [y.shape for y in theirs]
    return max(float((a - b).abs().max() / b.abs().max().clamp(min=1)) for a, b in zip(ours, theirs, strict=True))


def smallest(graph: Graph) -> Graph:
    """`graph` on the smallest square picture that leaves its parameters as they are."""
    for side in (32, 64, 96):
        try:
            other = graph.with_input((graph.input_shape[0], side, side))
        except ShapeError:
            continue
        if side < graph.input_shape[-1] and other.parameters() == graph.parameters():
            return other
    return graph


def ruff(*arguments: str | Path) -> str:
    """What Ruff says, without this project's settings."""
    command = [sys.executable, "-m", "ruff", *map(str, arguments), "--isolated", "--no-cache"]
    done = subprocess.run(command, text=True, capture_output=True, check=False)
    return done.stdout + done.stderr if done.returncode else ""


def random_graph(seed: int) -> Graph:
    """A small network whose names group its nodes well or badly."""
    rng = random.Random(seed)
    scopes = rng.choice(
        [("", "a.", "a.b.", "c."), ("s1.b1.", "s1.b2.", "s1.b2.skip.", "s2.b1."), ("f.0.", "f.1.", "3.")]
    )
    nodes: list[Node] = []
    values = ["input"]
    scope = scopes[0]
    for i in range(rng.randrange(1, 16)):
        scope = rng.choice(scopes) if rng.random() < 0.4 else scope
        name = f"{scope}{rng.choice(('n', 'conv', ''))}{i}"
        read = tuple(rng.choice(values[-4:]) for _ in range(2))
        op: ops.Op = rng.choice(
            (ops.Conv(4, 1), ops.BatchNorm(), ops.Relu(), ops.Add(), ops.Multiply(), ops.Slice(0, 4))
        )
        join = isinstance(op, (ops.Add, ops.Multiply))
        owners = [n.name for n in nodes if n.op == op and n.weights_of is None and isinstance(op, ops.Conv)]
        owner = rng.choice(owners) if owners and rng.random() < 0.2 else None
        nodes.append(Node(name, op, read if join else read[:1], owner))
        values.append(name)
    outputs = (values[-1],) if rng.random() < 0.7 else tuple(dict.fromkeys((values[-1], rng.choice(values[1:]))))
    return Graph("random", (4, 3, 3), tuple(nodes), outputs)
