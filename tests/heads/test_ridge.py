"""Oracle: scikit-learn's Ridge, refitted by brute force without the rows that were left out."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import Ridge

from foveal.heads import ridge
from foveal.heads.basis import basis


def problem(n: int, width: int, seed: int = 0) -> tuple[list[np.ndarray], np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    taps = [rng.normal(2, 3, (n, width)), rng.exponential(0.01, (n, 4))]
    target = rng.integers(0, 3, n)
    taps[0][:, 0] += target
    return taps, target, rng.uniform(0.5, 2, n)


def standardised(b) -> np.ndarray:
    return (np.concatenate(b.taps, axis=1) - b.mean) * b.gain


@pytest.mark.parametrize("width", [5, 60], ids=["more-rows", "more-features"])
@pytest.mark.parametrize("weighted", [False, True])
def test_fit_is_scikit_learns(width: int, weighted: bool) -> None:
    taps, target, weights = problem(40, width)
    b = basis(taps, weights if weighted else None)
    y = ridge.one_hot(target, 3)
    coefficients, intercept = ridge.fit(b, y, 0.3)
    oracle = Ridge(alpha=0.3, solver="cholesky").fit(standardised(b), y, sample_weight=b.weights)
    expected = oracle.predict(standardised(b))
    np.testing.assert_allclose(b.rows @ coefficients + intercept, expected, atol=1e-9)
    weight, bias = b.to_features(coefficients, intercept)
    np.testing.assert_allclose(np.concatenate(taps, axis=1) @ weight.T + bias, expected, atol=1e-4)


@pytest.mark.parametrize("width", [5, 60], ids=["more-rows", "more-features"])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("sizes", ["single", "groups", "large"])
def test_leaving_out_is_refitting(width: int, weighted: bool, sizes: str) -> None:
    taps, target, weights = problem(40, width, seed=1)
    b = basis(taps, weights if weighted else None)
    y = ridge.one_hot(target, 3)
    rng = np.random.default_rng(2)
    cuts = {"single": range(1, 40), "groups": [1, 2, 5, 8, 11, 16, 22, 31], "large": [17, 34]}[sizes]
    blocks = np.split(rng.permutation(40), list(cuts))
    x = standardised(b)
    for penalty, found in zip((0.01, 3.0), ridge.leave_out(b, y, (0.01, 3.0), blocks), strict=True):
        for block in blocks:
            rest = np.setdiff1d(np.arange(40), block)
            oracle = Ridge(alpha=penalty, solver="cholesky").fit(x[rest], y[rest], sample_weight=b.weights[rest])
            np.testing.assert_allclose(found[block], oracle.predict(x[block]), atol=1e-8)


def test_leaving_a_class_out_never_sees_it() -> None:
    taps, target, _ = problem(30, 50)
    b = basis(taps)
    away = np.flatnonzero(target == 2)
    found = ridge.leave_out(b, ridge.one_hot(target, 3), [1.0], [away])[0]
    np.testing.assert_allclose(found[away, 2], 0, atol=1e-9)
    assert np.isnan(found[target != 2]).all()


def test_single_precision_is_close_to_double() -> None:
    taps, target, _ = problem(50, 80)
    y = ridge.one_hot(target, 3)
    blocks = list(np.arange(50).reshape(25, 2))
    double = ridge.leave_out(basis(taps), y, [0.1], blocks)
    single = ridge.leave_out(basis([t.astype(np.float32) for t in taps]), y, [0.1], blocks)
    np.testing.assert_allclose(single, double, atol=2e-4)


def test_a_constant_feature_has_no_weight() -> None:
    taps, target, _ = problem(30, 5)
    taps[0][:, 3] = 0.1  # not a number float32 or float64 can hold exactly
    b = basis(taps)
    assert b.gain[3] == 0
    weight, _ = b.to_features(*ridge.fit(b, ridge.one_hot(target, 3), 1.0))
    assert (weight[:, 3] == 0).all() and np.isfinite(weight).all()


@pytest.mark.parametrize("width", [3, 30])
def test_a_tap_of_zeros_predicts_the_class_shares(width: int) -> None:
    target = np.array([0, 0, 0, 1, 1, 1, 1, 1, 1, 2])
    b = basis([np.zeros((10, width), np.float32)])
    coefficients, intercept = ridge.fit(b, ridge.one_hot(target, 3), 1.0)
    weight, bias = b.to_features(coefficients, intercept)
    np.testing.assert_allclose(bias, [0.3, 0.6, 0.1], atol=1e-6)
    assert weight.shape == (3, width) and not weight.any()
    assert np.isfinite(ridge.leave_out(b, ridge.one_hot(target, 3), [1.0], list(np.arange(10)[:, None]))).all()


def test_every_tap_weighs_the_same_whatever_its_units_and_width() -> None:
    rng = np.random.default_rng(0)
    small, wide = rng.normal(0, 1e-3, (50, 4)), rng.normal(7, 1e3, (50, 300))
    b = basis([small, wide])
    x = standardised(b)
    assert np.sum(x[:, :4] ** 2) == pytest.approx(25) and np.sum(x[:, 4:] ** 2) == pytest.approx(25)
    assert b.squares.sum() == pytest.approx(50)


@pytest.mark.parametrize("width", [5, 60], ids=["more-rows", "more-features"])
def test_the_basis_is_a_rotation_of_the_standardised_rows(width: int) -> None:
    taps, _, weights = problem(40, width)
    b = basis(taps, weights)
    np.testing.assert_allclose(b.rows @ b.rows.T, standardised(b) @ standardised(b).T, atol=1e-9)
    np.testing.assert_allclose((b.rows.T * b.weights) @ b.rows, np.diag(b.squares), atol=1e-9)
    np.testing.assert_allclose(b.weights @ b.rows, 0, atol=1e-9)
