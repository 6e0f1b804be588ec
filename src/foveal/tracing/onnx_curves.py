"""Activations that an ONNX file writes as arithmetic, known by the values they take."""

from __future__ import annotations

import contextlib
import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from foveal import ops
from foveal.errors import GraphError
from foveal.ops import Op
from foveal.tracing.onnx_step import FAILURES, Map, Step, Weight

POINTWISE = frozenset(
    """
    Add Sub Mul Div Pow Sqrt Exp Log Neg Abs Erf Min Max Clip Reciprocal Relu Sigmoid Tanh Softplus HardSigmoid
    """.split()
)
ARITHMETIC = POINTWISE - {"Relu", "Sigmoid", "Tanh", "Softplus", "HardSigmoid"}
"""Of these an activation may be written; the others are one by themselves."""

_X = np.linspace(-8, 8, 65, dtype=np.float32)
_ERF = np.array([math.erf(x / math.sqrt(2)) for x in _X.tolist()])
_CUBIC = math.sqrt(2 / math.pi) * (_X + 0.044715 * _X**3)
_SIXTH = np.clip(_X + 3, 0, 6) / 6
_CURVES: list[tuple[Op, NDArray[np.floating]]] = [
    (ops.Relu(), np.maximum(_X, 0)),
    (ops.Relu6(), np.clip(_X, 0, 6)),
    (ops.Silu(), _X / (1 + np.exp(-_X))),
    (ops.Gelu(), _X * (1 + _ERF) / 2),
    (ops.Gelu(approximate=True), _X * (1 + np.tanh(_CUBIC)) / 2),
    (ops.Mish(), _X * np.tanh(np.log1p(np.exp(_X)))),
    (ops.Softplus(), np.log1p(np.exp(_X))),
    (ops.Hardsigmoid(), _SIXTH),
    (ops.Hardswish(), _X * _SIXTH),
]


Key = tuple[str, tuple[int, ...] | None]
"""What tells a value: its node, and the order of its axes."""


def _key(x: Map) -> Key:
    return x.node, x.order


@dataclass
class Curves:
    """Activations written as arithmetic, known by their values: ``x * sigmoid(x)`` is SiLU in however many steps.

    For each value, the functions of earlier values that it is, at the points of `_X`.
    """

    known: dict[Key, dict[Key, tuple[Map, NDArray[np.floating]]]] = field(default_factory=dict)

    def record(self, step: Step, result: Map) -> None:
        if step.kind in POINTWISE and _key(result) not in self.known:
            with contextlib.suppress(GraphError, *FAILURES):  # odd constants: it is no activation then
                self.known[_key(result)] = self._curves(step)

    def recognise(self, step: Step) -> Map | None:
        """The activation that ends in this step, if it is one."""
        if step.kind not in ARITHMETIC:
            return None
        for x, curve in reversed(self._curves(step).values()):
            for op, expected in _CURVES:
                if np.allclose(curve, expected, rtol=1e-5, atol=2e-5):
                    return step.emit(op, x, order=x.order)
        return None

    def _curves(self, step: Step) -> dict[Key, tuple[Map, NDArray[np.floating]]]:
        """This step as a function of each value that all it reads is a function of; at most the last eight."""
        if any(isinstance(x, Weight) and (x.values is None or x.size != 1) for x in step.inputs):
            return {}
        each = [self.known.get(_key(x), {}) | {_key(x): (x, _X)} for x in step.maps]
        if len({x.shape for x in step.maps}) > 1 or None in {x.order for x in step.maps}:
            return {}
        roots = [root for root in each[0] if all(root in known for known in each)][-8:]
        curves = {}
        for root in roots:
            of = {_key(x): known[root][1] for x, known in zip(step.maps, each, strict=True)}
            values = [
                of[_key(x)] if isinstance(x, Map) else np.asarray(x.values).reshape(()).astype(np.float32)
                for x in step.inputs
                if x is not None
            ]
            curves[root] = (each[0][root][0], step.computed(values)[0])
        return curves
