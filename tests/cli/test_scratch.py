"""``foveal train --from-scratch``: options to a config, what is shown, and Ctrl-C in the middle."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from foveal.cli import app, show
from foveal.cli.show import Watcher, duration
from foveal.errors import UnknownName, UsageError
from foveal.runlog import Run
from foveal.training import run as running
from foveal.training.config import Config
from small_photos import command

NETWORK = "8x8x1 > conv 8 3x3 relu > flatten > dense 10"
EPOCH = {
    "epoch": 3, "train_loss": 0.4123, "train_accuracy": 0.85, "val_loss": 0.398, "val_accuracy": 0.871, "lr": 0.01,
    "took": 6.1, "images_per_second": 9800.0, "epochs": 10, "left": 61.0,
}  # fmt: skip


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the command asks of `train_from_scratch`."""
    seen: dict[str, Any] = {}

    def train(data: str, network: str, out: Path | None, **options: Any) -> Run:
        seen.update(options, data=data, network=network, out=out)
        return Run(Path(), {})

    monkeypatch.setattr(running, "train_from_scratch", train)
    return seen


def train(*words: str | Path) -> None:
    assert not app(["train", "digits", *map(str, words), "--quiet"], standalone_mode=False)


def test_options_become_a_config(asked: dict[str, Any], tmp_path: Path) -> None:
    train("--from-scratch", NETWORK)
    assert asked["config"] == Config() and (asked["data"], asked["network"]) == ("digits", NETWORK)
    (tmp_path / "mine.json").write_text(json.dumps({"epochs": 5, "lr": 0.5, "clip": 2.0, "seed": 7}))
    train(
        "--from-scratch", "lenet5", "--config", tmp_path / "mine.json", "--set", "lr=0.25", "--set", "ema=0.99",
        "--epochs", "6", "--batch-size", "32", "--precision", "f32", "--augment", "flip", "--patience", "4",
        "--input", "1x16x16", "--validation", "0", "--test", "0.3", "--resume",
    )  # fmt: skip
    assert asked["config"] == Config(
        epochs=6, batch_size=32, lr=0.25, clip=2.0, ema=0.99, seed=7, precision="f32", augment="flip", patience=4
    )
    assert asked["input_shape"] == (1, 16, 16) and asked["resume"]
    assert (asked["test"], asked["validation"], asked["cache"], asked["budget"]) == (0.3, 0.0, True, None)


@pytest.mark.parametrize(
    ("words", "kind", "message"),
    [
        ([], UsageError, "digits is a known dataset, not photos; give --from-scratch NETWORK"),
        (["--epochs", "3"], UsageError, "--epochs goes with --from-scratch NETWORK only; give that, too"),
        (["--set", "lr=1"], UsageError, "--set goes with --from-scratch NETWORK only"),
        (["--from-scratch", "x", "--backbone", "resnet50"], UsageError, "--backbone does not go with --from-scratch"),
        (["--from-scratch", "x", "--weights", "w.pth"], UsageError, "--weights does not go with --from-scratch"),
        (["--from-scratch", "lenet55"], UnknownName, "unknown network 'lenet55'; did you mean lenet5"),
        (["--from-scratch", NETWORK, "--set", "rate=1"], UnknownName, "unknown setting 'rate'"),
        (["--from-scratch", NETWORK, "--optimizer", "adan"], UnknownName, "unknown optimizer 'adan'; did you mean"),
        (["--from-scratch", NETWORK, "--lr", "0"], UsageError, "with a rate of 0 nothing is learnt"),
    ],
)  # fmt: skip
def test_what_makes_no_sense(
    words: list[str], kind: type[Exception], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(kind, match=message):
        train(*words)
    assert not list(tmp_path.rglob("run.json"))


def test_lines_where_there_is_no_terminal(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    step = {"epoch": 4, "epochs": 10, "done": 3, "total": 469, "loss": 0.39, "images_per_second": 9750.4, "left": None}
    with Watcher(False) as watcher:
        watcher("fit", {"epochs": 10, "steps": 469, "pictures": 60_000, "parameters": 29_138, "device": "cpu",
                        "precision": "f32", "layout": "contiguous", "processes": 1})  # fmt: skip
        watcher("epoch", EPOCH)
        watcher("epoch", {**EPOCH, "val_loss": None, "val_accuracy": None, "left": 0.0})
        watcher("alarm", {"kind": "one class", "epoch": 3, "title": "one class only", "advice": "shuffle"})
        watcher("step", step)
        monkeypatch.setattr(show, "_EVERY", 0.0)
        watcher("step", step)
    assert capsys.readouterr().err.splitlines() == [
        "10 epochs of 469 batches; 29,138 parameters; cpu, f32, contiguous",
        "epoch 3/10  loss 0.412  val 0.398  87.1 %  9,800 images/s  1 min left",
        "epoch 3/10  loss 0.412  85.0 %  9,800 images/s",
        "warning one class only",
        "        shuffle",
        "epoch 4/10  3 of 469 batches  loss 0.39  9,750 images/s  – left",
    ]
    assert [duration(t) for t in (None, 0.2, 59, 90, 3540, 5000)] == [
        "–",
        "1 s",
        "59 s",
        "2 min",
        "59 min",
        "1 h 23 min",
    ]


def test_bars_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    from test_show import Terminal

    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setattr(sys, "stderr", Terminal())
    with Watcher(False) as watcher:
        for done in range(1, 470, 52):
            watcher("step", {"epoch": 3, "epochs": 10, "done": done, "total": 469, "loss": 0.41,
                             "images_per_second": 9e3, "left": 200.0})  # fmt: skip
        watcher("epoch", EPOCH)
    shown = sys.stderr.getvalue()
    for said in ("training", "epoch 3/10", "469/469  loss 0.41  9,000 images/s", "3 min left", "val 0.398  87.1 %"):
        assert said in shown, said


def test_ctrl_c_says_how_to_go_on(tmp_path: Path) -> None:
    words = ("train", "digits", "--from-scratch", NETWORK, "--epochs", "2000", "--out", str(tmp_path), "--threads", "1",
             "--set", "layout=contiguous", "--set", "precision=f32", "--schedule", "constant")  # fmt: skip
    begun = subprocess.Popen(command(*words), stderr=subprocess.PIPE, text=True, start_new_session=True)
    while not (tmp_path / "checkpoint.safetensors").exists():
        assert begun.poll() is None
        time.sleep(0.02)
    os.kill(begun.pid, signal.SIGINT)
    _, said = begun.communicate(timeout=60)
    assert begun.returncode == 130
    assert said.endswith(
        "error: stopped; the same command with --resume goes on from the last checkpoint (one an epoch, and every half "
        "minute)\n"
    )
    epochs = sum(json.loads(line)["event"] == "epoch" for line in (tmp_path / "log.jsonl").read_text().splitlines())
    again = [*words[:5], str(epochs + 1), *words[6:], "--resume"]
    assert not app(again, standalone_mode=False)
    result = json.loads((tmp_path / "result.json").read_text())
    assert result["training"]["epochs"] == epochs + 1 and result["history"]["epochs"][-1]["epoch"] == epochs + 1
