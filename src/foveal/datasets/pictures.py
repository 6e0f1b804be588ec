"""Labelled pictures as arrays, in three parts: what a network is trained on from scratch."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from foveal.data.preprocess import Preprocessing
from foveal.errors import DataError, UsageError
from foveal.shapes import Shape
from foveal.text import plural, printable

PARTS = ("train", "val", "test")
_PIECE = 1 << 24  # bytes looked at at a time, so that a mapped file is never in memory as a whole


def check_validation(share: float) -> None:
    """UsageError where `share` is none that a validation part can have."""
    if not 0 <= share < 1:
        raise UsageError(f"--validation {share}: expected a share from 0 to below 1, such as 0.1")


@dataclass(frozen=True, eq=False)
class Pictures:
    """Pictures of one size and their classes.

    Attributes
    ----------
    x : uint8 (n, channels, height, width); may be a read-only map of a file.
    y : int64 (n,), indices into the classes.
    """

    x: np.ndarray
    y: np.ndarray

    def __len__(self) -> int:
        return len(self.y)

    def __getitem__(self, rows: slice | np.ndarray) -> Pictures:
        return Pictures(self.x[rows], self.y[rows])

    def pieces(self) -> Iterator[np.ndarray]:
        """`x` in pieces of a few megabytes, in order."""
        step = max(1, _PIECE // max(1, self.x[:1].nbytes))
        return (self.x[i : i + step] for i in range(0, len(self), step))


@dataclass(frozen=True, eq=False)
class PictureSet:
    """A dataset, divided.

    Attributes
    ----------
    name : what it was asked for by.
    classes : names in the order of the labels.
    train, val, test : of one shape; `val` and `test` may be empty.
    source : where it came from, one line.
    border : background that `foveal.datasets.shaping.shaped` left around, in pixels.
    notes : sentences about what was done.
    report : of photos, what `foveal.datasets.photos` found, as plain data.

    Raises
    ------
    DataError : parts that do not fit together, labels without a class, or training pictures of fewer than two classes.
    """

    name: str
    classes: tuple[str, ...]
    train: Pictures
    val: Pictures
    test: Pictures
    source: str
    border: int = 0
    notes: tuple[str, ...] = ()
    report: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for part in PARTS:
            self._check(part, getattr(self, part))
        present = np.unique(self.train.y)
        if len(present) < 2:
            only = f" of one class, {printable(self.classes[present[0]])}" if len(present) else ""
            raise DataError(
                f"{printable(self.name)}: {plural(len(self.train), 'training picture')}{only}; a classifier needs "
                "pictures of two classes or more"
            )

    def _check(self, part: str, pictures: Pictures) -> None:
        x, y = pictures.x, pictures.y
        where = f"{printable(self.name)}, {part} part"
        if x.dtype != np.uint8 or x.ndim != 4 or y.dtype != np.int64 or y.ndim != 1:
            raise DataError(
                f"{where}: pictures {x.dtype} {x.shape} and labels {y.dtype} {y.shape}; expected uint8 (n, channels, "
                "height, width) and int64 (n,)"
            )
        if x.shape[1:] != self.train.x.shape[1:]:
            raise DataError(f"{where}: pictures of {x.shape[1:]}, but those to train on are {self.train.x.shape[1:]}")
        if len(x) != len(y):
            raise DataError(f"{where}: {plural(len(x), 'picture')} but {plural(len(y), 'label')}")
        if len(y) and not 0 <= y.min() <= y.max() < len(self.classes):
            raise DataError(f"{where}: labels from {y.min()} to {y.max()}, but there are {len(self.classes)} classes")

    @property
    def shape(self) -> Shape:
        """(channels, height, width) of every picture."""
        return tuple(self.train.x.shape[1:])

    @property
    def mean(self) -> tuple[float, ...]:
        """Of each channel over the training pictures, 0..255."""
        return self._moments[0]

    @property
    def std(self) -> tuple[float, ...]:
        """Standard deviation of each channel over the training pictures; 1 where that is less."""
        return self._moments[1]

    @cached_property
    def _moments(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Exact, since the values are counted: there are only 256."""
        counts = np.zeros((self.shape[0], 256), np.int64)
        for piece in self.train.pieces():
            for channel, count in enumerate(counts):
                count += np.bincount(piece[:, channel].ravel(), minlength=256)
        values = np.arange(256.0)
        mean = counts @ values / counts.sum(axis=1)
        variance = (counts * (values - mean[:, None]) ** 2).sum(axis=1) / counts.sum(axis=1)
        return tuple(mean.tolist()), tuple(np.sqrt(variance).clip(1.0).tolist())

    @property
    def preprocessing(self) -> Preprocessing:
        """What makes any picture an input like these: their shape, then ``(x - mean) / std`` in float32."""
        channels, size, _ = self.shape
        return Preprocessing(size=size, mean=self.mean, std=self.std, channels=channels, border=self.border)

    @cached_property
    def digest(self) -> str:
        """SHA-256 over classes, labels and pictures of all parts."""
        total = hashlib.sha256(repr((self.classes, self.shape)).encode())
        for part in (self.train, self.val, self.test):
            total.update(len(part).to_bytes(8, "little") + part.y.astype("<i8").tobytes())
            for piece in part.pieces():
                total.update(np.ascontiguousarray(piece).data)
        return total.hexdigest()
