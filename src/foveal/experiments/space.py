"""What a search may try: for each setting of a `Config` a range or a choice."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from foveal.errors import UsageError
from foveal.training.config import Config, parse_setting
from foveal.training.optimizers import OPTIMIZERS

if TYPE_CHECKING:
    from optuna.trial import BaseTrial

LOGARITHMIC = ("lr", "weight_decay", "batch_size")  # what matters is by which factor these change
REACH = 10.0  # how far from its default a rate is searched, as a factor to either side


@dataclass(frozen=True)
class Range:
    """Numbers from `low` to `high`; whole ones where both are."""

    low: float
    high: float
    log: bool = False

    def suggest(self, trial: BaseTrial, name: str) -> Any:
        whole = type(self.low) is int and type(self.high) is int
        suggest: Any = trial.suggest_int if whole else trial.suggest_float
        return suggest(name, self.low, self.high, log=self.log)

    def holds(self, value: Any) -> bool:
        return value is not None and self.low <= value <= self.high

    def __str__(self) -> str:
        return f"{self.low:g}..{self.high:g}" + (" (logarithmic)" if self.log else "")


@dataclass(frozen=True)
class Choice:
    """One of `values`."""

    values: tuple[Any, ...]

    def suggest(self, trial: BaseTrial, name: str) -> Any:
        return trial.suggest_categorical(name, self.values)

    def holds(self, value: Any) -> bool:
        return value in self.values

    def __str__(self) -> str:
        return " | ".join(str(value) for value in self.values)


Space = Mapping[str, Range | Choice]


def default_space(config: Config) -> dict[str, Range | Choice]:
    """Rate, decay, batch size and label smoothing around what `config` has: what most often decides."""
    rate = config.lr or OPTIMIZERS[config.optimizer].lr
    return {
        "lr": Range(rate / REACH, rate * REACH, log=True),
        "weight_decay": Range(1e-5, 1e-1, log=True),
        "batch_size": Choice((32, 64, 128, 256)),
        "label_smoothing": Range(0.0, 0.2),
    }


def parse_space(said: Sequence[str], config: Config) -> dict[str, Range | Choice]:
    """``["lr=1e-4..1e-1", "optimizer=adamw|nesterov"]``; the default space where nothing is said.

    Raises
    ------
    UsageError, UnknownName : no setting, no range, or values that the setting does not take.
    """
    if not said:
        return default_space(config)
    space: dict[str, Range | Choice] = {}
    for text in said:
        name, equals, values = text.partition("=")
        name = name.strip().replace("-", "_")
        low, dots, high = values.partition("..")
        if not equals or not values.strip():
            raise UsageError(f"--search {text!r:.60}; expected NAME=LOW..HIGH or NAME=ONE|ANOTHER")
        if dots:
            if _backwards(low, high):
                raise UsageError(f"--search {text!r:.60}: the range is the wrong way round; the lower number is first")
            least, most = (_value(config, name, end) for end in (low, high))
            if not all(type(end) in (int, float) for end in (least, most)) or least >= most:
                raise UsageError(f"--search {text!r:.60}; expected two numbers, the lower first")
            space[name] = Range(least, most, log=name in LOGARITHMIC and least > 0)
        else:
            choices = tuple(_value(config, name, value) for value in values.split("|"))
            if len(choices) < 2:
                raise UsageError(f"--search {text!r:.60}; expected NAME=LOW..HIGH or NAME=ONE|ANOTHER; --set fixes one")
            space[name] = Choice(choices)
    return space


def _backwards(low: str, high: str) -> bool:
    try:
        return float(low) > float(high)
    except ValueError:
        return False


def _value(config: Config, name: str, said: str) -> Any:
    """What `said` is as a value of the setting `name`, checked as a config checks it."""
    values = parse_setting(f"{name}={said.strip()}")
    return getattr(config.with_values(values), name)


def suggest(trial: BaseTrial, space: Space, config: Config) -> Config:
    """The config that `trial` is to try."""
    return config.with_values({name: domain.suggest(trial, name) for name, domain in space.items()})


def first(space: Space, config: Config) -> dict[str, Any]:
    """Of `config` itself, what the space can express: tried first, so that a search never ends below it unknowingly."""
    known = {name: getattr(config, name) for name in space}
    known["lr"] = config.lr or OPTIMIZERS[config.optimizer].lr
    default = OPTIMIZERS[config.optimizer].weight_decay
    known["weight_decay"] = default if config.weight_decay is None else config.weight_decay
    return {name: value for name, value in known.items() if name in space and space[name].holds(value)}
