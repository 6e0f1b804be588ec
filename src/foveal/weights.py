"""Weights: arrays by name, kept as safetensors, checked against the graph they are for."""

from __future__ import annotations

import hashlib
import json
import math
import os
import stat
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np

from foveal.errors import WeightsError
from foveal.graph import Graph
from foveal.shapes import Shape
from foveal.text import printable

Weights = Mapping[str, np.ndarray]
"""Arrays under the names of `Graph.parameters` and `Graph.buffers`."""

_LONGEST_HEADER = 100_000_000  # bytes; the safetensors format's own limit
_LARGEST = 1 << 32  # bytes of a file that is for an unknown network


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
    needed = 4 * sum(math.prod(shape) for shape in (graph.parameters() | graph.buffers()).values())
    data = _read(path, needed + _LONGEST_HEADER, f"longer than {graph.name}'s weights")
    if sha256 is not None and hashlib.sha256(data).hexdigest() != sha256:
        raise WeightsError(
            f"{printable(path)}: its content is not what its record says; the file is damaged or was replaced"
        )
    shapes = _read_header(path, data)
    check_weights(graph, shapes)
    return _read_arrays(path, data, shapes)


def load_arrays(path: Path) -> dict[str, np.ndarray]:
    """All arrays of a safetensors file, for whatever network, without batch norms' counters of batches.

    Raises
    ------
    WeightsError : missing or damaged file, one of several GB, or values that are no float32 numbers.
    """
    data = _read(path, _LARGEST, f"longer than {_LARGEST >> 30} GB")
    return _read_arrays(path, data, _read_header(path, data))


def is_counter(name: str) -> bool:
    """Whether `name` is of a batch norm's counter of training batches, which inference never reads."""
    return name.endswith("num_batches_tracked")


def _read(path: Path, most: int, too_long: str) -> bytes:
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode) or status.st_size > most:
            raise WeightsError(f"{printable(path)}: not a file, or {too_long}; it was not read")
        return path.read_bytes()
    except OSError as error:
        raise WeightsError(f"{printable(path)}: cannot be read ({error.strerror})") from error


def _read_header(path: Path, data: bytes) -> dict[str, Shape]:
    """Names and shapes from the head of a safetensors file: 8 bytes of length, then JSON."""
    length = int.from_bytes(data[:8], "little")
    try:
        if length > min(len(data) - 8, _LONGEST_HEADER):
            raise ValueError("the header is longer than the file")
        header = json.loads(data[8 : 8 + length])
        header.pop("__metadata__", None)
        shapes = {name: entry for name, entry in header.items() if not is_counter(name)}
        for name, entry in shapes.items():
            if entry["dtype"] != "F32" or not all(type(n) is int and n >= 0 for n in entry["shape"]):
                raise ValueError(f"{name}: expected float32 and a list of sizes")
        return {name: tuple(entry["shape"]) for name, entry in shapes.items()}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        reason = printable(str(error)) if type(error) is ValueError else "its head is no list of tensors"
        raise WeightsError(f"{printable(path)}: not a safetensors file ({reason})") from error


def _read_arrays(path: Path, data: bytes, names: Iterable[str]) -> dict[str, np.ndarray]:
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        found = load(data)
        weights = {name: found[name] for name in names}
    except (SafetensorError, ValueError, KeyError) as error:
        raise WeightsError(f"{printable(path)}: damaged safetensors file, cut short perhaps") from error
    check_finite(weights, path)
    return weights


def check_finite(weights: Weights, path: Path) -> None:
    """WeightsError where `weights`, read from `path`, hold values that are no numbers."""
    for name, array in weights.items():
        if not np.isfinite(array).all():
            raise WeightsError(f"{printable(path)}: {printable(name)} holds values that are no numbers")
