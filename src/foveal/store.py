"""The cache of what has been computed from photos: one SQLite file, keyed by content, safe to kill and to lose."""

from __future__ import annotations

import contextlib
import sqlite3
import threading
import time
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from foveal.text import printable

_SCHEMA = """
CREATE TABLE IF NOT EXISTS pictures (
    sha256 TEXT, decoder TEXT, width INTEGER, height INTEGER, fingerprint BLOB, taken TEXT, seal INTEGER,
    PRIMARY KEY (sha256, decoder)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS features (
    sha256 TEXT, recipe TEXT, vector BLOB, seal INTEGER, PRIMARY KEY (sha256, recipe)
) WITHOUT ROWID;
"""
_PATIENCE = 10.0  # seconds to wait for another process that is writing
_NOT_DAMAGE = ("locked", "full", "readonly", "unable to open", "disk I/O")  # in SQLite's messages: not the file's fault


@dataclass(frozen=True)
class Picture:
    """What decoding told of a file's content. Fields as in `foveal.data.dataset.Photo`."""

    width: int
    height: int
    fingerprint: bytes
    taken: str | None


class Store:
    """Pictures and feature vectors by content hash.

    Parameters
    ----------
    path : the SQLite file, made with its folder; None keeps everything in memory.

    A file that SQLite cannot make sense of is removed and begun anew; a place that cannot be written is done without.
    Either is told in `note`. SQLite does not notice changed values, so each row carries a checksum, and a row that
    fails it counts as unknown. Nothing here ever fails a run: the cache only saves time.
    """

    def __init__(self, path: Path | None) -> None:
        self.note: str | None = None
        self._path = path
        self._lock = threading.Lock()
        self._connection = self._open()

    def pictures(self, hashes: Iterable[str], decoder: str) -> dict[str, Picture]:
        """Those of `hashes` that are known, as decoded by `decoder`."""
        rows = self._select("sha256, width, height, fingerprint, taken", "pictures WHERE decoder", decoder, hashes)
        return {sha: Picture(*rest) for sha, *rest in rows}

    def vectors(self, hashes: Iterable[str], recipe: str) -> dict[str, np.ndarray]:
        """Those of `hashes` whose float32 vector, made by `recipe`, is known."""
        rows = self._select("sha256, vector", "features WHERE recipe", recipe, hashes)
        return {sha: np.frombuffer(blob, np.float32) for sha, blob in rows if len(blob) % 4 == 0}

    def add(
        self, pictures: Mapping[str, Picture], decoder: str, vectors: Mapping[str, np.ndarray], recipe: str
    ) -> None:
        """Keep these; one transaction, so that a killed process loses no more than the one under way."""
        found = [_sealed(sha, decoder, *astuple(picture)) for sha, picture in pictures.items()]
        made = [_sealed(sha, recipe, vector.astype(np.float32).tobytes()) for sha, vector in vectors.items()]
        with self._lock, self._guarded(), self._connection:
            self._connection.executemany("INSERT OR REPLACE INTO pictures VALUES (?, ?, ?, ?, ?, ?, ?)", found)
            self._connection.executemany("INSERT OR REPLACE INTO features VALUES (?, ?, ?, ?)", made)

    def close(self) -> None:
        with self._lock:
            self._connection.close()

    def _select(self, columns: str, where: str, key: str, hashes: Iterable[str]) -> list[Any]:
        wanted, rows = list(hashes), []
        with self._lock, self._guarded():
            for start in range(0, len(wanted), 500):
                part = wanted[start : start + 500]
                marks = ",".join("?" * len(part))
                query = f"SELECT {columns}, seal FROM {where} = ? AND sha256 IN ({marks})"
                rows += self._connection.execute(query, (key, *part)).fetchall()
        return [(sha, *rest) for sha, *rest, seal in rows if (sha, key, *rest, seal) == _sealed(sha, key, *rest)]

    @contextlib.contextmanager
    def _guarded(self) -> Iterator[None]:
        """What is asked of a file that turns out unusable counts as unknown; what is given to it may be lost."""
        try:
            yield
        except sqlite3.ProgrammingError:
            raise  # our own mistake, such as using a closed store
        except sqlite3.DatabaseError as error:
            self._connection.close()
            self._connection = self._recover(error)

    def _open(self) -> sqlite3.Connection:
        try:
            return self._connect()
        except (sqlite3.DatabaseError, OSError) as error:
            return self._recover(error)

    def _connect(self) -> sqlite3.Connection:
        if self._path:
            self._path.parent.mkdir(parents=True, exist_ok=True)
        connection = sqlite3.connect(self._path or ":memory:", timeout=_PATIENCE, check_same_thread=False)
        deadline = time.monotonic() + _PATIENCE
        while True:
            try:
                connection.execute("PRAGMA journal_mode = WAL")
                connection.execute("PRAGMA synchronous = NORMAL")
                connection.executescript(_SCHEMA)
                return connection
            except sqlite3.Error as error:
                # Two processes that begin one file: SQLite refuses the change to WAL at once, whatever its timeout.
                if "locked" not in str(error) or time.monotonic() > deadline:
                    connection.close()
                    raise
                time.sleep(0.02)

    def _recover(self, error: sqlite3.DatabaseError | OSError) -> sqlite3.Connection:
        """Begin a damaged file anew; keep in memory what cannot be kept on the disk."""
        if isinstance(error, OSError) or any(words in str(error) for words in _NOT_DAMAGE):
            reason = getattr(error, "strerror", None) or error
            self.note = f"no cache at {printable(self._path or '')} ({reason}); this run keeps its features in memory"
        else:
            self.note = f"the cache was damaged ({printable(str(error), limit=80)}) and was begun anew"
            for suffix in ("", "-wal", "-shm"):
                with contextlib.suppress(OSError):
                    Path(f"{self._path}{suffix}").unlink()
            with contextlib.suppress(sqlite3.Error, OSError):
                return self._connect()
        self._path = None
        return self._connect()


def _sealed(*values: Any) -> tuple[Any, ...]:
    """`values` and their checksum."""
    seal = 0
    for value in values:
        seal = zlib.crc32(value if isinstance(value, bytes) else repr(value).encode(), seal)
    return (*values, seal)
