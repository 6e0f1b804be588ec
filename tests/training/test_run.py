"""A training from scratch in its folder: what is there, whether it is true, and how it goes on."""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load as load_tensors

import foveal
from foveal import machine
from foveal.datasets.formats import idx_files
from foveal.datasets.pictures import Pictures, PictureSet
from foveal.errors import DataError, OutputError, TrainingError, UnknownName, UsageError, WeightsError
from foveal.files import locked
from foveal.runlog import Run
from foveal.training import progress
from foveal.training.augmentation import WORDS
from foveal.training.config import Config
from foveal.training.loop import fit
from foveal.training.progress import Progress
from foveal.training.run import network_and_pictures, train_from_scratch
from foveal.training.state import Training
from small_training import NETWORK, some_digits
from test_docs import ROOT, codes, keys, tables

pytestmark = pytest.mark.usefixtures("one_thread")

QUICK = Config(epochs=3, batch_size=50, lr=0.02, precision="f32", layout="contiguous", device="cpu")
PAGE = ROOT / "docs" / "from-scratch.md"
FILES = {"bundle", "checkpoint.safetensors", "log.jsonl", "report.html", "result.json", "run.json"}


@pytest.fixture(scope="module")
def digits() -> PictureSet:
    return some_digits()


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, digits: PictureSet) -> Run:
    return train_from_scratch(digits, NETWORK, tmp_path_factory.mktemp("scratch") / "run", config=QUICK)


class Ended(Exception):
    """What a test throws into a run, as Ctrl-C would come."""


def interrupted(out: Path, data: PictureSet, config: Config = QUICK, *, after: int = 1) -> None:
    def observer(event: str, fields: dict[str, Any]) -> None:
        if event == "epoch" and fields["epoch"] == after:
            raise Ended

    with pytest.raises(Ended):
        train_from_scratch(data, NETWORK, out, config=config, observer=observer)


def content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def log(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "log.jsonl").read_text("utf-8").splitlines()]


def weights(folder: Path) -> str:
    (file,) = (folder / "bundle").glob("model-*.safetensors")
    return hashlib.sha256(file.read_bytes()).hexdigest()


def test_the_bundle_scores_what_the_result_says(finished: Run, digits: PictureSet) -> None:
    """Another engine, from the raw pictures on, with the bundle alone."""
    assert {path.name for path in finished.folder.iterdir()} == FILES
    pictures = [np.repeat(x.transpose(1, 2, 0), 3, axis=2) for x in digits.test.x]
    answers = foveal.load(finished.bundle, precision="f32").predict(pictures)
    right = sum(answer.label == digits.classes[y] for answer, y in zip(answers, digits.test.y, strict=True))
    losses = [-math.log(a.scores[digits.classes[y]]) for a, y in zip(answers, digits.test.y, strict=True)]
    test = finished.result["test"]
    assert (test["correct"], test["total"]) == (right, 90) and finished.accuracy == right / 90
    assert test["log_loss"] == pytest.approx(np.mean(losses), rel=1e-3)
    wrong = {row["row"]: row["predicted"] for row in finished.result["mistakes"]}
    assert wrong == {i: a.label for i, a in enumerate(answers) if a.label != digits.classes[digits.test.y[i]]}


def test_what_is_kept_is_the_last_epoch_and_the_temperature_is_of_the_validation_part(finished: Run) -> None:
    last, validation = finished.result["history"]["epochs"][-1], finished.result["validation"]
    assert (validation["accuracy"], validation["total"]) == (last["val_accuracy"], 90)
    assert finished.result["temperature"] != 1 and validation["log_loss"] <= last["val_loss"]


def listed(heading: str) -> set[str]:
    found: set[str] = set()
    for row in tables(PAGE, heading):
        last = ""
        for code in codes(row[0]):
            last = last.rpartition(".")[0] + code if code.startswith(".") else code
            found.add(last)
    return found


