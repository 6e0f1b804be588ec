"""How weights begin.

Oracles: torch.nn.init and the layers' own beginnings, number for number or by range; SciPy's distributions.
"""

from __future__ import annotations

import math
from typing import get_args, get_type_hints

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor, fx, nn

from foveal import ops
from foveal.build import build
from foveal.errors import GraphError, UsageError
from foveal.graph import Builder, Graph
from foveal.initializing import KINDS, initialize
from foveal.ops import Op
from foveal.shapes import Shape
from foveal.zoo import MODELS, create_graph
from foveal.zoo.entry import TORCH, ZERO, Draw, Init
from foveal.zoo.lenet import drawings


def one(op: Op, *shape: int) -> fx.GraphModule:
    """A network of one node, called ``op``."""
    net = Builder("one")
    return build(net.graph(net(op, net.input(*shape), name="op")))


def drawn(op: Op, shape: Shape, draw: Draw, key: str = "weight", bias: Draw = ZERO) -> Tensor:
    module = one(op, *shape)
    initialize(module, Init("", draw, draw, bias), seed=3)
    return module.state_dict()[f"op.{key}"]


WIDE = ops.Conv(96, 5), (40, 8, 8)  # fan_in 1,000, fan_out 2,400
DEEP = ops.Conv(96, 5, groups=8), (320, 8, 8)  # a group has 40 of the inputs and 12 of the outputs


def test_every_kind_of_draw_is_known() -> None:
    assert set(KINDS) == set(get_args(get_type_hints(Draw)["kind"]))


@pytest.mark.parametrize(
    ("kind", "oracle"),
    [
        ("normal", lambda t, g: nn.init.normal_(t, 0, 0.02, generator=g)),
        ("he_in", lambda t, g: nn.init.kaiming_normal_(t, mode="fan_in", nonlinearity="relu", generator=g)),
        ("he_out", lambda t, g: nn.init.kaiming_normal_(t, mode="fan_out", nonlinearity="relu", generator=g)),
        ("glorot", lambda t, g: nn.init.xavier_uniform_(t, generator=g)),
        ("constant", lambda t, g: nn.init.constant_(t, 0.02)),
    ],
)
def test_values_equal_those_of_torch(kind: str, oracle: object) -> None:
    for op, shape in (WIDE, (ops.Dense(50), (70,)), (ops.Conv(6, 3), (4, 20))):
        ours = drawn(op, shape, Draw(kind, 0.02))
        theirs = oracle(torch.empty_like(ours), torch.Generator().manual_seed(3))
        torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize(
    ("draw", "distribution"),
    [
        (Draw("normal", 0.02), stats.norm(0, 0.02)),
        (Draw("truncated", 0.02), stats.truncnorm(-2, 2, 0, 0.02)),
        (Draw("he_in"), stats.norm(0, math.sqrt(2 / 1000))),
        (Draw("he_out"), stats.norm(0, math.sqrt(2 / 300))),
        (Draw("glorot"), stats.uniform(-math.sqrt(6 / 1300), 2 * math.sqrt(6 / 1300))),
        (Draw("uniform_in", 2.4), stats.uniform(-2.4e-3, 4.8e-3)),
        (Draw("uniform_root_out"), stats.uniform(-math.sqrt(1 / 300), 2 * math.sqrt(1 / 300))),
        (Draw("uniform_root"), stats.uniform(-math.sqrt(1e-3), 2 * math.sqrt(1e-3))),
    ],
    ids=lambda value: value.kind if isinstance(value, Draw) else "",
)
def test_distributions_of_a_grouped_convolution(draw: Draw, distribution: object) -> None:
    """Kolmogorov's test over 96,000 values, and none beyond the distribution's ends: fans are those of one group."""
    values = drawn(*DEEP, draw).numpy().ravel().astype(np.float64)
    assert stats.kstest(values, distribution.cdf).pvalue > 0.01
    low, high = distribution.support()
    assert low * (1 + 1e-6) <= values.min() and values.max() <= high * (1 + 1e-6)


def test_fans_of_other_layers() -> None:
    """A depthwise cell reads its kernel alone; a transposed convolution's fans are the mirrored convolution's."""
    depthwise = drawn(ops.Conv(512, 3, groups=512), (512, 5, 5), Draw("he_out"))
    assert depthwise.std() == pytest.approx(math.sqrt(2 / 9), rel=0.05)
    mirrored = ops.ConvTranspose(96, 5), (40, 8, 8)
    assert drawn(*mirrored, Draw("he_in")).std() == pytest.approx(math.sqrt(2 / 1000), rel=0.02)
    assert drawn(*mirrored, Draw("he_out")).std() == pytest.approx(math.sqrt(2 / 2400), rel=0.02)
    assert drawn(ops.ConvTranspose(96, 5, groups=8), (40, 8, 8), Draw("he_in")).std() == pytest.approx(
        math.sqrt(2 / 125), rel=0.02
    )


