"""``foveal compare``."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer


def compare(
    context: typer.Context,
    data: Annotated[str, typer.Argument(help="A known dataset, such as digits, or photos as for train.")],
    networks: Annotated[
        list[str], typer.Argument(help="Two or more: zoo names or lines of notation; NAME=NETWORK names one.")
    ],
    repetitions: Annotated[int, typer.Option(help="Trainings of each network, each with another seed.")] = 3,
    epochs: Annotated[int | None, typer.Option(help="Passes over the training pictures.", show_default="10")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Pictures a step.", show_default="128")] = None,
    optimizer: Annotated[str | None, typer.Option(help="Such as momentum or adam.", show_default="adamw")] = None,
    lr: Annotated[
        float | None, typer.Option(help="The highest learning rate.", show_default="the optimizer's own")
    ] = None,
    augment: Annotated[str | None, typer.Option(help='Such as "crop 4, flip".', show_default="nothing")] = None,
    input: Annotated[
        str | None, typer.Option(help="Of all networks, such as 3x32x32.", show_default="one that suits all")
    ] = None,
    config: Annotated[Path | None, typer.Option(help="A JSON file of settings of training.")] = None,
    set_: Annotated[list[str] | None, typer.Option("--set", help="Any other setting: NAME=VALUE.")] = None,
    seed: Annotated[int, typer.Option(help="Of the first repetition, and of the division of the data.")] = 0,
    format: Annotated[str, typer.Option(help="text or json.")] = "text",
    out: Annotated[
        Path | None,
        typer.Option(
            help="A folder for report.html, plot.png, result.json, and what is finished, to go on from.",
            show_default="runs/compare-DATA",
        ),
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")] = False,
) -> None:
    """Train several networks on the same pictures with the same seeds, and say which is better and how sure that is."""
    from foveal.cli import outcome
    from foveal.cli.scratch import read_options
    from foveal.cli.show import Watcher, foreign_code
    from foveal.experiments.comparing import compare as run
    from foveal.runlog import results_folder
    from foveal.shapes import read_shape

    out = results_folder(Path(data), out or Path("runs") / f"compare-{Path(data).resolve().name}")
    outcome.check(format, out)
    settings = read_options(context)
    with Watcher(quiet) as watcher, foreign_code():
        found = run(
            named(networks), data, settings, repetitions=repetitions, out=out, observer=watcher,
            input_shape=read_shape(input) if input else None,
        )  # fmt: skip
    outcome.show(found, format, out)


def named(networks: Sequence[str]) -> dict[str, str]:
    """The networks by the names they are given, a zoo name or file by itself, and a line of notation by its number."""
    from foveal.errors import UsageError
    from foveal.text import printable

    found: dict[str, str] = {}
    for number, text in enumerate(networks, start=1):
        said = re.match(r"\s*([\w.-]+)\s*=\s*(.+)", text, re.DOTALL)
        name, network = (said[1], said[2]) if said else (f"network {number}" if ">" in text else text, text)
        if name in found:
            raise UsageError(f"two networks are called {printable(name)}; give one another name: NAME=NETWORK")
        found[name] = network
    return found
