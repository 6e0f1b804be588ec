"""The range test: what it reads off curves whose answer is known, what it proposes for digits, and what it leaves."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from itertools import chain
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from foveal.cli import app
from foveal.datasets import PictureSet, load_dataset
from foveal.errors import TrainingError, UnknownName, UsageError
from foveal.networks import parse
from foveal.training import loop
from foveal.training.config import Config
from foveal.training.loop import fit
from foveal.training.lr_find import STEPS, _untouched, find_rate, judge

NET = "8x8x1 > conv 16 3x3 same relu > conv 16 3x3 same relu > maxpool 2 > flatten > dense 10"
RATES = np.geomspace(1e-5, 10, STEPS).tolist()

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def digits() -> PictureSet:
    return load_dataset("digits")


def curve(turns: float, noise: float = 0.0) -> list[float]:
    """2.3, falling to 0.3 in the decade about 1e-3, and rising again from `turns` on."""
    at = np.log10(RATES)
    falling = 2 / (1 + np.exp(6 * (at + 3)))
    rising = np.maximum(at - np.log10(turns), 0) * 8
    return list(0.3 + falling + rising + noise * np.random.default_rng(0).standard_normal(STEPS))


def test_takes_the_end_of_the_fall_where_that_is_safe() -> None:
    found = judge(RATES, curve(turns=1.0))
    assert found.suggested == pytest.approx(1e-3 * 10 ** (np.log(9) / 6), rel=0.2)  # where 0.2 of the 2 are left
    found = judge(RATES, curve(turns=1.0, noise=0.05))
    assert found.suggested == pytest.approx(1e-3 * 10 ** (np.log(9) / 6), rel=0.5)
    assert found.diverges == pytest.approx(10 ** (1 / 8), rel=0.3)  # where half of the 2 that it fell is back
    assert found.why.startswith("nine tenths of the fall of the loss are done there; it diverges only at 1.")
    assert found.held == pytest.approx(found.suggested / 3, rel=0.1)
    first = f"learning rate {found.suggested:g} under one-cycle, {found.held:g} where the schedule begins with it"
    assert str(found).splitlines()[:2] == [first, found.why]


def test_takes_a_third_of_divergence_where_that_is_less() -> None:
    found = judge(RATES, curve(turns=2e-3))
    assert found.diverges is not None and found.fallen is not None and found.suggested is not None
    assert found.suggested == pytest.approx(found.diverges / 3, rel=0.05) and found.suggested < found.fallen
    assert "where the loss diverges; nine tenths of its fall are done at" in found.why


def test_a_plateau_does_not_move_it() -> None:
    """Losses that stay low, as of few pictures learnt by heart: how far they do says nothing."""
    narrow, wide = (judge(RATES, curve(turns)).suggested for turns in (0.1, 3.0))
    assert narrow == pytest.approx(wide, rel=0.1)


def test_a_loss_that_is_no_number_is_a_divergence() -> None:
    losses = [loss for rate, loss in zip(RATES, curve(turns=1.0), strict=True) if rate < 2e-3]
    found = judge(RATES, losses)
    assert found.diverges == RATES[len(losses)] and found.suggested == pytest.approx(found.diverges / 3, rel=0.05)
    assert judge(RATES[: len(losses)], losses).diverges is None


@pytest.mark.parametrize(
    "losses",
    [
        [2.3] * STEPS,
        list(2.3 + 0.2 * np.random.default_rng(0).standard_normal(STEPS)),
        list(np.linspace(2.3, 9, STEPS)),
        [2.3],
        [2.3, 80.0],
    ],
    ids=["flat", "noise", "rising", "one", "two"],
)
def test_says_so_where_there_is_no_answer(losses: list[float]) -> None:
    found = judge(RATES[: len(losses)], losses)
    assert found.suggested is None
    assert found.why.startswith("the loss falls by ") and found.why.endswith("own rate, or larger batches")
    assert found.held is None and str(found).splitlines()[:2] == ["no clear answer", found.why]
    assert len(found.smoothed) == len(losses)


@pytest.mark.parametrize("optimizer", ["momentum", "adamw"])
def test_the_rate_trains_better_than_a_tenth_of_it_and_than_ten_times_the_one_that_diverges(
    digits: PictureSet, optimizer: str
) -> None:
    config = Config(epochs=3, optimizer=optimizer, layout="contiguous", precision="f32")
    found = find_rate(parse(NET), digits, config)
    assert found.suggested is not None and found.diverges is not None

    def trained(rate: float) -> float:
        try:
            loss = fit(parse(NET), digits, replace(config, lr=rate)).epochs[-1].val_loss
        except TrainingError:
            return float("inf")
        assert loss is not None
        return loss

    suggested = trained(found.suggested)
    assert suggested < trained(found.suggested / 10) and suggested < trained(10 * found.diverges)


def test_ten_pictures_in_one_batch_an_epoch(digits: PictureSet) -> None:
    """They are gone through again and again, and learnt by heart."""
    tiny = replace(digits, train=digits.train[:10])
    told: list[int] = []
    found = find_rate(parse(NET), tiny, progress=lambda done, total: told.append(done))
    assert told == list(range(1, len(found.losses) + 1)) and len(told) > STEPS / 2
    assert found.suggested is not None and 1e-4 < found.suggested < 0.1
    assert min(found.smoothed) < 0.1 * found.smoothed[0]
    assert find_rate(parse(NET), tiny).to_json() == found.to_json()  # the same seed finds the same


def test_leaves_everything_as_it_was(digits: PictureSet) -> None:
    few = replace(digits, train=digits.train[:64])
    module = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(144, 10))
    module[1].eval()
    module(torch.rand(4, 1, 8, 8)).sum().backward()
    grads = [parameter.grad for parameter in module.parameters()]
    tensors = list(chain(module.parameters(), module.buffers(), (grad for grad in grads if grad is not None)))
    before = [tensor.clone() for tensor in tensors]
    modes = [layer.training for layer in module.modules()]
    states = torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate()
    assert find_rate(module, few, Config(layout="channels-last")).suggested is not None
    assert torch.equal(states[0], torch.get_rng_state())
    assert np.array_equal(states[1], np.random.get_state()[1]) and states[2] == random.getstate()
    assert all(a.equal(b) and a.stride() == b.stride() for a, b in zip(before, tensors, strict=True))
    assert all(parameter.grad is grad for parameter, grad in zip(module.parameters(), grads, strict=True))
    assert modes == [layer.training for layer in module.modules()]


def test_leaves_the_number_of_threads_though_what_it_runs_may_not() -> None:
    with pytest.raises(KeyError), _untouched():
        torch.set_num_threads(2)
        raise KeyError
    assert torch.get_num_threads() == 1


def test_a_loss_that_is_no_number_at_once(digits: PictureSet) -> None:
    module = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    nn.init.constant_(module[1].bias, float("nan"))
    state = torch.get_rng_state()
    with pytest.raises(TrainingError, match="loss"):
        find_rate(module, digits)
    assert torch.equal(state, torch.get_rng_state())


def test_likewise_where_the_step_does_not_look(digits: PictureSet, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a GPU, at most steps."""
    monkeypatch.setattr(loop, "check_loss", lambda *_: None)
    module = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    nn.init.constant_(module[1].bias, float("nan"))
    with pytest.raises(TrainingError, match="the loss is no number at the first step; look at"):
        find_rate(module, digits)


