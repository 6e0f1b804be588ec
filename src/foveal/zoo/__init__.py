"""The networks by name. One file a family; each reads like its paper's table."""

from __future__ import annotations

from dataclasses import replace

from foveal.errors import ShapeError, UnknownName, UsageError
from foveal.graph import Builder, Graph
from foveal.shapes import Shape
from foveal.zoo import (
    alexnet,
    densenet,
    efficientnet,
    googlenet,
    inception_resnet,
    inception_v3,
    lectures,
    lenet,
    mobilenet_v1,
    mobilenet_v2,
    mobilenet_v3,
    multilayer,
    neocognitron,
    perceptron,
    preact,
    resnet,
    resnet_cifar,
    senet,
    shufflenet_v1,
    shufflenet_v2,
    squeezenet,
    tdnn,
    tiny,
    vgg,
    xception,
    zfnet,
    zipcode,
)
from foveal.zoo.entry import Model
from foveal.zoo.levels import Level, stages, with_channels, without_head

__all__ = [
    "MODELS", "Level", "Model", "create_graph", "find_model", "list_models", "stages", "with_channels", "without_head",
]  # fmt: skip

_FAMILIES = (
    *(perceptron, multilayer, neocognitron, tdnn, zipcode),
    *(lenet, alexnet, zfnet, vgg, googlenet, inception_v3, inception_resnet, xception, resnet, resnet_cifar),
    *(preact, densenet, senet),
    *(squeezenet, mobilenet_v1, mobilenet_v2, mobilenet_v3, shufflenet_v1, shufflenet_v2, efficientnet),
    tiny,
    lectures,
)


MODELS: dict[str, Model] = {
    name: replace(model, family=family.__name__.rpartition(".")[2])
    for family in sorted(_FAMILIES, key=lambda family: min(model.paper.year for model in family.MODELS.values()))
    for name, model in family.MODELS.items()
}
"""Every network by name, with what is known of it; family by family in the order of their papers."""


LISTED = "foveal zoo lists them"


def list_models() -> list[str]:
    """Names of all networks, sorted."""
    return sorted(MODELS)


def find_model(name: str) -> Model:
    """What is known of the network called `name`; UnknownName lists the nearest."""
    if not isinstance(name, str):
        raise UsageError(f"{name!r:.80} names no network; expected a name such as 'resnet50'")
    if name not in MODELS:
        raise UnknownName("network", name, MODELS, LISTED)
    return MODELS[name]


def create_graph(
    name: str,
    *,
    num_classes: int | None = None,
    in_channels: int | None = None,
    input_shape: Shape | None = None,
    head: str | None = "classes",
) -> Graph:
    """The network called `name`.

    Parameters
    ----------
    num_classes : outputs of the last layer; the published number if None.
    in_channels : of the pictures; the published number if None.
    input_shape : channels first; the published one if None.
    head : ``"classes"``, or None for the features that the head reads (`foveal.zoo.without_head`).

    Raises
    ------
    UnknownName : no such network; the nearest names are listed.
    ShapeError : the network cannot take `input_shape`.
    UsageError : another `head`, or None for a network without one; `in_channels` other than those of `input_shape`.
    """
    model = find_model(name)
    if head not in ("classes", None):
        raise UsageError(f"head = {head!r:.40}; expected 'classes', or None for features")
    net = Builder(name)
    outputs = model.author(net, **({} if num_classes is None else {"num_classes": num_classes}))
    graph = net.graph(*((outputs,) if isinstance(outputs, str) else outputs))
    if not head:
        graph = without_head(graph)
    if in_channels is not None:
        graph = with_channels(graph, in_channels)
    if input_shape is None:
        return graph
    if isinstance(input_shape, tuple) and len(input_shape) == len(graph.input_shape):
        _check_channels(graph.input_shape[0], in_channels, input_shape)
    return graph.with_input(input_shape)


def _check_channels(own: int, in_channels: int | None, input_shape: Shape) -> None:
    """An error where `input_shape` has not `own` channels, since it contradicts `in_channels` or has them last."""
    if input_shape[0] == own:
        return
    if in_channels is not None:
        raise UsageError(f"in_channels = {in_channels}, but input_shape = {input_shape} has {input_shape[0]}; give one")
    if len(input_shape) == 3 and input_shape[-1] == own:
        turned = (own, *input_shape[:-1])
        raise ShapeError(
            f"input_shape = {input_shape} has {input_shape[0]} channels, which come first; did you mean {turned}? "
            f"If not, give in_channels={input_shape[0]} as well"
        )
