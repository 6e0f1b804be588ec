"""Choosing what runs the frozen network: the engine, the precision, the threads and the cache."""

from __future__ import annotations

import importlib.util
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from foveal.checkpoints import load_pretrained
from foveal.errors import UsageError
from foveal.features import Backbone, Extractor, pooled
from foveal.fetching import Progress
from foveal.graph import Graph
from foveal.machine import cpu_threads
from foveal.store import Store
from foveal.weights import cache_folder, digest
from foveal.zoo import stages

if TYPE_CHECKING:
    from foveal.build import TorchEngine
    from foveal.engines.openvino import OpenVinoEngine

FINEST = 8  # pixels from one position to the next; what finer levels see is too small to tell classes apart
PRECISIONS = ("auto", "bf16", "f32")


def engine_class() -> type[OpenVinoEngine | TorchEngine]:
    """OpenVINO's engine, or PyTorch's where OpenVINO is not installed."""
    if importlib.util.find_spec("openvino") is None:
        from foveal.build import TorchEngine

        return TorchEngine
    from foveal.engines.openvino import OpenVinoEngine

    return OpenVinoEngine


def choose_precision(wanted: str) -> str:
    """``"bf16"`` or ``"f32"``: with ``"auto"`` the former where the CPU computes in it.

    Raises
    ------
    UsageError : an unknown precision, or bf16 on a CPU without it.
    """
    if wanted not in PRECISIONS:
        raise UsageError(f"--precision {wanted!r:.40}; expected one of {', '.join(PRECISIONS)}")
    if wanted == "f32":
        return "f32"
    able = engine_class().has_bf16()
    if wanted == "bf16" and not able:
        raise UsageError("--precision bf16: this CPU does not compute in bfloat16; use f32 or auto")
    return "bf16" if able else "f32"


def tapped(graph: Graph) -> dict[str, str]:
    """The levels whose maps give features, coarsest last, and their nodes: the last of each stride from 8 on, and the
    top.

    Where a level's map is the top itself it is called so; where the head reads no map there is no top.
    """
    levels = stages(graph)
    by_stride = {
        level.stride: name for name, level in levels.items() if name != "top" and (level.stride or 0) >= FINEST
    }
    top = {"top": levels["top"].node} if len(graph.shapes[levels["top"].node]) == 3 else {}
    below = {name: levels[name].node for name in by_stride.values()}
    return {name: node for name, node in below.items() if node not in top.values()} | top


def load_backbone(name: str, file: str | Path | None = None, progress: Progress | None = None) -> Backbone:
    """A pretrained network of the zoo as a giver of features.

    Pictures are prepared as its publisher says, but for the crop: all of the central square is seen.

    Parameters
    ----------
    file : its weights, a .pth or .safetensors file; None for the published ones.
    progress : called while these are fetched.

    Raises
    ------
    UnknownName : no such network, or no published weights for it.
    UsageError : a network that does not take square colour pictures, or has no maps to pool.
    WeightsError : weights that cannot be had, or are another network's.
    """
    graph, weights, entry = load_pretrained(name, file=file, progress=progress)
    preprocessing = replace(entry.preprocessing, crop=1.0)
    levels = tapped(graph)
    if len(graph.input_shape) != 3 or graph.input_shape[0] != 3 or not levels:
        raise UsageError(f"--backbone {name}: expected a network that takes colour pictures and gives maps of features")
    graph = graph.with_input((3, preprocessing.size, preprocessing.size))
    trunk = pooled(graph, levels)
    return Backbone(
        name=name,
        weights_name=entry.name,
        source=entry.source,
        licence=entry.licence,
        graph=trunk,
        levels=levels,
        weights={key: weights[key] for key in (*trunk.parameters(), *trunk.buffers())},
        sha256=digest(weights),
        preprocessing=preprocessing,
    )


def make_extractor(
    backbone: str,
    precision: str,
    *,
    cache: bool,
    threads: int | None = None,
    weights: str | Path | None = None,
    progress: Progress | None = None,
) -> Extractor:
    """An extractor on this machine; with `cache` off it neither reads nor leaves features on the disk."""
    engine = engine_class()
    return Extractor(
        load_backbone(backbone, weights, progress),
        engine,
        engine_name=engine.name,
        precision=choose_precision(precision),
        store=Store(cache_folder() / "features.sqlite" if cache else None),
        threads=threads or cpu_threads(),
    )
