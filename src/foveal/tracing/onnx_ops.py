"""What each ONNX operator is among our ops: one function each, from a step to the value that it gives.

A function raises `Unfit` where no op here says the same; the step is then opaque. ONNX's operators are those of
https://onnx.ai/onnx/operators.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from foveal import ops
from foveal.errors import ShapeError
from foveal.ops import Op
from foveal.shapes import Padding, Shape, Sides, Size, same_padding
from foveal.tracing.onnx_arithmetic import ARITHMETIC
from foveal.tracing.onnx_step import FLOATS, Map, Step, Unfit, Weight

Result = Map | list[Map]
"""The first output, or one value for each."""


def _compact(values: tuple[int, ...]) -> Size:
    return values[0] if len(set(values)) == 1 else values


def _per_axis(step: Step, name: str, rank: int) -> tuple[int, ...]:
    values = step.attribute(name, (1,) * rank)
    if len(values) != rank:
        raise ShapeError(f"its {name} are {len(values)} numbers, but its window has {rank} axes")
    return values


def _pairs(pads: tuple[int, ...], rank: int) -> Padding:
    """ONNX's ``begin, begin, ..., end, end, ...`` as our padding."""
    if len(pads) != 2 * rank:
        raise ShapeError(f"its pads are {len(pads)} numbers; expected {2 * rank}, two for each of {rank} axes")
    pairs = tuple(zip(pads[:rank], pads[rank:], strict=True))
    return _compact(pads[:rank]) if all(before == after for before, after in pairs) else pairs


def _padding(step: Step, kernel: tuple[int, ...]) -> Padding:
    auto, rank = step.attribute("auto_pad", "NOTSET"), len(kernel)
    if auto == "NOTSET":
        return _pairs(step.attribute("pads", (0,) * 2 * rank), rank)
    if auto == "SAME_LOWER":  # TensorFlow's SAME with the odd cell in front
        strides, dilations = _per_axis(step, "strides", rank), _per_axis(step, "dilations", rank)
        axes = zip(step.plain.shape[2:], kernel, strides, dilations, strict=True)
        sides: list[Sides] = [same_padding(*axis)[::-1] for axis in axes]
        return tuple(sides)
    if auto in ("VALID", "SAME_UPPER"):
        return 0 if auto == "VALID" else "same"
    raise Unfit(f"auto_pad {auto!r:.40} is unknown")


def _conv(step: Step) -> Result:
    weight, rank = step.weight(1), len(step.plain.shape) - 2
    kernel = weight.shape[2:]
    op = ops.Conv(
        weight.shape[0],
        _compact(kernel),
        _compact(_per_axis(step, "strides", rank)),
        _padding(step, kernel),
        _compact(_per_axis(step, "dilations", rank)),
        groups=step.attribute("group", 1),
        bias=step.has(2),
    )
    return step.emit(op, step.plain, weights={"weight": weight, "bias": step.optional(2)})


def _conv_transpose(step: Step) -> Result:
    weight, rank, groups = step.weight(1), len(step.plain.shape) - 2, step.attribute("group", 1)
    kernel = weight.shape[2:]
    if step.attribute("output_shape", ()) or step.attribute("auto_pad", "") == "SAME_LOWER":
        raise Unfit("its padding follows from its output")
    op = ops.ConvTranspose(
        weight.shape[1] * groups,
        _compact(kernel),
        _compact(_per_axis(step, "strides", rank)),
        _padding(step, kernel),
        _compact(step.attribute("output_padding", (0,) * rank)),
        _compact(_per_axis(step, "dilations", rank)),
        groups=groups,
        bias=step.has(2),
    )
    return step.emit(op, step.plain, weights={"weight": weight, "bias": step.optional(2)})


