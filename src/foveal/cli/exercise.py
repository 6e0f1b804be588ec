"""``foveal exercise``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def exercise(
    name: Annotated[str, typer.Argument(help="pooling, fooling, zeros or sigmoid.")],
    data: Annotated[
        str | None,
        typer.Option(help="Of pooling: mnist, fashion-mnist, mnist-5k or digits.", show_default="the first here"),
    ] = None,
    epochs: Annotated[int | None, typer.Option(help="Of each training.", show_default="the exercise's")] = None,
    repetitions: Annotated[
        int | None, typer.Option(help="Of pooling, with other seeds; of fooling, splits.", show_default="3, or 100")
    ] = None,
    limit: Annotated[int | None, typer.Option(help="Of pooling: training pictures.", show_default="all")] = None,
    seed: Annotated[int, typer.Option(help="Of whatever is drawn.")] = 0,
    format: Annotated[str, typer.Option(help="text or json.")] = "text",
    out: Annotated[
        Path | None,
        typer.Option(
            help="A folder for plot.png and result.json; of pooling also for report.html, and for what is finished, "
            "to go on from.",
            show_default="runs/NAME",
        ),
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")] = False,
) -> None:
    """Do an exercise of the lectures: poolings compared, choices on wrong pictures, zeros to begin with, sigmoids."""
    from foveal.cli import outcome
    from foveal.cli.show import Watcher
    from foveal.experiments.exercise import exercise as do

    out = out or Path("runs") / name
    outcome.check(format, out)
    with Watcher(quiet) as watcher:
        long = {"out": out, "observer": watcher} if name == "pooling" else {}
        found = do(name, data=data, epochs=epochs, repetitions=repetitions, limit=limit, seed=seed, **long)
    outcome.show(found, format, out)
