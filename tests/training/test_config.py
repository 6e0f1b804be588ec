"""The record of a training's settings: what it refuses, and that it survives JSON."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from foveal.errors import UsageError
from foveal.training.config import Config, parse_setting, read_config


def test_json_round_trip_is_exact() -> None:
    config = Config(epochs=3, lr=0.1 + 0.2, augment="crop 4, flip", ema=0.999, dropout=0.25, patience=2)
    assert Config.from_json(json.loads(json.dumps(config.to_json()))) == config


def test_what_a_file_does_not_name_keeps_its_default(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"epochs": 2, "lr": 1}')
    config = read_config(tmp_path / "config.json")
    assert (config.epochs, config.lr, config.batch_size) == (2, 1.0, Config().batch_size)
    assert type(config.lr) is float


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"lr": 0.0}, "lr = 0.0; expected a finite number above 0 (with a rate of 0 nothing is learnt)"),
        ({"lr": math.inf}, "lr = inf; expected a finite number above 0; foveal lr-find proposes one"),
        ({"lr": math.nan}, "lr = nan"),
        ({"lr": -1.0}, "lr = -1.0"),
        ({"epochs": 0}, "epochs = 0; expected a number from 1"),
        ({"epochs": 1.5}, "epochs = 1.5; expected a whole number"),
        ({"epochs": True}, "epochs = True; expected a whole number"),
        ({"batch_size": -1}, "batch_size = -1; expected a number from 0"),
        ({"weight_decay": math.nan}, "weight_decay = nan; expected a number from 0 to 10"),
        ({"label_smoothing": 1.0}, "label_smoothing = 1.0; expected a number from 0 to 0.9"),
        ({"dropout": "no"}, "dropout = 'no'; expected a number or none"),
        ({"seed": -1}, "seed = -1"),
        ({"augment": "crop 4, flop"}, "unknown augmentation 'flop'"),
        ({"device": "cdua"}, "unknown device 'cdua'; did you mean cuda or cpu?"),
        ({"precision": "fp64"}, "unknown precision 'fp64'"),
        ({"optimizer": "adamm"}, "unknown optimizer 'adamm'; did you mean adam or adamw or adagrad?"),
        ({"schedule": "cosin"}, "unknown schedule 'cosin'; did you mean cosine?"),
    ],
)
def test_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError) as error:
        Config(**values)
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"format": 2}', "has format 2, made by a newer Foveal; this one reads 1: upgrade it"),
        ('{"format": "x"}', "has format 'x'"),
        ('{"epoch": 2}', "unknown setting 'epoch'; did you mean epochs"),
        ("[1]", "a config is an object of names and values"),
        ("{", "not JSON"),
    ],
)
def test_a_file_that_is_no_config_is_named(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "bad.json").write_text(content)
    with pytest.raises(UsageError) as error:
        read_config(tmp_path / "bad.json")
    assert "bad.json: " in str(error.value)
    assert message in str(error.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"none\.json: cannot be read"):
        read_config(tmp_path / "none.json")


def test_settings_as_text() -> None:
    assert parse_setting("lr=0.1") == {"lr": 0.1}
    assert parse_setting("batch-size = 64") == {"batch_size": 64}
    assert parse_setting("patience=none") == {"patience": None}
    assert parse_setting("augment=crop 4, flip") == {"augment": "crop 4, flip"}


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ("lr", "expected NAME=VALUE"),
        ("rate=1", "unknown setting 'rate'"),
        ("epochs=ten", "expected a whole number after the ="),
    ],
)
def test_settings_that_make_no_sense(said: str, message: str) -> None:
    with pytest.raises(UsageError) as error:
        parse_setting(said)
    assert message in str(error.value)


def test_settled_leaves_nothing_to_a_probe() -> None:
    assert Config(batch_size=0).settled() == Config(batch_size=128, precision="f32", layout="channels-last")
    given = Config(batch_size=9, precision="bf16", layout="contiguous")
    assert given.settled() == given
