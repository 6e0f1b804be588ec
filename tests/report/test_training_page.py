"""The report of a training from scratch: what it says, that it stands alone, and that its curves are the numbers'."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from typing import Any

import numpy as np
import pytest
from report_example import HOSTILE, PLAIN
from report_page import Page

from foveal.report import training_page
from foveal.report.card import training_card
from foveal.report.curves import accuracy_curve, loss_curve, nice_ticks, rate_curve
from foveal.report.glossary import TRAINING_GLOSSARY
from foveal.report.terminal import training_lines
from foveal.report.training_page import curves_heading, render_training, settings
from foveal.scoring import score
from foveal.text import printable

JPEG = b"\xff\xd8\xff\xe0 not looked at \xff\xd9"


def epoch(number: int, val_loss: float | None = 0.5, **others: Any) -> dict[str, Any]:
    row = {"epoch": number, "train_loss": 2.0 / number, "train_accuracy": 1 - 0.8 / number, "val_loss": val_loss}
    row |= {"val_accuracy": None if val_loss is None else 0.75, "lr": 0.01 / number, "seconds": 1.5}
    return {**row, "images_per_second": 4000.0, **others}


def example(classes: tuple[str, ...] = PLAIN, epochs: int = 4, *, kind: str = "known") -> dict[str, Any]:
    """A result as `foveal train --from-scratch` writes it."""
    count, each = len(classes), 12
    target = np.repeat(np.arange(count), each)
    logits = 4.0 * np.eye(count)[np.where(np.arange(len(target)) % 7, target, (target + 1) % count)]
    parts = {"train": 80, "val": 10, "test": each}
    mistakes = [{"path": f"{classes[0]}, picture {row}", "row": row, "label": classes[0], "predicted": classes[1],
                 "probability": 0.9 - row / 100, "margin": 0.5} for row in range(15)]  # fmt: skip
    return {
        "format": 1, "foveal": "0.1.0", "created": "2026-11-21T02:38:58Z", "name": "digits", "out": "runs/digits",
        "command": "foveal train digits --from-scratch lenet5",
        "config": {"format": 1, "epochs": epochs, "optimizer": "adamw", "lr": None, "clip": None, "schedule": "step",
                   "precision": "auto", "device": "auto", "seed": 0, "augment": "", "warmup": 0.0},
        "choices": {"layout": "contiguous", "precision": "f32", "lr": 0.001,
                    "seconds": {"contiguous f32": 0.012, "channels-last f32": 0.02}},
        "environment": {"PyTorch": "2.13", "threads": 2, "device": "cpu"}, "versions": {"python": "3.11"},
        "data": {"name": "digits", "source": "somewhere", "shape": [1, 8, 8], "classes": list(classes),
                 "digest": "ab" * 32, "root": None, "kind": kind, "notes": ["pictures of 28x28x1 became 32x32x1"],
                 "counts": dict.fromkeys(classes, parts)},
        "split": {"train": 80 * count, "val": 10 * count, "test": each * count, "group_by": None},
        "preflight": {"findings": []},
        "network": {"name": "lenet5", "input": [1, 32, 32], "parameters": 61_706, "macs": 416_520,
                    "rows": [{"name": "conv1", "op": "conv 6 5x5", "output": "28x28x6", "parameters": 156, "macs": 7},
                             {"name": "pool1", "op": "maxpool 2", "output": "14x14x6", "parameters": 0, "macs": 0}]},
        "history": {"epochs": [epoch(i + 1, 0.5 / (i + 1)) for i in range(epochs)], "stopped": None,
                    "best_epoch": epochs, "notes": [], "alarms": [
                        {"kind": "dead units", "epoch": 2, "title": "units are dead", "advice": "lower the rate"}]},
        "training": {"epochs": epochs, "seconds": 6.0, "images_per_second": 4000.0},
        "temperature": 1.25, "validation": score(logits, target, classes, 1.25, None),
        "test": score(logits, target, classes, 1.25, None), "mistakes": mistakes, "bundle": True,
        "seconds": {"training": 6.5, "total": 7.0},
    }  # fmt: skip


def rendered(result: dict[str, Any]) -> str:
    return render_training(result, {row["path"]: JPEG for row in result["mistakes"][::2]})


@pytest.fixture(
    params=[((), {}), ((HOSTILE,), {}), ((), {"epochs": 1}), ((), {"epochs": 0}), ((), {"kind": "folders"})]
)
def result(request: pytest.FixtureRequest) -> dict[str, Any]:
    return example(*request.param[0], **request.param[1])


def test_it_stands_alone(result: dict[str, Any]) -> None:
    source = rendered(result)
    page = Page(source)
    assert not {tag for tag, _ in page.elements} & {"script", "link", "iframe", "object", "embed", "base", "form"}
    for _, attributes in page.elements:
        assert not [key for key in attributes if key.startswith("on") or key == "style"]
        assert attributes.get("href", "#").startswith("#")
        assert attributes.get("src", "data:image/jpeg;base64,").startswith("data:image/jpeg;base64,")
    assert printable(source.replace("\n", ""), limit=len(source)) == source.replace("\n", "")
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids)) and {attributes["href"][1:] for attributes in page.all("a")} <= set(ids)
    for drawing in re.findall(r"<svg.*?</svg>", source, flags=re.DOTALL):
        assert ET.fromstring(drawing).get("aria-label")
    assert {printable(label) for label in result["data"]["classes"]} <= {a.get("title") for a in page.all("bdi")}
    training_card(result).encode("utf-8")


def test_what_it_says() -> None:
    result = example()
    page = Page(rendered(result))
    assert "85.4 % (82/96; 95 %: 77.0-91.1)" in page.text and "sealed test pictures named right" in page.text
    assert page.headings[:3] == [
        "The validation loss was still falling when it ended",
        "The training gave 1 warning and 1 note",
        "The 14 mistakes are spread over all 8 classes",
    ]
    for said in ("Epoch 2: units are dead", "lenet5: 61.71 K parameters", "0.001 (the optimizer’s own)",
                 "f32 (found quickest)", "not used clip, augment, warmup", "foveal reproduce runs/digits",
                 "channels-last f32 20"):  # fmt: skip
        assert said in page.text, said
    assert "photo" not in page.text.replace("my photo.jpg", "").replace("labelled photos", "").replace("photos/", "")
    assert "may flatter" in rendered(example(kind="folders")) and "sealed test photos" in rendered(
        example(kind="folders")
    )


def test_every_word_is_led_to() -> None:
    result = example()
    result["config"]["augment"] = "flip"
    links = {attributes["href"] for attributes in Page(rendered(result)).all("a")}
    result["history"]["alarms"], result["data"]["notes"] = [], []
    links |= {attributes["href"] for attributes in Page(rendered(result)).all("a")}
    assert {f"#what-{key}" for key in TRAINING_GLOSSARY} <= links


@pytest.mark.parametrize(
    ("losses", "stopped", "said"),
    [
        ([], None, "No epoch was finished"),
        ([0.5], None, "The validation loss came to 0.5"),
        ([None, None], None, "The training loss came from 2 to 1"),
        ([0.5, 0.4], None, "The validation loss was still falling when it ended"),
        ([0.5, 0.4999], None, "The validation loss had all but stopped falling when it ended"),
        ([0.5, 0.4, 0.6], None, "The validation loss was least after epoch 2, and 50.0 % higher at the end"),
        ([0.5, 0.4], "enough", "It stopped after epoch 2: enough"),
    ],
)
def test_how_it_went(losses: list[float | None], stopped: str | None, said: str) -> None:
    epochs = [epoch(i + 1, loss) for i, loss in enumerate(losses)]
    assert curves_heading({"epochs": epochs, "stopped": stopped}) == said


def test_curves_are_drawn_to_scale() -> None:
    """Heights of the dots against the numbers, by the two lines of the grid that are labelled."""
    epochs = [epoch(i + 1, loss) for i, loss in enumerate((1.0, 0.5, 0.25))]
    drawing = ET.fromstring(loss_curve(epochs, 3))
    ticks = {t.text: float(t.get("y", 0)) - 4 for t in drawing.iter("text") if t.get("text-anchor") == "end"}
    scale = (ticks["0"] - ticks["1"]) / 1.0
    circles = [c for c in drawing.iter("circle") if c.get("class") == "mark"]
    assert [(ticks["0"] - float(c.get("cy", 0))) / scale for c in circles] == pytest.approx([1.0, 0.5, 0.25], abs=0.01)
    titles = [c[0].text for c in circles]
    assert titles == ["epoch 1: validation 1", "epoch 2: validation 0.5", "epoch 3: validation 0.25, kept"]
    assert [c[0].text for c in drawing.iter("circle") if c.get("class") == "ring"][1] == "epoch 2: training 1"


def test_curves_of_what_is_not_there() -> None:
    mixed = [epoch(1, None, train_accuracy=None)]
    assert accuracy_curve(mixed, 1) is None
    assert "validation" not in loss_curve(mixed, 1) and "0.01" in rate_curve(mixed)
    assert "nan" not in rate_curve([epoch(1, lr=0.0)]) + loss_curve([epoch(1), epoch(2, float("nan"))], 1)
    assert loss_curve([epoch(i + 1) for i in range(200)], 150).count("<circle") == 1


def test_the_name_of_the_axis_and_its_ticks_have_room() -> None:
    """The name reaches to 14, the ticks end at 51; in between there is room for four digits of at most 8 each."""
    for rate, unit, top in (
        (0.3, "", "0.3"),
        (0.025, ", in 1e-2", "2.5"),
        (0.0015, ", in 1e-3", "1.5"),
        (8e-6, ", in 1e-6", "8"),
    ):
        texts = list(ET.fromstring(rate_curve([epoch(1, lr=rate)])).iter("text"))
        ticks = [t.text or "" for t in texts if t.get("text-anchor") == "end"]
        assert f"learning rate{unit}" in [t.text for t in texts] and top in ticks, rate
        assert max(map(len, ticks)) <= 4
    assert "loss, in 1e4" in loss_curve([epoch(1, 2e4)], 1)


def test_ticks_are_few_and_round() -> None:
    for low, high in ((0, 0.93), (0, 2.31), (0.91, 0.953), (0.5, 0.5), (0, 0), (1, 50), (1e-6, 3e-6), (0, 1e5)):
        ticks = nice_ticks(low, high)
        steps = np.diff(ticks)
        assert 2 <= len(ticks) <= 9 and ticks[0] <= low and ticks[-1] >= high, (low, high)
        assert np.allclose(steps, steps[0]) and f"{steps[0]:.0e}"[0] in "125"


def test_settings_say_who_chose() -> None:
    rows = dict(settings(example()))
    assert rows["device"] == "cpu (found here)" and rows["seed"] == "0" and "format" not in rows
    chosen = example()
    chosen["config"] |= {"lr": 0.5, "precision": "bf16"}
    rows = dict(settings(chosen))
    assert (rows["lr"], rows["precision"]) == ("0.5", "bf16")


def test_the_end_in_the_terminal() -> None:
    result = example()
    assert training_lines(result) == [
        "85.4 % (82/96; 95 %: 77.0-91.1) of the sealed test pictures named right",
        "  The validation loss was still falling when it ended",
        "  Epoch 2: units are dead",
        "  The 14 mistakes are spread over all 8 classes",
        "report  runs/digits/report.html",
        "bundle  runs/digits/bundle",
        "next    foveal predict runs/digits/bundle PICTURE...",
    ]
    result["bundle"] = False
    assert training_lines(result)[-1] == "weights runs/digits/weights.safetensors"
    assert training_page.noun_of(example(kind="folders")) == "photo"
