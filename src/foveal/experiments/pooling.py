"""The lectures' exercise on pooling: one small network without, with average and with maximum pooling."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from foveal.datasets.pictures import PictureSet
from foveal.datasets.registry import DATASETS, is_here, load_dataset
from foveal.datasets.shaping import shaped
from foveal.errors import UnknownName, UsageError
from foveal.experiments.comparing import Comparison, Stated, compare
from foveal.runlog import Observer
from foveal.text import plural
from foveal.training.config import Config

NETWORKS = {
    "none": "28x28x1 > conv 28 3x3 relu > flatten > dense 16 relu > dense 10",
    "average": "28x28x1 > conv 28 3x3 relu > avgpool 3 > flatten > dense 16 relu > dense 10",
    "max": "28x28x1 > conv 28 3x3 relu > maxpool 3 > flatten > dense 16 relu > dense 10",
}
LECTURES = {
    "none": Stated(303_314, 0.8884, 0.4061),
    "average": Stated(29_138, 0.8996, 0.3618),
    "max": Stated(29_138, 0.9116, 0.2936),
}
"""As the lectures print them, on MNIST."""
DATA = ("mnist", "fashion-mnist", "mnist-5k", "digits")
"""What it is done on: the first that is on this machine. Nothing is fetched; digits come with scikit-learn."""
OF_MNIST = ("mnist", "mnist-5k")
UNSTATED = "the lectures' table is of MNIST; for how long and by which optimizer they trained, they do not say"


def pooling(
    *,
    data: str | None = None,
    epochs: int = 3,
    repetitions: int = 3,
    limit: int | None = None,
    seed: int = 0,
    out: Path | None = None,
    observer: Observer | None = None,
) -> Comparison:
    """Compare the exercise's three networks, trained by Adam at its usual rate in batches of 128.

    Parameters
    ----------
    data : of `DATA`; the first that is here if None.
    limit : training pictures, drawn at random; all if None.
    seed : of the first repetition, and of the pictures drawn.
    repetitions, out, observer : as for `foveal.experiments.comparing.compare`.

    Raises
    ------
    UnknownName, UsageError : other pictures, or numbers out of range.
    """
    if data is not None and data not in DATA:
        raise UnknownName("dataset of this exercise", data, DATA)
    name = data or next(name for name in DATA if is_here(name))
    config = Config(epochs=epochs, optimizer="adam", schedule="constant", seed=seed)
    pictures = _limited(shaped(load_dataset(name, seed=seed), (1, 28, 28)), limit, seed)
    found = compare(NETWORKS, pictures, config, repetitions=repetitions, out=out, observer=observer)
    return replace(
        found, lectures=LECTURES, remarks=(UNSTATED, *_pictures(name, asked=data is not None), *order(found))
    )


def _limited(data: PictureSet, limit: int | None, seed: int) -> PictureSet:
    if limit is None:
        return data
    if not 2 <= limit <= len(data.train):
        raise UsageError(f"limit = {limit}; expected 2 to {len(data.train):,} training pictures")
    rows = np.random.default_rng(seed).permutation(len(data.train))[:limit]
    return replace(data, train=data.train[np.sort(rows)])


def _pictures(name: str, *, asked: bool) -> tuple[str, ...]:
    """What the pictures are where they are not the lectures', and why."""
    if name == DATA[0]:
        return ()
    missing = DATA[: DATA.index(name)]
    why = "as asked for" if asked else f"since {' and '.join(missing)} {'is' if len(missing) == 1 else 'are'} not here"
    enlarged = "enlarged to 28 x 28, " if name == "digits" else ""
    return (f"the pictures here are {name} ({DATASETS[name].title}), {enlarged}{why}",)


def order(found: Comparison) -> tuple[str, ...]:
    """Whether the networks' order by test accuracy is the lectures', and if not, what differs."""
    ours = _ranked({each.name: each.test_accuracy.mean for each in found.entrants})
    theirs = _ranked({name: stated.test_accuracy for name, stated in LECTURES.items()})
    if ours == theirs:
        return (f"the order by test accuracy is the lectures': {ours}",)
    pictures = "how many pictures there are to train on" if found.data in OF_MNIST else "the pictures"
    return (
        f"the order by test accuracy is not the lectures': {ours} here, {theirs} there",
        f"{pictures} and the length of training ({plural(found.config.epochs, 'epoch')} here) may differ from theirs; "
        "which of these it is, or chance, the tables do not tell: try fewer and more --epochs",
    )


def _ranked(accuracies: Mapping[str, float]) -> str:
    """Names, the best first: ``max, average, none``; an equals sign between those alike."""
    best, *others = sorted(accuracies.items(), key=lambda item: -item[1])
    text, last = best
    for name, accuracy in others:
        text, last = f"{text}{', ' if accuracy < last else ' = '}{name}", accuracy
    return text
