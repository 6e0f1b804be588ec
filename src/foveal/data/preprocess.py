"""From a decoded picture to a network's input. Plain data, so a bundle carries it and every user of it agrees."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from foveal.errors import DataError

_RANGES = {"size": (16, 4096), "crop": (0.1, 1.0), "mean": (0.0, 255.0), "std": (1e-3, 255.0)}
_INTERPOLATIONS = ("bicubic", "bilinear")


@dataclass(frozen=True)
class Preprocessing:
    """How a picture becomes an input.

    Attributes
    ----------
    size : side of the square input in pixels.
    crop : share of the picture's shorter side that the central square keeps; 1.0 keeps all of it.
    mean, std : subtracted from and dividing the values 0..255: one number, or one a channel (red, green, blue).
    interpolation : ``"bicubic"`` or ``"bilinear"``, both with anti-aliasing (Pillow's).
    """

    size: int = 224
    crop: float = 1.0
    mean: float | tuple[float, ...] = 127.0
    std: float | tuple[float, ...] = 128.0
    interpolation: str = "bicubic"

    def __call__(self, pixels: np.ndarray) -> np.ndarray:
        """`pixels` uint8 (H, W, 3) -> float32 (3, size, size)."""
        x = self.square(pixels).transpose(2, 0, 1).astype(np.float32)
        x -= np.asarray(self.mean, np.float32).reshape(-1, 1, 1)
        x /= np.asarray(self.std, np.float32).reshape(-1, 1, 1)
        return x

    def square(self, pixels: np.ndarray) -> np.ndarray:
        """The part of the picture that the network sees, uint8 (size, size, 3)."""
        from PIL import Image

        height, width = pixels.shape[:2]
        side = min(height, width) * self.crop
        left, top = (width - side) / 2, (height - side) / 2
        square = Image.fromarray(pixels).resize(
            (self.size, self.size),
            Image.Resampling[self.interpolation.upper()],
            box=(left, top, left + side, top + side),
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
        """From untrusted data; DataError where a field is unknown, missing or out of range.

        Without `interpolation`, which older bundles do not state, it is bicubic.
        """
        if not isinstance(data, dict) or data.keys() | {"interpolation"} != _RANGES.keys() | {"interpolation"}:
            raise DataError(f"preprocessing: expected the keys {', '.join(_RANGES)} and interpolation")
        fields = data | {key: tuple(data[key]) for key in ("mean", "std") if isinstance(data[key], list)}
        for key, (least, most) in _RANGES.items():
            values = fields[key] if isinstance(fields[key], tuple) else 3 * (fields[key],)
            if len(values) != 3 or not all(type(n) in (int, float) and least <= n <= most for n in values):
                many = ", or three of them" if key in ("mean", "std") else ""
                raise DataError(
                    f"preprocessing: {key} = {data[key]!r:.40}; expected a number from {least} to {most}{many}"
                )
        if type(data["size"]) is not int:
            raise DataError(f"preprocessing: size = {data['size']!r:.40}; expected a whole number")
        if fields.get("interpolation", "bicubic") not in _INTERPOLATIONS:
            raise DataError(
                f"preprocessing: interpolation = {data['interpolation']!r:.40}; expected {' or '.join(_INTERPOLATIONS)}"
            )
        return cls(**fields)
