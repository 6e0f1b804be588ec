"""The one file format: a folder with a network, its weights, and everything needed to predict the same anywhere.

``bundle.json`` names the weights file and its hash; its rename is the commit, so a reader finds the old bundle or the
new one, never half of each. Nothing in a bundle is ever executed.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from foveal.data.preprocess import Preprocessing
from foveal.errors import BundleError, FovealError
from foveal.files import locked, write_atomic
from foveal.graph import Graph
from foveal.text import printable
from foveal.weights import Weights, load_weights, serialize

FORMAT = 1
MAIN, CARD = "bundle.json", "README.md"
_WEIGHTS_NAME = re.compile(r"model-[0-9a-f]{8}\.safetensors")
_LARGEST = 512 * 1024**2  # bytes of JSON; a bundle of a million training photos stays below
_MOST_VALUES = 2**30  # in all weights, and in one layer's output for one photo
_KEYS = {
    "format", "foveal", "graph", "weights", "classes", "preprocessing", "temperature", "threshold", "precision",
    "provenance", "checksum",
}  # fmt: skip


@dataclass(frozen=True)
class Bundle:
    """A classifier at rest.

    Attributes
    ----------
    graph : from the picture to logits, one per class.
    weights : arrays under the names of `Graph.parameters` and `Graph.buffers`.
    classes : names in the order of the logits.
    temperature : the logits are divided by it before the softmax.
    threshold : a photo whose `novelty_score` is below is "none of these"; None where that was not measured.
    precision : in which the features were computed when the head was fitted.
    provenance : how it was made, for readers and `evaluate`; ``provenance["training"]`` lists content hashes.
    """

    graph: Graph
    weights: Weights
    classes: tuple[str, ...]
    preprocessing: Preprocessing
    temperature: float
    threshold: float | None
    precision: str
    provenance: Mapping[str, Any] = field(default_factory=dict)

    def save(self, folder: Path, card: str) -> None:
        """Write the bundle into `folder` with `card` as its README.md, replacing a bundle that is there.

        Raises
        ------
        OutputError : the folder cannot be written, or another process is writing it.
        """
        content = serialize(self.weights)
        sha256 = hashlib.sha256(content).hexdigest()
        name = f"model-{sha256[:8]}.safetensors"
        with locked(folder):
            write_atomic(folder / name, content)
            write_atomic(folder / CARD, card)
            write_atomic(folder / MAIN, json.dumps(self._to_json({"file": name, "sha256": sha256}), indent=1))
            for other in _models(folder):
                if other.name != name:
                    with contextlib.suppress(OSError):
                        other.unlink()

    def _to_json(self, weights: dict[str, str]) -> dict[str, Any]:
        import foveal

        data = {
            "format": FORMAT,
            "foveal": foveal.__version__,
            "graph": self.graph.to_json(),
            "weights": weights,
            "classes": self.classes,
            "preprocessing": self.preprocessing.to_json(),
            "temperature": self.temperature,
            "threshold": self.threshold,
            "precision": self.precision,
            "provenance": self.provenance,
        }
        return data | {"checksum": _checksum(data)}


def remove_bundle(folder: Path) -> None:
    """Remove what `Bundle.save` wrote, if it did, and the folder where nothing else lies in it; OSError if that fails.

    ``bundle.json`` goes first: from then on there is no bundle, and never half of one.
    """
    for left in (folder / MAIN, folder / CARD, *_models(folder)):
        left.unlink(missing_ok=True)
    with contextlib.suppress(OSError):  # none, or files of the user's in it
        folder.rmdir()


def _models(folder: Path) -> list[Path]:
    """The weights of bundles in `folder`; a file of the user's has another name."""
    return [path for path in folder.glob("model-*.safetensors") if _WEIGHTS_NAME.fullmatch(path.name)]


def load_bundle(folder: Path) -> Bundle:
    """Read a bundle, checking everything before it is used.

    Raises
    ------
    BundleError : not a bundle; damaged, edited, made by a newer Foveal; or one that does not fit together.
    """
    data = _read_main(folder)
    while True:
        try:
            return _assemble(folder, data)
        except BundleError:  # a fault of the bundle, unless a writer has replaced it between our two reads
            again = _read_main(folder)
            if again["checksum"] == data["checksum"]:
                raise
            data = again


def read_graph(folder: Path) -> Graph:
    """The network of a bundle, without its weights; BundleError as for `load_bundle`."""
    try:
        return Graph.from_json(_read_main(folder)["graph"])
    except FovealError as error:
        raise error if isinstance(error, BundleError) else BundleError(f"{printable(folder)}: {error}") from error


