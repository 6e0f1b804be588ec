"""Oracle: scikit-learn's LogisticRegression, which has the same objective with ``C = 1 / penalty``."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from foveal.heads import logistic
from foveal.heads.basis import Basis, basis


def problem(n: int, width: int) -> tuple[Basis, np.ndarray]:
    rng = np.random.default_rng(0)
    target = rng.integers(0, 4, n)
    x = rng.normal(size=(n, width))
    x[np.arange(n), target] += 1.5
    return basis([x], rng.uniform(0.5, 2, n)), target


def everything(n: int, classes: int = 4) -> logistic.Tasks:
    return logistic.Tasks(np.ones((1, n), bool), np.ones((1, classes), bool))


@pytest.mark.parametrize("width", [10, 150], ids=["more-rows", "more-features"])
@pytest.mark.parametrize("penalty", [3.0, 0.1, 0.01])
def test_fit_is_scikit_learns(width: int, penalty: float) -> None:
    b, target = problem(90, width)
    tasks = everything(90)
    fit = logistic.fit(b, target, tasks, penalty, logistic.zero(b, tasks), tolerance=1e-7, steps=2000)
    oracle = LogisticRegression(C=1 / penalty, tol=1e-10, max_iter=20_000)
    oracle.fit(b.rows, target, sample_weight=b.weights)
    np.testing.assert_allclose(fit.coefficients[:, 0], oracle.coef_, atol=2e-3 * np.abs(oracle.coef_).max())
    found = fit.logits(b.rows)[:, 0].T
    expected = oracle.decision_function(b.rows)
    np.testing.assert_allclose(
        found - found.mean(axis=1, keepdims=True), expected - expected.mean(axis=1, keepdims=True), atol=5e-3
    )


def test_the_usual_tolerance_is_near_the_optimum() -> None:
    b, target = problem(300, 60)
    single = Basis(b.taps, b.weights, b.mean, b.gain, b.rows.astype(np.float32), b.squares)
    tasks = everything(300)
    fit = logistic.fit(single, target, tasks, 0.1, logistic.zero(single, tasks), tolerance=3e-3)
    oracle = LogisticRegression(C=10, tol=1e-8, max_iter=5000).fit(b.rows, target, sample_weight=b.weights)

    def objective(coefficients: np.ndarray, intercepts: np.ndarray) -> float:
        scores = b.rows @ coefficients.T + intercepts
        losses = np.log(np.exp(scores).sum(axis=1)) - scores[np.arange(300), target]
        return float(b.weights @ losses + 0.05 * (coefficients**2).sum())

    least = objective(oracle.coef_, oracle.intercept_)
    assert fit.coefficients.dtype == np.float32
    assert objective(fit.coefficients[:, 0].astype(float), fit.intercepts[:, 0]) == pytest.approx(least, rel=1e-4)


def test_tasks_side_by_side_are_separate_fits() -> None:
    b, target = problem(120, 30)
    fold = np.arange(120) % 3
    rows = np.array([fold != 0, fold != 1, target != 2])
    classes = np.ones((3, 4), bool)
    classes[2, 2] = False
    tasks = logistic.Tasks(rows, classes)
    together = logistic.fit(b, target, tasks, 0.3, logistic.zero(b, tasks), tolerance=1e-7, steps=2000).logits(b.rows)
    for i in range(3):
        oracle = LogisticRegression(C=1 / 0.3, tol=1e-10, max_iter=20_000)
        oracle.fit(b.rows[rows[i]], target[rows[i]], sample_weight=b.weights[rows[i]])
        expected = oracle.predict_proba(b.rows)
        scores = together[classes[i], i].T
        p = np.exp(scores - scores.max(axis=1, keepdims=True))
        np.testing.assert_allclose(p / p.sum(axis=1, keepdims=True), expected, atol=2e-3)
    assert (together[2, 2] < -1e8).all()


def test_a_warm_start_ends_where_a_cold_one_does() -> None:
    b, target = problem(90, 40)
    tasks = everything(90)
    cold = logistic.fit(b, target, tasks, 0.1, logistic.zero(b, tasks), tolerance=1e-7, steps=2000)
    far = logistic.fit(b, target, tasks, 10.0, logistic.zero(b, tasks))
    warm = logistic.fit(b, target, tasks, 0.1, far, tolerance=1e-7, steps=2000)
    np.testing.assert_allclose(warm.coefficients, cold.coefficients, atol=1e-4)
    again = logistic.fit(b, target, tasks, 0.1, warm, tolerance=1e-6)
    np.testing.assert_array_equal(again.coefficients, warm.coefficients)


def test_separable_data_converges() -> None:
    rng = np.random.default_rng(0)
    target = np.repeat([0, 1, 2], 20)
    x = np.eye(3)[target] * 50 + rng.normal(size=(60, 3))
    b = basis([x.astype(np.float32)])
    tasks = everything(60, 3)
    fit = logistic.fit(b, target, tasks, 1e-3, logistic.zero(b, tasks))
    scores = fit.logits(b.rows)[:, 0].T
    assert np.isfinite(scores).all() and (scores.argmax(axis=1) == target).all()


def test_a_class_without_rows_gets_the_least_score() -> None:
    b, target = problem(60, 10)
    tasks = everything(60, 6)
    scores = logistic.fit(b, target, tasks, 0.3, logistic.zero(b, tasks)).logits(b.rows)[:, 0]
    assert np.isfinite(scores).all() and (scores[4:].max(axis=0) < scores[:4].max(axis=0)).all()
