"""A learning rate to begin with: the loss watched while the rate rises from far too low to far too high.

The range test of Smith (2017, arXiv:1506.01186), section 3.3, over a rate that rises by a factor a step. Smith takes
for the highest rate of a cycle that at which the accuracy stops rising, and a third of it for the lowest; here it is
where the loss has all but fallen.
"""

from __future__ import annotations

import copy
import itertools
import math
import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn
from torch.optim import Optimizer

from foveal.datasets.pictures import PictureSet
from foveal.errors import TrainingError
from foveal.graph import Graph
from foveal.teaching.plots import finish
from foveal.training.config import Config
from foveal.training.loop import step
from foveal.training.optimizers import OPTIMIZERS
from foveal.training.schedules import Schedule
from foveal.training.state import Training

if TYPE_CHECKING:
    from matplotlib.figure import Figure

STEPS = 100
SPAN = 1e3  # from a thousandth of the optimizer's own rate to a thousand times it
FIRST = 5  # steps, at rates too low to matter, that tell where the loss starts
DONE = 0.9  # of the fall of the loss, up to which the rate may rise; chosen by trial, see docs/from-scratch.md
SAFE = 3  # how far below the rate at which the loss diverges, likewise
HELD = 3  # how far below the highest rate of one-cycle one that is held from the first step on
LEAST = 0.02  # of the loss at the start: the least fall that says anything
LEARNT = 0.1  # of the loss at the start: where less is left, the pictures are known by heart
_KERNEL = np.hanning(11)[1:-1]  # of the smoothing: four steps to both sides, so that the curve does not lag


@dataclass(frozen=True)
class RateFinding:
    """What the test found.

    Attributes
    ----------
    rates, losses : of each step until the loss exploded; the loss before the weights moved at that rate.
    smoothed : the losses, each averaged with its neighbours.
    fallen : the first rate at which nine tenths of the fall of the smoothed loss are done; None where it does not fall.
    diverges : the rate at which half of what the loss fell is lost again, or the loss is no number; None where neither
        is reached.
    suggested : the rate to take under ``one-cycle``, its highest; None where the test says nothing.
    held : the rate to take under a schedule that begins with its highest.
    why : how it was chosen, or why none was: a sentence.
    """

    rates: tuple[float, ...]
    losses: tuple[float, ...]
    smoothed: tuple[float, ...]
    fallen: float | None
    diverges: float | None
    suggested: float | None
    held: float | None
    why: str

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    def __str__(self) -> str:
        return "\n".join(_lines(self))

    def plot(self) -> Figure:
        """The losses over the rates."""
        import matplotlib.pyplot as plt

        figure, ax = plt.subplots(figsize=(8, 4.8), layout="constrained")
        ax.plot(self.rates, self.losses, ".", color="#9aa1a9", label="one batch")
        ax.plot(self.rates, self.smoothed, color="#1668b0", label="smoothed")
        for label, rate, style in (("suggested", self.suggested, "-"), ("diverges", self.diverges, "--")):
            if rate is not None:
                ax.axvline(rate, color="#b5500b", linestyle=style, label=f"{label}: {rate:.2g}")
        ax.set(xscale="log", xlabel="learning rate", ylabel="loss", ylim=(0, 2 * self.smoothed[0]))
        finish(ax)
        return figure


def find_rate(
    network: Graph | nn.Module,
    data: PictureSet,
    config: Config | None = None,
    *,
    progress: Callable[[int, int], None] | None = None,
) -> RateFinding:
    """Train a copy of `network` for at most `STEPS` steps, each at a higher rate, and read a rate off the losses.

    Parameters
    ----------
    network, data : as for `foveal.training.loop.fit`. A module stays as it is, and so do the random numbers of PyTorch,
        NumPy and Python. A set of few batches is gone through again and again.
    config : its rate and schedule are not looked at.
    progress : told of the steps done and of how many there are at most.

    Raises
    ------
    TrainingError : the loss is no number from the first step on.
    UsageError, DataError : as by `fit`.
    """
    config = (config or Config()).settled()
    config = replace(config, schedule="constant", warmup=0.0, ema=None, patience=None, lr=None)
    network = copy.deepcopy(network) if isinstance(network, nn.Module) else network
    with _untouched():
        training = Training(network, data, config)
        own = OPTIMIZERS[config.optimizer].lr
        rates: list[float] = np.geomspace(own / SPAN, own * SPAN, STEPS).tolist()
        training.schedule = _Rising(training.optimizer, rates)
        losses: list[float] = []
        for loss in _losses(training):
            losses.append(loss)
            if progress:
                progress(len(losses), STEPS)
            if len(losses) == STEPS or _exploded(losses, len(data.classes)):
                break
    return judge(rates, losses)


