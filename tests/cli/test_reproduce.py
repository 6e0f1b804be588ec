"""`foveal reproduce`: a run trained again from its record, compared bit for bit; it fails where one bit differs."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from foveal import notation
from foveal.cli import app
from foveal.datasets import load
from foveal.errors import DataError, FovealError, UsageError, WeightsError
from foveal.training.checkpoint import save
from foveal.training.config import Config
from foveal.training.loop import step
from foveal.training.reproducing import reproduce
from foveal.training.run import train_from_scratch
from foveal.training.state import Training

pytestmark = pytest.mark.usefixtures("one_thread")

NETWORK = notation.parse("8x8x1 > conv 4 3x3 bn relu > flatten > dropout 0.2 > dense 10")
CONFIG = Config(epochs=2, ema=0.9, augment="crop 1", precision="f32", layout="contiguous", device="cpu")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two epochs; not to be changed."""
    return train_from_scratch(
        "digits", NETWORK, tmp_path_factory.mktemp("runs") / "run", config=CONFIG, threads=1
    ).folder


@pytest.fixture
def run(trained: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(trained, tmp_path / "run"))


def edit(run: Path, change: Callable[[dict[str, Any]], None]) -> None:
    record = json.loads((run / "run.json").read_text())
    change(record)
    (run / "run.json").write_text(json.dumps(record))


def call(run: Path) -> None:
    app(["reproduce", str(run)], standalone_mode=False)


def test_the_same_bits_come_out_again(
    run: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def content() -> dict[Path, bytes]:
        return {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}

    before = content()
    monkeypatch.setattr("foveal.training.state.choose", lambda *given: pytest.fail("the probe ran again"))
    torch.set_num_threads(2)  # the run had one, and so has its repetition
    call(run)
    assert capsys.readouterr().out == f"{run}: bit-identical in 2 epochs and 36 tensors\n"
    assert content() == before


def test_what_differs_is_named(run: Path) -> None:
    was = json.loads((run / "result.json").read_text())["history"]["epochs"][0]["train_loss"]
    edit(run, lambda record: record["config"].update(seed=1))
    found = reproduce(run, load("digits", (1, 8, 8)))
    assert not found.equal
    assert found.epoch is not None
    assert found.epoch.startswith(f"epoch 1: train_loss was {was}, now ")
    with pytest.raises(FovealError) as caught:  # by name, the other seed divides the pictures otherwise
        call(run)
    assert str(caught.value) == (
        f"digits: other pictures, or divided otherwise, than when {run} was trained; restore them, or train anew"
    )
    edit(run, lambda record: (record["config"].update(seed=0, epochs=1), record["environment"].update(PyTorch="1.0")))
    with pytest.raises(FovealError) as caught:
        call(run)
    assert caught.value.exit_code == 1
    first, second, *_, why = str(caught.value).removeprefix(f"{run}: ").split("; ")
    assert (first, why) == ("not bit-identical", f"not as it was: PyTorch 1.0, now {torch.__version__}")
    assert second.startswith("epoch 1: train_loss was")  # one-cycle goes by the number of epochs


def test_one_bit_is_enough(run: Path) -> None:
    data = load("digits", (1, 8, 8))
    training = Training(NETWORK, data, CONFIG)
    for rows in training.remaining()[:3]:  # a run that was interrupted is repeated as far as it got
        step(training, rows)
    save(training, run / "checkpoint.safetensors")
    assert reproduce(run, data).equal
    with torch.no_grad():
        training.module.get_parameter("conv1.weight")[0, 0, 0, 0] += 2**-10
    save(training, run / "checkpoint.safetensors")
    assert reproduce(run, data).text() == (
        "not bit-identical; model/conv1.weight differs by up to 0.00098; versions, threads and device are as they were"
    )


def test_a_run_that_its_budget_ended(tmp_path: Path) -> None:
    train_from_scratch("digits", NETWORK, tmp_path, config=CONFIG, budget=1e-6, threads=1)
    found = reproduce(tmp_path)
    assert (found.equal, found.epochs) == (True, 1)


def test_what_is_no_run_is_refused(run: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        call(tmp_path / "nowhere")
    assert str(caught.value) == (
        f"{tmp_path}/nowhere/run.json: not the record of a run (No such file or directory); expected the --out of "
        "foveal train --from-scratch"
    )
    edit(run, lambda record: record.update(format=2))
    with pytest.raises(UsageError) as caught:
        call(run)
    assert str(caught.value) == (
        f"{run}/run.json: this record has format 2, made by a newer Foveal; this one reads 1: upgrade it"
    )
    for damaged in ("{", "[]", '{"format": "2"}', '{"format": true}', '{"format": 1}', "9" * 5000):
        (run / "run.json").write_text(damaged)
        with pytest.raises(UsageError, match=r"not the record of a run \(damaged\)"):
            call(run)


def test_without_a_checkpoint_or_its_pictures(run: Path) -> None:
    edit(run, lambda record: record["given"].update(data="mnist-5"))
    with pytest.raises(UsageError, match="unknown dataset 'mnist-5'; did you mean mnist"):
        call(run)
    edit(run, lambda record: record["given"].update(data=str(run / "gone")))
    with pytest.raises(DataError, match="gone"):
        call(run)
    (run / "checkpoint.safetensors").unlink()
    with pytest.raises(WeightsError, match=r"checkpoint\.safetensors: no checkpoint"):
        call(run)
