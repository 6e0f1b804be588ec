"""How the learning rate goes over a run.

The rate is a function of the step's number, so that a run that was killed goes on exactly; only ``plateau`` remembers.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from torch.optim import Optimizer

from foveal.errors import UnknownName, UsageError
from foveal.training.config import Config

RISE = 0.3  # the share of a one-cycle run in which the rate rises
FIRST = 1 / 25  # the rate that one-cycle begins with, in units of the highest
DROP = 0.1  # what step and plateau multiply the rate by
WAIT = 3  # epochs in a row without a lower validation loss after which plateau drops the rate


def step(done: float) -> float:
    """A tenth at half of the run, a hundredth at three quarters; He et al. (2016, arXiv:1512.03385), section 4.2."""
    return 1.0 if done < 1 / 2 else DROP if done < 3 / 4 else DROP**2


def cosine(done: float) -> float:
    """Half a cosine from 1 to 0; Loshchilov & Hutter (2017, arXiv:1608.03983), equation 5 without restarts."""
    return (1 + math.cos(math.pi * done)) / 2


def one_cycle(done: float) -> float:
    """Straight up to 1, then straight down to 0; Smith & Topin (2018, arXiv:1708.07120), the momentum left alone."""
    return FIRST + (1 - FIRST) * done / RISE if done < RISE else (1 - done) / (1 - RISE)


def constant(done: float) -> float:
    """1, also of ``plateau``, whose drops come on top."""
    return 1.0


SCHEDULES: dict[str, Callable[[float], float]] = {
    "constant": constant,
    "step": step,
    "cosine": cosine,
    "one-cycle": one_cycle,
    "plateau": constant,
}
"""For each schedule, the rate in units of the highest from the share of the run that is done, 0 up to but without 1."""


class Schedule:
    """Sets the rate of `optimizer` before every step.

    Warm-up comes first: over `Config.warmup` epochs the rate rises in equal steps to what the schedule begins with
    (Goyal et al. 2017, arXiv:1706.02677, section 2.2), which then has the rest of the run.

    Parameters
    ----------
    optimizer : the rate it was made with is the highest.
    steps : of an epoch.

    Raises
    ------
    UnknownName : no such schedule.
    UsageError : a warm-up that takes the whole run.
    """

    def __init__(self, optimizer: Optimizer, config: Config, steps: int) -> None:
        if config.schedule not in SCHEDULES:
            raise UnknownName("schedule", config.schedule, SCHEDULES)
        self._shape = SCHEDULES[config.schedule]
        self._warmup, self._total = round(config.warmup * steps), config.epochs * steps
        if self._warmup >= self._total:
            raise UsageError(
                f"warmup = {config.warmup:g} epochs of a run of {config.epochs}; expected fewer, such as "
                f"{config.epochs / 10:g}"
            )
        self._optimizer = optimizer
        self._highest: float = optimizer.defaults["lr"]  # a restored optimizer's groups have that of its last step
        self._plateau = config.schedule == "plateau"
        # under early stopping a lower rate must come soon enough to be tried
        self._wait = min(WAIT, max(1, config.patience // 2)) if config.patience else WAIT
        self._drops, self._worse, self._least = 0, 0, math.inf

    @property
    def rate(self) -> float:
        """Of the optimizer as it stands."""
        return float(self._optimizer.param_groups[0]["lr"])

    @rate.setter
    def rate(self, value: float) -> None:
        for group in self._optimizer.param_groups:
            group["lr"] = value

    def before_step(self, global_step: int) -> None:
        """Set the rate of step `global_step`, counted from 0 over the whole run."""
        self.rate = self._rate(global_step)

    def after_epoch(self, val_loss: float | None) -> None:
        """Let ``plateau`` see the validation loss; None, where there is no validation part, tells it nothing."""
        if not self._plateau or val_loss is None:
            return
        if val_loss < self._least:
            self._least, self._worse = val_loss, 0
            return
        self._worse += 1
        if self._worse == self._wait:
            self._drops, self._worse = self._drops + 1, 0

    def state_dict(self) -> dict[str, Any]:
        """Plain values: what ``plateau`` remembers."""
        least = None if math.isinf(self._least) else self._least  # JSON has no infinity
        return {"drops": self._drops, "worse": self._worse, "least": least}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        least = state["least"]
        self._drops, self._worse, self._least = state["drops"], state["worse"], math.inf if least is None else least

    def _rate(self, global_step: int) -> float:
        done = (global_step - self._warmup) / (self._total - self._warmup)
        warm = min(1.0, (global_step + 1) / self._warmup) if self._warmup else 1.0
        return self._highest * warm * self._shape(max(done, 0.0)) * DROP**self._drops
