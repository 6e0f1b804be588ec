from __future__ import annotations

import json
import random
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from foveal.training import choices
from foveal.training.choices import Choices, choose, propose_batch
from foveal.training.config import Config

CPU = torch.device("cpu")
EXAMPLE = torch.randn(32, 3, 8, 8), torch.arange(32) % 4
WAYS = ("contiguous f32", "contiguous bf16", "channels-last f32", "channels-last bf16")


class Clock:
    """A clock that only moves when it is told to."""

    now = 0.0

    def perf_counter(self) -> float:
        return self.now


class Timed(nn.Module):
    """A network whose steps take `cost(way, pictures)` seconds on `clock`."""

    def __init__(self, clock: Clock, cost: Callable[[str, int], float]) -> None:
        super().__init__()
        self.clock, self.cost = clock, cost
        self.dense = nn.Linear(192, 4)

    def forward(self, x: Tensor) -> Tensor:
        layout = "contiguous" if x.is_contiguous() else "channels-last"
        bf16 = torch.is_autocast_enabled("cpu")
        self.clock.now += self.cost(f"{layout} {'bf16' if bf16 else 'f32'}", len(x))
        y: Tensor = self.dense(x.flatten(1))
        return y

    def __deepcopy__(self, memo: object) -> Timed:
        made = Timed(self.clock, self.cost)
        made.dense.load_state_dict(self.dense.state_dict())
        return made


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(choices, "time", clock)
    return clock


def chosen(clock: Clock, costs: tuple[float, ...], config: Config | None = None) -> Choices:
    by_way = dict(zip(WAYS, costs, strict=True))
    return choose(Timed(clock, lambda way, rows: by_way[way]), EXAMPLE, config or Config(), CPU)


@pytest.mark.parametrize(
    ("costs", "expected"),
    [
        ((0.1, 0.096, 0.097, 0.2), "contiguous f32"),  # less than 5 % are not worth another way
        ((0.1, 0.094, 0.097, 0.2), "contiguous bf16"),
        ((0.1, 0.09, 0.05, 0.06), "channels-last f32"),
        ((0.1, 0.09, 0.05, 0.02), "channels-last bf16"),
    ],
)
def test_the_quickest_way(clock: Clock, costs: tuple[float, ...], expected: str) -> None:
    found = chosen(clock, costs)
    assert f"{found.layout} {found.precision}" == expected
    assert found.seconds == pytest.approx(dict(zip(WAYS, costs, strict=True)))
    assert Choices.from_json(json.loads(json.dumps(found.to_json()))) == found


def test_what_the_config_says_is_not_tried(clock: Clock) -> None:
    costs = (0.1, 0.01, 0.05, 0.02)
    assert chosen(clock, costs, Config(precision="f32")).seconds.keys() == {WAYS[0], WAYS[2]}
    found = chosen(clock, costs, Config(layout="channels-last"))
    assert (found.precision, found.seconds.keys()) == ("bf16", {WAYS[2], WAYS[3]})
    began = clock.now
    assert chosen(clock, costs, Config(layout="contiguous", precision="bf16")) == Choices("contiguous", "bf16")
    assert clock.now == began


def test_probing_ends_soon_where_steps_are_slow(clock: Clock) -> None:
    chosen(clock, (5.0, 20.0, 6.0, 20.0))
    assert clock.now < 120  # a step of each way, and those of finding out


class Awry(nn.Linear):
    """Right in float32; in bfloat16 something else."""

    wrong: Callable[[Tensor], Tensor]

    def forward(self, x: Tensor) -> Tensor:
        y = super().forward(x.flatten(1))
        return self.wrong(y) if torch.is_autocast_enabled("cpu") else y


def refuse(y: Tensor) -> Tensor:
    raise RuntimeError('"kernel" not implemented for BFloat16')


@pytest.mark.parametrize("wrong", [lambda y: 2 * y, lambda y: y * float("nan"), refuse])
def test_bfloat16_that_goes_wrong_is_not_taken(wrong: Callable[[Tensor], Tensor]) -> None:
    module = Awry(192, 4)
    module.wrong = wrong
    assert choose(module, EXAMPLE, Config(layout="contiguous"), CPU).seconds.keys() == {"contiguous f32"}


def test_a_network_without_a_loss_keeps_the_default() -> None:
    module = nn.Sequential(nn.Flatten(), nn.Linear(192, 4))
    nn.init.constant_(module[1].weight, float("nan"))
    found = choose(module, EXAMPLE, Config(), CPU)
    assert (found.layout, found.precision) == ("contiguous", "f32")


def test_module_and_random_numbers_stay_as_they_are() -> None:
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Dropout(), nn.Flatten(), nn.Linear(144, 4)).eval()
    state = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    before = torch.get_rng_state(), str(np.random.get_state()), random.getstate()
    found = choose(module, EXAMPLE, Config(), CPU)
    propose_batch(module, EXAMPLE, found)
    assert torch.equal(torch.get_rng_state(), before[0])
    assert (str(np.random.get_state()), random.getstate()) == before[1:]
    assert not module.training
    for name, tensor in module.state_dict().items():
        assert torch.equal(tensor, state[name]) and tensor.stride() == state[name].stride()
    assert all(parameter.grad is None for parameter in module.parameters())


def test_the_batch_that_trains_most_pictures_a_second(clock: Clock) -> None:
    def proposed(cost: Callable[[int], float], most: int = 200) -> int:
        example = torch.randn(most, 3, 8, 8), torch.arange(most) % 4
        return propose_batch(Timed(clock, lambda _, rows: cost(rows)), example, Choices("contiguous", "f32"))

    assert proposed(lambda rows: 1 + rows / 10) == 128  # of calls that cost something, the largest there is
    assert proposed(lambda rows: 1 + rows / 10, most=40) == 32
    assert proposed(lambda rows: 0.01 + rows) == 8  # hardly anything: the smallest
    assert proposed(lambda rows: rows + (rows > 30) * rows) == 8
    assert proposed(lambda rows: 1.0, most=2) == 1


def test_targets_may_be_shares_of_classes() -> None:
    module = nn.Sequential(nn.Flatten(), nn.Linear(192, 4))
    shares = torch.softmax(torch.randn(32, 4), 1)
    assert choose(module, (EXAMPLE[0], shares), replace(Config(), layout="contiguous"), CPU).seconds
