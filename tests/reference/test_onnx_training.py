"""ONNX's own backend cases of training: every case of the loss and the optimizers that are ours.

Its negative log likelihood (``NegativeLogLikelihoodLoss``) is none of them: `cross_entropy` takes logits, and that
operator's cases have random numbers where logarithms of probabilities belong.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from onnx_cases import Attributes, Run, Wanted, cases_of, check

from foveal import ops
from foveal.reference import OPS, updates
from foveal.reference.base import Array
from foveal.reference.losses import cross_entropy


def softmax_cross_entropy(
    a: Attributes, wanted: Wanted, logits: Array, labels: Array, weights: Array | None = None
) -> list[Any]:
    """The loss of each position, weighted by its class (0 for the class that is ignored); then the mean or the sum."""
    rows, classes = np.moveaxis(logits, 1, -1).reshape(-1, logits.shape[1]), labels.astype(int).ravel()
    ignored = classes == a.get("ignore_index", math.nan)
    classes = np.where(ignored, 0, classes)
    shares = np.where(ignored, 0.0, np.ones(len(rows)) if weights is None else weights[classes])
    losses = shares * [cross_entropy(row[None], [label]) for row, label in zip(rows, classes, strict=True)]
    reduced = {"none": losses.reshape(labels.shape), "sum": losses.sum(), "mean": losses.sum() / shares.sum()}
    logarithms = OPS[ops.LogSoftmax].forward(ops.LogSoftmax(), {}, logits)
    return [reduced[a.get("reduction", "mean")], logarithms][: len(wanted)]


def of_each_weight(step: Callable[..., tuple[Array, ...]]) -> Run:
    """A first step for one weight after the other.

    ONNX gives the rate and the number of earlier steps, then all weights, all gradients and all of each remembered
    array; it returns the weights and what is then remembered in that order.
    """

    def run(a: Attributes, wanted: Wanted, rate: Array, steps: Array, *given: Array) -> list[Array]:
        assert steps == 0
        count = len(given) - len(wanted)  # only gradients go in and do not come out
        kinds = [given[i : i + count] for i in range(0, len(given), count)]
        moved = [step(a, float(rate), *arrays) for arrays in zip(*kinds, strict=True)]
        return [array for kind in zip(*moved, strict=True) for array in kind]

    return run


def momentum(a: Attributes, rate: float, w: Array, g: Array, v: Array) -> tuple[Array, ...]:
    """ONNX's velocity, like PyTorch's, is ours without the learning rate and of the other sign."""
    rule = updates.nesterov if a["mode"] == "nesterov" else updates.momentum
    w, state = rule(w, g, {"v": -rate * v}, lr=rate, alpha=a["alpha"], l2=a["norm_coefficient"])
    return w, -state["v"] / rate


def adagrad(a: Attributes, rate: float, w: Array, g: Array, r: Array) -> tuple[Array, ...]:
    w, state = updates.adagrad(w, g, {"r": r}, lr=rate, delta=a["epsilon"], l2=a["norm_coefficient"])
    return w, state["r"]


def adam(a: Attributes, rate: float, w: Array, g: Array, s: Array, r: Array) -> tuple[Array, ...]:
    """ONNX enlarges no moment in a first step: as if it came after very many."""
    options = {"rho1": a["alpha"], "rho2": a["beta"], "delta": a["epsilon"], "l2": a["norm_coefficient"]}
    w, state = updates.adam(w, g, {"s": s, "r": r, "t": np.array(math.inf)}, lr=rate, **options)
    return w, state["s"], state["r"]


RUN: dict[str, Run] = {
    "SoftmaxCrossEntropyLoss": softmax_cross_entropy,
    "Momentum": of_each_weight(momentum), "Adagrad": of_each_weight(adagrad), "Adam": of_each_weight(adam),
}  # fmt: skip
"""ONNX's operators that are ours."""


@pytest.mark.parametrize("kind", RUN)
def test_every_case_of(kind: str) -> None:
    assert cases_of(kind)
    for case in cases_of(kind):
        check(case, RUN[kind])
