"""Which photos belong together, so that none of a group is trained on while another is tested on."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from foveal.data.dataset import Photo
from foveal.data.hashing import Duplicates, find_duplicates
from foveal.data.manifest import columns
from foveal.errors import DataError, UsageError
from foveal.text import plural, printable

_BURST_SECONDS = 10.0


@dataclass(frozen=True)
class Grouping:
    """Groups of photos.

    Attributes
    ----------
    ids : (n,) the group of each photo, 0 .. count - 1, numbered by first appearance.
    copies : (n,) the same, for duplicates alone (exact and near): what must never be in both train and test.
    by : what made the groups beyond duplicates, e.g. ``"the parent folder"``, or None where nothing did.
    notes : sentences about what was done.
    """

    ids: NDArray[np.int64]
    copies: NDArray[np.int64]
    by: str | None
    notes: tuple[str, ...]

    @property
    def count(self) -> int:
        return int(self.ids.max()) + 1 if len(self.ids) else 0


def group_photos(
    photos: Sequence[Photo], root: Path, group_by: str | None = None, duplicates: Duplicates | None = None
) -> Grouping:
    """Group photos of one object; exact and near duplicates always share a group.

    A group may span classes: equal keys are one group wherever they occur.

    Parameters
    ----------
    photos : the photos that were read.
    root : the folder or manifest file they came from (`Dataset.root`).
    group_by : ``"parent"`` (the folder that directly holds the file), ``"exif"`` (a burst: same camera, at most 10 s
        after the previous photo), the name of a manifest column, or a regular expression searched in the path below
        `root` (with ``/``), whose captured groups, or whole match, are the key. None uses the manifest's ``group``
        column where it has one.
    duplicates : as `find_duplicates` gives them; found here if absent.

    Raises
    ------
    UsageError : the regular expression does not compile.
    DataError : no photo has a key, or a photo lies directly in its class folder with ``"parent"``.
    """
    duplicates = find_duplicates(photos) if duplicates is None else duplicates
    copies = duplicates.ids(len(photos))
    keys, by = _keys(photos, root, group_by) if photos else ((), None)
    notes: list[str] = []
    ids = copies
    if by is not None:
        ids = _joined(copies, keys)
        without = sum(key is None for key in keys)
        notes.append(f"photos are grouped by {by}: {plural(len(set(ids)), 'group')} of {plural(len(photos), 'photo')}")
        if without:
            notes.append(f"{plural(without, 'photo')} without a key for {by} count as groups of their own")
    together = int(np.sum(np.bincount(copies)[copies] > 1)) if len(copies) else 0
    if together:
        notes.append(f"{plural(together, 'photo')} with exact or near duplicates stay together with them")
    return Grouping(ids, copies, by, tuple(notes))


def _keys(photos: Sequence[Photo], root: Path, group_by: str | None) -> tuple[Sequence[object], str | None]:
    """One key per photo (None: a group of its own), and what the keys are."""
    from_file = root.is_file()
    if group_by is None or (from_file and group_by in columns(root)):
        keys = [photo.item.group for photo in photos]
        if not any(keys) and group_by is None:
            return keys, None
        name = "group" if group_by is None else group_by
        return _checked(keys, f"the manifest's column {printable(name)!r}", "fill it in, or leave --group-by out")
    if group_by == "parent":
        return [_parent(photo, root, from_file) for photo in photos], "the parent folder"
    if group_by == "exif":
        return _checked(_bursts(photos), "EXIF time", "no photo carries a camera time; group by parent or by a pattern")
    known = f" (the manifest's columns: {printable(', '.join(sorted(columns(root))))})" if from_file else ""
    hint = "it is searched in the path below the data folder, e.g. cat/object1/3.jpg; to group by folder use parent"
    base = root.parent if from_file else root
    return _checked(_matches(photos, base, group_by), f"the pattern {printable(group_by)!r}", hint + known)


def _checked(keys: Sequence[object], by: str, hint: str) -> tuple[Sequence[object], str]:
    if not any(key is not None for key in keys):
        raise DataError(f"--group-by: {by} gives no photo a group; {hint}")
    return keys, by


def _parent(photo: Photo, root: Path, from_file: bool) -> str:
    path, label = photo.item.path, photo.item.label
    depth = 2 if photo.item.split else 1  # train/cat/1.jpg, or cat/1.jpg
    if not from_file and path.is_relative_to(root) and len(path.relative_to(root).parts) == depth + 1:
        raise DataError(
            f"--group-by parent: {printable(path)} lies directly in its class folder, so all of {printable(label)} "
            "would be one group; use a folder per object (cat/object1/1.jpg), or group by exif or by a pattern"
        )
    return str(path.parent)


def _matches(photos: Sequence[Photo], base: Path, pattern: str) -> list[object]:
    try:
        search = re.compile(pattern).search
    except re.error as error:
        raise UsageError(
            f"--group-by: {printable(pattern)!r} is not a regular expression: {error.msg} at position {error.pos}; "
            "expected parent, exif, a manifest column or a regular expression"
        ) from error
    keys: list[object] = []
    for photo in photos:
        path = photo.item.path
        found = search((path.relative_to(base) if path.is_relative_to(base) else path).as_posix())
        keys.append((found.groups() or found.group()) if found and found.group() else None)
    return keys


def _bursts(photos: Sequence[Photo]) -> list[object]:
    taken = sorted((*when, index) for index, photo in enumerate(photos) if (when := _time(photo.taken)))
    keys: list[object] = [None] * len(photos)
    burst, last = -1, ("", datetime.min)
    for camera, time, index in taken:
        if burst < 0 or camera != last[0] or (time - last[1]).total_seconds() > _BURST_SECONDS:
            burst += 1
        keys[index], last = burst, (camera, time)
    return keys


def _time(taken: str | None) -> tuple[str, datetime] | None:
    camera, _, text = (taken or "").rpartition("|")
    try:
        return camera, datetime.strptime(text, "%Y:%m:%d %H:%M:%S")
    except ValueError:
        return None


def _joined(copies: NDArray[np.int64], keys: Sequence[object]) -> NDArray[np.int64]:
    """The components that duplicates and keys make together, numbered by first appearance."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    numbers: dict[object, int] = {}
    start = len(copies)  # nodes: sets of copies, then keys
    key = [
        start + numbers.setdefault(("own", i) if k is None else ("key", k), len(numbers)) for i, k in enumerate(keys)
    ]
    size = start + len(numbers)
    edges = coo_array((np.ones(len(key), np.int8), (copies, np.array(key, np.int64))), shape=(size, size))
    component = connected_components(edges, directed=False)[1][copies]
    first, inverse = np.unique(component, return_index=True, return_inverse=True)[1:]
    ids: NDArray[np.int64] = np.argsort(np.argsort(first))[inverse].astype(np.int64)
    return ids