def command(*words: str | Path) -> None:
    assert not app(["lr-find", "digits", NET, *map(str, words)], standalone_mode=False)


def test_command(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    plot = tmp_path / "rates.svg"
    command("--batch-size", "64", "--optimizer", "sgd", "--out", plot)
    text = capsys.readouterr().out.splitlines()
    assert text[0].startswith("learning rate 0.") and text[3].split() == ["rate", "loss", "smoothed"]
    assert len(text) == 4 + 13 and "learning rate" in plot.read_text()
    config = tmp_path / "mine.json"
    config.write_text(json.dumps({"optimizer": "sgd", "batch_size": 9, "lr": 0.5, "seed": 0}))
    command("--config", config, "--set", "batch_size=64", "--format", "json")  # a setting wins over the file
    found = json.loads(capsys.readouterr().out)
    assert text[0].startswith(f"learning rate {found['suggested']:g} under") and text[1] == found["why"]


@pytest.mark.parametrize(
    ("words", "kind", "message"),
    [
        (["--optimizer", "adan"], UnknownName, "unknown optimizer 'adan'; did you mean adam"),
        (["--out", "rates.txt"], UsageError, "--out rates.txt: expected a name that ends with .png"),
        (["--format", "csv"], UsageError, "--format 'csv'; expected one of text, json"),
        (["--batch-size", "-1"], UsageError, "batch_size = -1; expected a number from 0"),
        (["--config", "none.json"], UsageError, "none.json: cannot be read (No such file or directory)"),
        (["--set", "rate=1"], UnknownName, "unknown setting 'rate'"),
    ],
)
def test_command_refuses(words: list[str], kind: type[Exception], message: str) -> None:
    with pytest.raises(kind) as caught:
        command(*words)
    assert message in str(caught.value)
