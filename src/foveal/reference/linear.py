"""Convolutions, dense layers, factors and summands, forward and backward; and a layer as the matrix that it is."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from foveal import ops
from foveal.errors import UsageError
from foveal.ops import Op
from foveal.reference.base import EVERY, Array, Arrays, Gradients, Pair, by_channel, crop, over_channels, pad, windows
from foveal.shapes import Shape, Sides, Size, per_axis, resolve_padding

LARGEST_MATRIX = 10**7
"""Most entries of a matrix that `as_matrix` makes: 80 MB."""


def correlate(x: Array, weight: Array, stride: Size = 1, dilation: Size = 1) -> Array:
    """Cross-correlation: ``y[n, o, p] = sum over c, k of x[n, c, s*p + d*k] * weight[o, c, k]``.

    Goodfellow et al. (2016), Deep Learning, equation 9.6, with channels and a batch; p and k run over all spatial axes.
    """
    p, k = _letters(x)
    patches = windows(x, weight.shape[2:], stride, dilation)
    return np.einsum(f"nc{p}{k},oc{k}->no{p}", patches, weight, optimize=True)


def true_convolution(x: Array, weight: Array) -> Array:
    """What mathematics calls convolution turns the filter: ``y[p] = sum over k of x[p + K - 1 - k] * weight[k]``.

    Networks leave the turn out and learn the turned filter; Goodfellow et al. (2016), section 9.1. Here stride 1, no
    padding.
    """
    return correlate(x, turned(weight))


def turned(weight: Array) -> Array:
    """The filter turned by 180 degrees: every spatial axis reversed."""
    return np.flip(weight, tuple(range(2, weight.ndim)))


def full_correlate(g: Array, weight: Array, stride: Size, dilation: Size, spatial: Shape) -> Array:
    """The transpose of `correlate`: ``x[n, c, q] = sum over s*p + d*k = q of g[n, o, p] * weight[o, c, k]``, for all q
    of a map of `spatial` cells.

    It is itself a cross-correlation (Dumoulin & Visin 2016, chapter 4): `g` with s - 1 zeros between its cells and
    d(k - 1) around them, more where the map goes on, under the turned filter with its channels swapped.
    """
    kernels, strides, dilations = (per_axis(value, g.ndim - 2) for value in (weight.shape[2:], stride, dilation))
    spread = np.zeros((*g.shape[:2], *((n - 1) * s + 1 for n, s in zip(g.shape[2:], strides, strict=True))), g.dtype)
    spread[(*EVERY, *(slice(None, None, s) for s in strides))] = g
    axes = zip(kernels, dilations, spatial, spread.shape[2:], strict=True)
    around = [(d * (k - 1), cells - n) for k, d, cells, n in axes]
    return correlate(pad(spread, around), turned(weight).swapaxes(0, 1), 1, dilation)


def weight_gradient(x: Array, g: Array, kernel: Shape, stride: Size, dilation: Size) -> Array:
    """The gradient of the filter of `correlate`, a correlation of its input and its output's gradient `g`:
    ``gw[o, c, k] = sum over n, p of x[n, c, s*p + d*k] * g[n, o, p]``.
    """
    p, k = _letters(x)
    return np.einsum(f"nc{p}{k},no{p}->oc{k}", windows(x, kernel, stride, dilation), g, optimize=True)


def conv(op: ops.Conv, arrays: Arrays, x: Array) -> Array:
    """The zero-padded input correlated with the weight, plus the bias: ``y[o] = bias[o] + correlate(x, weight)[o]``.

    Groups are so many convolutions side by side, each on its share of the channels; Krizhevsky et al. (2012).
    """
    parts = zip(_split(pad(x, _sides(op, x)), op.groups), np.split(arrays["weight"], op.groups), strict=True)
    y = np.concatenate([correlate(part, weight, op.stride, op.dilation) for part, weight in parts], axis=1)
    return _biased(y, arrays)


def conv_backward(op: ops.Conv, arrays: Arrays, xs: tuple[Array, ...], y: Array, gy: Array) -> Gradients:
    """To the input the full correlation of `gy` with the turned filter, to the weight the correlation of input and
    `gy`, to the bias the sum of `gy`; Goodfellow et al. (2016), equations 9.11 and 9.13.
    """
    (x,), sides, weight = xs, _sides(op, xs[0]), arrays["weight"]
    padded, gx, gw = pad(x, sides), [], []
    groups = zip(_split(padded, op.groups), np.split(weight, op.groups), _split(gy, op.groups), strict=True)
    for part, filters, g in groups:
        gx.append(full_correlate(g, filters, op.stride, op.dilation, padded.shape[2:]))
        gw.append(weight_gradient(part, g, weight.shape[2:], op.stride, op.dilation))
    return (crop(np.concatenate(gx, axis=1), sides),), {"weight": np.concatenate(gw)} | _bias_gradient(arrays, gy)


def conv_transpose(op: ops.ConvTranspose, arrays: Arrays, x: Array) -> Array:
    """Each input cell adds its filter to the output, `full_correlate`; then the padding is cut off, the bias added.

    Zeiler et al. (2010); Dumoulin & Visin (2016), chapter 4.
    """
    sides, _ = _cuts(op, x)
    whole = tuple(n + sum(pair) for n, pair in zip(op.output_shape(x.shape[1:])[1:], sides, strict=True))
    parts = zip(_split(x, op.groups), np.split(arrays["weight"], op.groups), strict=True)
    full = [full_correlate(part, weight, op.stride, op.dilation, whole) for part, weight in parts]
    return _biased(crop(np.concatenate(full, axis=1), sides), arrays)


def conv_transpose_backward(
    op: ops.ConvTranspose, arrays: Arrays, xs: tuple[Array, ...], y: Array, gy: Array
) -> Gradients:
    """To the input the plain correlation of `gy`, which the forward pass is the transpose of; to the weight the
    correlation of `gy` and input, their parts exchanged; to the bias the sum of `gy`.
    """
    (x,), (sides, extras), weight = xs, _cuts(op, xs[0]), arrays["weight"]
    g, gx, gw = crop(pad(gy, sides), [(0, extra) for extra in extras]), [], []
    groups = zip(_split(x, op.groups), np.split(weight, op.groups), _split(g, op.groups), strict=True)
    for part, filters, g_part in groups:
        gx.append(correlate(g_part, filters, op.stride, op.dilation))
        gw.append(weight_gradient(g_part, part, weight.shape[2:], op.stride, op.dilation))
    return (np.concatenate(gx, axis=1),), {"weight": np.concatenate(gw)} | _bias_gradient(arrays, gy)


def dense(op: ops.Dense, arrays: Arrays, x: Array) -> Array:
    """``y[n, o] = bias[o] + sum over f of x[n, f] * weight[o, f]``."""
    return _biased(x @ arrays["weight"].T, arrays)


def dense_backward(op: ops.Dense, arrays: Arrays, xs: tuple[Array, ...], y: Array, gy: Array) -> Gradients:
    """``gx = gy W``, ``gW = gy^T x``, ``gb`` the sum of gy over the batch; Goodfellow et al. (2016), section 6.5.4."""
    return (gy @ arrays["weight"],), {"weight": gy.T @ xs[0]} | _bias_gradient(arrays, gy)


def scale(op: ops.Scale, arrays: Arrays, x: Array) -> Array:
    """``y[c] = weight[c] * x[c] + bias[c]``."""
    return _biased(x * by_channel(arrays["weight"], x), arrays)


def scale_backward(op: ops.Scale, arrays: Arrays, xs: tuple[Array, ...], y: Array, gy: Array) -> Gradients:
    """``gx[c] = weight[c] * gy[c]``; to the weight the sum of ``x * gy``, to the bias that of ``gy``."""
    gx = gy * by_channel(arrays["weight"], gy)
    return (gx,), {"weight": over_channels(xs[0] * gy)} | _bias_gradient(arrays, gy)


def offset(op: ops.Offset, arrays: Arrays, x: Array) -> Array:
    """``x + bias``, a summand for every single value."""
    return x + arrays["bias"]


def offset_backward(op: ops.Offset, arrays: Arrays, xs: tuple[Array, ...], y: Array, gy: Array) -> Gradients:
    """``gx = gy``; to the bias the sum of ``gy`` over the batch."""
    return (gy,), {"bias": gy.sum(axis=0)}


def rbf(op: ops.Rbf, arrays: Arrays, x: Array) -> Array:
    """``y[n, i] = sum over j of (x[n, j] - weight[i, j])^2``; LeCun et al. (1998), equation 7."""
    return np.sum((x[:, None] - arrays["weight"]) ** 2, axis=2)


def rbf_backward(op: ops.Rbf, arrays: Arrays, xs: tuple[Array, ...], y: Array, gy: Array) -> Gradients:
    """``gx[n, j] = sum over i of 2 gy[n, i] (x[n, j] - weight[i, j])``; the points are not trained."""
    return (np.einsum("ni,nij->nj", 2 * gy, xs[0][:, None] - arrays["weight"]),), {}


LINEAR: dict[type[Op], Pair] = {
    ops.Conv: Pair(conv, conv_backward),
    ops.ConvTranspose: Pair(conv_transpose, conv_transpose_backward),
    ops.Dense: Pair(dense, dense_backward),
    ops.Scale: Pair(scale, scale_backward),
    ops.Offset: Pair(offset, offset_backward),
    ops.Rbf: Pair(rbf, rbf_backward),
}


def as_matrix(op: ops.Conv | ops.ConvTranspose | ops.Dense, x_shape: Shape, weight: Array) -> Array:
    """The layer without its bias as one matrix: ``matrix @ x.ravel()`` is its output for one image, ravelled.

    Column i is what the layer makes of an image that is 1 at value i and 0 elsewhere. In a convolution's rows one
    sees local connections (nearly all zeros) and shared weights (the same few numbers, moved along).

    Returns
    -------
    (output values, input values)

    Raises
    ------
    ShapeError : the layer does not take `x_shape`.
    UsageError : not a layer of these three kinds, a weight of another shape, or too large a matrix.
    """
    if not isinstance(op, (ops.Conv, ops.ConvTranspose, ops.Dense)):
        raise UsageError(f"{type(op).__name__} has no matrix here; expected Conv, ConvTranspose or Dense")
    rows, columns = math.prod(op.output_shape(x_shape)), math.prod(x_shape)
    if rows * columns > LARGEST_MATRIX:
        raise UsageError(f"a matrix of {rows:,} x {columns:,} is too large to write out; take a smaller input")
    if weight.shape != (expected := op.parameters(x_shape)["weight"]):
        raise UsageError(f"weight has the shape {weight.shape}; on this input {type(op).__name__} takes {expected}")
    basis = np.eye(columns, dtype=weight.dtype).reshape(columns, *x_shape)
    images = LINEAR[type(op)].forward(replace(op, bias=False), {"weight": weight}, basis)
    return images.reshape(columns, rows).T


def _letters(x: Array) -> tuple[str, str]:
    """Subscripts for the positions and for the cells of a window, one a spatial axis."""
    rank = x.ndim - 2
    return "zyx"[-rank:], "hij"[-rank:]


def _split(x: Array, groups: int) -> list[Array]:
    return np.split(x, groups, axis=1)


def _sides(op: ops.Conv, x: Array) -> tuple[Sides, ...]:
    return resolve_padding(op.padding, x.shape[2:], op.kernel_size, op.stride, op.dilation)


def _cuts(op: ops.ConvTranspose, x: Array) -> tuple[list[Sides], list[int]]:
    cuts = op.cuts(x.shape[1:])
    return [sides for sides, _ in cuts], [extra for _, extra in cuts]


def _biased(y: Array, arrays: Arrays) -> Array:
    return y + by_channel(arrays["bias"], y) if "bias" in arrays else y


def _bias_gradient(arrays: Arrays, gy: Array) -> dict[str, Array]:
    return {"bias": over_channels(gy)} if "bias" in arrays else {}
