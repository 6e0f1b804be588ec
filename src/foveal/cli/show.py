"""What the commands share: progress on stderr, lines on stdout."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from foveal.errors import OutputError
from foveal.text import plural, printable

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.progress import Progress, TaskID

_EVERY = 10.0  # seconds between lines of progress where there is no terminal
MARKS = {"error": "error  ", "warning": "warning", "note": "note   "}


def out(line: str = "", *, flush: bool = False) -> None:
    """A line on stdout; what cannot be encoded there is escaped."""
    encoding = sys.stdout.encoding or "utf-8"
    with writing():
        print(line.encode(encoding, "backslashreplace").decode(encoding), flush=flush)


def deliver(content: str, path: Path | None) -> None:
    """`content` into the file `path`, or on stdout."""
    if path is None:
        out(content.rstrip("\n"))
    else:
        from foveal.files import write_atomic

        write_atomic(path, content.rstrip("\n") + "\n")
        tell(f"wrote {printable(path)}")


def foreign_code() -> contextlib.AbstractContextManager[Any]:
    """While a model's own code runs: what it prints goes to stderr, since stdout is for the answer."""
    return contextlib.redirect_stdout(sys.stderr)


def terminal_width() -> int | None:
    """Columns of the terminal that stdout is; None where it is a file or a pipe."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


@contextlib.contextmanager
def writing() -> Iterator[None]:
    """Ends the command quietly where the reader of stdout has gone, as ``head`` does.

    Raises
    ------
    OutputError : stdout cannot be written: a full disk, say.
    """
    try:
        yield
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for what Python still flushes at its end
        if isinstance(error, BrokenPipeError):
            sys.exit(0)
        raise OutputError(f"standard output: cannot be written ({error.strerror})") from error


def tell(line: str) -> None:
    """A line on stderr."""
    encoding = sys.stderr.encoding or "utf-8"
    print(line.encode(encoding, "backslashreplace").decode(encoding), file=sys.stderr)


def draw(renderable: RenderableType) -> None:
    """A rich table on stdout, in colour where that is a terminal (and NO_COLOR is not set)."""
    from rich.console import Console

    console = Console(highlight=False, markup=False)
    with console.capture() as text:
        console.print(renderable)
    out(text.get().rstrip("\n"))


class Watcher:
    """Shows a run's events while it goes: a bar on a terminal, a line now and then elsewhere, nothing if `quiet`."""

    def __init__(self, quiet: bool) -> None:
        self._quiet = quiet
        self._bar: Progress | None = None
        self._task: TaskID | None = None
        self._last = time.monotonic()

    def __enter__(self) -> Watcher:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()

    def __call__(self, event: str, fields: dict[str, Any]) -> None:
        if self._quiet:
            return
        if event == "progress":
            self._progress(**fields)
        elif event == "fetch":
            self._fetch(**fields)
        elif event == "scan":
            self._say(f"{plural(fields['photos'], 'photo')} in {plural(fields['classes'], 'class', 'classes')}")
        elif event == "estimate":
            self._say(f"about {fields['run']:.0f} s on this machine")
        elif event == "finding" and fields["severity"] != "error":  # errors end the run with a message of their own
            self._say(f"{MARKS[fields['severity']]} {fields['title']}")
        elif event == "note":
            self._say(f"{MARKS['note']} {fields['text']}")
        elif event == "begin" and fields["stage"] == "heads":
            self._say("choosing and fitting the head ...")
            self._pulse()
        elif event == "end" and fields["stage"] == "heads":
            self._close()

    def _pulse(self) -> None:
        """A bar that moves while the length of a step is not known."""
        if sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, Progress, TimeElapsedColumn

            self._bar = Progress(BarColumn(), TimeElapsedColumn(), console=Console(stderr=True), transient=True)
            self._bar.start()
            self._bar.add_task("", total=None)

    def _say(self, text: str) -> None:
        self._close()
        tell(printable(text, limit=500))

    def _progress(self, done: int, total: int, cached: int) -> None:
        if sys.stderr.isatty():
            self._draw(done, total, cached)
        elif time.monotonic() - self._last > _EVERY:
            self._last = time.monotonic()
            tell(f"{done:,} of {total:,} photos read")

    def _fetch(self, done: int, total: int) -> None:
        """Bytes of the network's weights; a `total` of 0 is one that the publisher does not say."""
        if sys.stderr.isatty():
            if self._bar is None:
                self._bar = _byte_bar()
                self._bar.start()
                self._task = self._bar.add_task("fetching the network's weights", total=total or None)
            assert self._task is not None
            self._bar.update(self._task, completed=done)
        elif time.monotonic() - self._last > _EVERY:
            self._last = time.monotonic()
            of = f" of {total / 1e6:,.0f}" if total else ""
            tell(f"{done / 1e6:,.0f}{of} MB of the network's weights fetched")
        if done == total:
            self._close()

    def _draw(self, done: int, total: int, cached: int) -> None:
        if self._bar is None:
            self._bar = _bar()
            self._bar.start()
            self._task = self._bar.add_task("reading photos", total=total, cached="")
        assert self._task is not None
        self._bar.update(self._task, completed=done, cached=f"{cached:,} from the cache" if cached else "")
        if done >= total:
            self._close()

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = self._task = None


def _byte_bar() -> Progress:
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
    )


def _bar() -> Progress:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        ProgressColumn,
        Task,
        TextColumn,
        TimeRemainingColumn,
    )
    from rich.text import Text

    class Rate(ProgressColumn):
        def render(self, task: Task) -> Text:
            return Text(f"{task.speed:,.0f} images/s" if task.speed else "")

    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        Rate(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[cached]}"),
        console=Console(stderr=True),
    )
