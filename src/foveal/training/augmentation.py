"""What is done to training pictures so that they are not learnt by heart: a batch at a time, on tensors.

========== ==================== ================================================================================
word       number               what it does
========== ==================== ================================================================================
``crop``   pixels, 1 to 64      moves by up to that many along each axis (He et al. 2016, section 4.2)
``flip``   none                 mirrors in every second epoch (Jordan 2024, arXiv:2404.00498, section 3.6)
``rotate`` degrees, 1 to 180    turns by up to that angle to either side
``scale``  share, 0.01 to 0.9   makes larger or smaller by up to that share
``colour`` share, 0.01 to 0.9   changes brightness, contrast and saturation by up to that share each
``cutout`` pixels, 1 to 512     hides a square of that side, its centre anywhere (DeVries & Taylor 2017)
``erase``  probability, to 1    makes a rectangle of 2 to 33 % noise (Zhong et al. 2017)
``mixup``  alpha, 0.01 to 10    lays the batch over itself, the shares from Beta(a, a) (Zhang et al. 2018)
``cutmix`` alpha, 0.01 to 10    puts in a rectangle of another picture, its area likewise (Yun et al. 2019)
========== ==================== ================================================================================

They work in this order, however they are named, `rotate` and `scale` at once. What `crop`, `rotate` and `scale` bring
in from outside a picture repeats its border; what `cutout` puts in has the mean colour of the training part, which is 0
once normalised. Where mixup and cutmix are both asked for, each batch gets one. Random numbers come from PyTorch's own
generator of the batch's device; only `flip` draws none.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional as F

from foveal.errors import UnknownName, UsageError
from foveal.text import printable

ERASED = (0.02, 0.33)  # share of the picture; the upper end is torchvision's, the paper has 0.4
ASPECT = (0.3, 1 / 0.3)  # height to width of what is erased; Zhong et al. (2017), section 3
GREY = (0.299, 0.587, 0.114)  # ITU-R BT.601


@dataclass(frozen=True)
class Batch:
    """Training pictures on their way: bytes until arithmetic makes them float32, on the same scale.

    Attributes
    ----------
    x : (n, channels, height, width).
    y : (n,) classes, or (n, classes) shares of them.
    rows : (n,) the pictures' numbers in the training part.
    fill : (channels,) the mean colour, on the scale of bytes, for `cutout`.
    """

    x: Tensor
    y: Tensor
    rows: Tensor
    fill: Tensor
    num_classes: int
    epoch: int
    seed: int

    @property
    def colour(self) -> Tensor:
        """`fill` so that it spreads over `x`, in its type."""
        value = self.fill if self.x.is_floating_point() else self.fill.round()
        return value.to(self.x.dtype).view(1, -1, 1, 1)

    def random(self, *shape: int, low: float = 0.0, high: float = 1.0) -> Tensor:
        return torch.empty(shape, device=self.x.device).uniform_(low, high)


@dataclass(frozen=True)
class Augmentation:
    """One word and its number."""

    word: str
    number: float | None = None

    @property
    def mixes(self) -> bool:
        """Whether targets become shares of classes."""
        return self.word in ("mixup", "cutmix")

    def __str__(self) -> str:
        return self.word if self.number is None else f"{self.word} {self.number:g}"


def parse(text: str) -> tuple[Augmentation, ...]:
    """``"flip, crop 4"`` as what is done, in the order in which it is done; nothing for an empty text.

    Raises
    ------
    UnknownName : a word that is none of the table's.
    UsageError : a number that is missing, too many or out of range; a word said twice.
    """
    said = [_read(part.split()) for part in text.split(",") if part.strip()]
    words = [each.word for each in said]
    if twice := {word for word in words if words.count(word) > 1}:
        raise UsageError(f"augment: {min(twice)} is said twice; once is enough")
    return tuple(sorted(said, key=lambda each: list(WORDS).index(each.word)))


def _read(parts: list[str]) -> Augmentation:
    name = "colour" if parts[0] == "color" else parts[0]
    if name not in WORDS:
        raise UnknownName("augmentation", printable(parts[0]), WORDS)
    limits, _ = WORDS[name]
    if limits is None:
        if len(parts) > 1:
            raise UsageError(f"augment: {name} takes no number, received {printable(' '.join(parts[1:]))}")
        return Augmentation(name)
    low, high = limits
    whole = type(low) is int
    example = f"{name} {max(low, min(high, 4 if whole else 0.2)):g}"
    try:
        (number,) = map(float, parts[1:])
    except ValueError:
        number = math.nan
    if not low <= number <= high or (whole and number != int(number)):
        raise UsageError(
            f"augment: {printable(' '.join(parts))}; expected {name} and a {'whole ' * whole}number from {low:g} to "
            f"{high:g}, as in {example}"
        )
    return Augmentation(name, number)


def augment(
    x: Tensor,
    y: Tensor,
    augmentations: tuple[Augmentation, ...],
    *,
    num_classes: int,
    epoch: int,
    rows: Tensor,
    seed: int,
    fill: Tensor,
) -> tuple[Tensor, Tensor]:
    """Change training pictures, and their targets where pictures are mixed.

    Parameters
    ----------
    x : uint8 (n, channels, height, width); y : int64 (n,) classes.
    epoch, rows, seed : of the pictures (n,), for `flip`.
    fill : (channels,) the mean colour, for `cutout`.

    Returns
    -------
    (x, y) : uint8 or float32 on the scale of bytes; int64 (n,), or float32 (n, num_classes) of pictures that are mixed.

    Raises
    ------
    UsageError : pictures too small for `crop` or `cutout`.
    """
    batch = Batch(x, y, rows, fill, num_classes, epoch, seed)
    numbers = {each.word: each.number or 0.0 for each in _of_this_batch(augmentations)}
    for word, number in numbers.items():
        _, change = WORDS[word]
        if word == "rotate":
            batch = rotate(batch, number, numbers.get("scale", 0.0))
        elif word != "scale" or "rotate" not in numbers:
            batch = change(batch, number)
    return batch.x, batch.y


def _of_this_batch(augmentations: tuple[Augmentation, ...]) -> tuple[Augmentation, ...]:
    """All but one of mixup and cutmix where there are both."""
    mixing = [each for each in augmentations if each.mixes]
    if len(mixing) < 2:
        return augmentations
    left_out = mixing[int(torch.randint(2, ()))]
    return tuple(each for each in augmentations if each is not left_out)


def crop(batch: Batch, number: float) -> Batch:
    x, reach = batch.x, int(number)
    n, channels, height, width = x.shape
    if reach >= min(height, width):
        raise UsageError(f"augment: crop {reach} moves pictures of {height}x{width} out of sight; use fewer pixels")
    # the border is repeated sideways in memory, up and down by reading its line again
    wide = torch.cat([x[..., :1].expand(-1, -1, -1, reach), x, x[..., -1:].expand(-1, -1, -1, reach)], 3)
    line = width + 2 * reach
    down, right = torch.randint(2 * reach + 1, (2, n, 1, 1), device=x.device)
    lines = (torch.arange(-reach, height - reach, device=x.device) + down).clamp_(0, height - 1).mul_(line)
    planes = torch.arange(0, wide.numel(), height * line, device=x.device).view(n, channels, 1)
    starts = planes + right + lines
    pieces = wide.view(-1).unfold(0, width, 1)  # as wide as a picture, from every pixel: copied whole, so quickly
    return replace(batch, x=pieces.index_select(0, starts.view(-1)).view(x.shape))


def flip(batch: Batch, _: float) -> Batch:
    """A picture's first epoch of being mirrored is drawn from its number, by the last step of MurmurHash3 (Appleby)."""
    drawn = batch.rows + batch.seed * 0x9E3779B1 & 0xFFFFFFFF
    for factor, shift in ((0x85EBCA6B, 16), (0xC2B2AE35, 13)):
        drawn = (drawn ^ drawn >> shift) * factor & 0xFFFFFFFF
    mirrored = ((drawn >> 16) + batch.epoch & 1).to(batch.x.device)
    n = len(batch.x)
    chosen = torch.arange(n, device=batch.x.device) + n * mirrored  # whole pictures are copied, not single pixels
    return replace(batch, x=torch.cat([batch.x, batch.x.flip(3)]).index_select(0, chosen))