def test_the_page_lists_what_is_in_the_files(finished: Run) -> None:
    run = json.loads((finished.folder / "run.json").read_text("utf-8"))
    opaque = ("graph", "config", "choices", "environment")
    assert listed("### run.json") == keys({key: None if key in opaque else value for key, value in run.items()})
    opaque = ("config", "choices", "environment", "preflight", "test", "validation", "versions", "seconds", "counts")
    result = {key: None if key in opaque else value for key, value in finished.result.items()}
    result["data"] = {**result["data"], "counts": {"*": result["data"]["counts"]["0"]}}
    named = {key.replace("seconds.*", "seconds").replace("versions.*", "versions") for key in listed("### result.json")}
    shared = {key for key in keys(result) if key.partition(".")[0] in run.keys() - {"data"}}
    shared |= {f"data.{key}" for key in run["data"]}
    assert named == {key.replace("preflight", "preflight.findings") for key in keys(result) - shared}
    assert {row[0].strip("`") for row in tables(PAGE, "## The files of a run")} == FILES


def test_the_page_lists_what_is_in_the_log(finished: Run) -> None:
    rows = {row[0].strip("`"): set(codes(row[1])) for row in tables(PAGE, "### log.jsonl")}
    rows["epoch"] |= finished.result["history"]["epochs"][0].keys() - {"seconds"}
    seen = {}
    for line in log(finished.folder):
        seen[line["event"]] = line.keys() - {"event", "seconds"}
    assert {event: fields for event, fields in seen.items() if event in rows} == {
        event: fields - {"null", "history.epochs", "seconds"}
        for event, fields in rows.items()
        if event not in ("resume", "alarm")
    }
    assert [line["stage"] for line in log(finished.folder) if line["event"] == "end"] == [
        "data",
        "training",
        "test",
        "write",
    ]


def test_the_page_lists_the_settings() -> None:
    rows = {codes(row[0])[0]: (codes(row[1]) or [""])[0] for row in tables(PAGE, "## Settings")}
    assert rows == {name: str(value) for name, value in Config().to_json().items() if name != "format"}


def test_an_interrupted_run_goes_on_to_the_same_bits(finished: Run, digits: PictureSet, tmp_path: Path) -> None:
    out = tmp_path / "run"
    interrupted(out, digits)
    assert {path.name for path in out.iterdir()} == {"checkpoint.safetensors", "log.jsonl", "run.json"}
    with (out / "log.jsonl").open("a") as file:
        file.write('{"seconds": 1, "ev')  # as a kill leaves it
    begun = (out / "run.json").read_bytes()
    with pytest.raises(UsageError, match=r"run: holds a run that was interrupted; --resume goes on .* another --out"):
        train_from_scratch(digits, NETWORK, out, config=QUICK)
    run = train_from_scratch(digits, NETWORK, out, config=QUICK, resume=True)
    assert weights(out) == weights(finished.folder) and run.result["test"] == finished.result["test"]
    assert run.result["history"]["notes"] == [] and (out / "run.json").read_bytes() == begun
    events = [line["event"] for line in log(out) if line["event"] in ("stopped", "resume", "epoch", "done")]
    assert events == ["stopped", "resume", "epoch", "epoch", "done"]  # who watches is told before the log


def test_a_finished_run_stays_as_it_is(finished: Run, digits: PictureSet) -> None:
    before, told = content(finished.folder), []
    again = train_from_scratch(
        digits, NETWORK, finished.folder, config=QUICK, resume=True, observer=lambda *event: told.append(event)
    )
    assert again.result == json.loads(json.dumps(finished.result)) and content(finished.folder) == before
    assert ("note", {"text": f"the run in {finished.folder} is finished; nothing was changed"}) in told


def test_what_is_refused_leaves_a_finished_run_untouched(
    finished: Run, digits: PictureSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "fashion-mnist").mkdir()
    for path in idx_files(tmp_path / "fashion-mnist"):
        path.write_bytes(b"\0\0\x08\x01\0\0")
    monkeypatch.setenv("FOVEAL_DATA", str(tmp_path))
    before = content(finished.folder)

    def refused(kind: type[Exception], message: str, data: Any, network: Any, **options: Any) -> None:
        with pytest.raises(kind, match=message):
            train_from_scratch(data, network, finished.folder, **{"config": QUICK, **options})
        assert content(finished.folder) == before

    other = "8x8x1 > conv 4 3x3 relu > flatten > dense 10"
    refused(DataError, "cut short", "fashion-mnist", NETWORK)
    refused(UsageError, "gives 9, but some digits has 10 classes", digits, "8x8x1 > flatten > dense 9")
    refused(UsageError, "has no dropout to set", digits, NETWORK, config=replace(QUICK, dropout=0.5))
    refused(WeightsError, "a checkpoint of another training", digits, other, resume=True)
    monkeypatch.setattr(machine, "available_memory", lambda: 2**10)
    refused(UsageError, "here 1 KiB of memory are free", digits, NETWORK)


