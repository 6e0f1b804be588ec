"""Graph -> a readable source file in PyTorch or Keras that needs nothing but the framework."""

from __future__ import annotations

from collections.abc import Callable

from foveal.errors import UnknownName
from foveal.graph import Graph
from foveal.source.keras_code import keras_code
from foveal.source.torch_code import torch_code

FRAMEWORKS: dict[str, Callable[[Graph], str]] = {"torch": torch_code, "keras": keras_code}


def write_code(graph: Graph, framework: str = "torch") -> str:
    """The text of a standalone Python file that defines `graph`.

    Parameters
    ----------
    framework : ``"torch"`` or ``"keras"`` (Keras 3, channels last).

    Raises
    ------
    UnknownName : no such framework.
    GraphError : a node that the framework has no words for, such as an `Opaque` one.
    """
    if framework not in FRAMEWORKS:
        raise UnknownName("framework", framework, FRAMEWORKS)
    return FRAMEWORKS[framework](graph)
