"""One suite over every op: what the op says of itself against what PyTorch does, and what OpenVINO does.

Oracles: PyTorch's executed shapes, built parameters and FlopCounterMode; OpenVINO's kernels.
"""

from __future__ import annotations

import json
import math
from dataclasses import fields

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.flop_counter import FlopCounterMode

from foveal import ops
from foveal.build import MODULES, build, weights_of
from foveal.engines.openvino import NODES, OpenVinoEngine
from foveal.errors import GraphError, ShapeError, UnknownName
from foveal.graph import Graph, Node
from foveal.ops import OPS, Op, op_from_json, op_to_json
from foveal.shapes import Shape

CASES: dict[str, list[tuple[Op, tuple[Shape, ...]]]] = {
    "Conv": [
        (ops.Conv(8, 3), ((3, 9, 11),)),
        (ops.Conv(8, (3, 5), stride=(2, 1), padding=(1, 2), dilation=(1, 2), bias=False), ((4, 12, 13),)),
        (ops.Conv(6, 5, stride=2, padding="same", groups=2), ((4, 32, 31),)),
        (ops.Conv(6, 4, padding="same"), ((4, 9, 9),)),
        (ops.Conv(4, 3, padding=((0, 2), (1, 0)), groups=4), ((4, 7, 8),)),
        (ops.Conv(5, 3, padding=1), ((2, 20),)),
        (ops.Conv(5, 3, stride=2, padding="same"), ((2, 6, 7, 8),)),
    ],
    "Dense": [(ops.Dense(7), ((12,),)), (ops.Dense(3, bias=False), ((5,),))],
    "BatchNorm": [(ops.BatchNorm(), ((4, 5, 6),)), (ops.BatchNorm(eps=1e-3), ((4, 9),)), (ops.BatchNorm(), ((6,),))],
    "Relu": [(ops.Relu(), ((3, 4, 4),))],
    "Relu6": [(ops.Relu6(), ((3, 4, 4),))],
    "Sigmoid": [(ops.Sigmoid(), ((3, 4),))],
    "Tanh": [(ops.Tanh(), ((3, 4, 5),))],
    "Softmax": [(ops.Softmax(), ((5,),)), (ops.Softmax(), ((5, 3, 3),))],
    "Dropout": [(ops.Dropout(0.3), ((8,),))],
    "MaxPool": [
        (ops.MaxPool(2), ((3, 9, 8),)),
        (ops.MaxPool(3, stride=2, padding=1), ((3, 10, 11),)),
        (ops.MaxPool(3, stride=2, padding="same"), ((3, 10, 11),)),
        (ops.MaxPool((2, 3), stride=1, padding=((1, 0), (0, 2))), ((3, 6, 6),)),
    ],
    "AvgPool": [
        (ops.AvgPool(2), ((3, 8, 9),)),
        (ops.AvgPool(3, stride=2, padding=1), ((3, 9, 10),)),
        (ops.AvgPool(3, stride=2, padding=1, count_padding=True), ((3, 9, 10),)),
        (ops.AvgPool(3, stride=2, padding="same"), ((3, 10, 9),)),
        (ops.AvgPool(3, stride=2, padding=((0, 2), (1, 0)), count_padding=True), ((3, 8, 8),)),
    ],
    "GlobalAvgPool": [(ops.GlobalAvgPool(), ((4, 5, 6),)), (ops.GlobalAvgPool(), ((4, 7),))],
    "Flatten": [(ops.Flatten(), ((3, 4, 5),))],
    "Add": [(ops.Add(), ((3, 4, 4), (3, 4, 4))), (ops.Add(), ((5,), (5,), (5,)))],
    "Concat": [(ops.Concat(), ((3, 4, 4), (2, 4, 4))), (ops.Concat(), ((3,), (4,), (1,)))],
}


ALL_CASES = [case for cases in CASES.values() for case in cases]


def lonely(op: Op, shapes: tuple[Shape, ...]) -> Graph:
    """A graph that feeds `op` inputs of `shapes`, cut from one input by dense layers or flat copies of it."""
    if len(shapes) == 1:
        return Graph("lonely", shapes[0], (Node("op", op, ("input",)),), ("op",))
    if len(set(shapes)) == 1:
        feeds = [Node(f"feed{i}", feed, ("input",)) for i, feed in zip(range(len(shapes)), FEEDS, strict=False)]
    elif len(shapes[0]) == 1:
        feeds = [Node(f"feed{i}", ops.Dense(shape[0]), ("input",)) for i, shape in enumerate(shapes)]
    else:
        feeds = [Node(f"feed{i}", ops.Conv(shape[0], 1), ("input",)) for i, shape in enumerate(shapes)]
    op_node = Node("op", op, tuple(feed.name for feed in feeds))
    return Graph("lonely", shapes[0], (*feeds, op_node), ("op",))


FEEDS = (ops.Relu(), ops.Tanh(), ops.Sigmoid())


def test_every_op_has_cases_and_a_translation() -> None:
    joins = {ops.Add, ops.Concat}
    for name, op in OPS.items():
        assert CASES.get(name), f"{name} has no case here"
        assert op in MODULES or op in joins, f"{name} is missing in build"
        assert op in NODES, f"{name} is missing in engines.openvino"


