"""OpenVINO, mapped op by op from a graph: no PyTorch, no converter, compiled in a fraction of a second."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Mapping
from functools import reduce
from typing import Any

import numpy as np
import openvino as ov
import openvino.opset13 as nodes

from foveal import ops
from foveal.graph import INPUT, Graph, Node
from foveal.ops import Op
from foveal.shapes import Shape, Sides, Size, per_axis, resolve_padding

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
    """`graph` as an OpenVINO model that takes any batch size; GraphError where it has an `Opaque` node."""
    x = nodes.parameter([-1, *graph.input_shape], np.float32, name=INPUT)
    values: dict[str, Any] = {INPUT: x}
    for node in graph.nodes:
        if isinstance(node.op, ops.Opaque):
            raise node.op.refusal(node.name)
        xs = [values[name] for name in node.inputs]
        values[node.name] = NODES[type(node.op)](node.op, xs, _arrays(node, weights), graph.input_shapes(node)[0])
    return ov.Model([nodes.result(values[name]) for name in graph.outputs], [x], graph.name)


_SELU = np.float32(1.6732632423543772), np.float32(1.0507009873554805)  # Klambauer et al. (2017): alpha, scale

_SHARED: list[ov.Core] = []


def _core() -> ov.Core:
    if not _SHARED:
        # The first array that OpenVINO converts in a process sets up its tie to NumPy, and two threads that convert
        # their first arrays at once wait for each other forever (seen in 2026.4). So one is converted here.
        np.array(ov.Tensor(np.zeros(1, np.float32), shared_memory=True).data)
        _SHARED.append(ov.Core())
    return _SHARED[0]


def _arrays(node: Node, weights: Mapping[str, np.ndarray]) -> Arrays:
    prefix = f"{node.weights_of or node.name}."
    keys = ("weight", "bias", "running_mean", "running_var")
    return {key: weights[prefix + key] for key in keys if prefix + key in weights}


def _window(sides: tuple[Sides, ...], stride: Size) -> dict[str, Any]:
    before, after = ([pair[i] for pair in sides] for i in (0, 1))
    return {"strides": list(per_axis(stride, len(sides))), "pads_begin": before, "pads_end": after}


def _channels(values: np.ndarray, x: Shape) -> np.ndarray:
    """One value a channel, shaped to meet a batch of `x`."""
    return values.reshape(1, -1, *(1,) * (len(x) - 1))


def _affine(y: Any, arrays: Arrays, x: Shape) -> Any:
    """`y` times the weights and plus the biases of its channels, as far as there are any."""
    if "weight" in arrays:
        y = nodes.multiply(y, _channels(arrays["weight"], x))
    return nodes.add(y, _channels(arrays["bias"], x)) if "bias" in arrays else y


def _constant(values: np.ndarray) -> Any:
    """`values` copied at once: a node that is given an array makes a list of Python's numbers of it first."""
    return nodes.constant(values)