def _gemm(step: Step) -> Result:
    weight, bias = step.weight(1), step.optional(2)
    features = weight.shape[0 if step.attribute("transB", 0) else 1]
    if step.attribute("transA", 0) or {step.attribute("alpha", 1.0), step.attribute("beta", 1.0)} != {1.0}:
        raise Unfit("it scales or turns what it multiplies")
    if bias is not None and bias.size != features:
        raise Unfit("its summand is not one number a feature")
    return step.emit(ops.Dense(features, bias is not None), step.plain, weights={"weight": weight, "bias": bias})


def _matmul(step: Step) -> Result:
    x, weight = step.x, step.weight(1)
    if len(weight.shape) != 2 or x.order is None or x.order[-1] != 0:
        raise Unfit("it does not multiply the channels by a matrix")
    features = weight.shape[1]
    op = ops.Dense(features, False) if len(x.order) == 1 else ops.Conv(features, 1, bias=False)
    return step.emit(op, x, order=x.order, weights={"weight": weight})


def _batch_norm(step: Step) -> Result:
    op = ops.BatchNorm(step.attribute("epsilon", 1e-5), 1 - step.attribute("momentum", 0.9))
    keys = ("weight", "bias", "running_mean", "running_var")
    return step.emit(op, step.plain, weights={key: step.weight(i) for i, key in enumerate(keys, start=1)})


def _layer_norm(step: Step) -> Result:
    x, last = step.x, len(step.x.shape) - 1
    if step.attribute("axis", -1) not in (-1, last) or x.order is None or x.order[-1] != 0 or not step.has(2):
        raise Unfit("it normalises over other axes than the channels")
    op = ops.LayerNorm(step.attribute("epsilon", 1e-5))
    return step.emit(op, x, order=x.order, weights={"weight": step.weight(1), "bias": step.weight(2)})


def _group_norm(step: Step) -> Result:
    groups = step.attribute("num_groups", 1) if step.kind == "GroupNormalization" else step.plain.shape[1]
    weight, bias = step.weight(1), step.weight(2)
    neutral = _is(weight, 1.0) and _is(bias, 0.0)
    op = ops.GroupNorm(groups, step.attribute("epsilon", 1e-5), affine=not neutral)
    return step.emit(op, step.plain, weights=None if neutral else {"weight": weight, "bias": bias})


def _is(weight: Weight, number: float) -> bool:
    """Whether all of it is one number, as exporters put it where nothing is trained."""
    return weight.values is not None and bool(np.all(weight.values == number))


def _local_response_norm(step: Step) -> Result:
    alpha, beta, k = step.attribute("alpha", 1e-4), step.attribute("beta", 0.75), step.attribute("bias", 1.0)
    return step.emit(ops.LocalResponseNorm(step.attribute("size", 1), alpha, beta, k), step.plain)


def _prelu(step: Step) -> Result:
    if not step.weight(1).over(step.x):
        raise Unfit("its slopes are not one a channel")
    return step.emit(ops.PRelu(), step.x, order=step.x.order, weights={"weight": step.weight(1)})


def _activation(make: Callable[[Step], Op]) -> Callable[[Step], Result]:
    return lambda step: step.emit(make(step), step.x, order=step.x.order)


def _where(fits: Callable[[Step], bool], op: Op) -> Callable[[Step], Op]:
    def make(step: Step) -> Op:
        if not fits(step):
            raise Unfit("its constants are not the usual ones")
        return op

    return make


def _softmax(step: Step) -> Result:
    x = step.x
    rank, old = len(x.shape), step.opset < 13
    axis = step.attribute("axis", 1 if old else -1) % rank
    if x.order is None or not axis or x.order[axis - 1] != 0 or (old and math.prod(x.shape[axis + 1 :]) > 1):
        raise Unfit("it is not over the channels")
    return step.emit(ops.Softmax() if step.kind == "Softmax" else ops.LogSoftmax(), x, order=x.order)