@pytest.mark.parametrize(("op", "shapes"), ALL_CASES, ids=str)
def test_op_is_what_it_says(op: Op, shapes: tuple[Shape, ...]) -> None:
    torch.manual_seed(0)
    graph = lonely(op, shapes)
    module = build(graph).eval()
    for norm in module.modules():
        if isinstance(norm, torch.nn.modules.batchnorm._BatchNorm):
            norm.running_mean.normal_()
            norm.running_var.uniform_(0.5, 2)
    x = torch.randn(2, *graph.input_shape)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        y = module(x)
    assert tuple(y.shape[1:]) == graph.shapes["op"] == op.output_shape(*shapes)
    assert graph.macs() * 2 * 2 == counter.get_total_flops()  # a batch of two, two operations a MAC
    mine = {f"op.{name}": shape for name, shape in op.parameters(*shapes).items()}
    built = {name: tuple(p.shape) for name, p in module.named_parameters() if name.startswith("op.")}
    assert built == mine

    weights = weights_of(module)
    (z,) = OpenVinoEngine(graph, weights)(x.numpy())
    np.testing.assert_allclose(z, y.numpy(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("op", "shapes"), ALL_CASES, ids=str)
def test_json_round_trip(op: Op, shapes: tuple[Shape, ...]) -> None:
    assert op_from_json(json.loads(json.dumps(op_to_json(op)))) == op
    graph = lonely(op, shapes)
    assert Graph.from_json(json.loads(json.dumps(graph.to_json()))) == graph


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


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: ops.Conv(0, 3), r"Conv.out_channels = 0; expected a whole number of at least 1"),
        (lambda: ops.Conv(8, -1), r"Conv.kernel_size = -1"),
        (lambda: ops.Conv(8, 3, padding="valid"), r"Conv.padding = 'valid'.*'same'"),
        (lambda: ops.Conv(8, 3, padding=-1), r"Conv.padding = -1"),
        (lambda: ops.Conv(8, 3, padding=((1, 2), (3,))), r"Conv.padding"),
        (lambda: ops.Conv(8, 3, bias=1), r"Conv.bias = 1; expected true or false"),
        (lambda: ops.Conv(True, 3), r"Conv.out_channels = True"),
        (lambda: ops.Conv(8.0, 3), r"Conv.out_channels = 8.0"),
        (lambda: ops.Conv(10**13, 3), r"Conv.out_channels"),
        (lambda: ops.Dropout(1.0), r"Dropout.p = 1.0; expected a number from 0 up to, not including, 1"),
        (lambda: ops.BatchNorm(eps=float("nan")), r"BatchNorm.eps = nan"),
        (lambda: ops.MaxPool((2, 2, 2, 2)), r"MaxPool.kernel_size"),
    ],
)
def test_fields_out_of_range(make: object, said: str) -> None:
    with pytest.raises(GraphError, match=said):
        make()  # type: ignore[operator]


@pytest.mark.parametrize(
    ("op", "shapes", "said"),
    [
        (ops.Conv(8, 3), ((3, 2, 2),), "a kernel of 3 does not fit an input of 2 with padding 0"),
        (ops.Conv(8, 3, groups=2), ((3, 9, 9),), "3 input channels do not divide into 2 groups"),
        (ops.Conv(9, 3, groups=2), ((4, 9, 9),), "9 output channels do not divide into 2 groups"),
        (ops.Conv(8, (3, 3)), ((3, 9),), "has 2 numbers, but the input has 1 spatial axes"),
        (ops.Conv(8, 3), ((3,),), "takes a map"),
        (ops.Dense(8), ((3, 4, 4),), "takes a flat input, not 4x4x3; put Flatten before it"),
        (ops.Add(), ((3, 4, 4), (3, 4, 5)), "Add needs equal shapes, not 4x4x3 and 4x5x3"),
        (ops.Add(), ((3,),), "at least two inputs"),
        (ops.Concat(), ((3, 4, 4), (3, 5, 4)), "Concat needs equal spatial sizes"),
        (ops.Relu(), ((3,), (3,)), "Relu takes one input, not 2"),
        (ops.MaxPool(2, padding=2), ((3, 8, 8),), "windows with no input cell"),
    ],
)
def test_shapes_that_do_not_fit(op: Op, shapes: tuple[Shape, ...], said: str) -> None:
    with pytest.raises(ShapeError, match=said):
        op.output_shape(*shapes)


def test_unknown_ops_and_fields_name_what_is_near() -> None:
    with pytest.raises(UnknownName, match="did you mean Conv"):
        op_from_json({"op": "Convv"})
    with pytest.raises(GraphError, match="Conv has no field 'filters'"):
        op_from_json({"op": "Conv", "out_channels": 3, "kernel_size": 3, "filters": 3})
    with pytest.raises(GraphError, match="a field is missing"):
        op_from_json({"op": "Conv", "kernel_size": 3})


def test_every_field_type_is_checked() -> None:
    for op in OPS.values():
        for field in fields(op):
            assert str(field.type) in ops._CHECKS, f"{op.__name__}.{field.name}: {field.type} is not checked"
