"""Each alarm set off by the fault it is for, and by nothing else."""

from __future__ import annotations

import re
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from foveal import notation
from foveal.build import build
from foveal.datasets.pictures import Pictures, PictureSet
from foveal.errors import TrainingError
from foveal.graph import Builder, Graph
from foveal.ops import Dense, Factor, Flatten
from foveal.training.alarms import Alarms, _chance_loss, _overfitting, check_loss, check_weights
from foveal.training.batches import batches, order
from foveal.training.callbacks import Callback
from foveal.training.config import Config
from foveal.training.distributed import World
from foveal.training.history import Epoch, Finding, History
from foveal.training.loop import fit
from foveal.training.state import Training
from small_training import CONFIG, NETWORK, some_digits

pytestmark = pytest.mark.usefixtures("one_thread")

DENSE = notation.parse("8x8x1 > flatten > dense 16 relu > dense 10")
PLAIN = Config(epochs=1, batch_size=50, optimizer="sgd", lr=0.1, schedule="constant", precision="f32",
               layout="contiguous", device="cpu")  # fmt: skip


class Poison(Callback):
    """Sets the weight `name` to `value` after the second step."""

    def __init__(self, name: str, value: float) -> None:
        self.name, self.value = name, value

    def after_step(self, training: Training) -> None:
        if training.global_step == 2:
            with torch.no_grad():
                training.module.get_parameter(self.name).view(-1)[0] = self.value


