"""SVG elements are parsed back as XML."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import pytest

from foveal.svg import label, picture, tag, trimmed

HOSTILE = "</text><script>\"'&\x1b\u202e"


def test_attributes_are_named_as_svg_names_them() -> None:
    assert tag("rect", class_="a", font_size=12, x=1 / 3) == '<rect class="a" font-size="12" x="0.33"/>'
    assert tag("g", tag("path", d="M0 0")) == '<g><path d="M0 0"/></g>'


@pytest.mark.parametrize(("value", "text"), [(2.0, "2"), (2.5, "2.5"), (1e-9, "0"), (-0.125, "-0.12"), (7, "7")])
def test_numbers_are_short(value: float, text: str) -> None:
    assert trimmed(value) == text


def test_foreign_text_stays_text() -> None:
    root = ET.fromstring(picture(10, 20, HOSTILE, [label(1, 2, HOSTILE), tag("g", id=HOSTILE.replace("\x1b", ""))]))
    assert [element.tag for element in root.iter()] == ["svg", "title", "text", "g"]
    assert root[0].text == root[1].text == root.attrib["aria-label"] == "</text><script>\"'&\\x1b\\u202e"


def test_a_picture_has_a_size_and_a_name() -> None:
    root = ET.fromstring(picture(10, 20.5, "what it shows", [], class_="mine"))
    assert root.attrib == {
        "viewBox": "0 0 10 20.5", "width": "10", "height": "20.5", "role": "img", "aria-label": "what it shows",
        "class": "mine",
    }  # fmt: skip
