"""Pooling, forward and backward: windows summed up, and their gradient handed back cell by cell; maxout, too."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from foveal import ops
from foveal.ops import Op
from foveal.reference.base import EVERY, Array, Arrays, Gradients, Pair, crop, overlaid, pad, windows
from foveal.shapes import per_axis, resolve_padding


def max_pool(op: ops.MaxPool, arrays: Arrays, x: Array) -> Array:
    """``y[p] = max over k of x[s*p + d*k]``, padding counting as minus infinity."""
    return _cells(op, pad(x, op.sides(x.shape[1:]), -math.inf)).max(-1)


def max_pool_backward(op: ops.MaxPool, arrays: Arrays, xs: tuple[Array, ...], y: Array, gy: Array) -> Gradients:
    """Each window's gradient goes to its winner; a cell that wins several windows gets their sum.

    Of equal cells the first wins, as in PyTorch; of NaN the last; padding never.
    """
    (x,), sides = xs, op.sides(xs[0].shape[1:])
    real = _cells(op, pad(np.ones_like(x), sides))
    return (_handed_back(op, x, _winners(_cells(op, pad(x, sides)), real), gy, sides),), {}


def avg_pool(op: ops.AvgPool, arrays: Arrays, x: Array) -> Array:
    """``y[p] = sum over k of x[s*p + d*k] / count[p]``, count the cells of the window that count."""
    return _cells(op, pad(x, op.sides(x.shape[1:]))).sum(-1) / _counted(op, x)


def avg_pool_backward(op: ops.AvgPool, arrays: Arrays, xs: tuple[Array, ...], y: Array, gy: Array) -> Gradients:
    """Each cell of a window gets ``gy[p] / count[p]``; overlaps add."""
    (x,), share = xs, gy / _counted(op, xs[0])
    every = np.ones((*gy.shape, _size(op, x)), x.dtype)
    return (_handed_back(op, x, every, share, op.sides(x.shape[1:])),), {}


def lp_pool(op: ops.LpPool, arrays: Arrays, x: Array) -> Array:
    """``y[p] = (sum over k of |x[s*p + d*k]|^p)^(1/p)``."""
    return (np.abs(_cells(op, pad(x, op.sides(x.shape[1:])))) ** op.p).sum(-1) ** (1 / op.p)


def lp_pool_backward(op: ops.LpPool, arrays: Arrays, xs: tuple[Array, ...], y: Array, gy: Array) -> Gradients:
    """Each cell gets ``sign(x) (|x| / y[p])^(p - 1) gy[p]``, overlaps add; of a window of zeros, where there is no
    slope, 0 as in PyTorch's ``vector_norm``.
    """
    (x,), sides = xs, op.sides(xs[0].shape[1:])
    cells, norms = _cells(op, pad(x, sides)), np.where(y == 0, 1, y)[..., None]
    return (_handed_back(op, x, np.sign(cells) * (np.abs(cells) / norms) ** (op.p - 1), gy, sides),), {}


def median_pool(op: ops.MedianPool, arrays: Arrays, x: Array) -> Array:
    """The middle one of each window's cells in order, or the mean of the middle two."""
    cells = _cells(op, x)
    middle = np.sort(cells, -1)[..., _middle(cells)]
    return middle.mean(-1)


def median_pool_backward(op: ops.MedianPool, arrays: Arrays, xs: tuple[Array, ...], y: Array, gy: Array) -> Gradients:
    """The gradient goes to the cell in the middle, half and half to the middle two; equal cells keep their order."""
    cells = _cells(op, xs[0])
    middle = np.argsort(cells, -1, kind="stable")[..., _middle(cells)]
    shares = (_one_hot(middle[..., 0], cells) + _one_hot(middle[..., 1], cells)) / 2
    return (_handed_back(op, xs[0], shares, gy, ((0, 0),) * (gy.ndim - 2)),), {}


def global_avg_pool(op: ops.GlobalAvgPool, arrays: Arrays, x: Array) -> Array:
    """The mean of each channel over its positions."""
    return x.mean(_spatial(x), keepdims=True)


def global_avg_pool_backward(
    op: ops.GlobalAvgPool, arrays: Arrays, xs: tuple[Array, ...], y: Array, gy: Array
) -> Gradients:
    """Every position gets ``gy / positions``."""
    return (np.broadcast_to(gy / math.prod(xs[0].shape[2:]), xs[0].shape),), {}


def global_max_pool(op: ops.GlobalMaxPool, arrays: Arrays, x: Array) -> Array:
    """The largest value of each channel."""
    return x.max(_spatial(x), keepdims=True)


def global_max_pool_backward(
    op: ops.GlobalMaxPool, arrays: Arrays, xs: tuple[Array, ...], y: Array, gy: Array
) -> Gradients:
    """The gradient goes to the winner: a max pooling whose window is the whole map."""
    return max_pool_backward(ops.MaxPool(xs[0].shape[2:]), arrays, xs, y, gy)


def adaptive_avg_pool(op: ops.AdaptiveAvgPool, arrays: Arrays, x: Array) -> Array:
    """``y[i]``: the mean of bin i, cells ``floor(i n / out)`` up to, not including, ``ceil((i + 1) n / out)``."""
    y = np.empty((*x.shape[:2], *op.output_shape(x.shape[1:])[1:]), x.dtype)
    for cell, bin_ in _bins(op, x):
        y[cell] = x[bin_].mean(_spatial(x), keepdims=True)
    return y


