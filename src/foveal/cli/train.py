"""``foveal train``."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

_SCRATCH = "From scratch"


def train(
    context: typer.Context,
    data: Annotated[
        str,
        typer.Argument(
            help="A folder per class, such folders under train/ and test/, or a manifest. From scratch also the "
            "name of a dataset: digits, mnist, fashion-mnist, cifar10, ..."
        ),
    ],
    out: Annotated[Path | None, typer.Option(help="Where the results go.", show_default="runs/NAME")] = None,
    budget: Annotated[
        float | None, typer.Option(help="Seconds the run may take; fewer photos, or epochs, are used if need be.")
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
    cache: Annotated[bool, typer.Option("--cache/--no-cache", help="Keep what was read for the next run.")] = True,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but errors.")] = False,
    from_scratch: Annotated[
        str | None,
        typer.Option(
            metavar="NETWORK", rich_help_panel=_SCRATCH,
            help="Train this network, its weights drawn at random: a zoo name, notation, .json, module:factory.",
        ),
    ] = None,
    epochs: Annotated[
        int | None, typer.Option(rich_help_panel=_SCRATCH, help="Passes over the data.", show_default="10")
    ] = None,
    batch_size: Annotated[
        int | None, typer.Option(rich_help_panel=_SCRATCH, help="Pictures a step.", show_default="128")
    ] = None,
    lr: Annotated[
        float | None,
        typer.Option(rich_help_panel=_SCRATCH, help="Highest learning rate.", show_default="the optimizer's"),
    ] = None,
    optimizer: Annotated[
        str | None, typer.Option(rich_help_panel=_SCRATCH, help="sgd, momentum, adam, ...", show_default="adamw")
    ] = None,
    schedule: Annotated[
        str | None,
        typer.Option(rich_help_panel=_SCRATCH, help="constant, step, cosine, ...", show_default="one-cycle"),
    ] = None,
    augment: Annotated[
        str | None, typer.Option(rich_help_panel=_SCRATCH, help='Such as "crop 4, flip".', show_default="nothing")
    ] = None,
    patience: Annotated[
        int | None,
        typer.Option(rich_help_panel=_SCRATCH, help="Stop after so many epochs without a better validation loss."),
    ] = None,
    device: Annotated[
        str | None, typer.Option(rich_help_panel=_SCRATCH, help="auto, cpu or cuda.", show_default="auto")
    ] = None,
    validation: Annotated[
        float, typer.Option(rich_help_panel=_SCRATCH, help="Share of the rest that is not trained on.")
    ] = 0.1,
    input: Annotated[
        str | None, typer.Option(rich_help_panel=_SCRATCH, help="The network's input, such as 3x32x32.")
    ] = None,
    config: Annotated[
        Path | None, typer.Option(rich_help_panel=_SCRATCH, help="A JSON file of settings.")
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", rich_help_panel=_SCRATCH, help="Any setting; may be repeated."),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", rich_help_panel=_SCRATCH, help="Go on with the run that was interrupted.")
    ] = False,
) -> None:  # fmt: skip
    """Train a classifier on labelled photos, with an honest account of it."""
    from foveal.cli.scratch import refuse_idle, train_scratch
    from foveal.text import printable

    refuse_idle(context, from_scratch)
    command = printable(shlex.join(["foveal", *sys.argv[1:]]), limit=4000)
    if from_scratch is not None:
        train_scratch(context, command)
        return
    from foveal.api import train as run
    from foveal.cli.show import Watcher

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
            command=command,
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