def rotate(batch: Batch, number: float, scaled: float = 0.0) -> Batch:
    """And `scaled` by up to that share, at once: pixels that are interpolated twice are blurred twice."""
    angle = batch.random(len(batch.x), low=-number, high=number).deg2rad()
    size = batch.random(len(batch.x), low=1 - scaled, high=1 + scaled)
    height, width = batch.x.shape[2:]
    cos, sin = angle.cos() / size, angle.sin() / size  # p, in pixels, shows what was at [[cos, -sin], [sin, cos]] p
    zero = torch.zeros_like(cos)
    rows = [cos, -sin * (height / width), zero, sin * (width / height), cos, zero]
    grid = F.affine_grid(torch.stack(rows, 1).view(-1, 2, 3), list(batch.x.shape), align_corners=False)
    return replace(batch, x=F.grid_sample(batch.x.float(), grid, padding_mode="border", align_corners=False))


def scale(batch: Batch, number: float) -> Batch:
    return rotate(batch, 0.0, number)


def colour(batch: Batch, number: float) -> Batch:
    brightness, contrast, saturation = batch.random(3, len(batch.x), 1, 1, 1, low=1 - number, high=1 + number)
    x = batch.x.float() * brightness
    average = x.mean((1, 2, 3), keepdim=True)
    x = average + (x - average) * contrast
    if x.shape[1] == 3:
        grey = (x * x.new_tensor(GREY).view(1, 3, 1, 1)).sum(1, keepdim=True)
        x = grey + (x - grey) * saturation
    return replace(batch, x=x.clamp_(0, 255))


