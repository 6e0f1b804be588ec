"""The report's charts as inline SVG, each a pure function of numbers that returns one well-formed ``<svg>`` element.

Text and lines take their colours from the page's style sheet (classes ``ink``, ``muted``, ``grid``, ``mark``,
``band``), so they follow light and dark; cells that show a magnitude carry their cividis colour and a text colour that
can be read on it. Names are made `printable` and escaped here.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any
from xml.sax.saxutils import escape

from foveal.colors import cividis
from foveal.metrics import wilson
from foveal.report.wording import percent
from foveal.svg import label, picture, tag, trimmed
from foveal.text import plural, printable

Rgb = tuple[int, int, int]
Tick = tuple[float, str]
LARGEST_MATRIX = 25  # classes; a larger confusion matrix cannot be read, the list of its largest cells can


def colors_of(values: Sequence[float]) -> list[Rgb]:
    """The cividis colour of each value in [0, 1]."""
    import numpy as np

    return [(int(r), int(g), int(b)) for r, g, b in cividis(np.asarray(values, np.float64))]


def luminance(color: Rgb) -> float:
    """Relative luminance of an sRGB colour (WCAG 2.2)."""
    linear = [c / 255 / 12.92 if c / 255 <= 0.04045 else ((c / 255 + 0.055) / 1.055) ** 2.4 for c in color]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: Rgb, other: Rgb) -> float:
    """Contrast ratio of two colours, 1 to 21 (WCAG 2.2)."""
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def ink_on(color: Rgb) -> str:
    """Black or white, whichever can be read on `color` (at least 4.58 : 1 on any colour)."""
    return "#000" if contrast(color, (0, 0, 0)) > contrast(color, (255, 255, 255)) else "#fff"


def _hex(color: Rgb) -> str:
    return "#{:02x}{:02x}{:02x}".format(*color)


def legend(low: str, high: str, *, title: str = "") -> str:
    """The cividis scale with what its two ends mean; the colours come from the function that coloured the pixels."""
    steps = 48
    colors = colors_of([i / (steps - 1) for i in range(steps)])
    strip = [
        tag("rect", x=4.0 * i, y=0, width=4.5, height=10, fill=_hex(c), shape_rendering="crispEdges")
        for i, c in enumerate(colors)
    ]
    ends = label(0, 25, low, font_size=12) + label(4.0 * steps, 25, high, font_size=12, text_anchor="end")
    return picture(4 * steps + 1, 30, title or f"colour scale from {low} to {high}", [*strip, ends])


def confusion_matrix(classes: Sequence[str], confusion: Sequence[Sequence[int]]) -> str:
    """The confusion matrix: rows true, columns predicted; counts, and percentages of the row where they fit.

    Parameters
    ----------
    classes : c names, at most `LARGEST_MATRIX`.
    confusion : c x c counts, rows true.
    """
    count = len(classes)
    side = 54 if count <= 8 else 44 if count <= 12 else 30
    limit = 18 if count <= 12 else 14
    names = [printable(name, limit=limit) for name in classes]
    gutter = 30 + 7.4 * max(map(len, names), default=0)
    upright = all(len(name) * 7.4 <= side for name in names)
    top = 46 if upright else 42 + 7.4 * 0.75 * max(map(len, names), default=0)
    parts = [
        label(gutter + count * side / 2, 14, "predicted", font_size=13, text_anchor="middle", class_="muted"),
        tag("text", "true", class_="muted", font_size=13, text_anchor="middle",
            transform=f"translate(13 {trimmed(top + count * side / 2)}) rotate(-90)"),
    ]  # fmt: skip
    for i, (name, full) in enumerate(zip(names, classes, strict=True)):
        middle = i * side + side / 2
        hint = tag("title", escape(printable(full)))
        parts.append(tag("text", hint + escape(name), class_="ink", x=gutter - 8, y=top + middle + 4.5,
                         font_size=13, text_anchor="end"))  # fmt: skip
        where = f"translate({trimmed(gutter + middle + (0 if upright else 3))} {trimmed(top - 8)})"
        turn, anchor = ("", "middle") if upright else (" rotate(-48)", "start")
        parts.append(tag("text", hint + escape(name), class_="ink", font_size=13, text_anchor=anchor,
                         transform=where + turn))  # fmt: skip
    for i, row in enumerate(confusion):
        total = sum(row)
        colors = colors_of([value / total if total else 0.0 for value in row])
        for j, value in enumerate(row):
            parts.append(_cell(gutter + j * side, top + i * side, side, value, total, colors[j],
                               f"true {names[i]}, predicted {names[j]}"))  # fmt: skip
    slant = 0 if upright else 7.4 * 0.68 * len(names[-1]) if names else 0
    width = gutter + count * side + max(1, slant - side / 2 + 8)
    title = f"Confusion matrix of {count} classes; rows are the true class, columns the predicted one"
    return picture(width, top + count * side + 1, title, parts)


def _cell(x: float, y: float, side: float, value: int, total: int, color: Rgb, where: str) -> str:
    box = {"x": x + 0.75, "y": y + 0.75, "width": side - 1.5, "height": side - 1.5, "rx": 3}
    if not value:
        return tag("rect", class_="empty", **box)
    hint = tag("title", escape(f"{where}: {value:,} of {total:,} ({percent(value / total)})"))
    ink, middle = ink_on(color), x + side / 2
    size = 15 if side > 40 and value < 10_000 else 11 if value < 1000 else 9
    written = tag("text", f"{value}", x=middle, y=y + side / 2 + (1 if side > 40 else 4), font_size=size, fill=ink,
                  text_anchor="middle")  # fmt: skip
    if side > 40:
        part = percent(value / total).replace(".0 %", " %")
        written += tag("text", escape(part), x=middle, y=y + side / 2 + 15, font_size=10.5, fill=ink,
                       text_anchor="middle")  # fmt: skip
    return tag("g", hint + tag("rect", fill=_hex(color), **box) + written)


def recall_bar(recall: float | None, support: int) -> str:
    """One class's recall from 0 to 100 % as a bar, with its Wilson interval (95 %) as a whisker."""
    width, height = 180, 18
    frame = tag("rect", class_="track", x=0, y=4, width=width, height=10, rx=2)
    if recall is None or not support:
        return picture(width, height, "no photos to measure recall", [frame])
    low, high = wilson(round(recall * support), support)
    bar = tag("rect", class_="bar", x=0, y=4, width=width * recall, height=10, rx=2)
    line = _whisker_x(width * low, width * high, 9)
    title = f"recall {percent(recall)}, 95 % interval {percent(low)} to {percent(high)}"
    return picture(width, height, title, [frame, bar, line])


