"""``foveal tune``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer


def tune(
    context: typer.Context,
    data: Annotated[str, typer.Argument(help="A known dataset, such as digits, or photos as for train.")],
    network: Annotated[str, typer.Argument(help="A name of the zoo, a line of notation, a graph's file.")],
    out: Annotated[Path, typer.Option(help="The folder of the study, its report and winner.json.")],
    trials: Annotated[int, typer.Option(help="Of the study in the end; those of earlier runs count.")] = 20,
    budget: Annotated[float | None, typer.Option(help="Seconds after which no further trial begins.")] = None,
    search: Annotated[
        list[str] | None,
        typer.Option(help="What is searched: lr=1e-4..1e-1 or optimizer=adamw|nesterov.", show_default="the usual"),
    ] = None,
    repetitions: Annotated[int, typer.Option(help="Seeds from which the winner is trained again.")] = 3,
    storage: Annotated[
        str | None,
        typer.Option(help="The URL of a database that several machines search.", show_default="a file in out"),
    ] = None,
    study: Annotated[
        str | None, typer.Option(help="Its name in the database.", show_default="network and data")
    ] = None,
    config: Annotated[Path | None, typer.Option(help="A JSON file of settings to begin with.")] = None,
    set_: Annotated[list[str] | None, typer.Option("--set", help="A setting that is not searched: NAME=VALUE.")] = None,
    validation: Annotated[float, typer.Option(help="Share of the training pictures to choose on.")] = 0.1,
    format: Annotated[str, typer.Option(help="text or json.")] = "text",
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")] = False,
) -> None:
    """Search for good settings on the validation part; test the winner once, and say how far the search flattered."""
    from foveal.cli import outcome
    from foveal.cli.scratch import read_options
    from foveal.cli.show import Watcher
    from foveal.experiments.space import parse_space
    from foveal.experiments.tuning import tune as run
    from foveal.files import make_folder, write_atomic
    from foveal.runlog import RunLog
    from foveal.training.run import network_and_pictures

    outcome.check(format, out)
    base = read_options(context)
    space = parse_space(search or (), base)
    make_folder(out)
    with Watcher(quiet) as watcher, RunLog(out / "log.jsonl", watcher, goes_on=True) as log:
        graph, pictures = network_and_pictures(network, data, seed=base.seed, validation=validation, observer=watcher)
        found = run(
            graph, pictures, base, space=space, trials=trials, budget=budget, storage=storage or out / "study.sqlite",
            study=study, repetitions=repetitions, out=out, observer=lambda event, fields: log(event, **fields),
        )  # fmt: skip
    write_atomic(out / "winner.json", json.dumps(found.config.to_json(), indent=1) + "\n")
    outcome.show(found, format, out)
