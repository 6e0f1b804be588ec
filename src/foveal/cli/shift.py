"""``foveal shift``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

FORMATS = ("text", "json")


def shift(
    photo: Annotated[Path, typer.Argument(help="The picture to move.")],
    at: Annotated[str, typer.Option(help="The map to watch: a node, such as stem.conv.")],
    model: Annotated[
        str, typer.Option(help="A bundle, or the name of a network with published weights.")
    ] = "efficientnet_lite0",
    by: Annotated[int, typer.Option(help="Pixels, the most.")] = 8,
    pool: Annotated[int, typer.Option(help="The window of the max pooling to compare with.")] = 2,
    format: Annotated[str, typer.Option(help=" or ".join(FORMATS) + ".")] = "text",
    out: Annotated[Path | None, typer.Option(help="The plot: FILE.png, .svg or .pdf.")] = None,
) -> None:
    """Move a picture: a convolution's map moves along, pooling makes less of it."""
    from foveal.cli.pictures import PLOTS, check_suffix, save_plot
    from foveal.cli.show import out as say
    from foveal.errors import UsageError
    from foveal.explaining.shift import shift as shifted

    check_suffix(out, *PLOTS)
    if format not in FORMATS:
        raise UsageError(f"--format {format!r:.40}; expected one of {', '.join(FORMATS)}")
    found = shifted(model, photo, at, by=by, pool=pool)
    say(json.dumps(found.to_json()) if format == "json" else str(found))
    if out:
        save_plot(found.plot(), out)
