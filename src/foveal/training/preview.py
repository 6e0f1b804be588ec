"""What a training batch looks like: pictures as they are, and beside them as some epochs change them."""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from foveal.datasets.pictures import PictureSet
from foveal.teaching.pictures import Pixels
from foveal.text import plural, printable
from foveal.training.augmentation import augment, parse
from foveal.training.batches import order, seed_step

SIDE = 96  # pixels that a small picture is enlarged to at least, in whole steps
GAP, LINE = 8, 14
INK, MUTED, PAPER = (24, 28, 32), (96, 104, 112), (255, 255, 255)


def preview(
    data: PictureSet, augmentations: str, *, count: int = 8, epochs: int = 6, batch_size: int = 128, seed: int = 0
) -> Pixels:
    """The first pictures of the first training batch, each as it is and as the first epochs show it.

    Every column but the first is what `foveal.training.augmentation.augment` makes of the same batch (which a training
    shuffles anew each epoch); pictures that are mixed bear the shares of their classes.

    Parameters
    ----------
    augmentations : as in ``Config.augment``.
    count : rows, at most those of a batch; `epochs` : columns.

    Returns
    -------
    uint8 (height, width, 3).
    """
    rows = order(len(data.train), seed, 0)[:batch_size]
    few = data.train[rows.numpy()]
    x, y = torch.from_numpy(np.ascontiguousarray(few.x)), torch.from_numpy(few.y)
    columns, fill = [(x, y)], torch.tensor(data.mean, dtype=torch.float32)
    for epoch in range(epochs):
        seed_step(seed, epoch)
        changed = augment(
            x, y, parse(augmentations), num_classes=len(data.classes), epoch=epoch, rows=rows, seed=seed, fill=fill
        )
        columns.append(changed)
    heads = ["as it is", *(f"epoch {epoch + 1}" for epoch in range(epochs))]
    return _sheet(heads, columns, min(count, len(rows)), data.classes)


def said(data: PictureSet, augmentations: str) -> str:
    """What the picture shows, in a line."""
    words = ", ".join(map(str, parse(augmentations))) or "nothing"
    return f"{printable(data.name)}: {plural(len(data.train), 'training picture')}; done to them: {words}"


def _sheet(heads: list[str], columns: list[tuple[Tensor, Tensor]], count: int, classes: tuple[str, ...]) -> Pixels:
    """The pictures in rows, their classes under them."""
    _, _, height, width = columns[0][0].shape
    factor = max(1, SIDE // max(height, width))
    high, wide = factor * height, max(factor * width, SIDE)
    across, down = wide + GAP, high + 2 * LINE + GAP
    sheet = Image.new("RGB", (GAP + across * len(columns), LINE + GAP + down * count), PAPER)
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(size=11)
    for i, (head, (x, y)) in enumerate(zip(heads, columns, strict=True)):
        left = GAP + i * across
        draw.text((left, 2), _spaced(head), fill=MUTED, font=font)
        for row in range(count):
            top = LINE + GAP + row * down
            small = Image.fromarray(_pixels(x[row]))
            sheet.paste(small.resize((factor * width, factor * height), Image.Resampling.NEAREST), (left, top))
            for line, name in enumerate(_names(y[row], classes)):
                draw.text((left, top + high + line * (LINE - 2)), _spaced(name), fill=INK, font=font)
    return np.asarray(sheet)


def _spaced(text: str) -> str:
    """`text` with spaces that are seen: one of this font is two pixels wide."""
    return text.replace(" ", "  ")


def _pixels(x: Tensor) -> Pixels:
    values = x.float().round().clamp(0, 255).to(torch.uint8).permute(1, 2, 0).numpy()
    return np.broadcast_to(values, (*values.shape[:2], 3)) if values.shape[2] == 1 else values


def _names(target: Tensor, classes: tuple[str, ...]) -> list[str]:
    """The class, or the two with the largest shares."""
    if target.dim() == 0:
        return [printable(classes[int(target)], limit=16)]
    share, which = target.topk(min(2, len(target)))
    return [
        f"{part:.0%} {printable(classes[i], limit=11)}"
        for part, i in zip(share.tolist(), which.tolist(), strict=True)
        if part > 0
    ]
