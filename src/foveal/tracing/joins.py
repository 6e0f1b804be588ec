"""Rules of what moves, cuts and joins values: views, slices, padding, upsampling, sums and products."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from foveal import ops
from foveal.ops import Op
from foveal.tracing.layouts import Layout, fresh, size_of
from foveal.tracing.recorder import SOURCE, one
from foveal.tracing.rules import need, rule
from foveal.tracing.tracer import Tracer, Value

# Views


@rule("view", "reshape", "_unsafe_view", "flatten", "unflatten", "squeeze", "unsqueeze", "view_as", "reshape_as")
def reshape(t: Tracer, x: Tensor, *_: Any, **__: Any) -> Tensor:
    value, out = t.value(x), t.run()
    sizes = tuple(out.shape)
    layout = value.layout.viewed(sizes)
    need(any(t.batch in dim for dim in value.layout.dims))
    t.view(out, x)
    if layout is not None:
        return t.bind(out, value.step, layout)
    need(value.layout.batch_dim == 0 and sizes[0] == t.batch.size)
    return t.bind(out, t.step(ops.Reshape(sizes[1:]), t.lay(value)), Layout.plain(sizes[1:], t.batch))


@rule("permute")
def permute(t: Tracer, x: Tensor, dims: Sequence[int]) -> Tensor:
    value, out = t.value(x), t.run()
    t.view(out, x)
    return t.bind(out, value.step, value.layout.permuted([d % x.dim() for d in dims]))


@rule("transpose", "swapaxes", "swapdims")
def transpose(t: Tracer, x: Tensor, a: int, b: int) -> Tensor:
    dims = list(range(len(t.value(x).layout.dims)))
    dims[a], dims[b] = dims[b], dims[a]
    return permute(t, x, dims)


@rule("copy")
def copy(t: Tracer, x: Tensor, source: Tensor, _wait: bool = False) -> Tensor:
    need(t.reads(source) and x.shape == source.shape)
    return source


@rule("expand")
def expand(t: Tracer, x: Tensor, *_: Any, **__: Any) -> Tensor:
    value, out = t.value(x), t.run()
    t.view(out, x)
    return t.bind(out, value.step, value.layout.expanded(tuple(out.shape)), value.place)


@rule("slice")
def slice_(t: Tracer, x: Tensor, dim: int = 0, start: Any = None, stop: Any = None, step: int = 1) -> Tensor:
    dim %= x.dim()
    begin, end, _ = slice(start, stop).indices(x.shape[dim])
    return _cut(t, x, dim, begin, end, step, t.run())


@rule("select")
def select(t: Tracer, x: Tensor, dim: int, index: int) -> Tensor:
    dim %= x.dim()
    index %= x.shape[dim]
    return _cut(t, x, dim, index, index + 1, 1, t.run(), drop=True)


@rule("chunk", "split", "split_with_sizes", "tensor_split", "unsafe_chunk", "unsafe_split", "unsafe_split_with_sizes")
def split(t: Tracer, x: Tensor, _: Any, dim: int = 0) -> list[Tensor]:
    parts, begin = [], 0
    for out in t.run():
        end = begin + out.shape[dim]
        parts.append(_cut(t, x, dim % x.dim(), begin, end, 1, out))
        begin = end
    return parts


@rule("unbind")
def unbind(t: Tracer, x: Tensor, dim: int = 0) -> list[Tensor]:
    return [_cut(t, x, dim % x.dim(), i, i + 1, 1, out, drop=True) for i, out in enumerate(t.run())]


def _cut(
    t: Tracer, x: Tensor, dim: int, start: int, stop: int, step: int, out: Tensor, *, drop: bool = False
) -> Tensor:
    """`out` is ``start:stop:step`` of the axis `dim` of `x`, without that axis if `drop`."""
    count = len(range(start, stop, step))
    before = t.cut_before(x, dim, start, stop) if step == 1 and not drop else None
    if before is not None:
        t.view(out, x, (dim, start, stop))
        return t.bind(out, before.step, before.layout, before.place)
    value = t.value(x) if count == x.shape[dim] else t.settled(x, dim)
    layout, atoms = value.layout, value.layout.dims[dim]
    t.view(out, x, (dim, start, stop) if step == 1 and not drop else None)
    left = layout.dims[:dim] + (() if drop else (fresh((count,))[0],)) + layout.dims[dim + 1 :]
    if count == x.shape[dim]:
        left = left if drop else layout.dims
        return t.bind(out, value.step, replace(layout, dims=left), value.place)
    need(count and layout.whole and t.batch not in atoms)
    i, at = layout.find(atoms)
    axis = layout.axes[i]
    outer, inner = axis[:at], axis[at + len(atoms) :]
    kept = fresh((count,))[0] if drop else left[dim]
    if not outer:
        width = size_of(inner)
        need(width == 1 or step == 1)
        op = ops.Slice(start * width, (start + (count - 1) * step + 1) * width, step, i)
    else:
        need(not inner and count == 1)
        op = ops.Slice(start, size_of(axis), size_of(atoms), i)
    axes = (*layout.axes[:i], (*outer, *kept, *inner), *layout.axes[i + 1 :])
    return t.bind(out, t.step(op, value.step), Layout(axes, left, layout.batch))


# Padding and resizing


@rule("constant_pad_nd")
def pad(t: Tracer, x: Tensor, pad: Sequence[int], fill: float = 0) -> Tensor:
    need(fill in (0, -math.inf))
    value, layout = t.value(x), t.value(x).layout
    need(layout.whole)
    sides = [(0, 0)] * len(layout.axes)  # of the channels, then of the spatial axes
    for number, pair in enumerate(zip(pad[::2], pad[1::2], strict=True)):
        dim = x.dim() - 1 - number
        if any(pair):
            found = [i for i, axis in enumerate(layout.axes) if axis and axis == layout.dims[dim]]
            need(found)
            sides[found[0]] = pair
            layout = layout.resized(dim, x.shape[dim] + sum(pair))
    if not any(any(pair) for pair in sides):
        return t.bind(t.run(), value.step, value.layout, value.place)
    step = value.step
    for axis, (before, after) in enumerate(sides):
        if min(before, after) < 0:
            kept = t.recorder.shape(step)[axis] + min(after, 0)
            step = t.step(ops.Slice(max(-before, 0), kept, 1, axis), step)
    channels, *spatial = ((max(a, 0), max(b, 0)) for a, b in sides)
    if any(channels):
        need(fill == 0)
        step = t.step(ops.PadChannels(*channels), step)
    if any(any(pair) for pair in spatial):
        step = t.step(ops.Pad(one(tuple(spatial))), step)
        t.recorder.steps[step].lowest = fill != 0
    return t.bind(t.run(), step, layout)


@rule("upsample_nearest1d", "upsample_nearest2d", "upsample_nearest3d",
      "_upsample_nearest_exact1d", "_upsample_nearest_exact2d", "_upsample_nearest_exact3d")  # fmt: skip
def upsample(t: Tracer, x: Tensor, size: Any, *scales: Any, mode: str = "nearest") -> Tensor:
    out = t.run()
    need(not any(n % m for n, m in zip(out.shape[2:], x.shape[2:], strict=True)))
    factors = [n // m for n, m in zip(out.shape[2:], x.shape[2:], strict=True)]
    given = scales[0] if scales and isinstance(scales[0], (list, tuple)) else scales
    need(size is not None or list(given) == factors)
    return t.mapped(ops.Upsample(one(tuple(factors)), mode), x)  # type: ignore[arg-type]  # numbers


@rule("upsample_linear1d", "upsample_bilinear2d", "upsample_trilinear3d")
def upsample_linear(t: Tracer, x: Tensor, size: Any, align_corners: bool, *scales: Any) -> Tensor:
    need(not align_corners)
    return upsample(t, x, size, *scales, mode="linear")


@rule("pixel_shuffle")
def pixel_shuffle(t: Tracer, x: Tensor, factor: int) -> Tensor:
    return t.mapped(ops.PixelShuffle(factor), x)


@rule("channel_shuffle", "native_channel_shuffle")
def channel_shuffle(t: Tracer, x: Tensor, groups: int) -> Tensor:
    return t.mapped(ops.ChannelShuffle(groups), x)


# Joins


@rule("cat", "concat", "concatenate")
def cat(t: Tracer, tensors: Sequence[Tensor], dim: int = 0) -> Tensor:
    out = t.run()
    values = [t.value(x) for x in tensors if x.numel()]
    first, dim = values[0].layout, dim % out.dim()
    need(first.batch_dim is not None and all(v.layout.whole and v.layout.batch_dim == first.batch_dim for v in values))
    order = first.order if first.order[0] == dim else first.natural
    need(order[0] == dim)
    step = t.step(ops.Concat(), *(t.lay(v, order) for v in values))
    return t.bind(out, step, Layout.ordered(tuple(out.shape), order, first.batch_dim, t.batch)[0])


def _aligned(t: Tracer, x: Tensor, y: Tensor, out: Tensor) -> tuple[list[int], Layout]:
    """The steps of two tensors, arranged alike where they are not, and how their sum or product lies on its node."""
    values = [t.value(x), t.value(y)]
    most = max(values, key=lambda v: math.prod(t.recorder.shape(v.step)))
    layout = most.layout
    need(layout.whole)
    if len({(v.layout.runs, t.recorder.shape(v.step)) for v in values}) == 1:
        return [v.step for v in values], layout
    need(x.dim() == y.dim() and {layout.batch_dim} == {v.layout.batch_dim for v in values} != {None})
    steps = [t.lay(Value(v.step, v.layout.once(), v.place), layout.order) for v in values]
    return steps, Layout.ordered(tuple(out.shape), layout.order, layout.batch_dim, t.batch)[0]


def _itself(t: Tracer, x: Tensor) -> Tensor:
    """What an operation gives that changes nothing."""
    value = t.value(x)
    return t.bind(torch.empty_like(x), value.step, value.layout, value.place)


@rule("add")
def add(t: Tracer, x: Any, y: Any, *, alpha: float = 1) -> Tensor:
    if not isinstance(y, Tensor):
        need(y == 0)
        return _itself(t, x)
    need(alpha == 1)
    x, y = (x, y) if t.reads(x) else (y, x)
    if not t.reads(y):
        return _offset(t, x, y)
    out = torch.empty_like(x) if x.shape == y.shape else t.run()
    steps, layout = _aligned(t, x, y, out)
    return t.bind(out, t.step(ops.Add(), *steps), layout)


def _offset(t: Tracer, x: Tensor, y: Tensor) -> Tensor:
    """A parameter added to each channel, which may turn out to be the second of a `Scale`, or to each single value."""
    value = t.value(x)
    need(len(t.sources(y)) == 1)
    if not (_by_channel(value, x, y) and t.recorder.op(value.step) == ops.Scale()):
        need(value.layout.batch_dim == 0 and value.layout.flat(value.layout.natural))
        need(y.numel() == math.prod(x.shape[1:]) and tuple(y.shape[-x.dim() + 1 :]) == tuple(x.shape[1:]))
        return t.same(ops.Offset(), x, bias=y)
    shape = t.recorder.shape(value.step)
    step = t.recorder.opaque("add", (value.step,), shape, t.place(), t.sources(y), local=True)
    t.recorder.steps[step].offset = bool(t.recorder.steps[step].names)
    return t.bind(torch.empty_like(x), step, value.layout)


@rule("sub")
def sub(t: Tracer, x: Tensor, y: Any, *, alpha: float = 1) -> Tensor:
    need(not isinstance(y, Tensor) and y == 0)
    return _itself(t, x)


def _number(t: Tracer, x: Tensor, y: Any) -> float | None:
    """The number that `y` is, or holds as a constant or buffer of one value; None if it is none to work on `x` with."""
    if not isinstance(y, Tensor):
        return float(y)
    fixed = y.numel() == 1 and y.dim() <= x.dim() and not (y.is_meta or t.reads(y) or t.sources(y))
    return float(str(np.float32(y.item()))) if fixed else None  # 0.17, not 0.17000000178813934


def _times(t: Tracer, x: Tensor, number: float) -> Tensor:
    if number == 1:
        return _itself(t, x)
    need(x.is_floating_point())
    return t.same(ops.Factor(number), x)


@rule("neg", "negative")
def neg(t: Tracer, x: Tensor) -> Tensor:
    return _times(t, x, -1)


@rule("mul", "multiply")
def mul(t: Tracer, x: Any, y: Any) -> Tensor:
    x, y = (x, y) if t.reads(x) else (y, x)
    if not t.reads(y):
        if (number := _number(t, x, y)) is not None:
            return _times(t, x, number)
        value = t.value(x)
        need(_by_channel(value, x, y))
        return t.bind(torch.empty_like(x), t.step(ops.Scale(), value.step, weight=y), value.layout)
    out = torch.empty_like(x) if x.shape == y.shape else t.run()
    steps, layout = _aligned(t, x, y, out)
    for a, b in (steps, steps[::-1]):
        if (op := _self_gated(t, a, b)) is not None:
            return t.bind(out, t.step(op, a), layout)
    return t.bind(out, t.step(ops.Multiply(), *steps), layout)


def _self_gated(t: Tracer, step: int, gate: int) -> Op | None:
    """The activation that is `step` times `gate`, if the gate is computed from it so: x times sigmoid(x) is SiLU."""
    op = t.recorder.op(gate)
    known: dict[Op | None, Op] = {ops.Sigmoid(): ops.Silu(), ops.Hardsigmoid(): ops.Hardswish()}
    steps = t.recorder.steps
    if op in known and steps[gate].inputs == (step,):
        t.recorder.supersede(gate)
        return known[op]
    inner = steps[gate].inputs[0] if op == ops.Tanh() else SOURCE
    if t.recorder.op(inner) == ops.Softplus() and steps[inner].inputs == (step,):
        t.recorder.supersede(gate, inner)
        return ops.Mish()
    return None


def _by_channel(value: Value, x: Tensor, y: Tensor) -> bool:
    """Whether `y` has a number for each channel of `x`, along the same axis."""
    channels = value.layout.channels()
    if channels is None or not value.layout.whole or y.numel() != x.shape[channels] or y.dim() > x.dim():
        return False
    return (1,) * (x.dim() - y.dim()) + tuple(y.shape) == tuple(
        x.shape[channels] if d == channels else 1 for d in range(x.dim())
    )


@rule("div", "divide", "true_divide")
def div(t: Tracer, x: Tensor, y: Any) -> Tensor:
    number, value = _number(t, x, y), t.value(x)
    need(number)
    assert number
    gate = value.step
    if number != 6 or t.recorder.op(gate) != ops.Relu6():
        return _times(t, x, 1 / number)
    (shifted,) = t.recorder.steps[gate].inputs
    *_, added = t.arguments(shifted, "add") or (None,)
    if isinstance(added, Tensor) or added != 3:
        return _times(t, x, 1 / number)
    t.recorder.supersede(gate, shifted)
    return t.bind(torch.empty_like(x), t.step(ops.Hardsigmoid(), *t.recorder.steps[shifted].inputs), value.layout)