def _pool(step: Step) -> Result:
    kernel = step.attribute("kernel_shape", ())
    strides, dilations = (_compact(_per_axis(step, name, len(kernel))) for name in ("strides", "dilations"))
    window, ceil = (_compact(kernel), strides, _padding(step, kernel)), bool(step.attribute("ceil_mode", 0))
    if step.kind == "MaxPool":
        return step.emit(ops.MaxPool(*window, ceil, dilations), step.plain)
    if step.kind == "LpPool":
        return step.emit(ops.LpPool(*window, step.attribute("p", 2), ceil, dilations), step.plain)
    counted = bool(step.attribute("count_include_pad", 0))
    return step.emit(ops.AvgPool(*window, counted, ceil, dilations), step.plain)


def _global_pool(step: Step) -> Result:
    return step.emit(ops.GlobalAvgPool() if step.kind == "GlobalAveragePool" else ops.GlobalMaxPool(), step.plain)


def _reduce(step: Step) -> Result:
    x = step.x
    axes = {axis % len(x.shape) for axis in step.setting("axes", 1)}
    if (largest := _largest_piece(step, axes)) is not None:
        return largest
    if x.order is None or {0 if axis == 0 else x.order[axis - 1] for axis in axes} != set(range(1, len(x.order))):
        raise Unfit("it is not over all positions")
    if 0 in axes or not axes:
        raise Unfit("it mixes the images of a batch")
    pooled = step.emit(ops.GlobalAvgPool() if step.kind == "ReduceMean" else ops.GlobalMaxPool(), x, order=x.order)
    return pooled if step.attribute("keepdims", 1) else step.emit(ops.Flatten(), pooled)


def _largest_piece(step: Step, axes: set[int]) -> Map | None:
    """Maxout, written as the maximum of channels that were put into groups by a reshape."""
    net, x = step.net, step.x
    before = net.nodes.get(x.node)
    if step.kind != "ReduceMax" or axes != {2} or not x.plain or step.attribute("keepdims", 1):
        return None
    if before is None or not isinstance(before.op, ops.Reshape):
        return None
    source, goal = net.shapes[before.inputs[0]], x.shape[1:]
    if source != (goal[0] * goal[1], *goal[2:]):
        return None
    channels = Map(before.inputs[0], (net.batch, *source), tuple(range(len(source))), x.kind)
    return step.emit(ops.Maxout(goal[1]), channels)


def _alias(step: Step) -> Result:
    return step.x


def _cast(step: Step) -> Result:
    kind = step.attribute("to", 1)
    if kind not in FLOATS or step.x.kind not in FLOATS:
        raise Unfit("it makes numbers of another kind")
    return replace(step.x, kind=kind)


def _transpose(step: Step) -> Result:
    x, rank = step.x, len(step.x.shape)
    turn = step.attribute("perm", tuple(range(rank))[::-1])
    if x.order is None or sorted(turn) != list(range(rank)) or turn[0] != 0:
        raise Unfit("it moves the batch axis")
    order = tuple(x.order[axis - 1] for axis in turn[1:])
    return replace(x, shape=tuple(x.shape[axis] for axis in turn), order=order)


def _reshape(step: Step) -> Result:
    x, ((target, _), *_) = step.x, step.inferred()
    mine, goal = step.net.shapes[x.node], target[1:]
    if x.order is None or not goal or target[0] != step.net.batch or math.prod(target) != math.prod(x.shape):
        raise Unfit("it mixes the images of a batch")
    if (known := _regrouped(step, goal)) is not None:
        return known
    if not x.plain and math.prod(mine[1:]) > 1:
        raise Unfit("its input's axes are in another order")
    if goal == mine and x.plain:
        return x
    return step.emit(ops.Flatten() if len(goal) == 1 else ops.Reshape(goal), x)


def _regrouped(step: Step, goal: Shape) -> Map | None:
    """What a map becomes that was reshaped to groups of channels, treated and is now reshaped back."""
    net, x = step.net, step.x
    before = net.nodes.get(x.node)
    groups, norm = net.shapes[x.node][0], before.op if before else None
    if before and isinstance(norm, ops.GroupNorm) and norm.groups == groups and not norm.affine:
        before = net.nodes.get(before.inputs[0])  # group norm written as instance norm
    elif x.order == (1, 0, *range(2, len(x.shape) - 1)) and goal[1:] == x.shape[3:]:
        norm = ops.ChannelShuffle(groups)
    else:
        return None
    if before is None or not isinstance(before.op, ops.Reshape) or net.shapes[before.inputs[0]] != goal:
        return None
    source = Map(before.inputs[0], (net.batch, *goal), tuple(range(len(goal))), x.kind)
    return step.emit(norm, source)


