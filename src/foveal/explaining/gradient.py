"""How the gradient comes back to one activation or one weight: the sum that made it, and how the weight then moves."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from foveal import ops
from foveal.errors import GraphError, UnknownName, UsageError
from foveal.explaining.microscope import arrays_of, check_unit
from foveal.explaining.observing import Observed
from foveal.explaining.receipt import Term, unit_name
from foveal.graph import Node
from foveal.reference import OPS
from foveal.reference.base import pad, windows
from foveal.reference.routes import readers_of, routes
from foveal.reference.units import Index
from foveal.reference.updates import RULES
from foveal.shapes import resolve_padding

STEP = 1e-6
"""How far a value is moved, both ways, for the finite difference in float64."""


@dataclass(frozen=True)
class Goal:
    """The number whose gradient it is: the logit of a class, or with `loss` the cross-entropy for it as the label."""

    target: int
    name: str
    loss: bool

    def __str__(self) -> str:
        return f"the loss for the label {self.name}" if self.loss else f"the logit of {self.name}"


@dataclass(frozen=True)
class Gradient:
    """The gradient of a goal with respect to one value, as the sum that it is.

    Attributes
    ----------
    seen : the pass that it is a gradient of.
    of, index : the value: a node or a weight, and where in it.
    terms : for an activation, the places it went to, ``gradient there x slope``; for a weight, the positions it was
        used at, ``gradient there x input``. The largest first.
    factors : of each term, those two numbers.
    places : of each term, the node and the index where the gradient was.
    shut : gates and windows that read the value and let nothing through: not open, or won by another value.
    autograd : what PyTorch's backward pass says, in float64 as all of this.
    """

    seen: Observed
    goal: Goal
    of: str
    index: Index
    terms: tuple[Term, ...]
    factors: tuple[tuple[float, float], ...]
    places: tuple[tuple[str, Index], ...]
    shut: tuple[str, ...]
    autograd: float

    @property
    def name(self) -> str:
        """``"conv1[5,10,12]"`` or ``"conv1.weight[4,0,1,2]"``."""
        return unit_name(self.of, self.index)

    @property
    def at(self) -> float:
        """The value itself."""
        values = self.seen.values if self.of in self.seen.values else self.seen.subject.weights
        return float(values[self.of][self.index])

    @property
    def value(self) -> float:
        return sum(term.value for term in self.terms)

    @cached_property
    def quotients(self) -> tuple[float, float]:
        """The goal's difference quotients, the value moved down and up by `STEP`: three passes in float64."""
        goal = self.goal
        low, middle, high = (
            self.seen.probe(self.of, self.index, by, goal.target, loss=goal.loss) for by in (-STEP, 0.0, STEP)
        )
        return (middle - low) / STEP, (high - middle) / STEP

    @property
    def kink(self) -> bool:
        """Whether a gate or a winner changes within `STEP`: there the finite difference is no oracle."""
        left, right = self.quotients
        return abs(left - right) > 1e-8 + 1e-3 * max(abs(left), abs(right))

    def __str__(self) -> str:
        from foveal.explaining.gradient_text import gradient_lines

        return "\n".join(gradient_lines(self))

    def to_json(self) -> dict[str, Any]:
        rows = zip(self.terms, self.factors, strict=True)
        return {
            "goal": str(self.goal),
            "of": self.name,
            "at": self.at,
            "gradient": self.value,
            "autograd": self.autograd,
            "finite_difference": None if self.kink else sum(self.quotients) / 2,
            "crosses_a_kink": self.kink,
            "shut": list(self.shut),
            "terms": [
                {"to": term.what, "gradient": g, "slope": slope, "product": term.value} for term, (g, slope) in rows
            ],
        }


