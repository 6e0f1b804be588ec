"""A receipt drawn: the page and the figure hold the numbers, and nothing from outside."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import numpy as np
import pytest
import torch

import foveal
from foveal.build import build
from foveal.colors import diverging
from foveal.explaining.gradient import step, weight_gradient
from foveal.explaining.grids import grid
from foveal.explaining.microscope import observe, open_unit
from foveal.explaining.observing import Observed
from foveal.explaining.page import page
from foveal.explaining.path import follow


@pytest.fixture(scope="module")
def seen() -> Observed:
    torch.manual_seed(0)
    graph = foveal.parse("16x16x3 > conv 12 3x3 same relu > maxpool 2 > conv 4 3x3 > flatten > dense 3")
    return observe(build(graph), np.random.default_rng(0).normal(size=(3, 16, 16)).astype(np.float32))


class Tags(HTMLParser):
    """Checks that tags close in order, and collects what a page refers to."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.references: list[str] = []
        self.names: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.append(tag)
        self.references += [value or "" for key, value in attrs if key in ("src", "href")]
        if tag not in ("meta", "img", "rect", "line"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in ("rect", "line"):
            assert self.open.pop() == tag


def test_the_page_holds_the_numbers_and_nothing_from_outside(seen: Observed) -> None:
    receipt = open_unit(seen, None, "conv2", (1, 0, 2))
    gradient = weight_gradient(seen, "conv2", (1, 3, 0, 0), loss=True)
    html = page(receipt, gradient, step(gradient, "adam", 0.01), follow(seen, "dense1", (0,)))
    tags = Tags()
    tags.feed(html)
    assert not tags.open
    assert "script" not in tags.names
    assert all(reference.startswith("data:image/png;base64,") for reference in tags.references)
    assert len(tags.references) == 1
    assert f"{receipt.value:.7g}" in html
    assert html.count("their sum") == 1
    assert "4 more" in html  # of the twelve channels eight are drawn
    for product in receipt.products[0][int(np.abs(receipt.products[0].sum((1, 2))).argmax())].ravel():
        assert f"{product:.4g}" in html
    assert f"{gradient.value:.7g}" in html
    assert "one step of adam" in html
    assert "reached input[" in html


def test_a_dense_receipt_has_a_page_too(seen: Observed) -> None:
    assert "dense1[2]" in page(open_unit(seen, None, "dense1", (2,)))


def test_grids_are_coloured_by_their_own_largest_and_mark_padding() -> None:
    drawn = grid(np.array([[2.0, -1.0], [0.0, 0.5]]), "a <title>", inside=np.array([[True, True], [True, False]]))
    assert "a &lt;title&gt;" in drawn
    shades = ["#{:02x}{:02x}{:02x}".format(*diverging(value, "signals")) for value in (1.0, -0.5, 0.0, 0.25)]
    assert re.findall(r'<rect [^>]*fill="(#\w+)"', drawn) == shades
    assert re.findall(r">([^<>]+)</text>", drawn) == ["2", "-1", "0", "pad"]
    assert "stroke-dasharray" in grid(np.ones((1, 1)), "gradients", dashed=True)


def test_the_figure_prints_the_values(seen: Observed) -> None:
    receipt = open_unit(seen, None, "conv2", (1, 0, 2))
    axes = receipt.plot()
    channel = int(np.abs(receipt.products[0].sum((1, 2))).argmax())
    assert [text.get_text() for text in axes[2].texts] == [f"{x:.3g}" for x in receipt.products[0][channel].ravel()]
    assert len(open_unit(seen, None, "dense1", (0,)).plot()) == 3
