"""``foveal train``."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer


def train(
    data: Annotated[
        Path, typer.Argument(help="A folder per class, such folders under train/ and test/, or a manifest.")
    ],
    out: Annotated[Path | None, typer.Option(help="Where the results go.", show_default="runs/NAME")] = None,
    budget: Annotated[
        float | None, typer.Option(help="Seconds the run may take; fewer photos are used if need be.")
    ] = None,
    test: Annotated[float, typer.Option(help="Share of the photos sealed until the end.")] = 0.2,
    group_by: Annotated[
        str | None,
        typer.Option(help="What keeps photos of one object together: parent, exif, a manifest column or a pattern."),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the split and everything else that is drawn.")] = 0,
    backbone: Annotated[str, typer.Option(help="The pretrained network.")] = "efficientnet_lite0",
    weights: Annotated[
        Path | None, typer.Option(help="Its weights, a .pth or .safetensors file.", show_default="as published")
    ] = None,
    precision: Annotated[str, typer.Option(help="auto, bf16 or f32.")] = "auto",
    threads: Annotated[int | None, typer.Option(min=1, help="CPU threads.", show_default="all allowed")] = None,
    cache: Annotated[bool, typer.Option("--cache/--no-cache", help="Keep features for the next run.")] = True,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but errors.")] = False,
) -> None:
    """Train a classifier on labelled photos, with an honest account of it."""
    from foveal.api import train as run
    from foveal.cli.show import Watcher
    from foveal.text import printable

    with Watcher(quiet) as watcher:
        finished = run(
            data,
            out,
            test=test,
            group_by=group_by,
            seed=seed,
            backbone=backbone,
            weights=weights,
            precision=precision,
            budget=budget,
            cache=cache,
            threads=threads,
            command=printable(shlex.join(["foveal", *sys.argv[1:]]), limit=4000),
            observer=watcher,
        )
    if not quiet:
        show_result(finished.result)


def show_result(result: dict[str, object]) -> None:
    """The end of a run: the headline, the weakest classes, where everything is."""
    from foveal.cli.show import draw, out
    from foveal.report.terminal import class_table, summary_lines

    out()
    for line in summary_lines(result):
        out(line)
    if sys.stdout.isatty():
        out()
        draw(class_table(result))
