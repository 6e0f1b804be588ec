"""Which photos are the same: by their bytes, and by what they show."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from foveal.data.dataset import Photo

_SIDE = 16  # the fingerprint is a 16 x 16 RGB thumbnail
_DISTANCE = 0.07  # share of the pattern's energy that may differ, as a root; see `near_duplicates`
_FLOOR = 4.0  # grey levels of contrast below which a pattern is mostly compression noise
_CONTRAST = 1.45  # how far two contrasts may be apart, as a ratio
_NEIGHBOURS = 16
_DIMENSIONS = 24
_CHUNK = 4096


def content_hash(data: bytes) -> str:
    """SHA-256 of a file's bytes, 64 hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()


def fingerprint(pixels: NDArray[np.uint8]) -> bytes:
    """What `near_duplicates` compares: a 16 x 16 RGB thumbnail, 768 bytes.

    Resampled with a triangle filter as wide as a cell, so that the result hardly depends on the size at which the
    picture was stored or decoded.

    Parameters
    ----------
    pixels : uint8, H x W x 3, of any size.
    """
    from PIL import Image

    thumbnail = Image.fromarray(pixels).resize((_SIDE, _SIDE), Image.Resampling.BILINEAR, reducing_gap=4.0)
    return thumbnail.tobytes()


@dataclass(frozen=True)
class Duplicates:
    """Photos that are the same; indices into the photos, each group of two or more, ascending.

    Attributes
    ----------
    exact : groups of photos whose files are equal byte for byte.
    near : groups of photos that show the same picture in files that differ (exact copies among them are included).
    """

    exact: tuple[tuple[int, ...], ...]
    near: tuple[tuple[int, ...], ...]

    def ids(self, count: int) -> NDArray[np.int64]:
        """One number per photo, equal for photos that are the same in either way; numbered by first appearance."""
        parent = np.arange(count)
        for group in (*self.exact, *self.near):  # near groups come last and contain every exact group they touch
            parent[list(group)] = group[0]
        return np.unique(parent, return_inverse=True)[1].astype(np.int64)


def find_duplicates(photos: Sequence[Photo]) -> Duplicates:
    """Exact and near duplicates among `photos`. Takes seconds for 70,000; do it once and hand the result on."""
    same: dict[str, list[int]] = {}
    for index, photo in enumerate(photos):
        same.setdefault(photo.sha256, []).append(index)
    distinct = list(same.values())
    groups = near_duplicates([photos[members[0]].fingerprint for members in distinct])
    near = [tuple(sorted(index for one in group for index in distinct[one])) for group in groups]
    return Duplicates(tuple(tuple(members) for members in distinct if len(members) > 1), tuple(sorted(near)))


def near_duplicates(fingerprints: Sequence[bytes]) -> list[list[int]]:
    """Groups of pictures that are the same but for size, compression and a mild change of brightness.

    Two thumbnails match when, each less its mean colour and divided by its contrast, they differ by at most 7 % (root
    mean square), their contrasts by at most a factor of 1.45, and their mean colours by little (two grey levels for
    blank pictures, more where a pattern vouches for the match). Candidates come from a k-d tree over the leading
    principal components of the grey pattern; an orthogonal projection never lengthens a distance, so it drops no match
    for being too far. Each picture is compared with its 16 nearest there, and crowds are merged in further passes.

    Groups are connected components: a copy of a copy belongs to the group. A thumbnail tells photographs apart, but not
    one piece of plain sky from the next.

    Parameters
    ----------
    fingerprints : one per picture, as `fingerprint` makes them.

    Returns
    -------
    Groups of two or more indices, ascending, in the order of their first member.
    """
    numbers: dict[bytes, int] = {}
    which = np.array([numbers.setdefault(mark, len(numbers)) for mark in fingerprints], dtype=np.int64)
    if len(which) < 2:
        return []
    thumbs = np.frombuffer(b"".join(numbers), np.uint8).reshape(len(numbers), -1, 3)
    component = _components(thumbs)[which]
    order = np.argsort(component, kind="stable")
    cuts = np.flatnonzero(np.diff(component[order])) + 1
    return sorted(part.tolist() for part in np.split(order, cuts) if len(part) > 1)


