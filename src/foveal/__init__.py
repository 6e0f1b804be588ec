"""Foveal: the whole convolutional network in one package.

Nothing heavy is imported before it is used: ``import foveal`` loads neither PyTorch nor OpenVINO.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from foveal.api import check, evaluate, load, train
    from foveal.errors import FovealError
    from foveal.explaining.microscope import observe, open_unit
    from foveal.graph import Graph
    from foveal.models import create_model
    from foveal.networks import inspect, parse
    from foveal.training.config import Config
    from foveal.training.loop import fit
    from foveal.training.run import train_from_scratch
    from foveal.zoo import create_graph, list_models, stages

_HOMES = {
    "Config": "training.config",
    "FovealError": "errors",
    "Graph": "graph",
    "check": "api",
    "create_graph": "zoo",
    "create_model": "models",
    "evaluate": "api",
    "fit": "training.loop",
    "inspect": "networks",
    "list_models": "zoo",
    "load": "api",
    "observe": "explaining.microscope",
    "open_unit": "explaining.microscope",
    "parse": "networks",
    "stages": "zoo",
    "train": "api",
    "train_from_scratch": "training.run",
}
__all__ = [
    "Config",
    "FovealError",
    "Graph",
    "check",
    "create_graph",
    "create_model",
    "evaluate",
    "fit",
    "inspect",
    "list_models",
    "load",
    "observe",
    "open_unit",
    "parse",
    "stages",
    "train",
    "train_from_scratch",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'foveal' has no attribute {name!r}")
    return getattr(importlib.import_module(f"foveal.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
