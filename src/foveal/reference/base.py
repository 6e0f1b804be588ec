"""What the families share: the types of a pair, padding, and windows with their inverse.

Values are arrays (batch, C, spatial...) or (batch, F), as in PyTorch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import sliding_window_view

from foveal.shapes import Shape, Sides, Size, per_axis, window

Array = npt.NDArray[np.float64]
"""Of float64 unless the caller brings another float: what comes out is then of that."""

Arrays = Mapping[str, Array]
"""The arrays of one node by their short names: ``weight``, ``bias``, ``running_mean``..."""

Gradients = tuple[tuple[Array, ...], dict[str, Array]]
"""Of each input, and of each trained array by name."""


EVERY = (slice(None), slice(None))
"""The whole batch and all channels, as an index."""


class Pair(NamedTuple):
    """How an op computes, and how the gradient comes back through it.

    Attributes
    ----------
    forward : ``(op, arrays, *xs) -> y``.
    backward : ``(op, arrays, xs, y, gy) -> (gradients of xs, gradients of the trained arrays by name)``, where `gy` is
        the gradient of a number with respect to `y`.
    """

    forward: Callable[..., Array]
    backward: Callable[[Any, Arrays, tuple[Array, ...], Array, Array], Gradients]


def pad(x: Array, sides: Sequence[Sides], value: float = 0.0) -> Array:
    """`x` with cells of `value` before and after each spatial axis."""
    return np.pad(x, [(0, 0), (0, 0), *sides], constant_values=value)


def crop(x: Array, sides: Sequence[Sides]) -> Array:
    """`x` without as many cells before and after each spatial axis: the inverse of `pad`."""
    kept = (slice(before, n - after) for n, (before, after) in zip(x.shape[2:], sides, strict=True))
    return x[(*EVERY, *kept)]


def windows(x: Array, kernel: Size, stride: Size, dilation: Size = 1, *, writeable: bool = False) -> Array:
    """Every window of `x` as a view (batch, C, positions..., cells...): ``view[n, c, p, k] = x[n, c, s*p + d*k]``."""
    rank = x.ndim - 2
    kernels, strides, dilations = (per_axis(value, rank) for value in (kernel, stride, dilation))
    spans = tuple(map(window, kernels, dilations))
    view = sliding_window_view(x, spans, axis=tuple(range(2, x.ndim)), writeable=writeable)
    return view[(*EVERY, *(slice(None, None, step) for step in (*strides, *dilations)))]


def overlaid(cells: Array, spatial: Shape, stride: Size, dilation: Size = 1) -> Array:
    """The windows `cells` laid back where `windows` reads them in a map of `spatial` cells; where they overlap, added.

    The transpose of `windows`: ``x[n, c, q] = sum of cells[n, c, p, k] over all s*p + d*k = q``.
    """
    kernel = cells.shape[2 + len(spatial) :]
    x = np.zeros((*cells.shape[:2], *spatial), cells.dtype)
    view = windows(x, kernel, stride, dilation, writeable=True)
    for cell in np.ndindex(kernel):
        view[(..., *cell)] += cells[(..., *cell)]  # at one cell of the window no two positions meet
    return x


def by_channel(values: Array, x: Array) -> Array:
    """One value a channel, shaped to meet `x`."""
    return values.reshape(-1, *(1,) * (x.ndim - 2))


def over_channels(values: Array) -> Array:
    """`values` summed over the batch and all positions: one sum a channel."""
    return values.sum(axis=(0, *range(2, values.ndim)))