def _whisker_x(low: float, high: float, y: float) -> str:
    low, high = low + 1, high - 1  # keep the end strokes inside the picture
    return tag("path", class_="whisker", d=f"M{low:.1f} {y - 5}v10M{low:.1f} {y}H{high:.1f}M{high:.1f} {y - 5}v10")


def gauge(score: Mapping[str, Any], floor: tuple[str, float] | None) -> str:
    """The headline's accuracy on a line from 0 to 100 %, its interval as a band, always-the-largest-class as a tick.

    It is as wide as its place (lengths across are percentages), so that its text stays readable on a phone.
    """
    (low, high), y = score["interval"], 30
    parts = [
        tag("rect", class_="track", x=0, y=y - 4, width="100%", height=8, rx=4),
        tag("rect", class_="band", x=_part(low), y=y - 10, width=_part(high - low), height=20, rx=3),
        tag("circle", class_="mark", cx=_part(score["accuracy"]), cy=y, r=6),
    ]
    for tick, anchor in ((0, "start"), (0.5, "middle"), (1, "end")):
        parts.append(label(_part(tick), y + 28, f"{100 * tick:.0f} %", class_="muted", font_size=12,
                           text_anchor=anchor))  # fmt: skip
    title = f"accuracy {percent(score['accuracy'])}, interval {percent(low)} to {percent(high)}"
    if floor:
        name, x = f"always {printable(floor[0], limit=18)}: {percent(floor[1])}", _part(floor[1])
        anchor = "end" if floor[1] > 0.5 else "start"
        parts.append(tag("line", class_="whisker", x1=x, x2=x, y1=y - 10, y2=y + 10))
        parts.append(label(x, y - 16, name, class_="muted", font_size=12, text_anchor=anchor))
        title += f"; {name}"
    head = tag("title", escape(title))
    return tag("svg", head + "".join(parts), width="100%", height=64, role="img", aria_label=title,
               class_="chart gauge")  # fmt: skip


def _part(value: float) -> str:
    return f"{100 * value:.2f}%"


def percents(values: Sequence[float]) -> list[Tick]:
    """Ticks at shares of 1."""
    return [(value, f"{100 * value:.0f} %") for value in values]


class Axes:
    """The frame of a chart: maps data to pixels."""

    def __init__(self, width: int, height: int, x: tuple[float, float], y: tuple[float, float]) -> None:
        self.left, self.top, self.width, self.height = 58, 12, width, height
        self._x, self._y = x, y

    def x(self, value: float) -> float:
        low, high = self._x
        return self.left + self.width * (value - low) / ((high - low) or 1)

    def y(self, value: float) -> float:
        low, high = self._y
        return self.top + self.height * (high - value) / ((high - low) or 1)

    def frame(self, x_ticks: Sequence[Tick], y_ticks: Sequence[Tick], x: str, y: str) -> list[str]:
        right, bottom = self.left + self.width, self.top + self.height
        lines = "".join(f"M{self.left} {self.y(t):.1f}H{right}" for t, _ in y_ticks)
        lines += "".join(f"M{self.x(t):.1f} {self.top}V{bottom}" for t, _ in x_ticks)
        parts = [tag("path", class_="grid", d=lines)]
        small = {"font_size": 12, "class_": "muted"}
        parts += [label(self.left - 7, self.y(t) + 4, text, text_anchor="end", **small) for t, text in y_ticks]
        parts += [label(self.x(t), bottom + 17, text, text_anchor="middle", **small) for t, text in x_ticks]
        parts.append(label(self.left + self.width / 2, bottom + 38, x, text_anchor="middle", font_size=13))
        turned = f"translate(11 {trimmed(self.top + self.height / 2)}) rotate(-90)"
        parts.append(tag("text", escape(y), class_="ink", font_size=13, text_anchor="middle", transform=turned))
        return parts

    def svg(self, title: str, parts: Sequence[str]) -> str:
        return picture(self.left + self.width + 26, self.top + self.height + 46, title, parts)


