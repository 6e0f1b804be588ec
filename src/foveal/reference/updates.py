"""How the weights move: each rule takes a weight, its gradient and its state, and returns the weight and state after.

The state is empty before the first step. Each rule's `l2` is the lambda of the penalty ``lambda/2 * sum of w^2``, whose
gradient ``lambda w`` is added first: `penalised`. Names are the lectures': theta the weight, g its mini-batch gradient,
epsilon the learning rate, which is `lr` here. Ten steps equal those of ``torch.optim``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from foveal.reference.base import Array

State = Mapping[str, Array]
"""What a rule remembers of a weight: nothing, a velocity, running moments, and for Adam the number of steps."""

Moved = tuple[Array, dict[str, Array]]


def penalised(w: Array, g: Array, l2: float) -> Array:
    """``g + lambda w``; also called weight decay."""
    return g + l2 * w


def sgd(w: Array, g: Array, state: State, *, lr: float, l2: float = 0.0) -> Moved:
    """``theta <- theta - epsilon g``; Robbins & Monro (1951)."""
    return w - lr * penalised(w, g, l2), {}


def momentum(w: Array, g: Array, state: State, *, lr: float, alpha: float = 0.9, l2: float = 0.0) -> Moved:
    """``v <- alpha v - epsilon g; theta <- theta + v``; Polyak (1964).

    PyTorch keeps ``-v / epsilon``, which makes a difference only when the learning rate changes on the way.
    """
    v = alpha * _remembered(state, "v", w) - lr * penalised(w, g, l2)
    return w + v, {"v": v}


def nesterov(w: Array, g: Array, state: State, *, lr: float, alpha: float = 0.9, l2: float = 0.0) -> Moved:
    """``v <- alpha v - epsilon g(theta + alpha v); theta <- theta + v``; Sutskever et al. (2013), equations 3 and 4.

    As in PyTorch, the weight that is stored, and that `g` is taken at, is the point looked ahead to,
    ``w = theta + alpha v``. In it the rule reads ``w <- w + alpha v - epsilon g`` with the new v; theta of the lectures
    is ``w - alpha v``.
    """
    g = penalised(w, g, l2)
    v = alpha * _remembered(state, "v", w) - lr * g
    return w + alpha * v - lr * g, {"v": v}


def adagrad(w: Array, g: Array, state: State, *, lr: float, delta: float = 1e-10, l2: float = 0.0) -> Moved:
    """``r <- r + g^2; theta <- theta - epsilon g / (delta + sqrt r)``; Duchi et al. (2011).

    The lectures' slide lacks the minus, without which the loss would be climbed.
    """
    g = penalised(w, g, l2)
    r = _remembered(state, "r", w) + g**2
    return w - lr * g / (delta + np.sqrt(r)), {"r": r}


def rmsprop(
    w: Array, g: Array, state: State, *, lr: float, rho: float = 0.99, delta: float = 1e-8, l2: float = 0.0
) -> Moved:
    """``r <- rho r + (1 - rho) g^2; theta <- theta - epsilon g / (delta + sqrt r)``; Tieleman & Hinton (2012)."""
    g = penalised(w, g, l2)
    r = rho * _remembered(state, "r", w) + (1 - rho) * g**2
    return w - lr * g / (delta + np.sqrt(r)), {"r": r}


def adam(
    w: Array,
    g: Array,
    state: State,
    *,
    lr: float,
    rho1: float = 0.9,
    rho2: float = 0.999,
    delta: float = 1e-8,
    l2: float = 0.0,
) -> Moved:
    """``s <- rho1 s + (1 - rho1) g; r <- rho2 r + (1 - rho2) g^2``, both started at 0 and so too small by ``1 - rho^t``
    at step t; ``theta <- theta - epsilon s' / (delta + sqrt r')`` with s' and r' divided by that. Kingma & Ba (2015).

    The lectures' slide leaves out how s and r move.
    """
    g, t = penalised(w, g, l2), _remembered(state, "t", np.zeros(())) + 1
    s = rho1 * _remembered(state, "s", w) + (1 - rho1) * g
    r = rho2 * _remembered(state, "r", w) + (1 - rho2) * g**2
    step = lr * (s / (1 - rho1**t)) / (delta + np.sqrt(r / (1 - rho2**t)))
    return w - step, {"s": s, "r": r, "t": t}


RULES: dict[str, Callable[..., Moved]] = {
    "sgd": sgd, "momentum": momentum, "nesterov": nesterov, "adagrad": adagrad, "rmsprop": rmsprop, "adam": adam,
}  # fmt: skip
"""Every rule by name: ``rule(weight, gradient, state, lr=..., l2=...) -> (weight, state)``."""


def perceptron(w: Array, b: float, x: Array, d: int, *, alpha: float = 1.0) -> tuple[Array, float]:
    """``w <- w + alpha (d - y) x; b <- b + alpha (d - y)`` with ``y = 1 if w.x + b > 0 else 0``.

    Rosenblatt's Mark I (1958).

    Parameters
    ----------
    w, x : (inputs,).
    d : what the answer should be, 0 or 1.
    """
    y = 1 if w @ x + b > 0 else 0
    return w + alpha * (d - y) * x, b + alpha * (d - y)


def _remembered(state: State, key: str, like: Array) -> Array:
    return state.get(key, np.zeros_like(like))
