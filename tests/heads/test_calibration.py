"""Oracle: scipy's bounded scalar minimiser on the same loss."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foveal.heads.calibration import fit_temperature, softmax
from foveal.metrics import log_loss


def softened_loss(logits: np.ndarray, target: np.ndarray, temperature: float) -> float:
    """With one imaginary photo of every class in equal parts, spread over the n real ones."""
    logs = np.log(np.maximum(softmax(logits, temperature), 1e-300))
    soft = 1 / (len(target) + 1)
    return -float(((1 - soft) * logs[np.arange(len(target)), target] + soft * logs.mean(axis=1)).mean())


@settings(deadline=None, max_examples=60)
@given(st.integers(2, 200), st.integers(2, 6), st.floats(0.01, 30), st.integers(0, 2**31))
def test_temperature_is_the_minimum(n: int, classes: int, size: float, seed: int) -> None:
    from scipy.optimize import minimize_scalar

    rng = np.random.default_rng(seed)
    target = rng.integers(0, classes, n)
    logits = size * (rng.normal(size=(n, classes)) + 1.5 * np.eye(classes)[target])
    found = softened_loss(logits, target, fit_temperature(logits, target))
    best = minimize_scalar(
        lambda b: softened_loss(logits, target, 1 / b), bounds=(1e-4 / size, 100 / size), method="bounded"
    )
    assert found <= best.fun + 1e-4  # where the scores are worse than chance both stop at their bound


def test_it_undoes_a_known_scaling() -> None:
    rng = np.random.default_rng(0)
    true = rng.normal(0, 2, (20_000, 5))
    target = (true + rng.gumbel(size=true.shape)).argmax(axis=1)
    assert fit_temperature(true * 7, target) == pytest.approx(7, rel=0.03)
    assert log_loss(softmax(true * 7, 7), target) < log_loss(softmax(true * 7, 5), target)


def test_separable_scores_do_not_become_certain() -> None:
    target = np.array([0, 1, 2] * 30)
    temperature = fit_temperature(np.eye(3)[target] * 10, target)
    p = softmax(np.eye(3)[target] * 10, temperature)
    assert 1 / 500 < 1 - p.max() < 1 / 90


@pytest.mark.parametrize("logits", [np.zeros((0, 3)), np.zeros((5, 3)), np.full((5, 3), 1e5)])
def test_scores_that_say_nothing(logits: np.ndarray) -> None:
    assert fit_temperature(logits, np.zeros(len(logits), int)) == 1.0


def test_scores_that_are_always_wrong_become_equal_probabilities() -> None:
    logits = np.tile([[5.0, 0.0]], (30, 1))
    p = softmax(logits, fit_temperature(logits, np.ones(30, int)))
    np.testing.assert_allclose(p, 0.5, atol=0.01)


def test_softmax_of_large_scores() -> None:
    p = softmax(np.array([[1e30, 0.0], [-1e30, 0.0], [3.0, 3.0]]))
    np.testing.assert_array_equal(p, [[1, 0], [0, 1], [0.5, 0.5]])
