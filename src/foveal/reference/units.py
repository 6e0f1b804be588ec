"""One value of a node by itself: its op, arrays and inputs cut down to what makes that value.

A convolution of a whole map becomes one filter on one patch; a max pooling one window; a flattening the one value it
copies. What is cut out is an ordinary op on ordinary arrays, so the same reference computes it, forward and backward.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from typing import Any

import numpy as np
import numpy.typing as npt

from foveal import ops
from foveal.ops import Op
from foveal.reference.arranging import neighbours
from foveal.reference.base import Array, Arrays
from foveal.reference.pools import Windowed
from foveal.reference.running import OPS
from foveal.shapes import Shape, per_axis, resolve_padding

Index = tuple[int, ...]
Cells = npt.NDArray[np.intp]

COPIES = (
    ops.Identity, ops.Dropout, ops.Flatten, ops.Reshape, ops.Pad, ops.PadChannels, ops.Slice, ops.ChannelShuffle,
    ops.PixelShuffle, ops.Concat,
)  # fmt: skip
"""What hands values on as they are (dropout at inference), and nearest upsampling."""

AFFINE = (
    ops.Conv, ops.ConvTranspose, ops.Dense, ops.Scale, ops.Offset, ops.BatchNorm, ops.Add, ops.Factor, ops.AvgPool,
    ops.GlobalAvgPool, ops.AdaptiveAvgPool, ops.Upsample, ops.MaxPool, ops.GlobalMaxPool, ops.MedianPool, ops.Relu,
    ops.Relu6, ops.LeakyRelu, ops.PRelu, ops.Maxout, *COPIES,
)  # fmt: skip
"""What is a sum of slopes times inputs plus a constant, exactly, as long as no gate or winner changes."""


@dataclass(frozen=True)
class Unit:
    """One value, and all that makes it.

    Attributes
    ----------
    op, arrays : compute it from the patches alone.
    patches : what is read of each input, (channels, cells...); 0 where padding is.
    cells : of each patch, in its shape: where in the ravelled input a value lies; -1 for padding.
    sources : of each patch: which of the node's inputs it is cut from.
    at : where the value lies in the op's output, which may hold others that share statistics with it.
    """

    op: Op
    arrays: Arrays
    patches: tuple[Array, ...]
    cells: tuple[Cells, ...]
    sources: tuple[int, ...]
    at: Index

    @property
    def value(self) -> float:
        return float(self._forward()[(0, *self.at)])

    @property
    def slopes(self) -> tuple[Array, ...]:
        """How the value moves with each value of the patches: its partial derivatives, in their shapes."""
        y = self._forward()
        g = np.zeros_like(y)
        g[(0, *self.at)] = 1
        gradients, _ = OPS[type(self.op)].backward(self.op, self.arrays, self._batches(), y, g)
        return tuple(gradient[0] for gradient in gradients)

    @property
    def affine(self) -> bool:
        """Whether the value is its slopes times its patches, plus `constant`."""
        return isinstance(self.op, AFFINE)

    @property
    def constant(self) -> float:
        """What an affine op adds to its products: a bias, or a norm's shift."""
        return self.value - sum(float((s * x).sum()) for s, x in zip(self.slopes, self.patches, strict=True))

    def _batches(self) -> tuple[Array, ...]:
        return tuple(patch[None] for patch in self.patches)

    def _forward(self) -> Array:
        return OPS[type(self.op)].forward(self.op, self.arrays, *self._batches())


def cut(op: Op, arrays: Arrays, xs: Sequence[Array], index: Index) -> Unit:
    """The unit that makes the value at `index` of what `op` gives for `xs`.

    Parameters
    ----------
    arrays : the node's weights and buffers by short names; the op is at inference.
    xs : its inputs for one image, (channels, cells...), without a batch axis.
    index : inside ``op.output_shape(...)``; not checked here.
    """
    shapes = tuple(x.shape for x in xs)
    if isinstance(op, COPIES) or (isinstance(op, ops.Upsample) and op.mode == "nearest"):
        small, part, sources, cells, at = _copied(op, shapes, index)
    else:
        small, part, cells, at = _CUTS[type(op)](op, arrays, shapes, index)
        sources = tuple(range(len(cells)))
    patches = tuple(np.where(where >= 0, xs[i].ravel()[where], 0.0) for i, where in zip(sources, cells, strict=True))
    return Unit(small, part, patches, cells, sources, at or (0,) * max(where.ndim for where in cells))


Part = tuple[Op, Arrays, tuple[Cells, ...], Index | None]
"""Op, arrays, cells of each input, and where the value lies in the op's output; None for its only one."""


def _grid(x: Shape, channels: npt.ArrayLike, axes: Sequence[npt.ArrayLike]) -> Cells:
    """Where these channels and places of a map lie in it ravelled; -1 for places outside."""
    places = np.meshgrid(np.asarray(channels, np.intp), *(np.asarray(axis, np.intp) for axis in axes), indexing="ij")
    inside = reduce(np.logical_and, ((place >= 0) & (place < n) for place, n in zip(places, x, strict=True)))
    return np.where(inside, np.ravel_multi_index(places, x, mode="clip"), -1)


