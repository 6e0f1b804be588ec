"""ONNX's operators as our ops: one function each, from a node's attributes and inputs to its outputs.

Where it takes several ops (a sum of shapes that differ, a hard sigmoid of another slope), those are composed; nothing
but ops computes.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from onnx import numpy_helper
from onnx_cases import Attributes, Run, Wanted

from foveal import ops
from foveal.ops import Op
from foveal.reference import OPS
from foveal.reference.base import Array
from foveal.reference.norms import moved_statistics
from foveal.shapes import Sides, same_padding


def ours(op: Op, x: Array, arrays: dict[str, Array] | None = None) -> Array:
    return OPS[type(op)].forward(op, arrays or {}, x)


def sides(a: Attributes, spatial: tuple[int, ...], kernel: tuple[int, ...]) -> tuple[Sides, ...]:
    """``pads`` or ``auto_pad`` as pairs."""
    rank, auto = len(kernel), a.get("auto_pad", "NOTSET")
    if auto.startswith("SAME"):
        windows = zip(spatial, kernel, a.get("strides", [1] * rank), a.get("dilations", [1] * rank), strict=True)
        pairs = [same_padding(*axis) for axis in windows]
        return tuple(pair if auto == "SAME_UPPER" else pair[::-1] for pair in pairs)
    pads = a.get("pads", [0] * 2 * rank)
    return tuple(zip(pads[:rank], pads[rank:], strict=True))


def layer(a: Attributes, weight: Array, *bias: Array) -> tuple[dict[str, Any], dict[str, Array]]:
    """The options that both convolutions share, and the arrays."""
    rank = weight.ndim - 2
    strides, dilations = (tuple(a.get(key, [1] * rank)) for key in ("strides", "dilations"))
    options = {"stride": strides, "dilation": dilations, "groups": a.get("group", 1), "bias": bool(bias)}
    return options, {"weight": weight} | ({"bias": bias[0]} if bias else {})


def conv(a: Attributes, wanted: Wanted, x: Array, weight: Array, *bias: Array) -> list[Array]:
    options, arrays = layer(a, weight, *bias)
    kernel = weight.shape[2:]
    return [ours(ops.Conv(len(weight), kernel, padding=sides(a, x.shape[2:], kernel), **options), x, arrays)]


def conv_transpose(a: Attributes, wanted: Wanted, x: Array, weight: Array, *bias: Array) -> list[Array]:
    options, arrays = layer(a, weight, *bias)
    kernel, extra = weight.shape[2:], tuple(a.get("output_padding", [0] * (x.ndim - 2)))
    padding: Any = sides({"pads": a["pads"]} if "pads" in a else {}, x.shape[2:], kernel)
    if a.get("auto_pad", "").startswith("SAME"):
        a = a | {"output_shape": [n * s for n, s in zip(x.shape[2:], options["stride"], strict=True)]}
    if "output_shape" in a:  # then it decides the padding; what is missing is added after
        axes = zip(x.shape[2:], kernel, options["stride"], options["dilation"], a["output_shape"], strict=True)
        totals = [(n - 1) * s + d * (k - 1) + 1 - out for n, k, s, d, out in axes]
        extra = tuple(max(-total, 0) for total in totals)
        halves = [(max(total, 0) // 2, max(total, 0) - max(total, 0) // 2) for total in totals]
        padding = tuple(halves if a.get("auto_pad") == "SAME_UPPER" else (half[::-1] for half in halves))
    op = ops.ConvTranspose(
        weight.shape[1] * options["groups"], kernel, padding=padding, output_padding=extra, **options
    )
    return [ours(op, x, arrays)]


def pool(kind: type[Op]) -> Run:
    def run(a: Attributes, wanted: Wanted, x: Array) -> list[Array]:
        kernel = tuple(a["kernel_shape"])
        strides, dilations = (tuple(a.get(key, [1] * len(kernel))) for key in ("strides", "dilations"))
        options = {"padding": sides(a, x.shape[2:], kernel), "ceil_mode": bool(a.get("ceil_mode", 0))}
        own = {ops.AvgPool: {"count_padding": bool(a.get("count_include_pad", 0))}, ops.LpPool: {"p": a.get("p", 2)}}
        op = kind(kernel, strides, dilation=dilations, **options, **own.get(kind, {}))
        y = ours(op, x)
        if len(wanted) == 1:
            return [y]
        won, _ = OPS[kind].backward(op, {}, (x,), y, np.ones_like(y))  # how often each cell wins, for the indices
        order = (0, 1, *range(x.ndim)[:1:-1]) if a.get("storage_order", 0) else range(x.ndim)
        times = np.bincount(wanted[1].astype(int).ravel(), minlength=x.size)
        np.testing.assert_array_equal(won[0].transpose(order).ravel(), times)
        return [y, wanted[1]]

    return run


def batch_norm(a: Attributes, wanted: Wanted, x: Array, *values: Array) -> list[Array]:
    arrays = dict(zip(("weight", "bias", "running_mean", "running_var"), values, strict=True))
    op = ops.BatchNorm(a.get("epsilon", 1e-5), 1 - a.get("momentum", 0.9))
    if not a.get("training_mode", 0):
        return [ours(op, x, arrays)]
    moved, old, n = moved_statistics(op, arrays, x), arrays["running_var"] * (1 - op.momentum), x.size / x.shape[1]
    biased = old + (moved["running_var"] - old) * (n - 1) / n  # ONNX's new variance is the biased one
    return [ours(op, x, {key: arrays[key] for key in ("weight", "bias")}), moved["running_mean"], biased]


def along(op: Op) -> Run:
    """A function over the channels, applied along ``axis``."""

    def run(a: Attributes, wanted: Wanted, x: Array) -> list[Array]:
        rows = np.moveaxis(x, a.get("axis", -1), -1)
        y = ours(op, rows.reshape(-1, rows.shape[-1])).reshape(rows.shape)
        return [np.moveaxis(y, -1, a.get("axis", -1))]

    return run


def gemm(a: Attributes, wanted: Wanted, x: Array, b: Array, c: Array | None = None) -> list[Array]:
    x, b = (x.T if a.get("transA") else x), (b.T if a.get("transB") else b)
    y = ours(ops.Dense(b.shape[1], bias=False), x, {"weight": a.get("alpha", 1.0) * b.T})
    if c is None:
        return [y]
    return [OPS[ops.Add].forward(ops.Add(), {}, y, np.broadcast_to(a.get("beta", 1.0) * c, y.shape))]


def matmul(a: Attributes, wanted: Wanted, x: Array, b: Array) -> list[Array]:
    """Each matrix of rows through a dense layer; a vector is a matrix of one row, on the right of one column."""
    rows, weights = np.atleast_2d(x), b if b.ndim > 1 else b[:, None]
    stack = np.broadcast_shapes(rows.shape[:-2], weights.shape[:-2])
    pairs = (np.broadcast_to(m, (*stack, *m.shape[-2:])).reshape(-1, *m.shape[-2:]) for m in (rows, weights))
    y = [ours(ops.Dense(w.shape[1], bias=False), each, {"weight": w.T}) for each, w in zip(*pairs, strict=True)]
    return [np.reshape(y, (*stack, *rows.shape[-2:-1] * (x.ndim > 1), *weights.shape[-1:] * (b.ndim > 1)))]


def curve(*make: Callable[[Attributes], Op]) -> Run:
    """A function of each value, or several in turn: all values in a row, so that any shape will do."""

    def run(a: Attributes, wanted: Wanted, x: Array) -> list[Array]:
        y = x.reshape(1, -1)
        for each in make:
            y = ours(each(a), y)
        return [y.reshape(x.shape)]

    return run


def selu(a: Attributes, wanted: Wanted, x: Array) -> list[Array]:
    """Of the paper's constants, or of others: ``gamma`` times an ELU."""
    if a:
        return curve(lambda a: ops.Elu(a["alpha"]), lambda a: ops.Factor(a["gamma"]))(a, wanted, x)
    return curve(lambda a: ops.Selu())(a, wanted, x)


