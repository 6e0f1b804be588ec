"""``foveal lr-find``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer


def lr_find(
    data: Annotated[str, typer.Argument(help="What would be trained on: a known dataset, a folder or a manifest.")],
    arch: Annotated[str, typer.Argument(help="What would be trained: a name of the zoo, a line of notation, a file.")],
    batch_size: Annotated[int, typer.Option(help="Pictures a step.")] = 128,
    optimizer: Annotated[str, typer.Option(help="The one that the rate is for.")] = "adamw",
    augment: Annotated[
        str | None, typer.Option(help='What is done to the pictures, such as "crop 4, flip".', show_default="nothing")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the first weights, the batches and the parts of the data.")] = 0,
    format: Annotated[str, typer.Option(help="text or json.")] = "text",
    out: Annotated[Path | None, typer.Option(help="The plot: FILE.png, .svg or .pdf.")] = None,
) -> None:
    """Propose a learning rate: the loss watched while the rate rises."""
    from rich.console import Console
    from rich.progress import Progress

    from foveal.cli import outcome
    from foveal.cli.pictures import PLOTS, check_suffix, save_plot
    from foveal.cli.show import Watcher
    from foveal.cli.show import out as say
    from foveal.training.config import Config
    from foveal.training.lr_find import STEPS, find_rate
    from foveal.training.run import network_and_pictures

    check_suffix(out, *PLOTS)
    outcome.check(format, None)
    config = Config(batch_size=batch_size, optimizer=optimizer, augment=augment or "", seed=seed)
    with Watcher(quiet=False) as watcher:
        graph, pictures = network_and_pictures(arch, data, seed=seed, observer=watcher)
    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("raising the rate", total=STEPS)
        found = find_rate(graph, pictures, config, progress=lambda done, total: bar.update(task, completed=done))
    say(json.dumps(found.to_json()) if format == "json" else str(found))
    if out:
        save_plot(found.plot(), out)
