"""Rows by group: blocks to leave out, nested samples that keep groups whole and classes in proportion."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


def blocks(groups: Array) -> list[Array]:
    """The row indices of each group; groups are in sorted order."""
    _, code = np.unique(groups, return_inverse=True)
    order = np.argsort(code, kind="stable")
    return np.split(order, np.cumsum(np.bincount(code))[:-1])


def judged(target: Array, parts: Array) -> Array:
    """(n,) bool: whether the row's class is also found outside the row's part, so that leaving the part out is fair."""
    _, classes = np.unique(target, return_inverse=True)
    _, part = np.unique(parts, return_inverse=True)
    pair = classes * (part.max(initial=0) + 1) + part
    return np.asarray(np.bincount(classes)[classes] > np.bincount(pair)[pair])


def stratified_order(target: Array, groups: Array, rng: np.random.Generator) -> tuple[Array, Array]:
    """Rows in a random order whose every beginning has the classes in proportion.

    Returns
    -------
    rows : (n,) all row indices, groups in one piece; a group counts as the class of its first row.
    ends : (number of groups,) positions in `rows` after each whole group, ascending.
    """
    _, first, code = np.unique(groups, return_index=True, return_inverse=True)
    label = np.asarray(target)[first]
    shuffled = rng.permutation(len(first))
    key = np.empty(len(first))
    for value in np.unique(label):
        members = shuffled[label[shuffled] == value]
        key[members] = (np.arange(len(members)) + rng.random(len(members))) / len(members)
    rank = np.argsort(np.argsort(key, kind="stable"), kind="stable")
    rows = np.argsort(rank[code], kind="stable")
    return rows, np.cumsum(np.bincount(rank[code]))


def beginning(rows: Array, ends: Array, size: int) -> Array:
    """The first whole groups of a `stratified_order` that hold at least `size` rows (all of them if fewer)."""
    last = min(int(np.searchsorted(ends, size)), len(ends) - 1)
    return rows[: ends[last]]


def mean_and_error(values: Array, groups: Array) -> tuple[float, float]:
    """The mean of (n,) values and its standard error, rows of one group counted as dependent (cluster-robust)."""
    mean = float(values.mean())
    _, code = np.unique(groups, return_inverse=True)
    sums = np.bincount(code, values - mean)
    if len(sums) < 2:
        return mean, float("inf")
    return mean, float(np.sqrt((sums**2).sum() * len(sums) / (len(sums) - 1)) / len(values))
