"""The account of a classifier on labelled photos, as `result.json` and `foveal evaluate` give it."""

from __future__ import annotations

from typing import Any

import numpy as np

from foveal import metrics
from foveal.heads.calibration import softmax
from foveal.heads.rejection import novelty_score


def score(
    logits: np.ndarray, target: np.ndarray, classes: tuple[str, ...], temperature: float, threshold: float | None
) -> dict[str, Any]:
    """Accuracy with counts and interval, losses, calibration, per-class scores and the confusion matrix.

    Parameters
    ----------
    logits : (n, classes); target : (n,) class indices.
    """
    probabilities = softmax(logits, temperature) if len(logits) else np.zeros((0, len(classes)))
    predicted = probabilities.argmax(axis=1) if len(logits) else np.zeros(0, int)
    confusion = metrics.confusion_matrix(target, predicted, len(classes))
    correct, total = int((predicted == target).sum()), len(target)
    bins = metrics.reliability(probabilities, target)
    rejected = 0
    if threshold is not None and total:
        rejected = int((novelty_score(logits, temperature) < threshold).sum())
    rows = zip(classes, metrics.per_class(confusion), strict=True)
    return {
        "accuracy": correct / total if total else None,
        "correct": correct,
        "total": total,
        "interval": list(metrics.wilson(correct, total)),
        "log_loss": metrics.log_loss(probabilities, target) if total else None,
        "calibration_error": metrics.calibration_error(bins) if total else None,
        "unknown": {"count": rejected, "total": total},
        "reliability": [each.to_json() for each in bins],
        "per_class": [{"label": label} | scores.to_json() for label, scores in rows],
        "confusion": confusion.tolist(),
    }
