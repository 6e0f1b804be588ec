"""Normalisations, softmax and its logarithm: what depends on other values of the same image, or of the batch."""

from __future__ import annotations

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from foveal import ops
from foveal.errors import ShapeError
from foveal.ops import Op
from foveal.reference.base import Array, Arrays, Gradients, Pair, by_channel, over_channels

Axes = tuple[int, ...]


def standardise(x: Array, axes: Axes, eps: float) -> Array:
    """``(x - mean) / sqrt(var + eps)``, mean and (biased) variance taken over `axes`."""
    deviation = x - x.mean(axes, keepdims=True)
    return deviation / np.sqrt((deviation**2).mean(axes, keepdims=True) + eps)


def standardise_backward(x: Array, axes: Axes, eps: float, g: Array) -> Array:
    """``(g - mean(g) - z mean(g z)) / sqrt(var + eps)`` with ``z = standardise(x)``: x also moves mean and variance.

    Ioffe & Szegedy (2015), section 3: the chain rule after algorithm 1 put into one.
    """
    z = standardise(x, axes, eps)
    centred = g - g.mean(axes, keepdims=True) - z * (g * z).mean(axes, keepdims=True)
    return centred / np.sqrt(x.var(axes, keepdims=True) + eps)


def batch_norm(op: ops.BatchNorm, arrays: Arrays, x: Array) -> Array:
    """``y = weight[c] z + bias[c]``, at inference with ``z = (x - running_mean[c]) / sqrt(running_var[c] + eps)``.

    In training, where the arrays hold no running statistics, z is x standardised over batch and positions, channel by
    channel. Ioffe & Szegedy (2015), algorithm 1.
    """
    return _affine(_normal(op, arrays, x), arrays)


def batch_norm_backward(op: ops.BatchNorm, arrays: Arrays, xs: tuple[Array, ...], y: Array, gy: Array) -> Gradients:
    """``gz = weight[c] gy``; at inference ``gx = gz / sqrt(running_var[c] + eps)``, as the statistics are constants;
    in training `standardise_backward`. To weight[c] the sum of ``gy z``, to bias[c] that of gy.
    """
    (x,), gz = xs, _weighted(gy, arrays)
    if "running_var" in arrays:
        gx = gz / np.sqrt(by_channel(arrays["running_var"], x) + op.eps)
    else:
        gx = standardise_backward(x, _batch(x), op.eps, gz)
    return (gx,), _affine_gradients(_normal(op, arrays, x), arrays, gy)


def moved_statistics(op: ops.BatchNorm, arrays: Arrays, x: Array) -> dict[str, Array]:
    """The running statistics after a training step on `x`: ``(1 - momentum) old + momentum new``.

    As in PyTorch the new variance is the unbiased one, with one less than the number of values below the line.
    """
    new = {"running_mean": x.mean(_batch(x)), "running_var": x.var(_batch(x), ddof=1)}
    return {key: (1 - op.momentum) * arrays[key] + op.momentum * value for key, value in new.items()}


def layer_norm(op: ops.LayerNorm, arrays: Arrays, x: Array) -> Array:
    """``weight[c] z + bias[c]``, z the position's channels standardised; Ba et al. (2016), equation 3."""
    return _affine(standardise(x, (1,), op.eps), arrays)


def layer_norm_backward(op: ops.LayerNorm, arrays: Arrays, xs: tuple[Array, ...], y: Array, gy: Array) -> Gradients:
    """`standardise_backward` of ``weight[c] gy``; to weight[c] the sum of ``gy z``, to bias[c] that of gy."""
    gx = standardise_backward(xs[0], (1,), op.eps, _weighted(gy, arrays))
    return (gx,), _affine_gradients(standardise(xs[0], (1,), op.eps), arrays, gy)


def group_norm(op: ops.GroupNorm, arrays: Arrays, x: Array) -> Array:
    """``weight[c] z + bias[c]``, z each group of channels standardised over all positions; Wu & He (2018)."""
    z = standardise(_grouped(x, op.groups), (2,), op.eps)
    return _affine(z.reshape(x.shape), arrays)


def group_norm_backward(op: ops.GroupNorm, arrays: Arrays, xs: tuple[Array, ...], y: Array, gy: Array) -> Gradients:
    """`standardise_backward` of ``weight[c] gy``, group by group; to weight[c] the sum of ``gy z``, to bias[c] that of
    gy.
    """
    x, gz = _grouped(xs[0], op.groups), _grouped(_weighted(gy, arrays), op.groups)
    gx = standardise_backward(x, (2,), op.eps, gz).reshape(gy.shape)
    return (gx,), _affine_gradients(standardise(x, (2,), op.eps).reshape(gy.shape), arrays, gy)


