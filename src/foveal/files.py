"""Writing files so that a crash, a full disk or a second writer never leaves half a file behind."""

from __future__ import annotations

import contextlib
import errno
import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from foveal.errors import OutputError
from foveal.text import printable

PARTIAL = ".foveal-partial"
_PATIENCE = 0.1  # seconds between two looks at another's lock
_OTHER_OUT = "choose another --out"  # what helps where results cannot be written


def write_atomic(path: Path, content: bytes | str) -> None:
    """Write `content` to `path` under a temporary name, flush it to the disk, then rename it into place.

    A link stays a link. A device or a pipe (``/dev/null``, ``/dev/stdout``) is written to, never replaced.

    Raises
    ------
    OutputError : the disk is full, the folder is read-only, ...; what stood at `path` before is untouched.
    """
    data = content.encode("utf-8", "backslashreplace") if isinstance(content, str) else content
    target = Path(os.path.realpath(path))
    partial = target.with_name(f".{target.name}.{os.getpid()}{PARTIAL}")
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
        raise OutputError(explain(path, error)) from error
    finally:
        with contextlib.suppress(OSError):  # after the rename there is none; after anything else, Ctrl-C too, there is
            partial.unlink()


def make_folder(path: Path, *, remedy: str = _OTHER_OUT) -> None:
    """Create `path` and its parents; OutputError where that is impossible."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(explain(path, error, remedy)) from error


def check_writable(folder: Path) -> None:
    """OutputError where nothing could be written into `folder`, which need not be there yet. Leaves no trace."""
    try:
        place = next(each for each in (folder, *folder.absolute().parents) if each.exists())
        with tempfile.TemporaryFile(dir=place, buffering=0) as file:
            file.write(b"0")
    except OSError as error:
        raise OutputError(explain(folder, error)) from error


def remove_partials(folder: Path) -> None:
    """Remove what an earlier, killed writer left in `folder`. Call it while holding the folder's lock."""
    for leftover in folder.glob(f".*{PARTIAL}"):
        with contextlib.suppress(OSError):
            leftover.unlink()


@contextlib.contextmanager
def locked(folder: Path, *, wait: bool = False, remedy: str = _OTHER_OUT) -> Iterator[None]:
    """Hold the one writer's lock on `folder` (created if absent). The system frees it when a process dies.

    Parameters
    ----------
    wait : for another process to be done, instead of the error.
    remedy : what to try where the folder cannot be written.

    Raises
    ------
    OutputError : another process holds it, or the folder cannot be written.
    """
    make_folder(folder, remedy=remedy)
    path = folder / ".lock"
    handle = _lock(path, wait, remedy)
    try:
        remove_partials(folder)
        yield
    finally:
        with contextlib.suppress(OSError):
            path.unlink()
        os.close(handle)


def _lock(path: Path, wait: bool, remedy: str) -> int:
    """The open, locked file at `path`; OutputError where another process has it and we do not `wait`."""
    while True:
        try:
            handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as error:
            raise OutputError(explain(path.parent, error, remedy)) from error
        if not _try_lock(handle):
            os.close(handle)
            if not wait:
                raise OutputError(
                    f"{printable(path.parent)}: another Foveal run is writing here; wait for it, or {remedy}"
                )
            time.sleep(_PATIENCE)
            continue
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


def explain(path: Path, error: OSError, remedy: str = _OTHER_OUT) -> str:
    """Why `path` cannot be written, and what to try."""
    name = printable(path)
    if error.errno == errno.ENOSPC:
        return f"{name}: the disk is full; free some space or {remedy}"
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return f"{name}: no permission to write here; {remedy}"
    return f"{name}: cannot be written ({error.strerror or error}); {remedy}"
