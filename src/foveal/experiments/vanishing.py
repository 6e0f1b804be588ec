"""Why deep networks gave up the sigmoid: its slope is 1/4 at most, and the gradient passes through one in every layer.

Hochreiter (1991); Glorot and Bengio (2010), section 3; for what ReLU changed, Glorot, Bordes and Bengio (2011).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import torch

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

DEPTH, WIDTH = 10, 32
ACTIVATIONS = ("sigmoid", "relu")
COLOURS = {"sigmoid": "#b5500b", "relu": "#1668b0"}


def network(activation: str) -> str:
    """The network of an activation, as notation."""
    return f"8x8x1 > flatten > {DEPTH}x(dense {WIDTH} {activation}) > dense 10"


@dataclass(frozen=True)
class Deep:
    """A training of the deep network with one activation.

    Attributes
    ----------
    losses : of every step.
    before, after : for each dense layer, the first one first, the length of the gradient of the mean loss over all
        training pictures to its weights, before the first step and after the last.
    loss, accuracy : the last epoch's mean on training pictures; the share of test pictures that are named right.
    """

    activation: str
    losses: tuple[float, ...]
    before: tuple[float, ...]
    after: tuple[float, ...]
    loss: float
    accuracy: float


@dataclass(frozen=True)
class Vanishing:
    """Both activations, from the same weights and with the same batches."""

    seed: int
    epochs: int
    nets: tuple[Deep, ...]

    def to_json(self) -> dict[str, Any]:
        return {"network": network("sigmoid"), **asdict(self)}

    def __str__(self) -> str:
        return "\n".join(_lines(self))

    def plot(self) -> Figure:
        """The lengths of the gradients by layer, before and after, and the losses."""
        import matplotlib.pyplot as plt

        figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.4), layout="constrained")
        layers = range(1, DEPTH + 2)
        for net in self.nets:
            colour = COLOURS[net.activation]
            left.plot(layers, net.before, "o-", color=colour, label=f"{net.activation}, at the start")
            left.plot(
                layers, net.after, "o--", color=colour, markerfacecolor="white", label=f"{net.activation}, trained"
            )
            loss_curve(right, net.losses, colour, net.activation)
        left.set(yscale="log", xlabel="dense layer, the first reads the picture", ylabel="length of the gradient")
        left.set_xticks(layers)
        finish(left)
        loss_axes(right)
        figure.suptitle(network("sigmoid or relu"))
        return figure


def vanishing(*, epochs: int = 8, seed: int = 0) -> Vanishing:
    """Train the deep network on scikit-learn's digits with sigmoids and with ReLUs.

    Raises
    ------
    UsageError : epochs or a seed out of range.
    """
    config, data = plain(epochs, seed), digits()
    nets = tuple(_trained(activation, data, config) for activation in ACTIVATIONS)
    return Vanishing(seed, config.epochs, nets)


class _Gradients(Watch):
    """Measures, too, the gradients before the first step and after the last."""

    def begin(self, training: Training) -> None:
        self.before = gradient_lengths(training)

    def end(self, training: Training) -> None:
        super().end(training)
        self.after = gradient_lengths(training)


def gradient_lengths(training: Training) -> tuple[float, ...]:
    """The length of the gradient to each layer's weights, of the mean loss over all training pictures."""
    weights = [p for name, p in training.module.named_parameters() if name.endswith("weight")]
    x, target = training.prepared(torch.arange(len(training.data.train)), augmented=False)
    loss = torch.nn.functional.cross_entropy(training.computed(x), target)
    return tuple(float(gradient.norm()) for gradient in torch.autograd.grad(loss, weights))


def _trained(activation: str, data: PictureSet, config: Config) -> Deep:
    module = build(notation.parse(network(activation)))
    initialize(module, HE, config.seed)
    watch = _Gradients()
    history = fit(module, data, config, callbacks=[watch])
    epoch = history.epochs[-1]
    return Deep(activation, tuple(watch.losses), watch.before, watch.after, epoch.train_loss, watch.accuracy)


def _lines(found: Vanishing) -> Iterator[str]:
    yield f"{network('sigmoid or relu')} on scikit-learn's digits,"
    yield f"the same first weights for both, {len(found.nets[0].losses)} steps on the same batches"
    yield "length of the gradient by dense layer, the first of which reads the picture"
    yield f"{'layer':8}" + "".join(
        f"{f'{net.activation}, {when}':>17}" for when in ("start", "end") for net in found.nets
    )
    for layer in range(DEPTH + 1):
        values = (getattr(net, when)[layer] for when in ("before", "after") for net in found.nets)
        yield f"{layer + 1:<8}" + "".join(f"{value:>17.4g}" for value in values)
    for net in found.nets:
        yield f"{net.activation}: loss {net.loss:.4g}, accuracy {100 * net.accuracy:.1f} % on the test digits"
    yield f"ln 10 = {math.log(10):.4g} is the loss of all classes alike"