def _concat(step: Step) -> Result:
    x, axis = step.x, step.attribute("axis", 1) % len(step.x.shape)
    if len(step.maps) < len(step.inputs):
        raise Unfit("it joins constants")
    if x.order is None or any(y.order != x.order for y in step.maps) or not axis or x.order[axis - 1] != 0:
        raise Unfit("it is not along the channels")
    return step.emit(ops.Concat(), *step.maps, order=x.order) if len(step.maps) > 1 else x


def _slice(step: Step) -> Result:
    starts, stops = step.setting("starts", 1), step.setting("ends", 2)
    axes = step.setting("axes", 3, tuple(range(len(starts))))
    steps = step.setting("steps", 4, (1,) * len(starts))
    x = step.x
    for start, stop, axis, by in zip(starts, stops, axes, steps, strict=True):
        axis %= len(x.shape)
        cut = range(x.shape[axis])[start:stop:by]
        if len(cut) < x.shape[axis] or by < 1:
            x = _cut(step, x, axis, cut)
    return x


def _cut(step: Step, x: Map, axis: int, cut: range) -> Map:
    if x.order is None or not axis or cut.step < 1 or not cut:
        raise Unfit("it cuts the batch, cuts backwards or leaves nothing")
    op = ops.Slice(cut.start, min(cut.stop, x.shape[axis]), cut.step, x.order[axis - 1])
    return step.emit(op, x, order=x.order)


def _split(step: Step) -> Result:
    x, axis = step.x, step.attribute("axis", 0) % len(step.x.shape)
    sizes = [shape[axis] for shape, _ in step.inferred()]
    if len(sizes) != len(step.node.output) or sum(sizes) != x.shape[axis]:
        raise Unfit("its parts do not add up")
    ends = np.cumsum(sizes).tolist()
    return [_cut(step, x, axis, range(end - size, end)) for size, end in zip(sizes, ends, strict=True)]


def _pad(step: Step) -> Result:
    x, rank = step.plain, len(step.plain.shape)
    pads = step.setting("pads", 1)
    if step.has(3):
        axes, given, pads = [axis % rank for axis in step.numbers(3)], pads, (0,) * 2 * rank
        at = dict(zip([*axes, *(axis + rank for axis in axes)], given, strict=True))
        pads = tuple(at.get(i, 0) for i in range(2 * rank))
    value = step.numbers(2)[0] if step.has(2) else step.attribute("value", 0.0)
    if step.attribute("mode", "constant") != "constant" or value or pads[0] or pads[rank]:
        raise Unfit("it does not put zeros around the map")
    channels, spatial = (pads[1], pads[rank + 1]), pads[2:rank] + pads[rank + 2 :]
    if any(channels):
        if rank < 3:
            raise Unfit("it lengthens a row")
        x = step.emit(ops.PadChannels(*channels), x)
    return step.emit(ops.Pad(_pairs(spatial, rank - 2)), x) if any(spatial) else x


