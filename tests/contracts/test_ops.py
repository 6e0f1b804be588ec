"""One suite over every op: what the op says of itself against what PyTorch does, and what OpenVINO does.

Oracles: PyTorch's executed shapes, built parameters, FlopCounterMode and functions; OpenVINO's kernels.
"""

from __future__ import annotations

import copy
import json
import math
import pickle
from collections.abc import Callable
from dataclasses import fields

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from op_cases import ALL, CASES, COMPUTED, lonely
from torch import Tensor, fx
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from foveal import ops
from foveal.build import build, weights_of
from foveal.engines.openvino import NODES, OpenVinoEngine
from foveal.errors import GraphError, ShapeError
from foveal.graph import Graph, Node
from foveal.modules import EXPRESSIONS, MODULES, PaddedMax, PaddedMean
from foveal.ops import OPS, Op, op_from_json, op_to_json
from foveal.ops.base import _CHECKS
from foveal.shapes import Shape


def built(graph: Graph) -> fx.GraphModule:
    """The network ready for inference, no parameter or running statistic at a value that would hide it."""
    torch.manual_seed(0)
    module = build(graph).eval()
    with torch.no_grad():
        for name, values in (*module.named_parameters(), *module.named_buffers()):
            kind = name.rpartition(".")[2]
            if kind == "bias" or (kind in ("weight", "running_mean", "running_var") and values.ndim == 1):
                values.uniform_(0.5, 2)
    return module


def test_every_op_has_cases_and_a_translation() -> None:
    assert CASES.keys() == set(OPS.values())
    assert all(type(op) is kind for kind, cases in CASES.items() for op, _ in cases)
    computed = set(OPS.values()) - {ops.Opaque}
    assert MODULES.keys() | EXPRESSIONS.keys() == NODES.keys() == computed
    assert not MODULES.keys() & EXPRESSIONS.keys()


def test_every_field_type_is_checked() -> None:
    for op in OPS.values():
        for field in fields(op):
            assert str(field.type) in _CHECKS, f"{op.__name__}.{field.name}: {field.type} is not checked"


