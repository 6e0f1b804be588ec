"""What experiments share: how well a training ends; and for the small ones on digits, how they train."""

from __future__ import annotations

from typing import TYPE_CHECKING

from foveal.datasets.registry import load_dataset
from foveal.training.callbacks import Callback
from foveal.training.config import Config
from foveal.zoo.entry import Draw, Init

if TYPE_CHECKING:
    from foveal.datasets.pictures import PictureSet
    from foveal.training.state import Training


HE = Init("He et al. (2015), equation 10: for ReLUs", conv=Draw("he_in"), dense=Draw("he_in"))


class Tested(Callback):
    """Opens the test part, once the weights that are kept are in place."""

    loss = accuracy = float("nan")

    def end(self, training: Training) -> None:
        self.loss, self.accuracy = training.evaluate(training.data.test)


class Watch(Tested):
    """Keeps the loss of every step, too."""

    def __init__(self) -> None:
        self.losses: list[float] = []

    def after_step(self, training: Training) -> None:
        self.losses.append(float(training.loss))


def digits() -> PictureSet:
    """scikit-learn's, with a part to train on and one to test on."""
    return load_dataset("digits", validation=0.0)


def plain(epochs: int, seed: int) -> Config:
    """Gradient descent with momentum and nothing else, the same on every machine."""
    return Config(
        epochs=epochs, batch_size=64, optimizer="momentum", lr=0.02, schedule="constant", weight_decay=0.0,
        precision="f32", layout="contiguous", device="cpu", seed=seed,
    )  # fmt: skip
