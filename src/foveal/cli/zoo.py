"""``foveal zoo``."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from foveal.catalogue import Entry

FORMATS = ("table", "json", "csv", "markdown")


def zoo(
    name: Annotated[str | None, typer.Argument(help="A network, for all that is known of it.")] = None,
    family: Annotated[str | None, typer.Option(help="Only this family: resnet, vgg, ...")] = None,
    max_params: Annotated[str | None, typer.Option(help="Only networks with at most, say, 5M parameters.")] = None,
    sort: Annotated[
        str | None,
        typer.Option(help="A column: year, parameters, macs, accuracy, ...", show_default="families by year"),
    ] = None,
    format: Annotated[str, typer.Option(help=", ".join(FORMATS) + ".")] = "table",
    measure: Annotated[bool, typer.Option("--measure", help="Measure images/s on this machine.")] = False,
    fetch: Annotated[bool, typer.Option("--fetch", help="Put the network's published weights into the cache.")] = False,
    timeline: Annotated[
        Path | None, typer.Option(help="Draw year against size and accuracy: .png, .svg, .pdf.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="The file to write.", show_default="stdout")] = None,
) -> None:
    """List the zoo's networks: papers, counts, weights; or all that is known of one."""
    from foveal.errors import UsageError

    if format not in FORMATS:
        raise UsageError(f"--format {format!r:.40}; expected one of {', '.join(FORMATS)}")
    listing = {"--family": family, "--max-params": max_params, "--sort": sort, "--timeline": timeline}
    if name is not None:
        _refuse("goes with the list, not with one network", listing)
        if format not in ("table", "json"):
            raise UsageError(f"{name:.80}: one network is shown as --format table or json, not {format}")
        _one(name, format, measure, fetch, out)
    elif fetch:
        raise UsageError("--fetch needs the name of a network, such as: foveal zoo efficientnet_lite0 --fetch")
    elif timeline:
        from foveal.catalogue.plot import timeline as draw
        from foveal.cli.pictures import PLOTS, check_suffix, save_plot

        other = {"--sort": sort, "--format": format != "table", "--measure": measure, "--out": out}
        _refuse("does not go with --timeline, which draws a picture", other)
        check_suffix(timeline, *PLOTS, option="--timeline")
        save_plot(draw(_entries(family, max_params)), timeline)
    else:
        _list(family, max_params, sort, format, measure, out)


def _refuse(why: str, given: Mapping[str, object]) -> None:
    """UsageError for an option that would have no effect."""
    from foveal.errors import UsageError

    for option, value in given.items():
        if value:
            raise UsageError(f"{option} {why}")


def _one(name: str, format: str, measure: bool, fetch: bool, out: Path | None) -> None:
    from foveal.catalogue import describe, images_per_second
    from foveal.catalogue.details import description
    from foveal.cli.show import deliver, terminal_width
    from foveal.errors import UsageError
    from foveal.zoo import MODELS

    if name not in MODELS and name in {model.family for model in MODELS.values()}:
        raise UsageError(f"{name} is a family: foveal zoo --family {name}")
    known = describe(name)
    if fetch:
        _fetch(name)
    if measure:
        known["images_per_second"] = images_per_second(name)
    width = None if out else terminal_width()
    deliver(json.dumps(known) if format == "json" else description(known, width), out)


def _fetch(name: str) -> None:
    from foveal.catalogue.rows import published
    from foveal.checkpoints import load_pretrained
    from foveal.cli.show import Watcher, tell
    from foveal.errors import UsageError

    weights = [entry.name for entry in published(name)]
    if not weights:
        raise UsageError(f"--fetch: no weights are published for {name}; foveal zoo lists those for which some are")
    with Watcher(quiet=False) as watch:
        load_pretrained(name, weights[0], progress=lambda done, total: watch("fetch", {"done": done, "total": total}))
    tell(f"{name}: the {weights[0]} weights are in the cache")


def _entries(family: str | None, max_params: str | None) -> list[Entry]:
    from foveal.catalogue import entries, read_count

    return entries(family=family, max_parameters=None if max_params is None else read_count(max_params))


def _list(
    family: str | None, max_params: str | None, sort: str | None, format: str, measure: bool, out: Path | None
) -> None:
    from foveal.catalogue import sort_entries
    from foveal.catalogue.rows import check_column
    from foveal.cli.show import deliver, terminal_width
    from foveal.errors import UsageError

    if sort is not None and check_column(sort) == "images_per_second" and not measure:
        raise UsageError("--sort images_per_second needs --measure")
    found = _entries(family, max_params)
    if measure:
        found = _measured(found)
    if sort is not None:
        found = sort_entries(found, sort)
    deliver(_rendered(found, format, None if out else terminal_width()), out)


def _rendered(found: Sequence[Entry], format: str, width: int | None) -> str:
    from foveal.catalogue.table import csv_table, markdown_table, text_table
    from foveal.text import plural

    if format == "json":
        return json.dumps([entry.to_json() for entry in found])
    if format == "csv":
        return csv_table(found)
    if format == "markdown":
        return markdown_table(found)
    if not found:
        return "no network is so small; foveal zoo --sort parameters has the smallest last"
    lines, left_out = text_table(found, width)
    missing = [f"(no room for {', '.join(left_out)}: widen the window, or see --format csv)"] * bool(left_out)
    return "\n".join([*lines, *missing, "", f"{plural(len(found), 'network')}; foveal zoo NAME tells all of one"])


def _measured(entries: Sequence[Entry]) -> list[Entry]:
    """`entries` with their speeds; the progress through them is on stderr."""
    from rich.console import Console
    from rich.progress import track

    from foveal.catalogue import images_per_second
    from foveal.catalogue.table import rate
    from foveal.cli.show import tell

    found: list[Entry] = []
    console = Console(stderr=True)
    for entry in track(entries, "measuring", console=console, transient=True, disable=not console.is_terminal):
        speed = images_per_second(entry.name)
        found.append(replace(entry, images_per_second=speed))
        if not console.is_terminal:
            tell(f"{len(found)} of {len(entries)}: {entry.name} {rate(speed)} images/s")
    return found
