"""``foveal layer``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

import typer


def layer(
    kind: Annotated[str, typer.Argument(help="conv, deconv, dense, maxpool, avgpool or medianpool.")] = "conv",
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
) -> None:
    """Work out one layer's arithmetic, beside a fully connected layer between the same volumes."""
    from foveal import ops
    from foveal.anatomy.layer import common_lines, layer_lines
    from foveal.cli.show import out
    from foveal.errors import UnknownName
    from foveal.shapes import read_shape, slide

    x = read_shape(input, channels_last=True)
    if common:
        for line in common_lines(x):
            out(line)
        return
    step = _sizes(stride, "--stride") if stride else None
    window, pads = _sizes(kernel, "--kernel"), "same" if padding == "same" else _sizes(padding, "--padding", least=0)
    spread = _sizes(dilation, "--dilation")
    kinds: dict[str, Callable[[], ops.Op]] = {
        "conv": lambda: ops.Conv(filters, window, step or 1, pads, spread, groups, bias),
        "deconv": lambda: ops.ConvTranspose(filters, window, step or 1, pads, 0, spread, groups, bias),
        "dense": lambda: ops.Dense(filters, bias),
        "maxpool": lambda: ops.MaxPool(window, step, pads),
        "avgpool": lambda: ops.AvgPool(window, step, pads),
        "medianpool": lambda: ops.MedianPool(window, step),
    }
    if kind not in kinds:
        raise UnknownName("layer", kind, kinds)
    op = kinds[kind]()
    if strict and hasattr(op, "kernel_size") and kind != "deconv":
        slide(x[1:], window, step or (1 if kind == "conv" else window), pads, spread, strict=True)
    for line in layer_lines(op, x):
        out(line)


def _sizes(said: str, option: str, least: int = 1) -> int | tuple[int, ...]:
    from foveal.errors import UsageError

    parts = said.lower().split("x")
    if not all(part.isascii() and part.isdigit() and int(part[:20]) >= least for part in parts):
        raise UsageError(f"{option} {said!r:.40}; expected whole numbers of at least {least}, such as 3 or 3x5")
    sizes = tuple(int(part[:20]) for part in parts)
    return sizes[0] if len(sizes) == 1 else sizes
