"""What cannot be trained: refused before the first step, by a message that says what, where, and what to do."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from foveal import notation
from foveal.datasets.pictures import Pictures, PictureSet
from foveal.errors import DataError, FovealError, UsageError
from foveal.graph import Graph
from foveal.training import loop
from foveal.training.config import Config, read_config
from foveal.training.loop import fit
from small_training import CONFIG, some_digits

pytestmark = pytest.mark.usefixtures("one_thread")

DENSE = notation.parse("8x8x1 > flatten > dense 16 bn relu > dense 10")
MAPS = notation.parse("8x8x1 > conv 4 3x3 bn relu > flatten > dense 10")


class Made(nn.Module):
    """A module from elsewhere that gives what `made` makes of the logits."""

    def __init__(self, made: Callable[[Tensor], Any] = lambda y: y, inputs: int = 64, classes: int = 10) -> None:
        super().__init__()
        self.made, self.body = made, nn.Sequential(nn.Flatten(), nn.Linear(inputs, classes))

    def forward(self, x: Tensor) -> Any:
        return self.made(self.body(x))


class Table(nn.Module):
    """Looks bytes up, so floats are none of its inputs."""

    def __init__(self) -> None:
        super().__init__()
        self.colours = nn.Embedding(256, 10)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.colours(x).mean((1, 2, 3))
        return y


@pytest.fixture
def no_step(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "step", None)


def refusal(network: Graph | nn.Module, data: PictureSet, config: Config) -> str:
    with pytest.raises(FovealError) as error:
        fit(network, data, config)
    return str(error.value)


@pytest.mark.usefixtures("no_step")
def test_a_batch_norm_over_a_single_value() -> None:
    data, config = some_digits(20), replace(CONFIG, batch_size=1)
    advice = (
        ": a batch norm over a single value of each channel, since the smallest batch has 1 picture; take a larger "
        "batch_size, or a group norm"
    )
    assert refusal(DENSE, data, config) == f"bn1{advice}"
    module = nn.Sequential(nn.Flatten(), nn.Sequential(nn.Linear(64, 10), nn.BatchNorm1d(10)))
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    assert refusal(module, data, config) == f"1.1{advice}"
    assert all(torch.equal(module.state_dict()[name], tensor) for name, tensor in before.items())
    assert not any(each._forward_hooks or each._forward_pre_hooks for each in module.modules())


def test_batch_norm_over_a_picture_or_a_remainder_is_trained() -> None:
    config = replace(CONFIG, epochs=1)
    assert len(fit(MAPS, some_digits(3), replace(config, batch_size=1)).epochs) == 1  # 36 values of each channel
    assert len(fit(DENSE, some_digits(51), config).epochs) == 1  # 50 and 1 would be refused; there are 26 and 25


@pytest.mark.usefixtures("no_step")
@pytest.mark.parametrize(
    ("module", "said"),
    [
        (Made(lambda y: (y, y)), "Made returns a tuple of 2; expected one tensor of logits, (batch, 10): wrap it"),
        (Made(lambda y: {"logits": y}), "Made returns a dict of 1; expected one tensor of logits"),
        (Made(lambda y: None), "Made returns a NoneType; expected one tensor of logits"),
        (Made(classes=7), "Made returns (2, 7) for 2 pictures; expected one tensor of logits, (batch, 10), one"),
        (Made(lambda y: y[..., None]), "Made returns (2, 10, 1) for 2 pictures; expected"),
        (Made(lambda y: y.mean()), "Made returns () for 2 pictures; expected"),
        (Made(lambda y: y.detach()), "Made: no trainable weight reaches its output, so there is nothing to learn"),
        (Made(lambda y: y.argmax(1, keepdim=True).expand(-1, 10)), "whole numbers on the way"),
        (Made(inputs=100), "Made cannot take pictures of 8x8x1: in body.1 RuntimeError, mat1 and mat2 shapes"),
        (Made(inputs=100), "; expected a module that takes float32 (batch, 1, 8, 8) and gives logits (batch, 10)"),
        (Made(lambda y: 1 / 0), "Made cannot take pictures of 8x8x1: ZeroDivisionError, division by zero; expected"),
        (Table(), "Table cannot take pictures of 8x8x1: in colours RuntimeError, Expected tensor for argument"),
        (nn.Sequential(nn.Flatten(), nn.AdaptiveAvgPool1d(10)), "the network has no trainable weight, so there"),
        (Made().requires_grad_(False), "the network has no trainable weight"),
        (nn.Conv2d(3, 10, 8), "Conv2d cannot take pictures of 8x8x1: RuntimeError, Given groups=1, weight of size"),
    ],
)  # fmt: skip
def test_modules_that_do_not_fit(module: nn.Module, said: str) -> None:
    assert said in refusal(module, some_digits(20), CONFIG)


@pytest.mark.usefixtures("no_step")
@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "9x9x1 > flatten > dense 10",
            "takes pictures of 9x9x1, those of some digits are 8x8x1; give the network",
        ),
        ("8x8x3 > flatten > dense 10", "takes pictures of 8x8x3, those of some digits are 8x8x1"),
        ("8x8x1 > flatten > dense 7", "gives 7, but some digits has 10 classes; end it with dense 10, on one output"),
        ("8x8x1 > conv 10 3x3", "gives 6x6x10, but some digits has 10 classes"),
    ],
)
def test_graphs_that_do_not_fit(text: str, said: str) -> None:
    assert said in refusal(notation.parse(text), some_digits(20), CONFIG)


@pytest.mark.usefixtures("no_step")
def test_what_looks_at_a_validation_part_that_is_not_there() -> None:
    data = some_digits(20)
    data = replace(data, val=data.val[:0])
    for setting, change in (
        ("patience = 3", {"patience": 3}),
        ("schedule = plateau", {"schedule": "plateau"}),
    ):
        said = refusal(MAPS, data, replace(CONFIG, **change))
        assert said == f"{setting}: some digits has no validation part to look at; set one aside"


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (
            {"lr": 0},
            "lr = 0.0; expected a finite number above 0 (with a rate of 0 nothing is learnt); foveal",
        ),
        ({"lr": -0.1}, "lr = -0.1; expected a finite number above 0; foveal lr-find proposes one"),
        ({"lr": math.inf}, "lr = inf; expected a finite number above 0"),
        ({"lr": math.nan}, "lr = nan; expected a finite number above 0"),
        ({"lr": "fast"}, "lr = 'fast'; expected a number or none"),
        ({"epochs": 0}, "epochs = 0; expected a number from 1 to 1e+06"),
        ({"epochs": 2.5}, "epochs = 2.5; expected a whole number"),
        ({"epochs": True}, "epochs = True; expected a whole number"),
        ({"batch_size": -1}, "batch_size = -1; expected a number from 0"),
        ({"weight_decay": math.inf}, "weight_decay = inf; expected a number from 0 to 10"),
        ({"momentum": math.nan}, "momentum = nan; expected a number from 0"),
        ({"clip": 0.0}, "clip = 0.0; expected a number from 1e-06"),
        ({"patience": 0}, "patience = 0; expected a number from 1"),
        ({"precision": "f16"}, "unknown precision 'f16'"),
        ({"device": "tpu"}, "unknown device 'tpu'"),
        ({"learning_rate": 0.1}, "unknown setting 'learning_rate'"),
        ({"batch-size": 8}, "unknown setting 'batch-size'; did you mean batch_size"),
        ({"format": 2}, "this config has format 2, made by a newer Foveal; this one reads 1: upgrade it"),
        ({"format": "1"}, "format '1'"),
    ],
)
def test_settings_that_make_no_sense(values: dict[str, Any], said: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError) as error:
        Config.from_json(values)
    assert said in str(error.value)
    (file := tmp_path / "config.json").write_text(json.dumps(values))
    with pytest.raises(UsageError, match=r"config\.json: ") as error:
        read_config(file)
    assert said in str(error.value)


@pytest.mark.usefixtures("no_step")
@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"warmup": 2.0}, "warmup = 2 epochs of a run of 2; expected fewer"),
        ({"dropout": 0.5}, "dropout = 0.5: network has no dropout to set; add one"),
    ],
)
def test_settings_that_do_not_fit_the_run(change: dict[str, Any], said: str) -> None:
    assert said in refusal(MAPS, some_digits(20), replace(CONFIG, **change))


def pictures(y: Any, *, kind: Any = np.uint8, shape: tuple[int, ...] = (1, 8, 8)) -> Pictures:
    return Pictures(np.zeros((len(y), *shape), kind), np.asarray(y))


@pytest.mark.parametrize(
    ("train", "val", "said"),
    [
        (pictures([1, 1, 1]), pictures([0]), "3 training pictures of one class, b; a classifier needs pictures of two"),
        (pictures(np.arange(0)), pictures([0]), "set: 0 training pictures; a classifier needs pictures of two classes"),
        (pictures([0, 1, 3]), pictures([0]), "set, train part: labels from 0 to 3, but there are 3 classes"),
        (pictures([0, -1]), pictures([0]), "set, train part: labels from -1 to 0, but there are 3 classes"),
        (pictures([0, 1]), pictures([7]), "set, val part: labels from 7 to 7, but there are 3 classes"),
        (pictures([0, 1], kind=np.float32), pictures([0]), "set, train part: pictures float32 (2, 1, 8, 8) and"),
        (pictures([0.0, 1.0]), pictures([0]), "labels float64 (2,); expected uint8 (n, channels, height, width)"),
        (pictures([0, 1]), pictures([0], shape=(1, 9, 9)), "set, val part: pictures of (1, 9, 9), but those"),
        (Pictures(np.zeros((3, 1, 8, 8), np.uint8), np.arange(2)), pictures([0]), "3 pictures but 2 labels"),
    ],
)  # fmt: skip
def test_pictures_that_cannot_be_learnt_from(train: Pictures, val: Pictures, said: str) -> None:
    with pytest.raises(DataError) as error:
        PictureSet("set", ("a", "b", "c"), train, val, pictures([0]), "drawn by hand")
    assert said in str(error.value)
