"""Finding the photos: a folder per class, train/ and test/ above such folders, or a manifest file."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from foveal.data.dataset import Dataset, Item, Refusal
from foveal.data.decode import EXTENSIONS
from foveal.data.manifest import SPLITS, read_manifest
from foveal.errors import DataError
from foveal.text import plural, printable

NOT_A_PHOTO = "not a photo"
"""How the reason of a refused file begins when its name says that it is no picture."""

_CLUTTER = {"__pycache__", "__macosx", "thumbs.db", "desktop.ini"}
_LAYOUT = "put the photos in one folder per class (photos/cat/1.jpg), or give a manifest (.csv, .tsv, .jsonl)"


def scan(path: Path, group_column: str | None = None) -> Dataset:
    """List the labelled photos under `path`; none of them is opened.

    Hidden files and folders, ``__pycache__``, ``__MACOSX`` and ``Thumbs.db`` are passed over. Links are followed, but
    no folder is read twice.

    Parameters
    ----------
    path : a folder per class (photos may lie deeper inside it), ``train/``, ``test/`` and perhaps ``val/`` above such
        folders, or a manifest (`foveal.data.manifest`).
    group_column : the manifest's column that becomes `Item.group`; default ``group``. Ignored where there is none.

    Raises
    ------
    DataError : no such path, not a manifest, a damaged manifest, or no photos in it. Too few photos or classes are left
        to `foveal.data.preflight`, since one class is enough to evaluate on.
    """
    path = Path(path)
    try:
        is_folder = path.is_dir()
        exists = is_folder or path.exists()
    except (OSError, ValueError) as error:
        raise DataError(f"{printable(path)}: cannot be looked at ({error}); check the path") from error
    if not exists:
        raise DataError(f"{printable(path)}: no such folder or manifest; check the path")
    return _scan_folder(path) if is_folder else read_manifest(path, group_column)


@dataclass
class _Walk:
    """What one walk over a folder has found so far."""

    items: list[Item] = field(default_factory=list)
    refused: list[Refusal] = field(default_factory=list)
    seen: set[tuple[int, int]] = field(default_factory=set)

    def refuse(self, path: str, reason: str) -> None:
        self.refused.append(Refusal(Path(path), reason))

    def entries(self, folder: str) -> list[os.DirEntry[str]]:
        """The visible entries of a folder in the order of their names; none where it was read before."""
        try:
            status = os.stat(folder)  # noqa: PTH116 - one Path object less for each folder
            if (status.st_dev, status.st_ino) in self.seen:
                self.refuse(folder, "a link to a folder that is read already")
                return []
            self.seen.add((status.st_dev, status.st_ino))
            with os.scandir(folder) as found:
                visible = [entry for entry in found if not _hidden(entry.name)]
        except OSError as error:
            self.refuse(folder, f"a folder that cannot be read ({error.strerror})")
            return []
        return sorted(visible, key=lambda entry: entry.name)

    def collect(self, tops: list[tuple[str, str, str | None]]) -> None:
        """Walk the class folders `tops` (folder, class, split): real folders first, so that links give way to them."""
        real, links = [top for top in reversed(tops) if not _linked(top[0])], [top for top in tops if _linked(top[0])]
        while real or links:
            folder, label, split = real.pop() if real else links.pop(0)
            for entry in self.entries(folder):
                if _is_folder(entry):
                    if _suffix(entry.name) in EXTENSIONS:
                        self.refuse(entry.path, "a folder, not a photo (photos inside it are used)")
                    (links if entry.is_symlink() else real).append((entry.path, label, split))
                elif self.is_photo(entry):
                    self.items.append(Item(Path(entry.path), label, split))

    def is_photo(self, entry: os.DirEntry[str]) -> bool:
        """Whether the entry is a picture file by its name; where it is not, it is set aside with the reason."""
        suffix = _suffix(entry.name)
        try:
            if suffix not in EXTENSIONS:
                self.refuse(entry.path, f"{NOT_A_PHOTO} ({printable(suffix, limit=20) or 'no suffix'})")
            elif entry.is_file():
                return True
            else:
                self.refuse(entry.path, "a link to nothing" if entry.is_symlink() else "not a regular file")
        except OSError as error:
            self.refuse(entry.path, f"cannot be looked at ({error.strerror})")
        return False


def _scan_folder(root: Path) -> Dataset:
    walk = _Walk()
    top = walk.entries(os.fspath(root))
    if walk.refused:
        raise DataError(f"{printable(root)}: {walk.refused[0].reason}; check its permissions")
    if not top:
        raise DataError(f"{printable(root)}: the folder is empty; {_LAYOUT}")
    folders = [entry for entry in top if _is_folder(entry)]
    strays = [entry for entry in top if not _is_folder(entry)]
    if not folders:
        photos = sum(_suffix(entry.name) in EXTENSIONS for entry in strays)
        if photos:
            raise DataError(f"{printable(root)}: {plural(photos, 'photo')} but no class folders; {_LAYOUT}")
        raise DataError(f"{printable(root)}: no photos and no class folders in it; {_LAYOUT}")
    splits = _splits(folders)
    tops: list[tuple[str, str, str | None]] = []
    if splits:
        for entry in folders:
            if entry.name not in splits:
                walk.refuse(entry.path, "a folder beside train/ and test/, so it belongs to no split")
                continue
            inner = walk.entries(entry.path)
            strays += [stray for stray in inner if not _is_folder(stray)]
            tops += [(one.path, one.name, splits[entry.name]) for one in inner if _is_folder(one)]
    else:
        tops = [(entry.path, entry.name, None) for entry in folders]
    walk.collect(tops)
    for stray in strays:
        if walk.is_photo(stray):
            walk.refuse(stray.path, "a photo beside the class folders, so it has no class")
    return _dataset(root, "splits" if splits else "folders", walk, tops)


def _dataset(root: Path, kind: str, walk: _Walk, tops: list[tuple[str, str, str | None]]) -> Dataset:
    if not walk.items:
        ignored = f" ({plural(len(walk.refused), 'other entry', 'other entries')})" if walk.refused else ""
        raise DataError(f"{printable(root)}: no photos in its {plural(len(tops), 'folder')}{ignored}; {_LAYOUT}")
    filled = {item.label for item in walk.items}
    # a folder called cat.jpg with no photos in it is an accident, not a class
    classes = {name for _, name, _ in tops if name in filled or _suffix(name) not in EXTENSIONS}
    for folder, name, _ in tops:
        if name not in classes:
            walk.refuse(folder, "a folder, not a photo")
    items = tuple(sorted(walk.items, key=lambda item: os.fspath(item.path)))
    refused = tuple(sorted(walk.refused, key=lambda refusal: os.fspath(refusal.path)))
    return Dataset(root, kind, items, tuple(sorted(classes)), refused)


def _splits(folders: list[os.DirEntry[str]]) -> dict[str, str]:
    """Folder name -> split, where the folders are splits and not classes; else nothing."""
    named = {entry.name: SPLITS[entry.name.lower()] for entry in folders if entry.name.lower() in SPLITS}
    held_out = "test" in named.values() or "val" in named.values()
    if not held_out or not any(named.get(entry.name) == "train" and _has_folders(entry.path) for entry in folders):
        return {}
    return named


def _has_folders(folder: str) -> bool:
    try:
        return any(_is_folder(entry) and not _hidden(entry.name) for entry in _listing(folder))
    except OSError:
        return False


def _listing(folder: str) -> Iterator[os.DirEntry[str]]:
    with os.scandir(folder) as found:
        yield from found


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that leads round in a circle
        return False


def _linked(folder: str) -> bool:
    return os.path.islink(folder)  # noqa: PTH114 - the walk works on strings for speed


def _hidden(name: str) -> bool:
    return name.startswith(".") or name.lower() in _CLUTTER


def _suffix(name: str) -> str:
    return os.path.splitext(name)[1].lower()  # noqa: PTH122 - called once per file; Path is ten times slower
