"""``foveal open``."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from foveal.explaining.gradient import Gradient, Step
    from foveal.explaining.observing import Observed
    from foveal.explaining.path import Path as Way
    from foveal.explaining.receipt import Receipt

FORMATS = ("text", "json", "html")


def open_unit(
    model: Annotated[str, typer.Argument(help="A bundle, or the name of a network with published weights.")],
    image: Annotated[Path, typer.Argument(help="The picture that goes through it.")],
    at: Annotated[
        str | None, typer.Option(help="The number to open: NODE\\[channel,y,x] or NODE\\[i].", show_default="a logit")
    ] = None,
    backward: Annotated[bool, typer.Option("--backward", help="Also the gradient that comes back to it.")] = False,
    weight: Annotated[str | None, typer.Option(help="The gradient of one weight: NODE\\[o,i,ky,kx].")] = None,
    target: Annotated[str | None, typer.Option(help="A class, by name or number.", show_default="the answer")] = None,
    loss: Annotated[bool, typer.Option("--loss", help="Of the loss for the target, not of its logit.")] = False,
    step: Annotated[str | None, typer.Option(help="Move the weight: sgd, momentum, nesterov, adagrad, ...")] = None,
    lr: Annotated[float | None, typer.Option(help="The learning rate of --step.", show_default="0.01")] = None,
    follow: Annotated[bool, typer.Option("--follow", help="Walk down the strongest contributions.")] = False,
    code: Annotated[bool, typer.Option("--code", help="Print a PyTorch script that comes to the number.")] = False,
    weights: Annotated[
        Path | None, typer.Option(help="A .pth or .safetensors file for MODEL, instead of the published weights.")
    ] = None,
    format: Annotated[str, typer.Option(help=", ".join(FORMATS) + ".")] = "text",
    out: Annotated[Path | None, typer.Option(help="The file to write.", show_default="stdout")] = None,
) -> None:
    """Open one number of a network that has seen a picture: the products, the sum, the gradient."""
    from foveal.cli.show import deliver
    from foveal.errors import UsageError
    from foveal.explaining.gradient import backward as trace_back
    from foveal.explaining.gradient import step as move
    from foveal.explaining.gradient import weight_gradient
    from foveal.explaining.microscope import observe, parse_unit, receipt
    from foveal.explaining.path import follow as walk
    from foveal.explaining.script import gradient_script, unit_script
    from foveal.graph import INPUT

    if format not in FORMATS:
        raise UsageError(f"--format {format!r:.40}; expected one of {', '.join(FORMATS)}")
    for idle, given, needed in (
        ("--step", step and not weight, "moves one weight: give --weight NODE[o,i,ky,kx], too"),
        ("--lr", lr is not None and not step, "is the learning rate of --step; give that, too"),
        ("--loss", loss and not (backward or weight), "is for gradients: give --backward or --weight, too"),
        ("--backward", backward and weight, "is for the unit of --at, --weight for a weight; ask for one at a time"),
        ("--follow", follow and weight and at is None, "goes down from a unit: say which with --at"),
        ("--code", code and (step or follow or format != "text"), "is an answer of its own; ask for one at a time"),
    ):
        if given:
            raise UsageError(f"{idle} {needed}")
    seen = observe(model, image, weights=weights)
    unit = parse_unit(at) if at is not None else (seen.scores, (seen.class_index(target),))
    of_weight = weight is not None and at is None
    opened = None if of_weight or (backward and unit[0] == INPUT) else receipt(seen, *unit)
    gradient = None
    if backward:
        gradient = trace_back(seen, *unit, target=target, loss=loss)
    elif weight:
        gradient = weight_gradient(seen, *parse_unit(weight), target=target, loss=loss or bool(step))
    moved = move(gradient, step, 0.01 if lr is None else lr) if step and gradient else None
    way = walk(seen, *unit) if follow else None
    if code:
        deliver(gradient_script(gradient) if gradient else unit_script(opened) if opened else "", out)
    elif format == "json":
        deliver(json.dumps(_plain(opened, gradient, moved, way, seen)), out)
    elif format == "html":
        from foveal.explaining.page import page

        deliver(page(opened, gradient, moved, way), out)
    else:
        deliver("\n".join(_lines(opened, gradient, moved, way)), out)


def _plain(
    opened: Receipt | None, gradient: Gradient | None, moved: Step | None, way: Way | None, seen: Observed
) -> dict[str, object]:
    parts = {"gradient": gradient, "step": moved, "path": way}
    answer = {"answer": seen.class_name(int(seen.logits.argmax()))}
    return (opened.to_json() if opened else {}) | answer | {key: part.to_json() for key, part in parts.items() if part}


def _lines(opened: Receipt | None, gradient: Gradient | None, moved: Step | None, way: Way | None) -> Iterator[str]:
    from foveal.explaining.gradient_text import step_lines

    blocks = [str(part).splitlines() for part in (opened, gradient) if part]
    blocks += [list(step_lines(moved))] if moved else []
    blocks += [str(way).splitlines()] if way else []
    for i, block in enumerate(blocks):
        yield from ([""] if i else [])
        yield from block
