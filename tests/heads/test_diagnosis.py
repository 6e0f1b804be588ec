"""Oracles: planted wrong labels, and scikit-learn's Ridge behind every point of the curve."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import Ridge, RidgeClassifier
from sklearn.model_selection import cross_val_predict

from foveal.heads.diagnosis import _ridge, doubtful_labels, learning_curve
from foveal.heads.ridge import one_hot


def blobs(n: int, classes: int, apart: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    target = np.arange(n) % classes
    centres = rng.normal(size=(classes, 20))
    return centres[target] * apart + rng.normal(size=(n, 20)), target


def test_flipped_labels_come_first() -> None:
    from sklearn.linear_model import LogisticRegression

    x, truth = blobs(600, 5, 3.0)
    rng = np.random.default_rng(1)
    flipped = rng.choice(600, 30, replace=False)
    labels = truth.copy()
    labels[flipped] = (truth[flipped] + rng.integers(1, 5, 30)) % 5
    p = cross_val_predict(LogisticRegression(C=0.1, max_iter=500), x, labels, method="predict_proba")
    doubts = doubtful_labels(p, labels)
    first = doubts[:30]
    assert len({d.row for d in first} & set(flipped.tolist())) >= 26
    assert np.mean([d.suggested == truth[d.row] for d in first]) > 0.9
    gaps = [d.suggested_probability - d.label_probability for d in doubts]
    assert gaps == sorted(gaps, reverse=True) and all(d.label == labels[d.row] != d.suggested for d in doubts)


def test_the_rule_of_confident_learning() -> None:
    p = np.array([[0.9, 0.1], [0.7, 0.3], [0.2, 0.8], [0.45, 0.55], [0.15, 0.85]])
    labels = np.array([0, 0, 1, 0, 0])
    # class 1 speaks at 0.8 (its mean self-confidence): the photo at 0.55 is not enough, the one at 0.85 is
    (doubt,) = doubtful_labels(p, labels)
    assert (doubt.row, doubt.label, doubt.suggested) == (4, 0, 1)


def test_unscored_rows_are_passed_over() -> None:
    p = np.array([[np.nan, np.nan], [0.9, 0.1], [0.1, 0.9], [0.9, 0.1], [0.05, 0.95]])
    assert [d.row for d in doubtful_labels(p, np.array([1, 0, 1, 0, 0]))] == [4]
    assert doubtful_labels(np.full((3, 2), np.nan), np.zeros(3, int)) == ()


def test_a_point_is_scikit_learns_ridge() -> None:
    x, target = blobs(60, 3, 1.0)
    weights = np.random.default_rng(0).uniform(0.5, 2, 60)
    train, test = np.arange(40), np.arange(40, 60)
    y = one_hot(target, 3)
    oracle = Ridge(alpha=0.7).fit(x[train], y[train], sample_weight=weights[train])
    found = _ridge(x @ x.T, weights, y, train, test, 0.7)
    np.testing.assert_allclose(found, oracle.predict(x[test]), atol=1e-8)


def test_the_last_point_is_cross_validation() -> None:
    x, target = blobs(200, 4, 0.5)
    folds = np.arange(200) // 4 % 5
    curve = learning_curve(x, np.ones(200), target, np.arange(200), folds, 4, 1.0)
    splits = [(np.flatnonzero(folds != f), np.flatnonzero(folds == f)) for f in range(5)]
    guess = cross_val_predict(RidgeClassifier(alpha=1.0), x, target, cv=splits)
    assert curve.points[-1].size == 160
    assert curve.points[-1].accuracy == pytest.approx(np.mean(guess == target), abs=0.011)  # -1/1 against 0/1 ties
    assert [p.size for p in curve.points] == [10, 20, 40, 80, 160]
    assert all(p.interval[0] <= p.accuracy <= p.interval[1] for p in curve.points)


def test_the_verdict_says_what_was_seen() -> None:
    easy, target = blobs(400, 4, 5.0)
    folds = np.arange(400) // 4 % 5
    flat = learning_curve(easy, np.ones(400), target, np.arange(400), folds, 4, 1.0)
    assert flat.verdict.startswith("More photos of the same kind would hardly help. The last doubling, from 160 to 320")
    rng = np.random.default_rng(0)
    x = rng.normal(size=(600, 150))
    steep_target = (x[:, :60].sum(axis=1) > 0).astype(int)
    steep = learning_curve(x, np.ones(600), steep_target, np.arange(600), np.arange(600) % 5, 2, 1.0)
    assert steep.verdict.startswith("More photos would probably help")
    assert steep.gain is not None and steep.gain_interval is not None and steep.gain_interval[0] > 0
    noise = learning_curve(x[:60], np.ones(60), np.arange(60) % 2, np.arange(60), np.arange(60) // 2 % 5, 2, 1.0)
    assert noise.verdict.startswith("Whether more photos would help is unclear")


def test_too_few_photos_for_a_curve() -> None:
    x, target = blobs(4, 2, 3.0)
    curve = learning_curve(x, np.ones(4), target, np.arange(4), np.array([0, 0, 1, 1]), 2, 1.0)
    assert curve.gain is None and curve.verdict == "Too few photos for a learning curve."
    one = learning_curve(x, np.ones(4), target, np.arange(4), np.zeros(4), 2, 1.0)
    assert one.points == () and "two folds" in one.verdict
