"""What the selection of a head gives back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from foveal.errors import FovealError
from foveal.heads.diagnosis import Doubt, LearningCurve
from foveal.heads.rejection import Rejection

Array = NDArray[Any]


@dataclass(frozen=True)
class Candidate:
    """One head that was tried on the training photos, each photo judged by a fit that did not see its group.

    Attributes
    ----------
    kind : ``"ridge"`` or ``"logistic"``.
    taps : the features it reads.
    view : ``"plain"``, or ``"flip"`` with mirrored copies among the training rows.
    penalty : on the squared weights, for rows of expected squared length 1.
    accuracy, correct, total : out of sample.
    log_loss : out of sample, after temperature.
    chosen : whether its step of the selection picked it; the candidates of one step share their `note`.
    note : how it was judged.
    """

    kind: str
    taps: tuple[str, ...]
    view: str
    penalty: float
    accuracy: float
    correct: int
    total: int
    log_loss: float
    chosen: bool
    note: str

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Head:
    """A linear classifier on features in their own units.

    Attributes
    ----------
    weight : (classes, D) float32, D the widths of `taps` in order; bias : (classes,) float32.
    temperature : probabilities are ``softmax(logits / temperature)``.
    threshold : a photo whose `novelty_score(logits, temperature)` is lower is unknown; None: never.
    """

    kind: str
    taps: tuple[str, ...]
    view: str
    penalty: float
    weight: Array
    bias: Array
    temperature: float
    threshold: float | None

    def logits(self, features: Mapping[str, Array]) -> Array:
        """(n, classes) scores from ``{tap: (n, d)}``; other taps are ignored.

        Raises FovealError if a tap is missing or the widths do not fit.
        """
        missing = [tap for tap in self.taps if tap not in features]
        if missing:
            raise FovealError(f"this head reads the features {', '.join(self.taps)}; {', '.join(missing)} not given")
        width = sum(features[tap].shape[1] for tap in self.taps)
        if width != self.weight.shape[1]:
            raise FovealError(f"this head reads {self.weight.shape[1]} features a photo, received {width}")
        start, scores = 0, self.bias
        for tap in self.taps:
            x = features[tap]
            scores = scores + x @ self.weight[:, start : start + x.shape[1]].T
            start += x.shape[1]
        return scores


@dataclass(frozen=True)
class Validation:
    """The chosen head on the training photos, out of fold. `total` leaves out photos that cannot be judged so."""

    folds: int
    correct: int
    total: int
    accuracy: float
    interval: tuple[float, float]
    log_loss: float
    calibration_error: float

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Selection:
    """The head, and the whole account of how it was chosen.

    Attributes
    ----------
    head : fitted to all training photos.
    candidates : in the order they were tried.
    why : one sentence.
    oof_logits, oof_probabilities : (n, classes) of each photo by a head that did not see its fold; NaN rows where the
        photo's class has no photo outside the fold.
    validation : None if no photo could be judged out of fold.
    rejection, doubts, learning_curve : see there.
    notes : what the reader should know about the data's limits.
    seconds : by step.
    """

    head: Head
    candidates: tuple[Candidate, ...]
    why: str
    oof_logits: Array
    oof_probabilities: Array
    validation: Validation | None
    rejection: Rejection
    doubts: tuple[Doubt, ...]
    learning_curve: LearningCurve
    notes: tuple[str, ...]
    seconds: dict[str, float]

    def to_json(self) -> dict[str, Any]:
        """Everything but the arrays."""
        head = self.head
        return {
            "chosen": {
                "kind": head.kind,
                "taps": list(head.taps),
                "view": head.view,
                "penalty": head.penalty,
                "temperature": head.temperature,
                "threshold": head.threshold,
            },
            "why": self.why,
            "candidates": [c.to_json() for c in self.candidates],
            "validation": self.validation.to_json() if self.validation else None,
            "rejection": self.rejection.to_json(),
            "doubts": [asdict(d) for d in self.doubts],
            "learning_curve": self.learning_curve.to_json(),
            "notes": list(self.notes),
            "seconds": {step: round(seconds, 4) for step, seconds in self.seconds.items()},
        }


def all_finite(features: Mapping[str, Array]) -> None:
    """FovealError naming the first row that holds NaN or infinity."""
    for tap, x in features.items():
        if not np.isfinite(x.sum(dtype=np.float64)):
            row = next(i for i in range(len(x)) if not np.isfinite(x[i]).all())
            raise FovealError(
                f"features {tap!r}, row {row}: not a finite number; every feature must be finite. "
                "Extract them again, with --precision f32 if it happens again"
            )
