"""How the weights of a built network begin: each tensor drawn as its paper, or the field's practice, has it.

`foveal.zoo.entry.Init` says what to draw. Fans count what one output really reads: a grouped or depthwise convolution's
are those of one group, where PyTorch's fan_out counts all of them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection

import torch
from torch import Generator, Tensor, fx

from foveal.build import graph_of
from foveal.errors import UsageError
from foveal.graph import Graph, Node
from foveal.ops import Conv, ConvTranspose, Dense, Offset, PRelu
from foveal.zoo.entry import Draw, Init

_IDENTITY = {"weight": 1.0, "running_var": 1.0}  # of norms and scales; their other tensors begin as 0
_PRELU = Draw("constant", 0.25)  # He et al. (2015, arXiv:1502.01852), section 2.1


def initialize(
    module: fx.GraphModule, init: Init, seed: int | None = None, *, only: Collection[str] | None = None
) -> None:
    """Draw the weights and buffers of a module made by `foveal.build.build`, in place.

    Parameters
    ----------
    seed : the same seed gives the same weights and leaves PyTorch's own random numbers alone; None takes from those, so
        that ``torch.manual_seed`` rules.
    only : names of the tensors to draw; all if None.

    Raises
    ------
    GraphError : a module made elsewhere.
    UsageError : a seed that is no whole number from 0 to 2^63 - 1.
    """
    graph = graph_of(module)
    tensors = module.state_dict()  # detached, in the module's own memory
    random = _generator(seed, next((tensor.device for tensor in tensors.values()), torch.device("cpu")))
    for name, tensor in tensors.items():
        if only is None or name in only:
            if made := (init.fixed or {}).get(name):
                tensor.copy_(torch.tensor(made()[: len(tensor)]))
                continue
            node = graph.by_name[name.rpartition(".")[0]]
            draw = _draw_of(init, name, node)
            KINDS[draw.kind](tensor, draw.number, *_fans(graph, node), random)


def _generator(seed: int | None, device: torch.device) -> Generator | None:
    if seed is None:
        return None
    if type(seed) is not int or not 0 <= seed < 2**63:
        raise UsageError(f"seed = {seed!r:.80}; expected a whole number from 0 to 2^63 - 1, or None")
    return Generator(device).manual_seed(seed)


def _draw_of(init: Init, name: str, node: Node) -> Draw:
    key = name.rpartition(".")[2]
    special = init.special or {}
    if endings := [ending for ending in special if name.endswith(ending)]:
        return special[max(endings, key=len)]
    if isinstance(node.op, PRelu):
        return _PRELU
    if isinstance(node.op, (Conv, ConvTranspose, Dense, Offset)):
        return init.bias if key == "bias" else init.dense if isinstance(node.op, Dense) else init.conv
    return Draw("constant", _IDENTITY.get(key, 0.0))


def _fans(graph: Graph, node: Node) -> tuple[int, int]:
    """How many values an output reads, and how many outputs a value reaches, strides aside.

    An `Offset` is the biases of the layer before it; what reads nothing but its own value has fans of 1.
    """
    before = graph.by_name.get(node.inputs[0])
    if isinstance(node.op, Offset) and before:
        return _fans(graph, before)
    if not isinstance(node.op, (Conv, ConvTranspose, Dense)):
        return 1, 1
    first, second, *kernel = node.op.parameters(*graph.input_shapes(node))["weight"]
    groups = 1 if isinstance(node.op, Dense) else node.op.groups
    fans = math.prod(kernel) * second, math.prod(kernel) * first // groups
    return fans[::-1] if isinstance(node.op, ConvTranspose) else fans


KINDS: dict[str, Callable[[Tensor, float, int, int, Generator | None], Tensor]] = {
    "normal": lambda t, number, inward, outward, random: t.normal_(0, number, generator=random),
    "truncated": lambda t, number, inward, outward, random: (  # the inverse of the distribution, once for each value
        _uniform(t, math.erf(math.sqrt(2)), random).erfinv_().mul_(number * math.sqrt(2))
    ),
    "he_in": lambda t, number, inward, outward, random: t.normal_(0, math.sqrt(2 / inward), generator=random),
    "he_out": lambda t, number, inward, outward, random: t.normal_(0, math.sqrt(2 / outward), generator=random),
    "glorot": lambda t, number, inward, outward, random: _uniform(t, math.sqrt(6 / (inward + outward)), random),
    "uniform_in": lambda t, number, inward, outward, random: _uniform(t, number / inward, random),
    "uniform_root": lambda t, number, inward, outward, random: _uniform(t, number / math.sqrt(inward), random),
    "uniform_root_out": lambda t, number, inward, outward, random: _uniform(t, number / math.sqrt(outward), random),
    "constant": lambda t, number, inward, outward, random: t.fill_(number),
}
"""For each kind of `Draw` what fills a tensor, from its number, both fans, and where the random numbers come from."""


def _uniform(tensor: Tensor, bound: float, random: Generator | None) -> Tensor:
    return tensor.uniform_(-bound, bound, generator=random)
