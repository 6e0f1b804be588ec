"""The pooling exercise: each window summed up in one number, and where the gradient goes on the way back."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from foveal import ops
from foveal.errors import ShapeError, UnknownName
from foveal.reference.base import Array, windows
from foveal.reference.running import OPS
from foveal.shapes import Shape, Size, per_axis
from foveal.teaching.matrices import matrix_lines, number, place
from foveal.teaching.pictures import Pixels, as_channels, drawn, from_channels, in_bands

POOLS: dict[str, type[ops.MaxPool | ops.AvgPool | ops.MedianPool]] = {
    "max": ops.MaxPool,
    "mean": ops.AvgPool,
    "median": ops.MedianPool,
}

MOST_WINDOWS = 400
"""Windows that `pool_lines` writes out, at most; of more, only the result."""


def pool(values: npt.ArrayLike, op: str = "max", size: Size = 2, stride: Size | None = None) -> Array:
    """Each window of a matrix, or of each channel of a picture, summed up.

    Parameters
    ----------
    values : (height, width) or (height, width, channels).
    op : ``"max"``, ``"mean"``, or ``"median"``: of an even number of cells the mean of the middle two.
    size, stride : in cells; the stride is the size if None.

    Raises
    ------
    UnknownName : another op. ShapeError : the window does not fit; values that are neither.

    >>> pool([[1, 1, 2, 5], [5, 7, 7, 8], [3, 1, 1, 0], [1, 2, 3, 4]])
    array([[7., 8.],
           [3., 4.]])
    """
    layer, x = _layer(op, size, stride), _channels(values)
    forward = OPS[type(layer)].forward
    return from_channels(
        in_bands(x, per_axis(size, 2), per_axis(stride or size, 2), lambda band: forward(layer, {}, band))
    )


def pool_backward(
    values: npt.ArrayLike,
    op: str = "max",
    size: Size = 2,
    stride: Size | None = None,
    gradient: npt.ArrayLike | None = None,
) -> Array:
    """The gradient of the input of `pool` from that of its output, which is 1 everywhere if None.

    The maximum hands it to its winner (of equal cells the first in reading order), the mean to all cells alike, the
    median to the middle one or two. Where windows overlap, it adds up; its sum stays what it was.

    Raises
    ------
    ShapeError : a gradient of another shape than the output. Others as by `pool`.
    """
    layer, x = _layer(op, size, stride), _channels(values).astype(np.float64)
    pair = OPS[type(layer)]
    y = pair.forward(layer, {}, x)
    g = np.ones_like(y) if gradient is None else _channels(gradient).astype(np.float64)
    (gx,), _ = pair.backward(layer, {}, (x,), y, g)
    return from_channels(gx)


def pool_picture(pixels: Pixels, op: str = "max", size: Size = 2, stride: Size | None = None) -> Pixels:
    """`pool` of a picture as a picture, rounded."""
    return drawn(pool(pixels, op, size, stride), signed=False)[0]


def summary(op: str, size: Size, stride: Size | None, before: Shape, after: Shape) -> str:
    """One line: windows and stride, rows and columns before and after."""
    return f"{op} of {_by(size)} windows, stride {_by(stride or size)}: {_by(before[:2])} -> {_by(after[:2])}"


def pool_lines(matrix: Array, op: str = "max", size: Size = 2, stride: Size | None = None) -> Iterator[str]:
    """The windows of a matrix one by one, then the result."""
    y, cells = pool(matrix, op, size, stride), windows(_channels(matrix), size, stride or size)[0, 0]
    yield summary(op, size, stride, matrix.shape, y.shape)
    if y.size <= MOST_WINDOWS:
        for at in np.ndindex(y.shape):
            listed = " | ".join(" ".join(map(number, row)) for row in cells[at])
            yield f"  {place('y', at)} = {op} of {listed} = {number(float(y[at]))}"
    yield "y ="
    yield from matrix_lines(y)


def backward_lines(
    matrix: Array,
    op: str = "max",
    size: Size = 2,
    stride: Size | None = None,
    gradient: npt.ArrayLike | None = None,
) -> Iterator[str]:
    """The gradients of output and input, and the cells that several windows hand a gradient to."""
    gx = pool_backward(matrix, op, size, stride, gradient)
    g = np.ones_like(pool(matrix, op, size, stride)) if gradient is None else np.asarray(gradient, np.float64)
    yield "backward: the gradient of y"
    yield from matrix_lines(g)
    yield "comes to x as"
    yield from matrix_lines(gx)
    if g.size <= MOST_WINDOWS:
        for cell, parts in _givers(matrix, op, size, stride, g).items():
            if len(parts) > 1:
                terms = " + ".join(f"{number(part)} from {place('y', at)}" for at, part in parts)
                yield f"  {place('x', cell)} gets {terms} = {number(float(gx[cell]))}"
    yield f"its sum is {number(float(g.sum()))} at y and {number(float(gx.sum()))} at x"


Place = tuple[int, ...]


def _givers(
    matrix: Array, op: str, size: Size, stride: Size | None, g: Array
) -> dict[Place, list[tuple[Place, float]]]:
    """By the cells of the input, in reading order: what each window's gradient, sent back alone, gives them."""
    given: dict[Place, list[tuple[Place, float]]] = {cell: [] for cell in np.ndindex(matrix.shape)}
    for at in np.ndindex(g.shape):
        alone = np.zeros_like(g)
        alone[at] = g[at]
        back = pool_backward(matrix, op, size, stride, alone)
        for cell in zip(*np.nonzero(back), strict=True):
            given[cell].append((at, float(back[cell])))
    return given


def _layer(op: str, size: Size, stride: Size | None) -> ops.MaxPool | ops.AvgPool | ops.MedianPool:
    if op not in POOLS:
        raise UnknownName("pooling", op, POOLS)
    return POOLS[op](size, stride)


def _channels(values: npt.ArrayLike) -> npt.NDArray[Any]:
    array = np.asarray(values)
    if array.ndim not in (2, 3) or array.dtype.kind not in "fiu":
        raise ShapeError(
            f"{array.dtype} values of the shape {array.shape}; expected numbers (height, width) or "
            "(height, width, channels)"
        )
    return as_channels(array)


def _by(size: Size) -> str:
    return " x ".join(map(str, per_axis(size, 2)))
