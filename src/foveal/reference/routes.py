"""Where one value goes: the outputs that read it, and how each moves with it; `foveal.reference.units` turned round."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from foveal import ops
from foveal.ops import Op
from foveal.reference.base import Array, Arrays
from foveal.reference.running import OPS
from foveal.reference.units import COPIES, Cells, Index, cut
from foveal.shapes import Shape, per_axis, resolve_padding

Routes = tuple[Cells, Array]
"""Indices of outputs, (n, axes of the output), and their slopes, (n,)."""


def routes(op: Op, arrays: Arrays, xs: Sequence[Array], source: int, index: Index) -> Routes:
    """Every output that moves with the value at `index` of input number `source`, and its partial derivative there.

    Parameters
    ----------
    arrays, xs : as for `foveal.reference.units.cut`.

    The gradient of any number with respect to the value is the sum of these slopes times its gradients with respect to
    the outputs.
    """
    if found := _DIRECT.get(type(op)):
        return found(op, arrays, xs, source, index)
    shapes = tuple(x.shape for x in xs)
    cell = int(np.ravel_multi_index(index, shapes[source]))
    places, slopes = [], []
    for place in readers_of(op, shapes, source, index):
        unit = cut(op, arrays, xs, place)
        slope = sum(
            float(own[cells == cell].sum())
            for read, cells, own in zip(unit.sources, unit.cells, unit.slopes, strict=True)
            if read == source
        )
        if slope:
            places.append(place)
            slopes.append(slope)
    rank = len(op.output_shape(*shapes))
    return np.array(places, np.intp).reshape(-1, rank), np.array(slopes)


def readers_of(op: Op, xs: tuple[Shape, ...], source: int, index: Index) -> Iterator[Index]:
    """The outputs that may depend on the value at `index` of input number `source`."""
    x, y = xs[source], op.output_shape(*xs)
    if isinstance(op, COPIES) or (isinstance(op, ops.Upsample) and op.mode == "nearest"):
        yield from _copies(op, xs, source, index)
        return
    channel, *at = index
    channels: Sequence[int] = [channel]
    axes: list[Sequence[int]] = [[i] for i in at]
    if isinstance(op, (ops.MaxPool, ops.AvgPool, ops.LpPool, ops.MedianPool)):
        axes = _windows_over(op, x, y, at)
    elif isinstance(op, (ops.GlobalAvgPool, ops.GlobalMaxPool)):
        axes = [[0] for _ in at]
    elif isinstance(op, ops.AdaptiveAvgPool):
        rows = zip(at, x[1:], y[1:], strict=True)
        axes = [[i for i in range(m) if i * n // m <= q < -(-(i + 1) * n // m)] for q, n, m in rows]
    elif isinstance(op, ops.Upsample):
        scales = per_axis(op.scale, len(at))
        axes = [range(max((q - 1) * s, 0), min((q + 2) * s, m)) for q, s, m in zip(at, scales, y[1:], strict=True)]
    elif isinstance(op, (ops.Softmax, ops.LogSoftmax, ops.LayerNorm)):
        channels = range(y[0])
    elif isinstance(op, ops.Maxout):
        channels = [channel // op.pieces]
    elif isinstance(op, ops.LocalResponseNorm):
        channels = range(max(channel - op.size, 0), min(channel + op.size + 1, y[0]))
    elif isinstance(op, ops.GroupNorm):
        wide = y[0] // op.groups
        channels = range(channel // wide * wide, (channel // wide + 1) * wide)
        axes = [range(n) for n in y[1:]]
    yield from itertools.product(channels, *axes)


def _windows_over(op: Any, x: Shape, y: Shape, at: Sequence[int]) -> list[Sequence[int]]:
    """Along each axis the positions whose windows cover a cell."""
    rank = len(at)
    kernels, strides = per_axis(op.kernel_size, rank), per_axis(op.stride or op.kernel_size, rank)
    dilations = per_axis(getattr(op, "dilation", 1), rank)
    sides = resolve_padding(getattr(op, "padding", 0), x[1:], kernels, strides, dilations)
    axes: list[Sequence[int]] = []
    for q, m, k, s, d, (before, _) in zip(at, y[1:], kernels, strides, dilations, sides, strict=True):
        reach = range(max(-(-(q + before - d * (k - 1)) // s), 0), min((q + before) // s + 1, m))
        axes.append([p for p in reach if (q + before - s * p) % d == 0])
    return axes


def _copies(op: Op, xs: tuple[Shape, ...], source: int, index: Index) -> Iterator[Index]:
    """Sends a 1 in the value's place through the op: it arrives wherever the value does."""
    marks = [np.zeros((1, *x)) for x in xs]
    marks[source][(0, *index)] = 1
    for place in np.argwhere(OPS[type(op)].forward(op, {}, *marks)[0] == 1):
        yield tuple(map(int, place))


