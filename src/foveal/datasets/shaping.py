"""Pictures in the shape that a network takes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from foveal.data.preprocess import Preprocessing
from foveal.datasets.pictures import Pictures, PictureSet
from foveal.errors import UsageError
from foveal.shapes import Shape, text
from foveal.text import plural

_LEAST, _MOST = 8, 4096  # pixels a side; what `foveal.data.preprocess.Preprocessing` allows
_WIDEST = 1.25  # times the picture's side that a border may make of it: 28 pixels in 32 are well, 8 in 28 are lost


def check_input(input_shape: Shape) -> None:
    """UsageError where no picture becomes an input of this shape: it must be square, in grey or colour."""
    if len(input_shape) != 3 or input_shape[0] not in (1, 3) or not _LEAST <= input_shape[1] == input_shape[2] <= _MOST:
        raise UsageError(
            f"the network takes {text(input_shape)}; expected a square of {_LEAST} to {_MOST:,} pixels in 1 or 3 "
            "channels, which pictures can become; give the network another input"
        )


def shaped(data: PictureSet, input_shape: Shape) -> PictureSet:
    """`data` with pictures of `input_shape`: exactly what `Preprocessing` makes of them, so a bundle does the same.

    Grey becomes colour by repeating, colour grey by its luma (ITU-R 601). Grey pictures, which are drawn on black, get
    a black border where that makes them at most a quarter larger; all else is resized (bicubic).

    Raises
    ------
    UsageError : `input_shape` is not that of a picture (`check_input`).
    """
    check_input(input_shape)
    if data.shape == tuple(input_shape):
        return data
    channels, size, _ = input_shape
    border = _border(data.shape, size)
    preprocessing = Preprocessing(size=size, channels=channels, border=border)
    train, val, test = (
        Pictures(_converted(part.x, preprocessing), part.y) for part in (data.train, data.val, data.test)
    )
    framed = f"with a black border of {plural(border, 'pixel')}"
    how = framed if border else "resized" if size != data.shape[1] else "converted"
    note = f"pictures of {text(data.shape)} became {text(input_shape)}, {how}"
    return replace(data, train=train, val=val, test=test, border=border, notes=(*data.notes, note))


def _border(shape: Shape, size: int) -> int:
    grey, side = shape[0] == 1, shape[1]
    return (size - side) // 2 if grey and side < size <= _WIDEST * side and (size - side) % 2 == 0 else 0


def _converted(x: np.ndarray, preprocessing: Preprocessing) -> np.ndarray:
    """uint8 (n, channels, side, side) -> the same of the new shape; all pictures at once where none is resized."""
    if x.shape[1] > preprocessing.channels:
        x = _grey(x)
    if x.shape[2] != preprocessing.inner:
        x = _resized(x, preprocessing)
    border = (preprocessing.border,) * 2
    return np.pad(np.repeat(x, preprocessing.channels // x.shape[1], axis=1), ((0, 0), (0, 0), border, border))


def _grey(x: np.ndarray) -> np.ndarray:
    from PIL import Image

    n, _, height, width = x.shape
    if not n:
        return x[:, :1]
    below_each_other = Image.fromarray(np.ascontiguousarray(x.transpose(0, 2, 3, 1)).reshape(n * height, width, 3))
    return np.asarray(below_each_other.convert("L")).reshape(n, 1, height, width)


def _resized(x: np.ndarray, preprocessing: Preprocessing) -> np.ndarray:
    from PIL import Image

    side, filter = preprocessing.inner, Image.Resampling[preprocessing.interpolation.upper()]
    made = np.empty((*x.shape[:2], side, side), np.uint8)
    for target, plane in zip(made.reshape(-1, side, side), x.reshape(-1, *x.shape[2:]), strict=True):
        target[:] = Image.fromarray(plane).resize((side, side), filter)
    return made
