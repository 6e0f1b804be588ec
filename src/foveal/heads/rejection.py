"""When to answer "none of these"."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from foveal.text import plural

Array = NDArray[Any]

REJECTED_SHARE = 0.05  # of the known photos: the price paid for being able to say "none of these"
SCORE = "free energy"
MAX_LEFT_OUT = 16  # up to so many classes, each is left out alone
_SOFTENING = 2.0
_BLOCKS = 8  # with more, so many blocks of classes are left out in turn


@dataclass(frozen=True)
class ClassAcceptance:
    """Photos of one class, shown to a head that never saw the class: how many it wrongly accepted as another."""

    index: int
    accepted: int
    total: int


@dataclass(frozen=True)
class Rejection:
    """The threshold and both of its errors.

    Attributes
    ----------
    threshold : a photo whose `novelty_score` is below it is "unknown"; None where it could not be measured.
    known_rejected, known_total : photos of known classes, scored out of fold, that are wrongly called unknown.
    unknown_accepted, unknown_total : photos of left-out classes that are wrongly given one of the other classes.
    per_class : the latter by class.
    left_out : how many heads were fitted without some class.
    why : one sentence.
    """

    threshold: float | None
    known_rejected: int
    known_total: int
    unknown_accepted: int
    unknown_total: int
    per_class: tuple[ClassAcceptance, ...]
    left_out: int
    why: str

    def to_json(self) -> dict[str, Any]:
        return {"score": SCORE, **asdict(self)}


def novelty_score(logits: Array, temperature: float) -> Array:
    """(n,) the logarithm of the sum of ``exp(logits / (2 temperature))``: high for photos like those trained on.

    The negative free energy of Liu et al. (2020, "Energy-based out-of-distribution detection"), at twice the calibrated
    temperature. On the photographs we measured it lets fewer unknown photos pass than the largest probability, the
    margin, the largest logit, or the same at the temperature itself, for the same share of known ones.
    """
    scaled = np.asarray(logits, np.float64) / (_SOFTENING * temperature)
    top = scaled.max(axis=1)
    return np.asarray(top + np.log(np.exp(scaled - top[:, None]).sum(axis=1)))


def class_blocks(present: Array, seed: int) -> list[Array]:
    """The classes (of those `present` in training) to leave out together, in turn; none if there are under three."""
    if len(present) < 3:
        return []
    if len(present) <= MAX_LEFT_OUT:
        return [np.array([c]) for c in present]
    return [np.sort(part) for part in np.array_split(np.random.default_rng(seed).permutation(present), _BLOCKS)]


def choose_threshold(known: Array, unknown: Array, unknown_target: Array, left_out: int) -> Rejection:
    """The threshold that rejects `REJECTED_SHARE` of the known photos (at most), and what it lets pass.

    Parameters
    ----------
    known : (n,) `novelty_score` of known photos, out of fold.
    unknown : (m,) that of photos whose class the head never saw, and `unknown_target` (m,) their classes.
    left_out : the number of heads that gave `unknown`; 0 if leaving a class out was not possible.
    """
    if not left_out:
        why = "no threshold: leaving a class out to see what happens takes three classes or more"
        return Rejection(None, 0, len(known), 0, 0, (), 0, why)
    if not len(known):
        return Rejection(None, 0, 0, 0, 0, (), left_out, "no threshold: no photo could be scored out of fold")
    threshold = float(np.sort(known)[int(REJECTED_SHARE * len(known))])
    rejected = int((known < threshold).sum())
    accepted = unknown >= threshold
    rows = tuple(
        ClassAcceptance(int(c), int(accepted[unknown_target == c].sum()), int((unknown_target == c).sum()))
        for c in np.unique(unknown_target)
    )
    turns = (
        "each class was left out in turn"
        if left_out == len(rows)
        else f"{left_out} blocks of classes were left out in turn"
    )
    why = (
        f"chosen to call {REJECTED_SHARE:.0%} of the known photos unknown "
        f"({rejected:,} of {plural(len(known), 'photo')}); "
        f"{turns}: {int(accepted.sum()):,} of {plural(len(unknown), 'photo')} of unseen classes passed as known"
    )
    return Rejection(threshold, rejected, len(known), int(accepted.sum()), len(unknown), rows, left_out, why)