def _windowed(op: Any, x: Shape, at: Sequence[int], padding: Any) -> list[Cells]:
    """The places that a sliding window covers along each axis, some perhaps outside."""
    rank = len(x) - 1
    kernels, strides = per_axis(op.kernel_size, rank), per_axis(op.stride or op.kernel_size, rank)
    dilations = per_axis(getattr(op, "dilation", 1), rank)
    sides = resolve_padding(padding, x[1:], kernels, strides, dilations)
    rows = zip(at, kernels, strides, dilations, sides, strict=True)
    return [p * s - before + d * np.arange(k) for p, k, s, d, (before, _) in rows]


def _of_channel(arrays: Arrays, channels: slice) -> Arrays:
    return {key: array[channels] for key, array in arrays.items()}


def _conv(op: ops.Conv, arrays: Arrays, xs: tuple[Shape, ...], index: Index) -> Part:
    (x,), (channel, *at) = xs, index
    wide = x[0] // op.groups
    group = channel // (op.out_channels // op.groups)
    cells = _grid(x, range(group * wide, (group + 1) * wide), _windowed(op, x, at, op.padding))
    one = ops.Conv(1, op.kernel_size, bias=op.bias)
    return one, _of_channel(arrays, slice(channel, channel + 1)), (cells,), None


