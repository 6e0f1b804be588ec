"""Writing files so that a crash, a full disk or a second writer never leaves half a file behind."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path

from foveal.errors import OutputError
from foveal.text import printable

_PARTIAL = ".foveal-partial"


def write_atomic(path: Path, content: bytes | str) -> None:
    """Write `content` to `path` under a temporary name, flush it to the disk, then rename it into place.

    A link stays a link. A device or a pipe (``/dev/null``, ``/dev/stdout``) is written to, never replaced.

    Raises
    ------
    OutputError : the disk is full, the folder is read-only, ...; what stood at `path` before is untouched.
    """
    data = content.encode("utf-8", "backslashreplace") if isinstance(content, str) else content
    target = Path(os.path.realpath(path))
    partial = target.with_name(f".{target.name}.{os.getpid()}{_PARTIAL}")
    try:
        if path.exists() and not path.is_file() and not path.is_dir():
            path.write_bytes(data)
            return
        with partial.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(target)
    except OSError as error:
        raise OutputError(_explain(path, error)) from error
    finally:
        with contextlib.suppress(OSError):  # after the rename there is none; after anything else, Ctrl-C too, there is
            partial.unlink()


def make_folder(path: Path) -> None:
    """Create `path` and its parents; OutputError where that is impossible."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(_explain(path, error)) from error


def remove_partials(folder: Path) -> None:
    """Remove what an earlier, killed writer left in `folder`. Call it while holding the folder's lock."""
    for leftover in folder.glob(f".*{_PARTIAL}"):
        with contextlib.suppress(OSError):
            leftover.unlink()


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the one writer's lock on `folder` (created if absent). The system frees it when a process dies.

    Raises
    ------
    OutputError : another process holds it, or the folder cannot be written.
    """
    make_folder(folder)
    path = folder / ".lock"
    handle = _lock(path)
    try:
        remove_partials(folder)
        yield
    finally:
        with contextlib.suppress(OSError):
            path.unlink()
        os.close(handle)


def _lock(path: Path) -> int:
    """The open, locked file at `path`; OutputError where another process has it."""
    while True:
        try:
            handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as error:
            raise OutputError(_explain(path.parent, error)) from error
        if not _try_lock(handle):
            os.close(handle)
            raise OutputError(
                f"{printable(path.parent)}: another Foveal run is writing here; wait for it, or choose another --out"
            )
        with contextlib.suppress(OSError):
            if os.path.samestat(os.fstat(handle), path.stat()):
                return handle
        os.close(handle)  # the file we locked was just removed by the run before us: its name is free, or another's


def _try_lock(handle: int) -> bool:
    try:
        if os.name == "nt":
            import msvcrt

            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined,unused-ignore]  # Windows only
        else:
            import fcntl

            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _explain(path: Path, error: OSError) -> str:
    name = printable(path)
    if error.errno == errno.ENOSPC:
        return f"{name}: the disk is full; free some space or choose another --out"
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return f"{name}: no permission to write here; choose another --out"
    return f"{name}: cannot be written ({error.strerror or error}); choose another --out"
