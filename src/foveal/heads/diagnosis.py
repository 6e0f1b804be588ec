"""What the out-of-fold scores say about the data: labels to doubt, and whether more photos would help."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from foveal.heads.ridge import one_hot
from foveal.heads.sampling import beginning, mean_and_error, stratified_order

Array = NDArray[Any]

_CURVE_ROWS = 2000  # the curve of a larger set is measured on a part of it
_SHARES = (1 / 16, 1 / 8, 1 / 4, 1 / 2, 1.0)
_REPEATS = 3
_LITTLE = 0.01  # a gain below one point is not worth a doubling


@dataclass(frozen=True)
class Doubt:
    """A label that the other photos speak against.

    Attributes
    ----------
    row : index of the photo.
    label, suggested : class indices.
    label_probability, suggested_probability : out of fold.
    """

    row: int
    label: int
    suggested: int
    label_probability: float
    suggested_probability: float


def doubtful_labels(probabilities: Array, target: Array) -> tuple[Doubt, ...]:
    """Labels that out-of-fold probabilities doubt, the most doubtful first.

    The rule of confident learning (Northcutt, Jiang & Chuang 2021, JAIR 70): a class speaks for itself
    when a photo's probability of it reaches the mean probability that photos labelled so give it; among those the most
    probable is suggested, and the label is doubted where it is another. Ranked by the difference of the two
    probabilities.

    Parameters
    ----------
    probabilities : (n, classes), calibrated and out of fold. Rows with NaN (not scored) are passed over.
    target : (n,) the labels.
    """
    scored = np.flatnonzero(np.isfinite(probabilities).all(axis=1))
    p, labels = probabilities[scored], np.asarray(target)[scored]
    confidence = np.full(probabilities.shape[1], np.inf)
    for c in np.unique(labels):
        confidence[c] = p[labels == c, c].mean()
    sure = np.where(p >= confidence, p, -1)
    suggested = sure.argmax(axis=1) if len(p) else np.zeros(0, int)
    each = np.arange(len(p))
    gap = p[each, suggested] - p[each, labels]
    doubted = np.flatnonzero((sure[each, suggested] >= 0) & (suggested != labels) & (gap > 0))
    return tuple(
        Doubt(int(scored[i]), int(labels[i]), int(suggested[i]), float(p[i, labels[i]]), float(p[i, suggested[i]]))
        for i in doubted[np.argsort(-gap[doubted], kind="stable")]
    )


@dataclass(frozen=True)
class CurvePoint:
    """Accuracy on held-out folds after training on `size` photos (a mean), with its 95 % interval."""

    size: int
    accuracy: float
    interval: tuple[float, float]


@dataclass(frozen=True)
class LearningCurve:
    """Accuracy against the number of training photos.

    Attributes
    ----------
    points : by size; empty where nothing could be measured.
    gain : accuracy gained by the last doubling, and `gain_interval` (95 %); None without two points.
    verdict : would more photos help? The first sentence is the answer.
    """

    points: tuple[CurvePoint, ...]
    gain: float | None
    gain_interval: tuple[float, float] | None
    verdict: str

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def learning_curve(
    rows: Array,
    weights: Array,
    target: Array,
    groups: Array,
    folds: Array,
    classes: int,
    penalty: float,
    *,
    seed: int = 0,
) -> LearningCurve:
    """Ridge on nested parts of the training photos, judged on the held-out fold.

    Parts are 1/16 ... all of the other folds, groups whole, classes in proportion, three random nestings each.
    Intervals are over photos, those of a group counted as dependent; the luck of the photos that happen to be in
    the whole set is not in them.

    Parameters
    ----------
    rows : (n, r) as in a `Basis`; weights : (n,); target, groups, folds : (n,); penalty : of the ridge.
    """
    rng = np.random.default_rng(seed)
    if len(rows) > _CURVE_ROWS:
        kept = np.sort(beginning(*stratified_order(target, groups, rng), _CURVE_ROWS))
        rows, weights, target, groups, folds = (a[kept] for a in (rows, weights, target, groups, folds))
    kernel = rows @ rows.T
    targets = one_hot(target, classes)
    right = np.zeros((len(_SHARES), len(rows)))
    sizes = np.zeros(len(_SHARES))
    names = np.unique(folds)
    if len(names) < 2:
        return LearningCurve((), None, None, "A learning curve needs two folds at least.")
    for name in names:
        test, train = np.flatnonzero(folds == name), np.flatnonzero(folds != name)
        for repeat in range(_REPEATS):
            order, ends = stratified_order(target[train], groups[train], rng)
            for position, share in enumerate(_SHARES):
                if share == 1 and repeat:
                    continue
                part = train[beginning(order, ends, round(share * len(train)))]
                scores = _ridge(kernel, weights, targets, part, test, penalty)
                right[position, test] += (scores.argmax(axis=1) == target[test]) / (1 if share == 1 else _REPEATS)
                sizes[position] += len(part) / len(names) / (1 if share == 1 else _REPEATS)
    used = np.flatnonzero(sizes >= max(4, 2 * len(np.unique(target))))
    points = []
    for position in used.tolist():
        mean, error = mean_and_error(right[position], groups)
        points.append(CurvePoint(round(sizes[position]), mean, _interval(mean, error, 0, 1)))
    if len(points) < 2:
        return LearningCurve(tuple(points), None, None, "Too few photos for a learning curve.")
    gain, error = mean_and_error(right[-1] - right[-2], groups)
    interval = _interval(gain, error, -1, 1)
    return LearningCurve(tuple(points), gain, interval, _verdict(points, gain, interval))


def _interval(mean: float, error: float, lowest: float, highest: float) -> tuple[float, float]:
    return max(lowest, mean - 1.96 * error), min(highest, mean + 1.96 * error)


def _ridge(kernel: Array, weights: Array, targets: Array, part: Array, test: Array, penalty: float) -> Array:
    """Scores of `test` from a ridge with unpenalised intercept on `part`: ``(K + penalty / W) a + b = y, 1'a = 0``."""
    size = len(part)
    system = np.ones((size + 1, size + 1))
    system[:size, :size] = kernel[np.ix_(part, part)]
    system[np.arange(size), np.arange(size)] += penalty / weights[part]
    system[size, size] = 0
    solution = np.linalg.solve(system, np.vstack([targets[part], np.zeros(targets.shape[1])]))
    return np.asarray(kernel[np.ix_(test, part)] @ solution[:size] + solution[size])


def _verdict(points: list[CurvePoint], gain: float, interval: tuple[float, float]) -> str:
    lo, hi = (f"{100 * x:+.1f}" for x in interval)
    measured = (
        f"The last doubling, from {points[-2].size:,} to {points[-1].size:,} training photos, changed accuracy by "
        f"{100 * gain:+.1f} points (95 %: {lo} to {hi})."
    )
    if interval[0] > 0 and gain >= _LITTLE:
        return f"More photos would probably help. {measured}"
    if interval[1] < _LITTLE:
        return f"More photos of the same kind would hardly help. {measured}"
    return f"Whether more photos would help is unclear. {measured}"
