"""``foveal demo``."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer


def demo(
    folder: Annotated[Path, typer.Argument(help="Where the photographs and the results go.")] = Path("demo"),
    seed: Annotated[int, typer.Option(min=0, help="Of the photographs that are cut.")] = 0,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but errors.")] = False,
) -> None:
    """Write a folder of real photographs, train on it, and name the report to open."""
    from foveal.api import train
    from foveal.cli.show import Watcher, out
    from foveal.cli.train import show_result
    from foveal.demo import ABOUT, write_demo
    from foveal.text import printable

    photos = folder / "photos"
    write_demo(photos, seed)
    command = printable(shlex.join(["foveal", "train", str(photos), "--out", str(folder / "run")]), limit=4000)
    if not quiet:
        out(f"The photographs are in {printable(photos)}. Running: {command}")
        out(flush=True)
    with Watcher(quiet) as watcher:
        finished = train(photos, folder / "run", command=command, observer=watcher)
    if not quiet:
        show_result(finished.result)
        out()
        out(ABOUT)
        out(f"Open the report: {finished.report.resolve()}")