def reliability_diagram(bins: Sequence[Mapping[str, Any]], noun: str = "photo") -> str:
    """Said against right: each bin's accuracy (with its Wilson interval, 95 %) over its mean confidence.

    Parameters
    ----------
    bins : mappings with confidence, accuracy and count; empty bins are left out.
    """
    axes = Axes(280, 280, (0, 1), (0, 1))
    ticks = percents([0.0, 0.25, 0.5, 0.75, 1.0])
    parts = axes.frame(ticks, ticks, "how sure it was (confidence)",
                       "how often it was right")  # fmt: skip
    parts.append(tag("path", class_="dashed", d=f"M{axes.x(0):.1f} {axes.y(0):.1f}L{axes.x(1):.1f} {axes.y(1):.1f}"))
    parts.append(label(axes.x(0.05), axes.y(0.93), "better than it says", class_="muted", font_size=12))
    parts.append(label(axes.x(0.97), axes.y(0.05), "surer than it should be", class_="muted", font_size=12,
                       text_anchor="end"))  # fmt: skip
    points = [b for b in bins if b["count"]]
    way = " ".join(f"{axes.x(b['confidence']):.1f},{axes.y(b['accuracy']):.1f}" for b in points)
    parts.append(tag("polyline", class_="line", points=way))
    for b in points:
        x, y = axes.x(b["confidence"]), axes.y(b["accuracy"])
        low, high = wilson(round(b["accuracy"] * b["count"]), b["count"])
        said, right = percent(b["confidence"]), percent(b["accuracy"])
        hint = tag("title", escape(f"{plural(b['count'], noun)}: {said} sure, {right} right"))
        bar = tag("path", class_="whisker", d=f"M{x:.1f} {axes.y(low):.1f}V{axes.y(high):.1f}")
        parts.append(tag("g", hint + bar + tag("circle", class_="mark", cx=x, cy=y, r=4.5)))
    return axes.svg("Reliability diagram: confidence across, share of right answers up; ideal is the diagonal", parts)


def learning_curve(points: Sequence[Mapping[str, Any]]) -> str:
    """Accuracy over the number of training photos (logarithmic), with its interval as a band.

    Parameters
    ----------
    points : mappings with photos, accuracy, low and high; at least one.
    """
    places = [math.log2(p["photos"]) for p in points]
    floor = math.floor(10 * min(p["low"] for p in points)) / 10
    axes = Axes(280, 210, (places[0], places[-1]), (floor, 1))
    step = 0.1 if floor >= 0.4 else 0.2
    y_ticks = [round(1 - step * i, 3) for i in range(11) if 1 - step * i >= floor - 1e-9]
    parts = axes.frame(_apart(places, points, axes), percents(y_ticks), "training photos", "accuracy")
    upper = [f"{axes.x(x):.1f},{axes.y(p['high']):.1f}" for x, p in zip(places, points, strict=True)]
    lower = [f"{axes.x(x):.1f},{axes.y(p['low']):.1f}" for x, p in zip(places, points, strict=True)]
    parts.append(tag("polygon", class_="band", points=" ".join(upper + lower[::-1])))
    middle = [f"{axes.x(x):.1f},{axes.y(p['accuracy']):.1f}" for x, p in zip(places, points, strict=True)]
    parts.append(tag("polyline", class_="line", points=" ".join(middle)))
    for x, p in zip(places, points, strict=True):
        hint = f"{p['photos']:,} photos: {percent(p['accuracy'])}, {percent(p['low'])} to {percent(p['high'])}"
        dot = tag("circle", tag("title", escape(hint)), class_="mark", cx=axes.x(x), cy=axes.y(p["accuracy"]), r=4.5)
        parts.append(dot)
    return axes.svg("Learning curve: accuracy over the number of training photos, with its interval", parts)


def _apart(places: Sequence[float], points: Sequence[Mapping[str, Any]], axes: Axes) -> list[Tick]:
    """Tick labels, from the right, leaving out those that would touch."""
    ticks: list[Tick] = []
    for x, p in sorted(zip(places, points, strict=True), key=lambda pair: -pair[0]):
        if not ticks or axes.x(ticks[-1][0]) - axes.x(x) > 44:
            ticks.append((x, f"{p['photos']:,}"))
    return ticks


def bar(part: float) -> str:
    """A plain bar for a share between 0 and 1, beside a number that says the same."""
    width = 160
    mark = tag("rect", class_="bar", x=0, y=3, width=max(1.0, width * part), height=10, rx=2)
    track = tag("rect", class_="track", x=0, y=3, width=width, height=10, rx=2)
    return picture(width, 16, percent(part), [track, mark])
