"""`foveal tune`: what it says on its way, writes and refuses."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from foveal.cli import app
from foveal.errors import FovealError
from foveal.training.config import Config, read_config

pytestmark = pytest.mark.usefixtures("one_thread")

LINEAR = "8x8x1 > flatten > dense 10"


def test_tune(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["tune", "digits", LINEAR, "--out", str(tmp_path / "new"), "--trials", "2", "--repetitions", "1"]
    words += ["--search", "lr=1e-3..1e-2", "--set", "epochs=1", "--set", "precision=f32", "--set", "layout=contiguous"]
    assert not app(words, standalone_mode=False)
    text, progress = capsys.readouterr()
    assert text.startswith("network-digits: 2 trials, ")
    first, second, again = [line for line in progress.splitlines() if line.startswith(("trial", "the best again"))]
    assert first.startswith("trial 0 (1 of 2)  ") and first.endswith(" %  lr=0.003")
    assert second.startswith("trial 1 (2 of 2)  ")
    assert again.startswith("the best again, from seed 1: ") and again.endswith(" % of the test part")
    assert {path.name for path in (tmp_path / "new").iterdir()} == {
        "log.jsonl", "plot.png", "report.html", "result.json", "study.sqlite", "winner.json",
    }  # fmt: skip
    assert (tmp_path / "new" / "winner.json").read_text("utf-8").endswith("}\n")
    winner = read_config(tmp_path / "new" / "winner.json")
    assert "\\x0a" not in (tmp_path / "new" / "report.html").read_text("utf-8")  # the winner's settings, in lines
    assert winner.with_values({"lr": None}) == Config(epochs=1, precision="f32", layout="contiguous")
    report = (tmp_path / "new" / "report.html").read_bytes()
    words[2] = "8x8x1 > flatten > dense 9 relu > dense 10"
    with pytest.raises(FovealError, match="network-digits: this study searched with another network"):
        app(words, standalone_mode=False)
    with pytest.raises(FovealError, match="holds the results of the study network-digits, which those of the study b"):
        app([*words, "--study", "b"], standalone_mode=False)
    assert (tmp_path / "new" / "report.html").read_bytes() == report
    assert winner.to_json() == json.loads((tmp_path / "new" / "result.json").read_text())["config"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--search", "lr"], "expected NAME=LOW..HIGH or NAME=ONE|ANOTHER"),
        (["--set", "rate=1"], "unknown setting 'rate'"),
        (["--format", "csv"], "--format 'csv'; expected one of text, json"),
        (["--trials", "0"], "trials = 0, repetitions = 3; expected at least 1 of each"),
        (["--validation", "0"], "digits has no val part; a search needs one to choose on and one to test on"),
    ],
)
def test_refusals(words: list[str], message: str, tmp_path: Path) -> None:
    with pytest.raises(FovealError) as caught:
        app(["tune", "digits", LINEAR, "--out", str(tmp_path / "new"), *words], standalone_mode=False)
    assert message in str(caught.value)
