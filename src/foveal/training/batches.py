"""Which pictures a step sees, and the random numbers it draws: functions of the seed and the step, and of nothing else.

So a run that was killed goes on exactly, on as many processes as there are now, and no generator is ever stored.
"""

from __future__ import annotations

import hashlib
import random

import numpy as np
import torch
from torch import Tensor


def order(count: int, seed: int, epoch: int) -> Tensor:
    """(count,) int64: the training pictures in the order of `epoch`."""
    generator = torch.Generator().manual_seed(_mixed("order", seed, epoch))
    return torch.randperm(count, generator=generator)


def batches(rows: Tensor, batch_size: int) -> tuple[Tensor, ...]:
    """`rows` cut into steps that differ by one picture at most: no last batch is too small to normalise over."""
    return torch.tensor_split(rows, steps_of(len(rows), batch_size))


def steps_of(count: int, batch_size: int) -> int:
    """Steps an epoch."""
    return -(-count // batch_size)


def share(batch: Tensor, rank: int, world: int) -> Tensor:
    """What process `rank` of `world` computes of a batch: every picture is one process's."""
    return torch.tensor_split(batch, world)[rank]


def seed_step(seed: int, step: int, rank: int = 0) -> None:
    """Start every generator (PyTorch's on all devices, NumPy's, Python's) for this step of this process."""
    number = _mixed("step", seed, step, rank)
    seed_torch(number)
    np.random.seed(number % 2**32)
    random.seed(number)


def seed_torch(number: int) -> None:
    """As ``torch.manual_seed``, which without a GPU would keep a stack trace of every call for the day there is one."""
    torch.default_generator.manual_seed(number)
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]  # torch has no types here
        torch.cuda.manual_seed_all(number)


def _mixed(*parts: int | str) -> int:
    digest = hashlib.blake2b(repr(parts).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1
