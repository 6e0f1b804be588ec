"""A small training that several tests share: scikit-learn's digits, a network with batch norm."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from typing import Any

from foveal import notation
from foveal.datasets.pictures import PictureSet
from foveal.datasets.registry import load_dataset
from foveal.training.callbacks import Callback
from foveal.training.config import Config
from foveal.training.state import Training

NETWORK = notation.parse(
    "8x8x1 > conv 8 3x3 same bn relu > maxpool 2 > conv 16 3x3 same bn relu > global avgpool > flatten > dense 10"
)
CONFIG = Config(
    epochs=2, batch_size=50, optimizer="momentum", lr=0.1, label_smoothing=0.1, clip=1.0, ema=0.9, precision="f32",
    layout="contiguous", device="cpu",
)  # fmt: skip


def some_digits(count: int = 205) -> PictureSet:
    """The first `count` training pictures, 90 to validate on, 90 to test on."""
    whole = load_dataset("digits", validation=0.2)
    return PictureSet(
        name="some digits",
        classes=whole.classes,
        train=whole.train[:count],
        val=whole.val[:90],
        test=whole.test[:90],
        source=whole.source,
    )


def started(target: Callable[..., None], *arguments: Any) -> BaseProcess:
    """`target` in a process of its own, which comes of one that has PyTorch already."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["foveal.training.loop", "foveal.notation", "torch._dynamo", "pytest"])
    process = context.Process(target=target, args=arguments)
    process.start()
    return process


class Seen(Callback):
    """Keeps (epoch, row) of every picture that this process trained on."""

    def __init__(self) -> None:
        self.rows: list[tuple[int, int]] = []

    def after_step(self, training: Training) -> None:
        self.rows += [(training.epoch, row) for row in training.rows.tolist()]
