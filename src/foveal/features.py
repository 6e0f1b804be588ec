"""Frozen features: every photo is read once, decoded once and run through the network once, and never again.

Each worker thread takes one batch of files from the disk to finished vectors. Decoding and inference both release
Python's lock, so that batches overlap and no queue or process is needed between them.
"""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Protocol

import numpy as np

from foveal.data.dataset import Item, Photo, Refusal
from foveal.data.decode import DECODER_VERSION, decode, read_file
from foveal.data.hashing import content_hash, fingerprint
from foveal.data.preprocess import Preprocessing
from foveal.errors import ImageError
from foveal.graph import Graph, Node
from foveal.ops import Concat, Dense, Flatten, GlobalAvgPool
from foveal.parallel import in_order
from foveal.store import Picture, Store
from foveal.weights import Weights

BATCH = 16  # photos; larger ones leave the processor's caches, smaller ones pay more calls
Progress = Callable[[int, int, int], None]
"""Called with photos done, photos in all, and how many of those done came from the cache."""


class Engine(Protocol):
    """What runs a graph: `foveal.engines.openvino.OpenVinoEngine` or `foveal.build.TorchEngine`."""

    name: str
    precision: str

    def __call__(self, batch: np.ndarray) -> list[np.ndarray]: ...


@dataclass(frozen=True)
class Backbone:
    """A pretrained network from its input to one pooled vector a feature level.

    Attributes
    ----------
    name : of the network.
    weights_name, source, licence : of its weights.
    graph : its outputs are the pooled levels, in the order of `levels`.
    levels : level -> the node whose map is pooled.
    weights : what `graph` needs, and no more.
    sha256 : `foveal.weights.digest` of all of the network's weights.
    preprocessing : what makes a picture its input.
    """

    name: str
    weights_name: str
    source: str
    licence: str
    graph: Graph
    levels: dict[str, str]
    weights: Weights
    sha256: str
    preprocessing: Preprocessing

    @cached_property
    def widths(self) -> dict[str, int]:
        """Numbers a photo gives at each level."""
        return {level: self.graph.shapes[node][0] for level, node in self.levels.items()}

    @property
    def decoder(self) -> str:
        """Key of what decoding gives."""
        return f"{DECODER_VERSION}/{self.preprocessing.at_least}"

    def recipe(self, engine: str, precision: str, mirrored: bool) -> str:
        """Key of the vectors: everything they depend on but the photo itself."""
        parts = [self.decoder, self.preprocessing.to_json(), self.sha256, self.graph.to_json(), engine, precision]
        return hashlib.sha256(json.dumps([*parts, mirrored]).encode()).hexdigest()


def pooled(graph: Graph, levels: dict[str, str]) -> Graph:
    """`graph` up to the maps of `levels`, each averaged over its positions and flattened, as the outputs."""
    trunk = graph.up_to(*levels.values())
    pools = [Node(f"head.{level}.pool", GlobalAvgPool(), (node,)) for level, node in levels.items()]
    flats = [Node(f"head.{level}.flatten", Flatten(), (pool.name,)) for level, pool in zip(levels, pools, strict=True)]
    return replace(trunk, nodes=(*trunk.nodes, *pools, *flats), outputs=tuple(flat.name for flat in flats))


def with_head(backbone: Backbone, levels: Sequence[str], num_classes: int) -> Graph:
    """The whole classifier as one graph: the pooled `levels`, joined, into one dense layer ``head.dense``."""
    trunk = pooled(backbone.graph, {level: backbone.levels[level] for level in levels})
    joined = trunk.outputs[0]
    extra = []
    if len(levels) > 1:
        joined = "head.concat"
        extra.append(Node(joined, Concat(), trunk.outputs))
    extra.append(Node("head.dense", Dense(num_classes), (joined,)))
    return replace(trunk, nodes=(*trunk.nodes, *extra), outputs=("head.dense",))


@dataclass
class Extraction:
    """What one pass over the files gave.

    Attributes
    ----------
    photos : the readable ones, in the order of the items.
    features : level -> float32 (photos, width); empty where none were asked for.
    refused : the unreadable ones.
    cached : photos whose decoding and features all came from the cache.
    seconds : wall time of the pass.
    """

    photos: list[Photo]
    features: dict[str, np.ndarray]
    refused: list[Refusal]
    cached: int
    seconds: float


