"""The years against what the networks take and reach."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from foveal.anatomy.table import four_digits
from foveal.catalogue.rows import Entry, entries
from foveal.errors import UsageError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LANDMARKS = frozenset("""
    lenet5_paper alexnet_paper vgg16 googlenet resnet50 inception_resnet_v2 preact_resnet152 resnext50_32x4d se_resnet50
    mobilenet_v2 mobilenet_v3_large shufflenet_v1_x1_0 shufflenet_v2_x1_0
""".split())  # fmt: skip
"""The version by which a paper is known, where that is not the first."""

UNPUBLISHED = ("tiny", "lectures")
"""Families without a paper: they are not drawn."""

_COLOR, _PALE, _BAND = "#1668b0", "#9cc3e6", "#f2f2f2"
_PANELS: tuple[tuple[str, Callable[[Entry], float | None]], ...] = (
    ("parameters", lambda entry: entry.parameters or None),
    ("MACs for one image", lambda entry: entry.macs or None),
    ("top-1 on ImageNet, %", lambda entry: entry.accuracy),
)


def timeline(shown: Sequence[Entry] | None = None) -> Figure:
    """The years, from the top down, against parameters, MACs (both logarithmic) and published accuracy.

    A row for each paper, but for families of `UNPUBLISHED`. Its full dot is the network that names it, its pale ones
    are the other versions.

    Parameters
    ----------
    shown : of `foveal.catalogue.entries`; all of them if None.

    Raises
    ------
    UsageError : there is nothing to draw.
    """
    import matplotlib.pyplot as plt
    from matplotlib.ticker import NullLocator

    papers: dict[tuple[int, str], list[Entry]] = {}
    for entry in sorted(entries() if shown is None else shown, key=lambda entry: entry.year):
        if entry.family not in UNPUBLISHED:
            papers.setdefault((entry.year, entry.paper), []).append(entry)
    if not papers:
        raise UsageError("no network to draw: the filters leave none that a paper published")
    size = (13, 1.3 + 0.25 * len(papers))
    figure, axes = plt.subplots(1, 3, sharey=True, figsize=size, layout="constrained", width_ratios=(3, 3, 2))
    rows = [(_first(versions), versions) for versions in papers.values()]
    for ax, (title, value) in zip(axes, _PANELS, strict=True):
        _panel(ax, rows, title, value)
    for ax in axes[:2]:
        ax.set_xscale("log")
        ax.xaxis.set_major_formatter(lambda count, _: four_digits(round(count)))
        ax.xaxis.set_minor_locator(NullLocator())
    axes[0].set_yticks(range(len(rows)), [f"{first.name}   {first.year}" for first, _ in rows])
    axes[0].invert_yaxis()
    figure.supxlabel("full: the network named on the left; pale: other versions of its paper", fontsize="small")
    return figure


def _first(versions: Sequence[Entry]) -> Entry:
    return next((entry for entry in versions if entry.name in LANDMARKS), versions[0])


def _panel(
    ax: Axes, rows: Sequence[tuple[Entry, Sequence[Entry]]], title: str, value: Callable[[Entry], float | None]
) -> None:
    years = sorted({first.year for first, _ in rows})
    for y, (first, versions) in enumerate(rows):
        if years.index(first.year) % 2:
            ax.axhspan(y - 0.5, y + 0.5, color=_BAND, linewidth=0, zorder=0)
        known = [number for entry in versions if (number := value(entry)) is not None]
        ax.plot(known, [y] * len(known), "o-", color=_PALE, markersize=4, linewidth=1)
        if (number := value(first)) is not None:
            ax.plot(number, y, "o", color=_COLOR, markersize=7)
    ax.set_title(title)
    ax.set_axisbelow(True)
    ax.grid(axis="x", color="#d8d8d8", linewidth=0.6)
    ax.spines[:].set_visible(False)
    ax.tick_params(length=0)
    ax.margins(y=0.01)
