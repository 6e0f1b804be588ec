"""Each epoch shows each picture once, whatever the batch size and the number of processes."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch

from foveal.training.batches import batches, order, seed_step, share, steps_of


@pytest.mark.parametrize(("count", "size"), [(10, 3), (10, 10), (10, 100), (129, 128), (7, 1)])
@pytest.mark.parametrize("world", [1, 2, 3])
def test_no_picture_is_lost_or_shown_twice(count: int, size: int, world: int) -> None:
    cut = batches(order(count, 0, 5), size)
    assert len(cut) == steps_of(count, size)
    assert max(map(len, cut)) <= size
    assert max(map(len, cut)) - min(map(len, cut)) <= 1
    seen = torch.cat([share(batch, rank, world) for batch in cut for rank in range(world)])
    assert sorted(seen.tolist()) == list(range(count))


def test_orders_differ_by_seed_and_epoch_and_are_the_same_each_time() -> None:
    orders = [tuple(order(50, seed, epoch).tolist()) for seed in (0, 1) for epoch in (0, 1)]
    assert len(set(orders)) == 4
    assert tuple(order(50, 0, 0).tolist()) == orders[0]


def test_a_step_draws_the_same_numbers_whatever_came_before() -> None:
    def draw() -> tuple[float, ...]:
        return float(torch.rand(())), float(np.random.rand()), random.random()

    states = torch.get_rng_state(), np.random.get_state(), random.getstate()
    drawn = []
    for seed, step, rank in [(0, 7, 0), (0, 8, 0), (0, 7, 1), (1, 7, 0), (0, 7, 0)]:
        seed_step(seed, step, rank)
        drawn.append(draw())
    torch.set_rng_state(states[0])
    np.random.set_state(states[1])
    random.setstate(states[2])
    assert drawn[0] == drawn[4]
    assert len(set(drawn)) == 4
