"""Whatever can be trained on, by name or by path, in the shape of the network's input."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from foveal.datasets.pictures import PictureSet
from foveal.datasets.registry import DATASETS, load_dataset
from foveal.datasets.shaping import check_input, shaped
from foveal.errors import UnknownName
from foveal.shapes import Shape

if TYPE_CHECKING:
    from foveal.datasets.reading import Observer


def load(
    data: str | Path,
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
    """A known dataset, or photos.

    Parameters
    ----------
    data : a name of `DATASETS` (a folder of that name is ``./NAME``), else what `foveal.datasets.photos.read_photos`
        takes.
    input_shape : (1 or 3, size, size).
    test, group_by, threads, cache : of photos; the parts of a known dataset are its publisher's.
    validation, seed : share of what is not for testing, and what it is drawn by.
    observer : told ``progress`` and ``finding`` of photos, ``fetch`` (bytes done and in all) of files that are fetched.

    Raises
    ------
    UnknownName : neither a known dataset nor a path.
    DataError, UsageError, OutputError, MissingExtra : as `load_dataset` and `read_photos`.
    """
    check_input(input_shape)
    if data in DATASETS:

        def fetched(done: int, total: int) -> None:
            if observer:
                observer("fetch", {"done": done, "total": total})

        return shaped(load_dataset(str(data), seed=seed, validation=validation, progress=fetched), input_shape)
    if isinstance(data, str) and not os.path.lexists(data) and Path(data).name == data and not Path(data).suffix:
        raise UnknownName("dataset", data, DATASETS)
    from foveal.datasets.photos import read_photos

    return read_photos(
        data, input_shape, test=test, validation=validation, group_by=group_by, seed=seed, threads=threads,
        cache=cache, observer=observer,
    )  # fmt: skip