def backward(
    seen: Observed, node: str, index: Index, *, target: int | str | None = None, loss: bool = False
) -> Gradient:
    """The gradient with respect to one activation: over all places it went to, the gradient there times the slope.

    Parameters
    ----------
    target : a class by name or number; the largest logit's if None.
    loss : of the cross-entropy with `target` as the label, not of its logit.

    Raises
    ------
    UnknownName, GraphError, UsageError : no such node, unit or class; a network without logits.
    """
    index, goal, seen = check_unit(seen.graph, node, index), _goal(seen, target, loss), seen.exact
    if node not in seen.graph.up_to(seen.scores).shapes:
        raise UsageError(f"{node}: no gradient comes back to it, since {seen.scores} does not depend on it")
    gradients = seen.gradients(goal.target, loss=loss)
    found = list(_went_to(seen, node, index, goal, gradients))
    shut = tuple(unit_name(*place) for place in _read_in_vain(seen, node, index, {each.place for each in found}))
    return _gradient(seen, goal, node, index, found, shut, float(gradients[node][index]))


def weight_gradient(
    seen: Observed, weight: str, index: Index, *, target: int | str | None = None, loss: bool = False
) -> Gradient:
    """The gradient with respect to one weight: over all positions it was used at, the gradient there times the input.

    Parameters
    ----------
    weight : a node, whose ``weight`` is meant, or a tensor such as ``"conv1.bias"``.

    Raises
    ------
    UnknownName, GraphError : no such weight, an index outside. Others as `backward`.
    """
    goal, tensors, seen = _goal(seen, target, loss), seen.graph.parameters(), seen.exact
    tensor = weight if weight in tensors else f"{weight}.weight"
    if tensor not in tensors:
        raise UnknownName("weight", weight, tensors)
    shape = tensors[tensor]
    if len(index) != len(shape) or not all(0 <= i < n for i, n in zip(index, shape, strict=True)):
        raise GraphError(
            f"{unit_name(tensor, index)} is not there; the last one is {unit_name(tensor, [n - 1 for n in shape])}"
        )
    gradients = seen.gradients(goal.target, loss=loss, weight=tensor)
    owner, _, key = tensor.rpartition(".")
    users = [node for node in seen.graph.nodes if owner in (node.name, node.weights_of)]
    found = [each for node in users for each in _used_at(seen, node, key, index, gradients[node.name])]
    return _gradient(seen, goal, tensor, index, found, (), float(gradients[tensor][index]))


@dataclass(frozen=True)
class Step:
    """One update of one weight by a rule of `foveal.reference.updates`, from a fresh state."""

    rule: str
    lr: float
    gradient: Gradient
    after: float
    state: dict[str, float]

    def to_json(self) -> dict[str, Any]:
        return {
            "rule": self.rule, "lr": self.lr, "before": self.gradient.at, "gradient": self.gradient.value,
            "after": self.after, "state": self.state,
        }  # fmt: skip


def step(gradient: Gradient, rule: str, lr: float) -> Step:
    """The first step of a rule on this weight; UnknownName for a rule there is not."""
    if rule not in RULES:
        raise UnknownName("update rule", rule, RULES)
    if not 0 < lr < 1e6:
        raise UsageError(f"--lr {lr:g}: expected a learning rate above 0")
    moved, state = RULES[rule](np.array(gradient.at), np.array(gradient.value), {}, lr=lr)
    return Step(rule, lr, gradient, float(moved), {key: float(value) for key, value in state.items()})


@dataclass(frozen=True)
class _Found:
    """Where a value is read, the gradient there, and the slope or input it is multiplied with."""

    place: tuple[str, Index]
    gradient: float
    slope: float
    what: str = ""

    @property
    def term(self) -> Term:
        return Term(self.what or unit_name(*self.place), self.gradient * self.slope)


_GATES = (ops.Relu, ops.Relu6, ops.MaxPool, ops.GlobalMaxPool, ops.MedianPool, ops.Maxout)


def _goal(seen: Observed, target: int | str | None, loss: bool) -> Goal:
    index = seen.class_index(target)
    return Goal(index, seen.class_name(index), loss)


def _gradient(
    seen: Observed, goal: Goal, of: str, index: Index, found: list[_Found], shut: tuple[str, ...], autograd: float
) -> Gradient:
    rows = sorted(found, key=lambda each: -abs(each.gradient * each.slope))
    factors = tuple((each.gradient, each.slope) for each in rows)
    terms, places = tuple(each.term for each in rows), tuple(each.place for each in rows)
    return Gradient(seen, goal, of, index, terms, factors, places, shut, autograd)


