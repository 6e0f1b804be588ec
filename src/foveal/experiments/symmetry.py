"""Why weights do not begin as zeros: units that begin alike get the same gradient, and stay alike.

Goodfellow et al. (2016), Deep Learning, section 8.4: initialisation must break the symmetry between units.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, fx

from foveal import notation
from foveal.build import build
from foveal.datasets.pictures import PictureSet
from foveal.experiments.drawing import loss_axes, loss_curve
from foveal.experiments.watching import HE, Watch, digits, plain
from foveal.initializing import initialize
from foveal.teaching.plots import finish
from foveal.training.config import Config
from foveal.training.loop import fit
from foveal.training.state import Training

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NETWORK = "8x8x1 > conv 8 3x3 relu > flatten > dense 32 relu > dense 10"
HIDDEN = ("conv1", "dense1")
STARTS = {
    "zeros": "every weight 0",
    "equal": "every unit the mean of what it reads",
    "random": "drawn as He et al. (2015)",
}
COLOURS = {"zeros": "#b5500b", "equal": "#e69f00", "random": "#1668b0"}
_ALIKE = 1e-4
"""Units whose weights differ by no more than this share of the largest are alike: sums are rounded."""


@dataclass(frozen=True)
class Start:
    """A training from one way to begin.

    Attributes
    ----------
    name : of `STARTS`.
    losses : of every step.
    distinct : for each of the layers `HIDDEN`, how many different units it has: before the first step, and after each.
    loss, accuracy : the last epoch's mean on training pictures; the share of test pictures that are named right.
    """

    name: str
    losses: tuple[float, ...]
    distinct: dict[str, tuple[int, ...]]
    loss: float
    accuracy: float


@dataclass(frozen=True)
class Symmetry:
    """The ways to begin, side by side; `units` are those that each hidden layer has."""

    seed: int
    epochs: int
    units: dict[str, int]
    starts: tuple[Start, ...]

    def to_json(self) -> dict[str, Any]:
        return {"network": NETWORK, **asdict(self)}

    def __str__(self) -> str:
        return "\n".join(_lines(self))

    def plot(self) -> Figure:
        """The different units of the last hidden layer over the steps, and the losses."""
        import matplotlib.pyplot as plt

        figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.4), layout="constrained")
        layer = HIDDEN[-1]
        for start in self.starts:
            colour, style = COLOURS[start.name], "--" if start.name == "equal" else "-"
            left.plot(start.distinct[layer], style, color=colour, label=f"{start.name}: {STARTS[start.name]}")
            loss_curve(right, start.losses, colour, start.name)
        left.set(xlabel="step", ylabel=f"different units of {layer}, of {self.units[layer]}", ylim=(0, None))
        finish(left)
        loss_axes(right)
        figure.suptitle(NETWORK)
        return figure


def symmetry(*, epochs: int = 8, seed: int = 0) -> Symmetry:
    """Train `NETWORK` on scikit-learn's digits from zeros, equal weights and random ones, on the same batches.

    Raises
    ------
    UsageError : epochs or a seed out of range.
    """
    config, data = plain(epochs, seed), digits()
    starts = tuple(_trained(name, data, config) for name in STARTS)
    shapes = notation.parse(NETWORK).parameters()
    return Symmetry(seed, config.epochs, {layer: shapes[f"{layer}.weight"][0] for layer in HIDDEN}, starts)


class _Units(Watch):
    """Counts, too, the different units of each hidden layer."""

    def __init__(self) -> None:
        super().__init__()
        self.distinct: dict[str, list[int]] = {layer: [] for layer in HIDDEN}

    def begin(self, training: Training) -> None:
        self._count(training)

    def after_step(self, training: Training) -> None:
        super().after_step(training)
        self._count(training)

    def _count(self, training: Training) -> None:
        for layer, counts in self.distinct.items():
            counts.append(distinct_units(training.module.get_parameter(f"{layer}.weight").detach()))


def distinct_units(weight: Tensor) -> int:
    """How many rows of `weight` (units, ...) differ from all others."""
    rows = weight.flatten(1)
    largest = float(rows.abs().max())
    return len(torch.unique((rows / (largest * _ALIKE)).round(), dim=0)) if largest else 1


def _trained(name: str, data: PictureSet, config: Config) -> Start:
    module = build(notation.parse(NETWORK))
    _begin(module, name, config.seed)
    watch = _Units()
    history = fit(module, data, config, callbacks=[watch])
    distinct = {layer: tuple(counts) for layer, counts in watch.distinct.items()}
    return Start(name, tuple(watch.losses), distinct, history.epochs[-1].train_loss, watch.accuracy)


@torch.no_grad()
def _begin(module: fx.GraphModule, name: str, seed: int) -> None:
    initialize(module, HE, seed)
    for key, parameter in module.named_parameters():
        if name == "zeros":
            parameter.zero_()
        elif name == "equal" and key.endswith("weight"):
            parameter.fill_(1 / parameter[0].numel())


def _lines(found: Symmetry) -> Iterator[str]:
    yield f"{NETWORK} on scikit-learn's digits, {len(found.starts[0].losses)} steps on the same batches"
    columns = "".join(f"{f'{layer}, of {found.units[layer]}':>16}" for layer in HIDDEN)
    yield f"{'start':8}{columns}{'loss':>9}{'accuracy':>10}  different units in the end"
    for start in found.starts:
        counts = "".join(f"{start.distinct[layer][-1]:>16}" for layer in HIDDEN)
        yield f"{start.name:8}{counts}{start.loss:>9.4g}{100 * start.accuracy:>8.1f} %  {STARTS[start.name]}"
    yield f"ln 10 = {math.log(10):.4g} is the loss of all classes alike"
