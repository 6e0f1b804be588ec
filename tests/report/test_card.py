"""The model card, rendered by markdown-it-py (the oracle) and read back."""

from __future__ import annotations

import pytest
from markdown_it import MarkdownIt
from report_example import HOSTILE, empty, example, hostile
from report_page import Page

from foveal.report import model_card
from foveal.report.card import licence
from foveal.text import printable


def read(card: str) -> Page:
    return Page(MarkdownIt("gfm-like", {"linkify": False, "html": True}).render(card))


def test_nothing_hostile_becomes_structure() -> None:
    ours, theirs = read(model_card(example())), read(model_card(hostile()))
    assert [tag for tag, _ in theirs.elements] == [tag for tag, _ in ours.elements]
    assert not {"a", "img", "script"} & {tag for tag, _ in theirs.elements}


@pytest.mark.parametrize("label", HOSTILE)
def test_every_class_is_shown_as_written(label: str) -> None:
    assert " ".join(printable(label).split()) in read(model_card(hostile())).text


def test_the_card_can_be_written_and_shows_nothing_invisible() -> None:
    for result in (example(), hostile(), empty()):
        card = model_card(result)
        card.encode("utf-8")
        assert printable(card.replace("\n", ""), limit=len(card)) == card.replace("\n", "")


def test_numbers_limits_and_use() -> None:
    card = model_card(example())
    text = read(card).text
    assert "89.1 % (285/320; 95 %: 85.2-92.0) of a sealed test part were named right." in text
    assert "This score may flatter." in text and "It learned from 48 photos" in text
    assert "turns away 5.0 % of its own classes and lets 22.1 % of strangers in" in text
    assert "foveal predict runs/photos/bundle 'my photo.jpg'" in text
    assert "foveal.load('runs/photos/bundle')" in text
    assert "Apache-2.0" in text
    assert "…" not in text


def test_groups_and_no_threshold() -> None:
    result = example()
    result["split"]["group_by"] = "parent|<b>"
    result["rejection"]["threshold"] = None
    text = read(model_card(result)).text
    assert "No group of photos (by parent|<b>) is in both" in text and "may flatter" not in text
    assert "It always names one of its classes" in text and "or answers that it is none" not in text


def test_a_fence_cannot_be_closed_from_inside() -> None:
    card = model_card({**example(), "command": "foveal train ```\n```\n# out"})
    assert len(read(card).all("h1")) == 1


def test_unknown_weights_have_an_unknown_licence() -> None:
    mine = {"backbone": "resnet18", "weights": "<own>.pth", "source": "the file <own>.pth", "licence": "not stated"}
    assert licence(mine).startswith("The licence of the network's weights (the file &lt;own&gt;\\.pth) is not known to")
    assert "ImageNet" not in licence(mine)
    text = read(model_card({**example(), "features": example()["features"] | mine})).text
    assert "saw other photos" in text and "ImageNet" not in text


def test_published_weights_state_their_licence() -> None:
    text = read(model_card(example())).text
    assert "Apache-2.0" in text and "ML Illustrated (2020)" in text and "saw ImageNet" in text
