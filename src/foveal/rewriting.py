"""Graphs rewritten to be quicker, to the same result: the same outputs and gradients, under the same weights' names."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import replace

import numpy as np

from foveal.errors import ShapeError
from foveal.graph import INPUT, Graph, Node
from foveal.ops import (
    Add,
    AvgPool,
    BatchNorm,
    Concat,
    Conv,
    Dense,
    Elu,
    Gelu,
    LeakyRelu,
    MaxPool,
    Relu,
    Relu6,
    Sigmoid,
    Silu,
    Slice,
    Tanh,
)
from foveal.shapes import Shape, per_axis, resolve_padding, window

_CELLWISE = (Relu, Relu6, LeakyRelu, Elu, Gelu, Silu, Sigmoid, Tanh, Add, Concat)
"""Ops of which a cell depends on that cell of the inputs alone; not norms, whose statistics are of all cells, and not
dropout, which would draw other numbers for fewer."""


def for_training(graph: Graph) -> Graph:
    """`graph` as a training step computes it soonest; its weights go by the same names."""
    return crop_unread(pool_before_relu(graph))


def pool_before_relu(graph: Graph) -> Graph:
    """Max pooling moved before the ReLU that it alone reads, which then has fewer cells to look at.

    The two commute, since ReLU never turns an order round: where the largest cell of a window is positive, it is the
    same one, and where it is not, neither order lets a gradient through. The same holds for ReLU6.
    """
    nodes, by_name, reads = list(graph.nodes), graph.by_name, readers(graph)
    at = {node.name: i for i, node in enumerate(nodes)}
    swapped = {}
    for pool in graph.nodes:
        relu = by_name.get(pool.inputs[0]) if isinstance(pool.op, MaxPool) else None
        if relu is None or not isinstance(relu.op, (Relu, Relu6)) or reads[relu.name] > 1:
            continue
        nodes[at[relu.name]] = replace(pool, inputs=relu.inputs)
        nodes[at[pool.name]] = replace(relu, inputs=(pool.name,))
        swapped[pool.name] = relu.name
    return replace(
        graph,
        nodes=tuple(
            replace(node, inputs=_renamed(node.inputs, swapped)) if node.name not in swapped.values() else node
            for node in nodes
        ),
        outputs=_renamed(graph.outputs, swapped),
    )


def crop_unread(graph: Graph) -> Graph:
    """The picture without the last rows and columns that do not reach the outputs, so that no layer computes them.

    Of 28 rows a 3x3 convolution makes 26, and pooling by 3 reads 24 of those: 26 rows of the picture are enough.
    """
    needed = _needed(graph)
    picture = needed[INPUT]
    if picture == graph.input_shape[1:]:
        return graph
    try:
        smaller = graph.with_input((graph.input_shape[0], *picture))
    except ShapeError:
        return graph
    if smaller.macs() == graph.macs():
        return graph
    crops, last = [], INPUT
    for axis, (cells, size) in enumerate(zip(picture, graph.input_shape[1:], strict=True), start=1):
        if cells < size:
            crops.append(Node(_free(f"crop{axis}", graph), Slice(0, cells, axis=axis), (last,)))
            last = crops[-1].name
    rest = (replace(node, inputs=_renamed(node.inputs, {INPUT: last})) for node in graph.nodes)
    return replace(graph, nodes=(*crops, *rest))


def fold_batch_norm(graph: Graph, weights: Mapping[str, np.ndarray]) -> tuple[Graph, dict[str, np.ndarray]]:
    """`graph` and `weights` for inference, batch norms taken into the convolution or dense layer that they alone read.

    The layer keeps its name and has a bias afterwards: with the norm's ``a = weight / sqrt(running_var + eps)`` it is
    ``a * (bias - running_mean) + norm bias``, and its weights are multiplied by a.
    """
    by_name, reads, kept = graph.by_name, readers(graph), dict(weights)
    shared = {node.weights_of for node in graph.nodes} | {node.name for node in graph.nodes if node.weights_of}
    folded = {}
    for norm in graph.nodes:
        layer = by_name.get(norm.inputs[0]) if isinstance(norm.op, BatchNorm) else None
        if layer is None or not isinstance(layer.op, (Conv, Dense)) or reads[layer.name] > 1:
            continue
        if not shared & {layer.name, norm.name}:
            folded[norm.name] = layer.name
            _fold(layer, norm, kept)
    nodes = (
        replace(
            node,
            op=replace(node.op, bias=True) if node.name in folded.values() else node.op,  # type: ignore[call-arg]  # Conv or Dense
            inputs=_renamed(node.inputs, folded),
        )
        for node in graph.nodes
        if node.name not in folded
    )
    return replace(graph, nodes=tuple(nodes), outputs=_renamed(graph.outputs, folded)), kept


def _fold(layer: Node, norm: Node, weights: dict[str, np.ndarray]) -> None:
    """Replace the arrays of `layer` by those that include `norm`, whose own go; computed in float64."""
    assert isinstance(norm.op, BatchNorm)
    own = {key: weights.pop(f"{norm.name}.{key}").astype(np.float64) for key in norm.op.buffers((1, 1))}
    factor = 1 / np.sqrt(own["running_var"] + norm.op.eps)
    shift = np.zeros_like(factor)
    if norm.op.affine:
        factor, shift = factor * weights.pop(f"{norm.name}.weight"), weights.pop(f"{norm.name}.bias")
    weight = weights[f"{layer.name}.weight"]
    bias = weights.get(f"{layer.name}.bias", np.zeros(1))
    weights[f"{layer.name}.weight"] = (weight * factor.reshape(-1, *(1,) * (weight.ndim - 1))).astype(weight.dtype)
    weights[f"{layer.name}.bias"] = (factor * (bias - own["running_mean"]) + shift).astype(weight.dtype)


def _needed(graph: Graph) -> dict[str, Shape]:
    """For every node, and the input, how many of the first cells of each spatial axis reach an output.

    Where that is not all of them, no padding behind the last is read, so that the map may end sooner.
    """
    needed = {name: (0,) * (len(shape) - 1) for name, shape in graph.shapes.items()}
    for name in graph.outputs:
        needed[name] = graph.shapes[name][1:]
    for node in reversed(graph.nodes):
        for name in node.inputs:
            read = _read(node, needed[node.name], graph.shapes[name])
            needed[name] = tuple(map(max, needed[name], read))
    return needed


def _read(node: Node, needed: Shape, x: Shape) -> Shape:
    """Cells an axis of an input of shape `x` that `node` reads to make `needed` cells an axis."""
    op = node.op
    if isinstance(op, _CELLWISE):
        return needed
    if not isinstance(op, (Conv, MaxPool, AvgPool)) or not _aligned(op, len(x) - 1):
        return x[1:]
    stride = op.stride or op.kernel_size
    sizes = (per_axis(size, len(x) - 1) for size in (op.kernel_size, stride, op.dilation))
    sides = resolve_padding(op.padding, x[1:], op.kernel_size, stride, op.dilation)
    return tuple(
        min(n, (cells - 1) * step + window(kernel, dilation) - before)
        for n, cells, kernel, step, dilation, (before, _) in zip(x[1:], needed, *sizes, sides, strict=True)
    )


def _aligned(op: Conv | MaxPool | AvgPool, rank: int) -> bool:
    """Whether the windows stand at the same cells in a map that ends sooner."""
    stepping = max(per_axis(op.stride or op.kernel_size, rank)) > 1
    return not (getattr(op, "ceil_mode", False) or (op.padding == "same" and stepping))


def readers(graph: Graph) -> Counter[str]:
    """How often each value is read; being an output is being read."""
    return Counter((*graph.outputs, *(name for node in graph.nodes for name in node.inputs)))


def _renamed(names: Iterable[str], new: Mapping[str, str]) -> tuple[str, ...]:
    return tuple(new.get(name, name) for name in names)


def _free(name: str, graph: Graph) -> str:
    """`name`, or with as many underscores as make it no node's and no group's."""
    taken = {node.name.partition(".")[0] for node in graph.nodes}
    while name in taken:
        name += "_"
    return name
