"""``foveal predict``."""

from __future__ import annotations

import csv
import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from foveal.classifier import Prediction
    from foveal.errors import ImageError

    Answer = tuple[Path, Prediction | ImageError]


def predict(
    bundle: Annotated[Path, typer.Argument(help="The bundle of a run, or the run's folder.")],
    paths: Annotated[list[Path], typer.Argument(help="Pictures, folders, or - for a list of paths on stdin.")],
    format: Annotated[str, typer.Option(help="table, json (a line each) or csv.")] = "table",
    precision: Annotated[str | None, typer.Option(help="bf16 or f32.", show_default="as trained")] = None,
    threads: Annotated[int | None, typer.Option(min=1, help="CPU threads.", show_default="all allowed")] = None,
) -> None:
    """Name what is on pictures. Exits with 3 if some could not be read."""
    from foveal.api import load
    from foveal.classifier import expand
    from foveal.data.decode import EXTENSIONS
    from foveal.errors import DataError, ImageError, UsageError

    if format not in FORMATS:
        raise UsageError(f"--format {format!r:.40}; expected one of {', '.join(FORMATS)}")
    classifier = load(bundle, precision=precision, threads=threads)
    files = expand(list(_listed(paths)), EXTENSIONS)
    if not files:
        raise DataError("no pictures there; give files, folders with pictures, or a list of paths on stdin")
    failed = False

    def answers() -> Iterator[Answer]:
        nonlocal failed
        for path, answer in zip(files, classifier.predict_each(files), strict=True):
            failed = failed or isinstance(answer, ImageError)
            yield path, answer

    FORMATS[format](answers())
    if failed:
        raise typer.Exit(3)


def _listed(paths: Iterable[Path]) -> Iterator[Path]:
    for path in paths:
        if str(path) == "-":
            lines = (line.rstrip(b"\r\n") for line in sys.stdin.buffer)
            yield from (Path(os.fsdecode(line)) for line in lines if line)
        else:
            yield path


def _as_json(answers: Iterable[Answer]) -> None:
    from foveal.cli.show import out
    from foveal.errors import ImageError

    for path, answer in answers:
        record: dict[str, Any] = {"path": str(path)}
        record |= {"error": answer.reason} if isinstance(answer, ImageError) else answer.to_json()
        out(json.dumps(record), flush=True)


def _as_csv(answers: Iterable[Answer]) -> None:
    from foveal.cli.show import out
    from foveal.errors import ImageError
    from foveal.text import csv_cell

    class Lines:
        """Gives the csv module somewhere to write whose encoding never fails."""

        def write(self, line: str) -> None:
            out(line.rstrip("\r\n"))

    writer = csv.writer(Lines())
    writer.writerow(["path", "label", "probability", "unknown", "error"])
    for path, answer in answers:
        if isinstance(answer, ImageError):
            writer.writerow([csv_cell(path), "", "", "", csv_cell(answer.reason)])
        else:
            cells = [csv_cell(answer.label), f"{answer.probability:.6f}", str(answer.unknown).lower(), ""]
            writer.writerow([csv_cell(path), *cells])


def _as_table(answers: Iterable[Answer]) -> None:
    from foveal.cli.show import out
    from foveal.errors import ImageError
    from foveal.text import printable

    for path, answer in answers:
        name = printable(path)
        if isinstance(answer, ImageError):
            out(f"{name}\terror\t{printable(answer.reason)}")
        else:
            strange = "\tunknown: like none of the classes" if answer.unknown else ""
            out(f"{name}\t{printable(answer.label)}\t{100 * answer.probability:.1f} %{strange}")


FORMATS: dict[str, Callable[[Iterable[Any]], None]] = {"table": _as_table, "json": _as_json, "csv": _as_csv}
