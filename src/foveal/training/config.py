"""How a network is trained: one record of plain values, which a run keeps as JSON."""

from __future__ import annotations

import json
import math
import types
import typing
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

from foveal.errors import UnknownName, UsageError
from foveal.text import printable

FORMAT = 1


@dataclass(frozen=True)
class Config:
    """What the loop is told.

    Attributes
    ----------
    epochs : passes over the training part.
    batch_size : pictures a step; where they do not divide, the batches of an epoch differ by one picture at most.
        0 is what a probe finds quickest.
    optimizer : a name of `foveal.training.optimizers.OPTIMIZERS`.
    lr : the highest learning rate; None for the optimizer's own.
    momentum : of ``momentum`` and ``nesterov``.
    weight_decay : L2 of the weights, not of norms and biases; None for the optimizer's own.
    schedule : a name of `foveal.training.schedules.SCHEDULES`.
    warmup : epochs during which the rate first rises from 0.
    label_smoothing : share of the target that goes to all classes alike (Szegedy et al. 2016, section 7).
    clip : the largest norm of the whole gradient; None for no limit (Pascanu et al. 2013).
    dropout : probability of every ``Dropout`` of the network, instead of its own.
    ema : decay of an exponential moving average of the weights, which is what is then evaluated and kept.
    patience : epochs without a lower validation loss after which training stops and the best epoch is restored.
    augment : what is done to training pictures, such as ``"crop 4, flip"`` (`foveal.training.augmentation`).
    precision : ``"auto"``, ``"f32"`` or ``"bf16"``; ``auto`` takes what a short probe finds quicker.
    layout : ``"auto"``, likewise; ``"channels-last"``, ``"contiguous"``, or ``"pictures-last"``: channels-last, but a
        first convolution and max pooling without overlap are one product (`foveal.training.pooled`).
    device : ``"auto"`` (the GPU where there is one), ``"cpu"`` or ``"cuda"``.
    seed : of the first weights and everything else that is drawn.
    checkpoint_every : seconds between checkpoints within an epoch; there is one after each epoch.

    Raises
    ------
    UsageError, UnknownName : a value that makes no sense; the message names the field.
    """

    epochs: int = 10
    batch_size: int = 128
    optimizer: str = "adamw"
    lr: float | None = None
    momentum: float = 0.9
    weight_decay: float | None = None
    schedule: str = "one-cycle"
    warmup: float = 0.0
    label_smoothing: float = 0.0
    clip: float | None = None
    dropout: float | None = None
    ema: float | None = None
    patience: int | None = None
    augment: str = ""
    precision: str = "auto"
    layout: str = "auto"
    device: str = "auto"
    seed: int = 0
    checkpoint_every: float = 30.0

    def __post_init__(self) -> None:
        for name, kinds in _KINDS.items():
            value = getattr(self, name)
            if type(value) is int and float in kinds and int not in kinds:
                object.__setattr__(self, name, value := float(value))
            if type(value) not in kinds:
                raise UsageError(f"{name} = {value!r:.40}; expected {_words(kinds)}")
        for name, (least, most) in _RANGES.items():
            value = getattr(self, name)
            if value is not None and not least <= value <= most:
                raise UsageError(f"{name} = {value}; expected a number from {least:g} to {most:g}")
        if self.lr is not None and not (0 < self.lr < math.inf):
            why = " (with a rate of 0 nothing is learnt)" if self.lr == 0 else ""
            raise UsageError(f"lr = {self.lr}; expected a finite number above 0{why}; foveal lr-find proposes one")
        _parse(self.augment)
        for name, known in _names().items():
            if getattr(self, name) not in known:
                raise UnknownName(name, getattr(self, name), known)

    def to_json(self) -> dict[str, Any]:
        return {"format": FORMAT, **asdict(self)}

    @classmethod
    def from_json(cls, data: Any) -> Config:
        """From untrusted data, such as a file of the user's; what it does not name keeps its default."""
        if not isinstance(data, dict):
            raise UsageError('a config is an object of names and values, such as {"epochs": 10}')
        form = data.get("format", FORMAT)
        if type(form) is not int or form > FORMAT:
            raise UsageError(
                f"this config has format {form!r:.40}, made by a newer Foveal; this one reads {FORMAT}: upgrade it"
            )
        return cls().with_values({key: value for key, value in data.items() if key != "format"})

    def settled(self) -> Config:
        """The same without a probe, which may find something else tomorrow: float32, channels last, batches of 128."""
        return replace(
            self,
            batch_size=self.batch_size or Config.batch_size,
            precision="f32" if self.precision == "auto" else self.precision,
            layout="channels-last" if self.layout == "auto" else self.layout,
        )

    def with_values(self, values: Mapping[str, Any]) -> Config:
        """The same but for `values`; UnknownName for what is no field."""
        for name in values:
            if name not in _KINDS:
                raise UnknownName("setting", printable(name), _KINDS)
        return replace(self, **values)


