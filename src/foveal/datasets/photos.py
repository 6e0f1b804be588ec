"""Photos for training from scratch: looked over, divided, decoded once to what the network takes.

They pass the same pre-flight and are divided by the same groups as in the main job. What makes a photo an input is
`Preprocessing`, which goes into the bundle, so that the classifier sees every photo as training did.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from foveal.data.dataset import Dataset, Photo
from foveal.data.groups import Grouping, group_photos
from foveal.data.hashing import find_duplicates
from foveal.data.parts import divide
from foveal.data.preflight import Finding, preflight, require_trainable
from foveal.data.scan import scan
from foveal.data.split import split
from foveal.datasets.pictures import PARTS, Pictures, PictureSet, check_validation
from foveal.datasets.reading import Observer, open_reader
from foveal.datasets.shaping import check_input
from foveal.errors import DataError, UsageError
from foveal.shapes import Shape
from foveal.text import plural, printable


def read_photos(
    path: str | Path,
    input_shape: Shape,
    *,
    test: float = 0.2,
    validation: float = 0.1,
    group_by: str | None = None,
    seed: int = 0,
    threads: int | None = None,
    cache: bool = True,
    observer: Observer | None = None,
) -> PictureSet:
    """Labelled photos as a training, a validation and a sealed test part.

    The central square of each is resized to the input's size and, where that has one channel, turned grey. A part that
    the data brings is kept; copies of a held-out photo are never trained on.

    Parameters
    ----------
    path : a folder per class, such folders under ``train/``, ``val/`` and ``test/``, or a manifest.
    input_shape : (1 or 3, size, size).
    test : share of the photos in the test part.
    validation : share of the others in the validation part; 0 leaves it empty.
    group_by : as for `foveal.data.groups.group_photos`.
    threads : photos are decoded in; one a core by default.
    cache : keep decoded photos for the next time, and map them where they are more than 1 GiB. Without it all are in
        memory, however many.
    observer : told ``progress`` and each ``finding``.

    Returns
    -------
    PictureSet
        Its `report` holds ``kind``, ``root``, ``grouped_by``, ``findings``, ``counts`` (part -> class -> photos),
        ``photos`` (part -> path and sha256 of each, in the order of its rows) and ``set_aside`` (paths).

    Raises
    ------
    DataError : the photos cannot be used; the message lists every reason.
    UsageError : shares or an input shape that make no sense.
    OutputError : they must be mapped, and the cache cannot be written.
    """
    check_input(input_shape)
    if not 0 < test < 1:
        raise UsageError(f"--test {test}: expected a share between 0 and 1, such as 0.2")
    check_validation(validation)
    dataset = scan(Path(path), group_by)
    with open_reader(dataset, input_shape, threads=threads, cache=cache, observer=observer) as reader:
        photos, refused = reader.photos()
        duplicates = find_duplicates(photos)
        grouping = group_photos(photos, dataset.root, group_by, duplicates)
        findings = preflight(dataset, photos, refused, duplicates=duplicates, grouped=grouping.by is not None)
        for finding in findings:
            reader.tell("finding", kind=finding.kind, severity=finding.severity, title=finding.title)
        require_trainable(findings)
        division = _divided(photos, grouping, test, validation, seed)
        order = [photos[row].sha256 for part in PARTS for row in division.rows[part]]
        x = reader.pixels(order, besides=(photos[row].sha256 for row in division.set_aside))
    ends = np.cumsum([len(division.rows[part]) for part in PARTS])
    train, val, held_out = (
        Pictures(pixels, division.labels[division.rows[part]])
        for part, pixels in zip(PARTS, np.split(x, ends[:-1]), strict=True)
    )
    return PictureSet(
        name=dataset.root.name,
        classes=division.classes,
        train=train,
        val=val,
        test=held_out,
        source=f"{plural(len(photos), 'photo')} in {printable(dataset.root)}",
        notes=(*division.notes, *reader.notes),
        report=_report(dataset, photos, findings, grouping, division),
    )


@dataclass(frozen=True)
class _Division:
    """Which photos are in which part; fields as in `foveal.data.parts.Parts`, and ``rows`` by the part's name."""

    classes: tuple[str, ...]
    labels: np.ndarray
    rows: dict[str, np.ndarray]
    set_aside: np.ndarray
    notes: tuple[str, ...]


def _divided(photos: Sequence[Photo], grouping: Grouping, test: float, validation: float, seed: int) -> _Division:
    """The test part as the main job seals it; of the rest, the validation part that the data brings, or one drawn."""
    splits = np.array([photo.item.split or "" for photo in photos])
    brings_val = {"test", "val"} <= set(splits)  # val alone is the test part
    parts = divide([_learnt(photo) if brings_val else photo for photo in photos], grouping, test=test, seed=seed)
    notes = [note for note in parts.notes if note not in parts.folds.notes]
    train, val, copies = parts.train, parts.train[:0], parts.train[:0]
    if brings_val:
        is_val = splits[train] == "val"
        train, val = train[~is_val], train[is_val]
        shared = np.isin(grouping.copies[train], grouping.copies[val])
        train, copies = train[~shared], train[shared]
        if len(copies):
            notes.append(f"{plural(len(copies), 'training photo')} set aside, since the validation part has a copy")
    elif validation:
        rest = Grouping(grouping.ids[train], grouping.copies[train], None, ())
        try:
            drawn = split(parts.labels[train], rest, parts.classes, test=validation, seed=seed)
            train, val = train[drawn.train], train[drawn.test]
        except DataError:
            notes.append("no validation part, since every class needs two groups of photos to train on")
    rows = dict(zip(PARTS, (train, val, parts.test), strict=True))
    return _Division(parts.classes, parts.labels, rows, np.union1d(parts.set_aside, copies), tuple(notes))


def _learnt(photo: Photo) -> Photo:
    """`photo`, as one of the training part where it is of the validation part."""
    return replace(photo, item=replace(photo.item, split="train")) if photo.item.split == "val" else photo


def _report(
    dataset: Dataset, photos: Sequence[Photo], findings: Sequence[Finding], grouping: Grouping, division: _Division
) -> dict[str, Any]:
    return {
        "kind": dataset.kind,
        "root": str(dataset.root),
        "grouped_by": grouping.by,
        "findings": [finding.to_json() for finding in findings],
        "counts": {
            part: dict(Counter(division.classes[label] for label in division.labels[rows]))
            for part, rows in division.rows.items()
        },
        "photos": {
            part: [{"path": str(photos[row].item.path), "sha256": photos[row].sha256} for row in rows]
            for part, rows in division.rows.items()
        },
        "set_aside": [str(photos[row].item.path) for row in division.set_aside],
    }
