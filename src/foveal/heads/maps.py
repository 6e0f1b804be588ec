"""Class activation maps, exact for a linear head on pooled features; Zhou et al. (2016), arXiv:1512.04150, equation 2.

A logit is a weighted sum of averages over positions, so the same weights on the maps before averaging say how much each
position contributed: the mean of the map is the logit without its bias.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def class_map(maps: Sequence[np.ndarray], weight: np.ndarray) -> np.ndarray:
    """Contribution of each position to one class's logit.

    Parameters
    ----------
    maps : the feature levels of one photo, each (C, h, w), in the order in which the head joins them.
    weight : (sum of C,), the class's row of the dense layer.

    Returns
    -------
    numpy.ndarray
        float (H, W) of the finest level; its mean is the logit less the bias.
    """
    finest = max(level.shape[1] for level in maps), max(level.shape[2] for level in maps)
    total = np.zeros(finest)
    start = 0
    for level in maps:
        channels, height, width = level.shape
        contribution = np.tensordot(weight[start : start + channels], level, axes=1)
        total += _overlap(finest[0], height) @ contribution @ _overlap(finest[1], width).T
        start += channels
    return total


def _overlap(fine: int, coarse: int) -> np.ndarray:
    """(fine, coarse): how much of each of `fine` equal cells of a line lies in each of `coarse` ones.

    What is spread so keeps its mean, whether the one number divides the other or not.
    """
    i, j = np.arange(fine)[:, None] * coarse, np.arange(coarse) * fine  # first edges, in units in which all are whole
    shared: np.ndarray = np.minimum(i + coarse, j + fine) - np.maximum(i, j)
    return shared.clip(min=0) / coarse
