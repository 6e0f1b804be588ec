"""Training rows, standardised and turned into their principal axes: what every head is fitted on.

One eigendecomposition serves all penalties, all folds and both kinds of head. With fewer rows than features it is that
of the Gram matrix of the rows (n x n), otherwise that of the features (D x D).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

_CHUNK = 8192  # rows standardised at a time: the (n, D) matrix is never copied whole
_FLAT = 1e-5  # a feature whose deviation is below this share of its size is constant up to rounding
_FLOOR = 0.5  # and one that varies less than this share of its tap's typical feature is not blown up further: a feature
# that is nearly silent in training would otherwise shout on new photos


@dataclass(frozen=True)
class Basis:
    """Rows in their principal axes.

    Attributes
    ----------
    taps : the feature arrays, (n, d) each, as they were given.
    weights : (n,) float64 row weights, mean 1.
    mean, gain : (D,) over all taps in order: a standardised row is ``(x - mean) * gain``. `gain` is 0 for constant
        features. Every tap has the same total variance, and a row's expected squared length is 1, so that penalties
        mean the same for every set of taps.
    rows : (n, r) the standardised rows in the principal axes; their weighted mean is 0. float32, or float64 if the taps
        are.
    squares : (r,) float64, ``rows.T @ diag(weights) @ rows`` is diagonal with these.
    """

    taps: tuple[Array, ...]
    weights: Array
    mean: Array
    gain: Array
    rows: Array
    squares: Array

    def to_features(self, coefficients: Array, intercept: Array) -> tuple[Array, Array]:
        """Weights (classes, D) and bias (classes,) in the features' own units, float32.

        `coefficients` is (r, classes) on `rows`, `intercept` (classes,).
        """
        dual = (self.rows * self.weights[:, None].astype(self.rows.dtype)) @ (
            coefficients / self.squares[:, None]
        ).astype(self.rows.dtype)
        weight = np.zeros((len(self.mean), coefficients.shape[1]))
        for part, x in _chunks(self.taps, self.mean, self.gain):
            weight += x.T @ dual[part]
        weight *= self.gain[:, None]
        return weight.T.astype(np.float32), (intercept - self.mean @ weight).astype(np.float32)


def basis(taps: Sequence[Array], weights: Array | None = None) -> Basis:
    """Standardise rows and find their principal axes.

    Each feature is centred and divided by its standard deviation **over the rows given here** (weighted; at least half
    the root mean square deviation of its tap), also when some of them are left out of a fit later: leaving rows
    out is exact for this fixed scaling, which sees no labels.

    Parameters
    ----------
    taps : one or more (n, d) arrays with the same n >= 1, finite.
    weights : (n,) positive row weights. Default: all 1. Rescaled to mean 1.
    """
    n = len(taps[0])
    w = np.ones(n) if weights is None else np.asarray(weights, np.float64) * (n / np.sum(weights))
    scalings = [_scaling(tap, w) for tap in taps]
    mean = np.concatenate([m for m, _ in scalings])
    gain = np.concatenate([g for _, g in scalings]) / np.sqrt(len(taps))
    dtype = np.result_type(*taps)
    if n <= len(mean):
        x = np.concatenate([x for _, x in _chunks(taps, mean, gain)])
        x *= np.sqrt(w)[:, None].astype(dtype)
        squares, vectors = np.linalg.eigh((x @ x.T).astype(np.float64))
        live = _live(squares, dtype)
        rows = vectors[:, live] * np.sqrt(squares[live]) / np.sqrt(w)[:, None]
    else:
        gram = np.zeros((len(mean), len(mean)))
        for part, x in _chunks(taps, mean, gain):
            gram += x.T @ (x * w[part, None].astype(dtype))
        squares, vectors = np.linalg.eigh(gram)
        live = _live(squares, dtype)
        axes = vectors[:, live].astype(dtype)
        rows = np.empty((n, axes.shape[1]), dtype)
        for part, x in _chunks(taps, mean, gain):
            np.matmul(x, axes, out=rows[part])
    return Basis(tuple(taps), w, mean, gain, np.ascontiguousarray(rows, dtype), squares[live])


def _live(squares: Array, dtype: Any) -> Array:
    return np.asarray(squares > max(float(squares[-1]), 1e-30) * 10 * np.finfo(dtype).eps)


def _scaling(tap: Array, w: Array) -> tuple[Array, Array]:
    total = w.sum()
    mean = sum((w[p] @ tap[p] for p in _parts(len(tap))), np.zeros(tap.shape[1])) / total
    square = sum((w[p] @ (tap[p] - mean) ** 2 for p in _parts(len(tap))), np.zeros(tap.shape[1])) / total
    deviation = np.sqrt(square)
    live = deviation > _FLAT * np.abs(mean) + np.finfo(np.float32).tiny
    if not live.any():
        return mean, np.zeros_like(mean)
    typical = np.sqrt(np.mean(deviation[live] ** 2))
    gain = np.where(live, 1 / np.maximum(deviation, _FLOOR * typical), 0)
    return mean, gain / np.sqrt(np.sum((gain * deviation) ** 2))


def _parts(n: int) -> Iterator[slice]:
    return (slice(start, min(start + _CHUNK, n)) for start in range(0, n, _CHUNK))


def _chunks(taps: Sequence[Array], mean: Array, gain: Array) -> Iterator[tuple[slice, Array]]:
    dtype = np.result_type(*taps)
    centre, factor = mean.astype(dtype), gain.astype(dtype)
    for part in _parts(len(taps[0])):
        x = np.concatenate([tap[part] for tap in taps], axis=1)
        x -= centre
        x *= factor
        yield part, x
