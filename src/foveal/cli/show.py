"""What the commands share: progress on stderr, lines on stdout."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator
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
        self._batches: TaskID | None = None
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
        elif event == "alarm":
            self._say(f"{MARKS['warning']} {fields['title']}")
            self._say(f"        {fields['advice']}")
        elif event == "step":
            self._step(**fields)
        elif event in _LINES:
            self._say(_LINES[event](fields))
        elif event == "begin" and fields["stage"] == "heads":
            self._say("choosing and fitting the head ...")
            self._pulse()
        elif event == "end" and fields["stage"] in ("heads", "training"):
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
        if self._batches is not None and self._bar is not None:  # the bars of a training stay below its lines
            self._bar.console.print(printable(text, limit=500), markup=False, highlight=False, soft_wrap=True)
            return
        self._close()
        tell(printable(text, limit=500))

    def _step(
        self, epoch: int, epochs: int, done: int, total: int, loss: float, images_per_second: float, left: float | None
    ) -> None:
        """Batches `done` of the `total` of an epoch; `left` in seconds, until the end of the run."""
        rate, rest = f"{images_per_second:,.0f} images/s", f"{duration(left)} left"
        if not sys.stderr.isatty():
            if time.monotonic() - self._last > _EVERY:
                self._last = time.monotonic()
                batches = f"{done:,} of {plural(total, 'batch', 'batches')}"
                self._say(f"epoch {epoch}/{epochs}  {batches}  loss {loss:.3g}  {rate}  {rest}")
            return
        if self._bar is None or self._task is None or self._batches is None:
            self._close()
            self._bar = _training_bars()
            self._bar.start()
            self._task = self._bar.add_task("training", total=epochs, said="")
            self._batches = self._bar.add_task("", total=total, said="")
        self._bar.update(self._task, completed=epoch - 1 + done / total, said=rest)
        said = f"{done:,}/{total:,}  loss {loss:.3g}  {rate}"
        self._bar.update(self._batches, description=f"epoch {epoch}/{epochs}", completed=done, total=total, said=said)

    def _progress(self, done: int, total: int, cached: int) -> None:
        if sys.stderr.isatty():
            self._draw(done, total, cached)
        elif time.monotonic() - self._last > _EVERY:
            self._last = time.monotonic()
            tell(f"{done:,} of {total:,} photos read")

    def _fetch(self, done: int, total: int, what: str = "the network's weights") -> None:
        """Bytes of `what`; a `total` of 0 is one that the publisher does not say."""
        if sys.stderr.isatty():
            if self._bar is None:
                self._bar = _byte_bar()
                self._bar.start()
                self._task = self._bar.add_task(f"fetching {what}", total=total or None)
            assert self._task is not None
            self._bar.update(self._task, completed=done)
        elif time.monotonic() - self._last > _EVERY:
            self._last = time.monotonic()
            of = f" of {total / 1e6:,.0f}" if total else ""
            tell(f"{done / 1e6:,.0f}{of} MB of {what} fetched")
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
            self._bar = self._task = self._batches = None


def duration(seconds: float | None) -> str:
    """A time that is still to pass, coarsely; a dash where it is not known.

    >>> duration(4.2), duration(100), duration(5000)
    ('4 s', '2 min', '1 h 23 min')
    """
    if seconds is None:
        return "–"
    if seconds < 60:
        return f"{max(1, round(seconds))} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def _epoch_line(fields: dict[str, Any]) -> str:
    """``epoch 3/10  loss 0.412  val 0.398  87.1 %  9,800 images/s  1 min left``."""
    accuracy = fields["train_accuracy"] if fields["val_accuracy"] is None else fields["val_accuracy"]
    parts = [
        f"epoch {fields['epoch']}/{fields['epochs']}",
        f"loss {fields['train_loss']:.3g}",
        *([] if fields["val_loss"] is None else [f"val {fields['val_loss']:.3g}"]),
        *([] if accuracy is None else [f"{100 * accuracy:.1f} %"]),
        f"{fields['images_per_second']:,.0f} images/s",
        *([] if fields["left"] == 0 else [f"{duration(fields['left'])} left"]),
    ]
    return "  ".join(parts)


def _fit_line(fields: dict[str, Any]) -> str:
    processes = f", {plural(fields['processes'], 'process', 'processes')}" if fields["processes"] > 1 else ""
    return (
        f"{plural(fields['epochs'], 'epoch')} of {plural(fields['steps'], 'batch', 'batches')}; "
        f"{plural(fields['parameters'], 'parameter')}; {fields['device']}, {fields['precision']}, "
        f"{fields['layout']}{processes}"
    )


def _trial_line(fields: dict[str, Any]) -> str:
    """``trial 3 (4 of 20)  97.2 %  lr=0.012  batch_size=64``: trials have numbers from 0, as Optuna gives them."""
    accuracy = "–" if fields["accuracy"] is None else f"{100 * fields['accuracy']:.1f} %"
    values = (
        f"{name}={value:.3g}" if type(value) is float else f"{name}={value}" for name, value in fields["values"].items()
    )
    state = [] if fields["state"] == "complete" else [f"({fields['state']})"]
    return "  ".join([f"trial {fields['number']} ({fields['done']} of {fields['of']})", accuracy, *values, *state])


_LINES: dict[str, Callable[[dict[str, Any]], str]] = {
    "data": lambda fields: (
        f"{plural(fields['train'], 'picture')} to train on, {fields['val']:,} to validate, {fields['test']:,} sealed; "
        f"{plural(fields['classes'], 'class', 'classes')}, {fields['shape']}"
    ),
    "fit": _fit_line,
    "resume": lambda fields: f"going on after step {fields['step']:,} of epoch {fields['epoch'] + 1}",
    "epoch": _epoch_line,
    "trial": _trial_line,
    "retrained": lambda fields: (
        f"the best again, from seed {fields['seed']}: {100 * fields['validation']:.1f} % of the validation part, "
        f"{100 * fields['test']:.1f} % of the test part"
    ),
}
"""What the events of a training from scratch, and of a search, say; see `foveal.training`."""


def _training_bars() -> Progress:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[said]}"))
    return Progress(*columns, console=Console(stderr=True), transient=True)


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
