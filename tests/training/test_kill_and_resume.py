"""A training that SIGKILL ends time and again, at any moment, arrives where it would have arrived in peace."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable
from dataclasses import replace
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import torch

from foveal import notation
from foveal.datasets.pictures import PictureSet
from foveal.training.checkpoint import Checkpointing, read
from foveal.training.config import Config
from foveal.training.history import TIMED
from foveal.training.loop import fit
from small_training import some_digits, started

NETWORK = notation.parse("8x8x1 > conv 8 3x3 bn relu > flatten > dropout 0.2 > dense 10")
CONFIG = Config(
    epochs=6, batch_size=25, schedule="plateau", ema=0.9, patience=5, augment="crop 1, cutout 2", checkpoint_every=0.0,
    precision="f32", layout="contiguous", device="cpu",
)  # fmt: skip


def train(file: Path, data: PictureSet, config: Config, ends_at: int | None = None) -> None:
    """Begin, or go on from `file`; end by SIGKILL in the midst of writing the checkpoint number `ends_at`."""
    torch.set_num_threads(1)
    if ends_at is not None:
        os.fsync = _deadly(ends_at)
    fit(NETWORK, data, config, callbacks=[Checkpointing(file)], resume=file if file.exists() else None)


def _deadly(ends_at: int) -> Callable[[Any], None]:
    written = 0

    def flush(number: Any) -> None:
        nonlocal written
        written += 1
        if written == ends_at:
            os.ftruncate(number, 1000)
            os.kill(os.getpid(), signal.SIGKILL)

    return flush


def kill_after_a_checkpoint(process: BaseProcess, file: Path, wait: float) -> None:
    before = file.stat().st_mtime_ns
    while process.is_alive() and file.stat().st_mtime_ns == before:
        time.sleep(0.001)
    time.sleep(wait)
    process.kill()
    process.join()


def test_sigkill_at_any_moment_costs_nothing(tmp_path: Path) -> None:
    file, undisturbed, data = tmp_path / "killed", tmp_path / "undisturbed", some_digits()
    for number in (1, 2, 11):  # nothing is there yet; once; in the second epoch
        process = started(train, file, data, CONFIG, number)
        process.join()
        assert process.exitcode == -signal.SIGKILL
    moments = random.Random(0)
    kills = 0
    for _ in range(5):
        process = started(train, file, data, CONFIG)
        kill_after_a_checkpoint(process, file, moments.uniform(0, 0.01))
        kills += process.exitcode == -signal.SIGKILL
    assert kills >= 3
    for path, config in ((file, CONFIG), (undisturbed, replace(CONFIG, checkpoint_every=1e6))):
        last = started(train, path, data, config)
        last.join()
        assert last.exitcode == 0
    killed, whole = read(file), read(undisturbed)
    assert killed.tensors.keys() == whole.tensors.keys()
    for name, tensor in whole.tensors.items():
        assert killed.tensors[name].dtype == tensor.dtype
        assert torch.equal(killed.tensors[name], tensor), name
    for state in (killed.state, whole.state):
        del state["config"]
        for row in state["history"]["epochs"]:
            for name in TIMED:
                del row[name]
    assert killed.state == whole.state
