"""One op through the reference and through PyTorch in float64: the comparison that the tests here share."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from foveal import ops
from foveal.build import build, weights_of
from foveal.graph import Graph
from foveal.modules import EXPRESSIONS, MODULES, own_pad, pad
from foveal.ops import Op
from foveal.reference import OPS, Pair
from foveal.reference.base import Array
from foveal.shapes import Shape

BATCH = 2


class ExactHardsigmoid(nn.Module):
    """PyTorch's own has a slope that is 1/6 to float32 only."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return nn.functional.relu6(x + 3) / 6


@dataclass(frozen=True)
class Computed:
    """An op and its arrays; PyTorch's output, a random gradient of it, and autograd's of the inputs and the arrays."""

    op: Op
    arrays: dict[str, Array]
    xs: tuple[Array, ...]
    y: Array
    gy: Array
    gxs: tuple[Array, ...]
    garrays: dict[str, Array]


def by_torch(op: Op, xs: tuple[Array, ...], *, training: bool = False) -> Computed:
    """`op` on batches `xs` with random arrays; in training those that the reference then takes: no running statistics,
    and of a dropout the mask that PyTorch drew.
    """
    torch.manual_seed(3)
    tensors = [torch.from_numpy(x).requires_grad_() for x in xs]
    arrays: dict[str, Array] = {}
    module: nn.Module | None = None
    if type(op) in EXPRESSIONS:
        y = EXPRESSIONS[type(op)](op, list(tensors))
    else:
        shape = tuple(xs[0].shape[1:])
        module = ExactHardsigmoid() if isinstance(op, ops.Hardsigmoid) else MODULES[type(op)](op, shape)
        module.double().train(training)
        for name, values in (*module.named_parameters(), *module.named_buffers()):
            if values.is_floating_point():
                nn.init.uniform_(values, 0.5, 2) if name == "running_var" else nn.init.normal_(values)
                if not (training and name.startswith("running")):
                    arrays[name] = values.detach().numpy().copy()
        arguments = own_pad(op, shape)
        y = module(pad(tensors[0], *arguments) if arguments else tensors[0])
        if training and isinstance(op, ops.Dropout):
            arrays["mask"] = (y != 0).double().numpy()
    gy = torch.randn_like(y)
    y.backward(gy)
    gradients = {name: p.grad.numpy() for name, p in module.named_parameters()} if module else {}
    return Computed(op, arrays, xs, y.detach().numpy(), gy.numpy(), tuple(x.grad.numpy() for x in tensors), gradients)


def compare(theirs: Computed, pair: Pair | None = None) -> None:
    """AssertionError unless the reference's output and all its gradients are PyTorch's to 1e-9."""
    forward, backward = pair or OPS[type(theirs.op)]
    y = forward(theirs.op, theirs.arrays, *theirs.xs)
    close(y, theirs.y)
    gxs, garrays = backward(theirs.op, theirs.arrays, theirs.xs, y, theirs.gy)
    for mine, expected in zip(gxs, theirs.gxs, strict=True):
        close(mine, expected)
    assert garrays.keys() == theirs.garrays.keys()
    for name, expected in theirs.garrays.items():
        close(garrays[name], expected)


def close(mine: Array, expected: Array) -> None:
    assert mine.shape == expected.shape
    np.testing.assert_allclose(mine, expected, rtol=1e-9, atol=1e-9)


def inputs(shapes: tuple[Shape, ...], seed: int = 5) -> tuple[Array, ...]:
    """A batch of normal values of each shape."""
    rng = np.random.default_rng(seed)
    return tuple(rng.normal(scale=2, size=(BATCH, *shape)) for shape in shapes)


def rounded(xs: tuple[Array, ...]) -> tuple[Array, ...]:
    """To whole numbers, so that values tie and fall on kinks."""
    return tuple(np.round(x * 1.5) for x in xs)


def built_in_float64(graph: Graph, seed: int = 1) -> tuple[nn.Module, dict[str, Array]]:
    """The network with random weights and running statistics, and its weights as arrays."""
    torch.manual_seed(seed)
    module = build(graph).double()
    with torch.no_grad():
        for name, values in (*module.named_parameters(), *module.named_buffers()):
            if values.ndim > 1:
                values.mul_(6**0.5)  # He et al. (2015): gradients then reach the first layer of a deep network
            elif values.ndim == 1:
                values.uniform_(0.5, 1.5) if name.endswith("var") else values.add_(torch.rand_like(values) / 4)
    return module, weights_of(module)