def _grouped(weight: np.ndarray, groups: int) -> np.ndarray:
    return weight.reshape(groups, weight.shape[0] // groups, *weight.shape[1:])


def _conv(op: ops.Conv, xs: list[Any], arrays: Arrays, x: Shape) -> Any:
    window = _window(resolve_padding(op.padding, x[1:], op.kernel_size, op.stride, op.dilation), op.stride)
    window["dilations"] = list(per_axis(op.dilation, len(x) - 1))
    if op.groups == 1:
        y = nodes.convolution(xs[0], _constant(arrays["weight"]), **window)
    else:
        y = nodes.group_convolution(xs[0], _constant(_grouped(arrays["weight"], op.groups)), **window)
    return nodes.add(y, _channels(arrays["bias"], x)) if op.bias else y


def _conv_transpose(op: ops.ConvTranspose, xs: list[Any], arrays: Arrays, x: Shape) -> Any:
    sides, extras = zip(*op.cuts(x), strict=True)
    window = _window(sides, op.stride)
    window |= {"dilations": list(per_axis(op.dilation, len(x) - 1)), "output_padding": list(extras)}
    if op.groups == 1:
        y = nodes.convolution_backprop_data(xs[0], _constant(arrays["weight"]), **window)
    else:
        y = nodes.group_convolution_backprop_data(xs[0], _constant(_grouped(arrays["weight"], op.groups)), **window)
    return nodes.add(y, _channels(arrays["bias"], x)) if op.bias else y


def _dense(op: ops.Dense, xs: list[Any], arrays: Arrays, x: Shape) -> Any:
    y = nodes.matmul(xs[0], _constant(arrays["weight"]), transpose_a=False, transpose_b=True)
    return nodes.add(y, arrays["bias"]) if op.bias else y


def _rbf(op: ops.Rbf, xs: list[Any], arrays: Arrays, x: Shape) -> Any:
    differences = nodes.subtract(nodes.unsqueeze(xs[0], 1), arrays["weight"])
    return nodes.reduce_sum(nodes.multiply(differences, differences), [2], keep_dims=False)


def _batch_norm(op: ops.BatchNorm, xs: list[Any], arrays: Arrays, x: Shape) -> Any:
    mean, variance = arrays["running_mean"], arrays["running_var"]
    factor, summand = arrays.get("weight", np.ones_like(mean)), arrays.get("bias", np.zeros_like(mean))
    return nodes.batch_norm_inference(xs[0], factor, summand, mean, variance, epsilon=op.eps)


def _layer_norm(op: ops.LayerNorm, xs: list[Any], arrays: Arrays, x: Shape) -> Any:
    return _affine(nodes.mvn(xs[0], [1], True, op.eps, "INSIDE_SQRT"), arrays, x)


def _group_norm(op: ops.GroupNorm, xs: list[Any], arrays: Arrays, x: Shape) -> Any:
    groups = nodes.reshape(xs[0], [0, op.groups, -1], special_zero=True)
    normal = nodes.mvn(groups, [2], True, op.eps, "INSIDE_SQRT")
    return _affine(nodes.reshape(normal, [0, *x], special_zero=True), arrays, x)


def _local_response_norm(op: ops.LocalResponseNorm, xs: list[Any], arrays: Arrays, x: Shape) -> Any:
    # OpenVINO's own LRN takes an even window for the next smaller odd one.
    squares = nodes.reshape(nodes.multiply(xs[0], xs[0]), [0, 1, x[0], -1], special_zero=True)
    window = _window(((op.size // 2, (op.size - 1) // 2), (0, 0)), 1)
    means = nodes.avg_pool(squares, kernel_shape=[op.size, 1], exclude_pad=False, **window)
    base = nodes.add(nodes.multiply(means, np.float32(op.alpha)), np.float32(op.k))
    divisor = nodes.power(nodes.reshape(base, [0, *x], special_zero=True), np.float32(op.beta))
    return nodes.divide(xs[0], divisor)


def _max_pool(op: ops.MaxPool, xs: list[Any], arrays: Arrays, x: Shape) -> Any:
    window = _window(op.sides(x), op.stride or op.kernel_size)
    kernel = list(per_axis(op.kernel_size, len(x) - 1))
    dilations = list(per_axis(op.dilation, len(kernel)))
    return nodes.max_pool(xs[0], dilations=dilations, kernel_shape=kernel, **window).output(0)


def _avg_pool(op: ops.AvgPool, xs: list[Any], arrays: Arrays, x: Shape) -> Any:
    kernel, stride = per_axis(op.kernel_size, len(x) - 1), op.stride or op.kernel_size
    # Zeros that count are put there; what a window reaches beyond them does not count.
    zeros = resolve_padding(op.padding if op.count_padding else 0, x[1:], kernel, stride, op.dilation)
    sides = tuple((a - c, b - d) for (a, b), (c, d) in zip(op.sides(x), zeros, strict=True))
    y = _padded(xs[0], zeros) if op.count_padding else xs[0]
    if max(per_axis(op.dilation, len(kernel))) == 1:
        return nodes.avg_pool(y, kernel_shape=list(kernel), exclude_pad=True, **_window(sides, stride))
    ones = np.ones((1, 1, *(n + sum(pair) for n, pair in zip(x[1:], zeros, strict=True))), np.float32)
    return nodes.divide(_window_sums(op, y, x[0], sides), _window_sums(op, nodes.constant(ones), 1, sides))


def _lp_pool(op: ops.LpPool, xs: list[Any], arrays: Arrays, x: Shape) -> Any:
    powers = nodes.power(nodes.abs(xs[0]), np.float32(op.p))
    return nodes.power(_window_sums(op, powers, x[0], op.sides(x)), np.float32(1 / op.p))


def _window_sums(op: ops.AvgPool | ops.LpPool, y: Any, channels: int, sides: tuple[Sides, ...]) -> Any:
    """The sum of each window, as a convolution of each channel with ones."""
    rank = len(sides)
    ones = np.ones((channels, 1, 1, *per_axis(op.kernel_size, rank)), np.float32)
    window = _window(sides, op.stride or op.kernel_size) | {"dilations": list(per_axis(op.dilation, rank))}
    return nodes.group_convolution(y, ones, **window)


def _maxout(op: ops.Maxout, xs: list[Any], arrays: Arrays, x: Shape) -> Any:
    pieces = nodes.reshape(xs[0], [0, x[0] // op.pieces, op.pieces, *x[1:]], special_zero=True)
    return nodes.reduce_max(pieces, [2], keep_dims=False)


def _median_pool(op: ops.MedianPool, xs: list[Any], arrays: Arrays, x: Shape) -> Any:
    rank = len(x) - 1
    kernel, stride = per_axis(op.kernel_size, rank), per_axis(op.stride or op.kernel_size, rank)
    ends = [n - k + 1 for n, k in zip(x[1:], kernel, strict=True)]
    axes = list(range(2, rank + 2))
    cells = [  # of every window the one at `at`
        nodes.unsqueeze(nodes.slice(xs[0], [*at], [n + i for n, i in zip(ends, at, strict=True)], [*stride], axes), 0)
        for at in itertools.product(*map(range, kernel))
    ]
    half = len(cells) // 2
    smallest = nodes.topk(nodes.concat(cells, 0), half + 1, 0, "min", "value").output(0)
    middle = nodes.gather(smallest, [(len(cells) - 1) // 2, half], 0)
    return nodes.reduce_mean(middle, [0], keep_dims=False)


def _spatial(x: Shape) -> list[int]:
    return list(range(2, len(x) + 1))


def _padded(y: Any, sides: tuple[Sides, ...]) -> Any:
    before, after = ([0, 0, *(pair[i] for pair in sides)] for i in (0, 1))
    return nodes.pad(y, before, after, "constant", np.float32(0))


def _pad_channels(op: ops.PadChannels, xs: list[Any], arrays: Arrays, x: Shape) -> Any:
    before, after = ([0, channels, *(0 for _ in x[1:])] for channels in (op.before, op.after))
    return nodes.pad(xs[0], before, after, "constant", np.float32(0))


def _upsample(op: ops.Upsample, xs: list[Any], arrays: Arrays, x: Shape) -> Any:
    mode, centres = ("linear_onnx", "half_pixel") if op.mode == "linear" else ("nearest", "asymmetric")
    return nodes.interpolate(
        xs[0],
        np.array(per_axis(op.scale, len(x) - 1), np.float32),
        mode,
        "scales",
        coordinate_transformation_mode=centres,
        nearest_mode="floor",
        axes=_spatial(x),
    )


def _slice(op: ops.Slice, xs: list[Any], arrays: Arrays, x: Shape) -> Any:
    return nodes.slice(xs[0], [op.start], [op.stop], [op.step], [op.axis + 1])


NODES: dict[type[Op], Callable[[Any, list[Any], Arrays, Shape], Any]] = {
    ops.Conv: _conv,
    ops.ConvTranspose: _conv_transpose,
    ops.Dense: _dense,
    ops.Scale: lambda op, xs, arrays, x: _affine(xs[0], arrays, x),
    ops.Offset: lambda op, xs, arrays, x: nodes.add(xs[0], arrays["bias"]),
    ops.Rbf: _rbf,
    ops.BatchNorm: _batch_norm,
    ops.LayerNorm: _layer_norm,
    ops.GroupNorm: _group_norm,
    ops.LocalResponseNorm: _local_response_norm,
    ops.Identity: lambda op, xs, arrays, x: xs[0],
    ops.Factor: lambda op, xs, arrays, x: nodes.multiply(xs[0], np.float32(op.value)),
    ops.Relu: lambda op, xs, arrays, x: nodes.relu(xs[0]),
    ops.Relu6: lambda op, xs, arrays, x: nodes.clamp(xs[0], 0.0, 6.0),
    ops.LeakyRelu: lambda op, xs, arrays, x: nodes.prelu(xs[0], np.float32(op.negative_slope)),
    ops.PRelu: lambda op, xs, arrays, x: nodes.prelu(xs[0], arrays["weight"]),
    ops.Elu: lambda op, xs, arrays, x: nodes.elu(xs[0], op.alpha),
    ops.Selu: lambda op, xs, arrays, x: nodes.selu(xs[0], *_SELU),
    ops.Gelu: lambda op, xs, arrays, x: nodes.gelu(xs[0], "tanh" if op.approximate else "erf"),
    ops.Silu: lambda op, xs, arrays, x: nodes.swish(xs[0]),
    ops.Mish: lambda op, xs, arrays, x: nodes.mish(xs[0]),
    ops.Softplus: lambda op, xs, arrays, x: nodes.softplus(xs[0]),
    ops.Hardsigmoid: lambda op, xs, arrays, x: nodes.hsigmoid(xs[0]),
    ops.Hardswish: lambda op, xs, arrays, x: nodes.hswish(xs[0]),
    ops.Sigmoid: lambda op, xs, arrays, x: nodes.sigmoid(xs[0]),
    ops.Tanh: lambda op, xs, arrays, x: nodes.tanh(xs[0]),
    ops.Softmax: lambda op, xs, arrays, x: nodes.softmax(xs[0], 1),
    ops.LogSoftmax: lambda op, xs, arrays, x: nodes.log_softmax(xs[0], 1),
    ops.Dropout: lambda op, xs, arrays, x: xs[0],
    ops.MaxPool: _max_pool,
    ops.AvgPool: _avg_pool,
    ops.LpPool: _lp_pool,
    ops.MedianPool: _median_pool,
    ops.GlobalAvgPool: lambda op, xs, arrays, x: nodes.reduce_mean(xs[0], _spatial(x), keep_dims=True),
    ops.GlobalMaxPool: lambda op, xs, arrays, x: nodes.reduce_max(xs[0], _spatial(x), keep_dims=True),
    ops.AdaptiveAvgPool: lambda op, xs, arrays, x: nodes.adaptive_avg_pool(xs[0], op.output_shape(x)[1:]),
    ops.Maxout: _maxout,
    ops.Flatten: lambda op, xs, arrays, x: nodes.reshape(xs[0], [0, -1], special_zero=True),
    ops.Reshape: lambda op, xs, arrays, x: nodes.reshape(xs[0], [0, *op.shape], special_zero=True),
    ops.Pad: lambda op, xs, arrays, x: _padded(xs[0], op.sides(x)),
    ops.PadChannels: _pad_channels,
    ops.Slice: _slice,
    ops.ChannelShuffle: lambda op, xs, arrays, x: nodes.shuffle_channels(xs[0], 1, op.groups),
    ops.PixelShuffle: lambda op, xs, arrays, x: nodes.depth_to_space(xs[0], "depth_first", op.factor),
    ops.Upsample: _upsample,
    ops.Add: lambda op, xs, arrays, x: reduce(nodes.add, xs),
    ops.Multiply: lambda op, xs, arrays, x: reduce(nodes.multiply, xs),
    ops.Concat: lambda op, xs, arrays, x: nodes.concat(xs, 1),
}
"""The OpenVINO nodes of an op, from the op, its inputs, its arrays and the shape of its first input."""
