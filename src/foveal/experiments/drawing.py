"""Curves of losses, as the experiments on digits plot them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from foveal.teaching.plots import SMOOTH, finish

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def loss_curve(ax: Axes, losses: tuple[float, ...], colour: str, label: str) -> None:
    """`losses`, each with those of the `SMOOTH` - 1 batches before it."""
    few = min(SMOOTH, len(losses))
    means = np.convolve(losses, np.full(few, 1 / few), "valid")
    ax.plot(np.arange(few, len(losses) + 1), means, color=colour, label=label)


def loss_axes(ax: Axes) -> None:
    """What stands about the losses on ten classes."""
    ax.axhline(math.log(10), color="#9aa1a9", linestyle=":", label="ln 10: all classes alike")
    ax.set(xlabel="step", ylabel=f"cross-entropy, mean of {SMOOTH} batches", ylim=(0, None))
    finish(ax)
