"""Graph -> torch.fx.GraphModule: a PyTorch module that trains, compiles, exports and hooks like any other.

Submodules bear the node names, so ``module.get_submodule("stage1.block2.conv1")`` is that node, and the state dict's
keys are those of `Graph.parameters` and `Graph.buffers` (plus PyTorch's own ``num_batches_tracked``).
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from functools import reduce
from typing import Any

import numpy as np
import torch
from torch import Tensor, fx, nn
from torch.nn import functional as F

from foveal import ops
from foveal.errors import GraphError, WeightsError
from foveal.graph import INPUT, Graph
from foveal.ops import Op
from foveal.shapes import Padding, Shape, Size, per_axis, resolve_padding
from foveal.weights import check_weights


def build(graph: Graph, weights: Mapping[str, np.ndarray] | None = None) -> fx.GraphModule:
    """A trainable PyTorch module that computes `graph`.

    Parameters
    ----------
    weights : arrays under the names of `Graph.parameters` and `Graph.buffers`; PyTorch's initialisation if None.

    Returns
    -------
    torch.fx.GraphModule
        Takes (batch, \\*input_shape) float32; returns a tensor, or a tuple where the graph has several outputs.
        `graph_of` gives the graph back.

    Raises
    ------
    WeightsError : a missing, unknown or misshapen array.
    """
    holder = fx.GraphModule(nn.Module(), fx.Graph())
    traced = fx.Graph()
    values = {INPUT: traced.placeholder("x")}
    for node in graph.nodes:
        xs = [values[name] for name in node.inputs]
        if isinstance(node.op, ops.Add):
            values[node.name] = reduce(lambda a, b: traced.call_function(operator.add, (a, b)), xs)
        elif isinstance(node.op, ops.Concat):
            values[node.name] = traced.call_function(torch.cat, (xs, 1))
        else:
            shape = graph.input_shapes(node)[0]
            if node.weights_of is None:
                holder.add_submodule(node.name, MODULES[type(node.op)](node.op, shape))
            if own_pad := _own_pad(node.op, shape):
                xs = [traced.call_function(pad, (xs[0], *own_pad))]
            values[node.name] = traced.call_module(node.weights_of or node.name, tuple(xs))
    results = tuple(values[name] for name in graph.outputs)
    traced.output(results[0] if len(results) == 1 else results)
    module = fx.GraphModule(holder, traced, class_name="Network")
    module.meta["foveal"] = graph
    if weights is not None:
        load(module, weights)
    return module


def graph_of(module: fx.GraphModule) -> Graph:
    """The graph that `build` made `module` from; GraphError for a module made elsewhere."""
    graph = module.meta.get("foveal")
    if not isinstance(graph, Graph):
        raise GraphError(f"{type(module).__name__} was not made by foveal.build, so it carries no graph")
    return graph


def load(module: fx.GraphModule, weights: Mapping[str, np.ndarray]) -> None:
    """Copy `weights` into a built module; WeightsError where a name or shape differs (nothing is copied then)."""
    check_weights(graph_of(module), {name: array.shape for name, array in weights.items()})
    state = {name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in weights.items()}
    missing, _ = module.load_state_dict(state, strict=False)
    if leftover := [name for name in missing if not name.endswith("num_batches_tracked")]:
        raise WeightsError(f"no weights for {leftover[0]}")


def weights_of(module: fx.GraphModule) -> dict[str, np.ndarray]:
    """The module's weights as arrays, named as `Graph.parameters` and `Graph.buffers` name them."""
    graph = graph_of(module)
    state = module.state_dict()
    return {name: state[name].detach().cpu().numpy().copy() for name in (*graph.parameters(), *graph.buffers())}


class TorchEngine:
    """Inference through PyTorch; the same calls as `foveal.engines.openvino.OpenVinoEngine`."""

    name = f"torch {torch.__version__}"

    def __init__(self, graph: Graph, weights: Mapping[str, np.ndarray], *, precision: str = "f32", threads: int = 1):
        self.precision = precision
        torch.set_num_threads(1 if threads > 1 else torch.get_num_threads())  # callers bring the threads
        self._module = build(graph, weights).eval()

    @staticmethod
    def has_bf16() -> bool:
        """Never chosen by itself: PyTorch's bfloat16 is not quicker than its float32 on every CPU that has it."""
        return False

    @torch.inference_mode()
    def __call__(self, batch: np.ndarray) -> list[np.ndarray]:
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=self.precision == "bf16"):
            results = self._module(torch.from_numpy(batch))
        return [y.float().numpy() for y in (results if isinstance(results, tuple) else (results,))]


