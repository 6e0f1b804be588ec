"""Charts are parsed as XML and their geometry is read back."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET

import numpy as np
import pytest
from report_example import HOSTILE

from foveal.colors import cividis
from foveal.metrics import wilson
from foveal.report import charts
from foveal.text import printable


def texts(drawing: str) -> list[str]:
    return ["".join(element.itertext()) for element in ET.fromstring(drawing).iter("text")]


def attributes(drawing: str, tag: str, name: str) -> list[dict[str, str]]:
    return [element.attrib for element in ET.fromstring(drawing).iter(tag) if element.get("class") == name]


@pytest.mark.parametrize("count", [2, 8, 12, 25])
def test_confusion_matrix_has_axes_counts_and_row_percentages(count: int) -> None:
    matrix = (np.eye(count, dtype=int) * 6 + np.eye(count, k=1, dtype=int) * 2).tolist()
    drawing = charts.confusion_matrix([f"c{i}" for i in range(count)], matrix)
    said = texts(drawing)
    assert "true" in said and "predicted" in said
    assert said.count("6") == count and said.count("2") == count - 1
    if count <= 12:
        assert said.count("75 %") == count - 1 and said.count("25 %") == count - 1 and said.count("100 %") == 1
    hints = [element.text for element in ET.fromstring(drawing).iter("title")]
    assert "true c0, predicted c1: 2 of 8 (25.0 %)" in hints
    assert len(attributes(drawing, "rect", "empty")) == count * count - 2 * count + 1


def test_confusion_matrix_stays_inside_its_picture() -> None:
    drawing = charts.confusion_matrix(["x" * 4000] * 5, np.ones((5, 5), int).tolist())
    root = ET.fromstring(drawing)
    width, height = (float(v) for v in root.attrib["viewBox"].split()[2:])
    for box in root.iter("rect"):
        assert float(box.attrib["x"]) + float(box.attrib["width"]) <= width
        assert float(box.attrib["y"]) + float(box.attrib["height"]) <= height
    assert width < 600


def test_hostile_names_are_text() -> None:
    drawing = charts.confusion_matrix(HOSTILE, np.ones((8, 8), int).tolist())
    hints = [element.text for element in ET.fromstring(drawing).iter("title")]
    assert {printable(name) for name in HOSTILE} <= set(hints)
    assert {element.tag for element in ET.fromstring(drawing).iter()} <= {"svg", "title", "text", "rect", "g"}


def test_cells_are_cividis_and_their_text_can_be_read() -> None:
    values = np.linspace(0, 1, 101)
    for color, expected in zip(charts.colors_of(values.tolist()), cividis(values), strict=True):
        assert color == tuple(expected.tolist())
        ink = (0, 0, 0) if charts.ink_on(color) == "#000" else (255, 255, 255)
        assert charts.contrast(color, ink) >= 4.5


def test_contrast_is_that_of_wcag() -> None:
    """Known pairs: black on white 21; #767676 on white is the lightest grey that passes 4.5."""
    assert charts.contrast((0, 0, 0), (255, 255, 255)) == pytest.approx(21)
    assert charts.contrast((0x76, 0x76, 0x76), (255, 255, 255)) == pytest.approx(4.54, abs=0.01)
    assert charts.contrast((0x77, 0x77, 0x77), (255, 255, 255)) < 4.5


def test_recall_bar_is_to_scale_with_its_interval() -> None:
    drawing = charts.recall_bar(0.75, 40)
    assert float(attributes(drawing, "rect", "bar")[0]["width"]) == pytest.approx(0.75 * 180)
    (whisker,) = attributes(drawing, "path", "whisker")
    places = [float(x) for x in re.findall(r"M([\d.]+)", whisker["d"])]
    low, high = wilson(30, 40)
    assert min(places) == pytest.approx(180 * low, abs=1.1) and max(places) == pytest.approx(180 * high, abs=1.1)
    assert not attributes(charts.recall_bar(None, 0), "rect", "bar")


def test_reliability_points_lie_on_the_diagonal_when_calibrated() -> None:
    bins = [{"confidence": c, "accuracy": c, "count": 40} for c in (0.25, 0.5, 0.75)]
    drawing = charts.reliability_diagram([*bins, {"confidence": 0.1, "accuracy": 0.9, "count": 0}])
    dots = attributes(drawing, "circle", "mark")
    assert len(dots) == 3
    (line,) = attributes(drawing, "path", "dashed")
    x0, y0, x1, y1 = (float(v) for v in re.findall(r"[\d.]+", line["d"]))
    for dot in dots:
        across = (float(dot["cx"]) - x0) / (x1 - x0)
        up = (float(dot["cy"]) - y0) / (y1 - y0)
        assert across == pytest.approx(up, abs=0.01)


@pytest.mark.parametrize("count", [1, 2, 9])
def test_learning_curve_rises_and_names_its_ends(count: int) -> None:
    points = [
        {"photos": 10 * 2**k, "accuracy": 0.5 + k / 20, "low": 0.45 + k / 20, "high": 0.55 + k / 20}
        for k in range(count)
    ]
    drawing = charts.learning_curve(points)
    heights = [float(dot["cy"]) for dot in attributes(drawing, "circle", "mark")]
    assert len(heights) == count and heights == sorted(heights, reverse=True)
    assert f"{10 * 2 ** (count - 1):,}" in texts(drawing)
    (band,) = attributes(drawing, "polygon", "band")
    assert len(band["points"].split()) == 2 * count


def test_gauge_is_in_percent() -> None:
    drawing = charts.gauge({"accuracy": 0.9, "interval": [0.8, 0.95]}, ("<b>", 0.25))
    assert attributes(drawing, "circle", "mark")[0]["cx"] == "90.00%"
    assert attributes(drawing, "rect", "band")[0]["x"] == "80.00%"
    assert "always <b>: 25.0 %" in texts(drawing)


def test_legend_and_pixels_share_one_scale() -> None:
    fills = [element.get("fill") for element in ET.fromstring(charts.legend("low", "high")).iter("rect")]
    first, last = charts.colors_of([0, 1])
    assert fills[0] == "#{:02x}{:02x}{:02x}".format(*first) and fills[-1] == "#{:02x}{:02x}{:02x}".format(*last)
    assert texts(charts.legend("low", "high")) == ["low", "high"]