def _conv_transpose(op: ops.ConvTranspose, arrays: Arrays, xs: tuple[Shape, ...], index: Index) -> Part:
    """As a convolution: the cells whose filters reach this place, each under the tap that does."""
    (x,), (channel, *at) = xs, index
    kernels, strides, dilations = (per_axis(v, len(x) - 1) for v in (op.kernel_size, op.stride, op.dilation))
    places, taps = [], []
    for q, n, k, s, d, (sides, _) in zip(at, x[1:], kernels, strides, dilations, op.cuts(x), strict=True):
        reach = q + sides[0] - d * np.arange(k)
        hits = (reach % s == 0) & (reach >= 0) & (reach // s < n)
        places.append(reach[hits] // s if hits.any() else np.array([-1]))
        taps.append(np.flatnonzero(hits) if hits.any() else np.array([0]))
    wide, out = x[0] // op.groups, op.out_channels // op.groups
    channels = np.arange(wide) + channel // out * wide
    weight = arrays["weight"][:, channel % out][np.ix_(channels, *taps)][None]
    bias = {"bias": arrays["bias"][channel : channel + 1]} if op.bias else {}
    one = ops.Conv(1, tuple(len(tap) for tap in taps), bias=op.bias)
    return one, {"weight": weight} | bias, (_grid(x, channels, places),), None


def _dense(op: ops.Dense | ops.Rbf, arrays: Arrays, xs: tuple[Shape, ...], index: Index) -> Part:
    return replace(op, out_features=1), _of_channel(arrays, slice(index[0], index[0] + 1)), (np.arange(xs[0][0]),), None


def _value(op: Op, arrays: Arrays, xs: tuple[Shape, ...], index: Index) -> Part:
    """One value of each input makes one of the output; an input of one cell along an axis serves all."""
    own = [tuple(i if n > 1 else 0 for i, n in zip(index, x, strict=True)) for x in xs]
    cells = tuple(_grid(x, [at[0]], [[i] for i in at[1:]]) for x, at in zip(xs, own, strict=True))
    return op, _of_channel(arrays, slice(index[0], index[0] + 1)), cells, None


def _offset(op: ops.Offset, arrays: Arrays, xs: tuple[Shape, ...], index: Index) -> Part:
    bias = arrays["bias"][index].reshape((1,) * len(index))
    return op, {"bias": bias}, _value(op, {}, xs, index)[2], None


def _position(op: Op, arrays: Arrays, xs: tuple[Shape, ...], index: Index) -> Part:
    """All channels of one position: softmax and its logarithm, layer norm."""
    cells = _grid(xs[0], range(xs[0][0]), [[i] for i in index[1:]])
    return op, arrays, (cells,), (index[0], *(0 for _ in index[1:]))


def _response(op: ops.LocalResponseNorm, arrays: Arrays, xs: tuple[Shape, ...], index: Index) -> Part:
    first, last = max(index[0] - op.size // 2, 0), min(index[0] + (op.size - 1) // 2, xs[0][0] - 1)
    cells = _grid(xs[0], range(first, last + 1), [[i] for i in index[1:]])
    return op, arrays, (cells,), (index[0] - first, *(0 for _ in index[1:]))


def _group(op: ops.GroupNorm, arrays: Arrays, xs: tuple[Shape, ...], index: Index) -> Part:
    wide = xs[0][0] // op.groups
    first = index[0] // wide * wide
    cells = _grid(xs[0], range(first, first + wide), [range(n) for n in xs[0][1:]])
    part = _of_channel(arrays, slice(first, first + wide))
    return replace(op, groups=1), part, (cells,), (index[0] - first, *index[1:])


def _pool(op: Windowed, arrays: Arrays, xs: tuple[Shape, ...], index: Index) -> Part:
    """The window's cells inside the map, and the padding's where it counts."""
    x, padding = xs[0], getattr(op, "padding", 0)
    counted = padding if getattr(op, "count_padding", False) else 0
    dilation = getattr(op, "dilation", 1)
    sides = resolve_padding(counted, x[1:], op.kernel_size, op.stride or op.kernel_size, dilation)
    axes = [
        places[(places >= -before) & (places < n + after)]
        for places, n, (before, after) in zip(_windowed(op, x, index[1:], padding), x[1:], sides, strict=True)
    ]
    size = tuple(len(axis) for axis in axes)
    one = ops.LpPool(size, p=op.p) if isinstance(op, ops.LpPool) else type(op)(size)
    return one, arrays, (_grid(x, [index[0]], axes),), None


def _piece(op: ops.Maxout, arrays: Arrays, xs: tuple[Shape, ...], index: Index) -> Part:
    channels = range(index[0] * op.pieces, (index[0] + 1) * op.pieces)
    return op, arrays, (_grid(xs[0], channels, [[i] for i in index[1:]]),), None


def _whole_channel(op: Op, arrays: Arrays, xs: tuple[Shape, ...], index: Index) -> Part:
    return op, arrays, (_grid(xs[0], [index[0]], [range(n) for n in xs[0][1:]]),), None


def _bin(op: ops.AdaptiveAvgPool, arrays: Arrays, xs: tuple[Shape, ...], index: Index) -> Part:
    outputs = op.output_shape(xs[0])[1:]
    axes = [range(i * n // m, -(-(i + 1) * n // m)) for i, n, m in zip(index[1:], xs[0][1:], outputs, strict=True)]
    return ops.AvgPool(tuple(map(len, axes))), arrays, (_grid(xs[0], [index[0]], axes),), None


def _interpolated(op: ops.Upsample, arrays: Arrays, xs: tuple[Shape, ...], index: Index) -> Part:
    """A convolution whose weights are the shares of the cells around."""
    places, shares = [], []
    for i, n, scale in zip(index[1:], xs[0][1:], per_axis(op.scale, len(xs[0]) - 1), strict=True):
        low, high, t = (values[i] for values in neighbours(n, scale, np.float64))
        places.append([low, high] if high > low else [low])
        shares.append([1 - t, t] if high > low else [1.0])
    weight = reduce(np.multiply.outer, (np.asarray(share) for share in shares))[None, None]
    return ops.Conv(1, weight.shape[2:], bias=False), {"weight": weight}, (_grid(xs[0], [index[0]], places),), None


def _copied(
    op: Op, xs: tuple[Shape, ...], index: Index
) -> tuple[Op, Arrays, tuple[int, ...], tuple[Cells, ...], Index | None]:
    """Sends the numbers 1, 2, 3 ... through the op: the one that arrives at `index` says whose value it is."""
    sizes = [int(np.prod(x)) for x in xs]
    ends = np.cumsum(sizes)
    firsts = ends - sizes
    numbers = [np.arange(1.0 + first, 1 + end).reshape(1, *x) for first, end, x in zip(firsts, ends, xs, strict=True)]
    arrived = int(OPS[type(op)].forward(op, {}, *numbers)[(0, *index)])
    source = int(np.searchsorted(ends, arrived)) if arrived else 0
    cell = arrived - 1 - int(firsts[source]) if arrived else -1
    return ops.Identity(), {}, (source,), (np.array([cell]),), None


_CUTS: dict[type[Op], Callable[..., Part]] = {
    ops.Conv: _conv,
    ops.ConvTranspose: _conv_transpose,
    ops.Dense: _dense,
    ops.Rbf: _dense,
    ops.Offset: _offset,
    ops.Softmax: _position,
    ops.LogSoftmax: _position,
    ops.LayerNorm: _position,
    ops.GroupNorm: _group,
    ops.LocalResponseNorm: _response,
    **dict.fromkeys((ops.MaxPool, ops.AvgPool, ops.LpPool, ops.MedianPool), _pool),
    ops.Maxout: _piece,
    **dict.fromkeys((ops.GlobalAvgPool, ops.GlobalMaxPool), _whole_channel),
    ops.AdaptiveAvgPool: _bin,
    ops.Upsample: _interpolated,
    **dict.fromkeys(
        (
            ops.Scale, ops.BatchNorm, ops.PRelu, ops.Relu, ops.Relu6, ops.LeakyRelu, ops.Elu, ops.Selu, ops.Gelu,
            ops.Silu, ops.Mish, ops.Softplus, ops.Hardsigmoid, ops.Hardswish, ops.Sigmoid, ops.Tanh, ops.Factor,
            ops.Add, ops.Multiply,
        ),
        _value,
    ),
}  # fmt: skip
