"""``foveal preview``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def preview(
    data: Annotated[str, typer.Argument(help="A known dataset, such as digits, or photos as for train.")],
    augment: Annotated[str, typer.Option(help='What is done, such as "crop 4, flip, cutout 8".')] = "crop 4, flip",
    input: Annotated[
        str | None, typer.Option(help="Channels and size: 3x32x32.", show_default="the data's, or 64x64x3")
    ] = None,
    count: Annotated[int, typer.Option(min=1, max=64, help="Pictures, one a row.")] = 8,
    epochs: Annotated[int, typer.Option(min=1, max=16, help="Columns: what each epoch makes of them.")] = 6,
    batch_size: Annotated[int, typer.Option(min=1, help="Pictures that mixup and cutmix mix among.")] = 128,
    seed: Annotated[int, typer.Option(min=0, help="Of what is drawn.")] = 0,
    out: Annotated[Path, typer.Option(help="FILE.png.")] = Path("preview.png"),
) -> None:
    """Show what a training batch looks like under augmentation, epoch by epoch."""
    from foveal.cli.pictures import check_suffix, save_png
    from foveal.cli.show import Watcher
    from foveal.cli.show import out as say
    from foveal.datasets import DATASETS, load
    from foveal.shapes import read_shape
    from foveal.training.augmentation import parse
    from foveal.training.preview import preview as shown
    from foveal.training.preview import said

    check_suffix(out, ".png")
    parse(augment)
    own = DATASETS[data].shape if data in DATASETS else (3, 64, 64)
    with Watcher(quiet=False) as watcher:
        pictures = load(data, read_shape(input) if input else own, seed=seed, observer=watcher)
    say(said(pictures, augment))
    save_png(shown(pictures, augment, count=count, epochs=epochs, batch_size=batch_size, seed=seed), out)
