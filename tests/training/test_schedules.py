"""The schedules against torch.optim.lr_scheduler, and by what they promise."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.optim import SGD, Optimizer, lr_scheduler

from foveal.errors import UnknownName, UsageError
from foveal.training.config import Config
from foveal.training.schedules import SCHEDULES, Schedule

EPOCHS, STEPS, RATE = 8, 5, 0.4
TOTAL = EPOCHS * STEPS
WARM = 10  # steps of two epochs


def optimizer() -> Optimizer:
    return SGD([torch.zeros(1, requires_grad=True)], lr=RATE)


def rates(config: Config) -> list[float]:
    ours = Schedule(optimizer(), config, STEPS)
    found = []
    for step in range(config.epochs * STEPS):
        ours.before_step(step)
        found.append(ours.rate)
    return found


def torchs(make: Callable[[Optimizer], Any], count: int = TOTAL) -> list[float]:
    other = optimizer()
    scheduler = make(other)
    found = []
    for _ in range(count):
        found.append(float(other.param_groups[0]["lr"]))
        other.step()
        scheduler.step()
    return found


def _one_cycle(other: Optimizer) -> Any:
    """Torch's ends on the last step at its lowest; ours would reach 0 in the step after the last."""
    return lr_scheduler.OneCycleLR(
        other,
        RATE,
        total_steps=TOTAL + 1,
        pct_start=(0.3 * TOTAL + 1) / (TOTAL + 1),
        anneal_strategy="linear",
        div_factor=25,
        final_div_factor=float("inf"),
        cycle_momentum=False,
    )


@pytest.mark.parametrize(
    ("name", "oracle"),
    [
        ("constant", lambda other: lr_scheduler.ConstantLR(other, factor=1.0)),
        ("step", lambda other: lr_scheduler.MultiStepLR(other, [TOTAL // 2, TOTAL * 3 // 4])),
        ("cosine", lambda other: lr_scheduler.CosineAnnealingLR(other, TOTAL)),
        ("one-cycle", _one_cycle),
    ],
)
def test_rates_are_torchs(name: str, oracle: Callable[[Optimizer], Any]) -> None:
    found = rates(Config(epochs=EPOCHS, schedule=name))
    assert found == pytest.approx(torchs(oracle), rel=1e-9)
    assert min(found) > 0


def test_warm_up_comes_first_and_the_schedule_has_the_rest() -> None:
    def oracle(other: Optimizer) -> Any:
        warm = lr_scheduler.LinearLR(other, 1 / WARM, total_iters=WARM - 1)
        return lr_scheduler.SequentialLR(other, [warm, lr_scheduler.CosineAnnealingLR(other, TOTAL - WARM)], [WARM])

    found = rates(Config(epochs=EPOCHS, schedule="cosine", warmup=2.0))
    assert found == pytest.approx(torchs(oracle), rel=1e-9)


@pytest.mark.parametrize("name", SCHEDULES)
def test_warm_up_never_jumps(name: str) -> None:
    found = rates(Config(epochs=EPOCHS, schedule=name, warmup=2.0))
    steps = [after - before for before, after in itertools.pairwise(found[:WARM])]
    assert steps == pytest.approx([found[0]] * (WARM - 1))
    assert found[WARM] == pytest.approx(found[WARM - 1], rel=1e-9)


@pytest.mark.parametrize("name", SCHEDULES)
def test_a_run_of_one_step_has_a_rate(name: str) -> None:
    ours = Schedule(optimizer(), Config(epochs=1, schedule=name), 1)
    ours.before_step(0)
    assert 0 < ours.rate <= RATE


def test_plateau_is_torchs_and_goes_on_from_its_state() -> None:
    losses = [1.0, 0.9, 0.95, 0.9, 0.91, 0.8, 0.8, float("nan"), 0.9, 0.9, 0.9, 0.85]
    other = optimizer()
    torchs = lr_scheduler.ReduceLROnPlateau(other, factor=0.1, patience=2, threshold=0.0)
    config = Config(epochs=len(losses), schedule="plateau")
    ours, drops = Schedule(optimizer(), config, STEPS), set()
    for epoch, loss in enumerate(losses):
        ours.before_step(epoch * STEPS)
        assert ours.rate == pytest.approx(other.param_groups[0]["lr"], rel=1e-12)
        drops.add(ours.rate)
        state = json.dumps(ours.state_dict(), allow_nan=False)
        ours = Schedule(optimizer(), config, STEPS)
        ours.load_state_dict(json.loads(state))
        ours.after_epoch(loss)
        torchs.step(loss)
    assert len(drops) == 3


def test_under_early_stopping_plateau_drops_in_time() -> None:
    ours = Schedule(optimizer(), Config(schedule="plateau", patience=3), STEPS)
    for loss in (1.0, 1.0):
        ours.after_epoch(loss)
    ours.before_step(0)
    assert ours.rate == pytest.approx(RATE / 10)


def test_the_rate_is_of_the_step_whatever_came_before() -> None:
    """As after a resumption, whose optimizer has the rate of its last step in its groups."""
    config = Config(epochs=EPOCHS, schedule="cosine", warmup=1.0)
    all_rates = rates(config)
    resumed = optimizer()
    resumed.param_groups[0]["lr"] = 1e-5
    late = Schedule(resumed, config, STEPS)
    late.before_step(TOTAL - 3)
    assert late.rate == all_rates[TOTAL - 3]


def test_bad_schedules_are_refused() -> None:
    with pytest.raises(UnknownName, match="unknown schedule 'cosin'; did you mean cosine"):
        Schedule(optimizer(), Config(schedule="cosin"), STEPS)
    with pytest.raises(UsageError, match="warmup = 10 epochs of a run of 10; expected fewer, such as 1"):
        Schedule(optimizer(), Config(epochs=10, warmup=10.0), STEPS)
