"""From a decoded picture to a network's input. Plain data, so a bundle carries it and every user of it agrees."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from foveal.errors import DataError

_RANGES = {"size": (8, 4096), "crop": (0.1, 1.0), "mean": (0.0, 255.0), "std": (1e-3, 255.0)}
_INTERPOLATIONS = ("bicubic", "bilinear")
_USUAL = {"channels": 3, "border": 0}


@dataclass(frozen=True)
class Preprocessing:
    """How a picture becomes an input.

    Attributes
    ----------
    size : side of the square input in pixels.
    crop : share of the picture's shorter side that the central square keeps; 1.0 keeps all of it.
    mean, std : subtracted from and dividing the values 0..255: one number, or one a channel (red, green, blue).
    interpolation : ``"bicubic"`` or ``"bilinear"``, both with anti-aliasing (Pillow's).
    channels : 3, or 1 for grey (ITU-R 601 luma, Pillow's ``"L"``).
    border : pixels of black around the picture on each side, inside `size`: 2 make MNIST's 28 the 32 of LeNet-5.
    """

    size: int = 224
    crop: float = 1.0
    mean: float | tuple[float, ...] = 127.0
    std: float | tuple[float, ...] = 128.0
    interpolation: str = "bicubic"
    channels: int = 3
    border: int = 0

    def __call__(self, pixels: np.ndarray) -> np.ndarray:
        """`pixels` uint8 (H, W, 3) -> float32 (channels, size, size)."""
        x = self.square(pixels).transpose(2, 0, 1).astype(np.float32)
        x -= np.asarray(self.mean, np.float32).reshape(-1, 1, 1)
        x /= np.asarray(self.std, np.float32).reshape(-1, 1, 1)
        return x

    def square(self, pixels: np.ndarray) -> np.ndarray:
        """The part of the picture that the network sees, uint8 (size, size, channels)."""
        from PIL import Image

        height, width = pixels.shape[:2]
        side = min(height, width) * self.crop
        left, top = (width - side) / 2, (height - side) / 2
        image = Image.fromarray(pixels)
        square = (image if self.channels == 3 else image.convert("L")).resize(
            (self.inner, self.inner),
            Image.Resampling[self.interpolation.upper()],
            box=(left, top, left + side, top + side),
        )
        inside = np.asarray(square).reshape(self.inner, self.inner, self.channels)
        return np.pad(inside, ((self.border,) * 2, (self.border,) * 2, (0, 0))) if self.border else inside

    @property
    def inner(self) -> int:
        """Side of the square inside the border, in pixels."""
        return self.size - 2 * self.border

    @property
    def at_least(self) -> int:
        """The shorter side, in pixels, below which decoding at reduced scale would lose detail."""
        return round(self.inner / self.crop)

    def to_json(self) -> dict[str, Any]:
        """As plain data. Colour and no border go unsaid, so that older Foveals read what they can use."""
        return {key: value for key, value in asdict(self).items() if value != _USUAL.get(key)}

    @classmethod
    def from_json(cls, data: Any) -> Preprocessing:
        """From untrusted data; DataError where a field is unknown, missing or out of range.

        What older bundles do not state is usual: bicubic `interpolation`, 3 `channels`, no `border`.
        """
        optional = {"interpolation", *_USUAL}
        if not isinstance(data, dict) or not _RANGES.keys() <= data.keys() <= _RANGES.keys() | optional:
            raise DataError(
                f"preprocessing: expected the keys {', '.join(_RANGES)} and interpolation, and perhaps "
                f"{' and '.join(_USUAL)}"
            )
        fields = data | {key: tuple(data[key]) for key in ("mean", "std") if isinstance(data[key], list)}
        channels = fields.get("channels", 3)
        if type(channels) is not int or channels not in (1, 3):
            raise DataError(f"preprocessing: channels = {channels!r:.40}; expected 1 or 3")
        for key, (least, most) in _RANGES.items():
            values = fields[key] if isinstance(fields[key], tuple) else channels * (fields[key],)
            if len(values) != channels or not all(type(n) in (int, float) and least <= n <= most for n in values):
                many = f", or {'three' if channels == 3 else 'one'} of them" if key in ("mean", "std") else ""
                raise DataError(
                    f"preprocessing: {key} = {data[key]!r:.40}; expected a number from {least} to {most}{many}"
                )
        if type(data["size"]) is not int:
            raise DataError(f"preprocessing: size = {data['size']!r:.40}; expected a whole number")
        border = fields.get("border", 0)
        if type(border) is not int or not 0 <= 4 * border <= data["size"]:
            raise DataError(f"preprocessing: border = {border!r:.40}; expected 0 to a quarter of the size")
        if fields.get("interpolation", "bicubic") not in _INTERPOLATIONS:
            raise DataError(
                f"preprocessing: interpolation = {data['interpolation']!r:.40}; expected {' or '.join(_INTERPOLATIONS)}"
            )
        return cls(**fields)
