"""Scores of a classifier, with their counts and intervals.

`target` and `predicted` are integer class indices of shape (n,); `probabilities` is (n, classes), rows sum to 1.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

from foveal.errors import UsageError

Array = NDArray[Any]


def wilson(correct: int, total: int, confidence: float = 0.95) -> tuple[float, float]:
    """The Wilson score interval of a proportion (Wilson 1927, JASA 22).

    Parameters
    ----------
    correct, total : counts, ``0 <= correct <= total``.
    confidence : coverage, strictly between 0 and 1. Default 0.95.

    Returns
    -------
    (lo, hi) : within [0, 1]; (0, 1) when `total` is 0, since nothing is known.

    Raises
    ------
    UsageError : counts or a confidence that cannot be.
    """
    if not 0 <= correct <= total:
        raise UsageError(f"wilson: expected 0 <= correct <= total, received correct={correct}, total={total}")
    if not 0 < confidence < 1:
        raise UsageError(f"wilson: confidence is a number between 0 and 1, received {confidence}")
    if total == 0:
        return 0.0, 1.0
    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    share = correct / total
    middle = share + z * z / (2 * total)
    reach = z * math.sqrt(share * (1 - share) / total + (z / (2 * total)) ** 2)
    scale = 1 + z * z / total
    lo = 0.0 if correct == 0 else (middle - reach) / scale
    hi = 1.0 if correct == total else (middle + reach) / scale
    return lo, hi


def accuracy(predicted: Array, target: Array) -> float:
    """The share of photos whose predicted class is the true one; NaN for no photos."""
    return float(np.mean(np.asarray(predicted) == np.asarray(target))) if len(target) else math.nan


def log_losses(probabilities: Array, target: Array) -> Array:
    """Minus the natural logarithm of each true class's probability, (n,) float64, clipped at 1e-15."""
    chosen = np.asarray(probabilities, np.float64)[np.arange(len(target)), np.asarray(target)]
    return np.asarray(-np.log(np.clip(chosen, 1e-15, 1.0)))


def log_loss(probabilities: Array, target: Array) -> float:
    """The mean of `log_losses` in nats; NaN for no photos."""
    return float(np.mean(log_losses(probabilities, target))) if len(target) else math.nan


def confusion_matrix(target: Array, predicted: Array, classes: int) -> Array:
    """Counts, (classes, classes) int64: the row is the true class, the column the predicted one."""
    cells = np.asarray(target, np.int64) * classes + np.asarray(predicted, np.int64)
    return np.asarray(np.bincount(cells, minlength=classes * classes).reshape(classes, classes))


@dataclass(frozen=True)
class ClassScore:
    """Scores of one class. None where the ratio is 0/0: no photo was predicted, or none is there.

    Attributes
    ----------
    precision : the share of photos predicted as this class that are of it.
    recall : the share of this class's photos that were predicted as it.
    f1 : ``2 tp / (2 tp + fp + fn)``.
    support : number of photos of this class.
    """

    precision: float | None
    recall: float | None
    f1: float | None
    support: int

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def per_class(confusion: Array) -> tuple[ClassScore, ...]:
    """Precision, recall, F1 and support of each class from a confusion matrix whose rows are true classes."""
    hits = np.diag(confusion)
    support, predicted = confusion.sum(axis=1), confusion.sum(axis=0)
    return tuple(
        ClassScore(_ratio(tp, p), _ratio(tp, s), _ratio(2 * tp, p + s), s)
        for tp, s, p in zip(hits.tolist(), support.tolist(), predicted.tolist(), strict=True)
    )


def _ratio(part: int, whole: int) -> float | None:
    return part / whole if whole else None


@dataclass(frozen=True)
class Bin:
    """Photos of similar confidence: the mean confidence, how many were right, the Wilson interval (95 %) of that."""

    confidence: float
    accuracy: float
    correct: int
    count: int
    interval: tuple[float, float]

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def reliability(probabilities: Array, target: Array, bins: int = 10) -> tuple[Bin, ...]:
    """The reliability diagram: photos sorted by their largest probability, cut into bins of equal numbers.

    Parameters
    ----------
    probabilities : (n, classes).
    target : (n,) class indices.
    bins : the most bins there may be. Default 10; equal confidences share a bin, so there can be fewer.

    Returns
    -------
    Bins in the order of confidence, none empty (Naeini et al. 2015; equal mass as in Nixon et al. 2019).
    """
    confidence = np.asarray(probabilities, np.float64).max(axis=1) if len(target) else np.zeros(0)
    order = np.argsort(confidence, kind="stable")
    confidence = confidence[order]
    right = (np.argmax(probabilities, axis=1) == target)[order] if len(target) else np.zeros(0, bool)
    sizes = [len(part) for part in np.array_split(confidence, bins)]
    cuts = (
        np.searchsorted(confidence, confidence[np.clip(np.cumsum(sizes) - 1, 0, None)], side="right")
        if sizes[0]
        else []
    )
    result, start = [], 0
    for end in cuts:
        if end > start:
            count, correct = int(end - start), int(right[start:end].sum())
            mean = float(confidence[start:end].mean())
            result.append(Bin(mean, correct / count, correct, count, wilson(correct, count)))
            start = end
    return tuple(result)


def calibration_error(bins: tuple[Bin, ...]) -> float:
    """Expected calibration error: the mean distance of accuracy and confidence over the photos; NaN without bins."""
    total = sum(b.count for b in bins)
    return sum(b.count * abs(b.accuracy - b.confidence) for b in bins) / total if total else math.nan
