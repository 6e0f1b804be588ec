"""The colours of numbers. The function that colours the pixels also colours their legend.

Magnitudes (class maps, counts) are cividis; signed values are one of two diverging scales, symmetric about zero:
``signals`` for signals and gradients, ``parameters`` for parameters. All of them stay apart for the colour-blind.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

SCALES = {
    "signals": ("#b5500b", "#f7f7f7", "#1668b0"),
    "parameters": ("#8a2be2", "#f7f7f7", "#2f7d20"),
}
"""Colours of -1, 0 and 1 on each diverging scale; values between are interpolated linearly in sRGB."""

# Where (of 255) cividis bends, and its colours there (Nunez, Anderton, Renslow 2018); within 2/255 in between.
_CIVIDIS_AT = (0, 19, 23, 28, 34, 52, 84, 126, 147, 179, 205, 232, 243, 251, 255)
_CIVIDIS = (
    "#00224e #00306f #013271 #123570 #1e3a6f #36466c #565c6d #7b7a78 "
    "#8f8a78 #aea371 #c9b965 #e7d150 #f3db42 #fde334 #fee838"
).split()


def cividis(values: ArrayLike) -> NDArray[np.uint8]:
    """Colours of magnitudes.

    Parameters
    ----------
    values : any shape, in [0, 1]; others are clipped, NaN counts as 0.

    Returns
    -------
    uint8 array of shape ``values.shape + (3,)``, RGB, from dark blue (0) to yellow (1).
    """
    return _interpolate(np.nan_to_num(np.asarray(values, np.float64)), [at / 255 for at in _CIVIDIS_AT], _CIVIDIS)


def diverging(values: ArrayLike, scale: Literal["signals", "parameters"]) -> NDArray[np.uint8]:
    """Colours of signed values.

    Parameters
    ----------
    values : any shape, in [-1, 1]; others are clipped, NaN counts as 0.
    scale : ``"signals"`` or ``"parameters"``, see `SCALES`.

    Returns
    -------
    uint8 array of shape ``values.shape + (3,)``, RGB.
    """
    return _interpolate(np.nan_to_num(np.asarray(values, np.float64)), [-1.0, 0.0, 1.0], SCALES[scale])


def _interpolate(
    values: NDArray[np.float64], at: list[float], colours: list[str] | tuple[str, ...]
) -> NDArray[np.uint8]:
    table = np.array([list(bytes.fromhex(colour[1:])) for colour in colours], np.float64)
    channels = [np.interp(values, at, table[:, channel]) for channel in range(3)]
    return np.rint(np.stack(channels, -1)).astype(np.uint8)
