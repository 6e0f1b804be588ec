"""Ridge regression onto one-hot targets, with exact predictions for rows that were left out.

`targets` is (n, classes), one-hot; a prediction is a score per class, near 1 for the class meant. The intercept is not
penalised. With row weights w the objective is ``sum_i w_i |y_i - b - W x_i|^2 + penalty |W|^2`` over the standardised
rows of a `Basis`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from foveal.heads.basis import Basis

Array = NDArray[Any]


def one_hot(target: Array, classes: int, dtype: Any = np.float64) -> Array:
    """(n, classes) with a 1 at each row's class."""
    return np.asarray(np.asarray(target)[:, None] == np.arange(classes), dtype)


def fit(basis: Basis, targets: Array, penalty: float) -> tuple[Array, Array]:
    """Coefficients (r, classes) on `basis.rows` and intercept (classes,), in closed form."""
    return _solve(basis, targets, penalty), basis.weights @ targets / basis.weights.sum()


def _solve(basis: Basis, targets: Array, penalty: float) -> Array:
    weighted = (basis.weights[:, None] * targets).astype(basis.rows.dtype)
    return np.asarray((basis.rows.T @ weighted) / (basis.squares + penalty)[:, None], np.float64)


def leave_out(basis: Basis, targets: Array, penalties: Sequence[float], blocks: Sequence[Array]) -> Array:
    """What each row would be given by a head fitted without the row's whole block: exact, without refitting.

    The residuals of a block I left out are ``(1 - H_II)^-1 e_I`` with the hat matrix H and the residuals e of the one
    fit to all rows (Allen 1974, PRESS, for single rows; Cook & Weisberg 1982 for blocks). A block with more rows than
    the basis has axes is subtracted from the normal equations instead, which is the same and cheaper.

    Parameters
    ----------
    basis : of all n rows.
    targets : (n, classes).
    penalties : positive numbers.
    blocks : disjoint arrays of row indices, none of them all rows.

    Returns
    -------
    (penalties, n, classes) float64; NaN for rows in no block.
    """
    n, axes = basis.rows.shape
    result = np.full((len(penalties), n, targets.shape[1]), np.nan)
    small = [np.asarray(block) for block in blocks if len(block) <= max(axes, 1)]
    fits = [fit(basis, targets, penalty) for penalty in penalties if small]
    residuals = [targets - (basis.rows @ c.astype(basis.rows.dtype) + b) for c, b in fits]
    for size in sorted({len(block) for block in small}):
        index = np.stack([block for block in small if len(block) == size])
        for position, penalty in enumerate(penalties):
            left = _left_out(basis, residuals[position], penalty, index)
            result[position][index] = targets[index] - left
    for block in blocks:
        if len(block) > max(axes, 1):
            _downdate(basis, targets, penalties, np.asarray(block), result)
    return result


def _left_out(basis: Basis, residual: Array, penalty: float, index: Array) -> Array:
    """Residuals (blocks, size, classes) of blocks of one size, `index` (blocks, size), each left out in turn."""
    shrink = (1 / (basis.squares + penalty)).astype(basis.rows.dtype)
    total = basis.weights.sum()
    if index.shape[1] == 1:
        row = index[:, 0]
        hat = basis.weights[row] * (np.einsum("ij,ij,j->i", basis.rows[row], basis.rows[row], shrink) + 1 / total)
        return np.asarray(residual[index] / (1 - hat)[:, None, None])
    block = basis.rows[index]
    hat = (block * shrink) @ block.swapaxes(1, 2) + 1 / total
    hat = hat * basis.weights[index][:, None, :]
    return np.linalg.solve(np.eye(index.shape[1]) - hat, residual[index])


def _downdate(basis: Basis, targets: Array, penalties: Sequence[float], block: Array, result: Array) -> None:
    axes = basis.rows.shape[1]
    rows = np.column_stack([basis.rows[block], np.ones(len(block), basis.rows.dtype)])
    weighted = rows * basis.weights[block, None].astype(rows.dtype)
    normal = np.diag(np.append(basis.squares, basis.weights.sum())) - rows.T @ weighted
    whole = np.vstack([_solve(basis, targets, 0.0) * basis.squares[:, None], basis.weights @ targets])
    right = whole - weighted.T @ targets[block].astype(rows.dtype)
    for position, penalty in enumerate(penalties):
        ridge = np.append(np.full(axes, penalty), 0.0)
        solution = np.linalg.solve(normal + np.diag(ridge), right)
        result[position][block] = rows @ solution.astype(rows.dtype)
