"""Decoded pictures on the disk, so that photos are decoded once and sets larger than memory can be mapped.

A folder holds ``pixels-<sha8>.npy``, the pictures one after the other, and ``rows.json``, which says whose they are and
what their checksums are. The latter's rename is the commit. What is damaged counts as not there.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from foveal.errors import OutputError
from foveal.fetching import REMEDY
from foveal.files import PARTIAL, explain, write_atomic
from foveal.shapes import Shape

_MAIN = "rows.json"
_CHECKED = 64  # rows of a mapped file whose checksums are compared when it is opened


class DecodedPictures:
    """Rows by content hash. Use it while holding the lock of `folder` (`foveal.files.locked`).

    Parameters
    ----------
    folder : of these files and no others.
    shape : (channels, height, width) of every row.
    whole : compare the checksums of all rows, not of a few: for files that are read as a whole anyway.
    """

    def __init__(self, folder: Path, shape: Shape, *, whole: bool) -> None:
        self.folder, self.shape = folder, shape
        self.rows: tuple[str, ...] = ()
        self.x = np.empty((0, *shape), np.uint8)
        with contextlib.suppress(OSError, EOFError, ValueError, KeyError, TypeError, RecursionError):
            self._open(whole)

    def pictures(self) -> dict[str, np.ndarray]:
        """Content hash -> uint8 (channels, height, width)."""
        return dict(zip(self.rows, self.x, strict=True))

    def write(self, pictures: Mapping[str, np.ndarray], order: Sequence[str]) -> None:
        """Keep `pictures` in this order, instead of what was kept before.

        Raises
        ------
        OutputError : no space, or no permission; what was kept before still is.
        """
        name = f"pixels-{hashlib.sha256(''.join(order).encode()).hexdigest()[:8]}.npy"
        seals = self._write_pixels(self.folder / name, pictures, order)
        write_atomic(self.folder / _MAIN, json.dumps({"pixels": name, "rows": list(order), "seals": seals}))
        for other in self.folder.glob("pixels-*.npy"):
            if other.name != name:
                with contextlib.suppress(OSError):
                    other.unlink()
        self._open(whole=False)

    def _open(self, whole: bool) -> None:
        data = json.loads((self.folder / _MAIN).read_bytes())
        rows, seals = tuple(map(str, data["rows"])), data["seals"]
        x = np.load(self.folder / Path(data["pixels"]).name, mmap_mode="r", allow_pickle=False)
        if x.dtype != np.uint8 or x.shape != (len(rows), *self.shape) or len(seals) != len(rows):
            raise ValueError("other pictures than these")
        step = 1 if whole else max(1, len(rows) // _CHECKED)
        if any(zlib.crc32(x[i].data) != seals[i] for i in range(0, len(rows), step)):
            raise ValueError("damaged")
        self.rows, self.x = rows, np.asarray(x)

    def _write_pixels(self, path: Path, pictures: Mapping[str, np.ndarray], order: Sequence[str]) -> list[int]:
        """Row after row, so that a full disk is an error: it would kill a process that writes to a map."""
        partial = self.folder / f".{path.name}{PARTIAL}"
        head = {"descr": "|u1", "fortran_order": False, "shape": (len(order), *self.shape)}
        seals = []
        try:
            with partial.open("wb") as file:
                np.lib.format.write_array_header_1_0(file, head)
                for sha in order:
                    row = np.ascontiguousarray(pictures[sha]).data
                    seals.append(zlib.crc32(row))
                    file.write(row)
                file.flush()
                os.fsync(file.fileno())
            partial.replace(path)
        except OSError as error:
            raise OutputError(explain(path, error, REMEDY)) from error
        finally:
            partial.unlink(missing_ok=True)
        return seals


class Scratch:
    """Pictures while it is not known yet in which order they are wanted: in memory, or in a file.

    Parameters
    ----------
    folder : of the file, which is removed in the end; None keeps the pictures in memory.
    """

    def __init__(self, shape: Shape, folder: Path | None) -> None:
        self.shape, self._rows = shape, dict[str, np.ndarray | None]()
        self._path = folder / f".scratch{PARTIAL}" if folder else None

    def __enter__(self) -> Scratch:
        self._file = self._path.open("wb") if self._path else None
        return self

    def __exit__(self, *error: object) -> None:
        if self._path and self._file:
            self._file.close()
            self._path.unlink(missing_ok=True)

    def __setitem__(self, sha: str, pixels: np.ndarray) -> None:
        """Keep one picture, once; OutputError where the disk is full."""
        if sha in self._rows:
            return
        if self._path and self._file:
            try:
                self._file.write(np.ascontiguousarray(pixels).data)
            except OSError as error:
                raise OutputError(explain(self._path, error, REMEDY)) from error
        self._rows[sha] = None if self._file else pixels

    def pictures(self) -> dict[str, np.ndarray]:
        """Content hash -> uint8 (channels, height, width)."""
        if self._path and self._file and self._rows:
            self._file.flush()
            x = np.asarray(np.memmap(self._path, np.uint8, "r", shape=(len(self._rows), *self.shape)))
            return dict(zip(self._rows, x, strict=True))
        return {sha: pixels for sha, pixels in self._rows.items() if pixels is not None}