@pytest.mark.parametrize(("op", "shapes"), COMPUTED, ids=str)
def test_op_is_what_it_says(op: Op, shapes: tuple[Shape, ...]) -> None:
    graph = lonely(op, shapes)
    module = built(graph)
    x = torch.randn(2, *graph.input_shape)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        y = module(x)
    assert tuple(y.shape[1:]) == graph.shapes["op"] == op.output_shape(*shapes)
    assert graph.macs() * 2 * 2 == counter.get_total_flops()  # a batch of two, two operations a MAC
    assert {name: tuple(p.shape) for name, p in module.named_parameters()} == graph.parameters()
    held = {name: tuple(b.shape) for name, b in module.named_buffers() if not name.endswith("num_batches_tracked")}
    assert held == graph.buffers()

    (z,) = OpenVinoEngine(graph, weights_of(module))(x.numpy())
    np.testing.assert_allclose(z, y.numpy(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("op", "shapes"), COMPUTED, ids=str)
def test_gradients_reach_the_input_and_every_parameter(op: Op, shapes: tuple[Shape, ...]) -> None:
    graph = lonely(op, shapes)
    module = built(graph)
    x = torch.randn(2, *graph.input_shape, requires_grad=True)
    y = module(x)
    (y * torch.randn_like(y)).sum().backward()
    for name, value in (("input", x), *module.named_parameters()):
        assert value.grad is not None, name
        assert value.grad.isfinite().all(), name
        assert value.grad.any(), name


@pytest.mark.parametrize(("op", "shapes"), ALL, ids=str)
def test_json_round_trip(op: Op, shapes: tuple[Shape, ...]) -> None:
    assert op_from_json(json.loads(json.dumps(op_to_json(op)))) == op
    graph = lonely(op, shapes)
    assert Graph.from_json(json.loads(json.dumps(graph.to_json()))) == graph


def one_of_each() -> Graph:
    """A network with several outputs in which every op that can be computed is one node."""
    nodes: list[Node] = []
    for kind, cases in CASES.items():
        op, shapes = cases[-1]
        if kind is ops.Opaque:
            continue
        feeds = tuple(f"{kind.__name__}.feed{i}" for i in range(len(shapes)))
        for feed, shape in zip(feeds, shapes, strict=True):
            nodes += [
                Node(f"{feed}.mix", ops.Dense(math.prod(shape)), ("input",)),
                Node(f"{feed}.shape", ops.Reshape(shape), (f"{feed}.mix",)),
            ]
        nodes.append(Node(f"{kind.__name__}.op", op, tuple(f"{feed}.shape" for feed in feeds)))
    return Graph("each", (3,), tuple(nodes), tuple(n.name for n in nodes if n.name.endswith(".op")))


def test_modules_compile_export_and_copy() -> None:
    module = built(one_of_each())
    x = torch.randn(2, 3)
    with torch.no_grad():
        expected = module(x)
        compiled = torch.compile(module, backend="eager", fullgraph=True)(x)
        exported = torch.export.export(module, (x,)).module()(x)
        again = fx.Interpreter(pickle.loads(pickle.dumps(copy.deepcopy(module)))).run(x)
    assert len(expected) == len(OPS) - 1
    for others in zip(compiled, exported, again, expected, strict=True):
        for other in others:
            torch.testing.assert_close(other, others[-1])


@pytest.mark.parametrize(
    "op",
    [
        ops.Conv(2, 3, stride=2, padding="same"),
        ops.ConvTranspose(2, 3, stride=2, padding="same"),
        ops.MaxPool(3, stride=2, padding=((1, 0), (0, 1)), ceil_mode=True),
        ops.AvgPool(3, stride=2, padding=((1, 0), (0, 1)), count_padding=True, ceil_mode=True),
        ops.AvgPool(3, stride=2, padding="same"),
        ops.LayerNorm(),
        ops.MedianPool(2),
        ops.AdaptiveAvgPool(2),
        ops.Pad(((1, 0), (0, 1))),
        ops.PadChannels(1, 2),
        ops.Upsample(2, "linear"),
    ],
    ids=str,
)
def test_a_module_takes_pictures_of_other_sizes(op: Op) -> None:
    module = build(lonely(op, ((2, 9, 8),)))
    for size in ((8, 9), (5, 6), (11, 11)):
        assert tuple(module(torch.randn(1, 2, *size)).shape[1:]) == op.output_shape((2, *size))


def test_opaque_steps_are_refused() -> None:
    graph = lonely(ops.Opaque("vision.nms", (4,)), ((3, 4, 4),))
    said = r"^op: cannot be built: 'vision.nms' was seen from outside only; .*graph.up_to"
    with pytest.raises(GraphError, match=said):
        build(graph)
    with pytest.raises(GraphError, match=said):
        OpenVinoEngine(graph, {})


def test_shared_weights_are_one() -> None:
    for op in (ops.ConvTranspose(4, 3, padding="same"), ops.Scale(bias=True), ops.PRelu(), ops.LayerNorm()):
        nodes = Node("a", op, ("input",)), Node("b", op, ("a",), "a")
        graph = Graph("twice", (4, 6, 6), nodes, ("b",))
        module = built(graph)
        x = torch.randn(2, 4, 6, 6)
        once = module.get_submodule("a")
        with torch.no_grad():
            y = module(x)
            torch.testing.assert_close(y, once(once(x)))
        (z,) = OpenVinoEngine(graph, weights_of(module))(x.numpy())
        np.testing.assert_allclose(z, y.numpy(), rtol=1e-4, atol=1e-5)


FOUR = [[1.0, 1, 2, 5], [5, 7, 7, 8], [3, 1, 1, 0], [1, 2, 3, 4]]


@pytest.mark.parametrize(
    ("op", "expected"),
    [
        (ops.MedianPool(2), [[3, 6], [1.5, 2]]),
        (ops.MaxPool(2), [[7, 8], [3, 4]]),
        (ops.AvgPool(2), [[3.5, 5.5], [1.75, 2]]),
        (ops.MaxPool(2, stride=1), [[7, 7, 8], [7, 7, 8], [3, 3, 4]]),
        (ops.MedianPool(3, stride=1), [[2, 2], [3, 3]]),
        (ops.AvgPool(3, stride=2, ceil_mode=True), [[28 / 9, 23 / 6], [11 / 6, 8 / 4]]),
        (ops.AvgPool(3, padding=1, count_padding=True, stride=3), [[14 / 9, 22 / 9], [7 / 9, 8 / 9]]),
        (ops.Upsample(2), np.repeat(np.repeat(FOUR, 2, 0), 2, 1).tolist()),
        (ops.Slice(0, 4, 3, axis=1), [[1, 1, 2, 5], [1, 2, 3, 4]]),
        (ops.Pad(((0, 1), (1, 0))), [[0, *row] for row in FOUR] + [[0] * 5]),
    ],
    ids=str,
)
def test_values_by_hand(op: Op, expected: list[list[float]]) -> None:
    graph = lonely(op, ((1, 4, 4),))
    x = np.array(FOUR, np.float32)[None, None]
    with torch.no_grad():
        np.testing.assert_allclose(build(graph)(torch.from_numpy(x))[0, 0], expected, rtol=1e-6)
    np.testing.assert_allclose(OpenVinoEngine(graph, {})(x)[0][0, 0], expected, rtol=1e-6)


def moved(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    return F.layer_norm(x.permute(0, 2, 3, 1), (4,), weight, bias, 1e-5).permute(0, 3, 1, 2)


FUNCTIONS: list[tuple[Op, Callable[..., Tensor]]] = [
    (ops.Scale(bias=True), lambda x, w, b: torch.einsum("nchw,c->nchw", x, w) + b[:, None, None]),
    (ops.Offset(), lambda x, b: torch.stack([image + b for image in x])),
    (ops.Factor(-0.3), lambda x: x - 1.3 * x),
    (ops.PadChannels(2, 1), lambda x: torch.cat([0 * x[:, :2], x, 0 * x[:, :1]], 1)),
    (ops.LayerNorm(), moved),
    (
        ops.MedianPool((3, 1), stride=(2, 1)),
        lambda x: torch.stack([x[:, :, i : i + 3].median(2)[0] for i in (0, 2)], 2),
    ),
    (ops.MaxPool(3, 2, ((0, 1), (1, 1))), lambda x: F.max_pool2d(F.pad(x, (1, 1, 0, 1), value=-9e9), 3, 2)),
    (ops.AvgPool(3, 2, ((0, 2), (1, 1)), True), lambda x: F.avg_pool2d(F.pad(x, (1, 1, 0, 2)), 3, 2)),
    (ops.ConvTranspose(2, 4, padding=((3, 0), (1, 2))), lambda x, w, b: F.conv_transpose2d(x, w, b)[:, :, 3:, 1:-2]),
    (ops.ConvTranspose(2, 3, 2, "same"), lambda x, w, b: F.conv_transpose2d(x, w, b, 2)[:, :, :-1, :-1]),
    (ops.Reshape((2, 50)), lambda x: x.reshape(-1, 2, 50)),
    (ops.Slice(1, 4, 2), lambda x: x[:, [1, 3]]),
    (ops.Slice(0, 5, 2, axis=2), lambda x: x[..., ::2]),
    (ops.LocalResponseNorm(4, 0.5, 0.7, 2.0), lambda x: F.local_response_norm(x, 4, 0.5, 0.7, 2.0)),
]


@pytest.mark.parametrize(("op", "function"), FUNCTIONS, ids=lambda value: str(value) if isinstance(value, Op) else "")
def test_what_is_composed_equals_the_function(op: Op, function: Callable[..., Tensor]) -> None:
    module = built(lonely(op, ((4, 5, 5),)))
    x = torch.randn(2, 4, 5, 5)
    torch.testing.assert_close(module(x), function(x, *module.parameters()))


def test_rbf_is_the_squared_distance_of_cdist() -> None:
    module = built(lonely(ops.Rbf(5), ((7,),)))
    x = torch.randn(3, 7)
    points = module.state_dict()["op.weight"]
    assert points.unique().tolist() == [-1, 1]
    assert not list(module.parameters())
    torch.testing.assert_close(module(x), torch.cdist(x, points) ** 2)


@settings(max_examples=150, deadline=None)
@given(
    size=st.integers(1, 14), kernel=st.integers(1, 5), stride=st.integers(1, 4), dilation=st.integers(1, 3),
    before=st.integers(0, 3), after=st.integers(0, 3), same=st.booleans(),
)  # fmt: skip
def test_conv_shape_equals_torch_for_any_padding(
    size: int, kernel: int, stride: int, dilation: int, before: int, after: int, same: bool
) -> None:
    op = ops.Conv(2, kernel, stride, "same" if same else ((before, after),), dilation)
    padded = size + before + after
    if not same and padded < dilation * (kernel - 1) + 1:
        with pytest.raises(ShapeError, match="does not fit"):
            op.output_shape((1, size))
        return
    graph = lonely(op, ((1, size),))
    y = build(graph)(torch.zeros(1, 1, size))
    assert tuple(y.shape[1:]) == graph.shapes["op"]
    if same:
        assert y.shape[-1] == math.ceil(size / stride)


@settings(max_examples=150, deadline=None)
@given(
    size=st.integers(1, 6), kernel=st.integers(1, 5), stride=st.integers(1, 4), dilation=st.integers(1, 3),
    before=st.integers(0, 3), after=st.integers(0, 3), extra=st.integers(0, 3),
)  # fmt: skip
def test_transposed_convolution_is_the_whole_one_cut(
    size: int, kernel: int, stride: int, dilation: int, before: int, after: int, extra: int
) -> None:
    op = ops.ConvTranspose(2, kernel, stride, ((before, after),), extra, dilation)
    whole = (size - 1) * stride + dilation * (kernel - 1) + 1
    if extra >= max(stride, dilation):
        with pytest.raises(ShapeError, match="output_padding"):
            op.output_shape((1, size))
        return
    if whole + extra - before - after < 1:
        with pytest.raises(ShapeError, match="leaves nothing"):
            op.output_shape((1, size))
        return
    module = build(lonely(op, ((1, size),)))
    x = torch.randn(1, 1, size)
    weight, bias = module.parameters()
    full = F.conv_transpose1d(x, weight, None, stride, dilation=dilation)
    expected = F.pad(F.pad(full, (0, extra)), (-before, -after)) + bias[:, None]
    torch.testing.assert_close(module(x), expected)


@settings(max_examples=50, deadline=None)
@given(
    size=st.integers(1, 12), kernel=st.integers(1, 5), stride=st.integers(1, 6), pad=st.integers(0, 2),
    count=st.booleans(),
)  # fmt: skip
def test_ceil_mode_is_that_of_torch(size: int, kernel: int, stride: int, pad: int, count: bool) -> None:
    if pad > kernel // 2 or size + 2 * pad < kernel:
        return
    x = torch.randn(1, 1, size)
    largest, mean = ops.MaxPool(kernel, stride, pad, True), ops.AvgPool(kernel, stride, pad, count, True)
    for op, mine, expected in (
        (largest, PaddedMax(largest, (1, size)), F.max_pool1d(x, kernel, stride, pad, ceil_mode=True)),
        (mean, PaddedMean(mean, (1, size)), F.avg_pool1d(x, kernel, stride, pad, True, count)),
    ):
        assert op.output_shape((1, size)) == tuple(expected.shape[1:])
        torch.testing.assert_close(mine(x), expected)
        (z,) = OpenVinoEngine(lonely(op, ((1, size),)), {})(x.numpy())
        np.testing.assert_allclose(z, expected.numpy(), rtol=1e-5, atol=1e-6)
