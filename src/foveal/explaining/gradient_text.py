"""Gradients, steps and paths in words."""

from __future__ import annotations

from collections.abc import Iterator
from inspect import signature
from typing import TYPE_CHECKING

import numpy as np

from foveal.explaining.gradient import STEP, Gradient, Step
from foveal.explaining.receipt_text import SHOWN, number, parted, plus, times
from foveal.ops import Conv, ConvTranspose
from foveal.reference.updates import RULES
from foveal.text import plural

if TYPE_CHECKING:
    from foveal.explaining.path import Path


DELTA = {rule: signature(RULES[rule]).parameters["delta"].default for rule in ("adagrad", "rmsprop", "adam")}
"""What keeps these rules from dividing by 0."""


def gradient_lines(gradient: Gradient, shown: int = SHOWN) -> Iterator[str]:
    """The terms, their sum, PyTorch's answer and the finite difference."""
    yield f"gradient of {gradient.goal} to {gradient.name} (now {number(gradient.at)})"
    told, rest = parted(gradient.terms, shown)
    wide = max((len(term.what) for term in told), default=0)
    for term, (g, slope) in zip(told, gradient.factors, strict=False):
        yield f"  {term.what:{wide}}  {number(g)} x {number(slope)} = {term.value:+.7g}"
    if rest:
        yield f"  {f'{len(rest):,} more':{wide}}  {sum(term.value for term in rest):+.7g}"
    yield from _turned(gradient)
    if gradient.shut:
        more = f" and {len(gradient.shut) - 3:,} more" if len(gradient.shut) > 3 else ""
        yield f"nothing comes back through {', '.join(gradient.shut[:3])}{more}: shut, or won by another value"
    difference = f"{abs(gradient.value - gradient.autograd):.1g}"
    total = f"sum of {plural(len(gradient.terms), 'term')} {number(gradient.value)}"
    yield f"{total} | PyTorch {number(gradient.autograd)} | difference {difference}"
    if gradient.kink:
        yield f"finite difference: not valid here, a gate or a winner changes within {STEP:g}"
    else:
        yield f"finite difference over {STEP:g} both ways: {number(sum(gradient.quotients) / 2)}"


def _turned(gradient: Gradient) -> Iterator[str]:
    if found := turned(gradient):
        name, met, filters = found
        yield f"{name}, the gradients there times the filter turned by 180 degrees:"
        yield from times([met, filters, met * filters])


def turned(gradient: Gradient) -> tuple[str, np.ndarray, np.ndarray] | None:
    """Where a filter read the value at several positions: which, the gradients there, and the filter as they met it,
    in reversed order; of the output channel that adds most.
    """
    patches: dict[tuple[str, int], dict[tuple[int, ...], tuple[float, float]]] = {}
    for (node, place), factors in zip(gradient.places, gradient.factors, strict=True):
        if len(place) == 3 and isinstance(gradient.seen.graph.by_name[node].op, (Conv, ConvTranspose)):
            patches.setdefault((node, place[0]), {})[place[1:]] = factors
    sums = {name: abs(sum(g * slope for g, slope in patch.values())) for name, patch in patches.items()}
    if not sums or gradient.of not in gradient.seen.values:
        return None
    node, channel = max(sums, key=lambda name: sums[name])
    patch = patches[node, channel]
    rows, columns = (sorted({place[axis] for place in patch}) for axis in (0, 1))
    if not 1 < len(patch) == len(rows) * len(columns) <= 121:
        return None
    met, filters = (np.array([[patch[y, x][i] for x in columns] for y in rows]) for i in (0, 1))
    return f"{node}[{channel}]", met, filters


def step_lines(step: Step) -> Iterator[str]:
    """The update as arithmetic, its state and the weight after."""
    w, g, lr = step.gradient.at, step.gradient.value, step.lr
    state = {key: number(value) for key, value in step.state.items()}
    yield f"one step of {step.rule}, learning rate {lr:g}, from a fresh state"
    match step.rule:
        case "sgd":
            yield f"  {number(w)} {plus(-lr * g)} = {number(step.after)}   (w - lr g)"
        case "momentum":
            yield f"  v = 0.9 x 0 - {lr:g} x {number(g)} = {state['v']}"
            yield f"  {number(w)} {plus(step.state['v'])} = {number(step.after)}   (w + v)"
        case "nesterov":
            yield f"  v = 0.9 x 0 - {lr:g} x {number(g)} = {state['v']}"
            yield f"  {number(w)} + 0.9 x {state['v']} {plus(-lr * g)} = {number(step.after)}   (w + alpha v - lr g)"
        case "adagrad" | "rmsprop":
            yield f"  r = {state['r']}   ({'g^2' if step.rule == 'adagrad' else '0.99 x 0 + 0.01 g^2'})"
            yield f"  {number(w)} - {lr:g} x {number(g)} / (sqrt r + {DELTA[step.rule]:g}) = {number(step.after)}"
        case "adam":
            yield f"  s = 0.1 x {number(g)} = {state['s']};  r = 0.001 x ({number(g)})^2 = {state['r']}"
            yield f"  corrected at step 1: s' = s / 0.1 = {number(g)}, r' = r / 0.001 = {number(g * g)}"
            yield f"  {number(w)} - {lr:g} x s' / (sqrt r' + {DELTA['adam']:g}) = {number(step.after)}"
    yield f"the weight goes {'up' if step.after > w else 'down' if step.after < w else 'nowhere'}, against its gradient"


def path_lines(path: Path) -> Iterator[str]:
    """The way down, a step a line, and what it explains."""
    yield f"from {path.steps[0].name} = {number(path.steps[0].value)} down the strongest contributions"
    for receipt, share in zip(path.steps, path.contributions, strict=True):
        here = f"{receipt.name} = {number(receipt.value)} (PyTorch {number(receipt.torch)})"
        yield f"  {here}: {share.what} {share.value:+.7g}"
    yield path.ending
