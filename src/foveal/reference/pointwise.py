"""Curves applied to each value by itself: y = f(x), and the gradient times the slope f'(x).

At a kink the slope is the one that PyTorch takes, named in each docstring.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from foveal import ops
from foveal.ops import Op
from foveal.reference.base import Array, Arrays, Gradients, Pair, by_channel, over_channels

SELU_ALPHA, SELU_SCALE = 1.6732632423543772, 1.0507009873554805
"""The two constants of Klambauer et al. (2017), to the precision of float64."""


def curve(f: Callable[[Any, Array], Array], slope: Callable[[Any, Array], Array]) -> Pair:
    """The pair of an op that is ``y = f(x)`` at each value: backward is the chain rule, ``gx = gy * f'(x)``."""

    def forward(op: Op, arrays: Arrays, x: Array) -> Array:
        return f(op, x)

    def backward(op: Op, arrays: Arrays, xs: tuple[Array, ...], y: Array, gy: Array) -> Gradients:
        return (gy * slope(op, xs[0]).astype(gy.dtype),), {}

    return Pair(forward, backward)


def identity(op: ops.Identity, x: Array) -> Array:
    """``x``."""
    return x


def identity_slope(op: ops.Identity, x: Array) -> Array:
    """``1``."""
    return np.ones_like(x)


def factor(op: ops.Factor, x: Array) -> Array:
    """``value * x``."""
    return op.value * x


def factor_slope(op: ops.Factor, x: Array) -> Array:
    """``value``."""
    return np.full_like(x, op.value)


def relu(op: ops.Relu, x: Array) -> Array:
    """``max(x, 0)``."""
    return np.maximum(x, 0)


def relu_slope(op: ops.Relu, x: Array) -> Array:
    """The gate: 1 where x > 0, else 0; 0 at 0."""
    return np.where(x <= 0, 0.0, 1.0)


def relu6(op: ops.Relu6, x: Array) -> Array:
    """``min(max(x, 0), 6)``."""
    return np.clip(x, 0, 6)


def relu6_slope(op: ops.Relu6, x: Array) -> Array:
    """1 between 0 and 6, else 0; 0 at both."""
    return np.where((x <= 0) | (x >= 6), 0.0, 1.0)


def leaky_relu(op: ops.LeakyRelu, x: Array) -> Array:
    """``x`` where x > 0, else ``a x``."""
    return np.where(x > 0, x, op.negative_slope * x)


def leaky_relu_slope(op: ops.LeakyRelu, x: Array) -> Array:
    """1 where x > 0, else a; a at 0."""
    return np.where(x > 0, 1.0, op.negative_slope)


def elu(op: ops.Elu, x: Array) -> Array:
    """``x`` where x > 0, else ``alpha (exp(x) - 1)``."""
    return np.where(x > 0, x, op.alpha * np.expm1(x))


def elu_slope(op: ops.Elu, x: Array) -> Array:
    """1 where x > 0, else ``alpha exp(x)``; alpha at 0."""
    return np.where(x > 0, 1.0, op.alpha * np.exp(x))


def selu(op: ops.Selu, x: Array) -> Array:
    """``scale * elu(x)`` with the paper's scale and alpha."""
    return SELU_SCALE * elu(ops.Elu(SELU_ALPHA), x)


def selu_slope(op: ops.Selu, x: Array) -> Array:
    """``scale * elu'(x)``; scale times alpha at 0."""
    return SELU_SCALE * elu_slope(ops.Elu(SELU_ALPHA), x)


def gelu(op: ops.Gelu, x: Array) -> Array:
    """``x Phi(x)``, Phi the normal distribution function, or the paper's tanh formula for it."""
    return x * _phi(op, x)


def gelu_slope(op: ops.Gelu, x: Array) -> Array:
    """``Phi(x) + x Phi'(x)``; exactly, Phi' is the normal density ``exp(-x^2/2) / sqrt(2 pi)``.

    Of the tanh formula ``Phi = (1 + t)/2`` with ``t = tanh(u)`` it is ``(1 - t^2) u' / 2``.
    """
    if not op.approximate:
        return _phi(op, x) + x * np.exp(-(x**2) / 2) / math.sqrt(2 * math.pi)
    t = 2 * _phi(op, x) - 1
    return _phi(op, x) + x * (1 - t**2) * math.sqrt(2 / math.pi) * (1 + 3 * 0.044715 * x**2) / 2


def _phi(op: ops.Gelu, x: Array) -> Array:
    """``(1 + erf(x / sqrt 2)) / 2``, or nearly ``(1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))) / 2``."""
    if op.approximate:
        return (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))) / 2
    return (1 + np.vectorize(math.erf, otypes=[x.dtype])(x / math.sqrt(2))) / 2


def sigmoid(op: Op, x: Array) -> Array:
    """``1 / (1 + exp(-x))``, as ``exp(-log(1 + exp(-x)))``, in which nothing overflows."""
    return np.exp(-np.logaddexp(0, -x))


