"""OpenVINO, mapped op by op from a graph: no PyTorch, no converter, compiled in a fraction of a second."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import openvino as ov
import openvino.opset13 as nodes

from foveal import ops
from foveal.graph import INPUT, Graph, Node
from foveal.ops import Op
from foveal.shapes import Padding, Shape, Size, per_axis, resolve_padding

Arrays = dict[str, np.ndarray]
"""The arrays of one node by their short names: ``weight``, ``bias``, ``running_mean``..."""


class OpenVinoEngine:
    """A graph compiled for this machine's CPU.

    Parameters
    ----------
    graph, weights : the network, and arrays under the names of `Graph.parameters` and `Graph.buffers`.
    precision : ``"f32"``, or ``"bf16"`` where `has_bf16()`.
    threads : how many threads may call at once; each call runs on one of them.
    """

    name = f"openvino {ov.get_version().split('-')[0]}"

    def __init__(self, graph: Graph, weights: Mapping[str, np.ndarray], *, precision: str = "f32", threads: int = 1):
        self.precision = precision
        config = {"INFERENCE_PRECISION_HINT": precision, "NUM_STREAMS": threads, "INFERENCE_NUM_THREADS": threads}
        self._compiled = _core().compile_model(model(graph, weights), "CPU", config)
        self._local = threading.local()

    @staticmethod
    def has_bf16() -> bool:
        """Whether this CPU computes in bfloat16 itself (AVX-512 BF16 or AMX)."""
        return "BF16" in _core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")

    def __call__(self, batch: np.ndarray) -> list[np.ndarray]:
        """Values of the graph's outputs for `batch` (N, \\*input_shape), float32."""
        if not hasattr(self._local, "request"):
            self._local.request = self._compiled.create_infer_request()
        results = self._local.request.infer({0: batch}, share_inputs=True)
        return [np.array(results[output], np.float32) for output in self._compiled.outputs]


def model(graph: Graph, weights: Mapping[str, np.ndarray]) -> ov.Model:
    """`graph` as an OpenVINO model that takes any batch size."""
    x = nodes.parameter([-1, *graph.input_shape], np.float32, name=INPUT)
    values: dict[str, Any] = {INPUT: x}
    for node in graph.nodes:
        xs = [values[name] for name in node.inputs]
        values[node.name] = NODES[type(node.op)](node.op, xs, _arrays(node, weights), graph.input_shapes(node)[0])
    return ov.Model([nodes.result(values[name]) for name in graph.outputs], [x], graph.name)


_SHARED: list[ov.Core] = []


def _core() -> ov.Core:
    if not _SHARED:
        _SHARED.append(ov.Core())
    return _SHARED[0]


def _arrays(node: Node, weights: Mapping[str, np.ndarray]) -> Arrays:
    prefix = f"{node.weights_of or node.name}."
    keys = ("weight", "bias", "running_mean", "running_var")
    return {key: weights[prefix + key] for key in keys if prefix + key in weights}


def _window(padding: Padding, x: Shape, kernel: Size, stride: Size, dilation: Size = 1) -> dict[str, Any]:
    rank = len(x) - 1
    sides = resolve_padding(padding, x[1:], kernel, stride, dilation)
    before, after = ([pair[i] for pair in sides] for i in (0, 1))
    return {"strides": list(per_axis(stride, rank)), "pads_begin": before, "pads_end": after}


def _conv(op: ops.Conv, xs: list[Any], arrays: Arrays, x: Shape) -> Any:
    window = _window(op.padding, x, op.kernel_size, op.stride, op.dilation)
    dilations = list(per_axis(op.dilation, len(x) - 1))
    weight = arrays["weight"]
    if op.groups == 1:
        y = nodes.convolution(xs[0], weight, dilations=dilations, **window)
    else:
        grouped = weight.reshape(op.groups, weight.shape[0] // op.groups, *weight.shape[1:])
        y = nodes.group_convolution(xs[0], grouped, dilations=dilations, **window)
    return nodes.add(y, arrays["bias"].reshape(1, -1, *(1,) * (len(x) - 1))) if op.bias else y


def _dense(op: ops.Dense, xs: list[Any], arrays: Arrays, x: Shape) -> Any:
    y = nodes.matmul(xs[0], arrays["weight"], transpose_a=False, transpose_b=True)
    return nodes.add(y, arrays["bias"]) if op.bias else y


def _batch_norm(op: ops.BatchNorm, xs: list[Any], arrays: Arrays, x: Shape) -> Any:
    statistics = arrays["weight"], arrays["bias"], arrays["running_mean"], arrays["running_var"]
    return nodes.batch_norm_inference(xs[0], *statistics, epsilon=op.eps)


def _max_pool(op: ops.MaxPool, xs: list[Any], arrays: Arrays, x: Shape) -> Any:
    window = _window(op.padding, x, op.kernel_size, op.stride or op.kernel_size)
    kernel = list(per_axis(op.kernel_size, len(x) - 1))
    pooled = nodes.max_pool(xs[0], dilations=[1] * len(kernel), kernel_shape=kernel, **window)
    return pooled.output(0)


def _avg_pool(op: ops.AvgPool, xs: list[Any], arrays: Arrays, x: Shape) -> Any:
    window = _window(op.padding, x, op.kernel_size, op.stride or op.kernel_size)
    kernel = list(per_axis(op.kernel_size, len(x) - 1))
    return nodes.avg_pool(xs[0], kernel_shape=kernel, exclude_pad=not op.count_padding, **window)


def _global_mean(op: ops.GlobalAvgPool, xs: list[Any], arrays: Arrays, x: Shape) -> Any:
    return nodes.reduce_mean(xs[0], list(range(2, len(x) + 1)), keep_dims=True)


def _add(op: ops.Add, xs: list[Any], arrays: Arrays, x: Shape) -> Any:
    total = xs[0]
    for y in xs[1:]:
        total = nodes.add(total, y)
    return total


NODES: dict[type[Op], Callable[[Any, list[Any], Arrays, Shape], Any]] = {
    ops.Conv: _conv,
    ops.Dense: _dense,
    ops.BatchNorm: _batch_norm,
    ops.Relu: lambda op, xs, arrays, x: nodes.relu(xs[0]),
    ops.Relu6: lambda op, xs, arrays, x: nodes.clamp(xs[0], 0.0, 6.0),
    ops.Sigmoid: lambda op, xs, arrays, x: nodes.sigmoid(xs[0]),
    ops.Tanh: lambda op, xs, arrays, x: nodes.tanh(xs[0]),
    ops.Softmax: lambda op, xs, arrays, x: nodes.softmax(xs[0], 1),
    ops.Dropout: lambda op, xs, arrays, x: xs[0],
    ops.MaxPool: _max_pool,
    ops.AvgPool: _avg_pool,
    ops.GlobalAvgPool: _global_mean,
    ops.Flatten: lambda op, xs, arrays, x: nodes.reshape(xs[0], [0, -1], special_zero=True),
    ops.Add: _add,
    ops.Concat: lambda op, xs, arrays, x: nodes.concat(xs, 1),
}
"""One OpenVINO node an op, from the op, its inputs, its arrays and the shape of its first input."""
