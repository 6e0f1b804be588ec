"""The race drawn: trajectories over the surface's contours, and the curves of the heights or losses."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from foveal.teaching.plots import SMOOTH, finish
from foveal.teaching.race import NETWORK, SURFACES, Lane, Race, Surface
from foveal.text import plural

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe & Ito (2008): they stay apart for the colour-blind.
COLOURS = {
    "sgd": "#000000",
    "momentum": "#e69f00",
    "nesterov": "#56b4e9",
    "adagrad": "#009e73",
    "rmsprop": "#d55e00",
    "adam": "#cc79a7",
}
MOST_DOTS = 100
"""Steps, at most, of a trajectory with a dot at each."""


def plot(result: Race) -> Figure:
    """Trajectories and heights of a surface; of a network its losses. A cross is where an optimizer diverged."""
    import matplotlib.pyplot as plt

    if result.track in SURFACES:
        surface = SURFACES[result.track]
        figure, (plane, curves) = plt.subplots(1, 2, figsize=(12, 4.8), layout="constrained")
        _trajectories(plane, result, surface)
        figure.suptitle(surface.formula)
        curves.set(yscale="log", ylabel=f"height above the minimum, {surface.lowest:g}")
        _curves(curves, result, 1, surface.lowest)
    else:
        figure, curves = plt.subplots(figsize=(8, 4.8), layout="constrained")
        figure.suptitle(NETWORK)
        smooth = min(SMOOTH, result.steps)
        _curves(curves, result, smooth, 0.0)
        curves.set(ylim=(0, None), ylabel=f"cross-entropy, mean of {plural(smooth, 'batch', 'batches')}")
    curves.set_xlabel("step")
    finish(curves)
    return figure


def _trajectories(ax: Axes, result: Race, surface: Surface) -> None:
    left, right, bottom, top = surface.view
    x, y = np.meshgrid(np.linspace(left, right, 300), np.linspace(bottom, top, 300))
    height = surface.height(np.stack([x, y], -1))
    levels = height.min() + (height.max() - height.min()) * np.linspace(0, 1, 16)[1:] ** 3
    ax.contour(x, y, height, levels=levels, colors="#b9c0c8", linewidths=0.7)
    for lane in result.lanes:
        px, py = np.array(lane.points).T
        dots = 2.5 if result.steps <= MOST_DOTS else 0
        ax.plot(px, py, "o-", color=COLOURS[lane.rule], markersize=dots, linewidth=1.2)
        ax.plot(px[-1], py[-1], "X" if lane.diverged else "o", color=COLOURS[lane.rule], markersize=6)
    ax.plot(*surface.start, "s", color="#1b1f24", markersize=8, markerfacecolor="white")
    ax.set(xlim=(left, right), ylim=(bottom, top), xlabel="x", ylabel="y")
    ax.spines[["top", "right"]].set_visible(False)


def _curves(ax: Axes, result: Race, smooth: int, lowest: float) -> None:
    for lane in result.lanes:
        losses = np.array(lane.losses) - lowest
        if len(losses) >= smooth:
            losses = np.convolve(losses, np.full(smooth, 1 / smooth), "valid")
        steps = np.arange(len(losses)) + smooth - 1
        ax.plot(steps, losses, color=COLOURS[lane.rule], label=_label(lane))
        if lane.diverged:
            ax.plot(steps[-1], losses[-1], "X", color=COLOURS[lane.rule], markersize=8)


def _label(lane: Lane) -> str:
    end = ": diverged" if lane.diverged else "" if lane.accuracy is None else f": {100 * lane.accuracy:.1f} %"
    return f"{lane.rule} ({lane.lr:g}){end}"
