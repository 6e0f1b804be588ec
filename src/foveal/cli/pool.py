"""``foveal pool``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def pool(
    what: Annotated[str, typer.Argument(help='A picture, "\\[\\[0, 1], \\[2, 3]]", or a .csv, .txt or .json of rows.')],
    op: Annotated[str, typer.Option(help="max, mean or median.")] = "max",
    size: Annotated[str, typer.Option(help="Of a window: 2, or 2x3.")] = "2",
    stride: Annotated[str | None, typer.Option(help="2, or 2x1.", show_default="the size")] = None,
    backward: Annotated[bool, typer.Option("--backward", help="Of a matrix: where the gradient goes.")] = False,
    gradient: Annotated[
        str | None, typer.Option(help="With --backward: that of the output, a matrix.", show_default="all 1")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Of a picture: before and after side by side, FILE.png.")] = None,
) -> None:
    """Pool a matrix window by window, and back; or a picture."""
    from foveal.cli.layer import sizes
    from foveal.cli.pictures import check_suffix, save_both
    from foveal.cli.show import out as say
    from foveal.errors import UsageError
    from foveal.teaching import pooling
    from foveal.teaching.matrices import read_matrix
    from foveal.teaching.pictures import grey_if_grey

    check_suffix(out, ".png")
    window, step = sizes(size, "--size"), sizes(stride, "--stride") if stride else None
    if gradient and not backward:
        raise UsageError("--gradient is what --backward starts from: give that, too")
    if what.lstrip().startswith("[") or Path(what).suffix.lower() in (".csv", ".txt", ".json"):
        if out:
            raise UsageError("--out is for a picture; a matrix is written as text")
        matrix, wanted = read_matrix(what), read_matrix(gradient) if gradient else None
        for line in pooling.pool_lines(matrix, op, window, step):
            say(line)
        for line in pooling.backward_lines(matrix, op, window, step, wanted) if backward else ():
            say(line)
        return
    if backward:
        raise UsageError(
            "--backward is for a matrix, whose gradient can be written down; give one in place of a picture"
        )
    from foveal.data.decode import decode_image

    before = grey_if_grey(decode_image(what))
    after = pooling.pool_picture(before, op, window, step)
    say(pooling.summary(op, window, step, before.shape, after.shape))
    if out:
        save_both(before, after, out)
