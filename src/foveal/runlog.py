"""A run: its folder, and what it tells while it goes: events to whoever listens, and to log.jsonl."""

from __future__ import annotations

import contextlib
import io
import json
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from foveal.errors import OutputError, UsageError
from foveal.text import printable

Observer = Callable[[str, dict[str, Any]], None]
"""Called with an event's name and its fields, in the thread of the run."""

_EVERY = 1.0  # seconds between the progress events that reach the log


@dataclass(frozen=True)
class Run:
    """A finished run.

    Attributes
    ----------
    folder : holds ``bundle/``, ``report.html``, ``result.json`` and ``log.jsonl``.
    result : the content of ``result.json``.
    """

    folder: Path
    result: dict[str, Any]

    @property
    def report(self) -> Path:
        return self.folder / "report.html"

    @property
    def bundle(self) -> Path:
        return self.folder / "bundle"

    @property
    def accuracy(self) -> float:
        """On the sealed test part."""
        return float(self.result["test"]["accuracy"])


def results_folder(data: Path, out: str | Path | None) -> Path:
    """`out`, or ``runs/NAME`` of the data; UsageError inside the data."""
    if out is None:
        folder = Path("runs") / ((data.resolve().name if data.is_dir() else data.stem) or "photos")
    else:
        folder = Path(out)
    if data.is_dir() and Path(os.path.realpath(folder)).is_relative_to(os.path.realpath(data)):
        raise UsageError(
            f"--out {printable(folder)}: lies in the folder of the photos, where the next run would take it for a "
            "class; choose a folder outside"
        )
    return folder


class RunLog:
    """Passes events on and keeps them, one JSON object a line, flushed as they come; and times the stages.

    Parameters
    ----------
    goes_on : add to the log that is there, less a last line that was cut short; else begin a new one.
    held : leave the file as it is until `start`, which writes what was told by then.
    """

    def __init__(self, path: Path, observer: Observer | None, *, goes_on: bool = False, held: bool = False) -> None:
        self.seconds: dict[str, float] = {}
        self._observer = observer
        self._begin = time.perf_counter()
        self._last_progress = -_EVERY
        self._path, self._goes_on = path, goes_on
        self._held = io.StringIO()
        self._file: TextIO = self._held
        if not held:
            self.start()

    def start(self) -> None:
        """Begin to write; OutputError where that is impossible."""
        path = self._path
        try:
            if self._goes_on and path.is_file():
                os.truncate(path, path.read_bytes().rfind(b"\n") + 1)
            self._file = path.open("a" if self._goes_on else "w", encoding="utf-8")
        except OSError as error:
            raise OutputError(
                f"{printable(path)}: cannot be written ({error.strerror}); choose another --out"
            ) from error
        self._write(self._held.getvalue())

    def __call__(self, event: str, **fields: Any) -> None:
        if self._observer:
            self._observer(event, fields)
        now = time.perf_counter() - self._begin
        if event in ("progress", "fetch", "step"):
            if now - self._last_progress < _EVERY and fields["done"] != fields["total"]:
                return
            self._last_progress = now
        self._write(json.dumps({"seconds": round(now, 3), "event": event, **fields}) + "\n")

    def _write(self, lines: str) -> None:
        with contextlib.suppress(OSError):  # a full disk stops the results with a clear error, not the log
            self._file.write(lines)
            self._file.flush()

    @contextlib.contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time what happens inside as the stage `name`, and tell its beginning and end."""
        self("begin", stage=name)
        begin = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - begin
        self("end", stage=name, took=round(self.seconds[name], 3))

    def moved(self, source: str, target: str, seconds: float) -> None:
        """Count `seconds` that passed in the stage `source` as those of `target`."""
        self.seconds[source] = self.seconds.get(source, 0.0) - seconds
        self.seconds[target] = self.seconds.get(target, 0.0) + seconds

    @property
    def total(self) -> float:
        return time.perf_counter() - self._begin

    def progress(self, done: int, total: int, cached: int) -> None:
        """Tell that `done` of `total` photos are read, `cached` of them from the cache."""
        self("progress", done=done, total=total, cached=cached)

    def fetched(self, done: int, total: int) -> None:
        """Tell that `done` of `total` bytes of the network's weights are here (0: it is not known how many)."""
        self("fetch", done=done, total=total)

    def __enter__(self) -> RunLog:
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if error is not None:
            self("stopped", error=printable(str(error) or type(error).__name__, limit=1000))
        with contextlib.suppress(OSError):
            self._file.close()
