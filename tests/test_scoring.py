"""The account of a classifier, against scikit-learn and SciPy."""

from __future__ import annotations

import json

import numpy as np
import pytest
from scipy.special import logsumexp, softmax
from scipy.stats import binomtest
from sklearn.metrics import confusion_matrix, log_loss, precision_recall_fscore_support

from foveal.scoring import score

CLASSES = ("cat", "dog", "\x1b[31m")


def test_every_number_is_what_others_compute() -> None:
    rng = np.random.default_rng(0)
    target = rng.integers(0, 3, 200)
    logits = rng.standard_normal((200, 3)) * 2
    logits[np.arange(200), target] += 2
    temperature, threshold = 1.7, 1.5
    found = score(logits, target, CLASSES, temperature, threshold)
    p = softmax(logits / temperature, axis=1)
    predicted = p.argmax(axis=1)
    correct = int((predicted == target).sum())
    assert 100 < correct < 200
    assert (found["correct"], found["total"], found["accuracy"]) == (correct, 200, correct / 200)
    interval = binomtest(correct, 200).proportion_ci(0.95, method="wilson")
    assert found["interval"] == pytest.approx([interval.low, interval.high], abs=1e-9)
    assert found["log_loss"] == pytest.approx(log_loss(target, p, labels=[0, 1, 2]))
    assert found["confusion"] == confusion_matrix(target, predicted, labels=[0, 1, 2]).tolist()
    columns = zip(*precision_recall_fscore_support(target, predicted, labels=[0, 1, 2]), strict=True)
    for row, label, (precision, recall, f1, support) in zip(found["per_class"], CLASSES, columns, strict=True):
        assert row["label"] == label and row["support"] == support
        assert [row["precision"], row["recall"], row["f1"]] == pytest.approx([precision, recall, f1])
    strange = int((logsumexp(logits / (2 * temperature), axis=1) < threshold).sum())
    assert 0 < strange < 200 and found["unknown"] == {"count": strange, "total": 200}
    assert 0 <= found["calibration_error"] <= 1
    json.dumps(found, allow_nan=False)


def test_without_a_threshold_nothing_is_unknown() -> None:
    found = score(np.zeros((2, 3)), np.array([0, 1]), CLASSES, 1.0, None)
    assert found["unknown"] == {"count": 0, "total": 2} and found["correct"] == 1


def test_no_photos_give_no_numbers_rather_than_false_ones() -> None:
    found = score(np.zeros((0, 3)), np.zeros(0, int), CLASSES, 1.0, 0.0)
    assert (found["accuracy"], found["log_loss"], found["calibration_error"]) == (None, None, None)
    assert (found["correct"], found["total"], found["unknown"]) == (0, 0, {"count": 0, "total": 0})
    assert found["confusion"] == [[0] * 3] * 3
    json.dumps(found, allow_nan=False)
