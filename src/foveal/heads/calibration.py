"""Turning scores into probabilities that mean what they say."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

_STEPS = 60


def softmax(logits: Array, temperature: float = 1.0) -> Array:
    """Probabilities (n, classes), float64, of ``logits / temperature``; rows sum to 1."""
    scaled = np.asarray(logits, np.float64) / temperature
    scaled -= scaled.max(axis=1, keepdims=True)
    np.exp(scaled, out=scaled)
    scaled /= scaled.sum(axis=1, keepdims=True)
    return scaled


def fit_temperature(logits: Array, target: Array) -> float:
    """The temperature whose softmax has the least log loss (Guo et al. 2017, arXiv 1706.04599).

    The loss is convex in 1/temperature, found by Newton's method inside a bracket. As in Platt (1999), the labels are
    softened by one imaginary photo, of every class in equal parts, spread over the n real ones: with n photos, all of
    them right, nobody can promise to err less than about once in n. So the answer is finite and positive on separable
    data too.

    Parameters
    ----------
    logits : (n, classes) scores from folds that did not see the photo.
    target : (n,) class indices.

    Returns
    -------
    Positive; 1.0 where the scores say nothing (no photos, or all scores of each photo equal).
    """
    scores = np.asarray(logits, np.float64)
    if not len(scores):
        return 1.0
    scores = scores - scores.mean(axis=1, keepdims=True)
    size = float(np.sqrt(np.mean(scores**2)))
    if size < 1e-12:
        return 1.0
    soft = 1 / (len(scores) + 1)  # the scores are centred, so the imaginary photo's mean score is 0
    goal = (1 - soft) * float(np.mean(scores[np.arange(len(scores)), target]))
    lo, hi = 1e-4 / size, 1e4 / size
    beta = min(max(1.0, lo), hi)
    for _ in range(_STEPS):
        p = softmax(scores, 1 / beta)
        expected = np.einsum("ij,ij->i", p, scores)
        slope = float(expected.mean()) - goal
        curvature = float(np.mean(np.einsum("ij,ij,ij->i", p, scores, scores) - expected**2))
        lo, hi = (lo, beta) if slope > 0 else (beta, hi)
        step = beta - slope / curvature if curvature > 0 else 0.0
        new = step if lo < step < hi else float(np.sqrt(lo * hi))
        if abs(new - beta) <= 1e-8 * beta:
            beta = new
            break
        beta = new
    return 1 / beta
