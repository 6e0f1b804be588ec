"""Small matrices drawn: each cell coloured on a scale symmetric about zero, with its value in it."""

from __future__ import annotations

from typing import Literal

import numpy as np

from foveal.colors import diverging
from foveal.svg import label, picture, tag

WIDTH, HEIGHT = 68, 26


def grid(
    values: np.ndarray,
    title: str,
    *,
    scale: Literal["signals", "parameters"] = "signals",
    inside: np.ndarray | None = None,
    dashed: bool = False,
) -> str:
    """An SVG of a matrix.

    Parameters
    ----------
    values : (rows, columns).
    scale : of signals and gradients, or of parameters.
    inside : False where a cell is padding, which is hatched.
    dashed : a dashed frame, which says that these are gradients.
    """
    rows, columns = values.shape
    most = float(np.abs(values).max()) or 1.0
    parts = []
    for (y, x), value in np.ndenumerate(values):
        real = inside is None or bool(inside[y, x])
        colour = diverging(value / most, scale)
        dark = float(colour @ [0.299, 0.587, 0.114]) < 130
        shade = "#{:02x}{:02x}{:02x}".format(*colour)
        place = {"x": x * WIDTH, "y": y * HEIGHT}
        parts.append(tag("rect", width=WIDTH, height=HEIGHT, fill=shade, stroke="#9aa1a9", stroke_width=0.5, **place))
        if not real:
            line = {"x1": x * WIDTH, "y1": (y + 1) * HEIGHT, "x2": (x + 1) * WIDTH, "y2": y * HEIGHT}
            parts.append(tag("line", stroke="#5a626c", stroke_dasharray="3 3", **line))
        text = f"{value:.4g}" if real else "pad"
        style = {"text_anchor": "middle", "font_size": 11, "fill": "#ffffff" if dark else "#1b1f24"}
        parts.append(label((x + 0.5) * WIDTH, (y + 0.68) * HEIGHT, text, **style | {"class_": "cell"}))
    if dashed:
        frame = {"fill": "none", "stroke": "#1b1f24", "stroke_dasharray": "5 4", "stroke_width": 1.5}
        parts.append(tag("rect", x=1, y=1, width=columns * WIDTH - 2, height=rows * HEIGHT - 2, **frame))
    return picture(columns * WIDTH, rows * HEIGHT, title, parts)


def legend(scale: Literal["signals", "parameters"]) -> str:
    """The scale from the most negative to the most positive value, by the function that colours the cells."""
    steps = np.linspace(-1, 1, 41)
    colours = ["#{:02x}{:02x}{:02x}".format(*diverging(step, scale)) for step in steps]
    parts = [tag("rect", x=i * 4, y=0, width=4.2, height=10, fill=colour) for i, colour in enumerate(colours)]
    return picture(164, 10, f"{scale}: from minus the largest to plus the largest", parts)