def hard_sigmoid(a: Attributes, wanted: Wanted, x: Array) -> list[Array]:
    """``clip(alpha x + beta, 0, 1)`` is ours, ``clip(z + 3, 0, 6) / 6``, of ``z = 6 alpha x + 6 beta - 3``."""
    z = ours(ops.Factor(6 * a.get("alpha", 0.2)), x.reshape(1, -1))
    z = ours(ops.Offset(), z, {"bias": np.full(x.size, 6 * a.get("beta", 0.5) - 3)})
    return [ours(ops.Hardsigmoid(), z).reshape(x.shape)]


def identity(a: Attributes, wanted: Wanted, x: Any) -> list[Any]:
    """Of a sequence that of each value."""
    one = curve(lambda a: ops.Identity())
    return [[one(a, [], value)[0] for value in x]] if isinstance(x, list) else one(a, wanted, x)


def maximum(a: Attributes, wanted: Wanted, *xs: Array) -> list[Array]:
    """The largest of several values: each of them a piece of one channel."""
    pieces = np.stack(np.broadcast_arrays(*xs), -1)
    return [ours(ops.Maxout(len(xs)), pieces.reshape(1, -1)).reshape(pieces.shape[:-1])]


def depth_to_space(a: Attributes, wanted: Wanted, x: Array) -> list[Array]:
    """PyTorch's order (CRD); channels by turns (DCR) are shuffled into it."""
    size = a["blocksize"]
    if a.get("mode", "DCR") == "DCR":
        x = ours(ops.ChannelShuffle(size**2), x)
    return [ours(ops.PixelShuffle(size), x)]