def _assemble(folder: Path, data: dict[str, Any]) -> Bundle:
    try:
        graph = Graph.from_json(data["graph"])
        _check_size(graph)
        weights = load_weights(folder / data["weights"]["file"], graph, data["weights"]["sha256"])
        preprocessing = Preprocessing.from_json(data["preprocessing"])
    except FovealError as error:
        raise BundleError(f"{printable(folder)}: {error}") from error
    shapes = [graph.shapes[output] for output in graph.outputs]
    classes = _checked(folder, data, shapes)
    channels, size = preprocessing.channels, preprocessing.size
    if graph.input_shape != (channels, size, size):
        raise BundleError(
            f"{printable(folder)}: the network takes {graph.input_shape}, but pictures become {channels}x{size}x{size}"
        )
    return Bundle(
        graph=graph,
        weights=weights,
        classes=classes,
        preprocessing=preprocessing,
        temperature=float(data["temperature"]),
        threshold=None if data["threshold"] is None else float(data["threshold"]),
        precision=data["precision"],
        provenance=data["provenance"],
    )


def _read_main(folder: Path) -> dict[str, Any]:
    name = printable(folder)
    path = folder / MAIN
    if not path.is_file():
        raise BundleError(f"{name}: no bundle here (no {MAIN}); give the folder that `foveal train` wrote")
    try:
        if path.stat().st_size > _LARGEST:
            raise BundleError(f"{name}: {MAIN} is larger than any bundle's; it was not read")
        data = json.loads(path.read_bytes())
        checksum = _checksum(data)
    except OSError as error:
        raise BundleError(f"{name}: {MAIN} cannot be read ({error.strerror})") from error
    except (ValueError, RecursionError) as error:
        raise BundleError(
            f"{name}: {MAIN} is damaged ({printable(str(error))}); train again or restore a copy"
        ) from error
    if not isinstance(data, dict) or type(data.get("format")) is not int or data["format"] < 1:
        raise BundleError(f"{name}: {MAIN} is not a bundle's; expected an object with a format number")
    if data["format"] > FORMAT:
        raise BundleError(
            f"{name}: made by a newer Foveal (format {data['format']}, this one reads {FORMAT}); upgrade it"
        )
    if data.keys() != _KEYS:
        odd = ", ".join(sorted(printable(key) for key in data.keys() ^ _KEYS))
        raise BundleError(f"{name}: {MAIN} has other keys than a bundle's: {odd}")
    if data["checksum"] != checksum:
        raise BundleError(f"{name}: {MAIN} was changed after it was written; train again or restore a copy")
    weights = data["weights"]
    named = (
        isinstance(weights, dict) and isinstance(weights.get("file"), str) and isinstance(weights.get("sha256"), str)
    )
    if not named or not _WEIGHTS_NAME.fullmatch(weights["file"]):
        raise BundleError(f"{name}: {MAIN} names no weights file of the form model-<sha8>.safetensors")
    return data


def _checked(folder: Path, data: dict[str, Any], shapes: list[tuple[int, ...]]) -> tuple[str, ...]:
    """The class names, after every plain field has been checked."""
    classes, name = data["classes"], printable(folder)
    if not isinstance(classes, list) or not all(isinstance(label, str) for label in classes):
        raise BundleError(f"{name}: classes; expected a list of names")
    if len(classes) < 2 or len(set(classes)) < len(classes):
        raise BundleError(f"{name}: classes; expected at least two different names")
    if shapes != [(len(classes),)]:
        raise BundleError(f"{name}: the network gives {shapes}, but there are {len(classes)} classes")
    if not _within(data["temperature"], 1e-6, 1e6):
        raise BundleError(f"{name}: temperature = {data['temperature']!r:.40}; expected a number above 0")
    if data["threshold"] is not None and not _within(data["threshold"], -1e9, 1e9):
        raise BundleError(f"{name}: threshold = {data['threshold']!r:.40}; expected a number or null")
    if data["precision"] not in ("f32", "bf16"):
        raise BundleError(f"{name}: precision = {data['precision']!r:.40}; expected 'f32' or 'bf16'")
    if not isinstance(data["provenance"], dict):
        raise BundleError(f"{name}: provenance; expected an object")
    return tuple(classes)


def _within(value: Any, least: float, most: float) -> bool:
    return type(value) in (int, float) and least <= value <= most


def _check_size(graph: Graph) -> None:
    """Refuse what would take all memory before the weights or the first photo are even looked at."""
    weights = sum(math.prod(shape) for shape in graph.parameters().values())
    if max(weights, *(math.prod(shape) for shape in graph.shapes.values())) > _MOST_VALUES:
        raise BundleError(f"{graph.name} is larger than any network that Foveal makes")


def _checksum(data: Any) -> str:
    """Of everything but the checksum itself."""
    counted = {key: value for key, value in data.items() if key != "checksum"} if isinstance(data, dict) else data
    text = json.dumps(counted, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