def adaptive_avg_pool_backward(
    op: ops.AdaptiveAvgPool, arrays: Arrays, xs: tuple[Array, ...], y: Array, gy: Array
) -> Gradients:
    """Each cell of bin i gets ``gy[i] / cells of the bin``; bins that overlap add."""
    gx = np.zeros_like(xs[0])
    for cell, bin_ in _bins(op, gx):
        gx[bin_] += gy[cell] / math.prod(gx[bin_].shape[2:])
    return (gx,), {}


def maxout(op: ops.Maxout, arrays: Arrays, x: Array) -> Array:
    """``y[c] = max over j < pieces of x[pieces*c + j]``."""
    return _pieces(op, x).max(-1)


def maxout_backward(op: ops.Maxout, arrays: Arrays, xs: tuple[Array, ...], y: Array, gy: Array) -> Gradients:
    """The gradient goes to the winner, of equal pieces to the first."""
    pieces = _pieces(op, xs[0])
    return (np.moveaxis(_one_hot(pieces.argmax(-1), pieces) * gy[..., None], -1, 2).reshape(xs[0].shape),), {}


POOLS: dict[type[Op], Pair] = {
    ops.MaxPool: Pair(max_pool, max_pool_backward),
    ops.AvgPool: Pair(avg_pool, avg_pool_backward),
    ops.LpPool: Pair(lp_pool, lp_pool_backward),
    ops.MedianPool: Pair(median_pool, median_pool_backward),
    ops.GlobalAvgPool: Pair(global_avg_pool, global_avg_pool_backward),
    ops.GlobalMaxPool: Pair(global_max_pool, global_max_pool_backward),
    ops.AdaptiveAvgPool: Pair(adaptive_avg_pool, adaptive_avg_pool_backward),
    ops.Maxout: Pair(maxout, maxout_backward),
}

Windowed = ops.MaxPool | ops.AvgPool | ops.LpPool | ops.MedianPool


def _cells(op: Windowed, padded: Array) -> Array:
    """(batch, C, positions..., cells): each window's cells in one row, in reading order."""
    view = windows(padded, op.kernel_size, op.stride or op.kernel_size, getattr(op, "dilation", 1))
    return view.reshape(*view.shape[: padded.ndim], -1)


def _handed_back(op: Windowed, x: Array, shares: Array, gy: Array, sides: tuple[tuple[int, int], ...]) -> Array:
    """The gradient of `x`: each window's `gy` in the `shares` of its cells, laid back; padding keeps nothing."""
    kernel = per_axis(op.kernel_size, x.ndim - 2)
    cells = (shares * gy[..., None]).reshape(*gy.shape, *kernel)
    spatial = tuple(n + sum(pair) for n, pair in zip(x.shape[2:], sides, strict=True))
    return crop(overlaid(cells, spatial, op.stride or kernel, getattr(op, "dilation", 1)), sides)


def _winners(cells: Array, real: Array) -> Array:
    """1 at each window's winner, else 0."""
    best = np.where(real > 0, cells, -math.inf).max(-1, keepdims=True)
    equal = (real > 0) & ((cells == best) | np.isnan(cells))
    first, last = equal.argmax(-1), cells.shape[-1] - 1 - equal[..., ::-1].argmax(-1)
    return _one_hot(np.where(np.isnan(best[..., 0]), last, first), cells)


def _one_hot(index: npt.NDArray[np.intp], cells: Array) -> Array:
    return (np.arange(cells.shape[-1]) == index[..., None]).astype(cells.dtype)


def _counted(op: ops.AvgPool, x: Array) -> Array:
    """How many cells of each window count, (1, 1, positions...): all of the map, and the padding with `count_padding`.

    Cells that `ceil_mode` reaches beyond the padding never do.
    """
    spatial = x.shape[2:]
    padding = resolve_padding(op.padding, spatial, op.kernel_size, op.stride or op.kernel_size, op.dilation)
    ones = pad(np.ones(spatial, x.dtype)[None, None], padding, 1.0 if op.count_padding else 0.0)
    beyond = [(a - c, b - d) for (a, b), (c, d) in zip(op.sides(x.shape[1:]), padding, strict=True)]
    return _cells(op, pad(ones, beyond)).sum(-1)


def _size(op: Windowed, x: Array) -> int:
    return math.prod(per_axis(op.kernel_size, x.ndim - 2))


def _middle(cells: Array) -> list[int]:
    n = cells.shape[-1]
    return [(n - 1) // 2, n // 2]


def _pieces(op: ops.Maxout, x: Array) -> Array:
    """(batch, C, positions..., pieces)."""
    return np.moveaxis(x.reshape(len(x), -1, op.pieces, *x.shape[2:]), 2, -1)


def _spatial(x: Array) -> tuple[int, ...]:
    return tuple(range(2, x.ndim))


def _bins(op: ops.AdaptiveAvgPool, x: Array) -> Iterator[tuple[tuple[slice, ...], tuple[slice, ...]]]:
    """The slices of each output cell, and those of `x` that it averages."""
    outputs = op.output_shape(x.shape[1:])[1:]
    for i in np.ndindex(outputs):
        bounds = ((j * n // out, -(-(j + 1) * n // out)) for j, n, out in zip(i, x.shape[2:], outputs, strict=True))
        yield (*EVERY, *(slice(j, j + 1) for j in i)), (*EVERY, *(slice(*bound) for bound in bounds))
