"""``foveal layer``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from foveal.ops import Op
    from foveal.shapes import Shape


def layer(
    kind: Annotated[str, typer.Argument(help="conv, deconv, dense, maxpool, avgpool, lppool or medianpool.")] = "conv",
    input: Annotated[str, typer.Option(help="What goes in, e.g. 32x32x3.")] = "32x32x3",
    filters: Annotated[int, typer.Option(help="Output channels; units of a dense layer.")] = 16,
    kernel: Annotated[str, typer.Option(help="3, or 3x5.")] = "3",
    stride: Annotated[str | None, typer.Option(help="2, or 2x1; by default 1, for pooling the kernel.")] = None,
    padding: Annotated[str, typer.Option(help="1, or 1x2, or same.")] = "0",
    dilation: Annotated[str, typer.Option(help="2, or 2x1.")] = "1",
    groups: Annotated[int, typer.Option(help="Groups of channels.")] = 1,
    bias: Annotated[bool, typer.Option("--bias/--no-bias", help="One a filter.")] = True,
    strict: Annotated[bool, typer.Option("--strict", help="Refuse a stride that does not divide.")] = False,
    common: Annotated[bool, typer.Option("--common", help="The field's usual settings instead.")] = False,
    as_matrix: Annotated[bool, typer.Option("--as-matrix", help="The matrix that a small layer is.")] = False,
    out: Annotated[Path | None, typer.Option(help="With --as-matrix: draw it into FILE.svg.")] = None,
) -> None:
    """Work out one layer's arithmetic, beside a fully connected layer between the same volumes."""
    from foveal import ops
    from foveal.anatomy.layer import common_lines, layer_lines
    from foveal.cli.show import out as say
    from foveal.errors import UnknownName, UsageError
    from foveal.shapes import read_shape, slide

    if as_matrix and common:
        raise UsageError("--as-matrix is of one layer, --common a list of several; ask for one at a time")
    if out and not as_matrix:
        raise UsageError("--out is where --as-matrix draws: give that, too")
    x = read_shape(input, channels_last=True)
    if common:
        for line in common_lines(x):
            say(line)
        return
    step = sizes(stride, "--stride") if stride else None
    window, pads, spread = sizes(kernel, "--kernel"), paddings(padding), sizes(dilation, "--dilation")
    kinds: dict[str, Callable[[], ops.Op]] = {
        "conv": lambda: ops.Conv(filters, window, step or 1, pads, spread, groups, bias),
        "deconv": lambda: ops.ConvTranspose(filters, window, step or 1, pads, 0, spread, groups, bias),
        "dense": lambda: ops.Dense(filters, bias),
        "maxpool": lambda: ops.MaxPool(window, step, pads, dilation=spread),
        "avgpool": lambda: ops.AvgPool(window, step, pads, dilation=spread),
        "lppool": lambda: ops.LpPool(window, step, pads, dilation=spread),
        "medianpool": lambda: ops.MedianPool(window, step),
    }
    if kind not in kinds:
        raise UnknownName("layer", kind, kinds)
    op = kinds[kind]()
    if strict and hasattr(op, "kernel_size") and kind != "deconv":
        slide(x[1:], window, step or (1 if kind == "conv" else window), pads, spread, strict=True)
    if as_matrix:
        _matrix(op, x, out)
        return
    for line in layer_lines(op, x):
        say(line)


def _matrix(op: Op, x: Shape, target: Path | None) -> None:
    from foveal.cli.pictures import check_suffix
    from foveal.cli.show import deliver, out
    from foveal.teaching.layer_matrix import matrix_drawing, matrix_text

    check_suffix(target, ".svg")
    if target:
        deliver(matrix_drawing(op, x), target)
        return
    for line in matrix_text(op, x):
        out(line)


def paddings(said: str) -> int | str | tuple[int, ...]:
    """What --padding says: numbers, or "same"; UsageError."""
    return "same" if said == "same" else sizes(said, "--padding", least=0)


def sizes(said: str, option: str, least: int = 1) -> int | tuple[int, ...]:
    """A number, or one an axis: "3" or "3x5"; UsageError."""
    from foveal.errors import UsageError

    parts = said.lower().split("x")
    if not all(part.isascii() and part.isdigit() and int(part[:20]) >= least for part in parts):
        raise UsageError(f"{option} {said!r:.40}; expected whole numbers of at least {least}, such as 3 or 3x5")
    sizes = tuple(int(part[:20]) for part in parts)
    return sizes[0] if len(sizes) == 1 else sizes
