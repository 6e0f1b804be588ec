"""A process that searches a study along with others: ``python tuning_worker.py STORAGE TRIALS``."""

from __future__ import annotations

import json
import sys
from dataclasses import replace

import torch

from foveal import notation
from foveal.datasets.pictures import PictureSet
from foveal.datasets.registry import load_dataset
from foveal.experiments.space import Choice, Range
from foveal.experiments.tuning import Tuning, tune
from foveal.training.config import Config

NETWORK = notation.parse("8x8x1 > flatten > dense 16 relu > dense 10")
CONFIG = Config(epochs=2, batch_size=50, lr=0.01, device="cpu", precision="f32", layout="contiguous")
SPACE = {"lr": Range(1e-4, 1e-1, log=True), "optimizer": Choice(("adam", "momentum"))}


def few_digits() -> PictureSet:
    whole = load_dataset("digits", validation=0.2)
    return replace(whole, train=whole.train[:300])


def search(storage: object, trials: int, **options: object) -> Tuning:
    return tune(
        NETWORK, few_digits(), CONFIG, space=SPACE, trials=trials, storage=str(storage), repetitions=2, **options
    )  # type: ignore[arg-type]  # whatever a test sets


if __name__ == "__main__":
    torch.set_num_threads(1)
    print(json.dumps(search(sys.argv[1], int(sys.argv[2])).to_json()))
