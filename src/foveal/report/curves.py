"""How a training went, epoch by epoch, as inline SVG; see `foveal.report.charts`."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from xml.sax.saxutils import escape

from foveal.report.charts import Axes, Tick, percents
from foveal.report.wording import number, percent
from foveal.svg import tag

Epochs = Sequence[Mapping[str, Any]]
"""Rows of ``history.epochs`` in ``result.json``, at least one."""

_DOTTED = 40  # epochs up to which each has a dot that names its value
_ROOM = 4  # characters of a label beside the name of the axis
_SERIES = {"val": "validation", "train": "training"}


@dataclass(frozen=True)
class _Look:
    """The style sheet's classes of a curve and of its dots."""

    line: str
    dot: str


_LOOKS = _FULL, _ = _Look("line", "mark"), _Look("dashed", "ring")


def loss_curve(epochs: Epochs, kept: int) -> str:
    """Mean loss over epochs, of training and validation; the epoch whose weights are `kept` has a larger dot."""
    values = [row[f"{part}_loss"] for row in epochs for part in _SERIES if _is_number(row[f"{part}_loss"])]
    ticks = nice_ticks(0.0, max(values, default=1.0))
    return _parts(epochs, kept, "loss", *_labelled(ticks, "loss"), number)


def accuracy_curve(epochs: Epochs, kept: int) -> str | None:
    """Share of right answers likewise; None where neither part has any."""
    values = [row[f"{part}_accuracy"] for row in epochs for part in _SERIES if _is_number(row[f"{part}_accuracy"])]
    if not values:
        return None
    ticks = [tick for tick in nice_ticks(min(0.9, *values), max(values)) if tick <= 1 + 1e-9]
    return _parts(epochs, kept, "accuracy", percents(ticks), "accuracy", percent)


def rate_curve(epochs: Epochs) -> str:
    """The learning rate of each epoch's last step."""
    ticks = nice_ticks(0.0, max(row["lr"] for row in epochs))
    axes, (labels, up) = _axes(epochs, ticks), _labelled(ticks, "learning rate")
    parts = axes.frame(_epoch_ticks(epochs), labels, "epoch", up)
    return axes.svg(
        "Learning rate over epochs", [*parts, *_line(axes, epochs, "lr", "learning rate", _FULL, 0, number)]
    )


def _parts(epochs: Epochs, kept: int, what: str, ticks: list[Tick], up: str, say: Callable[[float], str]) -> str:
    """The curves of the training and of the validation part, as far as there are any; `up` names the axis."""
    keys = {f"{part}_{what}": name for part, name in _SERIES.items()}
    drawn = [(key, name) for key, name in keys.items() if epochs[0][key] is not None]
    axes = _axes(epochs, [tick for tick, _ in ticks])
    parts = axes.frame(_epoch_ticks(epochs), ticks, "epoch", up)
    ends = ((axes.left, "start"), (axes.left + axes.width, "end"))
    for (key, name), look, (x, anchor) in list(zip(drawn, _LOOKS, ends, strict=False))[::-1]:  # the first on top
        parts += _line(axes, epochs, key, name, look, kept if look is _FULL else 0, say)
        sign = tag("tspan", "━ " if look is _FULL else "╌ ", class_=look.dot)
        place = {"x": x, "y": axes.top + axes.height + 38, "font_size": 12, "text_anchor": anchor}
        parts.append(tag("text", sign + name, class_="muted", **place))
    return axes.svg(f"{what} over epochs: {' and '.join(name for _, name in drawn)}".capitalize(), parts)


def _line(
    axes: Axes, epochs: Epochs, key: str, name: str, look: _Look, kept: int, say: Callable[[float], str]
) -> list[str]:
    """One curve, and its dots; a dot's title says the value."""
    seen = [row for row in epochs if _is_number(row[key])]
    points = [(row["epoch"], axes.x(row["epoch"]), axes.y(row[key]), say(row[key])) for row in seen]
    way = " ".join(f"{x:.1f},{y:.1f}" for _, x, y, _ in points)
    dots = [
        tag("circle", tag("title", escape(f"epoch {epoch}: {name} {value}{', kept' if epoch == kept else ''}")),
            class_=look.dot, cx=x, cy=y, r=5 if epoch == kept else 2.5)
        for epoch, x, y, value in points if len(epochs) <= _DOTTED or epoch == kept
    ]  # fmt: skip
    return [tag("polyline", class_=look.line, points=way), *dots]


def _labelled(ticks: Sequence[float], what: str) -> tuple[list[Tick], str]:
    """The ticks with labels that leave room for that of the axis, and that label, with the unit that this may take.

    >>> _labelled([0.0, 0.0005, 0.001], "rate")
    ([(0.0, '0'), (0.0005, '0.5'), (0.001, '1')], 'rate, in 1e-3')
    """
    labels = [f"{tick:g}" for tick in ticks]
    if any(len(label) > _ROOM or "e" in label for label in labels):
        power = math.floor(math.log10(ticks[-1]))
        labels, what = [f"{tick / 10.0**power:.4g}" for tick in ticks], f"{what}, in 1e{power}"
    return list(zip(ticks, labels, strict=True)), what


def _is_number(value: float | None) -> bool:
    return value is not None and math.isfinite(value)


def _axes(epochs: Epochs, ticks: Sequence[float]) -> Axes:
    first, last = epochs[0]["epoch"], epochs[-1]["epoch"]
    return Axes(205, 170, (first, last) if last > first else (first - 1, last + 1), (ticks[0], ticks[-1]))


def _epoch_ticks(epochs: Epochs) -> list[Tick]:
    first, last = epochs[0]["epoch"], epochs[-1]["epoch"]
    step = max(1, round(_step(first, last))) if last > first else 1
    return [(float(epoch), f"{epoch}") for epoch in range(first, last + 1) if epoch % step == 0]


def nice_ticks(low: float, high: float) -> list[float]:
    """Up to nine round numbers, at least two, a constant step apart that hold `low` and `high` between them.

    >>> nice_ticks(0.0, 0.93)
    [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]
    """
    if high <= low:
        high = low + (abs(low) or 1.0)
    step = _step(low, high)
    return [round(i * step, 12) for i in range(math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9) + 1)]


def _step(low: float, high: float) -> float:
    """The largest of 1, 2 or 5 times a power of ten that goes three times into the range."""
    third = (high - low) / 3
    power = 10.0 ** math.floor(math.log10(third))
    return power * max(factor for factor in (1, 2, 5) if factor * power <= third * (1 + 1e-9))
