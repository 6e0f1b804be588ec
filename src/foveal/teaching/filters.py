"""The lectures' filters on any picture: one small kernel slid over each channel."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from foveal.errors import ShapeError, UnknownName, UsageError
from foveal.reference.base import Array, pad
from foveal.reference.linear import correlate
from foveal.shapes import Padding, Size, per_axis, resolve_padding
from foveal.teaching.matrices import matrix_lines, number, read_matrix
from foveal.teaching.pictures import Pixels, Range, as_channels, drawn, from_channels, in_bands

KERNELS: dict[str, Array] = {
    "blur": np.array([[1, 2, 1], [2, 4, 2], [1, 2, 1]]) / 16,
    "sharpen": np.array([[0, -1, 0], [-1, 20, -1], [0, -1, 0]]) / 16,
    "vertical": np.array([[-3.0, 0, 3], [-6, 0, 6], [-3, 0, 3]]),
    "horizontal": np.array([[-3.0, -6, -3], [0, 0, 0], [3, 6, 3]]),
    "edges": np.array([[-1.0, -1, -1], [-1, 8, -1], [-1, -1, -1]]),
}
"""Blur and sharpen keep the brightness: they are divided by their sums, 16. The others find vertical and horizontal
lines and edges of any direction; they sum to 0, so that flat areas become 0. ``edges`` is 9 times what the mean of
3 x 3 cells takes away."""

MOST = 31
"""Rows and columns of a kernel, at most."""


def read_kernel(said: str) -> Array:
    """A kernel of `KERNELS` by name, or one as `foveal.teaching.matrices.read_matrix` reads it.

    Raises
    ------
    UnknownName : neither a name, nor JSON, nor a file. UsageError : more than `MOST` rows or columns. Others as there.
    """
    if said in KERNELS:
        return KERNELS[said]
    if not said.lstrip().startswith("[") and not _exists(said):
        raise UnknownName("kernel", said[:80], [*KERNELS, '"[[...]]"', "a file"])
    kernel = read_matrix(said)
    if max(kernel.shape) > MOST:
        raise UsageError(f"a kernel of {kernel.shape[0]} x {kernel.shape[1]}; expected at most {MOST} x {MOST}")
    return kernel


def filter_values(pixels: npt.NDArray[Any], kernel: Array, stride: Size = 1, padding: Padding = 0) -> Array:
    """Every channel of a picture under `kernel`: cross-correlation, which does not turn the kernel, as in networks.

    Parameters
    ----------
    pixels : (height, width) or (height, width, channels), any numbers.
    kernel : (rows, columns).
    padding : of zeros; a number, one per axis, or ``"same"``.

    Returns
    -------
    float64 (height, width) or (height, width, channels), not rounded and not clipped.

    Raises
    ------
    ShapeError : the kernel does not fit the picture; or it is no matrix.

    >>> filter_values(np.array([[1.0, 2, 3]]), np.array([[-1.0, 1]]))
    array([[1., 1.]])
    """
    if kernel.ndim != 2:
        raise ShapeError(f"a kernel of the shape {kernel.shape}; expected (rows, columns)")
    x, steps = as_channels(pixels), per_axis(stride, 2)
    rows, columns = kernel.shape
    padded = pad(x, resolve_padding(padding, x.shape[2:], (rows, columns), steps))
    weight = kernel[None, None].astype(np.float64)
    return from_channels(in_bands(padded, (rows, columns), steps, lambda band: correlate(band, weight, steps)))


def filter_picture(pixels: Pixels, kernel: Array, stride: Size = 1, padding: Padding = 0) -> tuple[Pixels, Range]:
    """`filter_values` as a picture, and how its values are shown.

    A kernel whose sum is above 0 gives brightness, which is clipped to 0..255; any other gives signed differences,
    which are shown about middle grey.
    """
    return drawn(filter_values(pixels, kernel, stride, padding), signed=float(kernel.sum()) <= 1e-9)


def filter_lines(before: Pixels, after: Pixels, kernel: Array, shown: Range) -> Iterator[str]:
    """The kernel, the sizes, and how the values are shown, a line each."""
    total = float(kernel.sum())
    yield f"kernel, sum {number(total)}, slid over each channel without being turned (cross-correlation):"
    yield from matrix_lines(kernel)
    yield f"{_size(before)} -> {_size(after)}, values from {number(shown.low)} to {number(shown.high)}"
    clipped = f"{100 * shown.clipped:.3g} % of them clipped"
    if shown.scale is not None:
        edge = number(shown.scale)
        yield f"shown about middle grey: 0 is the grey 128, {edge} white (255), -{edge} black (1); {clipped}"
        return
    yield f"shown as they are, rounded, {clipped} to 0..255"
    if total > 1 + 1e-9:
        yield f"it makes a picture {number(total)} times as bright; divided by that, its sum, it keeps the brightness"


def _exists(path: str) -> bool:
    try:
        return Path(path).exists()
    except (OSError, ValueError):  # too long a name, a null byte
        return False


def _size(pixels: Pixels) -> str:
    return f"{pixels.shape[1]} x {pixels.shape[0]} pixels, {'colour' if pixels.ndim == 3 else 'grey'}"