def prelu(a: Attributes, wanted: Wanted, x: Array, slope: Array) -> list[Array]:
    if slope.shape == x.shape[1:2]:  # one a channel, as before version 7
        return [ours(ops.PRelu(), x, {"weight": slope})]
    slopes = np.broadcast_to(slope, x.shape).ravel()  # each value its own channel
    return [ours(ops.PRelu(), x.reshape(1, -1), {"weight": slopes}).reshape(x.shape)]


def dropout(a: Attributes, wanted: Wanted, x: Array, ratio: Any = 0.5, training: Any = False) -> list[Array]:
    mask = (wanted[0] != 0) | (x == 0)  # drawn at random
    arrays = {"mask": mask.reshape(1, -1).astype(float)} if training else {}
    y = ours(ops.Dropout(float(a.get("ratio", ratio))), x.reshape(1, -1), arrays)
    return [y.reshape(x.shape), mask][: len(wanted)]


def layer_norm(a: Attributes, wanted: Wanted, x: Array, weight: Array, bias: Array) -> list[Array]:
    rows = x.reshape(math.prod(x.shape[: a.get("axis", -1) % x.ndim]), -1)
    y = ours(ops.LayerNorm(a.get("epsilon", 1e-5)), rows, {"weight": weight.ravel(), "bias": bias.ravel()})
    return [y.reshape(x.shape), *wanted[1:]]  # mean and deviation are no output of the op


def group_norm(a: Attributes, wanted: Wanted, x: Array, weight: Array, bias: Array) -> list[Array]:
    op = ops.GroupNorm(a.get("num_groups", x.shape[1]), a.get("epsilon", 1e-5))
    return [ours(op, x, {"weight": weight, "bias": bias})]


def lrn(a: Attributes, wanted: Wanted, x: Array) -> list[Array]:
    options = {"alpha": a.get("alpha", 1e-4), "beta": a.get("beta", 0.75), "k": a.get("bias", 1.0)}
    return [ours(ops.LocalResponseNorm(a["size"], **options), x)]


def flatten(a: Attributes, wanted: Wanted, x: Array) -> list[Array]:
    axis = a.get("axis", 1) % x.ndim
    return [ours(ops.Flatten(), x.reshape(math.prod(x.shape[:axis]), *x.shape[axis:]))]


