"""The plain records that the data package passes around."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Item:
    """One labelled photo as the folder or manifest names it; nothing has been read yet.

    Attributes
    ----------
    path : the file, absolute or relative to the working directory (never resolved through links).
    label : the class name.
    split : ``"train"``, ``"val"`` or ``"test"`` where the data says so, else None.
    group : the value of the manifest's group column, else None.
    """

    path: Path
    label: str
    split: str | None = None
    group: str | None = None


@dataclass(frozen=True)
class Refusal:
    """A file that was set aside, and why. Never deleted, never fatal."""

    path: Path
    reason: str


@dataclass(frozen=True)
class Dataset:
    """What a scan found.

    Attributes
    ----------
    root : the folder or manifest file.
    kind : ``"folders"`` (one per class), ``"splits"`` (train/ [val/] test/ above such folders) or ``"manifest"``.
    items : in a stable order (by path).
    classes : all class names in sorted order, empty classes included.
    refused : files named by the data that cannot be items (missing, not a file, a link loop); non-images in a class
        folder are counted here too.
    """

    root: Path
    kind: str
    items: tuple[Item, ...]
    classes: tuple[str, ...]
    refused: tuple[Refusal, ...] = ()


@dataclass(frozen=True)
class Photo:
    """An item whose file has been read.

    Attributes
    ----------
    sha256 : hash of the file's bytes, hexadecimal.
    width, height : of the original picture in pixels, after EXIF orientation.
    fingerprint : what `near_duplicates` compares (`foveal.data.hashing`).
    taken : EXIF camera and time, ``"Canon EOS|2020:05:17 10:00:03"``, or None.
    """

    item: Item
    sha256: str
    width: int
    height: int
    fingerprint: bytes
    taken: str | None = None
