"""A mean over repetitions, and how far another few repetitions might put it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Estimate:
    """A mean and its 95 % interval; `low` and `high` are None where one value says nothing about others."""

    mean: float
    low: float | None = None
    high: float | None = None

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def student(values: Sequence[float], *, least: float = -math.inf, most: float = math.inf) -> Estimate:
    """The mean of `values` with Student's t interval (1908, Biometrika 6), cut off at `least` and `most`.

    >>> student([1.0, 2.0, 3.0]).high
    4.484137711...
    """
    mean = float(np.mean(values))
    if len(values) < 2:
        return Estimate(mean)
    from scipy.special import stdtrit

    reach = float(stdtrit(len(values) - 1, 0.975) * np.std(values, ddof=1) / math.sqrt(len(values)))
    return Estimate(mean, max(least, mean - reach), min(most, mean + reach))


def percents(estimate: Estimate, *, signed: bool = False) -> str:
    """``88.84 % (95 %: 88.10-89.58)``; of a difference, `signed`: ``+1.12 points (95 %: +0.40 to +1.84)``."""
    unit, joint, form = ("points", " to ", "+.2f") if signed else ("%", "-", ".2f")
    text = f"{100 * estimate.mean:{form}} {unit}"
    if estimate.low is None or estimate.high is None:
        return text
    return f"{text} (95 %: {100 * estimate.low:{form}}{joint}{100 * estimate.high:{form}})"
