from __future__ import annotations

import numpy as np
import pytest

from foveal.heads.rejection import choose_threshold, class_blocks, novelty_score


def test_the_score_is_a_log_sum_exp_and_survives_large_logits() -> None:
    from scipy.special import logsumexp

    logits = np.random.default_rng(0).normal(0, 5, (20, 4))
    np.testing.assert_allclose(novelty_score(logits, 0.7), logsumexp(logits / 1.4, axis=1))
    assert novelty_score(np.array([[1e6, -1e9, -np.inf]]), 1.0)[0] == 5e5


@pytest.mark.parametrize(("n", "rejected"), [(100, 5), (19, 0), (20, 1), (1, 0), (1000, 50)])
def test_five_percent_of_the_known_photos_are_rejected(n: int, rejected: int) -> None:
    known = np.random.default_rng(n).normal(size=n)
    result = choose_threshold(known, known - 1, np.arange(n) % 3, 3)
    assert result.threshold is not None
    assert (result.known_rejected, result.known_total) == (rejected, n) == (int((known < result.threshold).sum()), n)


def test_both_errors_are_counted_overall_and_by_class() -> None:
    known = np.arange(100.0)
    unknown = np.array([0.0, 50.0, 4.9, 5.0, 99.0])
    result = choose_threshold(known, unknown, np.array([0, 0, 1, 1, 2]), 3)
    assert result.threshold == 5.0
    assert (result.unknown_accepted, result.unknown_total) == (3, 5)
    assert [(c.index, c.accepted, c.total) for c in result.per_class] == [(0, 1, 2), (1, 1, 2), (2, 1, 1)]
    assert result.why == (
        "chosen to call 5% of the known photos unknown (5 of 100 photos); "
        "each class was left out in turn: 3 of 5 photos of unseen classes passed as known"
    )
    assert result.to_json()["score"] == "free energy"


def test_two_classes_have_no_threshold_and_say_why() -> None:
    result = choose_threshold(np.arange(9.0), np.zeros(0), np.zeros(0, int), 0)
    assert result.threshold is None and "three classes or more" in result.why


def test_no_known_scores_no_threshold() -> None:
    assert choose_threshold(np.zeros(0), np.zeros(2), np.array([0, 1]), 3).threshold is None


def test_blocks_of_classes() -> None:
    assert class_blocks(np.array([0, 4]), 0) == []
    assert [b.tolist() for b in class_blocks(np.array([0, 4, 7]), 0)] == [[0], [4], [7]]
    many = class_blocks(np.arange(100), 0)
    assert len(many) == 8 and sorted(np.concatenate(many).tolist()) == list(range(100))
    assert {len(b) for b in many} == {12, 13}
    assert [b.tolist() for b in many] == [b.tolist() for b in class_blocks(np.arange(100), 0)]