def _listed(places: Sequence[Any], slopes: Array) -> Routes:
    """The grid of `places`, one sequence an axis, in rows, and `slopes` of its shape."""
    grid = np.meshgrid(*(np.asarray(axis, np.intp) for axis in places), indexing="ij")
    return np.stack([axis.ravel() for axis in grid], -1), slopes.ravel()


def _conv(op: ops.Conv, arrays: Arrays, xs: Sequence[Array], source: int, index: Index) -> Routes:
    """Each filter under which the value came to lie, at the places where it did: the filter turned."""
    x, (channel, *at) = xs[0].shape, index
    kernels, strides, dilations = (per_axis(v, len(at)) for v in (op.kernel_size, op.stride, op.dilation))
    sides = resolve_padding(op.padding, x[1:], kernels, strides, dilations)
    places, taps = [], []
    rows = zip(at, op.output_shape(x)[1:], kernels, strides, dilations, sides, strict=True)
    for q, outputs, k, s, d, (before, _) in rows:
        reach = q + before - d * np.arange(k)
        hits = (reach >= 0) & (reach % s == 0) & (reach // s < outputs)
        places.append(reach[hits] // s)
        taps.append(np.flatnonzero(hits))
    wide, out = x[0] // op.groups, op.out_channels // op.groups
    filters = np.arange(out) + channel // wide * out
    return _listed([filters, *places], arrays["weight"][:, channel % wide][np.ix_(filters, *taps)])


def _conv_transpose(op: ops.ConvTranspose, arrays: Arrays, xs: Sequence[Array], source: int, index: Index) -> Routes:
    """The filter laid down where the value stands, as far as it is not cut off."""
    x, (channel, *at) = xs[0].shape, index
    kernels, strides, dilations = (per_axis(v, len(at)) for v in (op.kernel_size, op.stride, op.dilation))
    places, taps = [], []
    rows = zip(at, op.output_shape(x)[1:], kernels, strides, dilations, op.cuts(x), strict=True)
    for q, outputs, k, s, d, ((before, _), _) in rows:
        reach = s * q + d * np.arange(k) - before
        hits = (reach >= 0) & (reach < outputs)
        places.append(reach[hits])
        taps.append(np.flatnonzero(hits))
    wide, out = x[0] // op.groups, op.out_channels // op.groups
    filters = np.arange(out) + channel // wide * out
    return _listed([filters, *places], arrays["weight"][channel][np.ix_(np.arange(out), *taps)])


def _dense(op: ops.Dense, arrays: Arrays, xs: Sequence[Array], source: int, index: Index) -> Routes:
    return _listed([np.arange(op.out_features)], arrays["weight"][:, index[0]])


def _rbf(op: ops.Rbf, arrays: Arrays, xs: Sequence[Array], source: int, index: Index) -> Routes:
    return _listed([np.arange(op.out_features)], 2 * (xs[0][index] - arrays["weight"][:, index[0]]))


def _multiply(op: ops.Multiply, arrays: Arrays, xs: Sequence[Array], source: int, index: Index) -> Routes:
    """Where it is one value for many, as a gate is, it meets each of them."""
    y = op.output_shape(*(x.shape for x in xs))
    others = math.prod((x for i, x in enumerate(xs) if i != source), start=np.ones(y))
    places = [[i] if n > 1 else range(m) for i, n, m in zip(index, xs[source].shape, y, strict=True)]
    return _listed(places, others[np.ix_(*places)])


_DIRECT: dict[type[Op], Callable[..., Routes]] = {
    ops.Conv: _conv,
    ops.ConvTranspose: _conv_transpose,
    ops.Dense: _dense,
    ops.Rbf: _rbf,
    ops.Multiply: _multiply,
}
