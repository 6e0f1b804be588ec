"""Ten steps of each update rule against torch.optim in float64; the lectures' forms; the perceptron."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from sklearn.linear_model import Perceptron

from foveal.reference.base import Array
from foveal.reference.updates import RULES, nesterov, perceptron, sgd

RULES_OF_TORCH: dict[str, tuple[type[torch.optim.Optimizer], dict[str, Any]]] = {
    "sgd": (torch.optim.SGD, {}),
    "momentum": (torch.optim.SGD, {"momentum": 0.9}),
    "nesterov": (torch.optim.SGD, {"momentum": 0.9, "nesterov": True}),
    "adagrad": (torch.optim.Adagrad, {}),
    "rmsprop": (torch.optim.RMSprop, {}),
    "adam": (torch.optim.Adam, {}),
}
HESSIAN = np.array([[3.0, 1.0, 0.0], [1.0, 2.0, -0.5], [0.0, -0.5, 4.0]])
START = np.array([1.0, -2.0, 0.5])


def gradient(w: Array) -> Array:
    """Of a bowl with a ripple on it."""
    return HESSIAN @ w + 0.1 * np.cos(3 * w)


@pytest.mark.parametrize("l2", [0.0, 0.03])
@pytest.mark.parametrize("name", RULES)
def test_ten_steps_are_those_of_torch(name: str, l2: float) -> None:
    kind, options = RULES_OF_TORCH[name]
    theirs = torch.nn.Parameter(torch.from_numpy(START.copy()))
    optimizer = kind([theirs], lr=0.05, weight_decay=l2, **options)
    w, state = START, {}
    for _ in range(10):
        theirs.grad = torch.from_numpy(gradient(theirs.detach().numpy()))
        optimizer.step()
        w, state = RULES[name](w, gradient(w), state, lr=0.05, l2=l2)
        np.testing.assert_allclose(w, theirs.detach().numpy(), rtol=0, atol=1e-12)
    assert np.abs(w - START).max() > 0.1


def test_all_rules_go_down() -> None:
    """AdaGrad too, for which a slide lacks the minus."""
    for name, rule in RULES.items():
        w, state = START, {}
        for _ in range(10):
            w, state = rule(w, gradient(w), state, lr=0.02)
        assert w @ HESSIAN @ w < START @ HESSIAN @ START, name


def test_nesterov_stores_the_point_looked_ahead_to() -> None:
    """The lectures' form walks theta and takes the gradient at theta + alpha v; ours is always that point."""
    alpha, lr = 0.9, 0.05
    theta, v = START, np.zeros(3)
    w, state = START, {}
    for _ in range(10):
        v = alpha * v - lr * gradient(theta + alpha * v)
        theta = theta + v
        w, state = nesterov(w, gradient(w), state, lr=lr, alpha=alpha)
        np.testing.assert_allclose(w, theta + alpha * v, atol=1e-12)
        np.testing.assert_allclose(w - alpha * state["v"], theta, atol=1e-12)


def test_l2_is_the_lectures_objective() -> None:
    """The mean of half squared errors plus lambda/2 times the squared weights: its gradient is that of `l2`."""
    g = np.array([0.5, 0.0, -1.0])
    w, _ = sgd(START, g, {}, lr=0.1, l2=0.2)
    np.testing.assert_allclose(w, START - 0.1 * (g + 0.2 * START))


def test_the_perceptron_walks_as_that_of_scikit_learn() -> None:
    rng = np.random.default_rng(4)
    x = rng.normal(size=(40, 3))
    d = (x @ [1.0, -2.0, 0.5] + 0.3 > 0).astype(int)
    w, b = np.array([0.3, 0.1, -0.2]), 0.05
    theirs = Perceptron(max_iter=1, tol=None, shuffle=False, eta0=0.5)
    theirs.fit(x, d, coef_init=w.copy(), intercept_init=np.array([b]))
    for row, wanted in zip(x, d, strict=True):
        w, b = perceptron(w, b, row, int(wanted), alpha=0.5)
    np.testing.assert_allclose(w, theirs.coef_[0], atol=1e-12)
    assert b == pytest.approx(theirs.intercept_[0])


def test_the_perceptron_learns_and_but_not_xor() -> None:
    corners = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], float)
    for wanted, learnable in (([0, 0, 0, 1], True), ([0, 1, 1, 0], False)):
        w, b = np.zeros(2), 0.0
        for _ in range(20):
            for x, d in zip(corners, wanted, strict=True):
                w, b = perceptron(w, b, x, d)
        assert ((corners @ w + b > 0).astype(int).tolist() == wanted) is learnable