def test_a_run_that_fails_leaves_nothing_of_the_finished_one_before_it(digits: PictureSet, tmp_path: Path) -> None:
    """Nor anything less of what else lies there."""
    flat = "8x8x1 > flatten > dense 10"
    once = replace(QUICK, epochs=1)
    train_from_scratch(digits, flat, tmp_path, config=once)
    own = {"weights.txt", "bundle/notes.txt", "bundle/model-mine.safetensors"}
    for mine in own:
        (tmp_path / mine).write_text("mine")
    with pytest.raises(TrainingError, match="the loss is NaN"):
        train_from_scratch(digits, flat, tmp_path, config=replace(once, optimizer="sgd", lr=1e30))
    assert set(content(tmp_path)) == {"run.json", "log.jsonl", *own}
    assert json.loads((tmp_path / "run.json").read_text())["config"]["lr"] == 1e30
    assert [line["event"] for line in log(tmp_path)][-1] == "stopped"


def test_a_folder_that_is_no_runs_keeps_what_lies_there(digits: PictureSet, tmp_path: Path) -> None:
    (tmp_path / "weights.safetensors").write_text("mine")
    train_from_scratch(digits, NETWORK, tmp_path, config=replace(QUICK, epochs=1))
    assert (tmp_path / "weights.safetensors").read_text() == "mine"


def test_without_resume_a_finished_run_is_replaced_and_with_more_epochs_it_goes_on(
    digits: PictureSet, tmp_path: Path
) -> None:
    constant = replace(QUICK, schedule="constant", epochs=1)
    first = train_from_scratch(digits, NETWORK, tmp_path, config=constant)
    second = train_from_scratch(digits, NETWORK, tmp_path, config=constant)
    assert [line["event"] for line in log(tmp_path)].count("done") == 1 and second.result["test"] == first.result[
        "test"
    ]
    longer = train_from_scratch(digits, NETWORK, tmp_path, config=replace(constant, epochs=2), resume=True)
    assert [row["epoch"] for row in longer.result["history"]["epochs"]] == [1, 2]
    assert longer.result["history"]["notes"] == ["the test part had been opened before, after 1 epoch"]
    assert json.loads((tmp_path / "run.json").read_text())["config"]["epochs"] == 2


def test_a_network_of_the_zoo_is_made_for_the_data(digits: PictureSet) -> None:
    graph, pictures = network_and_pictures("lenet5", digits)  # 8x8 is too small for it
    assert graph.input_shape == pictures.shape == (1, 32, 32) and graph.shapes[graph.outputs[0]] == (10,)
    x = np.zeros((4, 3, 40, 40), np.uint8)
    four = PictureSet("four", tuple("abcd"), *(Pictures(x, np.arange(4)) for _ in range(3)), "here")
    graph, pictures = network_and_pictures("resnet20", four)
    assert graph.input_shape == (3, 40, 40) and graph.shapes[graph.outputs[0]] == (4,) and pictures is four
    graph, pictures = network_and_pictures("resnet20", digits, (3, 16, 16))
    assert graph.input_shape == pictures.shape == (3, 16, 16)


def test_no_validation_part_and_no_square(digits: PictureSet, tmp_path: Path) -> None:
    flat = Pictures(digits.train.x[:60, :, 1:7], digits.train.y[:60])
    pictures = PictureSet("flat", digits.classes, flat, flat[:0], flat, "here")
    run = train_from_scratch(pictures, "6x8x1 > flatten > dense 10", tmp_path, config=replace(QUICK, epochs=1))
    assert run.result["validation"] is None and run.result["temperature"] == 1 and not run.result["bundle"]
    assert not run.bundle.exists() and "no square in grey or colour" in run.report.read_text("utf-8")
    kept = load_tensors((tmp_path / "weights.safetensors").read_bytes())
    assert {name: array.shape for name, array in kept.items()} == {"dense1.weight": (10, 48), "dense1.bias": (10,)}


