"""What the small experiments on digits share: how they train, and what they see of each step."""

from __future__ import annotations

from typing import TYPE_CHECKING

from foveal.datasets.registry import load_dataset
from foveal.training.callbacks import Callback
from foveal.training.config import Config

if TYPE_CHECKING:
    from foveal.datasets.pictures import PictureSet
    from foveal.training.state import Training


class Watch(Callback):
    """Keeps the loss of every step, and the accuracy on the test part in the end."""

    def __init__(self) -> None:
        self.losses: list[float] = []
        self.accuracy = float("nan")

    def after_step(self, training: Training) -> None:
        self.losses.append(float(training.loss))

    def end(self, training: Training) -> None:
        _, self.accuracy = training.evaluate(training.data.test)


def digits() -> PictureSet:
    """scikit-learn's, with a part to train on and one to test on."""
    return load_dataset("digits", validation=0.0)


def plain(epochs: int, seed: int) -> Config:
    """Gradient descent with momentum and nothing else, the same on every machine."""
    return Config(
        epochs=epochs, batch_size=64, optimizer="momentum", lr=0.02, schedule="constant", weight_decay=0.0,
        precision="f32", layout="contiguous", device="cpu", seed=seed,
    )  # fmt: skip
