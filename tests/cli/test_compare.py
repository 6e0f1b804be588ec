"""`foveal compare` and `foveal exercise`: what they print, write and refuse."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner

from foveal import cli
from foveal.cli import app, show
from foveal.errors import FovealError, OutputError
from foveal.experiments.exercise import EXERCISES

pytestmark = pytest.mark.usefixtures("one_thread", "desk")

PAGE = ["plot.png", "report.html", "result.json", "results.jsonl"]
LINEAR, DEEP = "8x8x1 > flatten > dense 10", "8x8x1 > flatten > dense 8 relu > dense 10"


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is written without --out is written here."""
    monkeypatch.chdir(tmp_path)


def test_compare(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["compare", "digits", f"linear={LINEAR}", DEEP, "--epochs", "1", "--repetitions", "2"]
    words += ["--set", "momentum=0.5", "--optimizer", "momentum", "--batch-size", "512", "--out", str(tmp_path / "new")]
    words += ["--input", "9x9x1"]
    assert not app(words, standalone_mode=False)
    text, progress = capsys.readouterr()
    assert [line.split()[:2] for line in text.splitlines()[3:5]] == [["linear", "820"], ["network", "2"]]
    assert "2 of 2: network 2: " in progress
    assert {path.name for path in (tmp_path / "new").iterdir()} == {
        "plot.png", "report.html", "result.json", "results.jsonl",
    }  # fmt: skip
    with Image.open(tmp_path / "new" / "plot.png") as image:
        assert image.format == "PNG"
    config = json.loads((tmp_path / "new" / "result.json").read_text())["config"]
    assert (config["momentum"], config["batch_size"], config["seed"]) == (0.5, 512, 0)
    assert not app(words, standalone_mode=False)
    again = [line for line in capsys.readouterr().err.splitlines() if " of 2: " in line]
    assert len(again) == 4 and all(": found, not trained again: " in line for line in again)
    assert "found" not in progress


def test_without_out_results_are_in_runs(capsys: pytest.CaptureFixture[str]) -> None:
    """One folder for each exercise, and one for comparisons on the same data; the end says where."""
    small = ["--epochs", "1", "--repetitions", "1"]
    for words, folder, files in (
        (["exercise", "zeros", "--epochs", "1"], "zeros", ["plot.png", "result.json"]),
        (["exercise", "pooling", "--data", "digits", "--limit", "64", *small], "pooling", PAGE),
        (["compare", "digits", LINEAR, DEEP, *small], "compare-digits", PAGE),
    ):
        assert not app(words, standalone_mode=False)
        told = capsys.readouterr().err
        there = {path.name for path in Path("runs", folder).iterdir()}
        assert there == set(files)
        assert all(f"wrote runs/{folder}/{name}\n" in told for name in there - {"results.jsonl"})


def test_an_interruption_says_what_is_kept() -> None:
    for words in (["exercise", "pooling"], ["compare", "digits", LINEAR, DEEP], ["tune", "digits", LINEAR]):
        assert cli._kept(words) == "; what was computed is kept, and the same command goes on from there"
    assert cli._kept(["exercise", "zeros"]) == ""


def test_the_help_of_an_exercise_says_what_is_written() -> None:
    words = " ".join(CliRunner().invoke(app, ["exercise", "--help"], env={"COLUMNS": "200"}).output.split())
    assert "A folder for plot.png and result.json; of pooling also for report.html" in words
    assert "runs/NAME" in words


def test_results_are_not_put_among_the_photos(photo_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(photo_folder)
    with pytest.raises(FovealError, match="lies in the folder of the photos"):
        app(["compare", ".", LINEAR, DEEP], standalone_mode=False)


def test_exercise(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert not app(["exercise", "zeros", "--epochs", "1", "--out", str(tmp_path)], standalone_mode=False)
    assert "zeros" in capsys.readouterr().out
    assert {path.name for path in tmp_path.iterdir()} == {"plot.png", "result.json"}
    words = ["exercise", "sigmoid", "--epochs", "1", "--seed", "3", "--format", "json", "-q"]
    assert not app(words, standalone_mode=False)
    found = json.loads(capsys.readouterr().out)
    assert found["seed"] == 3 and [net["activation"] for net in found["nets"]] == ["sigmoid", "relu"]


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["compare", "digits", LINEAR], 2, "a comparison takes two networks or more"),
        (["compare", "digits", f"a={LINEAR}", f"a={DEEP}"], 2, "two networks are called a; give one another name"),
        (["compare", "digit", LINEAR, DEEP], 2, "unknown dataset 'digit'; did you mean digits"),
        (["compare", "digits", LINEAR, "a=8x8x1 > dens 10"], 4, "read 'dens', expected a layer (did you mean dense?)"),
        (["compare", "digits", LINEAR, DEEP, "--set", "epoch=2"], 2, "unknown setting 'epoch'; did you mean epochs"),
        (["compare", "digits", LINEAR, DEEP, "--lr", "0"], 2, "lr = 0.0; expected a finite number above 0"),
        (["compare", "digits", LINEAR, DEEP, "--format", "csv"], 2, "--format 'csv'; expected one of text, json"),
        (["compare", "digits", LINEAR, DEEP, "--input", "8x"], 2, "'8x' is no shape; expected one to four whole"),
        (["exercise", "pool"], 2, "unknown exercise 'pool'; did you mean pooling"),
        (["exercise", "zeros", "--limit", "9"], 2, "the exercise zeros has no option limit; it has epochs, seed"),
        (["exercise", "fooling", "--epochs", "9"], 2, "fooling has no option epochs; it has repetitions, seed"),
        (["exercise", "pooling", "--data", "mnst"], 2, "unknown dataset of this exercise 'mnst'; did you mean mnist"),
    ],
)
def test_refusals(words: list[str], code: int, message: str) -> None:
    with pytest.raises(FovealError) as caught:
        app(words, standalone_mode=False)
    assert caught.value.exit_code == code and message in str(caught.value)


@pytest.mark.parametrize(
    "words",
    [["compare", "digits", LINEAR, DEEP], ["tune", "digits", LINEAR], *(["exercise", name] for name in EXERCISES)],
    ids=" ".join,
)
def test_a_folder_that_cannot_be_written_is_said_before_the_work(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(show, "Watcher", None)  # with which the work begins
    (tmp_path / "file").write_text("mine")
    for out in (tmp_path / "file", tmp_path / "file" / "new"):
        with pytest.raises(
            OutputError, match=r"file(/new)?: cannot be written \(Not a directory\); choose another --out"
        ):
            app([*words, "--out", str(out)], standalone_mode=False)
    assert (tmp_path / "file").read_text() == "mine"
