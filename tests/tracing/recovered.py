"""What a traced network is held against: PyTorch's own run, its own counter, its own parameters."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from foveal.build import build
from foveal.shapes import Shape
from foveal.tracing import Traced
from foveal.tracing.modules import trace


def counted(module: nn.Module, shape: Shape) -> Traced:
    """The trace of `module`, after checking its parameters, MACs and output shapes against PyTorch's."""
    traced = trace(module, shape)
    graph = traced.graph
    named = dict(module.named_parameters())
    sizes = {name: math.prod(size) for name, size in graph.parameters().items()}
    assert sizes == {name: named[source].numel() for name, source in traced.parameters_of.items()}
    assert sum(sizes.values()) == sum(p.numel() for p in module.parameters())
    module.eval()
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        result = module(torch.zeros(1, *shape))
    assert graph.macs() == counter.get_total_flops() // 2
    results = [result] if isinstance(result, Tensor) else list(result)
    assert [graph.shapes[name] for name in graph.outputs] == [tuple(y.shape[1:]) for y in results]
    return traced


def same_function(module: nn.Module, shape: Shape) -> Traced:
    """The trace of `module`, after checking that the network built from it computes the same from the same weights."""
    traced = counted(module, shape)
    for tensor in (*module.parameters(), *module.buffers()):
        if tensor.is_floating_point():
            tensor.data.uniform_(0.2, 0.8)  # the running statistics, too
    built = build(traced.graph).eval()
    source, state = module.state_dict(), built.state_dict()
    for name, source_name in traced.parameters_of.items():
        state[name].copy_(source[source_name].reshape(state[name].shape))
    for name in traced.graph.buffers():
        node, _, key = name.rpartition(".")
        state[name].copy_(source[f"{traced.modules[node]}.{key}".lstrip(".")])
    x = torch.rand(2, *shape)
    with torch.no_grad():
        torch.testing.assert_close(built(x), module(x), rtol=1e-4, atol=1e-5)
    return traced


def op_names(traced: Traced) -> list[str]:
    return [type(node.op).__name__ for node in traced.graph.nodes]
