"""``foveal reproduce``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def reproduce(
    run: Annotated[Path, typer.Argument(help="The folder of a training from scratch.")],
    threads: Annotated[int | None, typer.Option(min=1, help="CPU threads.", show_default="as the run had")] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but errors.")] = False,
) -> None:
    """Train a run again from its record and compare bit for bit; the run's folder stays as it is."""
    from foveal.cli.show import Watcher, out
    from foveal.errors import FovealError
    from foveal.text import printable
    from foveal.training.reproducing import reproduce as again

    with Watcher(quiet) as watcher:
        found = again(run, threads=threads, observer=watcher)
    if not found.equal:
        raise FovealError(f"{printable(run)}: {found.text()}")
    if not quiet:
        out(f"{printable(run)}: {found.text()}")
