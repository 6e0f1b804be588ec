"""SVG as text: one element at a time, well formed whatever is in it."""

from __future__ import annotations

from collections.abc import Sequence
from xml.sax.saxutils import escape, quoteattr

from foveal.text import printable


def tag(name: str, content: str = "", /, **attributes: object) -> str:
    """One element; ``font_size`` becomes ``font-size``, ``class_`` ``class``; `content` is XML already."""
    listed = "".join(f" {key.strip('_').replace('_', '-')}={quoteattr(trimmed(v))}" for key, v in attributes.items())
    return f"<{name}{listed}>{content}</{name}>" if content else f"<{name}{listed}/>"


def trimmed(value: object) -> str:
    """A float with two decimals at most, anything else as it is.

    >>> trimmed(0.1 + 0.2), trimmed(3.0), trimmed("3.0")
    ('0.3', '3', '3.0')
    """
    return f"{value:.2f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)


def label(x: float | str, y: float, text: str, /, **attributes: object) -> str:
    """`text`, which may be foreign, at a place."""
    return tag("text", escape(printable(text)), **{"class_": "ink", "x": x, "y": y, **attributes})


def picture(width: float, height: float, title: str, parts: Sequence[str], /, **attributes: object) -> str:
    """The whole ``<svg>`` element; `title`, which may be foreign, is what a screen reader says."""
    name = printable(title, limit=500)
    shown = {
        "viewBox": f"0 0 {trimmed(float(width))} {trimmed(float(height))}",
        "width": float(width),
        "height": float(height),
        "role": "img",
        "aria_label": name,
        "class_": "chart",
    }
    return tag("svg", tag("title", escape(name)) + "".join(parts), **shown | attributes)
