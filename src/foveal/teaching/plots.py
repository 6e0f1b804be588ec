"""What plots share."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SMOOTH = 10
"""Batches whose mean a curve of losses shows: one batch is easier than the next."""


def finish(ax: Axes) -> None:
    """Grid, spines and, where something is labelled, legend as all plots have them."""
    ax.grid(color="#e3e3e3", linewidth=0.6)
    ax.spines[["top", "right"]].set_visible(False)
    if ax.get_legend_handles_labels()[1]:
        ax.legend(frameon=False)
