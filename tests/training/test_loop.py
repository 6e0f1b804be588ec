"""The loop against one written out with torch's own pieces, and what it promises beside."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from foveal import notation
from foveal.build import build, graph_of
from foveal.datasets.pictures import Pictures
from foveal.errors import UsageError
from foveal.initializing import initialize
from foveal.training.batches import batches, order
from foveal.training.callbacks import Callback
from foveal.training.checkpoint import Checkpointing
from foveal.training.config import Config
from foveal.training.loop import fit, step
from foveal.training.state import Training
from foveal.zoo import MODELS, create_graph
from small_training import CONFIG, NETWORK, some_digits

pytestmark = pytest.mark.usefixtures("one_thread")

DENSE = notation.parse("8x8x1 > flatten > dense 16 relu > dense 10")
PLAIN = Config(epochs=2, batch_size=50, optimizer="sgd", lr=0.1, weight_decay=0.0, schedule="constant", precision="f32",
               layout="contiguous", device="cpu")  # fmt: skip


def test_equals_a_loop_of_torchs_own_pieces() -> None:
    data = some_digits()
    module = build(NETWORK)
    twin = build(NETWORK)
    twin.load_state_dict(module.state_dict())
    config = replace(PLAIN, optimizer="nesterov", momentum=0.8, label_smoothing=0.1, clip=0.5)
    history = fit(module, data, config)
    update = torch.optim.SGD(twin.parameters(), lr=0.1, momentum=0.8, nesterov=True)
    values = torch.from_numpy(data.train.x).float()
    x, y = (values - values.mean()) / values.std(correction=0), torch.from_numpy(data.train.y)
    losses = []
    for epoch in range(2):
        total = 0.0
        for rows in batches(order(len(y), 0, epoch), 50):
            update.zero_grad()
            loss = F.cross_entropy(twin(x[rows]), y[rows], label_smoothing=0.1)
            loss.backward()
            nn.utils.clip_grad_norm_(twin.parameters(), 0.5)
            update.step()
            total += float(loss.detach()) * len(rows)
        losses.append(total / len(y))
    assert history.module is module  # trained in place
    for name, tensor in twin.state_dict().items():
        torch.testing.assert_close(module.state_dict()[name], tensor, rtol=1e-4, atol=1e-6)
    assert [row.train_loss for row in history.epochs] == pytest.approx(losses, rel=1e-5)
    twin.eval()
    answers = twin((torch.from_numpy(data.val.x).float() - values.mean()) / values.std(correction=0))
    expected = F.cross_entropy(answers, torch.from_numpy(data.val.y)).detach()
    assert history.epochs[-1].val_loss == pytest.approx(float(expected), rel=1e-4)
    assert history.epochs[-1].val_accuracy == pytest.approx(float((answers.argmax(1).numpy() == data.val.y).mean()))


def test_learns_the_digits() -> None:
    data = some_digits(1000)
    history = fit(NETWORK, data, Config(epochs=12, batch_size=32, lr=0.02, device="cpu"))
    assert history.epochs[-1].val_accuracy is not None
    assert history.epochs[-1].val_accuracy > 0.9
    assert history.module is not None
    assert graph_of(history.module).nodes == NETWORK.nodes  # type: ignore[arg-type]  # a GraphModule


def test_equal_seeds_give_equal_weights_and_others_do_not() -> None:
    data = some_digits(100)
    config = replace(CONFIG, epochs=1, augment="crop 1, cutout 2")
    weights = []
    for seed in (0, 0, 1):
        torch.manual_seed(len(weights))  # whatever came before
        history = fit(NETWORK, data, replace(config, seed=seed))
        assert history.module is not None
        weights.append(torch.cat([tensor.flatten().double() for tensor in history.module.state_dict().values()]))
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_pictures_that_stream_from_a_file_teach_the_same(tmp_path: object) -> None:
    data = some_digits(100)
    np.save(f"{tmp_path}/x.npy", data.train.x)
    mapped = np.asarray(np.load(f"{tmp_path}/x.npy", mmap_mode="r"))  # as the cache of photos gives it
    streamed = replace(data, train=Pictures(mapped, data.train.y))
    losses = [fit(DENSE, each, PLAIN).epochs[-1].train_loss for each in (data, streamed)]
    assert losses[0] == losses[1]


def test_patience_stops_and_keeps_the_best_epoch() -> None:
    data = some_digits(60)
    history = fit(DENSE, data, replace(PLAIN, epochs=60, lr=0.5, patience=2))
    losses = [row.val_loss for row in history.epochs]
    best = int(np.argmin(losses)) + 1  # type: ignore[arg-type]  # there is a validation part
    assert len(losses) == best + 2 < 60
    assert history.best_epoch == best
    assert history.stopped == f"no lower validation loss in 2 epochs; epoch {best} is kept"
    again = fit(DENSE, data, replace(PLAIN, epochs=best, lr=0.5))
    assert fit(DENSE, data, replace(PLAIN, epochs=best + 2, lr=0.5, patience=2)).stopped is None  # it was the last
    assert history.module is not None
    assert again.module is not None
    for name, tensor in again.module.state_dict().items():
        assert torch.equal(history.module.state_dict()[name], tensor)


def test_an_epoch_whose_validation_loss_is_no_number_is_not_the_best() -> None:
    class Broken(Training):
        def evaluate(self, pictures: Pictures) -> tuple[float, float]:
            return ([2.0, 1.0, float("nan")][self.epoch], 0.5)

    training = Broken(DENSE, some_digits(60), replace(PLAIN, epochs=9, patience=1))
    for _ in range(3):
        for rows in training.remaining():
            step(training, rows)
        training.finish_epoch()
    assert (training.history.best_epoch, training.stop) == (2, "no lower validation loss in 1 epoch; epoch 2 is kept")


def test_a_zoo_network_begins_as_its_paper_has_it_also_in_another_size() -> None:
    graph = create_graph("resnet20", num_classes=10, in_channels=1, input_shape=(1, 8, 8))
    expected = build(graph)
    initialize(expected, MODELS["resnet20"].init, 3)
    module = Training(graph, some_digits(60), replace(PLAIN, seed=3)).module
    assert all(torch.equal(module.state_dict()[name], tensor) for name, tensor in expected.state_dict().items())


def test_a_part_without_pictures_has_no_logits() -> None:
    data = some_digits(60)
    assert Training(DENSE, data, PLAIN).logits(data.test[:0]).shape == (0, 10)


def test_callbacks_hear_every_step_in_order_and_can_stop() -> None:
    heard: list[str] = []

    class Told(Callback):
        def begin(self, training: Training) -> None:
            heard.append("begin")

        def before_step(self, training: Training) -> None:
            heard.append(f"before {training.global_step}")

        def after_step(self, training: Training) -> None:
            heard.append(f"after {training.global_step}")
            if training.global_step == 3:
                training.stop = "enough"

        def after_epoch(self, training: Training) -> None:
            heard.append(f"epoch {training.epoch}")

        def end(self, training: Training) -> None:
            heard.append("end")

    history = fit(DENSE, some_digits(100), PLAIN, callbacks=[Told()])
    steps = ["before 0", "after 1", "before 1", "after 2"]
    assert heard == ["begin", *steps, "epoch 1", "before 2", "after 3", "end"]
    assert history.stopped == "enough"
    assert len(history.epochs) == 1


def test_mixed_targets_have_no_training_accuracy() -> None:
    history = fit(DENSE, some_digits(60), replace(PLAIN, epochs=1, augment="mixup 0.2"))
    assert history.epochs[0].train_accuracy is None
    assert history.epochs[0].val_accuracy is not None


def test_a_softmax_at_the_end_is_left_to_the_loss() -> None:
    ending = notation.parse("8x8x1 > flatten > dense 16 relu > dense 10 softmax")
    losses = [fit(network, some_digits(60), PLAIN).epochs[-1].train_loss for network in (ending, DENSE)]
    assert losses[0] == losses[1]


def test_dropout_of_the_config_replaces_the_networks_own() -> None:
    network = notation.parse("8x8x1 > flatten > dense 16 relu > dropout 0.5 > dense 10")
    history = fit(network, some_digits(60), replace(PLAIN, epochs=1, dropout=0.1))
    assert history.module is not None
    assert [m.p for m in history.module.modules() if isinstance(m, nn.Dropout)] == [0.1]
    with pytest.raises(UsageError, match="network has no dropout to set; add one"):
        fit(DENSE, some_digits(60), replace(PLAIN, dropout=0.1))
    with pytest.raises(UsageError, match=r"dropout = 0.1: for graphs; in a module of PyTorch, set its own"):
        fit(build(DENSE), some_digits(60), replace(PLAIN, dropout=0.1))


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("16x16x1 > flatten > dense 10", "network takes pictures of 16x16x1, those of some digits are 8x8x1"),
        ("8x8x1 > flatten > dense 9", "network gives 9, but some digits has 10 classes; end it with dense 10"),
        ("8x8x1 > conv 10 3x3", "network gives 6x6x10, but some digits has 10 classes"),
    ],
)
def test_a_network_that_does_not_fit_the_pictures(line: str, message: str) -> None:
    with pytest.raises(UsageError) as error:
        fit(notation.parse(line), some_digits(60), PLAIN)
    assert message in str(error.value)


def test_a_batch_size_that_is_left_open_is_found_and_kept(tmp_path: Path) -> None:
    class Kept(Callback):
        def begin(self, training: Training) -> None:
            self.config, self.choices = training.config, training.choices

    kept, resumed, path = Kept(), Kept(), tmp_path / "checkpoint.safetensors"
    config = replace(PLAIN, batch_size=0, epochs=1)
    fit(DENSE, some_digits(100), config, callbacks=[Checkpointing(path), kept])
    assert kept.config.batch_size == kept.choices.batch_size in (8, 16, 32, 64)
    fit(DENSE, some_digits(100), config, callbacks=[resumed], resume=path)  # another probe might find another
    assert resumed.config == kept.config
