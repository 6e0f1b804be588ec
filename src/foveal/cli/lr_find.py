"""``foveal lr-find``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer


def lr_find(
    context: typer.Context,
    data: Annotated[str, typer.Argument(help="What would be trained on: a known dataset, a folder or a manifest.")],
    arch: Annotated[str, typer.Argument(help="What would be trained: a name of the zoo, a line of notation, a file.")],
    batch_size: Annotated[int | None, typer.Option(help="Pictures a step.", show_default="128")] = None,
    optimizer: Annotated[str | None, typer.Option(help="The one that the rate is for.", show_default="adamw")] = None,
    augment: Annotated[
        str | None, typer.Option(help='What is done to the pictures, such as "crop 4, flip".', show_default="nothing")
    ] = None,
    config: Annotated[Path | None, typer.Option(help="A JSON file of settings of training.")] = None,
    set_: Annotated[list[str] | None, typer.Option("--set", help="Any other setting: NAME=VALUE.")] = None,
    seed: Annotated[int, typer.Option(help="Of the first weights, the batches and the parts of the data.")] = 0,
    format: Annotated[str, typer.Option(help="text or json.")] = "text",
    out: Annotated[Path | None, typer.Option(help="The plot: FILE.png, .svg or .pdf.")] = None,
) -> None:
    """Propose a learning rate: the loss watched while the rate rises."""
    from rich.console import Console
    from rich.progress import Progress

    from foveal.cli import outcome
    from foveal.cli.pictures import PLOTS, check_suffix, save_plot
    from foveal.cli.scratch import read_options
    from foveal.cli.show import Watcher
    from foveal.cli.show import out as say
    from foveal.training.lr_find import STEPS, find_rate
    from foveal.training.run import network_and_pictures

    check_suffix(out, *PLOTS)
    outcome.check(format, None)
    settings = read_options(context)
    with Watcher(quiet=False) as watcher:
        graph, pictures = network_and_pictures(arch, data, seed=settings.seed, observer=watcher)
    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("raising the rate", total=STEPS)
        found = find_rate(graph, pictures, settings, progress=lambda done, total: bar.update(task, completed=done))
    say(json.dumps(found.to_json()) if format == "json" else str(found))
    if out:
        save_plot(found.plot(), out)
