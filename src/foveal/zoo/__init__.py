"""The networks by name. One file a family; each reads like its paper's table."""

from __future__ import annotations

from collections.abc import Callable

from foveal.errors import ShapeError, UnknownName
from foveal.graph import Builder, Graph
from foveal.ops import GlobalAvgPool
from foveal.shapes import Shape
from foveal.zoo import (
    alexnet,
    densenet,
    efficientnet,
    googlenet,
    inception_v3,
    lectures,
    lenet,
    mobilenet_v1,
    mobilenet_v2,
    mobilenet_v3,
    preact,
    resnet,
    senet,
    shufflenet_v1,
    shufflenet_v2,
    squeezenet,
    vgg,
    xception,
    zfnet,
)

Author = Callable[..., str | tuple[str, ...]]
"""A function (net, num_classes=...) that authors a network and returns the name of its output, or of each."""

_FAMILIES = (
    *(lenet, alexnet, zfnet, vgg, googlenet, inception_v3, xception, resnet, preact, densenet, senet),
    *(squeezenet, mobilenet_v1, mobilenet_v2, mobilenet_v3, shufflenet_v1, shufflenet_v2, efficientnet),
    lectures,
)
_MODELS: dict[str, Author] = {name: author for family in _FAMILIES for name, author in family.MODELS.items()}


def list_models() -> list[str]:
    """Names of all networks, sorted."""
    return sorted(_MODELS)


def create_graph(name: str, *, num_classes: int | None = None, input_shape: Shape | None = None) -> Graph:
    """The network called `name`.

    Parameters
    ----------
    num_classes : outputs of the last layer; the published number if None.
    input_shape : channels first; the published one if None.

    Raises
    ------
    UnknownName : no such network; the nearest names are listed.
    ShapeError : the network cannot take `input_shape`.
    """
    if name not in _MODELS:
        raise UnknownName("network", name, _MODELS)
    net = Builder(name)
    outputs = _MODELS[name](net, **({} if num_classes is None else {"num_classes": num_classes}))
    graph = net.graph(*((outputs,) if isinstance(outputs, str) else outputs))
    return graph if input_shape is None else graph.with_input(input_shape)


def stages(graph: Graph) -> dict[str, str]:
    """The feature levels: the last node of each ``stageN``, and as ``"top"`` the map that the head pools.

    Raises
    ------
    ShapeError : a network without a global average pooling, whose features have no top level.
    """
    levels = {scope: node.name for node in graph.nodes if (scope := node.name.partition(".")[0]).startswith("stage")}
    pools = [node for node in graph.nodes if isinstance(node.op, GlobalAvgPool)]
    if not pools:
        raise ShapeError(f"{graph.name} has no global average pooling, so it gives no pooled features")
    return levels | {"top": pools[-1].inputs[0]}