def read_config(path: Path) -> Config:
    """A config from a JSON file; UsageError where it is none."""
    name = printable(path)
    try:
        data = json.loads(path.read_text("utf-8"))
    except OSError as error:
        raise UsageError(f"{name}: cannot be read ({error.strerror})") from error
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{name}: not JSON ({printable(str(error))})") from error
    try:
        return Config.from_json(data)
    except UsageError as error:
        raise UsageError(f"{name}: {error}") from error


def parse_setting(text: str) -> dict[str, Any]:
    """``"lr=0.01"`` as ``{"lr": 0.01}``; ``none`` is None, and what is no number stays a text."""
    name, equals, value = text.partition("=")
    if not equals:
        raise UsageError(f"--set {text!r:.60}; expected NAME=VALUE, such as lr=0.01")
    name, value = name.strip().replace("-", "_"), value.strip()
    if name not in _KINDS:
        raise UnknownName("setting", printable(name), _KINDS)
    if value.lower() == "none":
        return {name: None}
    if str in _KINDS[name]:
        return {name: value}
    try:
        return {name: int(value) if int in _KINDS[name] else float(value)}
    except ValueError:
        raise UsageError(f"--set {text!r:.60}; expected {_words(_KINDS[name])} after the =") from None


def _kinds(hint: Any) -> tuple[type, ...]:
    return typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)


def _words(kinds: tuple[type, ...]) -> str:
    names = {int: "a whole number", float: "a number", str: "a name", type(None): "none"}
    return " or ".join(names[kind] for kind in kinds)


_KINDS = {field.name: _kinds(typing.get_type_hints(Config)[field.name]) for field in fields(Config)}
_RANGES: dict[str, tuple[float, float]] = {
    "epochs": (1, 1e6),
    "batch_size": (0, 1e6),
    "momentum": (0, 0.9999),
    "weight_decay": (0, 10),
    "warmup": (0, 1e6),
    "label_smoothing": (0, 0.9),
    "clip": (1e-6, 1e6),
    "dropout": (0, 0.95),
    "ema": (0, 0.99999),
    "patience": (1, 1e6),
    "seed": (0, 2**31 - 1),
    "checkpoint_every": (0, 1e6),
}


def _parse(augment: str) -> None:
    """UsageError for what is no augmentation."""
    from foveal.training.augmentation import parse

    parse(augment)


def _names() -> dict[str, Collection[str]]:
    """What the settings that are names may be; their homes import this module, and are imported at its first use."""
    from foveal.training.optimizers import OPTIMIZERS
    from foveal.training.schedules import SCHEDULES

    return {
        "optimizer": OPTIMIZERS,
        "schedule": SCHEDULES,
        "precision": ("auto", "f32", "bf16"),
        "layout": ("auto", "channels-last", "contiguous", "pictures-last"),
        "device": ("auto", "cpu", "cuda"),
    }