def local_response_norm(op: ops.LocalResponseNorm, arrays: Arrays, x: Array) -> Array:
    """``x[c] / d[c]^beta`` with ``d[c] = k + alpha/size * sum of x^2 over the window of channels around c``.

    Krizhevsky et al. (2012), section 3.3; the window is ``c - size//2 .. c + (size - 1)//2``, cut at the ends.
    """
    return x / _divisor(op, x) ** op.beta


def local_response_norm_backward(
    op: ops.LocalResponseNorm, arrays: Arrays, xs: tuple[Array, ...], y: Array, gy: Array
) -> Gradients:
    """``gx[c] = gy[c] / d[c]^beta - 2 alpha beta / size * x[c] * sum of gy x / d^(beta + 1)`` over the channels whose
    window holds c: the window mirrored.
    """
    (x,), divisor = xs, _divisor(op, xs[0])
    through = _window_sums(gy * x / divisor ** (op.beta + 1), (op.size - 1) // 2, op.size // 2)
    return (gy / divisor**op.beta - 2 * op.alpha * op.beta / op.size * x * through,), {}


def softmax(op: Op, arrays: Arrays, x: Array) -> Array:
    """``exp(x[c]) / sum over channels of exp(x)``; the largest x is taken off first, which changes nothing else."""
    powers = np.exp(x - x.max(1, keepdims=True))
    return powers / powers.sum(1, keepdims=True)


def softmax_backward(op: Op, arrays: Arrays, xs: tuple[Array, ...], y: Array, gy: Array) -> Gradients:
    """``gx[c] = y[c] (gy[c] - sum over channels of gy y)``."""
    return (y * (gy - (gy * y).sum(1, keepdims=True)),), {}


def log_softmax(op: Op, arrays: Arrays, x: Array) -> Array:
    """``x[c] - log of the sum over channels of exp(x)``; the largest x is taken off first, as there."""
    shifted = x - x.max(1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(1, keepdims=True))


def log_softmax_backward(op: Op, arrays: Arrays, xs: tuple[Array, ...], y: Array, gy: Array) -> Gradients:
    """``gx[c] = gy[c] - softmax(x)[c] * sum over channels of gy``."""
    return (gy - np.exp(y) * gy.sum(1, keepdims=True),), {}


NORMS: dict[type[Op], Pair] = {
    ops.BatchNorm: Pair(batch_norm, batch_norm_backward),
    ops.LayerNorm: Pair(layer_norm, layer_norm_backward),
    ops.GroupNorm: Pair(group_norm, group_norm_backward),
    ops.LocalResponseNorm: Pair(local_response_norm, local_response_norm_backward),
    ops.Softmax: Pair(softmax, softmax_backward),
    ops.LogSoftmax: Pair(log_softmax, log_softmax_backward),
}


def _batch(x: Array) -> Axes:
    """The axes of the batch and of all positions."""
    return (0, *range(2, x.ndim))


def _normal(op: ops.BatchNorm, arrays: Arrays, x: Array) -> Array:
    if "running_mean" in arrays:
        mean, variance = (by_channel(arrays[key], x) for key in ("running_mean", "running_var"))
        return (x - mean) / np.sqrt(variance + op.eps)
    if x.size == x.shape[1]:
        raise ShapeError("batch norm in training needs more than one value a channel; take a larger batch or picture")
    return standardise(x, _batch(x), op.eps)


def _grouped(x: Array, groups: int) -> Array:
    return x.reshape(len(x), groups, -1)


def _weighted(g: Array, arrays: Arrays) -> Array:
    return g * by_channel(arrays["weight"], g) if "weight" in arrays else g


def _affine(z: Array, arrays: Arrays) -> Array:
    return _weighted(z, arrays) + by_channel(arrays["bias"], z) if "weight" in arrays else z


def _affine_gradients(z: Array, arrays: Arrays, gy: Array) -> dict[str, Array]:
    return {"weight": over_channels(gy * z), "bias": over_channels(gy)} if "weight" in arrays else {}


def _divisor(op: ops.LocalResponseNorm, x: Array) -> Array:
    return op.k + op.alpha / op.size * _window_sums(x**2, op.size // 2, (op.size - 1) // 2)


def _window_sums(x: Array, before: int, after: int) -> Array:
    """At each channel the sum over it, `before` channels before it and `after` after it."""
    padded = np.pad(x, [(0, 0), (before, after), *[(0, 0)] * (x.ndim - 2)])
    return sliding_window_view(padded, before + 1 + after, axis=1).sum(-1)