def test_the_budget_ends_it_and_a_larger_one_goes_on(finished: Run, digits: PictureSet, tmp_path: Path) -> None:
    run = train_from_scratch(digits, NETWORK, tmp_path, config=QUICK, budget=1e-3)
    assert run.result["training"]["epochs"] == 1
    assert run.result["history"]["stopped"] == "the budget of 0.001 s has no room for another epoch"
    train_from_scratch(digits, NETWORK, tmp_path, config=QUICK, resume=True)
    assert weights(tmp_path) == weights(finished.folder)


def test_photos(photo_folder: Path, tmp_path: Path) -> None:
    network = "16x16x3 > conv 8 3x3 relu > flatten > dense 3"
    run = train_from_scratch(photo_folder, network, tmp_path, config=replace(QUICK, epochs=1), group_by=r"(\d+)\.jpg")
    train = {photo["sha256"] for photo in run.result["split"]["photos"]["train"]}
    files = [hashlib.sha256(path.read_bytes()).hexdigest() for path in photo_folder.glob("*/*.jpg")]
    assert train < set(files) and foveal.evaluate(run.bundle, photo_folder)["seen_in_training"] == len(train)
    assert run.result["split"]["group_by"] and "may flatter" not in run.report.read_text("utf-8")


def test_what_cannot_be(digits: PictureSet, tmp_path: Path) -> None:
    def refused(kind: type[Exception], message: str, *arguments: Any, **options: Any) -> None:
        with pytest.raises(kind, match=message):
            train_from_scratch(*(arguments or (digits, NETWORK)), tmp_path / "run", **options)

    refused(UsageError, "--resume: no checkpoint in .*run to go on from .* run without --resume", resume=True)
    refused(UsageError, r"--budget 0: expected seconds above 0", budget=0)
    refused(UnknownName, "unknown dataset 'digit'; did you mean digits", "digit", "8x8x1 > flatten > dense 10")
    refused(UsageError, r"gives 9, but some digits has 10 classes", digits, "8x8x1 > flatten > dense 9")
    assert not (tmp_path / "run" / "run.json").exists()
    with locked(tmp_path / "run"):
        refused(OutputError, "another Foveal run is writing here")


class Clock:
    """Every look is a second later, and every hundredth a hundred."""

    def __init__(self) -> None:
        self.now, self.looks = 0.0, 0

    def perf_counter(self) -> float:
        self.looks += 1
        self.now += 100.0 if self.looks % 50 == 0 else 1.0
        return self.now


def test_the_forecast_is_the_median_of_batches(digits: PictureSet, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[tuple[str, dict[str, Any]]] = []
    monkeypatch.setattr(progress, "time", Clock())
    fit(
        NETWORK,
        digits,
        replace(QUICK, epochs=12),
        callbacks=[Progress(lambda event, **fields: told.append((event, fields)))],
    )
    steps = [fields for event, fields in told if event == "step"]
    assert [fields["done"] for fields in steps] == [*range(1, 6)] * 12  # a batch takes longer than a stretch
    assert [fields["left"] for fields in steps[:7]] == [None] * 7
    assert [fields["left"] for fields in steps[7:]] == [2.0 * (60 - done) for done in range(8, 61)]
    assert {fields["images_per_second"] for fields in steps} == {205 / 5 / 2}
    assert [(event, fields["left"]) for event, fields in told if event == "epoch"][-1] == ("epoch", 0.0)


def test_a_resumption_is_told(digits: PictureSet) -> None:
    told: list[str] = []
    training = Training(NETWORK, digits, QUICK)
    training.epoch = 1
    Progress(lambda event, **fields: told.append(event)).begin(training)
    assert told == ["resume", "fit"]


def test_the_page_lists_the_augmentations() -> None:
    assert [codes(row[0])[0] for row in tables(PAGE, "## Augmentation")] == list(WORDS)