def _components(thumbs: NDArray[np.uint8]) -> NDArray[np.int64]:
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    label = np.arange(len(thumbs))
    kept = label  # the pictures still to be compared; after the first pass, one for each crowded component
    while len(kept) > 1:
        first, second = _matches(thumbs[kept])
        edges = coo_array((np.ones(len(first), np.int8), (kept[first], kept[second])), shape=(len(label), len(label)))
        edges = edges + coo_array((np.ones(len(label), np.int8), (np.arange(len(label)), label)), shape=edges.shape)
        label = _first_member(connected_components(edges, directed=False)[1])
        degree = np.bincount(np.concatenate((first, second)), minlength=len(kept))
        crowded = np.unique(label[kept[degree >= _NEIGHBOURS]])
        if len(crowded) == len(kept):
            break
        kept = crowded
    return label


def _first_member(component: NDArray[np.int32]) -> NDArray[np.int64]:
    first, number = np.unique(component, return_index=True, return_inverse=True)[1:]
    label: NDArray[np.int64] = first[number]
    return label


def _matches(thumbs: NDArray[np.uint8]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Pairs that match, each once."""
    from scipy.spatial import cKDTree

    points = _project(np.concatenate([_grey(thumbs[i : i + _CHUNK]) for i in range(0, len(thumbs), _CHUNK)]))
    asked = min(_NEIGHBOURS + 1, len(points))  # the nearest is the picture itself, or one in the same place
    near, index = cKDTree(points).query(points, k=asked, distance_upper_bound=_DISTANCE * 1.0001, workers=-1)
    picture, column = np.nonzero(np.isfinite(near))
    pairs = np.sort(np.stack((picture, index[picture, column]), axis=1), axis=1)
    pairs = np.unique(pairs[pairs[:, 0] != pairs[:, 1]], axis=0)
    same = [_same(thumbs[part[:, 0]], thumbs[part[:, 1]]) for part in np.array_split(pairs, len(pairs) // _CHUNK + 1)]
    pairs = pairs[np.concatenate(same)]
    return pairs[:, 0], pairs[:, 1]


def _pattern(thumbs: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """Unit patterns (n, cells, 3), mean colours (n, 3) and contrasts (n,) of thumbnails (n, cells, 3)."""
    values = thumbs.astype(np.float32)
    colour = values.mean(axis=1)
    values -= colour[:, None]
    contrast = np.sqrt(np.mean(values**2, axis=(1, 2)))
    size = np.sqrt(values.shape[1] * values.shape[2])
    return values / ((contrast + _FLOOR) * size)[:, None, None], colour, contrast


def _grey(thumbs: NDArray[np.uint8]) -> NDArray[np.float32]:
    grey: NDArray[np.float32] = _pattern(thumbs)[0].sum(axis=2) / np.float32(np.sqrt(3))
    return grey


def _project(grey: NDArray[np.float32]) -> NDArray[np.float32]:
    axes = np.linalg.eigh((grey.T @ grey).astype(np.float64))[1][:, -_DIMENSIONS:]
    projected: NDArray[np.float32] = grey @ axes.astype(np.float32)
    return projected


def _same(first: NDArray[np.uint8], second: NDArray[np.uint8]) -> NDArray[np.bool_]:
    pattern, colour, contrast = _pattern(first)
    pattern_2, colour_2, contrast_2 = _pattern(second)
    distance = np.sqrt(np.sum((pattern - pattern_2) ** 2, axis=(1, 2)))
    low, high = np.minimum(contrast, contrast_2), np.maximum(contrast, contrast_2)
    colours = np.abs(colour - colour_2).max(axis=1)
    alike = (high + _FLOOR <= _CONTRAST * (low + _FLOOR)) & (colours <= np.minimum(2 + 3 * low, 40))
    same: NDArray[np.bool_] = (distance <= _DISTANCE) & alike
    return same
