"""The estimate against the memory a training took, and what is done with it."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from foveal import machine, notation
from foveal.build import build
from foveal.errors import TrainingError, UnknownName, UsageError
from foveal.training import memory, state
from foveal.training.config import Config
from foveal.training.distributed import World
from foveal.training.dry_run import dry_run
from foveal.training.loop import fit
from foveal.training.memory import MARGIN, check_fits, memory_guard, needed
from foveal.zoo import create_graph
from small_training import CONFIG, NETWORK, some_digits

pytestmark = pytest.mark.usefixtures("one_thread")

HERE = World(0, 1, torch.device("cpu"))
LENET = notation.parse("32x32x3 > conv 32 3x3 same bn relu > maxpool 2 > conv 64 3x3 same bn relu > flatten > dense 10")


def free(monkeypatch: pytest.MonkeyPatch, count: int | None) -> None:
    monkeypatch.setattr(machine, "available_memory", lambda: count)


def test_estimate_is_near_what_a_process_takes() -> None:
    worker = Path(__file__).parent / "memory_worker.py"
    said = subprocess.run([sys.executable, worker], capture_output=True, text=True, check=True).stdout.split()
    measured, estimated = map(int, said)
    assert measured > 100 * 2**20
    assert 0.5 < estimated / measured < 2


@pytest.mark.parametrize("graph", [LENET, create_graph("resnet18_cifar")], ids=["lenet", "resnet18"])
def test_a_module_is_estimated_like_its_graph(graph: notation.Graph) -> None:
    module = build(graph)
    each = dry_run(module, torch.zeros(2, *graph.input_shape), 10)
    config = Config(batch_size=128)
    estimates = [needed(network, 128, config, activations=each) for network in (graph, module)]
    assert estimates[1] == pytest.approx(estimates[0], rel=0.25)


def test_every_copy_of_the_weights_counts() -> None:
    dense = notation.parse("8x8x3 > flatten > dense 4096 > dense 10")  # nearly all of it weights
    weights = 4 * sum(tensor.numel() for tensor in build(dense).parameters())
    config = Config(optimizer="sgd", layout="contiguous", precision="f32")
    plain = needed(dense, 1, config)
    assert plain == pytest.approx(3 * weights, rel=0.01)  # weights, gradients, and the checkpoint that is made
    for change, copies in (({"optimizer": "adamw"}, 4), ({"ema": 0.9}, 4), ({"patience": 3}, 2)):
        extra = needed(dense, 1, replace(config, **change)) - plain
        assert extra == pytest.approx(copies * weights, rel=0.01)  # in memory, and in the checkpoint
    probed = needed(dense, 1, replace(config, layout="auto"))
    assert probed == pytest.approx(5 * weights, rel=0.01)  # two copies that have gradients


def test_evaluation_takes_no_more_pictures_than_fit() -> None:
    assert memory.evaluated(1) == 4
    assert memory.evaluated(1000) == 512
    wide = notation.parse("64x64x3 > conv 64 3x3 same > maxpool 64 > flatten > dense 10")  # little is kept for backward
    deep = needed(wide, 8, Config(batch_size=8))
    assert deep > memory.memory.inference(wide, 32).total


def test_what_does_not_fit_is_refused_with_a_batch_that_does(monkeypatch: pytest.MonkeyPatch) -> None:
    config = Config(batch_size=512)
    room = int(needed(LENET, 100, config) / MARGIN)
    free(monkeypatch, room)
    with pytest.raises(UsageError, match=r"batch_size = 512: training net takes about .*MiB, but here .* of memory are "
                       r"free; batch_size = 64 fits") as error:  # fmt: skip
        check_fits(LENET, "net", config, HERE)
    assert "processes" not in str(error.value)
    check_fits(LENET, "net", replace(config, batch_size=64), HERE)
    with pytest.raises(UsageError, match="batch_size = 64 fits"):
        check_fits(LENET, "net", replace(config, batch_size=128), HERE)
    check_fits(
        LENET, "net", replace(config, batch_size=128), World(0, 2, torch.device("cpu"))
    )  # elsewhere is the other
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    with pytest.raises(UsageError, match="free for each of 2 processes; batch_size = 64 fits"):
        check_fits(LENET, "net", replace(config, batch_size=128), World(0, 2, torch.device("cpu")))
    free(monkeypatch, 1000)
    with pytest.raises(UsageError, match="not even one picture fits: take a smaller network or input, or another mach"):
        check_fits(LENET, "net", config, HERE)
    free(monkeypatch, None)
    check_fits(LENET, "net", config, HERE)


def test_fit_refuses_before_anything_is_built(monkeypatch: pytest.MonkeyPatch) -> None:
    data, module = some_digits(60), build(NETWORK)
    free(monkeypatch, 1000)
    monkeypatch.setattr(state, "build", None)
    for network, name in ((NETWORK, "network"), (module, "Network")):
        with pytest.raises(UsageError, match=f"training {name} takes about .* not even one picture fits"):
            fit(network, data, CONFIG)
    with pytest.raises(UnknownName, match="unknown optimizer 'adamm'; did you mean adam or adamw"):
        fit(NETWORK, data, replace(CONFIG, optimizer="adamm"))


def test_running_out_after_all_is_no_traceback() -> None:
    for batch, way in ((64, "64 pictures; try batch_size = 32"), (1, "1 picture; try a smaller network")):
        with (
            pytest.raises(TrainingError, match=f"memory ran out in batches of {way}"),
            memory_guard(Config(batch_size=batch)),
        ):
            torch.empty(1 << 60, dtype=torch.uint8)  # the CPU's allocator refuses
    with pytest.raises(TrainingError, match="batches of 128 pictures"), memory_guard(Config()):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20 GiB")
    with (
        pytest.raises(TrainingError, match="in the probe, or after; try batch_size = 128"),
        memory_guard(Config(batch_size=0)),
    ):
        raise MemoryError
    with pytest.raises(RuntimeError, match="something else"), memory_guard(Config()):
        raise RuntimeError("something else")