def pad(x: Tensor, padding: Padding, kernel: Size, stride: Size, dilation: Size, value: float) -> Tensor:
    """`x` (batch, C, spatial...) padded with `value`; ``"same"`` follows the size of the picture that comes in."""
    sides = resolve_padding(padding, tuple(x.shape[2:]), kernel, stride, dilation)
    return F.pad(x, [side for pair in reversed(sides) for side in pair], value=value)


def _own_pad(op: Op, x: Shape) -> tuple[Any, ...] | None:
    """Arguments of the `pad` that goes before `op` where PyTorch's module cannot pad so itself, else None."""
    if not isinstance(op, (ops.Conv, ops.MaxPool, ops.AvgPool)) or _built_in(op, x) is not None:
        return None
    if isinstance(op, ops.AvgPool) and not op.count_padding:
        return None  # PaddedMean pads by itself
    stride, dilation, value = _stride(op), getattr(op, "dilation", 1), float("-inf") if type(op) is ops.MaxPool else 0.0
    return op.padding, op.kernel_size, stride, dilation, value


def _stride(op: ops.Conv | ops.MaxPool | ops.AvgPool) -> Size:
    return op.stride or op.kernel_size


def _built_in(op: ops.Conv | ops.MaxPool | ops.AvgPool, x: Shape) -> tuple[int, ...] | None:
    """The padding to hand to PyTorch's module: one number an axis, the same before and after; None if it needs more."""
    rank = len(x) - 1
    kernel, dilation = per_axis(op.kernel_size, rank), getattr(op, "dilation", 1)
    if op.padding == "same" and max(per_axis(_stride(op), rank)) > 1:
        return None  # depends on the picture's size
    sides = resolve_padding(op.padding, x[1:], kernel, _stride(op), dilation)
    if any(before != after for before, after in sides):
        return None
    if not isinstance(op, ops.Conv) and any(before > k // 2 for (before, _), k in zip(sides, kernel, strict=True)):
        return None
    return tuple(before for before, _ in sides)


class PaddedMean(nn.Module):
    """Average pooling under padding that PyTorch's module cannot express, padded cells left out of each mean."""

    def __init__(self, op: ops.AvgPool, rank: int) -> None:
        super().__init__()
        self.padding, self.kernel, self.stride = op.padding, op.kernel_size, _stride(op)
        self.mean = getattr(F, f"avg_pool{rank}d")

    def forward(self, x: Tensor) -> Tensor:
        total, inside = (
            self.mean(pad(y, self.padding, self.kernel, self.stride, 1, 0.0), self.kernel, self.stride)
            for y in (x, torch.ones_like(x[:1, :1]))
        )
        mean: Tensor = total / inside
        return mean


def _ranked(kind: str, x: Shape) -> Any:
    """``nn.Conv2d`` for ``"Conv"`` and a map of two spatial axes, and so on."""
    return getattr(nn, f"{kind}{len(x) - 1}d")


def _avg_pool(op: ops.AvgPool, x: Shape) -> nn.Module:
    padding = _built_in(op, x)
    if padding is None and not op.count_padding:
        return PaddedMean(op, len(x) - 1)
    pool: nn.Module = _ranked("AvgPool", x)(
        op.kernel_size, _stride(op), padding or 0, count_include_pad=op.count_padding
    )
    return pool


def _conv(op: ops.Conv, x: Shape) -> nn.Module:
    padding = _built_in(op, x) or 0
    kind = _ranked("Conv", x)
    conv: nn.Module = kind(x[0], op.out_channels, op.kernel_size, op.stride, padding, op.dilation, op.groups, op.bias)
    return conv


MODULES: dict[type[Op], Callable[[Any, Shape], nn.Module]] = {
    ops.Conv: _conv,
    ops.Dense: lambda op, x: nn.Linear(x[0], op.out_features, op.bias),
    ops.BatchNorm: lambda op, x: _ranked("BatchNorm", (0, 0) if len(x) == 1 else x)(x[0], op.eps, op.momentum),
    ops.Relu: lambda op, x: nn.ReLU(),
    ops.Relu6: lambda op, x: nn.ReLU6(),
    ops.Sigmoid: lambda op, x: nn.Sigmoid(),
    ops.Tanh: lambda op, x: nn.Tanh(),
    ops.Softmax: lambda op, x: nn.Softmax(dim=1),
    ops.Dropout: lambda op, x: nn.Dropout(op.p),
    ops.MaxPool: lambda op, x: _ranked("MaxPool", x)(op.kernel_size, _stride(op), _built_in(op, x) or 0),
    ops.AvgPool: _avg_pool,
    ops.GlobalAvgPool: lambda op, x: _ranked("AdaptiveAvgPool", x)(1),
    ops.Flatten: lambda op, x: nn.Flatten(),
}
"""One PyTorch module an op, from the op and its input's shape; `Add` and `Concat` are functions, in `build` itself."""
