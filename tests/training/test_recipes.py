"""The committed recipes parse, fit their datasets and keep within their size. What they reach: bench/recipes.py."""

from __future__ import annotations

import importlib
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from foveal import notation
from foveal.datasets import DATASETS
from foveal.datasets.pictures import Pictures, PictureSet
from foveal.training.augmentation import parse
from foveal.training.config import Config, read_config
from foveal.training.optimizers import OPTIMIZERS
from foveal.training.schedules import SCHEDULES, Schedule

BENCH = Path(__file__).resolve().parents[2] / "bench"
FILES = sorted((BENCH / "recipes").glob("*.json"))
NAMES = [file.stem for file in FILES]


@pytest.fixture(scope="module")
def recipes() -> Iterator[Any]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(BENCH)
        yield importlib.import_module("recipes")


def test_every_recipe_has_its_settings(recipes: Any) -> None:
    assert sorted(recipes.RECIPES) == NAMES


@pytest.mark.parametrize("file", FILES, ids=NAMES)
def test_the_settings_are_a_config_and_the_network_fits(file: Path, recipes: Any) -> None:
    config, graph, data = read_config(file), recipes.graph_of(file.stem), DATASETS[file.stem]
    assert config.optimizer in OPTIMIZERS
    assert config.schedule in SCHEDULES
    assert config.lr is not None
    assert graph.input_shape == data.shape
    assert [graph.shapes[name] for name in graph.outputs] == [(len(data.classes),)]
    assert sum(map(math.prod, graph.parameters().values())) < 100_000


def test_no_recipe_mirrors_digits() -> None:
    mirrored = {file.stem for file in FILES if any(each.word == "flip" for each in parse(read_config(file).augment))}
    assert mirrored <= {"fashion-mnist"}


def test_the_plain_loop_has_our_rates(recipes: Any) -> None:
    x = np.arange(20 * 64, dtype=np.uint8).reshape(20, 1, 8, 8)
    some = Pictures(x, np.arange(20) % 10)
    data = PictureSet("few", tuple("0123456789"), some, some[:0], some, "made up")
    config = Config(epochs=2, batch_size=8, optimizer="nesterov", lr=0.2, weight_decay=0.0, augment="crop 1, flip")
    graph = notation.parse("8x8x1 > flatten > dense 10")
    plain = recipes.Plain(graph, "tiny_resnet", data, config)
    rates: list[float] = []
    plain.schedule.step = lambda step=plain.schedule.step: (rates.append(plain.optimizer.param_groups[0]["lr"]), step())
    for _ in range(config.epochs):
        plain.epoch()
    schedule, expected = Schedule(torch.optim.SGD(plain.module.parameters(), 0.2), config, 3), []
    for step in range(6):
        schedule.before_step(step)
        expected.append(schedule.rate)
    assert rates == pytest.approx(expected)


def test_the_plain_loop_refuses_what_it_does_not_do(recipes: Any) -> None:
    with pytest.raises(NotImplementedError, match="the plain loop does not cutout"):
        recipes.Augmented(torch.zeros(1, 1, 8, 8), torch.zeros(1), "flip, cutout 4")


def test_a_picture_is_moved_and_mirrored_one_way_or_the_other(recipes: Any) -> None:
    picture = torch.arange(9.0).view(1, 1, 3, 3)
    drawn = [recipes.Augmented(picture, torch.zeros(1), "flip")[0][0] for _ in range(40)]
    assert {tuple(each[0, 0].tolist()) for each in drawn} == {(0.0, 1.0, 2.0), (2.0, 1.0, 0.0)}
    moved = [recipes.Augmented(picture, torch.zeros(1), "crop 1")[0][0] for _ in range(200)]
    assert {float(each[0, 1, 1]) for each in moved} == set(range(9))
