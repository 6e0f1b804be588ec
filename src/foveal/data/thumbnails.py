"""Small JPEG pictures for reports: of a photo, and of what the network looked at in it."""

from __future__ import annotations

import base64
import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from foveal.colors import cividis

QUALITY = 80
"""JPEG quality of every thumbnail."""


def thumbnail(pixels: NDArray[np.uint8], side: int = 160) -> bytes:
    """A photo as a small JPEG without EXIF.

    Parameters
    ----------
    pixels : uint8, H x W x 3, RGB.
    side : longer side of the result in pixels; a smaller photo keeps its size.
    """
    return _jpeg(_small(pixels, side))


def overlay(pixels: NDArray[np.uint8], heat: NDArray[np.floating], side: int = 160) -> bytes:
    """A photo with a class activation map over it, as a small JPEG without EXIF.

    The photo is shown in grey. Evidence for the class is coloured in `foveal.colors.cividis`, from none (dark blue) to
    the strongest of this map (yellow); evidence against the class counts as none.

    Parameters
    ----------
    pixels : uint8, H x W x 3, RGB.
    heat : float, h x w of any size and sign, covering the whole photo; NaN and infinities count as 0.
    side : longer side of the result in pixels; a smaller photo keeps its size.
    """
    photo = _small(pixels, side)
    evidence = np.maximum(np.nan_to_num(heat, nan=0.0, posinf=0.0, neginf=0.0), 0).astype(np.float64)
    strength = (evidence / (evidence.max() or 1.0)).astype(np.float32)
    spread = np.asarray(Image.fromarray(strength).resize(photo.size, Image.Resampling.BILINEAR))
    return _jpeg(Image.blend(photo.convert("L").convert("RGB"), Image.fromarray(cividis(spread)), 0.5))


def data_uri(jpeg: bytes) -> str:
    """`jpeg` as a ``data:`` address, for the ``src`` of an HTML image."""
    return "data:image/jpeg;base64," + base64.b64encode(jpeg).decode("ascii")


def _small(pixels: NDArray[np.uint8], side: int) -> Image.Image:
    image = Image.fromarray(pixels)
    image.thumbnail((side, side), Image.Resampling.LANCZOS)
    return image


def _jpeg(image: Image.Image) -> bytes:
    file = io.BytesIO()
    image.save(file, "JPEG", quality=QUALITY, optimize=True)
    return file.getvalue()
