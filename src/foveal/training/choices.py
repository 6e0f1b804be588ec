"""Layout, precision and batch size that are quickest here, found by trying: a second or two before a training."""

from __future__ import annotations

import contextlib
import copy
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from foveal.training.batches import seed_torch
from foveal.training.config import Config
from foveal.training.pooled import pooled

ROUNDS = 10  # steps of each way
SECONDS = 3.0  # after which there are no more rounds
STEP = 0.15  # seconds; a step that takes longer is tried with no more pictures
LEAST = 8  # pictures; of fewer it would be the calls that are timed
GAIN = 0.95  # of the default's time, which another way must stay under
HOPELESS = 1.5  # times the quickest
AGREEMENT = 0.05  # of the loss; bfloat16 keeps 8 bits, an error of up to 0.4 % a value

LAYOUTS = {
    "contiguous": torch.contiguous_format,
    "channels-last": torch.channels_last,
    "pictures-last": torch.channels_last,
}
"""How tensors lie in memory, by name; the last is for a `PooledConv` joined, and channels-last behind it."""


@dataclass(frozen=True)
class Choices:
    """How a training computes; kept with a run, so that it goes on in the same way.

    Attributes
    ----------
    layout : a key of `LAYOUTS`.
    precision : ``"f32"`` or ``"bf16"``.
    seconds : the least of a step forward and back, for each way that was tried, such as ``"channels-last bf16"``.
    batch_size : where the config leaves it open.
    """

    layout: str
    precision: str
    seconds: dict[str, float] = field(default_factory=dict)
    batch_size: int | None = None

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Choices:
        return cls(**data)


def choose(module: nn.Module, example: tuple[Tensor, Tensor], config: Config, device: torch.device) -> Choices:
    """The quickest way to train `module`, of those that `config` leaves open.

    Contiguous float32 it is, unless another takes less than 95 % of its time and comes to the same loss.
    `module`, which must be on `device`, and all random numbers stay as they are.

    Parameters
    ----------
    example : a batch as a step has it: pictures, and classes or shares of classes.
    """
    layouts = [config.layout]
    if config.layout == "auto":
        layouts = [each for each in LAYOUTS if each != "pictures-last" or pooled(module)]
    precisions = _precisions(device) if config.precision == "auto" else [config.precision]
    if len(layouts) * len(precisions) == 1:
        return Choices(layouts[0], precisions[0])
    with _undisturbed(device):
        copies = {form: copy.deepcopy(module).train() for form in {LAYOUTS[layout] for layout in layouts}}
        ways = [_Way(copies[LAYOUTS[layout]], layout, precision) for layout in layouts for precision in precisions]
        default = ways[0]
        x, y = _few(default, *example)
        loss = default.step(x, y)
        able = [default, *(way for way in ways[1:] if way.agrees(loss, x, y))]
        _race(able, x, y)
    quicker = [way for way in able if way.least < GAIN * default.least]
    best = min(quicker, key=lambda way: way.least, default=default)
    return Choices(best.layout, best.precision, {way.name: round(way.least, 6) for way in able})


def propose_batch(module: nn.Module, example: tuple[Tensor, Tensor], choices: Choices) -> int:
    """The power of two of pictures a step, up to those of `example`, that trains the most pictures a second.

    Of those within 5 % of the most it is the smallest: more steps an epoch. `module` and random numbers stay as they
    are.
    """
    x, y = example
    rates: dict[int, float] = {}
    with _undisturbed(x.device):
        copied = copy.deepcopy(module).train()
        size = LEAST
        while size <= len(y):
            way = _Way(copied, choices.layout, choices.precision)
            for _ in range(4):
                way.step(x[:size], y[:size])
            rates[size] = size / way.least
            size *= 2
    return min((size for size, rate in rates.items() if rate > GAIN * max(rates.values())), default=1)


class _Way:
    """A copy of a module, trained in some layout and precision; `seconds` of its steps so far."""

    def __init__(self, module: nn.Module, layout: str, precision: str) -> None:
        self.module, self.layout, self.precision = module, layout, precision
        self.seconds: list[float] = []

    @property
    def name(self) -> str:
        return f"{self.layout} {self.precision}"

    @property
    def least(self) -> float:
        """Seconds of a step that nothing else on the machine held up."""
        return min(self.seconds)

    def step(self, x: Tensor, y: Tensor) -> float:
        """Forward and back, always with the same random numbers; the loss."""
        seed_torch(0)
        lay(self.module, self.layout)
        x = x.clone(memory_format=LAYOUTS[self.layout])  # of one channel, `contiguous` would leave either layout
        began = time.perf_counter()
        with torch.autocast(x.device.type, torch.bfloat16, enabled=self.precision == "bf16"):
            logits = self.module(x)
        loss = F.cross_entropy(logits.float(), y)
        self.module.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]  # torch has no types here
        if x.device.type == "cuda":
            torch.cuda.synchronize(x.device)
        self.seconds.append(time.perf_counter() - began)
        return loss.item()

    def agrees(self, loss: float, x: Tensor, y: Tensor) -> bool:
        """Whether it comes to that loss; not so where an op has no kernel for it."""
        try:
            return abs(self.step(x, y) - loss) <= AGREEMENT * abs(loss)
        except RuntimeError:
            return False


def _few(way: _Way, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """So many pictures that a step is long enough to be timed, and not longer than need be."""
    rows = LEAST
    while rows < len(y):
        for _ in range(3):  # the first prepares the kernels
            way.step(x[:rows], y[:rows])
        least = way.least
        way.seconds.clear()
        if least > STEP:
            break
        rows *= 2
    return x[:rows], y[:rows]


def _race(ways: list[_Way], x: Tensor, y: Tensor) -> None:
    """Steps of all in turn, so that what else the machine does meets each of them; who is far behind gives up."""
    ends = time.perf_counter() + SECONDS
    for _ in range(ROUNDS):
        for way in ways:
            way.step(x, y)
        quickest = min(way.least for way in ways)
        ways = [way for way in ways if way.least < HOPELESS * quickest]
        if len(ways) == 1 or time.perf_counter() > ends:
            return


def lay(module: nn.Module, layout: str) -> None:
    """Have `module` compute in that layout."""
    module.to(memory_format=LAYOUTS[layout])  # type: ignore[call-overload]  # torch's stubs lack it
    for each in pooled(module):
        each.joined = layout == "pictures-last"


def _precisions(device: torch.device) -> list[str]:
    able = device.type != "cuda" or torch.cuda.is_bf16_supported(including_emulation=False)
    return ["f32", "bf16"] if able else ["f32"]


@contextlib.contextmanager
def _undisturbed(device: torch.device) -> Iterator[None]:
    """Random numbers as they were before, once this is over."""
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        yield