def joined(op: Op) -> Run:
    """Sums and products, missing axes put in front, products with ones where one serves all; of one summand, itself."""

    def run(a: Attributes, wanted: Wanted, *xs: Array) -> list[Array]:
        if len(xs) == 1:
            return [xs[0]]
        images = [x.reshape(1, *(1,) * (xs[0].ndim - x.ndim), *x.shape) for x in xs]
        ones = np.ones(np.broadcast_shapes(*(image.shape for image in images)))
        images = [OPS[ops.Multiply].forward(ops.Multiply(), {}, ones, image) for image in images]
        return [OPS[type(op)].forward(op, {}, *images)[0]]

    return run


def concat(a: Attributes, wanted: Wanted, *xs: Array) -> list[Array]:
    axis = a["axis"]
    rows = [np.moveaxis(x[None], axis + 1 if axis >= 0 else axis, 1) for x in xs]
    y = OPS[ops.Concat].forward(ops.Concat(), {}, *rows)
    return [np.moveaxis(y, 1, axis + 1 if axis >= 0 else axis)[0]]


RUN: dict[str, Run] = {
    "Conv": conv, "ConvTranspose": conv_transpose, "Gemm": gemm, "MatMul": matmul,
    "MaxPool": pool(ops.MaxPool), "AveragePool": pool(ops.AvgPool), "LpPool": pool(ops.LpPool),
    "GlobalAveragePool": lambda a, wanted, x: [ours(ops.GlobalAvgPool(), x)],
    "GlobalMaxPool": lambda a, wanted, x: [ours(ops.GlobalMaxPool(), x)],
    "BatchNormalization": batch_norm, "LayerNormalization": layer_norm, "LRN": lrn,
    "GroupNormalization": group_norm, "InstanceNormalization": group_norm,
    "Softmax": along(ops.Softmax()), "LogSoftmax": along(ops.LogSoftmax()),
    "Relu": curve(lambda a: ops.Relu()),
    "LeakyRelu": curve(lambda a: ops.LeakyRelu(a.get("alpha", 0.01))),
    "PRelu": prelu,
    "Elu": curve(lambda a: ops.Elu(a.get("alpha", 1.0))),
    "Selu": selu,
    "Gelu": curve(lambda a: ops.Gelu(a.get("approximate") == "tanh")),
    "Swish": curve(lambda a: ops.Silu()),
    "Mish": curve(lambda a: ops.Mish()),
    "Softplus": curve(lambda a: ops.Softplus()),
    "HardSigmoid": hard_sigmoid,
    "HardSwish": curve(lambda a: ops.Hardswish()),
    "Sigmoid": curve(lambda a: ops.Sigmoid()),
    "Neg": curve(lambda a: ops.Factor(-1)),
    "Tanh": curve(lambda a: ops.Tanh()),
    "Identity": identity,
    "Dropout": dropout,
    "Flatten": flatten, "Concat": concat,
    "Add": joined(ops.Add()), "Sum": joined(ops.Add()), "Mul": joined(ops.Multiply()),
    "Max": maximum, "DepthToSpace": depth_to_space,
    "Upsample": lambda a, wanted, x, scales: [ours(ops.Upsample(tuple(map(int, scales[2:]))), x)],
}  # fmt: skip
"""ONNX's operators that are ours."""

MOVING: dict[str, Run] = {
    "Constant": lambda a, wanted: [numpy_helper.to_array(a["value"])],
    "Reshape": lambda a, wanted, x, shape: [x.reshape(shape.astype(int))],
    "Squeeze": lambda a, wanted, x: [x.squeeze(tuple(a["axes"]))],
    "Transpose": lambda a, wanted, x: [x.transpose(a["perm"])],
    "Unsqueeze": lambda a, wanted, x: [np.expand_dims(x, tuple(a["axes"]))],
}
"""Those that compute nothing, as models of their time have them."""