def _went_to(seen: Observed, name: str, index: Index, goal: Goal, gradients: dict[str, np.ndarray]) -> Iterator[_Found]:
    for node in seen.graph.nodes:
        for source, read in enumerate(node.inputs):
            if read != name or not gradients[node.name].any():
                continue
            xs = [seen.values[each].astype(np.float64) for each in node.inputs]
            places, slopes = routes(node.op, arrays_of(seen, node), xs, source, index)
            for place, slope in zip(map(tuple, places.tolist()), slopes.tolist(), strict=True):
                yield _Found((node.name, place), float(gradients[node.name][place]), slope)
    if name == seen.scores:
        yield from _seed(seen, index[0], goal)


def _read_in_vain(seen: Observed, name: str, index: Index, went: set[tuple[str, Index]]) -> Iterator[tuple[str, Index]]:
    for node in seen.graph.nodes:
        if name in node.inputs and isinstance(node.op, _GATES):
            for place in readers_of(node.op, seen.graph.input_shapes(node), 0, index):
                if (node.name, place) not in went:
                    yield node.name, place


def _seed(seen: Observed, number: int, goal: Goal) -> Iterator[_Found]:
    """What the goal itself says to a logit: 1 to its own; the loss, probability minus truth."""
    truth = float(number == goal.target)
    if not goal.loss:
        yield _Found((seen.scores, (number,)), 1.0, truth, f"{goal} itself")
        return
    scores = np.exp(seen.logits.astype(np.float64) - seen.logits.max())
    share = float(scores[number] / scores.sum())
    yield _Found((seen.scores, (number,)), 1.0, share - truth, f"{goal}: its probability {share:.4g} - {truth:g}")


def _used_at(seen: Observed, node: Node, key: str, index: Index, g: np.ndarray) -> Iterator[_Found]:
    """The positions at which one weight of `node` was used, the gradient and the input it met there."""
    xs = [seen.values[name].astype(np.float64) for name in node.inputs]
    met, channel = _met(node.op, arrays_of(seen, node), xs, key, index)
    for place in np.ndindex(met.shape):
        if met[place]:
            yield _Found((node.name, (channel, *place)), float(g[(channel, *place)]), float(met[place]))


def _met(
    op: ops.Op, arrays: dict[str, np.ndarray], xs: list[np.ndarray], key: str, index: Index
) -> tuple[np.ndarray, int]:
    """What one weight is multiplied with at every position of its output channel; and that channel.

    Every op is a straight line in each of its weights: the value there with the weight at 1 and all others at 0.
    """
    if isinstance(op, ops.Conv) and key == "weight":
        channel, within, *tap = index
        first = channel // (op.out_channels // op.groups) * (xs[0].shape[0] // op.groups)
        sides = resolve_padding(op.padding, xs[0].shape[1:], op.kernel_size, op.stride, op.dilation)
        cells = windows(pad(xs[0][None], sides), op.kernel_size, op.stride, op.dilation)
        return cells[(0, first + within, ..., *tap)], channel
    if isinstance(op, ops.Dense) and key == "weight":
        return xs[0][index[1]], index[0]
    ones = {name: np.zeros_like(array) if name in ("weight", "bias") else array for name, array in arrays.items()}
    ones[key] = ones[key].copy()
    ones[key][index] = 1
    batch = tuple(x[None] for x in xs)
    flat = {name: array if name != key else np.zeros_like(array) for name, array in ones.items()}
    y = OPS[type(op)].forward(op, ones, *batch) - OPS[type(op)].forward(op, flat, *batch)
    channel = index[1] if isinstance(op, ops.ConvTranspose) and key == "weight" else index[0]
    if isinstance(op, ops.ConvTranspose) and key == "weight":
        channel += index[0] // (xs[0].shape[0] // op.groups) * (op.out_channels // op.groups)
    return y[0, channel], channel
