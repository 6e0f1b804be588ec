"""What moves, joins or cuts values: backward, each gradient goes back to where its value came from."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from foveal import ops
from foveal.ops import Op
from foveal.reference.base import Array, Arrays, Gradients, Pair, crop, pad
from foveal.shapes import per_axis


def flatten(op: ops.Flatten, arrays: Arrays, x: Array) -> Array:
    """All values of each image in a row."""
    return x.reshape(len(x), -1)


def reshape(op: ops.Reshape, arrays: Arrays, x: Array) -> Array:
    """The same values of each image in another shape."""
    return x.reshape(len(x), *op.shape)


def reshape_backward(op: Op, arrays: Arrays, xs: tuple[Array, ...], y: Array, gy: Array) -> Gradients:
    """The gradients in the input's shape; also of `flatten`."""
    return (gy.reshape(xs[0].shape),), {}


def zero_pad(op: ops.Pad, arrays: Arrays, x: Array) -> Array:
    """Zeros around the map."""
    return pad(x, op.sides(x.shape[1:]))


def zero_pad_backward(op: ops.Pad, arrays: Arrays, xs: tuple[Array, ...], y: Array, gy: Array) -> Gradients:
    """The gradient without the padding's part."""
    return (crop(gy, op.sides(xs[0].shape[1:])),), {}


def pad_channels(op: ops.PadChannels, arrays: Arrays, x: Array) -> Array:
    """Channels of zeros before and after."""
    return np.pad(x, [(0, 0), (op.before, op.after), *[(0, 0)] * (x.ndim - 2)])


def pad_channels_backward(op: ops.PadChannels, arrays: Arrays, xs: tuple[Array, ...], y: Array, gy: Array) -> Gradients:
    """The gradient without that of the zeros."""
    return (gy[:, op.before : op.before + xs[0].shape[1]],), {}


def take(op: ops.Slice, arrays: Arrays, x: Array) -> Array:
    """``x[start:stop:step]`` along one axis."""
    return x[_part(op)]


def take_backward(op: ops.Slice, arrays: Arrays, xs: tuple[Array, ...], y: Array, gy: Array) -> Gradients:
    """The gradient where values were taken, 0 elsewhere."""
    gx = np.zeros_like(xs[0])
    gx[_part(op)] = gy
    return (gx,), {}


def channel_shuffle(op: ops.ChannelShuffle, arrays: Arrays, x: Array) -> Array:
    """Channels as a table of `groups` rows, read column by column; Zhang et al. (2018), section 3.1."""
    return _dealt(x, op.groups)


