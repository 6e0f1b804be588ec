"""Training memory against what PyTorch's CPU allocator reports; inference memory by hand."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch.profiler import ProfilerActivity, profile

from foveal.anatomy.memory import inference, largest_batch, read_bytes, training
from foveal.build import build
from foveal.errors import UnknownName, UsageError
from foveal.graph import Builder, Graph
from foveal.ops import (
    Add,
    AvgPool,
    Conv,
    Dense,
    Factor,
    Flatten,
    LogSoftmax,
    LpPool,
    Maxout,
    MaxPool,
    Offset,
    Op,
    PadChannels,
    Rbf,
    Relu,
    Tanh,
)
from foveal.shapes import Shape
from foveal.zoo import create_graph


def allocated(run: Callable[[], object], folder: Path) -> int:
    """The most bytes that tensors took while `run` ran, over those there before."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as recorded:
        run()
    recorded.export_chrome_trace(str(folder / "trace.json"))
    events = json.loads((folder / "trace.json").read_text())["traceEvents"]
    totals = [
        (event["ts"], event["args"]["Total Allocated"], event["args"]["Bytes"])
        for event in events
        if event["name"] == "[memory]"
    ]
    _, first, change = min(totals)
    return max(total for _, total, _ in totals) - (first - change)


@pytest.mark.filterwarnings("ignore::UserWarning")  # the profiler's own, about its schedule
@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
@pytest.mark.parametrize(
    ("name", "shape"), [("resnet18", (3, 64, 64)), ("mobilenet_v2", (3, 64, 64)), ("efficientnet_lite0", (3, 64, 64))]
)
def test_training_memory_is_what_the_allocator_reports(name: str, shape: Shape, optimizer: str, tmp_path: Path) -> None:
    graph = create_graph(name, input_shape=shape, num_classes=10)
    module = build(graph).train()
    kind = {"adam": torch.optim.Adam, "sgd": torch.optim.SGD}[optimizer]
    update = kind(module.parameters(), lr=1e-3)

    def step() -> None:
        module(torch.ones(8, *shape)).square().mean().backward()
        update.step()
        update.zero_grad()

    step()
    assert training(graph, 8, optimizer).peak == pytest.approx(allocated(step, tmp_path), rel=0.08)


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_what_early_networks_keep_for_backward(tmp_path: Path) -> None:
    net = Builder("early")
    x = net(Offset(), net(Conv(64, 3), net.input(1, 32, 32)))
    x = net(Factor(0.5), net(PadChannels(8, 8), net(Tanh(), net(Factor(0.6), x))))
    net(Rbf(4), net(Flatten(), net(AvgPool(10), x)))
    module = build(net.graph()).train()

    def step() -> None:
        module(torch.ones(16, 1, 32, 32)).square().mean().backward()

    step()
    assert training(net.graph(), 16, "sgd").peak == pytest.approx(allocated(step, tmp_path), rel=0.08)


@pytest.mark.parametrize(
    "op", [MaxPool(2, 1, dilation=2), LpPool(2), LpPool(3, 1, p=3), Maxout(2), LogSoftmax(), AvgPool(2)], ids=str
)
def test_what_is_kept_for_backward_is_what_autograd_saves(op: Op) -> None:
    net = Builder("kept")
    net(op, net(Tanh(), net.input(4, 9, 8)), name="op")
    found: dict[int, int] = {}

    def note(x: torch.Tensor) -> torch.Tensor:
        found[x.untyped_storage().data_ptr()] = x.untyped_storage().nbytes()
        return x

    x = torch.ones(16, 4, 9, 8, requires_grad=True)
    with torch.autograd.graph.saved_tensors_hooks(note, lambda x: x):
        y = build(net.graph())(x)
    assert training(net.graph(), 16).saved == sum(found.values())
    assert y.requires_grad


def chain() -> Graph:
    net = Builder("chain")
    x = net(Conv(8, 3, padding=1), net.input(3, 10, 10), name="conv")  # 2,400 values, the input has 300
    y = net(Relu(), x, name="relu")
    z = net(Add(), x, y, name="sum")
    net(Dense(5), net(Flatten(), net(Conv(1, 1), z, name="last")), name="head")
    return net.graph()


def test_inference_by_hand() -> None:
    # conv 300 + 800; relu 800 + 800; sum 800 + 800 + 800: the most. conv's value is alive until it has been added.
    found = inference(chain())
    assert (found.activations, found.node) == (4 * 2400, "sum")
    parameters = 8 * 28 + 9 + 505
    assert found.weights == 4 * parameters and found.total == 4 * (2400 + parameters)
    assert inference(chain(), batch=3).activations == 3 * found.activations
    assert inference(chain(), precision="bf16").activations == found.activations // 2


def test_training_parts() -> None:
    found = training(chain(), 2, "adam")
    parameters = 8 * 28 + 9 + 505
    assert found.optimizer == 8 * parameters and found.gradients == 4 * parameters
    # kept: the picture (300), relu's output (800, conv's input too), sum (800), last's output, flattened (100)
    assert found.saved == 2 * 4 * (300 + 800 + 800 + 100)
    assert training(chain(), 2, "sgd").optimizer == 0
    frozen = frozenset(chain().parameters())
    assert training(chain(), 2, "adam", frozen=frozen).gradients == 0
    assert training(chain(), 2, precision="bf16").saved == found.saved // 2


@pytest.mark.parametrize("budget", [10_000, 10**6, 10**8])
@pytest.mark.parametrize("optimizer", ["adam", "momentum"])
def test_the_largest_batch_fits_and_one_more_does_not(budget: int, optimizer: str) -> None:
    batch = largest_batch(chain(), budget, optimizer)
    if batch:
        assert training(chain(), batch, optimizer).total <= budget
    assert training(chain(), batch + 1, optimizer).total > budget


def test_sizes_as_people_write_them() -> None:
    assert [read_bytes(said) for said in ("8GiB", "1.5 kb", "2g", "77", "3 MB")] == [2**33, 1500, 2**31, 77, 3_000_000]
    for said in ("", "GiB", "-1GB", "8 apples", "nan", "1e99GiB"):
        with pytest.raises(UsageError, match="is no size of memory; expected something like 8GiB"):
            read_bytes(said)


def test_bad_input() -> None:
    with pytest.raises(UnknownName, match="unknown optimizer 'adm'; did you mean adam"):
        training(chain(), 1, "adm")
    with pytest.raises(UnknownName, match="unknown precision 'float64'; did you mean float32"):
        inference(chain(), precision="float64")
    with pytest.raises(UsageError, match="a batch of 0 images; expected at least 1"):
        training(chain(), 0)