class Extractor:
    """Reads photos into features.

    Parameters
    ----------
    backbone : the network.
    make_engine : ``(graph, weights, precision=, threads=) -> Engine``; called when the first photo needs it.
    engine_name : of the engine that `make_engine` gives; part of the cache's key.
    precision : ``"f32"`` or ``"bf16"``.
    store : the cache.
    threads : batches under way at once.
    """

    def __init__(
        self,
        backbone: Backbone,
        make_engine: Callable[..., Engine],
        *,
        engine_name: str,
        precision: str,
        store: Store,
        threads: int,
    ) -> None:
        self.backbone, self.make_engine, self.engine_name = backbone, make_engine, engine_name
        self.precision, self.store, self.threads = precision, store, threads
        self._lock = threading.Lock()
        self._engine: Engine | None = None

    def __call__(
        self, items: Sequence[Item], *, mirrored: bool = False, progress: Progress | None = None
    ) -> Extraction:
        """Photos and features of `items`; `mirrored` turns each photo left to right first."""
        recipe = self.backbone.recipe(self.engine_name, self.precision, mirrored)
        return self._pass(items, recipe, mirrored, progress)

    def look(self, items: Sequence[Item], *, progress: Progress | None = None) -> Extraction:
        """Photos without features: what pre-flight alone needs."""
        return self._pass(items, None, False, progress)

    def at(self, precision: str) -> Extractor:
        """The same in another precision."""
        return Extractor(
            self.backbone,
            self.make_engine,
            engine_name=self.engine_name,
            precision=precision,
            store=self.store,
            threads=self.threads,
        )

    def engine(self) -> Engine:
        """The engine for the backbone's graph, compiled on first use by whichever thread comes first."""
        with self._lock:
            if self._engine is None:
                backbone = self.backbone
                self._engine = self.make_engine(
                    backbone.graph, backbone.weights, precision=self.precision, threads=self.threads
                )
            return self._engine

    def _pass(self, items: Sequence[Item], recipe: str | None, mirrored: bool, progress: Progress | None) -> Extraction:
        begin = time.perf_counter()
        widths = self.backbone.widths if recipe else {}
        rows = {level: np.empty((len(items), width), np.float32) for level, width in widths.items()}
        edges = np.cumsum([0, *widths.values()])
        photos: list[Photo] = []
        refused: list[Refusal] = []
        done = cached = 0
        for batch in in_order(
            lambda part: self._read(part, recipe, mirrored), items, batch=BATCH, threads=self.threads
        ):
            for photo, vector in batch.read:
                for array, start, stop in zip(rows.values(), edges, edges[1:], strict=False):
                    array[len(photos)] = vector[start:stop]
                photos.append(photo)
            refused += batch.refused
            done += len(batch.read) + len(batch.refused)
            cached += batch.cached
            if progress:
                progress(done, len(items), cached)
        features = {level: array[: len(photos)] for level, array in rows.items()}
        return Extraction(photos, features, refused, cached, time.perf_counter() - begin)

    def _read(self, items: Sequence[Item], recipe: str | None, mirrored: bool) -> _Batch:
        """One batch from the disk to finished vectors."""
        batch = _Batch()
        contents: list[tuple[Item, str, bytes]] = []
        for item in items:
            try:
                data = read_file(item.path)
                contents.append((item, content_hash(data), data))
            except ImageError as error:
                batch.refused.append(Refusal(item.path, error.reason))
        hashes = [sha for _, sha, _ in contents]
        pictures = self.store.pictures(hashes, self.backbone.decoder)
        vectors = self._known_vectors(hashes, recipe) if recipe else dict.fromkeys(hashes, _NOTHING)
        inputs: dict[str, np.ndarray] = {}
        for item, sha, data in contents:
            if (sha in pictures or sha in batch.new_pictures) and (sha in vectors or sha in inputs):
                continue
            try:
                decoded = decode(data, at_least=self.backbone.preprocessing.at_least, name=str(item.path))
            except ImageError as error:
                batch.refused.append(Refusal(item.path, error.reason))
                continue
            mark = fingerprint(decoded.pixels)
            batch.new_pictures[sha] = Picture(decoded.width, decoded.height, mark, decoded.taken)
            if sha not in vectors:
                x = self.backbone.preprocessing(decoded.pixels)
                inputs[sha] = x[:, :, ::-1] if mirrored else x
        if inputs:
            outputs = np.concatenate(self.engine()(np.stack(list(inputs.values()))), axis=1)
            batch.new_vectors = dict(zip(inputs, outputs, strict=True))
        self.store.add(batch.new_pictures, self.backbone.decoder, batch.new_vectors, recipe or "")
        batch.collect(contents, pictures | batch.new_pictures, vectors | batch.new_vectors)
        return batch

    def _known_vectors(self, hashes: list[str], recipe: str) -> dict[str, np.ndarray]:
        size = sum(self.backbone.widths.values())
        return {sha: vector for sha, vector in self.store.vectors(hashes, recipe).items() if vector.size == size}


@dataclass
class _Batch:
    read: list[tuple[Photo, np.ndarray]] = field(default_factory=list)
    refused: list[Refusal] = field(default_factory=list)
    new_pictures: dict[str, Picture] = field(default_factory=dict)
    new_vectors: dict[str, np.ndarray] = field(default_factory=dict)
    cached: int = 0

    def collect(
        self, contents: list[tuple[Item, str, bytes]], pictures: dict[str, Picture], vectors: dict[str, np.ndarray]
    ) -> None:
        """Join every file with what is now known of its content; the rest has been refused."""
        for item, sha, _ in contents:
            if sha in pictures and sha in vectors:
                picture = pictures[sha]
                photo = Photo(item, sha, picture.width, picture.height, picture.fingerprint, picture.taken)
                self.read.append((photo, vectors[sha]))
                self.cached += sha not in self.new_pictures and sha not in self.new_vectors


_NOTHING = np.empty(0, np.float32)
