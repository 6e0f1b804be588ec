"""Two processes do what one does with the joined batch, and go on under torchrun when one is killed."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from foveal import notation
from foveal.cli import app
from foveal.errors import TrainingError, UsageError
from foveal.training.checkpoint import read
from foveal.training.distributed import World, partners_guard
from foveal.training.loop import fit
from foveal.training.state import Training
from small_training import CONFIG, NETWORK, Seen, some_digits, started

LINE = "8x8x1 > conv 8 3x3 same bn relu > maxpool 2 > flatten > dense 10"
NORMS = {"graph": [nn.BatchNorm2d] * 2, "module": [nn.BatchNorm2d]}
EPOCHS = 10
SETTINGS = [
    "--epochs", str(EPOCHS), "--optimizer", "momentum", "--lr", "0.01", "--device", "cpu",
    *("--set", "precision=f32", "--set", "layout=contiguous", "--set", "checkpoint_every=0"),
]  # fmt: skip


class Forgetful(nn.Module):
    """A network of a user's, whose forward leaves out one of its layers."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.bn = nn.Conv2d(1, 8, 3), nn.BatchNorm2d(8)
        self.forgotten, self.dense = nn.Linear(8, 8), nn.Linear(8, 10)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.dense(self.bn(self.conv(x)).relu().mean((2, 3)))
        return y


def outcome(kind: str) -> tuple[dict[str, Tensor], list[tuple[int, int]]]:
    """State and losses that one training comes to, and what this process saw."""
    torch.manual_seed(0)
    seen = Seen()
    history = fit(NETWORK if kind == "graph" else Forgetful(), some_digits(), CONFIG, callbacks=[seen])
    assert history.module is not None
    assert [type(each) for each in history.module.modules() if "Norm" in type(each).__name__] == NORMS[kind]
    tensors = {name: tensor.contiguous() for name, tensor in history.module.state_dict().items()}
    for name in ("val_loss", "train_loss"):
        tensors[name] = torch.tensor([getattr(row, name) for row in history.epochs])
    return tensors, seen.rows


def learn(folder: Path, rank: int, port: int, kind: str) -> None:
    """What each of two processes does: one training, whose outcome it writes by its rank."""
    os.environ |= {"TORCHELASTIC_RUN_ID": "test", "MASTER_ADDR": "localhost", "MASTER_PORT": f"{port}"}
    os.environ |= {"RANK": f"{rank}", "LOCAL_RANK": f"{rank}", "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"}
    torch.set_num_threads(1)
    tensors, rows = outcome(kind)
    save_file(tensors | {"rows": torch.tensor(rows)}, folder / f"rank{World.here('cpu').rank}.safetensors")


@pytest.mark.parametrize("kind", NORMS)
def test_two_processes_learn_what_one_learns(kind: str, tmp_path: Path, one_thread: None) -> None:
    with socket.create_server(("localhost", 0)) as free:
        port = free.getsockname()[1]
    processes = [started(learn, tmp_path, rank, port, kind) for rank in (0, 1)]
    whole, seen = outcome(kind)
    for process in processes:
        process.join(120)
    assert [process.exitcode for process in processes] == [0, 0]
    first, second = (load_file(tmp_path / f"rank{rank}.safetensors") for rank in (0, 1))
    rows = torch.cat([first.pop("rows"), second.pop("rows")]).tolist()
    every = [(epoch, row) for epoch in range(CONFIG.epochs) for row in range(len(some_digits().train))]
    assert sorted(map(tuple, rows)) == sorted(seen) == every  # no picture lost, none shown twice
    assert first.keys() == second.keys() == whole.keys()
    for name, tensor in whole.items():
        torch.testing.assert_close(first[name], second[name], rtol=0, atol=0)
        torch.testing.assert_close(first[name], tensor, rtol=1e-4, atol=1e-5, msg=lambda text, n=name: f"{n}: {text}")


def test_a_share_of_one_picture_is_enough_for_the_probe() -> None:
    training = Training(notation.parse("8x8x1 > flatten > dense 8 bn relu > dense 10"), some_digits(), CONFIG)
    training.world, training.config = World(0, 2, training.device), replace(CONFIG, batch_size=2, layout="auto")
    assert len(training._chosen().seconds) > 0


