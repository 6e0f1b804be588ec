"""The optimizers against the rules of the reference, in float64, and against torch's own without groups."""

from __future__ import annotations

import copy
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from foveal.build import build
from foveal.errors import UnknownName, UsageError
from foveal.networks import parse
from foveal.reference.updates import RULES
from foveal.training.config import Config
from foveal.training.optimizers import OPTIMIZERS, make_optimizer, restore

STEPS = 10


def small() -> nn.Module:
    """A convolution, a norm and a dense layer, all with biases; float64."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3), nn.Flatten(), nn.Linear(12, 2)).double()


def gradients(module: nn.Module, seed: int) -> None:
    """Gradients that any sign and size may have, in the layout of their weights."""
    generator = torch.Generator().manual_seed(seed)
    for parameter in module.parameters():
        values = torch.randn(parameter.shape, generator=generator, dtype=parameter.dtype)
        parameter.grad = torch.empty_like(parameter).copy_(values)


@pytest.mark.parametrize("name", RULES)
def test_ten_steps_are_the_references(name: str) -> None:
    """L2 moves the weights of layers and nothing else."""
    module = small()
    optimizer = make_optimizer(module, Config(optimizer=name, lr=0.03, weight_decay=0.1))
    weights = {key: p.detach().numpy().copy() for key, p in module.named_parameters()}
    states: dict[str, dict[str, Any]] = {key: {} for key in weights}
    for step in range(STEPS):
        gradients(module, step)
        for key, p in module.named_parameters():
            l2 = 0.1 if key in ("0.weight", "3.weight") else 0.0
            assert p.grad is not None
            weights[key], states[key] = RULES[name](weights[key], p.grad.numpy(), states[key], lr=0.03, l2=l2)
        optimizer.step()
    for key, p in module.named_parameters():
        np.testing.assert_allclose(p.detach().numpy(), weights[key], rtol=1e-12, atol=1e-12, err_msg=key)


def test_decay_of_adamw_is_apart_from_the_gradient() -> None:
    """Loshchilov & Hutter (2019), algorithm 2: under gradients of 0 the weight shrinks by 1 - lr * decay a step."""
    module = small()
    before = module.get_parameter("0.weight").detach().clone()
    optimizer = make_optimizer(module, Config(optimizer="adamw", lr=0.5, weight_decay=0.1))
    for p in module.parameters():
        p.grad = torch.zeros_like(p)
    optimizer.step()
    torch.testing.assert_close(module.get_parameter("0.weight").detach(), before * (1 - 0.5 * 0.1))


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_defaults_are_torchs_optimizer_at_our_rate(name: str) -> None:
    ours, theirs = small(), small()
    kind = OPTIMIZERS[name]
    momentum = {"momentum": 0.9} if name in ("momentum", "nesterov") else {}
    plain = kind.make(theirs.parameters(), lr=kind.lr, weight_decay=0.0, **kind.options, **momentum)
    optimizer = make_optimizer(ours, Config(optimizer=name, weight_decay=0.0))
    for step in range(STEPS):
        for module in (ours, theirs):
            gradients(module, step)
        optimizer.step()
        plain.step()
    for p, q in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(p, q, rtol=1e-12, atol=1e-12)


def test_norms_biases_and_what_has_one_axis_do_not_decay() -> None:
    graph = parse("8x8x2 > conv 4 3x3 > offset > bn > prelu > layernorm > flatten > dense 3")
    module = nn.Sequential(build(graph), nn.LayerNorm([1, 3]))  # a foreign norm of two axes
    module[0].get_parameter("dense1.weight").requires_grad_(False)
    decayed, plain = make_optimizer(module, Config()).param_groups
    names = {id(p): name for name, p in module.named_parameters()}
    assert [names[id(p)] for p in decayed["params"]] == ["0.conv1.weight"]
    assert decayed["weight_decay"] == 0.01
    assert plain["weight_decay"] == 0.0
    assert {names[id(p)] for p in plain["params"]} == set(names.values()) - {"0.conv1.weight", "0.dense1.weight"}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_restored_optimizer_goes_on_in_any_layout(name: str) -> None:
    """The state is saved contiguous, the weight's channels are last: a fused step would mix them up."""
    kept = small().to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's types lack it
    config = Config(optimizer=name, lr=0.01)
    optimizer = make_optimizer(kept, config)
    gradients(kept, 0)
    optimizer.step()
    other = copy.deepcopy(kept)
    resumed = make_optimizer(other, config)
    state = optimizer.state_dict()
    state["state"] = {i: {k: _contiguous(v) for k, v in s.items()} for i, s in state["state"].items()}
    restore(resumed, state)
    for module, each in ((kept, optimizer), (other, resumed)):
        gradients(module, 1)
        each.step()
    for p, q in zip(kept.parameters(), other.parameters(), strict=True):
        assert torch.equal(p, q)


def _contiguous(value: Any) -> Any:
    return value.clone(memory_format=torch.contiguous_format) if isinstance(value, Tensor) else value


def test_refusals() -> None:
    with pytest.raises(UnknownName, match="unknown optimizer 'adamm'; did you mean adam"):
        make_optimizer(small(), Config(optimizer="adamm"))
    with pytest.raises(UsageError, match="nesterov with momentum = 0 looks nowhere ahead; give it a momentum"):
        make_optimizer(small(), Config(optimizer="nesterov", momentum=0.0))
    with pytest.raises(UsageError, match="no trainable weight, so there is nothing to train"):
        make_optimizer(small().requires_grad_(False), Config())
    for rate in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(UsageError, match=f"lr = {rate}; expected a finite number above 0"):
            Config(lr=rate)


def test_a_step_imports_no_compiler() -> None:
    """It would cost every training a second and a half of start-up."""
    script = (
        "import sys, torch; from foveal.training.config import Config; "
        "from foveal.training.optimizers import OPTIMIZERS, make_optimizer, restore; layer = torch.nn.Linear(2, 2)\n"
        "for name in OPTIMIZERS:\n"
        "    made = make_optimizer(layer, Config(optimizer=name)); made.zero_grad()\n"
        "    layer(torch.ones(1, 2)).sum().backward(); made.step(); restore(made, made.state_dict())\n"
        "sys.exit('torch._dynamo' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0