def sigmoid_slope(op: Op, x: Array) -> Array:
    """``s (1 - s)`` with ``s = sigmoid(x)`` and ``1 - s = sigmoid(-x)``."""
    return sigmoid(op, x) * sigmoid(op, -x)


def silu(op: ops.Silu, x: Array) -> Array:
    """``x sigmoid(x)``."""
    return x * sigmoid(op, x)


def silu_slope(op: ops.Silu, x: Array) -> Array:
    """``s + x s (1 - s)`` with ``s = sigmoid(x)``."""
    return sigmoid(op, x) + x * sigmoid_slope(op, x)


def softplus(op: Op, x: Array) -> Array:
    """``log(1 + exp(x))``. PyTorch gives x itself beyond 20, up to 2e-9 away."""
    return np.logaddexp(0, x)


def softplus_slope(op: Op, x: Array) -> Array:
    """``sigmoid(x)``."""
    return sigmoid(op, x)


def mish(op: ops.Mish, x: Array) -> Array:
    """``x tanh(softplus(x))``."""
    return x * np.tanh(softplus(op, x))


def mish_slope(op: ops.Mish, x: Array) -> Array:
    """``t + x (1 - t^2) sigmoid(x)`` with ``t = tanh(softplus(x))``."""
    t = np.tanh(softplus(op, x))
    return t + x * (1 - t**2) * sigmoid(op, x)


def hardsigmoid(op: Op, x: Array) -> Array:
    """``min(max(x + 3, 0), 6) / 6``."""
    return np.clip(x + 3, 0, 6) / 6


def hardsigmoid_slope(op: Op, x: Array) -> Array:
    """1/6 between -3 and 3, else 0; 0 at both."""
    return np.where((x > -3) & (x < 3), 1 / 6, 0.0)


def hardswish(op: ops.Hardswish, x: Array) -> Array:
    """``x hardsigmoid(x)``."""
    return x * hardsigmoid(op, x)


def hardswish_slope(op: ops.Hardswish, x: Array) -> Array:
    """``x/3 + 1/2`` between -3 and 3, 0 below, 1 above; 0 at -3, 1 at 3."""
    return np.where(x <= -3, 0.0, np.where(x < 3, x / 3 + 1 / 2, 1.0))


def tanh(op: ops.Tanh, x: Array) -> Array:
    """``(exp(x) - exp(-x)) / (exp(x) + exp(-x))``."""
    return np.tanh(x)


def tanh_slope(op: ops.Tanh, x: Array) -> Array:
    """``1 - tanh(x)^2``."""
    return 1 - np.tanh(x) ** 2


def prelu(op: ops.PRelu, arrays: Arrays, x: Array) -> Array:
    """``x`` where x > 0, else ``weight[c] * x``."""
    return np.where(x > 0, x, by_channel(arrays["weight"], x) * x)


def prelu_backward(op: ops.PRelu, arrays: Arrays, xs: tuple[Array, ...], y: Array, gy: Array) -> Gradients:
    """``gx = gy`` where x > 0, else ``weight[c] * gy``; to weight[c] the sum of ``x * gy`` over the other places;
    He et al. (2015), equation 3.
    """
    x = xs[0]
    gx = np.where(x > 0, gy, by_channel(arrays["weight"], x) * gy)
    return (gx,), {"weight": over_channels(np.where(x > 0, 0.0, x * gy))}


def dropout(op: ops.Dropout, arrays: Arrays, x: Array) -> Array:
    """``x * mask / (1 - p)`` in training, where an array ``mask`` of 0 and 1 is given; x itself at inference."""
    return x * arrays["mask"] / (1 - op.p) if "mask" in arrays else x


def dropout_backward(op: ops.Dropout, arrays: Arrays, xs: tuple[Array, ...], y: Array, gy: Array) -> Gradients:
    """``gy * mask / (1 - p)``: what was dropped gets no gradient."""
    return (dropout(op, arrays, gy),), {}


POINTWISE: dict[type[Op], Pair] = {
    ops.Identity: curve(identity, identity_slope),
    ops.Factor: curve(factor, factor_slope),
    ops.Relu: curve(relu, relu_slope),
    ops.Relu6: curve(relu6, relu6_slope),
    ops.LeakyRelu: curve(leaky_relu, leaky_relu_slope),
    ops.Elu: curve(elu, elu_slope),
    ops.Selu: curve(selu, selu_slope),
    ops.Gelu: curve(gelu, gelu_slope),
    ops.Sigmoid: curve(sigmoid, sigmoid_slope),
    ops.Silu: curve(silu, silu_slope),
    ops.Softplus: curve(softplus, softplus_slope),
    ops.Mish: curve(mish, mish_slope),
    ops.Hardsigmoid: curve(hardsigmoid, hardsigmoid_slope),
    ops.Hardswish: curve(hardswish, hardswish_slope),
    ops.Tanh: curve(tanh, tanh_slope),
    ops.PRelu: Pair(prelu, prelu_backward),
    ops.Dropout: Pair(dropout, dropout_backward),
}