def judge(rates: Sequence[float], losses: Sequence[float]) -> RateFinding:
    """What `losses`, all of them numbers, say of `rates`; where there are fewer, the next one was no number."""
    beyond = rates[len(losses)] if len(losses) < len(rates) else None
    rates = rates[: len(losses)]
    smoothed = _smoothed(np.minimum(losses, 3 * max(losses[:FIRST])))  # an explosion must not reach back
    start, lowest = float(smoothed[0]), int(smoothed.argmin())
    fall = start - float(smoothed[lowest])
    noise = float(np.std(smoothed[: lowest + 1] - losses[: lowest + 1]))
    fallen = diverges = suggested = None
    if fall <= max(LEAST * start, 2.5 * noise):  # noise alone, smoothed, falls by 1 to 2.5 times what it is
        why = (
            f"the loss falls by {fall:.2g} at most, at rates from {rates[0]:.2g} to {rates[-1]:.2g}, and from batch to "
            f"batch it differs by {noise:.2g}; take the optimizer's own rate, or larger batches"
        )
    else:
        fallen = rates[int((smoothed <= start - DONE * fall).argmax())]
        lost = np.flatnonzero(smoothed[lowest:] > start - fall / 2)
        diverges = rates[lowest + int(lost[0])] if len(lost) else beyond
        suggested, why = _choice(fallen, diverges, bool(smoothed[lowest] < LEARNT * start), rates[-1])
    found, held = (float(f"{suggested / factor:.2g}") if suggested else None for factor in (1, HELD))
    return RateFinding(tuple(rates), tuple(losses), tuple(smoothed.tolist()), fallen, diverges, found, held, why)


class _Rising(Schedule):
    """A rate for each step."""

    def __init__(self, optimizer: Optimizer, rates: Sequence[float]) -> None:
        self._optimizer, self._rates = optimizer, rates

    def before_step(self, global_step: int) -> None:
        self.rate = self._rates[global_step]


def _losses(training: Training) -> Iterator[float]:
    """Of one step after the other, epoch after epoch, until it is no number."""
    training.module.train()
    for training.epoch in itertools.count():
        training.step = 0
        for rows in training.remaining():
            first = training.global_step == 0
            try:
                step(training, rows)
            except TrainingError:
                if first:
                    raise
                return
            if not math.isfinite(loss := float(training.loss)):  # on a GPU the step need not have looked
                if first:
                    raise TrainingError("the loss is no number at the first step; look at the weights and the pictures")
                return
            yield loss


def _exploded(losses: list[float], classes: int) -> bool:
    """Whether the last losses lie above the first by as much as there is to learn, which is that of guessing."""
    return float(np.mean(losses[-3:])) > float(np.mean(losses[:FIRST])) + math.log(classes)


def _smoothed(losses: np.ndarray) -> np.ndarray:
    reach = len(_KERNEL) // 2
    padded, counted = (np.pad(values, reach) for values in (losses, np.ones(len(losses))))
    return np.convolve(padded, _KERNEL, "valid") / np.convolve(counted, _KERNEL, "valid")


def _choice(fallen: float, diverges: float | None, by_heart: bool, last: float) -> tuple[float, str]:
    """The more careful of two rates, and the reason."""
    why = "nine tenths of the fall of the loss are done there"
    if diverges is None and by_heart:
        return fallen, f"{why}; all was learnt before a rate was too high, so try higher ones"
    if diverges is None:
        return fallen, f"{why}; it does not diverge up to {last:.2g}"
    if fallen <= diverges / SAFE:
        return fallen, f"{why}; it diverges only at {diverges:.2g}"
    return (
        diverges / SAFE,
        f"a third of {diverges:.2g}, where the loss diverges; nine tenths of its fall are done at {fallen:.2g}",
    )


@contextmanager
def _untouched() -> Iterator[None]:
    """The generators of PyTorch, NumPy and Python, and PyTorch's number of threads, are after it as before."""
    pythons, numpys, threads = random.getstate(), np.random.get_state(), torch.get_num_threads()
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        try:
            yield
        finally:
            random.setstate(pythons)
            np.random.set_state(numpys)
            torch.set_num_threads(threads)


def _lines(found: RateFinding) -> Iterator[str]:
    if found.suggested:
        yield f"learning rate {found.suggested:g} under one-cycle, {found.held:g} where the schedule begins with it"
    else:
        yield "no clear answer"
    yield found.why
    yield ""
    yield f"{'rate':>10}{'loss':>10}{'smoothed':>10}"
    for row in np.linspace(0, len(found.rates) - 1, min(len(found.rates), 13)).astype(int):
        yield f"{found.rates[row]:>10.2g}{found.losses[row]:>10.4g}{found.smoothed[row]:>10.4g}"
