"""A training that goes on from its checkpoint arrives, bit for bit, where it would have arrived undisturbed."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import foveal
from foveal import notation
from foveal.datasets.pictures import Pictures, PictureSet
from foveal.errors import TrainingError, WeightsError
from foveal.training.callbacks import Callback
from foveal.training.checkpoint import Checkpointing, kept_choices, read, restore, save
from foveal.training.choices import Choices
from foveal.training.config import Config
from foveal.training.history import TIMED, History
from foveal.training.loop import fit
from foveal.training.optimizers import OPTIMIZERS
from foveal.training.progress import Progress
from foveal.training.state import Training
from small_training import CONFIG, NETWORK, some_digits

pytestmark = pytest.mark.usefixtures("one_thread")

EVERY_STEP = replace(CONFIG, checkpoint_every=0.0, augment="crop 1", patience=2)
DROPPING = notation.parse("8x8x1 > conv 8 3x3 bn relu > flatten > dropout 0.2 > dense 10")
STEPS = 5  # an epoch


class Crash(Callback):
    """Ends the process, as it were, after `step` steps; told after the checkpoint is written."""

    def __init__(self, step: int) -> None:
        self.step = step

    def after_step(self, training: Training) -> None:
        if training.global_step == self.step:
            raise KeyboardInterrupt


@pytest.fixture(scope="module")
def digits() -> PictureSet:
    return some_digits()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "checkpoint.safetensors"


def crashed(file: Path, step: int, data: PictureSet, config: Config, network: Any = DROPPING) -> None:
    with pytest.raises(KeyboardInterrupt):
        fit(network, data, config, callbacks=[Checkpointing(file), Crash(step)])


def outcome(history: History) -> tuple[list[dict[str, Any]], dict[str, Tensor]]:
    """All that must not depend on where a training was interrupted."""
    rows = history.to_json()
    for row in rows["epochs"]:
        for name in TIMED:
            del row[name]
    assert history.module is not None
    return rows, history.module.state_dict()


def assert_same(one: History, other: History) -> None:
    (rows, tensors), (expected_rows, expected) = outcome(one), outcome(other)
    assert rows == expected_rows
    assert tensors.keys() == expected.keys()
    assert [name for name in expected if not torch.equal(tensors[name], expected[name])] == []


def assert_same_files(one: Path, other: Path) -> None:
    here, there = read(one).tensors, read(other).tensors
    assert here.keys() == there.keys()
    assert [n for n in there if here[n].dtype != there[n].dtype or not torch.equal(here[n], there[n])] == []


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_every_optimizer_goes_on_from_its_state(optimizer: str, file: Path, tmp_path: Path, digits: PictureSet) -> None:
    layout = "channels-last" if optimizer in ("adam", "nesterov") else "contiguous"
    config = replace(EVERY_STEP, optimizer=optimizer, lr=0.01, layout=layout, epochs=1)
    whole = fit(DROPPING, digits, config, callbacks=[Checkpointing(undisturbed := tmp_path / "undisturbed")])
    crashed(file, 3, digits, config)
    kept = {name for name in read(file).tensors if name.startswith("optimizer/conv1.weight/")}
    assert bool(kept) == (optimizer != "sgd")
    assert_same(fit(DROPPING, digits, config, callbacks=[Checkpointing(file)], resume=file), whole)
    assert_same_files(file, undisturbed)


def test_goes_on_wherever_it_was_interrupted(file: Path, digits: PictureSet) -> None:
    wrong = Pictures(digits.val.x, (digits.val.y + 1) % 10)  # the more is learnt, the higher the validation loss
    data, config = replace(digits, val=wrong), replace(EVERY_STEP, epochs=9, schedule="plateau")
    whole = fit(DROPPING, data, config)
    assert whole.stopped
    assert whole.best_epoch == len(whole.epochs) - 2
    assert whole.epochs[-1].lr < whole.epochs[0].lr
    end = STEPS * len(whole.epochs)
    for step in (1, STEPS, end - 1):  # in an epoch, before its account is written, and when the rate has dropped
        crashed(file, step, data, config)
        assert_same(fit(DROPPING, data, config, resume=file), whole)
    fit(DROPPING, data, config, callbacks=[Checkpointing(file)])
    assert_same(fit(DROPPING, data, config, resume=file), whole)  # it was at its end


def test_a_stop_is_kept(file: Path, digits: PictureSet) -> None:
    class Stop(Callback):
        def after_step(self, training: Training) -> None:
            if training.global_step == 7:
                training.stop = "that will do"

    config = replace(EVERY_STEP, checkpoint_every=1e6)
    whole = fit(DROPPING, digits, config, callbacks=[Stop(), Checkpointing(file)])
    assert (read(file).state["epoch"], read(file).state["step"], whole.stopped) == (1, 2, "that will do")
    assert_same(fit(DROPPING, digits, config, resume=file), whole)


def test_a_module_from_elsewhere(file: Path, digits: PictureSet) -> None:
    class Odd(nn.Module):
        """Tied weights, and a buffer that its state dict leaves out."""

        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.one, self.two, self.last = nn.Linear(64, 64), nn.Linear(64, 64), nn.Linear(64, 10)
            self.two.weight = self.one.weight
            self.register_buffer("calls", torch.zeros(()), persistent=False)

        def forward(self, x: Tensor) -> Tensor:
            self.calls += self.training
            y: Tensor = self.last(self.two(self.one(x.flatten(1)).relu()) / (1 + self.calls))
            return y

    whole = fit(Odd(), digits, EVERY_STEP)
    crashed(file, 4, digits, EVERY_STEP, Odd())
    assert_same(fit(Odd(), digits, EVERY_STEP, resume=file), whole)
    with pytest.raises(WeightsError, match=r"tensor 1.weight is absent there, float32 \(10, 64\) here"):
        fit(nn.Sequential(nn.Flatten(), nn.Linear(64, 10)), digits, EVERY_STEP, resume=file)


def test_what_the_probe_chose_is_kept(file: Path, digits: PictureSet, monkeypatch: pytest.MonkeyPatch) -> None:
    config = replace(EVERY_STEP, layout="auto", epochs=1)
    save(Training(DROPPING, digits, config, choices=Choices(layout="contiguous", precision="f32")), file)
    monkeypatch.setattr("foveal.training.state.choose", lambda *given: pytest.fail("the probe ran again"))
    fit(DROPPING, digits, config, callbacks=[Checkpointing(file)], resume=file)
    assert read(file).state["choices"]["layout"] == "contiguous"


def test_elsewhere_it_goes_on_and_says_so(file: Path, digits: PictureSet, monkeypatch: pytest.MonkeyPatch) -> None:
    crashed(file, 7, digits, EVERY_STEP)
    monkeypatch.setattr(foveal, "__version__", "99.0")
    monkeypatch.setattr(torch, "get_num_threads", lambda: 64)
    told = []
    progress = Progress(lambda event, **fields: told.append(fields) if event == "note" else None)
    (note,) = fit(DROPPING, digits, EVERY_STEP, callbacks=[progress], resume=file).notes
    assert told == [{"text": note}]
    assert note.startswith("gone on after step 2 of epoch 2 elsewhere, so not bit for bit: Foveal ")
    assert note.endswith(", now 99.0; threads 1, now 64")


def altered(**values: Any) -> Callable[[dict[str, Any]], dict[str, Any]]:
    return lambda given: {**given, "config": replace(given["config"], **values)}


REFUSED = {
    "node conv1: out_channels is 8 there, 16 here": lambda given: {
        **given, "network": notation.parse("8x8x1 > conv 16 3x3 bn relu > flatten > dropout 0.2 > dense 10"),
    },
    "lr is 0.1 there, 0.2 here": altered(lr=0.2),
    "schedule is one-cycle there, constant here": altered(schedule="constant", epochs=9),
    "epochs is 2 there, 3 here": altered(epochs=3),
    "node dropout1: p is 0.2 there, 0.5 here": altered(dropout=0.5),
    "it saw other pictures (some digits) than some digits": lambda given: {**given, "data": some_digits(204)},
}  # fmt: skip


@pytest.mark.parametrize("message", REFUSED)
def test_another_trainings_checkpoint_is_refused(message: str, file: Path, digits: PictureSet) -> None:
    save(Training(DROPPING, digits, EVERY_STEP), file)
    other = Training(**REFUSED[message]({"network": DROPPING, "data": digits, "config": EVERY_STEP}))
    before = other.module.state_dict()["conv1.weight"].clone()
    with pytest.raises(WeightsError) as caught:
        restore(other, file)
    assert str(caught.value) == (
        f"{file}: a checkpoint of another training: {message}; go on with what made it, or start anew"
    )
    assert torch.equal(other.module.state_dict()["conv1.weight"], before)


def test_more_epochs_where_no_rate_depends_on_their_number(file: Path, digits: PictureSet) -> None:
    config = replace(EVERY_STEP, schedule="constant", patience=None)
    fit(DROPPING, digits, replace(config, epochs=1), callbacks=[Checkpointing(file)])
    assert_same(fit(DROPPING, digits, config, resume=file), fit(DROPPING, digits, config))


def test_damage_is_found(file: Path, digits: PictureSet) -> None:
    training = Training(DROPPING, digits, EVERY_STEP)
    save(training, file)
    whole = file.read_bytes()
    for content in (b"", b"hello", whole[:-1], whole[: len(whole) // 2], whole[:-9] + b"\x01" + whole[-8:]):
        file.write_bytes(content)
        with pytest.raises(WeightsError, match=r"safetensors: not a checkpoint, or a damaged one .*; remove it"):
            restore(training, file)
    file.write_bytes(whole.replace(b'\\"layout\\": \\"contiguous\\"', b'\\"layers\\": \\"contiguous\\"'))
    with pytest.raises(WeightsError, match="not a checkpoint, or a damaged one"):
        kept_choices(file)
    file.write_bytes(whole.replace(b'{\\"format\\": 1', b'{\\"format\\": 2'))
    with pytest.raises(WeightsError, match="a checkpoint of format 2; this Foveal reads 1: go on with the one that"):
        restore(training, file)
    with pytest.raises(WeightsError, match="nothing: no checkpoint; the first is written after an epoch, or"):
        restore(training, file.with_name("nothing"))


def test_a_full_disk_leaves_the_last_one_and_the_training_alone(
    file: Path, digits: PictureSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    flush = os.fsync

    def full(number: int) -> None:
        if read(file).state["step"] == 2:
            raise OSError(errno.ENOSPC, "No space left on device")
        flush(number)

    crashed(file, 1, digits, EVERY_STEP)
    monkeypatch.setattr(os, "fsync", full)
    history = fit(DROPPING, digits, EVERY_STEP, callbacks=[Checkpointing(file)])
    assert history.notes == [
        f"no checkpoint was written: {file}: the disk is full; free some space or choose another --out"
    ]
    assert [path.name for path in file.parent.iterdir()] == [file.name]
    assert (read(file).state["epoch"], read(file).state["step"]) == (0, 2)
    monkeypatch.undo()
    resumed = fit(DROPPING, digits, EVERY_STEP, resume=file)
    resumed.notes = history.notes
    assert_same(resumed, history)


def test_what_is_no_number_is_not_kept(file: Path, digits: PictureSet) -> None:
    class Poison(Callback):
        def after_step(self, training: Training) -> None:
            if training.global_step == 4:
                with torch.no_grad():
                    training.module.get_parameter("conv1.weight")[0] = torch.inf

    with pytest.raises(TrainingError):
        fit(DROPPING, digits, EVERY_STEP, callbacks=[Poison(), Checkpointing(file)])
    assert read(file).state["step"] == 3


def test_the_file_is_tensors_and_json(file: Path, digits: PictureSet) -> None:
    training = Training(NETWORK, digits, EVERY_STEP)
    save(training, file)
    head = json.loads(file.read_bytes()[8 : 8 + int.from_bytes(file.read_bytes()[:8], "little")])
    state = json.loads(head["__metadata__"]["foveal"])
    assert state["data"] == {"name": "some digits", "digest": digits.digest, "classes": list(digits.classes)}
    assert state["graph"]["nodes"][0]["name"] == "conv1"
    assert head["model/conv1.weight"]["shape"] == [8, 1, 3, 3]
    assert head["averaged/bn1.num_batches_tracked"]["dtype"] == "I64"
