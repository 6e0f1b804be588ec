"""What filters and pooling share: pictures as channels, worked on in bands of rows, and shown side by side."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from foveal.reference.base import Array
from foveal.shapes import Shape, output_size

Pixels = npt.NDArray[np.uint8]
"""(height, width, 3), or (height, width) of a grey picture."""

_CELLS = 2**22  # values of all windows of a band, at most: 32 MiB
_GAP = 12  # pixels between before and after


@dataclass(frozen=True)
class Range:
    """How values became the pixels 0..255.

    Attributes
    ----------
    low, high : the least and the largest value.
    scale : None where they are shown as they are; else what is white, 0 being the middle grey 128.
    clipped : the share of the values beyond black or white.
    """

    low: float
    high: float
    scale: float | None
    clipped: float


def grey_if_grey(pixels: Pixels) -> Pixels:
    """(height, width) where the three channels of a picture are equal; else `pixels` as they are."""
    if pixels.ndim == 3 and (pixels == pixels[..., :1]).all():
        return np.ascontiguousarray(pixels[..., 0])
    return pixels


def as_channels(pixels: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """(channels, 1, height, width): each channel an image of the batch, so that one filter works on each."""
    return pixels[None, None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1)[:, None]


def from_channels(x: Array) -> Array:
    """The inverse of `as_channels`."""
    return x[0, 0] if len(x) == 1 else x[:, 0].transpose(1, 2, 0)


def in_bands(x: npt.NDArray[Any], kernel: Shape, stride: Shape, work: Callable[[Array], Array]) -> Array:
    """`work` on `x` in bands of rows, so that the windows of a large picture need little memory.

    Parameters
    ----------
    x : (batch, 1, height, width), padded already.
    kernel, stride : of the windows that `work` slides over what it is given, in float64.

    Raises
    ------
    ShapeError : the windows do not fit.
    """
    height, width = (output_size(n, k, s) for n, k, s in zip(x.shape[2:], kernel, stride, strict=True))
    y = np.empty((len(x), 1, height, width))
    rows = max(1, _CELLS // (len(x) * width * kernel[0] * kernel[1]))
    for top in range(0, height, rows):
        bottom = min(top + rows, height)
        band = x[:, :, top * stride[0] : (bottom - 1) * stride[0] + kernel[0]]
        y[:, :, top:bottom] = work(band.astype(np.float64))
    return y


def drawn(values: Array, *, signed: bool) -> tuple[Pixels, Range]:
    """`values` as pixels, and what that meant.

    They are rounded and clipped to 0..255; if `signed`, 0 becomes middle grey, and the scale is such that all but the
    largest hundredth of the values fits.
    """
    low, high = float(values.min()), float(values.max())
    if not signed:
        clipped = float(((values < 0) | (values > 255)).mean())
        return np.rint(np.clip(values, 0, 255)).astype(np.uint8), Range(low, high, None, clipped)
    size = np.abs(values)
    scale = float(np.quantile(size, 0.99)) or max(-low, high) or 1.0
    pixels = np.rint(128 + np.clip(values * (127 / scale), -127, 127)).astype(np.uint8)
    return pixels, Range(low, high, scale, float((size > scale).mean()))


def enlargement(before: Pixels, after: Pixels) -> int:
    """How often each pixel of `after` is repeated, both ways, to come near the size of `before`."""
    return max(1, min(int(n) // int(m) for n, m in zip(before.shape[:2], after.shape[:2], strict=True)))


def side_by_side(before: Pixels, after: Pixels) -> Pixels:
    """Both pictures on white, aligned at the top, `after` by its `enlargement`."""
    factor = enlargement(before, after)
    after = after.repeat(factor, 0).repeat(factor, 1)
    height, start = max(len(before), len(after)), before.shape[1] + _GAP
    shape = (height, start + after.shape[1], *before.shape[2:])
    canvas = np.full(shape, 255, np.uint8)
    canvas[: len(before), : before.shape[1]] = before
    canvas[: len(after), start:] = after
    return canvas