@pytest.mark.parametrize(("op", "shape"), [WIDE, DEEP, (ops.Dense(900), (1000,))], ids=str)
def test_torch_beginning_is_that_of_its_layers(op: Op, shape: Shape) -> None:
    """PyTorch's own layers reach the same bounds, in weights and biases."""
    state = one(op, *shape).state_dict()
    for key in ("weight", "bias"):
        ours, theirs = drawn(op, shape, TORCH, key, TORCH), state[f"op.{key}"]
        assert ours.abs().max() == pytest.approx(float(theirs.abs().max()), rel=0.05)
        assert ours.abs().max() <= 1000**-0.5


def several() -> Graph:
    net = Builder("several")
    x = net(ops.Conv(4, 3), net.input(2, 6, 6), name="a.conv")
    x = net(ops.Offset(), x, name="a.offset")
    x = net(ops.BatchNorm(), x, name="a.norm")
    x = net(ops.PRelu(), net(ops.Scale(bias=True), x, name="a.scale"), name="a.prelu")
    x = net(ops.Conv(4, 3, padding="same"), x, name="b.conv")
    return net.graph(net(ops.Dense(3), net(ops.Flatten(), x), name="head.dense"))


def test_each_tensor_of_a_network_has_its_draw() -> None:
    special = {"conv.weight": Draw("constant", 5.0), "b.conv.weight": Draw("constant", 6.0)}
    init = Init("", Draw("normal"), Draw("constant", 2.0), Draw("uniform_in", 2.4), special)
    module = build(several())
    for tensor in module.state_dict().values():
        tensor.fill_(77)
    initialize(module, init, seed=0)
    state = module.state_dict()
    constants = {
        "a.conv.weight": 5, "b.conv.weight": 6, "head.dense.weight": 2, "a.scale.weight": 1, "a.scale.bias": 0,
        "a.norm.weight": 1, "a.norm.bias": 0, "a.norm.running_mean": 0, "a.norm.running_var": 1,
        "a.norm.num_batches_tracked": 0, "a.prelu.weight": 0.25,
    }  # fmt: skip
    for name, value in constants.items():
        assert (state.pop(name) == value).all(), name
    for name, fan in {"a.conv.bias": 18, "a.offset.bias": 18, "b.conv.bias": 36, "head.dense.bias": 64}.items():
        bias = state.pop(name)
        assert 0 < bias.abs().max() <= 2.4 / fan, name
    assert not state


def test_the_same_seed_gives_the_same_weights_and_leaves_torch_alone() -> None:
    modules = [build(several()) for _ in range(4)]
    before = torch.get_rng_state()
    for module, seed in zip(modules, (1, 1, 2), strict=False):
        initialize(module, Init(""), seed)
    assert torch.equal(torch.get_rng_state(), before)
    first, again, other = (module.state_dict()["b.conv.weight"] for module in modules[:3])
    assert torch.equal(first, again) and not torch.equal(first, other)
    torch.manual_seed(5)
    initialize(modules[0], Init(""))
    torch.manual_seed(5)
    initialize(modules[3], Init(""))
    assert torch.equal(first, modules[3].state_dict()["b.conv.weight"])


def test_only_the_named_tensors_are_drawn() -> None:
    module = build(several())
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    initialize(module, Init("", bias=Draw("constant", 9.0)), 0, only={"head.dense.bias"})
    changed = {name for name, tensor in module.state_dict().items() if not torch.equal(tensor, before[name])}
    assert changed == {"head.dense.bias"}


def test_what_is_made_by_hand_is_not_drawn() -> None:
    """Of LeNet-5's ten drawings a network of fewer classes takes the first."""
    rows = np.array(drawings(), np.float32)
    for classes in (10, 7):
        module = build(create_graph("lenet5_paper", num_classes=classes))
        initialize(module, MODELS["lenet5_paper"].init, 0)
        np.testing.assert_array_equal(module.state_dict()["rbf.weight"], rows[:classes])


@pytest.mark.parametrize("seed", [-1, 2**63, 1.0, "7", True])
def test_seeds_that_are_none(seed: object) -> None:
    with pytest.raises(UsageError, match="expected a whole number from 0"):
        initialize(build(several()), Init(""), seed)  # type: ignore[arg-type]


def test_a_module_made_elsewhere_is_refused() -> None:
    with pytest.raises(GraphError, match="was not made by foveal"):
        initialize(fx.symbolic_trace(nn.ReLU()), Init(""))


def test_special_draws_name_tensors_that_exist() -> None:
    """One beginning may serve several networks: each ending is in one of those at least."""
    endings: dict[str, bool] = {}
    for name, model in MODELS.items():
        names = tuple(create_graph(name).parameters())
        for ending in model.init.special or ():
            key = f"{model.family}: {ending}"
            endings[key] = endings.get(key, False) or any(tensor.endswith(ending) for tensor in names)
    assert not [key for key, found in endings.items() if not found]