def channel_shuffle_backward(
    op: ops.ChannelShuffle, arrays: Arrays, xs: tuple[Array, ...], y: Array, gy: Array
) -> Gradients:
    """The inverse deal: a table of as many rows as there were columns."""
    return (_dealt(gy, gy.shape[1] // op.groups),), {}


def pixel_shuffle(op: ops.PixelShuffle, arrays: Arrays, x: Array) -> Array:
    """``y[c, r*i + a, r*j + b] = x[c r^2 + r a + b, i, j]`` with r the factor; Shi et al. (2016), equation 4."""
    r = op.factor
    n, channels, height, width = x.shape
    cells = x.reshape(n, channels // r**2, r, r, height, width)
    return np.einsum("ncabij->nciajb", cells).reshape(n, channels // r**2, height * r, width * r)


def pixel_shuffle_backward(
    op: ops.PixelShuffle, arrays: Arrays, xs: tuple[Array, ...], y: Array, gy: Array
) -> Gradients:
    """The same equation read from right to left."""
    r = op.factor
    n, channels, height, width = xs[0].shape
    cells = gy.reshape(n, channels // r**2, height, r, width, r)
    return (np.einsum("nciajb->ncabij", cells).reshape(xs[0].shape),), {}


def upsample(op: ops.Upsample, arrays: Arrays, x: Array) -> Array:
    """Axis by axis ``y[i] = (1 - t) x[low] + t x[low + 1]`` at ``low + t = (i + 1/2)/scale - 1/2``, kept inside the
    map; or ``y[i] = x[floor(i/scale)]`` in mode nearest.
    """
    for axis, scale in enumerate(per_axis(op.scale, x.ndim - 2), start=2):
        x = np.repeat(x, scale, axis) if op.mode == "nearest" else _interpolated(x, axis, scale)
    return x


def upsample_backward(op: ops.Upsample, arrays: Arrays, xs: tuple[Array, ...], y: Array, gy: Array) -> Gradients:
    """Each cell gets back the gradient of what it was copied or mixed into, in the same shares."""
    g = gy
    for axis, scale in enumerate(per_axis(op.scale, gy.ndim - 2), start=2):
        cells = xs[0].shape[axis]
        if op.mode == "nearest":
            g = g.reshape(*g.shape[:axis], cells, scale, *g.shape[axis + 1 :]).sum(axis + 1)
        else:
            g = _interpolated_backward(g, axis, scale)
    return (g,), {}


def add(op: ops.Add, arrays: Arrays, *xs: Array) -> Array:
    """``x1 + x2 + ...``."""
    return np.sum(xs, axis=0)


def add_backward(op: ops.Add, arrays: Arrays, xs: tuple[Array, ...], y: Array, gy: Array) -> Gradients:
    """Every input gets the whole gradient: why a residual connection lets it pass (He et al. 2016)."""
    return (gy,) * len(xs), {}


def multiply(op: ops.Multiply, arrays: Arrays, *xs: Array) -> Array:
    """``x1 * x2 * ...``, an input of one cell along an axis serving all cells."""
    return math.prod(xs[1:], start=xs[0])


def multiply_backward(op: ops.Multiply, arrays: Arrays, xs: tuple[Array, ...], y: Array, gy: Array) -> Gradients:
    """Each input gets gy times the other inputs, summed over the cells that it serves."""
    gxs = []
    for i, x in enumerate(xs):
        g = math.prod(xs[:i] + xs[i + 1 :], start=gy)
        gxs.append(g.sum(tuple(axis for axis in range(g.ndim) if x.shape[axis] < g.shape[axis]), keepdims=True))
    return tuple(gxs), {}


def concat(op: ops.Concat, arrays: Arrays, *xs: Array) -> Array:
    """The channels of all inputs, one after the other."""
    return np.concatenate(xs, axis=1)


def concat_backward(op: ops.Concat, arrays: Arrays, xs: tuple[Array, ...], y: Array, gy: Array) -> Gradients:
    """Each input gets the gradient of its channels."""
    ends = np.cumsum([x.shape[1] for x in xs])
    return tuple(np.split(gy, ends[:-1], axis=1)), {}


ARRANGING: dict[type[Op], Pair] = {
    ops.Flatten: Pair(flatten, reshape_backward),
    ops.Reshape: Pair(reshape, reshape_backward),
    ops.Pad: Pair(zero_pad, zero_pad_backward),
    ops.PadChannels: Pair(pad_channels, pad_channels_backward),
    ops.Slice: Pair(take, take_backward),
    ops.ChannelShuffle: Pair(channel_shuffle, channel_shuffle_backward),
    ops.PixelShuffle: Pair(pixel_shuffle, pixel_shuffle_backward),
    ops.Upsample: Pair(upsample, upsample_backward),
    ops.Add: Pair(add, add_backward),
    ops.Multiply: Pair(multiply, multiply_backward),
    ops.Concat: Pair(concat, concat_backward),
}


def _part(op: ops.Slice) -> tuple[slice, ...]:
    return (slice(None),) * (op.axis + 1) + (slice(op.start, op.stop, op.step),)


def _dealt(x: Array, rows: int) -> Array:
    return x.reshape(len(x), rows, -1, *x.shape[2:]).swapaxes(1, 2).reshape(x.shape)


def neighbours(
    cells: int, scale: int, dtype: npt.DTypeLike
) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp], Array]:
    """Of each of ``cells * scale`` new cells the two old ones it lies between, and its distance t from the first."""
    place = np.maximum((np.arange(cells * scale) + 0.5) / scale - 0.5, 0)
    low = np.floor(place).astype(np.intp)
    return low, np.minimum(low + 1, cells - 1), (place - low).astype(dtype)


def _interpolated(x: Array, axis: int, scale: int) -> Array:
    low, high, t = neighbours(x.shape[axis], scale, x.dtype)
    last = np.moveaxis(x, axis, -1)
    return np.moveaxis((1 - t) * last[..., low] + t * last[..., high], -1, axis)


def _interpolated_backward(g: Array, axis: int, scale: int) -> Array:
    last = np.moveaxis(g, axis, -1)
    cells = last.shape[-1] // scale
    low, high, t = neighbours(cells, scale, g.dtype)
    gx = np.zeros((*last.shape[:-1], cells), g.dtype)
    for i, (a, b) in enumerate(zip(low, high, strict=True)):
        gx[..., a] += (1 - t[i]) * last[..., i]
        gx[..., b] += t[i] * last[..., i]
    return np.moveaxis(gx, -1, axis)
