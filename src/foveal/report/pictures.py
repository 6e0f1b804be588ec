"""The pictures of a report: thumbnails, and what the network looked at."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from foveal.account import FINDING_PATHS, FINDING_ROWS
from foveal.data.decode import decode_image
from foveal.data.preprocess import Preprocessing
from foveal.data.thumbnails import overlay, thumbnail
from foveal.errors import ImageError
from foveal.features import BATCH, Engine
from foveal.heads.maps import class_map
from foveal.parallel import in_order


@dataclass
class Gallery:
    """JPEG bytes by path, without metadata. A photo that cannot be read is not in it."""

    thumbnails: dict[str, bytes] = field(default_factory=dict)
    maps: dict[str, bytes] = field(default_factory=dict)


def collect(
    paths: Sequence[str],
    explained: Mapping[str, int],
    weight: np.ndarray,
    engine: Engine,
    preprocessing: Preprocessing,
    threads: int,
) -> Gallery:
    """Thumbnails of `paths`, and for those in `explained` the map of the class given there.

    Parameters
    ----------
    explained : path -> class index, a row of `weight` (classes, features).
    engine : gives the feature maps that the head joins, in its order.
    """

    def work(part: Sequence[str]) -> Gallery:
        gallery = Gallery()
        squares: dict[str, np.ndarray] = {}
        for path in part:
            try:
                pixels = decode_image(Path(path), at_least=preprocessing.at_least)
            except ImageError:
                continue
            gallery.thumbnails[path] = thumbnail(pixels)
            if path in explained:
                squares[path] = preprocessing.square(pixels)
        if squares:
            levels = engine(np.stack([preprocessing(square) for square in squares.values()]))
            for i, (path, square) in enumerate(squares.items()):
                heat = class_map([level[i] for level in levels], weight[explained[path]])
                gallery.maps[path] = overlay(square, heat)
        return gallery

    whole = Gallery()
    for gallery in in_order(work, paths, batch=BATCH, threads=threads):
        whole.thumbnails |= gallery.thumbnails
        whole.maps |= gallery.maps
    return whole


def enlarged(pixels: np.ndarray, side: int = 160) -> bytes:
    """One picture of an array, uint8 (1 or 3, height, width), as a JPEG of about `side` pixels, its own kept square."""
    times = max(1, side // max(pixels.shape[1:]))
    large = pixels.repeat(times, axis=1).repeat(times, axis=2).transpose(1, 2, 0)
    return thumbnail(np.ascontiguousarray(np.broadcast_to(large, (*large.shape[:2], 3))), side)


def thumbnails_of_findings(findings: Sequence[Mapping[str, Any]]) -> dict[str, bytes]:
    """JPEG bytes by path, of the photos of pre-flight's findings that a report shows."""
    rows = [row for finding in findings for row in finding["rows"][:FINDING_ROWS]]
    found = {}
    for path in {path for row in rows for path in row["paths"][:FINDING_PATHS]}:
        with contextlib.suppress(ImageError):
            found[path] = thumbnail(decode_image(Path(path), at_least=160))
    return found
