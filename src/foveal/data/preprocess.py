"""From a decoded picture to a network's input. Plain data, so a bundle carries it and every user of it agrees."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from foveal.errors import DataError


@dataclass(frozen=True)
class Preprocessing:
    """How a picture becomes an input.

    Attributes
    ----------
    size : side of the square input in pixels.
    crop : share of the picture's shorter side that the central square keeps; 1.0 keeps all of it.
    mean, std : subtracted from and dividing the values 0..255, the same for the three channels.

    Resizing is bicubic with anti-aliasing (Pillow's).
    """

    size: int = 224
    crop: float = 1.0
    mean: float = 127.0
    std: float = 128.0

    def __call__(self, pixels: np.ndarray) -> np.ndarray:
        """`pixels` uint8 (H, W, 3) -> float32 (3, size, size)."""
        x = self.square(pixels).transpose(2, 0, 1).astype(np.float32)
        x -= self.mean
        x /= self.std
        return x

    def square(self, pixels: np.ndarray) -> np.ndarray:
        """The part of the picture that the network sees, uint8 (size, size, 3)."""
        from PIL import Image

        height, width = pixels.shape[:2]
        side = min(height, width) * self.crop
        left, top = (width - side) / 2, (height - side) / 2
        square = Image.fromarray(pixels).resize(
            (self.size, self.size), Image.Resampling.BICUBIC, box=(left, top, left + side, top + side)
        )
        return np.asarray(square)

    @property
    def at_least(self) -> int:
        """The shorter side, in pixels, below which decoding at reduced scale would lose detail."""
        return round(self.size / self.crop)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, data: Any) -> Preprocessing:
        """From untrusted data; DataError where a field is unknown, missing or out of range."""
        wanted = {"size": (16, 4096), "crop": (0.1, 1.0), "mean": (0.0, 255.0), "std": (1e-3, 255.0)}
        if not isinstance(data, dict) or data.keys() != wanted.keys():
            raise DataError(f"preprocessing: expected the keys {', '.join(wanted)}")
        for key, (least, most) in wanted.items():
            if type(data[key]) not in (int, float) or not least <= data[key] <= most:
                raise DataError(f"preprocessing: {key} = {data[key]!r:.40}; expected a number from {least} to {most}")
        if type(data["size"]) is not int:
            raise DataError(f"preprocessing: size = {data['size']!r:.40}; expected a whole number")
        return cls(**data)
