"""The optimizers on one start and the same batches: on a surface that one can draw, and on a small network."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from foveal import notation
from foveal.errors import UnknownName, UsageError
from foveal.reference import backward, run
from foveal.reference.base import Array
from foveal.reference.losses import cross_entropy, cross_entropy_backward
from foveal.reference.updates import RULES

Weights = dict[str, Array]
"""Also what a rule remembers of one weight."""


@dataclass(frozen=True)
class Surface:
    """A height over the plane.

    Attributes
    ----------
    formula : as text.
    height, slope : of points (..., 2): (...), and the gradient (..., 2).
    start : (x, y).
    view : left, right, bottom and top of what a plot shows.
    lowest : the height of its minimum.
    rates : a learning rate for each rule.
    """

    formula: str
    height: Callable[[Array], Array]
    slope: Callable[[Array], Array]
    start: tuple[float, float]
    view: tuple[float, float, float, float]
    lowest: float
    rates: Mapping[str, float]


def _rosenbrock(p: Array) -> Array:
    x, y = p[..., 0], p[..., 1]
    return (1 - x) ** 2 + 100 * (y - x**2) ** 2


def _rosenbrock_slope(p: Array) -> Array:
    x, y = p[..., 0], p[..., 1]
    return np.stack([-2 * (1 - x) - 400 * x * (y - x**2), 200 * (y - x**2)], -1)


def _saddle(p: Array) -> Array:
    x, y = p[..., 0], p[..., 1]
    return x**2 - y**2 + y**4 / 4


def _saddle_slope(p: Array) -> Array:
    x, y = p[..., 0], p[..., 1]
    return np.stack([2 * x, y**3 - 2 * y], -1)


_BOWL = np.array([1.0, 25.0])

SURFACES: dict[str, Surface] = {
    "bowl": Surface(
        "(x^2 + 25 y^2) / 2",
        lambda p: (_BOWL * p**2).sum(-1) / 2,
        lambda p: _BOWL * p,
        (-4.0, 1.5),
        (-4.5, 2.5, -2.0, 2.0),
        0.0,
        {"sgd": 0.07, "momentum": 0.02, "nesterov": 0.02, "adagrad": 0.7, "rmsprop": 0.05, "adam": 0.2},
    ),
    "rosenbrock": Surface(
        "(1 - x)^2 + 100 (y - x^2)^2",
        _rosenbrock,
        _rosenbrock_slope,
        (-1.2, 1.0),
        (-1.8, 1.8, -0.8, 2.0),
        0.0,
        {"sgd": 0.001, "momentum": 0.0005, "nesterov": 0.0005, "adagrad": 0.3, "rmsprop": 0.01, "adam": 0.05},
    ),
    "saddle": Surface(
        "x^2 - y^2 + y^4 / 4",
        _saddle,
        _saddle_slope,
        (-1.5, 0.001),
        (-1.8, 1.8, -2.0, 2.0),
        -1.0,
        {"sgd": 0.05, "momentum": 0.02, "nesterov": 0.02, "adagrad": 0.2, "rmsprop": 0.02, "adam": 0.05},
    ),
}
"""An elongated bowl, 25 times as steep one way as the other; Rosenbrock's curved valley (1960), whose floor hardly
falls to its minimum 0 at (1, 1); and a saddle at (0, 0), beside which two minima of -1 lie at (0, +-sqrt 2)."""

NETWORK = "8x8x1 > conv 8 3x3 relu > maxpool 2 > flatten > dense 10"
NETWORK_RATES = {"sgd": 0.1, "momentum": 0.02, "nesterov": 0.02, "adagrad": 0.05, "rmsprop": 0.003, "adam": 0.01}
BATCH = 64
TRACKS = (*SURFACES, "digits")

MOST_STEPS = 10_000
FAR = 1e6
"""A height, or a loss, beyond which an optimizer has diverged."""


@dataclass(frozen=True)
class Lane:
    """What one optimizer did.

    Attributes
    ----------
    losses : before the first step and after each; on a network of the batch that the next step sees. It ends early
        where it passed `FAR` or was no number.
    points : (x, y) at the same times on a surface; empty for a network.
    accuracy : on the digits that were kept apart; None on a surface, and where it diverged.
    """

    rule: str
    lr: float
    losses: list[float] = field(default_factory=list)
    points: list[tuple[float, float]] = field(default_factory=list)
    accuracy: float | None = None
    diverged: bool = False


@dataclass(frozen=True)
class Race:
    """All optimizers on one track."""

    track: str
    steps: int
    lanes: tuple[Lane, ...]

    def to_json(self) -> dict[str, Any]:
        what = {"formula": SURFACES[self.track].formula} if self.track in SURFACES else {"network": NETWORK}
        return {"track": self.track, **what, "steps": self.steps, "lanes": [vars(lane) for lane in self.lanes]}


def race(
    track: str = "bowl",
    *,
    rules: Sequence[str] = tuple(RULES),
    steps: int = 100,
    rates: float | Mapping[str, float] | None = None,
    seed: int = 0,
) -> Race:
    """Every rule of `foveal.reference.updates` from the same start; on the network with the same batches, too.

    Parameters
    ----------
    track : of `TRACKS`: a surface, or ``"digits"``, scikit-learn's 1,797 digits of 8 x 8 in batches of `BATCH` through
        `NETWORK`, a quarter of them kept apart.
    rules : some of `RULES`.
    steps : 1 to `MOST_STEPS`.
    rates : a learning rate for all, or by rule; else those that the track states.
    seed : of the network's first weights and its batches.

    Raises
    ------
    UnknownName : another track or rule. UsageError : steps, or a learning rate, out of range.
    """
    if track not in TRACKS:
        raise UnknownName("track", track[:80], TRACKS)
    if not 1 <= steps <= MOST_STEPS:
        raise UsageError(f"steps {steps!r:.40}; expected a whole number from 1 to {MOST_STEPS:,}")
    learning = _rates(track, rules, rates)
    if track in SURFACES:
        return Race(track, steps, tuple(_roll(SURFACES[track], rule, learning[rule], steps) for rule in learning))
    digits = _Digits(seed)
    return Race(track, steps, tuple(digits.train(rule, learning[rule], steps) for rule in learning))


def race_lines(result: Race) -> Iterator[str]:
    """The track, then a line for each optimizer."""
    if result.track in SURFACES:
        surface = SURFACES[result.track]
        x, y = surface.start
        yield f"{result.track}: {surface.formula}, from ({x:g}, {y:g}), {result.steps} steps"
        yield f"{'rule':10}{'lr':>8}{'height':>12}  at"
    else:
        yield f"{result.track}: {NETWORK}, {result.steps} batches of {BATCH}, the same for all"
        yield f"{'rule':10}{'lr':>8}{'loss':>12}  accuracy on the digits kept apart"
    for lane in result.lanes:
        end = f"diverged after {len(lane.losses) - 1} steps"
        if lane.accuracy is not None:
            end = f"{100 * lane.accuracy:.1f} %"
        elif not lane.diverged:
            end = f"({lane.points[-1][0]:.4g}, {lane.points[-1][1]:.4g})"
        yield f"{lane.rule:10}{lane.lr:>8g}{lane.losses[-1]:>12.4g}  {end}"


def _rates(track: str, rules: Sequence[str], rates: float | Mapping[str, float] | None) -> dict[str, float]:
    """The learning rate of each of `rules`, checked."""
    given = rates if isinstance(rates, Mapping) else {} if rates is None else dict.fromkeys(RULES, rates)
    for rule in (*rules, *given):
        if rule not in RULES:
            raise UnknownName("update rule", str(rule)[:80], RULES)
    stated = SURFACES[track].rates if track in SURFACES else NETWORK_RATES
    learning = {rule: float(given.get(rule, stated[rule])) for rule in rules}
    for rule, lr in learning.items():
        if not 0 < lr < 1e6:
            raise UsageError(f"learning rate {lr:g} of {rule}; expected a number above 0")
    if not learning:
        raise UsageError(f"no update rule; name some of {', '.join(RULES)}")
    return learning


def _roll(surface: Surface, rule: str, lr: float, steps: int) -> Lane:
    p, state = np.array(surface.start), Weights()
    points, losses = [surface.start], [float(surface.height(p))]
    with np.errstate(all="ignore"):
        for _ in range(steps):
            p, state = RULES[rule](p, surface.slope(p), state, lr=lr)
            if not (height := float(surface.height(p))) <= FAR:  # NaN is not
                return Lane(rule, lr, losses, points, diverged=True)
            points.append((float(p[0]), float(p[1])))
            losses.append(height)
    return Lane(rule, lr, losses, points)


class _Digits:
    """The digits, the network's first weights and the order of the batches: what all optimizers share."""

    def __init__(self, seed: int) -> None:
        from sklearn.datasets import load_digits

        images, labels = load_digits(return_X_y=True)
        random = np.random.default_rng(seed)
        order = random.permutation(len(labels))
        self.x, self.labels = images[order].reshape(-1, 1, 8, 8) / 16, labels[order]
        self.held = len(labels) // 4
        self.graph = notation.parse(NETWORK)
        self.logits = self.graph.outputs[0]
        self.start = {
            name: np.zeros(shape) if len(shape) == 1 else random.normal(0, np.sqrt(2 / np.prod(shape[1:])), shape)
            for name, shape in self.graph.parameters().items()
        }
        self.seed = seed

    def train(self, rule: str, lr: float, steps: int) -> Lane:
        weights, states = dict(self.start), {name: Weights() for name in self.start}
        losses: list[float] = []
        with np.errstate(all="ignore"):
            for number, rows in enumerate(self._batches(steps + 1)):
                values = run(self.graph, weights, self.x[rows])
                logits, labels = values[self.logits], self.labels[rows]
                loss = cross_entropy(logits, labels)
                if not loss <= FAR:
                    return Lane(rule, lr, losses, diverged=True)
                losses.append(loss)
                if number < steps:
                    g = {self.logits: cross_entropy_backward(logits, labels)}
                    _, gradients = backward(self.graph, weights, values, g)
                    for name, gradient in gradients.items():
                        weights[name], states[name] = RULES[rule](weights[name], gradient, states[name], lr=lr)
        return Lane(rule, lr, losses, accuracy=self._accuracy(weights))

    def _batches(self, count: int) -> Iterator[npt.NDArray[np.int64]]:
        random = np.random.default_rng(self.seed)
        for _ in range(count):
            yield random.integers(self.held, len(self.x), BATCH)

    def _accuracy(self, weights: Weights) -> float:
        logits = run(self.graph, weights, self.x[: self.held])[self.logits]
        return float((logits.argmax(1) == self.labels[: self.held]).mean())
