"""Opens one number of a network that has seen a picture: how it is made, and how the gradient comes back to it."""

from __future__ import annotations

import os
import re
from dataclasses import replace
from numbers import Integral
from typing import Any

import numpy as np

from foveal import ops
from foveal.anatomy import sight
from foveal.errors import GraphError, UsageError
from foveal.explaining.observing import Observed, read_subject
from foveal.explaining.receipt import Receipt, unit_name
from foveal.graph import INPUT, Graph, Node
from foveal.reference.routes import readers_of
from foveal.reference.units import Index, cut

_FOLLOWING = (
    ops.BatchNorm, ops.Scale, ops.Offset, ops.Factor, ops.LocalResponseNorm, ops.Relu, ops.Relu6, ops.LeakyRelu,
    ops.PRelu, ops.Elu, ops.Selu, ops.Gelu, ops.Silu, ops.Mish, ops.Softplus, ops.Hardsigmoid, ops.Hardswish,
    ops.Sigmoid, ops.Tanh, ops.Maxout, ops.MaxPool,
)  # fmt: skip
"""What comes after a layer and belongs to its story."""


def observe(model: Any, image: Any, *, weights: str | os.PathLike[str] | None = None) -> Observed:
    """`image` through `model`, to open several numbers of one pass; see `open_unit`.

    `weights` : a local .pth or .safetensors file where `model` is the name of a network.
    """
    return Observed(read_subject(model, weights), image)


def open_unit(model: Any, image: Any, node: str, index: Index) -> Receipt:
    """How one activation comes about: its patch, filter, products, sum and bias, with PyTorch's answer beside it.

    Parameters
    ----------
    model : a bundle or its folder, the name of a network with published weights, a module of `foveal.build`, or an
        `Observed`, whose picture then serves.
    image : a picture's path, bytes or pixels uint8 (H, W, 3); or the input itself, float (C, H, W).
    node : its name, such as ``"stage1.block1.conv1"``.
    index : (channel, row, column) in a map, (number,) in a row of values.

    Raises
    ------
    UnknownName : no such node; the nearest names are listed.
    GraphError : a unit outside the map; the message has its valid range. Others as by `observe`.
    """
    seen = model if isinstance(model, Observed) else observe(model, image)
    return receipt(seen, node, index)


def receipt(seen: Observed, node: str, index: Index, *, after: bool = True) -> Receipt:
    """`open_unit` in a pass already made; `after` says what follows, too."""
    index = check_unit(seen.graph, node, index)
    if node == INPUT:
        raise UsageError("input: the picture's own values are not made of anything; open a node")
    found = _receipt(seen, node, index)
    return _with_after(seen, found) if after else found


def check_unit(graph: Graph, node: str, index: Index) -> Index:
    """`index` if the node has such a unit; UnknownName, GraphError."""
    shape = graph.shapes[sight.check_node(graph, node)]
    if not isinstance(index, (tuple, list)) or not all(isinstance(i, Integral) for i in index):
        raise UsageError(f"{node}: the index {index!r:.80}; expected whole numbers: (5, 10, 12), or (3,) in a row")
    last = unit_name(node, [n - 1 for n in shape])
    if len(index) != len(shape):
        raise GraphError(f"{unit_name(node, index)}: the node has {len(shape)} axes; its units go up to {last}")
    if not all(0 <= i < n for i, n in zip(index, shape, strict=True)):
        raise GraphError(f"{unit_name(node, index)} is outside; the last unit is {last}")
    return tuple(int(i) for i in index)


def parse_unit(said: str) -> tuple[str, Index]:
    """``"conv1[5,10,12]"`` as a name and an index; UsageError for anything else."""
    found = re.fullmatch(r"([A-Za-z0-9_.]+)\[(\d{1,18}(?:,\s*\d{1,18})*)\]", said.strip())
    if not found:
        raise UsageError(f"{said!r:.80}; expected a node and an index, such as conv1[5,10,12] or head.dense[3]")
    return found[1], tuple(int(number) for number in found[2].split(","))


def arrays_of(seen: Observed, node: Node) -> dict[str, np.ndarray]:
    """The node's weights and buffers by short names, float64."""
    shapes, prefix = seen.graph.input_shapes(node), f"{node.weights_of or node.name}."
    keys = (*node.op.parameters(*shapes), *node.op.buffers(*shapes))
    return {key: seen.subject.weights[prefix + key].astype(np.float64) for key in keys}


def _receipt(seen: Observed, name: str, index: Index) -> Receipt:
    node = seen.graph.by_name[name]
    if isinstance(node.op, ops.Opaque):
        raise node.op.refusal(name)
    xs = [seen.values[read].astype(np.float64) for read in node.inputs]
    unit = cut(node.op, arrays_of(seen, node), xs, index)
    return Receipt(seen, name, index, unit, float(seen.values[name][index]), _sees(seen.graph, name, index))


def _sees(graph: Graph, name: str, index: Index) -> sight.Box | None:
    if len(graph.input_shape) == 1:
        return None
    return sight.box(graph, name, index if len(index) == 1 else index[1:])


def _with_after(seen: Observed, first: Receipt) -> Receipt:
    """`first` with what follows it, as long as one norm, gate or pool follows another."""
    after, last = [], first
    while True:
        readers = [node for node in seen.graph.nodes if last.node in node.inputs]
        if len(readers) != 1 or not isinstance(readers[0].op, _FOLLOWING):
            break
        index = _index_after(readers[0], last.index, seen.graph)
        if index is None:
            break
        last = _receipt(seen, readers[0].name, index)
        after.append(last)
        if isinstance(last.op, ops.MaxPool):
            break
    return replace(first, after=tuple(after))


def _index_after(reader: Node, index: Index, graph: Graph) -> Index | None:
    """The unit of `reader` that reads the one at `index`; of several windows the first."""
    return next(iter(readers_of(reader.op, graph.input_shapes(reader), 0, index)), None)
