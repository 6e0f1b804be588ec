"""Two processes under torchrun do what one does with the joined batch."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from foveal.errors import UsageError
from foveal.training.distributed import World
from foveal.training.loop import fit
from small_training import CONFIG, NETWORK, Seen, some_digits

HERE = Path(__file__).parent
LINE = "8x8x1 > conv 8 3x3 same bn relu > maxpool 2 > flatten > dense 10"


def test_two_processes_learn_what_one_learns(tmp_path: Path, one_thread: None) -> None:
    seen = Seen()
    alone = fit(NETWORK, some_digits(), CONFIG, callbacks=[seen])
    done = subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2",
         HERE / "joined_worker.py", tmp_path],
        env=os.environ | {"PYTHONPATH": f"{HERE}", "OMP_NUM_THREADS": "1"}, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    first, second = (load_file(tmp_path / f"rank{rank}.safetensors") for rank in (0, 1))
    rows = torch.cat([first.pop("rows"), second.pop("rows")]).tolist()
    every = [(epoch, row) for epoch in range(CONFIG.epochs) for row in range(len(some_digits().train))]
    assert sorted(map(tuple, rows)) == sorted(seen.rows) == every  # no picture lost, none shown twice
    assert alone.module is not None
    whole = dict(alone.module.state_dict())
    whole["val_loss"] = torch.tensor([row.val_loss for row in alone.epochs])
    whole["train_loss"] = torch.tensor([row.train_loss for row in alone.epochs])
    assert first.keys() == second.keys() == whole.keys()
    for name, tensor in whole.items():
        torch.testing.assert_close(first[name], second[name], rtol=0, atol=0)
        torch.testing.assert_close(first[name], tensor, rtol=1e-4, atol=1e-5, msg=lambda text, n=name: f"{n}: {text}")


def test_a_process_that_torchrun_did_not_start_is_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TORCHELASTIC_RUN_ID", raising=False)
    world = World.here("cpu")
    module = nn.Linear(2, 2)
    assert (world.rank, world.size, world.restarted) == (0, 1, False)
    assert world.joined(module) is module
    assert world.total(sums := torch.ones(3)) is sums


def test_a_gpu_that_is_not_there_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    assert World.here("auto").device == torch.device("cpu")
    with pytest.raises(UsageError, match="device = 'cuda': PyTorch finds 0 GPUs here, this is process 1; use cpu"):
        World.here("cuda")


def started(run: Path, *options: str) -> subprocess.Popen[str]:
    """A training by two processes, as a user starts it."""
    return subprocess.Popen(
        [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", *options,
         "-m", "foveal", "train", "digits", "--from-scratch", LINE, "--out", str(run), "--epochs", "25",
         "--device", "cpu", "--set", "precision=f32", "--set", "layout=contiguous", "--set", "checkpoint_every=0"],
        env=os.environ | {"OMP_NUM_THREADS": "1"}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def workers(parent: int) -> list[int]:
    """Process numbers of the children of `parent`."""
    status = {int(path.parent.name): path for path in Path("/proc").glob("[0-9]*/stat")}
    found = []
    for number, path in status.items():
        with contextlib.suppress(OSError):
            if int(path.read_text().rpartition(")")[2].split()[1]) == parent:
                found.append(number)
    return found


def test_a_killed_worker_costs_nothing(tmp_path: Path) -> None:
    """``--max-restarts`` begins all processes again, and they go on from the checkpoint to the same weights."""
    run = tmp_path / "disturbed"
    disturbed = started(run, "--max-restarts", "2")
    deadline = time.monotonic() + 90
    while not (run / "checkpoint.safetensors").exists():
        assert disturbed.poll() is None, disturbed.communicate()[1]
        assert time.monotonic() < deadline
        time.sleep(0.02)
    os.kill(workers(disturbed.pid)[1], signal.SIGKILL)
    _, said = disturbed.communicate(timeout=120)
    assert disturbed.returncode == 0, said
    whole = started(tmp_path / "whole")
    _, complaint = whole.communicate(timeout=120)
    assert whole.returncode == 0, complaint
    first, second = (load_file(tmp_path / name / "checkpoint.safetensors") for name in ("disturbed", "whole"))
    assert first.keys() == second.keys()
    for name, tensor in first.items():
        assert torch.equal(tensor, second[name]), name
    events = [json.loads(line)["event"] for line in (run / "log.jsonl").read_text().splitlines()]
    assert events.count("epoch") >= 25
    assert "resumed" in events or events.count("data") == 2  # begun twice
    assert said.count("epoch 25/25") == 1  # one process speaks
