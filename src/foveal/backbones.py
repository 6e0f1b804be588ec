"""Choosing what runs the frozen network: the engine, the precision, the threads and the cache."""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING

from foveal.checkpoints import load_pretrained
from foveal.errors import UsageError
from foveal.features import TAPS, Backbone, Extractor, pooled
from foveal.machine import cpu_threads
from foveal.store import Store
from foveal.weights import cache_folder
from foveal.zoo import stages

if TYPE_CHECKING:
    from foveal.build import TorchEngine
    from foveal.engines.openvino import OpenVinoEngine

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


def load_backbone(name: str) -> Backbone:
    """A pretrained network of the zoo as a giver of features; UnknownName lists the nearest names."""
    graph, weights, entry = load_pretrained(name)
    levels = {level: node for level, node in stages(graph).items() if level in TAPS}
    trunk = pooled(graph, levels)
    return Backbone(
        name=name,
        source=entry.source,
        licence=entry.licence,
        graph=trunk,
        levels=levels,
        weights={key: weights[key] for key in (*trunk.parameters(), *trunk.buffers())},
        sha256=entry.sha256,
    )


def make_extractor(backbone: str, precision: str, *, cache: bool, threads: int | None = None) -> Extractor:
    """An extractor on this machine; with `cache` off it neither reads nor leaves anything on the disk."""
    engine = engine_class()
    return Extractor(
        load_backbone(backbone),
        engine,
        engine_name=engine.name,
        precision=choose_precision(precision),
        store=Store(cache_folder() / "features.sqlite" if cache else None),
        threads=threads or cpu_threads(),
    )
