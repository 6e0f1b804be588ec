"""Multinomial logistic regression, several fits at once.

The objective of one fit is ``sum_i w_i log loss_i + penalty / 2 |W|^2`` over the standardised rows of a `Basis`; the
intercept is not penalised. In the basis' principal axes a bound of the Hessian (Boehning 1992, Ann. Inst. Stat. Math.
44), ``1/2 (I - 11'/K) kron X'WX``, has diagonal blocks, so it is a free preconditioner; it holds for any subset of the
rows, so folds and left-out classes share it. The steps are nonlinear conjugate gradients (Polak & Ribiere) with a line
search, which costs no further product with the rows because scores are linear in the step.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from foveal.heads.basis import Basis

Array = NDArray[Any]

_NEVER = -1e9  # the score of a class that a task does not have


@dataclass(frozen=True)
class Tasks:
    """Fits that run side by side.

    Attributes
    ----------
    rows : (tasks, n) bool, the rows each fit sees.
    classes : (tasks, K) bool, the classes each fit knows; it sees no row of another class.
    """

    rows: Array
    classes: Array


@dataclass(frozen=True)
class Fit:
    """Coefficients (K, tasks, r) on `Basis.rows` and intercepts (K, tasks), float64 or float32 like the rows."""

    coefficients: Array
    intercepts: Array

    def logits(self, rows: Array) -> Array:
        """(K, tasks, n) scores of `rows` (n, r)."""
        k, tasks, axes = self.coefficients.shape
        scores = (self.coefficients.reshape(k * tasks, axes) @ rows.T).reshape(k, tasks, len(rows))
        scores += self.intercepts[:, :, None]
        return scores


def zero(basis: Basis, tasks: Tasks) -> Fit:
    """The fit that knows nothing: where a path starts."""
    count, k = tasks.classes.shape
    dtype = basis.rows.dtype
    intercepts = np.where(tasks.classes.T, 0, _NEVER).astype(dtype)
    return Fit(np.zeros((k, count, basis.rows.shape[1]), dtype), intercepts)


def fit(
    basis: Basis, target: Array, tasks: Tasks, penalty: float, start: Fit, *, tolerance: float = 1e-3, steps: int = 200
) -> Fit:
    """Fit all tasks, starting from `start`.

    Parameters
    ----------
    basis : of all n rows, with their weights.
    target : (n,) class indices.
    tasks : which rows and classes each fit has.
    penalty : positive.
    start : `zero`, or the result at a neighbouring penalty.
    tolerance : stop when each task's gradient, in the preconditioner's norm, is below this share of its size at
        `zero`. The excess of the objective goes with its square.
    steps : the most steps; each costs two products with the rows.
    """
    dtype = basis.rows.dtype
    problem = _Problem(basis, target, tasks, penalty)
    c, b = start.coefficients.copy(), start.intercepts.copy()
    goal = tolerance**2 * problem.size()
    scores = Fit(c, b).logits(basis.rows)
    gradient = problem.gradient(problem.residual(scores), c)
    direction: tuple[Array, Array] | None = None
    before: tuple[Array, Array] | None = None
    steepness = np.ones(len(tasks.rows))
    for _ in range(steps):
        descent = problem.precondition(gradient)
        square = _dot(gradient, descent)
        if np.all(square <= goal):
            break
        if direction is None or before is None:
            direction = (-descent[0], -descent[1])
        else:
            turned = np.maximum(0, (square - _dot(before, descent)) / np.maximum(steepness, 1e-300))
            kept = turned.astype(dtype)
            candidate = (kept[:, None] * direction[0] - descent[0], kept * direction[1] - descent[1])
            uphill = _dot(gradient, candidate) >= 0
            kept = np.where(uphill, 0, kept).astype(dtype)
            direction = (kept[:, None] * direction[0] - descent[0], kept * direction[1] - descent[1])
        before, steepness = gradient, square
        change = Fit(*direction).logits(basis.rows)
        length, residual = problem.line_search(scores, change, c, gradient, direction)
        scores += length[:, None] * change
        c += length[:, None] * direction[0]
        b += length * direction[1]
        gradient = problem.gradient(residual, c)
    return Fit(c, b)


def _dot(left: tuple[Array, Array], right: tuple[Array, Array]) -> Array:
    """Inner product of each task, float64."""
    inner = np.einsum("ktr,ktr->t", left[0], right[0]) + np.einsum("kt,kt->t", left[1], right[1])
    return np.asarray(inner, np.float64)


class _Problem:
    """The objective's derivatives for all tasks; arrays are (classes, tasks, rows)."""

    def __init__(self, basis: Basis, target: Array, tasks: Tasks, penalty: float) -> None:
        dtype = basis.rows.dtype
        k = tasks.classes.shape[1]
        self.rows = basis.rows
        self.penalty = penalty
        self.weights = (tasks.rows * basis.weights).astype(dtype)
        self.truth = (np.arange(k)[:, None] == target).astype(dtype)[:, None, :]
        self.scale = (1 / (basis.squares / 2 + penalty)).astype(dtype)
        self.level = dtype.type(2 / basis.weights.sum())
        self.known = tasks.classes.T
        self.classes = tasks.classes

    def residual(self, scores: Array) -> Array:
        p = scores - scores.max(axis=0)
        np.exp(p, out=p)
        p /= p.sum(axis=0)
        p -= self.truth
        p *= self.weights
        return np.asarray(p)

    def gradient(self, residual: Array, c: Array) -> tuple[Array, Array]:
        k, tasks, n = residual.shape
        slope = (residual.reshape(k * tasks, n) @ self.rows).reshape(c.shape)
        slope += self.rows.dtype.type(self.penalty) * c
        return slope, np.where(self.known, residual.sum(axis=2), 0).astype(self.rows.dtype)

    def precondition(self, gradient: tuple[Array, Array]) -> tuple[Array, Array]:
        return gradient[0] * self.scale, gradient[1] * self.level

    def size(self) -> Array:
        """(tasks,) squared norm of the gradient at zero coefficients and intercepts."""
        k, tasks = self.known.shape
        scores = np.where(self.known, 0, _NEVER).astype(self.rows.dtype)[:, :, None]
        residual = self.residual(np.broadcast_to(scores, (k, tasks, len(self.rows))))
        gradient = self.gradient(residual, np.zeros((k, tasks, self.rows.shape[1]), self.rows.dtype))
        return np.maximum(_dot(gradient, self.precondition(gradient)), 1e-30)

    def line_search(
        self, scores: Array, change: Array, c: Array, gradient: tuple[Array, Array], direction: tuple[Array, Array]
    ) -> tuple[Array, Array]:
        """Step lengths (tasks,) near the minimum along each task's direction, and the residual there.

        The slope along the line grows with the length, so the root lies between the last length with a negative and
        the first with a positive slope; the first guess is Newton's.
        """
        dtype = self.rows.dtype
        slope0 = _dot(gradient, direction)
        bend = self.penalty * np.einsum("ktr,ktr->t", direction[0], direction[0], dtype=np.float64)
        lean = self.penalty * np.einsum("ktr,ktr->t", direction[0], c, dtype=np.float64)
        p = self.residual(scores) + self.truth * self.weights
        spread = np.einsum("ktn,ktn,ktn->tn", p, change, change)
        mean = np.einsum("ktn,ktn->tn", p, change) ** 2 / np.maximum(self.weights, np.finfo(dtype).tiny)
        length = -slope0 / np.maximum((spread - mean).sum(axis=1, dtype=np.float64) + bend, 1e-30)
        lo, slope_lo = np.zeros_like(length), slope0
        hi, slope_hi = np.full_like(length, np.inf), np.zeros_like(length)
        for trial in range(6):
            residual = self.residual(scores + length.astype(dtype)[:, None] * change)
            slope = np.einsum("ktn,ktn->t", residual, change).astype(np.float64) + lean + length * bend
            done = np.abs(slope) <= 0.3 * np.abs(slope0)
            if trial == 5 or done.all():
                break
            over = slope > 0
            hi, slope_hi = np.where(over, length, hi), np.where(over, slope, slope_hi)
            lo, slope_lo = np.where(over, lo, length), np.where(over, slope_lo, slope)
            share = np.clip(slope_lo / np.minimum(slope_lo - slope_hi, -1e-300), 0.1, 0.9)
            inside = lo + share * (np.where(np.isfinite(hi), hi, 3 * lo) - lo)
            length = np.where(done, length, np.where(np.isfinite(hi), inside, 2 * length))
        return length.astype(dtype), residual
