"""The networks of the zoo made small enough to be run by the hundred: small pictures, and few channels where many."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import TypeVar

import torch
from torch import Tensor, fx, nn

from foveal.build import build
from foveal.errors import ShapeError
from foveal.graph import INPUT, Graph
from foveal.initializing import initialize
from foveal.ops import Conv, Dense
from foveal.shapes import Shape
from foveal.zoo import MODELS, create_graph
from foveal.zoo.entry import TORCH, Draw, Init

SIZES = ((17, 19), (33, 35), (49, 51), (65, 70), (81, 79), (97, 95))  # odd, and never as high as wide
MANY = 8_000_000  # weights: of networks with more, a quarter of the channels is left
RANDOM = Init("", Draw("he_in"), TORCH, TORCH)  # nothing at 0, where a lost weight would not show

T = TypeVar("T")


def small(name: str, num_classes: int, channels: int, many: int = MANY) -> Graph:
    """`name` for other classes, and if it takes them for other channels and pictures of an odd size."""
    published, *sizes = create_graph(name).input_shape
    graph = _first_fit((channels, published), lambda n: create_graph(name, num_classes=num_classes, in_channels=n))
    if len(sizes) == 2:
        candidates = [size for size in SIZES if size[0] > 32 or sizes[0] <= 32]  # a map of one cell is too small
        graph = _first_fit((*candidates, tuple(sizes)), lambda size: graph.with_input((graph.input_shape[0], *size)))
    return thin(graph) if sum(map(math.prod, graph.parameters().values())) > many else graph


def _first_fit(candidates: Iterable[T], make: Callable[[T], Graph]) -> Graph:
    *others, last = candidates
    for candidate in others:
        try:
            return make(candidate)
        except ShapeError:
            continue
    return make(last)


def thin(graph: Graph) -> Graph:
    """`graph` with a quarter of the channels between its input and its outputs, wired as before."""
    shapes: dict[str, Shape] = {INPUT: graph.input_shape}
    nodes = []
    for node in graph.nodes:
        op = node.op
        if isinstance(op, Conv):
            groups = op.groups // 4 if op.groups % 4 == 0 else op.groups
            op = replace(op, out_channels=max(op.out_channels // 4, 1), groups=groups)
        elif isinstance(op, Dense) and node.name not in graph.outputs:
            op = replace(op, out_features=op.out_features // 4)
        shapes[node.name] = op.output_shape(*(shapes[name] for name in node.inputs))
        nodes.append(replace(node, op=op))
    return replace(graph, nodes=tuple(nodes))


def ready(graph: Graph, x: Tensor) -> fx.GraphModule:
    """`graph` built, drawn at random, in eval mode, its norms knowing the statistics of `x`, as after training."""
    module = build(graph)
    initialize(module, RANDOM, seed=0)
    for norm in module.modules():
        if isinstance(norm, nn.modules.batchnorm._BatchNorm):
            norm.momentum = 1.0
            nn.init.uniform_(norm.weight, 0.5, 1.5)
            nn.init.uniform_(norm.bias, -0.5, 0.5)
    with torch.no_grad():
        module.train()(x)
    return module.eval()


def outputs(module: nn.Module, x: Tensor) -> tuple[Tensor, ...]:
    y = module(x)
    return y if isinstance(y, tuple) else (y,)


def smallest(family: str) -> str:
    """The classifier of fewest nodes in a family."""
    graphs = [create_graph(name) for name, model in MODELS.items() if model.family == family]
    return min((g for g in graphs if len(g.shapes[g.outputs[0]]) == 1), key=lambda g: len(g.nodes)).name


FAMILIES = sorted({model.family for model in MODELS.values()})
