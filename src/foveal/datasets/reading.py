"""Files to pixels: every photo is read, and those that are not known yet are decoded, in threads."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from foveal import machine
from foveal.data.dataset import Dataset, Item, Photo, Refusal
from foveal.data.decode import DECODER_VERSION, decode, read_file
from foveal.data.hashing import content_hash, fingerprint
from foveal.data.preprocess import Preprocessing
from foveal.datasets.decoded import DecodedPictures, Scratch
from foveal.errors import ImageError, OutputError
from foveal.fetching import REMEDY
from foveal.files import locked
from foveal.parallel import in_order
from foveal.shapes import Shape
from foveal.store import Picture, Store
from foveal.weights import cache_folder

Observer = Callable[[str, dict[str, Any]], None]
"""Called with an event's name and its fields: ``progress`` and ``finding``, as in the main job."""

_BATCH = 16  # photos that a thread takes at a time
_IN_MEMORY = 1 << 30  # bytes of decoded pictures; more are mapped


@contextlib.contextmanager
def open_reader(
    dataset: Dataset, shape: Shape, *, threads: int | None, cache: bool, observer: Observer | None
) -> Iterator[Reader]:
    """A `Reader` that has what was kept from the last time, with the lock on it.

    Raises
    ------
    OutputError : the pictures are too many for the memory, and the cache cannot be written.
    """
    preprocessing = Preprocessing(size=shape[1], channels=shape[0])
    mapped = cache and len(dataset.items) * int(np.prod(shape)) > _IN_MEMORY
    notes: list[str] = []
    with contextlib.ExitStack() as stack:
        kept = None
        if cache:
            key = json.dumps([os.path.realpath(dataset.root), DECODER_VERSION, preprocessing.to_json()])
            folder = cache_folder() / "photos" / hashlib.sha256(key.encode()).hexdigest()[:16]
            try:
                stack.enter_context(locked(folder, wait=True, remedy=REMEDY))
                kept = DecodedPictures(folder, shape, whole=not mapped)
            except OutputError as error:
                if mapped:
                    raise
                notes.append(f"decoded photos are not kept for the next time: {error}")
        store = Store(cache_folder() / "features.sqlite" if cache else None)
        stack.callback(store.close)
        scratch = stack.enter_context(Scratch(shape, kept.folder if kept and mapped else None))
        yield Reader(
            dataset.items,
            preprocessing,
            threads or machine.cpu_threads(),
            store,
            kept,
            scratch,
            mapped,
            observer,
            notes,
        )


@dataclass
class Reader:
    """Reads a dataset's photos; made by `open_reader`.

    Attributes
    ----------
    preprocessing : what makes a photo a picture of the set.
    kept : decoded pictures of an earlier time; None where there is no cache.
    scratch : those decoded now.
    mapped : whether `pixels` gives a map of a file.
    notes : sentences about what was done.
    """

    items: Sequence[Item]
    preprocessing: Preprocessing
    threads: int
    store: Store
    kept: DecodedPictures | None
    scratch: Scratch
    mapped: bool
    observer: Observer | None
    notes: list[str] = field(default_factory=list)

    @cached_property
    def known(self) -> frozenset[str]:
        """Contents whose pixels are kept from an earlier time."""
        return frozenset(self.kept.rows if self.kept else ())

    def tell(self, event: str, **fields: Any) -> None:
        if self.observer:
            self.observer(event, fields)

    def photos(self) -> tuple[list[Photo], list[Refusal]]:
        """The readable photos in the order of the items, and the others."""
        photos: list[Photo] = []
        refused: list[Refusal] = []
        cached = 0
        for batch in in_order(self._read, self.items, batch=_BATCH, threads=self.threads):
            for photo, pixels in batch.read:
                photos.append(photo)
                if pixels is not None:
                    self.scratch[photo.sha256] = pixels
                cached += pixels is None
            refused += batch.refused
            self.tell("progress", done=len(photos) + len(refused), total=len(self.items), cached=cached)
        return photos, refused

    def pixels(self, order: Sequence[str], besides: Iterable[str]) -> np.ndarray:
        """The pictures of the contents `order`, uint8 (n, channels, height, width), as an array or a read-only map.

        `besides` : contents that are kept for the next time, too.
        """
        new = self.scratch.pictures()
        pictures = (self.kept.pictures() if self.kept else {}) | new
        rows = [*order, *sorted(set(besides).difference(order))]
        if self.kept and self.mapped:
            if self.kept.rows[: len(order)] != tuple(order):
                self.kept.write(pictures, rows)
            return self.kept.x[: len(order)]
        x = np.empty((len(order), *self.scratch.shape), np.uint8)
        for row, sha in zip(x, order, strict=True):
            row[:] = pictures[sha]
        if self.kept and new:
            try:
                self.kept.write(pictures, rows)
            except OutputError as error:
                self.notes.append(f"decoded photos are not kept for the next time: {error}")
        return x

    def _read(self, items: Sequence[Item]) -> _Batch:
        """One batch from the disk to pixels."""
        batch = _Batch()
        contents: list[tuple[Item, str, bytes]] = []
        for item in items:
            try:
                data = read_file(item.path)
                contents.append((item, content_hash(data), data))
            except ImageError as error:
                batch.refused.append(Refusal(item.path, error.reason))
        at_least = self.preprocessing.at_least
        decoder = f"{DECODER_VERSION}/{at_least}"
        pictures = self.store.pictures([sha for _, sha, _ in contents], decoder)
        new: dict[str, Picture] = {}
        for item, sha, data in contents:
            pixels = None
            if sha not in self.known or sha not in pictures:
                try:
                    decoded = decode(data, at_least=at_least, name=str(item.path))
                except ImageError as error:
                    batch.refused.append(Refusal(item.path, error.reason))
                    continue
                pixels = self.preprocessing.square(decoded.pixels).transpose(2, 0, 1)
                mark = fingerprint(decoded.pixels)
                new[sha] = pictures[sha] = Picture(decoded.width, decoded.height, mark, decoded.taken)
            picture = pictures[sha]
            photo = Photo(item, sha, picture.width, picture.height, picture.fingerprint, picture.taken)
            batch.read.append((photo, pixels))
        self.store.add(new, decoder, {}, "")
        return batch


@dataclass
class _Batch:
    """Photos, with their pixels where those were not kept from an earlier time."""

    read: list[tuple[Photo, np.ndarray | None]] = field(default_factory=list)
    refused: list[Refusal] = field(default_factory=list)
