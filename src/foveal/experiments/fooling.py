"""Choosing hyperparameters on the training pictures, on the test pictures, or on validation pictures.

The choice is between neighbours: how many (k), and by which distance. The nearest neighbour of a training picture is
that picture, so k = 1 is always right there; and the best of many on the test pictures owes some of that to luck. Each
way of choosing claims an accuracy; pictures that no choice has seen say what it is (Hastie, Tibshirani and Friedman
2009, The Elements of Statistical Learning, section 7.2).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from foveal.errors import UsageError
from foveal.experiments.estimates import Estimate, percents, student
from foveal.teaching.plots import finish
from foveal.text import plural

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Array = NDArray[Any]

NEIGHBOURS = (1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 15, 20)
DISTANCES = {"L1": "cityblock", "L2": "euclidean", "max": "chebyshev"}
"""By absolute differences, by their squares, and by the largest; and what SciPy calls each."""
Candidate = tuple[int, str]
CANDIDATES = tuple((k, distance) for distance in DISTANCES for k in NEIGHBOURS)
PARTS = {"train": 100, "validation": 50, "test": 50}
"""Pictures that one has; the rest of the digits are what comes later."""
NOISE = 6.0
"""Standard deviation of what is added to pixels of 0 to 16, so that the nearest neighbour is not simply the best."""
FEWEST, MOST = 2, 10_000

WAYS = {
    "train": "on the training pictures",
    "test": "on the test pictures",
    "validation": "on validation pictures",
}
_COLOURS = {"claimed": "#e69f00", "true": "#1668b0"}


@dataclass(frozen=True)
class Way:
    """One way of choosing, over all splits.

    Attributes
    ----------
    name : of `WAYS`.
    chosen : (k, distance) for each split.
    claimed : the accuracy that is reported in the end, for each split: on the pictures chosen on, or, after choosing on
        validation pictures, on the test pictures.
    true : that of the same classifier on the pictures that nobody has looked at.
    """

    name: str
    chosen: tuple[Candidate, ...]
    claimed: tuple[float, ...]
    true: tuple[float, ...]

    @property
    def optimism(self) -> Estimate:
        """Claimed less true, split by split."""
        return student(np.subtract(self.claimed, self.true).tolist())

    @property
    def favourite(self) -> tuple[int, int]:
        """The k chosen most often, and how often."""
        return Counter(k for k, _ in self.chosen).most_common(1)[0]


@dataclass(frozen=True)
class Fooling:
    """What each way of choosing claims, and what is true."""

    seed: int
    candidates: int
    fresh: int
    ways: tuple[Way, ...]

    def to_json(self) -> dict[str, Any]:
        return asdict(self) | {"optimism": {way.name: way.optimism.to_json() for way in self.ways}}

    def __str__(self) -> str:
        return "\n".join(_lines(self))

    def plot(self) -> Figure:
        """Claimed and true accuracy of each way: a dot for every split, and the means with their intervals."""
        import matplotlib.pyplot as plt

        figure, ax = plt.subplots(figsize=(8, 4.8), layout="constrained")
        random = np.random.default_rng(0)
        for place, way in enumerate(self.ways):
            for side, (label, values) in zip((-0.2, 0.2), (("claimed", way.claimed), ("true", way.true)), strict=True):
                spread = place + side + random.uniform(-0.12, 0.12, len(values))
                percent, mean = 100 * np.array(values), student(values)
                ax.plot(spread, percent, ".", color=_COLOURS[label], alpha=0.25, markersize=5, zorder=1)
                reach = 100 * ((mean.high or 0.0) - mean.mean)
                ax.errorbar(
                    place + side, 100 * mean.mean, reach, fmt="D", color="#1b1f24", markerfacecolor=_COLOURS[label],
                    capsize=5, markersize=7, label=label if place == 0 else None,
                )  # fmt: skip
        ax.set_xticks(range(len(self.ways)), [f"chosen {WAYS[way.name]}" for way in self.ways])
        ax.set(ylabel="accuracy, %", title=f"What is claimed, and what is true ({len(self.ways[0].true)} splits)")
        finish(ax)
        return figure


def fooling(*, repetitions: int = 100, seed: int = 0) -> Fooling:
    """Choose k and the distance of nearest neighbours in three ways, on scikit-learn's digits.

    Parameters
    ----------
    repetitions : random splits into `PARTS` and what comes later, 2 to 10,000.
    seed : of the splits.

    Raises
    ------
    UsageError : a number of repetitions out of range, or a negative seed.
    """
    if not FEWEST <= repetitions <= MOST:
        raise UsageError(f"{repetitions} repetitions; expected a whole number from {FEWEST} to {MOST:,}")
    if seed < 0:
        raise UsageError(f"seed {seed}; expected a whole number from 0")
    from sklearn.datasets import load_digits

    x, labels = load_digits(return_X_y=True)
    random = np.random.default_rng(seed)
    x = x + random.normal(0, NOISE, x.shape)
    subject = _Subject({name: distances_between(x, distance) for name, distance in DISTANCES.items()}, labels)
    splits = [random.permutation(len(labels)) for _ in range(repetitions)]
    ways = tuple(_way(subject, name, splits) for name in WAYS)
    return Fooling(seed, len(CANDIDATES), len(labels) - sum(PARTS.values()), ways)


def distances_between(x: Array, distance: str) -> Array:
    """(n, n): how far every picture is from every other."""
    from scipy.spatial.distance import cdist

    return np.asarray(cdist(x, x, distance))


def votes(distances: Array, labels: Array, neighbours: tuple[int, ...]) -> dict[int, Array]:
    """What the k nearest say, for each k: the class with most votes, the first of equal ones.

    Parameters
    ----------
    distances : (pictures, training pictures). labels : (training pictures,), from 0.

    Returns
    -------
    (pictures,) classes by k.
    """
    nearest = labels[np.argsort(distances, axis=1, kind="stable")[:, : max(neighbours)]]
    counts = np.cumsum(np.eye(labels.max() + 1, dtype=np.int64)[nearest], axis=1)
    return {k: counts[:, k - 1].argmax(axis=1) for k in neighbours}


@dataclass(frozen=True)
class _Subject:
    """All digits: how far apart they are, and what they are."""

    distances: dict[str, Array]
    labels: Array

    def scores(self, train: Array, asked: Array, candidates: Sequence[Candidate]) -> dict[Candidate, float]:
        """The accuracy of each candidate that knows `train`, on the pictures `asked`."""
        found: dict[Candidate, float] = {}
        for distance, rows in self.distances.items():
            ks = tuple(k for k, by in candidates if by == distance)
            if ks:
                answers = votes(rows[np.ix_(asked, train)], self.labels[train], ks)
                found |= {(k, distance): float((answers[k] == self.labels[asked]).mean()) for k in ks}
        return {candidate: found[candidate] for candidate in candidates}


def _way(subject: _Subject, name: str, splits: Sequence[Array]) -> Way:
    rows = []
    for split in splits:
        parts = dict(zip((*PARTS, "fresh"), np.split(split, np.cumsum(list(PARTS.values()))), strict=True))
        train = parts["train"]
        scores = subject.scores(train, parts[name], CANDIDATES)
        best = max(scores, key=lambda candidate: scores[candidate])
        claimed = subject.scores(train, parts["test"], [best])[best] if name == "validation" else scores[best]
        rows.append((best, claimed, subject.scores(train, parts["fresh"], [best])[best]))
    return Way(name, *zip(*rows, strict=True))


def _lines(found: Fooling) -> Iterator[str]:
    splits = plural(len(found.ways[0].true), "random split")
    ks = f"k from {NEIGHBOURS[0]} to {NEIGHBOURS[-1]}, distance {', '.join(DISTANCES)}"
    yield f"nearest neighbours, {found.candidates} candidates ({ks}), on noisy digits of 8 x 8"
    sizes = "{train} digits to train on, {validation} to validate, {test} to test".format(**PARTS)
    yield f"{splits}: {sizes}, and {found.fresh:,} that nobody looks at while choosing"
    yield f"{'chosen on':12}{'chosen k':>12}{'claimed':>10}{'true':>10}  claimed less true"
    for way in found.ways:
        k, times = way.favourite
        often = f"{k} ({times}x)"
        claimed, true = (f"{100 * np.mean(values):.2f} %" for values in (way.claimed, way.true))
        yield f"{way.name:12}{often:>12}{claimed:>10}{true:>10}  {percents(way.optimism, signed=True)}"
