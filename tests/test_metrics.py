"""Oracles: scikit-learn, and the Wilson intervals of Newcombe (1998, Stat. Med. 17, table I)."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from foveal import metrics
from foveal.errors import UsageError


@pytest.mark.parametrize(
    ("correct", "total", "lo", "hi"),
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_wilson_is_newcombes_table(correct: int, total: int, lo: float, hi: float) -> None:
    assert metrics.wilson(correct, total) == pytest.approx((lo, hi), abs=5e-5)


def test_wilson_is_scipys_at_other_confidences() -> None:
    stats = pytest.importorskip("scipy.stats")
    for correct, total, confidence in [(3, 7, 0.9), (412, 472, 0.95), (50, 50, 0.99), (0, 1, 0.5)]:
        expected = stats.binomtest(correct, total).proportion_ci(confidence, method="wilson")
        assert metrics.wilson(correct, total, confidence) == pytest.approx((expected.low, expected.high), abs=1e-9)


@given(st.integers(1, 10_000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_holds_the_share_and_mirrors(counts: tuple[int, int]) -> None:
    correct, total = counts
    lo, hi = metrics.wilson(correct, total)
    assert 0 <= lo <= correct / total <= hi <= 1
    assert metrics.wilson(total - correct, total) == pytest.approx((1 - hi, 1 - lo), abs=1e-9)


def test_wilson_without_photos_and_with_bad_counts() -> None:
    assert metrics.wilson(0, 0) == (0.0, 1.0)
    with pytest.raises(UsageError, match="correct=3, total=2"):
        metrics.wilson(3, 2)
    with pytest.raises(UsageError, match=r"received 95"):
        metrics.wilson(1, 2, 95)


@pytest.fixture
def scores() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    probabilities = rng.dirichlet(np.ones(5), 301)
    return probabilities, rng.integers(0, 5, 301)


def test_scores_are_scikit_learns(scores: tuple[np.ndarray, np.ndarray]) -> None:
    from sklearn import metrics as oracle

    p, y = scores
    guess = p.argmax(axis=1)
    assert metrics.accuracy(guess, y) == oracle.accuracy_score(y, guess)
    assert metrics.log_loss(p, y) == pytest.approx(oracle.log_loss(y, p), rel=1e-12)
    confusion = metrics.confusion_matrix(y, guess, 5)
    np.testing.assert_array_equal(confusion, oracle.confusion_matrix(y, guess))
    expected = np.array(oracle.precision_recall_fscore_support(y, guess)).T
    found = [(c.precision, c.recall, c.f1, c.support) for c in metrics.per_class(confusion)]
    np.testing.assert_allclose(np.array(found, float), expected, rtol=1e-12)


def test_ratios_that_do_not_exist_are_none() -> None:
    confusion = np.array([[3, 1, 0], [0, 0, 0], [2, 0, 0]])
    first, empty, never = metrics.per_class(confusion)
    assert first.precision == 3 / 5 and first.recall == 3 / 4
    assert empty == metrics.ClassScore(0.0, None, 0.0, 0)
    assert never == metrics.ClassScore(None, 0.0, 0.0, 2)


def test_log_loss_of_an_impossible_class_is_finite() -> None:
    assert metrics.log_loss(np.array([[1.0, 0.0]]), np.array([1])) == pytest.approx(-math.log(1e-15))


def test_reliability_is_scikit_learns_quantile_curve() -> None:
    from sklearn.calibration import calibration_curve

    rng = np.random.default_rng(3)
    p = rng.uniform(0.5, 1, 1001)
    right = rng.random(1001) < p**2
    bins = metrics.reliability(np.column_stack([p, 1 - p]), np.where(right, 0, 1))
    share, mean = calibration_curve(right, p, n_bins=10, strategy="quantile")
    np.testing.assert_allclose([b.accuracy for b in bins], share)
    np.testing.assert_allclose([b.confidence for b in bins], mean)
    counts = np.array([b.count for b in bins])
    error = metrics.calibration_error(bins)
    assert error == pytest.approx(float((counts * np.abs(share - mean)).sum() / 1001))


def test_reliability_keeps_equal_confidences_together() -> None:
    p = np.tile([[0.75, 0.25]], (40, 1))
    (one,) = metrics.reliability(p, np.arange(40) % 4 == 0)
    assert (one.count, one.correct, one.confidence) == (40, 30, 0.75)
    assert metrics.calibration_error((one,)) == 0


def test_few_or_no_photos() -> None:
    assert metrics.reliability(np.zeros((0, 2)), np.zeros(0, int)) == ()
    assert math.isnan(metrics.calibration_error(()))
    assert math.isnan(metrics.accuracy(np.zeros(0), np.zeros(0)))
    assert math.isnan(metrics.log_loss(np.zeros((0, 2)), np.zeros(0, int)))
    assert sum(b.count for b in metrics.reliability(np.array([[0.9, 0.1], [0.6, 0.4]]), np.array([0, 0]))) == 2