def cutout(batch: Batch, number: float) -> Batch:
    height, width = batch.x.shape[2:]
    if number >= min(height, width):
        raise UsageError(f"augment: cutout {number:g} hides pictures of {height}x{width}; use fewer pixels")
    down, across = (torch.randint(size, (len(batch.x),), device=batch.x.device) for size in (height, width))
    side = torch.full((len(batch.x),), number, device=batch.x.device)
    inside = _rectangles(batch, down - number // 2, across - number // 2, side, side)
    return replace(batch, x=torch.where(inside, batch.colour, batch.x))


def erase(batch: Batch, number: float) -> Batch:
    n, _, height, width = batch.x.shape
    area = batch.random(n, low=ERASED[0], high=ERASED[1]) * height * width
    aspect = batch.random(n, low=math.log(ASPECT[0]), high=math.log(ASPECT[1])).exp()
    high, wide = (area * aspect).sqrt().clamp(max=height), (area / aspect).sqrt().clamp(max=width)
    inside = _rectangles(batch, batch.random(n) * (height - high), batch.random(n) * (width - wide), high, wide)
    inside &= (batch.random(n) < number).view(-1, 1, 1, 1)
    noise = torch.randint(256, batch.x.shape, dtype=torch.uint8, device=batch.x.device).to(batch.x.dtype)
    return replace(batch, x=torch.where(inside, noise, batch.x))


def mixup(batch: Batch, number: float) -> Batch:
    share, other = _partners(batch, number)
    x = batch.x.float()
    return replace(batch, x=x.lerp(x[other], share), y=_shared(batch, other, share))


def cutmix(batch: Batch, number: float) -> Batch:
    share, other = _partners(batch, number)
    height, width = batch.x.shape[2:]
    high, wide = (torch.full((1,), size * math.sqrt(share), device=batch.x.device) for size in (height, width))
    top, left = batch.random(1) * height - high / 2, batch.random(1) * width - wide / 2
    inside = _rectangles(batch, top, left, high, wide)
    real = float(inside.float().mean())  # a rectangle at the border is cut off
    return replace(batch, x=torch.where(inside, batch.x[other], batch.x), y=_shared(batch, other, real))


def _partners(batch: Batch, alpha: float) -> tuple[float, Tensor]:
    """The share that each picture's partner gets, and who that is."""
    share = float(torch.distributions.Beta(alpha, alpha).sample())
    return share, torch.randperm(len(batch.x), device=batch.x.device)


def _shared(batch: Batch, other: Tensor, share: float) -> Tensor:
    y = batch.y if batch.y.dim() == 2 else F.one_hot(batch.y, batch.num_classes).float()
    return y.lerp(y[other], share)


def _rectangles(batch: Batch, top: Tensor, left: Tensor, high: Tensor, wide: Tensor) -> Tensor:
    """(n, 1, height, width): which pixels, by their centres, lie in each picture's rectangle."""
    height, width = (torch.arange(size, device=batch.x.device) + 0.5 for size in batch.x.shape[2:])
    down = (height >= top[:, None]) & (height < (top + high)[:, None])
    across = (width >= left[:, None]) & (width < (left + wide)[:, None])
    return (down[:, :, None] & across[:, None, :])[:, None]


WORDS: dict[str, tuple[tuple[float, float] | None, Callable[[Batch, float], Batch]]] = {
    "crop": ((1, 64), crop),
    "flip": (None, flip),
    "rotate": ((1.0, 180.0), rotate),
    "scale": ((0.01, 0.9), scale),
    "colour": ((0.01, 0.9), colour),
    "cutout": ((1, 512), cutout),
    "erase": ((0.01, 1.0), erase),
    "mixup": ((0.01, 10.0), mixup),
    "cutmix": ((0.01, 10.0), cutmix),
}
"""For each word the range of its number, and what it does to a batch; in the order in which they work."""
