"""The timeline, read back from the figure that matplotlib has drawn."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
from matplotlib import pyplot
from PIL import Image

from foveal.catalogue import Entry, entries, timeline
from foveal.catalogue.plot import LANDMARKS, UNPUBLISHED
from foveal.cli.pictures import save_plot
from foveal.errors import OutputError, UsageError
from foveal.zoo import MODELS

ALL = entries()


@pytest.fixture(autouse=True)
def close() -> Iterator[None]:
    yield
    pyplot.close("all")


def labels() -> list[str]:
    """Names, then years, from the top down."""
    figure = timeline(ALL)
    return [label.get_text() for label in figure.axes[0].get_yticklabels()]


def test_a_row_for_each_paper_in_the_order_of_years() -> None:
    rows = [label.split() for label in labels()]
    years = [int(year) for _, year in rows]
    assert years == sorted(years) and years[0] == 1958
    papers = {(row.year, row.paper) for row in ALL if row.family not in UNPUBLISHED}
    assert {(MODELS[name].paper.year, year) for name, year in rows} == {(year, str(year)) for year in years}
    assert len(rows) == len(papers)
    known = {"lenet5_paper", "alexnet", "vgg16", "googlenet", "resnet50", "mobilenet_v1", "se_resnet50"}
    assert known | {"densenet121", "efficientnet_b0"} <= {name for name, _ in rows}


def test_landmarks_are_networks() -> None:
    assert set(MODELS) >= LANDMARKS and {model.family for model in MODELS.values()} >= set(UNPUBLISHED)


def test_the_dots_are_the_counts() -> None:
    figure = timeline([row for row in ALL if row.name in ("vgg16", "vgg19", "resnet50")])
    parameters, macs, accuracy = figure.axes
    full = [[tuple(line.get_xydata()[0]) for line in ax.lines if line.get_markersize() == 7] for ax in figure.axes]
    assert full == [
        [(138_357_544, 0), (25_557_032, 1)],
        [(15_470_264_320, 0), (4_089_184_256, 1)],
        [(71.592, 0), (76.13, 1)],
    ]
    pale = [list(map(tuple, line.get_xydata())) for line in parameters.lines if line.get_markersize() == 4]
    assert pale == [[(138_357_544, 0), (143_667_240, 0)], [(25_557_032, 1)]]
    assert parameters.get_xscale() == macs.get_xscale() == "log" and accuracy.get_xscale() == "linear"
    assert parameters.yaxis_inverted()  # the oldest on top


def test_names_do_not_touch() -> None:
    figure = timeline(ALL)
    figure.draw_without_rendering()
    boxes = [label.get_window_extent() for label in figure.axes[0].get_yticklabels()]
    assert len(boxes) > 20 and all(above.y0 >= below.y1 for above, below in pairwise(boxes))
    assert min(box.x0 for box in boxes) >= 0


def test_files(tmp_path: Path) -> None:
    rows = [row for row in ALL if row.family == "vgg"]
    save_plot(timeline(rows), tmp_path / "a.png")
    with Image.open(tmp_path / "a.png") as image:
        assert image.width > 1000
    save_plot(timeline(rows), tmp_path / "a.SVG")
    assert ElementTree.parse(tmp_path / "a.SVG").getroot().tag.endswith("svg")
    save_plot(timeline(rows), tmp_path / "a.pdf")
    assert (tmp_path / "a.pdf").read_bytes().startswith(b"%PDF")
    assert not pyplot.get_fignums()


def nothing_published() -> list[Entry]:
    return [replace(row, accuracy=None) for row in ALL if row.family == "vgg"]


def test_a_panel_may_be_empty() -> None:
    assert not [line for line in timeline(nothing_published()).axes[2].lines if len(line.get_xdata())]


def test_what_cannot_be_drawn(tmp_path: Path) -> None:
    for none in ([], [row for row in ALL if row.family == "lectures"]):
        with pytest.raises(UsageError, match="no network to draw"):
            timeline(none)
    with pytest.raises(OutputError, match="cannot be written"):
        save_plot(timeline(ALL[:5]), tmp_path / "absent" / "a.png")