def test_a_process_parts_from_the_others_at_its_end() -> None:
    with socket.create_server(("localhost", 0)) as free:
        port = free.getsockname()[1]
    script = """
import atexit, torch.distributed as dist
from foveal.training.distributed import World
atexit.register(lambda: print(dist.is_initialized()))  # after what is registered later
World.here("cpu")
print(dist.is_initialized())
"""
    place = {"RANK": "0", "WORLD_SIZE": "1", "MASTER_ADDR": "localhost", "MASTER_PORT": f"{port}"}
    run = [sys.executable, "-c", script]
    environment = os.environ | place | {"TORCHELASTIC_RUN_ID": "test"}
    said = subprocess.run(run, env=environment, capture_output=True, text=True, check=True, timeout=60)
    assert said.stdout.split() == ["True", "False"]


def test_a_lost_partner_is_no_fault_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    closed = RuntimeError("[gloo/transport/tcp/pair.cc:547] Connection closed by peer [127.0.0.1]:20713")
    with pytest.raises(RuntimeError, match="closed by peer"), partners_guard():  # not ours to explain
        raise closed
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    for error in (closed, torch.distributed.DistBackendError("NCCL: remote process exited")):
        with pytest.raises(TrainingError, match=r"another process of this.*--resume"), partners_guard():
            raise error
    with pytest.raises(RuntimeError, match="mat1 and mat2"), partners_guard():
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")


def test_a_process_that_torchrun_did_not_start_is_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TORCHELASTIC_RUN_ID", raising=False)
    world = World.here("cpu")
    module = nn.Linear(2, 2)
    assert (world.rank, world.size, world.restarted) == (0, 1, False)
    assert world.joined(module, torch.ones(1)) is module
    assert world.total(sums := torch.ones(3)) is sums


def test_a_gpu_that_is_not_there_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    assert World.here("auto").device == torch.device("cpu")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.delenv("TORCHELASTIC_RUN_ID", raising=False)
    devices = []
    for here in ("2", "3"):  # one for each, or none for any: the processes must meet by one backend
        monkeypatch.setenv("LOCAL_WORLD_SIZE", here)
        devices.append(World.here("auto").device.type)
    assert devices == ["cuda", "cpu"]
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    with pytest.raises(UsageError, match="device = 'cuda': PyTorch finds 0 GPUs here, this is process 1; use cpu"):
        World.here("cuda")


def torchrun(run: Path, *options: str) -> subprocess.Popen[str]:
    """A training by two processes, as a user starts it."""
    return subprocess.Popen(
        [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", *options,
         "-m", "foveal", "train", "digits", "--from-scratch", LINE, "--out", str(run), *SETTINGS],
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
    """``--max-restarts`` begins all processes again; they go on from the checkpoint to what one process learns."""
    run = tmp_path / "disturbed"
    disturbed = torchrun(run, "--max-restarts", "2")
    deadline = time.monotonic() + 90
    while not (run / "checkpoint.safetensors").exists():
        assert disturbed.poll() is None, disturbed.communicate()[1]
        assert time.monotonic() < deadline
        time.sleep(0.02)
    os.kill(workers(disturbed.pid)[1], signal.SIGKILL)
    _, said = disturbed.communicate(timeout=120)
    assert disturbed.returncode == 0, said
    command = ["train", "digits", "--from-scratch", LINE, "--out", str(tmp_path / "whole"), "--threads", "1", "-q"]
    assert not app([*command, *SETTINGS], standalone_mode=False)
    first, second = (read(folder / "checkpoint.safetensors") for folder in (run, tmp_path / "whole"))
    assert first.tensors.keys() == second.tensors.keys()
    for name, tensor in second.tensors.items():
        torch.testing.assert_close(
            first.tensors[name], tensor, rtol=1e-3, atol=1e-4, msg=lambda text, n=name: f"{n}: {text}"
        )
    events = [json.loads(line)["event"] for line in (run / "log.jsonl").read_text().splitlines()]
    assert "resume" in events and events.count("epoch") >= EPOCHS
    assert said.count(f"epoch {EPOCHS}/{EPOCHS}") == 1  # one process speaks
