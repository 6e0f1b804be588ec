"""The loop that trains a network."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from torch import Tensor, nn

from foveal.datasets.pictures import PictureSet
from foveal.graph import Graph
from foveal.training.alarms import check_loss, check_weights
from foveal.training.allocating import kept_memory
from foveal.training.batches import seed_step, share
from foveal.training.callbacks import Callback
from foveal.training.checkpoint import kept_choices, restore
from foveal.training.choices import Choices
from foveal.training.config import Config
from foveal.training.distributed import World, partners_guard
from foveal.training.history import History
from foveal.training.memory import memory_guard
from foveal.training.state import Training


def fit(
    network: Graph | nn.Module,
    data: PictureSet,
    config: Config | None = None,
    *,
    callbacks: Sequence[Callback] = (),
    resume: Path | None = None,
    choices: Choices | None = None,
    world: World | None = None,
) -> History:
    """Train `network` to tell the classes of `data` apart.

    Parameters
    ----------
    network : a graph, whose weights are drawn from ``config.seed`` (as its paper has it for a network of the zoo, else
        as Glorot & Bengio 2010), or a module of PyTorch that takes (batch, \\*data.shape) float32 and gives logits;
        that is trained as it stands.
    data : `foveal.datasets.load` reads it; its test part is not looked at.
    callbacks : told of every step, in this order.
    resume : a checkpoint from which to go on, to the same weights, bit for bit, as if nothing had happened.
    choices : what the probe found quickest; it is run if None, unless `resume` has what it found.

    Returns
    -------
    History
        With the trained module; of a graph it is `foveal.build.build`'s.

    Raises
    ------
    UsageError : a network, data and config that do not fit together.
    TrainingError : a loss that is no number; the message names the batch and the first node that went wrong. Or memory
        has run out, or another process of the training is gone.
    WeightsError : a checkpoint that is damaged, or another training's.
    """
    if resume and choices is None:
        choices = kept_choices(resume)
    config = config or Config()
    with memory_guard(config), partners_guard(), kept_memory():
        training = Training(network, data, config, choices=choices, world=world)
        if resume:
            restore(training, resume)
        for each in callbacks:
            each.begin(training)
        while training.epoch < config.epochs and not training.stop:
            _epoch(training, callbacks)
        training.finish()
    for each in callbacks:
        each.end(training)
    return training.history


def _epoch(training: Training, callbacks: Sequence[Callback]) -> None:
    """What is left of this epoch."""
    training.module.train()
    for rows in training.remaining():
        for each in callbacks:
            each.before_step(training)
        step(training, rows)
        for each in callbacks:
            each.after_step(training)
        if training.stop:
            return
    check_weights(training)
    training.finish_epoch()
    for each in callbacks:
        each.after_epoch(training)


def step(training: Training, rows: Tensor) -> None:
    """One step: what `rows` of the training part teach."""
    began = time.perf_counter()
    world, config = training.world, training.config
    seed_step(config.seed, training.global_step, world.rank)
    training.rows = share(rows, *world.place)
    training.schedule.before_step(training.global_step)
    x, target = training.prepared(training.rows)
    logits = training.computed(x)
    loss = training.loss_of(logits, target, len(rows))
    check_loss(training, loss, x)
    training.optimizer.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]  # torch has no types here
    if config.clip is not None:
        nn.utils.clip_grad_norm_(training.module.parameters(), config.clip)
    training.optimizer.step()
    if training.averaged is not None:
        training.averaged.update()
    training.count(loss, logits, target, len(rows), time.perf_counter() - began)