def _resize(step: Step) -> Result:
    x, mode = step.plain, step.attribute("mode", "nearest")
    ((target, _), *_) = step.inferred()
    centres = step.attribute("coordinate_transformation_mode", "half_pixel" if step.opset > 10 else "asymmetric")
    rounding = step.attribute("nearest_mode", "round_prefer_floor" if step.opset > 10 else "floor")
    if len(target) < 3 or target[:2] != x.shape[:2] or any(n % m for n, m in zip(target, x.shape, strict=True)):
        raise Unfit("it does not enlarge by whole numbers")
    repeats = (centres, rounding[:5]) in (("asymmetric", "floor"), ("half_pixel", "round"))
    if not (mode == "nearest" and repeats) and not (mode == "linear" and centres.endswith("half_pixel")):
        raise Unfit(f"its interpolation is {mode!r:.20}, {centres!r:.40}")
    scale = tuple(n // m for n, m in zip(target[2:], x.shape[2:], strict=True))
    return step.emit(ops.Upsample(_compact(scale), mode), x)


def _depth_to_space(step: Step) -> Result:
    factor, x = step.attribute("blocksize", 1), step.plain
    if step.attribute("mode", "DCR") != "CRD" and x.shape[1] != factor**2:  # it takes the channels by turns
        x = step.emit(ops.ChannelShuffle(factor**2), x)
    return step.emit(ops.PixelShuffle(factor), x)


def _limits(step: Step) -> tuple[float, float]:
    if step.opset < 11:
        return step.attribute("min", -math.inf), step.attribute("max", math.inf)
    low, high = (step.numbers(i)[0] if step.has(i) else default for i, default in ((1, -math.inf), (2, math.inf)))
    return low, high


def _clip(step: Step) -> Op:
    known: dict[tuple[float, float], Op] = {(0, 6): ops.Relu6(), (0, math.inf): ops.Relu()}
    if _limits(step) not in known:
        raise Unfit("its limits are not 0 and 6")
    return known[_limits(step)]


HANDLERS: dict[str, Callable[[Step], Result]] = {
    **ARITHMETIC,
    "Conv": _conv, "ConvTranspose": _conv_transpose, "Gemm": _gemm, "MatMul": _matmul,
    "BatchNormalization": _batch_norm, "LayerNormalization": _layer_norm, "LRN": _local_response_norm,
    "GroupNormalization": _group_norm, "InstanceNormalization": _group_norm,
    "MaxPool": _pool, "AveragePool": _pool, "LpPool": _pool,
    "GlobalAveragePool": _global_pool, "GlobalMaxPool": _global_pool,
    "ReduceMean": _reduce, "ReduceMax": _reduce, "Softmax": _softmax, "LogSoftmax": _softmax, "PRelu": _prelu,
    "Identity": _alias, "Cast": _cast, "Transpose": _transpose,
    "Flatten": _reshape, "Reshape": _reshape, "Squeeze": _reshape, "Unsqueeze": _reshape,
    "Concat": _concat,
    "Slice": _slice, "Split": _split, "Pad": _pad, "Resize": _resize, "DepthToSpace": _depth_to_space,
    "Relu": _activation(lambda step: ops.Relu()),
    "Clip": _activation(_clip),
    "LeakyRelu": _activation(lambda step: ops.LeakyRelu(step.attribute("alpha", 0.01))),
    "Elu": _activation(lambda step: ops.Elu(step.attribute("alpha", 1.0))),
    "Selu": _activation(_where(lambda step: not step.node.attribute, ops.Selu())),
    "Gelu": _activation(lambda step: ops.Gelu(step.attribute("approximate", "none") == "tanh")),
    "HardSigmoid": _activation(_where(
        lambda step: math.isclose(step.attribute("alpha", 0.2), 1 / 6, rel_tol=1e-4)
        and step.attribute("beta", 0.5) == 0.5, ops.Hardsigmoid(),
    )),
    "HardSwish": _activation(lambda step: ops.Hardswish()),
    "Swish": _activation(_where(lambda step: step.attribute("alpha", 1.0) == 1.0, ops.Silu())),
    "Sigmoid": _activation(lambda step: ops.Sigmoid()),
    "Tanh": _activation(lambda step: ops.Tanh()),
    "Softplus": _activation(lambda step: ops.Softplus()),
    "Mish": _activation(lambda step: ops.Mish()),
    "Dropout": _activation(lambda step: ops.Dropout(
        step.numbers(1)[0] if step.has(1) else step.attribute("ratio", 0.5)
    )),
}  # fmt: skip
"""ONNX's operators that our ops can say."""
