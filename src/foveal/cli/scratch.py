"""``foveal train --from-scratch``: options to a config, and what is said in the end."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import typer

from foveal.errors import UsageError

if TYPE_CHECKING:
    from foveal.training.config import Config

_OWN = ("epochs", "batch_size", "lr", "optimizer", "schedule", "augment", "patience", "device")
_SETTINGS = (*_OWN, "precision", "seed")
_ARGUMENTS = ("test", "validation", "group_by", "resume", "budget", "cache", "threads")
_OF_SCRATCH = (*_OWN, "validation", "input", "config", "set_", "resume")
_OF_BACKBONE = ("backbone", "weights")


def refuse_idle(context: typer.Context, network: str | None) -> None:
    """UsageError for an option of the other way to train, which would have no effect."""
    idle, why = (
        (_OF_SCRATCH, "goes with --from-scratch NETWORK only; give that, too, or leave it out")
        if network is None
        else (_OF_BACKBONE, "does not go with --from-scratch, whose weights are drawn at random; leave one out")
    )
    for name in idle:
        if _is_given(context, name):
            raise UsageError(f"--{name.strip('_').replace('_', '-')} {why}")
    data = context.params["data"]
    if network is None and not os.path.lexists(data):
        from foveal.datasets.known import DATASETS

        if data in DATASETS:
            raise UsageError(f"{data} is a known dataset, not photos; give --from-scratch NETWORK, such as lenet5")


def _is_given(context: typer.Context, name: str) -> bool:
    source = context.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"


def train_scratch(context: typer.Context, command: str) -> None:
    """Run `foveal.train_from_scratch` by the options of ``foveal train``."""
    from foveal.cli.show import Watcher, foreign_code
    from foveal.shapes import read_shape
    from foveal.training.run import train_from_scratch

    options = context.params
    quiet = options["quiet"] or os.environ.get("RANK", "0") != "0"  # of several processes the first one speaks
    with Watcher(quiet) as watcher, foreign_code():
        run = train_from_scratch(
            options["data"],
            options["from_scratch"],
            options["out"],
            config=read_options(context),
            input_shape=read_shape(options["input"]) if options["input"] else None,
            **{name: options[name] for name in _ARGUMENTS},
            command=command,
            observer=watcher,
        )
    if not quiet:
        _show(run.result)


def read_options(context: typer.Context) -> Config:
    """The config that the options ask for: its file, then each ``--set``, then what has an option of its own."""
    from foveal.training.config import Config, parse_setting, read_config

    options = context.params
    config = read_config(options["config"]) if options["config"] else Config()
    for setting in options["set_"] or ():
        config = config.with_values(parse_setting(setting))
    return config.with_values({name: options[name] for name in _SETTINGS if _is_given(context, name)})


def _show(result: Mapping[str, Any]) -> None:
    from foveal.cli.show import draw, out
    from foveal.report.terminal import class_table, training_lines
    from foveal.report.training_page import noun_of

    out()
    for line in training_lines(result):
        out(line)
    if sys.stdout.isatty():
        out()
        draw(class_table(result, noun=noun_of(result)))
