"""A whole network through the reference, forward and backward; every op's pair, its arguments checked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from foveal import ops
from foveal.errors import ShapeError, UnknownName, UsageError, WeightsError
from foveal.graph import INPUT, Graph, Node
from foveal.ops import Op
from foveal.reference.arranging import ARRANGING
from foveal.reference.base import Array, Arrays, Gradients, Pair
from foveal.reference.linear import LINEAR
from foveal.reference.norms import NORMS
from foveal.reference.pointwise import POINTWISE
from foveal.reference.pools import POOLS


def run(
    graph: Graph,
    weights: Mapping[str, Array],
    x: npt.ArrayLike,
    *,
    training: bool = False,
    masks: Mapping[str, Array] | None = None,
    dtype: npt.DTypeLike = np.float64,
) -> dict[str, Array]:
    """Every activation of `graph` for `x`.

    Parameters
    ----------
    weights : arrays under the names of `Graph.parameters` and `Graph.buffers`.
    x : (batch, \\*input_shape).
    training : batch norm takes the batch's statistics, and dropout the `masks`.
    masks : in training, by the name of each dropout node, what it keeps: 1 or 0 for each value, (batch, ...).
    dtype : what to compute in.

    Returns
    -------
    By the name of each node, and ``"input"``: (batch, ...).

    Raises
    ------
    GraphError : an `Opaque` node.
    ShapeError : an `x` that is no batch of inputs.
    WeightsError : an array that is missing or has another shape.
    UsageError : in training, a dropout without a mask; a mask for what is no dropout.

    >>> from foveal.graph import Node
    >>> from foveal.ops import Relu
    >>> run(Graph("gate", (3,), (Node("relu", Relu(), ("input",)),), ("relu",)), {}, [[-1, 0, 2]])["relu"]
    array([[0., 0., 2.]])
    """
    values = {INPUT: np.asarray(x, dtype)}
    if values[INPUT].shape[1:] != graph.input_shape:
        raise ShapeError(f"x is {values[INPUT].shape}; {graph.name} takes (batch, {str(graph.input_shape)[1:]}")
    dropouts = [node.name for node in graph.nodes if isinstance(node.op, ops.Dropout)]
    if stray := sorted((masks or {}).keys() - set(dropouts)):
        raise UsageError(f"a mask for {stray[0]!r:.80}, which is no dropout; dropouts: {', '.join(dropouts) or 'none'}")
    for node in graph.nodes:
        arrays = _arrays(graph, node, weights, training, masks or {}, dtype)
        values[node.name] = _at(node).forward(node.op, arrays, *(values[name] for name in node.inputs))
    return values


def backward(
    graph: Graph,
    weights: Mapping[str, Array],
    activations: Mapping[str, Array],
    gradients: Mapping[str, Array],
    *,
    training: bool = False,
    masks: Mapping[str, Array] | None = None,
) -> tuple[dict[str, Array], dict[str, Array]]:
    """The gradient of a number with respect to every activation and every trained weight, by backpropagation.

    Where a value is read in several places, or a weight used by several nodes, its gradients add up.

    Parameters
    ----------
    activations : what `run` returned with the same weights, `training` and `masks`.
    gradients : the number's gradient with respect to outputs, or any other nodes, by name.

    Returns
    -------
    gradients of the activations, by the names of nodes and ``"input"``; gradients of the weights, by their names.

    Raises
    ------
    UnknownName : a gradient of no node.
    ShapeError : a gradient of another shape than its activation.
    UsageError : an activation is missing. Others as by `run`.
    """
    if missing := graph.shapes.keys() - activations.keys():
        raise UsageError(f"no activation of {min(missing)!r}; pass all that reference.run returned")
    dtype = activations[INPUT].dtype
    to_values = {name: np.zeros_like(value) for name, value in activations.items()}
    to_weights = {name: np.zeros(shape, dtype) for name, shape in graph.parameters().items()}
    for name, gradient in gradients.items():
        if name not in to_values:
            raise UnknownName("node", name, to_values)
        _same_shape(name, gradient, activations[name])
        to_values[name] = np.asarray(gradient, dtype)
    for node in reversed(graph.nodes):
        xs = tuple(activations[name] for name in node.inputs)
        arrays = _arrays(graph, node, weights, training, masks or {}, dtype)
        gxs, garrays = _at(node).backward(node.op, arrays, xs, activations[node.name], to_values[node.name])
        for name, g in zip(node.inputs, gxs, strict=True):
            to_values[name] = to_values[name] + g
        for key, g in garrays.items():
            to_weights[f"{node.weights_of or node.name}.{key}"] += g
    return to_values, to_weights


def checked(pair: Pair) -> Pair:
    """`pair` refusing what the op cannot take, and quiet where NaN or infinity passes through.

    A batch norm without running statistics is in training, and so is a dropout with a ``mask``.

    Raises
    ------
    ShapeError : inputs that the op cannot take, or that are no batch; a gradient unlike the output.
    UsageError : inputs that are no floats.
    WeightsError : an array that is missing, unknown or of another shape.
    """

    def forward(op: Op, arrays: Arrays, *xs: Array) -> Array:
        _check(op, arrays, xs)
        with np.errstate(all="ignore"):
            return pair.forward(op, arrays, *xs)

    def backward(op: Op, arrays: Arrays, xs: tuple[Array, ...], y: Array, gy: Array) -> Gradients:
        _check(op, arrays, xs)
        _same_shape(type(op).__name__, gy, y)
        with np.errstate(all="ignore"):
            return pair.backward(op, arrays, xs, y, gy)

    return Pair(forward, backward)


OPS: dict[type[Op], Pair] = {op: checked(pair) for op, pair in (LINEAR | POINTWISE | NORMS | POOLS | ARRANGING).items()}
"""The pair (forward, backward) of every op but `Opaque`, by its class."""


def _check(op: Op, arrays: Arrays, xs: tuple[Array, ...]) -> None:
    kind = type(op).__name__
    if any(x.ndim < 2 for x in xs) or len({len(x) for x in xs}) > 1:
        received = ", ".join(str(x.shape) for x in xs)
        raise ShapeError(f"{kind} takes batches of one size, (batch, channels, ...), not {received}")
    if not all(np.issubdtype(x.dtype, np.floating) for x in xs):
        raise UsageError(f"{kind} computes with floats, not {', '.join(str(x.dtype) for x in xs)}; use .astype(float)")
    shapes = tuple(x.shape[1:] for x in xs)
    output = op.output_shape(*shapes)
    trained = op.parameters(*shapes)
    untrained = op.buffers(*shapes)
    if isinstance(op, ops.BatchNorm) and not arrays.keys() & untrained:
        untrained = {}
    if isinstance(op, ops.Dropout) and "mask" in arrays:
        untrained = {"mask": (len(xs[0]), *output)}
    expected = trained | untrained
    if unknown := sorted(arrays.keys() - expected):
        raise WeightsError(f"{kind} has no array {unknown[0]!r:.80}; it has {', '.join(expected) or 'none'}")
    for key, shape in expected.items():
        if key not in arrays:
            raise WeightsError(f"{kind} lacks its array {key!r}, of shape {shape}")
        if arrays[key].shape != shape:
            raise WeightsError(f"{kind}'s {key} has the shape {arrays[key].shape}; on this input it needs {shape}")


def _same_shape(what: str, gradient: Any, value: Array) -> None:
    if np.shape(gradient) != value.shape:
        raise ShapeError(f"{what}: a gradient of {np.shape(gradient)} for an activation of {value.shape}")


def _at(node: Node) -> Pair:
    """The node's pair, its errors starting with the node's name."""
    if isinstance(node.op, ops.Opaque):
        raise node.op.refusal(node.name)

    def named(function: Any) -> Any:
        def call(*arguments: Any) -> Any:
            try:
                return function(*arguments)
            except (ShapeError, WeightsError) as error:
                raise type(error)(f"{node.name}: {error}") from error

        return call

    pair = OPS[type(node.op)]
    return Pair(named(pair.forward), named(pair.backward))


def _arrays(
    graph: Graph,
    node: Node,
    weights: Mapping[str, Array],
    training: bool,
    masks: Mapping[str, Array],
    dtype: npt.DTypeLike,
) -> Arrays:
    """What `node` computes with, by short names, in `dtype`."""
    shapes, prefix = graph.input_shapes(node), f"{node.weights_of or node.name}."
    of_batch = training and isinstance(node.op, ops.BatchNorm)
    keys = [*node.op.parameters(*shapes), *(() if of_batch else node.op.buffers(*shapes))]
    if missing := [key for key in keys if prefix + key not in weights]:
        raise WeightsError(f"no weights for {prefix}{missing[0]}")
    arrays = {key: np.asarray(weights[prefix + key], dtype) for key in keys}
    if training and isinstance(node.op, ops.Dropout):
        if node.name not in masks:
            raise UsageError(f"{node.name}: dropout in training needs a mask; pass masks={{{node.name!r}: ...}}")
        arrays["mask"] = np.asarray(masks[node.name], dtype)
    return arrays
