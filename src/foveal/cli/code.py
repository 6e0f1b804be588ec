"""``foveal code``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def code(
    model: Annotated[str, typer.Argument(help="As for inspect.")],
    framework: Annotated[str, typer.Option(help="torch or keras.")] = "torch",
    input: Annotated[str | None, typer.Option(help="The input's shape, e.g. 3x224x224.")] = None,
    out: Annotated[Path | None, typer.Option(help="The file to write.", show_default="stdout")] = None,
) -> None:
    """Write a network as a readable source file with no Foveal in it."""
    from foveal.cli.show import deliver, foreign_code
    from foveal.networks import read_network
    from foveal.shapes import read_shape
    from foveal.source import write_code

    with foreign_code():
        graph = read_network(model, read_shape(input) if input else None).graph
    deliver(write_code(graph, framework), out)
