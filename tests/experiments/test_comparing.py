"""Networks side by side: scores against a training by hand, intervals against SciPy's, and what survives a kill."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import ttest_rel

from foveal import notation, zoo
from foveal.anatomy import count
from foveal.build import build
from foveal.datasets.pictures import PictureSet
from foveal.datasets.registry import is_here, load_dataset
from foveal.errors import DataError, FovealError, ShapeError, UnknownName, UsageError
from foveal.experiments import pooling as exercise
from foveal.experiments.comparing import Comparison, Entrant, compare
from foveal.experiments.page import finding
from foveal.experiments.pooling import order, pooling
from foveal.experiments.results import Repetition
from foveal.metrics import wilson
from foveal.training.config import Config
from foveal.training.loop import fit

pytestmark = pytest.mark.usefixtures("one_thread")

NETWORKS = {
    "linear": "8x8x1 > flatten > dense 10",
    "pooled": "8x8x1 > conv 4 3x3 relu > maxpool 3 > flatten > dense 10",
}
CONFIG = Config(epochs=2, optimizer="adam", lr=0.01, batch_size=256)


@pytest.fixture(scope="module")
def digits() -> PictureSet:
    return load_dataset("digits")


@pytest.fixture(scope="module")
def found(digits: PictureSet) -> Comparison:
    return compare(NETWORKS, digits, CONFIG, repetitions=3)


def test_scores_are_those_of_a_training_by_hand(found: Comparison, digits: PictureSet) -> None:
    config = CONFIG.with_values({"seed": 1, "precision": "f32", "layout": "channels-last"})
    module = fit(notation.parse(NETWORKS["pooled"]), digits, config).module
    assert module is not None
    x = (digits.test.x - np.reshape(digits.mean, (-1, 1, 1))) / np.reshape(digits.std, (-1, 1, 1))
    logits, target = module(torch.tensor(x, dtype=torch.float32)).detach(), torch.from_numpy(digits.test.y)
    repetition = found.entrants[1].repetitions[1]
    assert repetition.seed == 1 and repetition.test_total == len(target)
    assert repetition.test_correct == int((logits.argmax(1) == target).sum())
    assert repetition.test_loss == pytest.approx(float(torch.nn.functional.cross_entropy(logits, target)), rel=1e-4)


def test_differences_are_scipys_paired_ones(found: Comparison) -> None:
    first, second = found.entrants
    for what in ("test_accuracy", "test_loss"):
        theirs = ttest_rel(second.values(what), first.values(what)).confidence_interval()
        ours = second.less(first, what)
        assert (ours.low, ours.high) == pytest.approx(tuple(theirs))
    assert len(set(first.values("test_loss"))) == 3, "every repetition has another seed"


def test_sizes_are_the_modules(found: Comparison) -> None:
    for entrant in found.entrants:
        module = build(notation.parse(entrant.network))
        assert entrant.parameters == sum(parameter.numel() for parameter in module.parameters())
    assert [each.macs for each in found.entrants] == [640, 4 * 36 * 9 + 160]


def test_it_is_told_drawn_and_reported(found: Comparison) -> None:
    lines = str(found).splitlines()
    assert lines[0] == "digits: 1,295 pictures of 8x8x1 to train on, 143 to validate, 359 to test"
    assert lines[1] == "3 repetitions of 2 epochs from seed 0: adam, the same batches of 256 for all networks"
    assert lines[4].split()[:3] == ["pooled", "210", "1,456"]
    assert lines[6].startswith("  pooled  ") and lines[6].count(" points ") == 1
    assert lines[7].startswith("compared on the test part 6 times; choose by the validation accuracy")
    content = json.loads(json.dumps(found.to_json()))
    assert content["differences"][0]["from"] == "linear" and content["test_part_opened"] == 6
    figure = found.plot()
    figure.savefig(io.BytesIO())
    assert [text.get_text() for text in figure.axes[0].get_yticklabels()] == list(NETWORKS)
    page = found.page()
    assert "<script" not in page and "http" not in page and "8x8x1 &gt; flatten &gt; dense 10" in page
    for entrant in found.entrants:
        assert page.count(f"{100 * entrant.test_accuracy.mean:.2f} %") >= 2, "in the table and on the chart"


def test_one_repetition_has_the_interval_of_its_counts(digits: PictureSet) -> None:
    hostile = "<b>\x1b[31m"
    found = compare({hostile: NETWORKS["linear"], "pooled": NETWORKS["pooled"]}, digits, CONFIG, repetitions=1)
    (only,) = found.entrants[0].repetitions
    estimate = found.entrants[0].test_accuracy
    assert (estimate.low, estimate.high) == wilson(only.test_correct, 359)
    assert found.entrants[1].less(found.entrants[0], "test_accuracy").low is None
    assert "seed by seed" not in str(found) and "not known" in finding(found)
    assert "\x1b" not in str(found) + found.page() and hostile[:3] not in found.page()


def test_a_comparison_goes_on_where_it_was_killed(found: Comparison, digits: PictureSet, tmp_path: Path) -> None:
    told: list[str] = []

    def watch(event: str, fields: dict[str, Any]) -> None:
        told.append(event)
        if told.count("note") == 3 and event == "note":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        compare(NETWORKS, digits, CONFIG, repetitions=3, out=tmp_path, observer=watch)
    assert len((tmp_path / "results.jsonl").read_text().splitlines()) == 3
    again: list[str] = []
    finished = compare(
        NETWORKS, digits, CONFIG, repetitions=3, out=tmp_path, observer=lambda event, fields: again.append(event)
    )
    assert (told.count("fit"), again.count("fit")) == (3, 3)
    for ours, theirs in zip(finished.entrants, found.entrants, strict=True):
        assert ours.values("test_loss") == theirs.values("test_loss")
    other = compare(NETWORKS, digits, CONFIG.with_values({"epochs": 1}), repetitions=1, out=tmp_path)
    assert other.opened == 8, "what was looked at before counts"
    others = replace(digits, name="others", train=digits.train[:500])
    elsewhere = compare(NETWORKS, others, CONFIG.with_values({"epochs": 1}), out=tmp_path)
    assert elsewhere.opened == 6, "and the test part of other pictures is another"
    with (tmp_path / "results.jsonl").open("a") as file:
        file.write('{"key": "1", "network": "a", "seed": 0, "test_loss": 1, "test_correct": 1, "test_total": "no"}\n')
    with pytest.raises(DataError, match=r"results.jsonl, line 15: no result of a comparison; take the line away"):
        compare(NETWORKS, digits, CONFIG, out=tmp_path)


def test_pictures_and_networks_by_name() -> None:
    """The pictures come in the size of the network that is written out; one of the zoo is made to fit them."""
    found = compare({"lenet5": "lenet5", "flat": "32x32x1 > flatten > dense 10"}, "digits", CONFIG, repetitions=1)
    assert [each.parameters for each in found.entrants] == [61_706, 10_250]


@pytest.mark.parametrize("order", [("tiny_resnet", "lenet5"), ("lenet5", "tiny_resnet")])
def test_networks_of_the_zoo_whose_inputs_differ(order: tuple[str, str]) -> None:
    """On digits a residual network takes 8x8x1 and LeNet-5 its 32x32x1, which suits both, whichever is named first."""
    found = compare({name: name for name in order}, "digits", CONFIG.with_values({"epochs": 1}), repetitions=1)
    assert found.shape == (1, 32, 32) and found.to_json()["data"]["shape"] == [1, 32, 32]
    for each in found.entrants:
        totals = count(zoo.create_graph(each.name, num_classes=10, in_channels=1, input_shape=(1, 32, 32))).totals
        assert (each.parameters, each.macs) == (totals.parameters, totals.macs)


def test_an_input_for_all(digits: PictureSet) -> None:
    found = compare(
        {**NETWORKS, "b": "9x9x1 > flatten > dense 10"}, digits, CONFIG, repetitions=1, input_shape=(1, 9, 9)
    )
    assert found.shape == (1, 9, 9) and [each.parameters for each in found.entrants] == [820, 4 * 10 + 170, 820]


@pytest.mark.parametrize(
    ("networks", "options", "error", "message"),
    [
        ({"a": "8x8x1 > dense 10"}, {}, UsageError, "a comparison takes two networks or more"),
        (NETWORKS, {"repetitions": 0}, UsageError, "0 repetitions; expected a whole number from 1 to 1,000"),
        (
            {**NETWORKS, "b": "9x9x1 > flatten > dense 10"},
            {},
            UsageError,
            "(linear 8x8x1, pooled 8x8x1, b 9x9x1); try --input 1x9x9",
        ),
        ({**NETWORKS, "b": "lenet5"}, {}, UsageError, "b 32x32x1); try --input 1x32x32 for all of them"),
        (NETWORKS, {"input_shape": (1, 2, 2)}, ShapeError, "does not fit an input of 2"),
        ({**NETWORKS, "b": "lenet6"}, {}, UnknownName, "unknown network 'lenet6'; did you mean lenet5"),
        (NETWORKS, {"config": Config(dropout=0.5)}, UsageError, "has no dropout to set; add one"),
    ],
)
def test_refusals(
    networks: dict[str, str], options: dict[str, Any], error: type[FovealError], message: str, digits: PictureSet
) -> None:
    """All of them before the first training: no event is told."""
    told: list[str] = []
    with pytest.raises(error) as caught:
        compare(networks, digits, observer=lambda event, fields: told.append(event), **options)
    assert message in str(caught.value) and not told


def test_no_test_part(digits: PictureSet) -> None:
    nothing = PictureSet("mine", digits.classes, digits.train, digits.val, digits.test[:0], "")
    with pytest.raises(DataError, match="mine: there are no test pictures to compare the networks on"):
        compare(NETWORKS, nothing)


def test_the_lectures_exercise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exercise, "is_here", lambda name: name == "digits")
    found = pooling(epochs=1, repetitions=1, limit=64)
    assert [each.parameters for each in found.entrants] == [303_314, 29_138, 29_138]
    assert found.counts["train"] == 64
    lines = str(found).splitlines()
    assert [line.split() for line in lines[8:11]] == [
        ["none", "303,314", "88.84", "%", "0.4061"], ["average", "29,138", "89.96", "%", "0.3618"],
        ["max", "29,138", "91.16", "%", "0.2936"],
    ]  # fmt: skip
    assert lines[12].startswith("the pictures here are digits")
    assert "since mnist and fashion-mnist and mnist-5k" in lines[12] and tuple(lines[13:]) == order(found)
    assert found.to_json()["lectures"]["max"] == {"parameters": 29_138, "test_accuracy": 0.9116, "test_loss": 0.2936}
    assert "88.84 %" in found.page() and "enlarged to 28 x 28" in found.page()
    with pytest.raises(UnknownName, match="unknown dataset of this exercise 'cifar10'"):
        pooling(data="cifar10")
    with pytest.raises(UsageError, match="limit = 1; expected 2 to 1,295 training pictures"):
        pooling(limit=1)


def scored(data: str, digits: PictureSet, **correct: int) -> Comparison:
    """A comparison on `data` whose networks named so many of 100 test pictures right."""
    history = fit(notation.parse(NETWORKS["linear"]), digits, CONFIG.with_values({"epochs": 1}))
    runs = {name: Repetition(0, 1.0, right, 100, history) for name, right in correct.items()}
    entrants = tuple(Entrant(name, "", 1, 1, (run,)) for name, run in runs.items())
    return Comparison(data, "", (1, 28, 28), {"train": 2, "val": 1, "test": 100}, Config(epochs=3), entrants, 3)


def test_the_end_says_whether_the_order_is_the_lectures(digits: PictureSet) -> None:
    """By the numbers: the same three networks in the lectures' order, in another, and two of them alike."""
    same = scored("mnist", digits, none=88, average=90, max=91)
    assert order(same) == ("the order by test accuracy is the lectures': max, average, none",)
    other = order(scored("fashion-mnist", digits, none=88, average=84, max=86))
    assert other == (
        "the order by test accuracy is not the lectures': none, max, average here, max, average, none there",
        "the pictures and the length of training (3 epochs here) may differ from theirs; which of these it is, or "
        "chance, the tables do not tell: try fewer and more --epochs",
    )
    alike, why = order(scored("mnist-5k", digits, none=88, average=91, max=91))
    assert "average = max, none here" in alike
    assert why.startswith("how many pictures there are to train on and the length of training")


def test_whether_pictures_are_here(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FOVEAL_DATA", str(tmp_path))
    assert is_here("digits") and not is_here("mnist")
    (tmp_path / "mnist").mkdir()
    (tmp_path / "mnist" / "train-images-idx3-ubyte.gz").touch()
    assert is_here("mnist"), "a copy that is damaged is said to be so when it is read"
