"""``foveal filter``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def filter_(
    photo: Annotated[Path, typer.Argument(help="A picture, of any size, in colour or grey.")],
    kernel: Annotated[
        str,
        typer.Option(help='blur, sharpen, vertical, horizontal, edges, "\\[\\[0, 1], \\[2, 3]]", or a file of rows.'),
    ] = "blur",
    stride: Annotated[str, typer.Option(help="2, or 2x1.")] = "1",
    padding: Annotated[str, typer.Option(help="Zeros around: 1, or 1x2, or same.")] = "0",
    out: Annotated[Path | None, typer.Option(help="Before and after side by side: FILE.png.")] = None,
) -> None:
    """Slide a small kernel over a picture: cross-correlation, as in a convolutional layer."""
    from foveal.cli.layer import paddings, sizes
    from foveal.cli.pictures import check_suffix, save_both
    from foveal.cli.show import out as say
    from foveal.data.decode import decode_image
    from foveal.teaching.filters import filter_lines, filter_picture, read_kernel
    from foveal.teaching.pictures import grey_if_grey

    check_suffix(out, ".png")
    weights, steps, around = read_kernel(kernel), sizes(stride, "--stride"), paddings(padding)
    before = grey_if_grey(decode_image(photo))
    after, shown = filter_picture(before, weights, steps, around)
    for line in filter_lines(before, after, weights, shown):
        say(line)
    if out:
        save_both(before, after, out)
