"""Prints what steps of a mid-size network add to this process's resident memory, and what was estimated; bytes."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from foveal import notation
from foveal.datasets.pictures import Pictures, PictureSet
from foveal.rewriting import for_training
from foveal.training.config import Config
from foveal.training.loop import fit
from foveal.training.memory import needed

NETWORK = notation.parse(
    "32x32x3 > conv 32 3x3 same bn relu > maxpool 2 > conv 32 3x3 same bn relu > flatten > dense 4"
)


def measured(batch: int) -> int:
    """The most resident memory so far, after an epoch of one batch."""
    x = np.random.default_rng(0).integers(256, size=(batch, 3, 32, 32), dtype=np.uint8)
    data = PictureSet(
        "noise", tuple("abcd"), Pictures(x, np.arange(batch) % 4), Pictures(x[:0], np.arange(0)),
        Pictures(x[:0], np.arange(0)), "random numbers",
    )  # fmt: skip
    fit(NETWORK, data, config(batch))
    lines = Path("/proc/self/status").read_text().splitlines()  # getrusage's is inherited from a larger parent
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith("VmHWM"))


def config(batch: int) -> Config:
    return Config(epochs=1, batch_size=batch, precision="f32", layout="channels-last", device="cpu")


if __name__ == "__main__":
    small, large = measured(2), measured(256)
    print(large - small, needed(for_training(NETWORK), 256, config(256)))