class Functional(nn.Module):
    """A module from elsewhere whose fault lies between its layers."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(64, 16), nn.Linear(16, 10)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.last(self.first(x.flatten(1)) * float("inf"))
        return y


def message(network: Graph | nn.Module, data: PictureSet, config: Config, *callbacks: Callback) -> str:
    with pytest.raises(TrainingError) as error:
        fit(network, data, config, callbacks=callbacks)
    return str(error.value)


def alarms(network: Graph | nn.Module, data: PictureSet, config: Config) -> dict[str, Finding]:
    history = fit(network, data, config, callbacks=[Alarms()])
    return {finding.kind: finding for finding in history.alarms}


def test_weights_that_are_no_numbers_stop_and_are_named() -> None:
    data = some_digits()
    rows = ", ".join(map(str, batches(order(205, 0, 0), 50)[2][:5].tolist()))
    said = message(NETWORK, data, replace(CONFIG, schedule="constant"), Poison("conv2.weight", float("nan")))
    assert said == (
        f"the loss is NaN in epoch 1, step 3 of 5, with the training pictures {rows} and 36 more. First wrong: conv2, "
        "whose weight holds NaN since a step before. Try a lower rate than lr = 0.1, such as 0.01; the last "
        "checkpoint of this run, if there is one, is from before and sound"
    )
    module = nn.Sequential(nn.Flatten(), nn.Linear(64, 16), nn.ReLU(), nn.Linear(16, 10))
    said = message(module, data, PLAIN, Poison("3.bias", float("inf")))
    assert "First wrong: 3, whose bias holds inf since a step before. Try" in said
    assert "lower rate than lr = 0.1, such as 0.01, or clip = 1;" in said
    broken = build(DENSE)
    nn.init.constant_(broken.dense1.bias, float("nan"))
    assert "First wrong: dense1, whose bias holds NaN before the first step" in message(broken, data, PLAIN)
    said = message(Functional(), data, PLAIN)
    assert re.search(r"First wrong: what reaches last, (NaN|inf) from an operation outside the modules", said)


def test_a_product_that_overflows_is_found_in_its_node_and_picture() -> None:
    net = Builder("net")
    x = net(Flatten(), net.input(1, 8, 8))
    for i in range(1, 8):
        x = net(Factor(3.1e5), x, name=f"factor{i}")  # an expression of the graph, no module
    net(Dense(2), x)
    pictures = np.zeros((40, 1, 8, 8), np.uint8)
    pictures[7] = 255
    none = Pictures(pictures[:0], np.arange(0))
    data = PictureSet("one is bright", ("a", "b"), Pictures(pictures, np.arange(40) % 2), none, none, "drawn by hand")
    said = message(net.graph(), data, PLAIN)
    assert re.search(
        r"training pictures 7\. First wrong: factor7, inf from finite input, the largest 5\.\d+e\+33\. Try", said
    )


def test_pictures_that_are_no_numbers_are_named() -> None:
    training: Any = SimpleNamespace(
        device=torch.device("cpu"), epoch=2, step=0, steps=9, rows=torch.tensor([30, 10, 20])
    )
    training.config = Config(augment="flip")
    x = torch.ones(3, 1, 2, 2)
    x[1, 0, 1, 1] = float("nan")
    with pytest.raises(TrainingError) as error:
        check_loss(training, torch.tensor(float("nan")), x)
    assert str(error.value) == (
        "the loss is NaN in epoch 3, step 1 of 9, with the training pictures 10: the pictures themselves hold values "
        "that are no numbers, after augment = 'flip'; look at some with foveal preview, and leave out what does it"
    )


def test_of_several_processes_another_may_be_wrong() -> None:
    training = Training(NETWORK, some_digits(), CONFIG)
    x, _ = training.prepared(torch.arange(9))
    for size, cause in ((1, "the loss itself, of finite logits"), (2, "nothing in the pictures of this process")):
        training.world, training.rows = World(0, size, training.device), torch.arange(9)
        with pytest.raises(TrainingError, match=f"First wrong: {cause}"):
            check_loss(training, torch.tensor(float("nan")), x)


def test_what_the_last_step_breaks_is_seen() -> None:
    training = Training(NETWORK, some_digits(), CONFIG)
    check_weights(training)
    name = next(name for name in training.module.state_dict() if name.endswith("running_var"))
    training.module.get_buffer(name)[0] = float("inf")
    with pytest.raises(TrainingError, match=f"the last steps of epoch 1 left inf in {name}. Try a lower rate than"):
        check_weights(training)


def test_a_gpus_queue_is_not_waited_for_at_each_step() -> None:
    cuda = SimpleNamespace(device=torch.device("cuda"), step=4, steps=30)
    check_loss(cuda, None, None)  # type: ignore[arg-type]  # not looked at
    for cuda.step in (19, 29):  # the twentieth, and the last
        with pytest.raises(AttributeError):
            check_loss(cuda, None, None)  # type: ignore[arg-type]


def test_a_sound_training_is_left_alone() -> None:
    data, heard = some_digits(600), []
    config = replace(CONFIG, epochs=4)
    silent = Alarms(lambda *event, **fields: heard.append(fields))
    histories = [fit(NETWORK, data, config, callbacks=callbacks) for callbacks in ([], [silent])]
    assert histories[1].alarms == heard == []
    states = [history.module.state_dict() for history in histories]  # type: ignore[union-attr]
    assert all(torch.equal(states[1][name], tensor) for name, tensor in states[0].items())
    assert [row.val_loss for row in histories[0].epochs] == [row.val_loss for row in histories[1].epochs]


def test_one_answer_for_every_picture() -> None:
    data, module = some_digits(), build(DENSE)
    nn.init.constant_(module.dense2.weight, 0.0)
    nn.init.constant_(module.dense2.bias[4:5].detach(), 50.0)
    heard: list[Any] = []
    config = replace(PLAIN, epochs=3, lr=1e-6)
    history = fit(module, data, config, callbacks=[Alarms(lambda event, **fields: heard.append((event, fields)))])
    (found,) = [finding for finding in history.alarms if finding.kind == "one class"]  # once
    assert found.title == f"every one of 90 pictures is taken for 4, which {(data.val.y == 4).mean():.1%} are"
    assert found.epoch == 3  # a network may begin like this
    assert found.advice == "try a lower rate than lr = 1e-06, and see that the labels belong to the pictures"
    assert heard[0] == ("alarm", {"kind": "one class", "epoch": 3, "title": found.title, "advice": found.advice})
    unseen = replace(data, val=data.val[:0])
    assert "every one of 205 pictures is taken for 4" in alarms(module, unseen, config)["one class"].title
    assert History.from_json(history.to_json()).alarms == history.alarms


def test_dead_relus_are_counted_by_unit() -> None:
    data, module = some_digits(), build(notation.parse("8x8x1 > conv 4 3x3 relu > flatten > dense 8 relu > dense 10"))
    with torch.no_grad():
        module.conv1.bias[:3] = -1e3
        module.dense1.bias[:4] = -1e3
        module.dense1.bias[4:] = 1e3
    found = alarms(module, data, replace(PLAIN, lr=1e-9))["dead units"]
    assert (
        found.title == "ReLUs that are 0 on each of 205 training pictures: relu1: 3 of 4"
    )  # half of the other are no news
    assert "Batch norm before the ReLU" in found.advice
    assert not any(each._forward_hooks for each in module.modules())


def test_hooks_go_even_when_the_look_fails() -> None:
    data, module = some_digits(), build(DENSE)
    training = Training(module, data, PLAIN)
    training.epoch, training.history.epochs = 1, [Epoch(1, 1.0, 1.0, 1.0, 1.0, 0.1, 1.0, 1.0)]
    training.logits = None  # type: ignore[assignment,method-assign]
    with pytest.raises(TypeError):
        Alarms().after_epoch(training)
    assert not any(each._forward_hooks for each in module.modules())


def test_no_learning_is_told_when_enough_was_tried() -> None:
    data = some_digits(200)
    slow = replace(PLAIN, lr=1e-9, batch_size=10, epochs=10)  # 20 steps an epoch
    module = build(DENSE)
    nn.init.constant_(module.dense2.weight, 0.0)
    found = alarms(module, data, slow)["no learning"]
    assert found.epoch == 10
    assert re.match(
        r"nothing is learnt after 200 steps: a loss of 2\.\d+, and answers that do not look at", found.title
    )
    assert found.advice.startswith("try another rate than lr = 1e-09 (foveal lr-find proposes one)")
    short = alarms(module, data, replace(slow, epochs=3))["no learning"]
    assert "after 60 steps" in short.title
    assert short.advice.startswith("try more epochs, another rate")
    assert "no learning" not in alarms(DENSE, data, replace(PLAIN, epochs=8))


def test_the_loss_of_answers_that_do_not_look_is_torchs_least() -> None:
    labels = torch.tensor([0] * 7 + [1] * 2 + [3])
    shares = np.bincount(labels, minlength=4) / 10
    for smoothing in (0.0, 0.1):

        def loss(logits: Tensor, smoothing: float = smoothing) -> float:
            return F.cross_entropy(logits.expand(10, 4), labels, label_smoothing=smoothing).item()

        best = torch.from_numpy((1 - smoothing) * shares + smoothing / 4).log()
        least = _chance_loss(shares, smoothing)
        assert loss(best) == pytest.approx(least)
        assert all(loss(best + 0.1 * torch.randn(4)) > least for _ in range(50))


def test_overfitting_is_seen_and_its_best_epoch_named() -> None:
    data = some_digits(60)
    noise = replace(data, train=Pictures(data.train.x, np.random.default_rng(0).permutation(data.train.y)))
    config = replace(PLAIN, epochs=15, lr=0.3)
    history = fit(notation.parse("8x8x1 > flatten > dense 64 relu > dense 10"), noise, config, callbacks=[Alarms()])
    (found,) = [finding for finding in history.alarms if finding.kind == "overfitting"]
    losses = [row.val_loss for row in history.epochs[: found.epoch]]
    best = int(np.argmin(losses)) + 1  # type: ignore[arg-type]  # there is a validation part
    assert found.epoch >= best + 3
    assert found.title.startswith(
        f"overfitting since epoch {best}: the validation loss rose from {losses[best - 1]:.4g}"
    )
    assert found.advice == (
        "patience = 3 keeps that epoch; augment = 'crop 4, flip' or dropout = 0.5 or more pictures or a smaller "
        "network puts it off"
    )


@pytest.mark.parametrize(
    ("train", "val", "told"),
    [
        ([2.0, 1.5, 1.0, 0.8, 0.6], [2.0, 1.0, 1.1, 1.2, 1.3], True),
        ([2.0, 1.5, 1.0, 0.8, 0.6], [2.0, 1.0, 1.02, 1.01, 1.04], False),  # a plateau
        ([2.0, 1.5, 1.0, 0.8, 0.6], [2.0, 1.2, 1.0, 1.3, 1.4], False),  # two epochs of it
        ([2.0, 1.5, 1.6, 1.7, 1.8], [2.0, 1.0, 1.1, 1.2, 1.3], False),  # it diverges
        ([2.0, 1.5, 1.0, 0.8, 0.6], [None] * 5, False),
    ],
)
def test_what_is_overfitting(train: list[float], val: list[float | None], told: bool) -> None:
    training: Any = SimpleNamespace(config=Config(patience=9, dropout=0.5), history=History(), epoch=5)
    rows = enumerate(zip(train, val, strict=True), 1)
    training.history.epochs = [Epoch(i, loss, 0.5, seen, None, 0.1, 1.0, 1.0) for i, (loss, seen) in rows]
    found = _overfitting(training)
    assert bool(found) is told
    if found:
        assert found[1].startswith("epoch 2 is what patience keeps; augment =")
        assert "dropout" not in found[1]
