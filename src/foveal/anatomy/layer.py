"""One layer by itself: its arithmetic worked out, beside a fully connected layer between the same volumes."""

from __future__ import annotations

import math
from collections.abc import Iterator

from foveal.anatomy.explain import explain
from foveal.anatomy.sight import lattices
from foveal.errors import ShapeError
from foveal.graph import INPUT, Graph, Node
from foveal.ops import Conv, Dense, MaxPool, Op
from foveal.shapes import Shape, text

COMMON = (
    (Conv(32, 3, 1, 1), "the usual convolution: 32, 64, 128 ... filters, the size stays"),
    (Conv(32, 5, 1, 2), "a larger window, the size stays"),
    (Conv(32, 5, 2, "same"), "a larger window that halves"),
    (Conv(32, 1), "mixes channels only"),
    (MaxPool(2, 2), "halves"),
    (MaxPool(3, 2), "halves, windows overlap by one cell"),
)
"""The field's usual settings (Stanford CS231n, lecture notes on convolutional networks)."""


def single(op: Op, x: Shape) -> Graph:
    """The network of `op` alone on an input of shape `x`; ShapeError where it does not fit."""
    return Graph("layer", x, (Node(type(op).__name__.lower(), op, (INPUT,)),), (type(op).__name__.lower(),))


def layer_lines(op: Op, x: Shape) -> Iterator[str]:
    """The arithmetic of `op` on an input of shape `x`, a line each."""
    graph = single(op, x)
    y = graph.shapes[graph.outputs[0]]
    yield f"{text(x)} -> {text(y)}"
    yield from (f"  {formula}" for formula in explain(graph, graph.nodes[0], lattices(graph)))
    if isinstance(op, Conv):
        yield from _against_dense(op, x, y)


def _against_dense(op: Conv, x: Shape, y: Shape) -> Iterator[str]:
    values, outputs = math.prod(x), math.prod(y)
    dense = sum(math.prod(shape) for shape in Dense(outputs).parameters((values,)).values())
    mine = sum(math.prod(shape) for shape in op.parameters(x).values())
    yield f"fully connected between the same volumes ({values:,} -> {outputs:,} values):"
    yield f"  parameters: {outputs} units x ({values} weights + 1 bias) = {dense:,}"
    yield f"  MACs: {outputs} units x {values} weights = {values * outputs:,}"
    fewer = f"{dense / mine:,.1f} times fewer parameters", f"{values * outputs / op.macs(x):,.1f} times fewer MACs"
    yield f"  the convolution has {' and '.join(fewer)}"


def common_lines(x: Shape) -> Iterator[str]:
    """What the usual settings make of an input of shape `x`; ShapeError where that is no map."""
    COMMON[0][0].output_shape(x)
    for op, meaning in COMMON:
        said = f"{type(op).__name__.lower()} {_settings(op)}"
        try:
            result = text(op.output_shape(x))
        except ShapeError:
            result = "does not fit"
        yield f"{said:50} {text(x)} -> {result:14} {meaning}"


def _settings(op: Op) -> str:
    names = ("out_channels", "kernel_size", "stride", "padding")
    return ", ".join(f"{name.split('_')[-1]} {getattr(op, name)}" for name in names if hasattr(op, name))
