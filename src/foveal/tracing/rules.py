"""What each of PyTorch's operations is among the ops of a graph.

A rule receives the tracer and the operation's arguments, records steps and returns the result as a new meta tensor. It
raises `Unrecovered` (or lets an op refuse a shape) where the ops cannot say it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, TypeVar

import torch
from torch import Tensor

from foveal import ops
from foveal.ops import Op
from foveal.shapes import per_axis, same_padding
from foveal.tracing.layouts import size_of
from foveal.tracing.recorder import Unrecovered, one
from foveal.tracing.tracer import Tracer, Value

_Rule = TypeVar("_Rule", bound=Callable[..., Any])
RULES: dict[str, Callable[..., Any]] = {}
"""By the operation's name, without the underscore of an in-place one."""


def rule(*names: str) -> Callable[[_Rule], _Rule]:
    def register(function: _Rule) -> _Rule:
        RULES.update(dict.fromkeys(names, function))
        return function

    return register


def need(condition: object) -> None:
    """Give up the operation unless `condition` holds."""
    if not condition:
        raise Unrecovered


def sizes(value: Any, rank: int) -> Any:
    """A number for all axes or one for each, in its shortest form."""
    values = tuple(value) if isinstance(value, (list, tuple)) else (value,)
    return one(values * rank if len(values) == 1 else values)


# Layers with weights


@rule("conv1d", "conv2d", "conv3d")
def conv(
    t: Tracer, x: Tensor, weight: Tensor, bias: Tensor | None = None, stride: Any = 1, padding: Any = 0,
    dilation: Any = 1, groups: int = 1,
) -> Tensor:  # fmt: skip
    need(not t.reads(weight) and weight.shape[1] * groups == x.shape[1])
    rank = x.dim() - 2
    kernel = tuple(weight.shape[2:])
    if padding == "same":
        sides = [same_padding(1, k, 1, d) for k, d in zip(kernel, per_axis(sizes(dilation, rank), rank), strict=True)]
        padding = one(tuple(sides))
    elif padding == "valid":
        padding = 0
    else:
        padding = sizes(padding, rank)

    def op(biased: bool) -> Op:
        return ops.Conv(weight.shape[0], sizes(kernel, rank), sizes(stride, rank), padding, sizes(dilation, rank),
                        groups, biased)  # fmt: skip

    return weighted(t, t.laid(x), op, x, weight, bias)


@rule("convolution")
def convolution(
    t: Tracer, x: Tensor, weight: Tensor, bias: Tensor | None, stride: Any, padding: Any, dilation: Any,
    transposed: bool, output_padding: Any, groups: int,
) -> Tensor:  # fmt: skip
    if transposed:
        return conv_transpose(t, x, weight, bias, stride, padding, output_padding, groups, dilation)
    return conv(t, x, weight, bias, stride, padding, dilation, groups)


@rule("conv_transpose1d", "conv_transpose2d", "conv_transpose3d")
def conv_transpose(
    t: Tracer, x: Tensor, weight: Tensor, bias: Tensor | None = None, stride: Any = 1, padding: Any = 0,
    output_padding: Any = 0, groups: int = 1, dilation: Any = 1,
) -> Tensor:  # fmt: skip
    need(not t.reads(weight) and weight.shape[0] == x.shape[1])
    rank = x.dim() - 2
    numbers = [sizes(v, rank) for v in (tuple(weight.shape[2:]), stride, padding, output_padding, dilation)]

    def op(biased: bool) -> Op:
        kernel, steps, cut, extra, spread = numbers
        return ops.ConvTranspose(weight.shape[1] * groups, kernel, steps, cut, extra, spread, groups, biased)

    return weighted(t, t.laid(x), op, x, weight, bias)


def weighted(t: Tracer, step: int, op: Callable[[bool], Op], x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Record a layer whose weights may be computed from parameters.

    Weight normalisation and the like have, beside the weight, a gain a channel; that is a `Scale` after the layer, with
    the layer's bias, which is not scaled.
    """
    names = t.sources(weight)
    own = tuple(name for name in names if t.recorder.size(name) == weight.numel())[:1]
    rest = tuple(name for name in names if name not in own)
    channels = op(False).output_shape(t.recorder.shape(step))[0]
    if len(rest) == 1 and t.recorder.size(rest[0]) == channels:
        step = t.step(op(False), step, weight=own)
        return t.fresh(x, t.step(ops.Scale(bias is not None), step, weight=rest, bias=bias))
    step = t.step(op(bias is not None), step, weight=own, bias=bias)
    if not rest:
        return t.fresh(x, step)
    shape = t.recorder.shape(step)
    return t.fresh(x, t.recorder.opaque("weight", (step,), shape, t.place(), rest, local=True))


@rule("linear")
def linear(t: Tracer, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    need(not t.reads(weight) and weight.dim() == 2)
    return dense(t, x, weight.shape[0], weight, bias)


@rule("matmul", "mm")
def matmul(t: Tracer, x: Tensor, weight: Tensor) -> Tensor:
    need(t.reads(x) and not t.reads(weight) and weight.dim() == 2)
    return dense(t, x, weight.shape[1], weight, None)


@rule("addmm")
def addmm(t: Tracer, bias: Tensor, x: Tensor, weight: Tensor, *, beta: float = 1, alpha: float = 1) -> Tensor:
    need(beta == alpha == 1 and not t.reads(weight) and not t.reads(bias))
    return dense(t, x, weight.shape[1], weight, bias)


def dense(t: Tracer, x: Tensor, out_features: int, weight: Tensor, bias: Tensor | None) -> Tensor:
    """A fully connected layer of the last axis; on a map's channels it is a 1x1 convolution."""
    need(x.shape[-1] * out_features == weight.numel())
    last = x.dim() - 1
    if x.dim() == 2 and t.value(x).layout.batch_dim == 0:
        return weighted(t, t.laid(x), lambda biased: ops.Dense(out_features, biased), x, weight, bias)
    value = t.channels_first(x, last)
    need(value.layout.whole)
    flat = len(t.recorder.shape(value.step)) == 1

    def op(biased: bool) -> Op:
        return ops.Dense(out_features, biased) if flat else ops.Conv(out_features, 1, bias=biased)

    step = t.value(weighted(t, value.step, op, x, weight, bias)).step
    return t.bind(x.new_empty((*x.shape[:-1], out_features)), step, value.layout.resized(last, out_features))


@rule("sum")
def rbf(t: Tracer, x: Tensor, dim: Any = None, keepdim: bool = False, **_: Any) -> Tensor:
    """Squared distances to the rows of a buffer, ``(x[:, None] - points).square().sum(2)``; other sums are opaque."""
    squares = t.value(x).step
    need((squared := t.arguments(squares, "pow")) and squared[1] == 2 and tuple(dim) in ((2,), (-1,)) and not keepdim)
    (differences,) = t.recorder.steps[squares].inputs
    need(apart := t.arguments(differences, "sub"))
    row, points = apart
    value = t.value(row)
    need(t.stores(points) and points.dim() == 2 and row.shape[1:] == (1, points.shape[1]))
    need(value.layout.batch_dim == 0 and t.recorder.steps[differences].inputs == (value.step,))
    t.recorder.supersede(squares, differences)
    return t.fresh(x, t.step(ops.Rbf(points.shape[0]), t.lay(value, (2,)), state=(points,)))


# Normalisation


@rule("batch_norm")
def batch_norm(
    t: Tracer, x: Tensor, weight: Any, bias: Any, mean: Any, var: Any, training: bool, momentum: float, eps: float,
    _cudnn: bool = False,
) -> Tensor:  # fmt: skip
    need(not training and mean is not None and (weight is None) == (bias is None))
    op = ops.BatchNorm(eps, momentum, weight is not None)
    return t.same(op, x, 1, weight=weight, bias=bias, state=(mean, var))


@rule("instance_norm")
def instance_norm(
    t: Tracer, x: Tensor, weight: Any, bias: Any, mean: Any, var: Any, own: bool, momentum: float, eps: float,
    _cudnn: bool = False,
) -> Tensor:  # fmt: skip
    if own:
        return group_norm(t, x, x.shape[1], weight, bias, eps)
    return batch_norm(t, x, weight, bias, mean, var, False, momentum, eps)


@rule("group_norm")
def group_norm(
    t: Tracer, x: Tensor, groups: int, weight: Any = None, bias: Any = None, eps: float = 1e-5, _cudnn: bool = True
) -> Tensor:
    need((weight is None) == (bias is None))
    return t.same(ops.GroupNorm(groups, eps, weight is not None), x, 1, weight=weight, bias=bias)


@rule("layer_norm")
def layer_norm(
    t: Tracer, x: Tensor, shape: Sequence[int], weight: Any = None, bias: Any = None, eps: float = 1e-5,
    _cudnn: bool = True,
) -> Tensor:  # fmt: skip
    need((weight is None) == (bias is None))
    if len(shape) == 1:
        return t.same(ops.LayerNorm(eps, weight is not None), x, -1, weight=weight, bias=bias)
    need(weight is None and len(shape) == x.dim() - 1)
    return t.same(ops.GroupNorm(1, eps, False), x, 1)


# Functions of each value


def _unary(op: Op) -> Callable[[Tracer, Tensor], Tensor]:
    return lambda t, x: t.same(op, x)


RULES |= {
    "relu": _unary(ops.Relu()), "relu6": _unary(ops.Relu6()), "silu": _unary(ops.Silu()), "mish": _unary(ops.Mish()),
    "sigmoid": _unary(ops.Sigmoid()), "tanh": _unary(ops.Tanh()), "hardswish": _unary(ops.Hardswish()),
    "hardsigmoid": _unary(ops.Hardsigmoid()), "selu": _unary(ops.Selu()),
}  # fmt: skip


@rule("hardtanh", "clamp", "clamp_min")
def clamp(t: Tracer, x: Tensor, min: Any = None, max: Any = None) -> Tensor:
    need(min == 0 and max in (None, 6))
    return t.same(ops.Relu() if max is None else ops.Relu6(), x)


@rule("leaky_relu")
def leaky_relu(t: Tracer, x: Tensor, slope: float = 0.01) -> Tensor:
    return t.same(ops.LeakyRelu(slope), x)


@rule("elu")
def elu(t: Tracer, x: Tensor, alpha: float = 1.0, scale: float = 1, input_scale: float = 1) -> Tensor:
    need(scale == input_scale == 1)
    return t.same(ops.Elu(float(alpha)), x)


@rule("gelu")
def gelu(t: Tracer, x: Tensor, *, approximate: str = "none") -> Tensor:
    return t.same(ops.Gelu(approximate == "tanh"), x)


@rule("softplus")
def softplus(t: Tracer, x: Tensor, beta: float = 1, threshold: float = 20) -> Tensor:
    need(beta == 1 and threshold == 20)
    return t.same(ops.Softplus(), x)


@rule("prelu")
def prelu(t: Tracer, x: Tensor, weight: Tensor) -> Tensor:
    need(weight.numel() == x.shape[1])
    return t.same(ops.PRelu(), x, 1, weight=weight)


@rule("softmax", "_softmax")
def softmax(t: Tracer, x: Tensor, dim: int, _dtype: Any = None) -> Tensor:
    return t.same(ops.Softmax(), x, dim)


@rule("log_softmax", "_log_softmax")
def log_softmax(t: Tracer, x: Tensor, dim: int, _dtype: Any = None) -> Tensor:
    return t.same(ops.LogSoftmax(), x, dim)


@rule("dropout", "feature_dropout", "alpha_dropout", "feature_alpha_dropout")
def dropout(t: Tracer, x: Tensor, p: float, training: bool) -> Tensor:
    value = t.value(x)
    return t.bind(torch.empty_like(x), value.step, value.layout, value.place) if training else x


@rule("contiguous", "clone", "detach", "alias", "to", "_to_copy", "type_as", "lift_fresh", "positive")
def unchanged(t: Tracer, x: Tensor, *_: Any, **__: Any) -> Tensor:
    out, value = t.run(), t.value(x)
    need(out.shape == x.shape)
    t.view(out, x)
    return t.bind(out, value.step, value.layout, value.place)


# Pooling


@rule("max_pool1d", "max_pool2d", "max_pool3d")
def max_pool(
    t: Tracer, x: Tensor, kernel: Any, stride: Any = (), padding: Any = 0, dilation: Any = 1, ceil_mode: bool = False
) -> Tensor:
    rank = x.dim() - 2
    return t.mapped(ops.MaxPool(*_window(kernel, stride, padding, rank), ceil_mode, sizes(dilation, rank)), x)


@rule("max_pool1d_with_indices", "max_pool2d_with_indices", "max_pool3d_with_indices")
def max_pool_with_indices(t: Tracer, x: Tensor, *options: Any) -> tuple[Tensor, Tensor]:
    out = max_pool(t, x, *options)
    return out, torch.empty_like(out, dtype=torch.int64)


@rule("avg_pool1d", "avg_pool2d", "avg_pool3d")
def avg_pool(
    t: Tracer, x: Tensor, kernel: Any, stride: Any = (), padding: Any = 0, ceil_mode: bool = False,
    count_padding: bool = True, divisor: int | None = None,
) -> Tensor:  # fmt: skip
    need(divisor is None)
    window = _window(kernel, stride, padding, x.dim() - 2)
    return t.mapped(ops.AvgPool(*window, count_padding and window[2] != 0, ceil_mode), x)


def _window(kernel: Any, stride: Any, padding: Any, rank: int) -> tuple[Any, Any, Any]:
    step = sizes(stride, rank) if stride not in ((), [], None) else None
    size = sizes(kernel, rank)
    return size, None if step == size else step, sizes(padding, rank)


@rule("adaptive_avg_pool1d", "adaptive_avg_pool2d", "adaptive_avg_pool3d", "_adaptive_avg_pool2d")
def adaptive_avg_pool(t: Tracer, x: Tensor, size: Any) -> Tensor:
    size = sizes(size, x.dim() - 2)
    return t.mapped(ops.GlobalAvgPool() if size == 1 else ops.AdaptiveAvgPool(size), x)


@rule("adaptive_max_pool1d", "adaptive_max_pool2d", "adaptive_max_pool3d")
def adaptive_max_pool(t: Tracer, x: Tensor, size: Any) -> tuple[Tensor, Tensor]:
    size = sizes(size, x.dim() - 2)
    outputs = per_axis(size, x.dim() - 2)
    need(not any(n % m for n, m in zip(x.shape[2:], outputs, strict=True)))
    kernel = one(tuple(n // m for n, m in zip(x.shape[2:], outputs, strict=True)))
    out = t.mapped(ops.GlobalMaxPool() if size == 1 else ops.MaxPool(kernel), x)  # type: ignore[arg-type]  # numbers
    return out, torch.empty_like(out, dtype=torch.int64)


@rule("mean")
def mean(t: Tracer, x: Tensor, dim: Any = None, keepdim: bool = False, **_: Any) -> Tensor:
    return _reduced(t, x, dim, keepdim, ops.GlobalAvgPool(), "mean")


@rule("amax")
def amax(t: Tracer, x: Tensor, dim: Any = (), keepdim: bool = False) -> Tensor:
    return _reduced(t, x, dim, keepdim, ops.GlobalMaxPool(), "amax")


@rule("max")
def max_along(t: Tracer, x: Tensor, dim: Any = None, keepdim: bool = False) -> tuple[Tensor, Tensor]:
    need(isinstance(dim, int) and dim % x.dim() > 1)  # over positions; over channels it stays opaque, indices and all
    out, source, place = _reduced(t, x, dim, keepdim, ops.GlobalMaxPool(), "max"), t.value(x).step, t.place()
    found = t.value(out)

    def where() -> Value:
        step = t.recorder.opaque("argmax", (source,), t.recorder.shape(found.step), place)
        return Value(step, found.layout, place)

    return out, t.late(torch.empty_like(out, dtype=torch.int64), where)


def _reduced(t: Tracer, x: Tensor, dim: Any, keepdim: bool, pool: Op, label: str) -> Tensor:
    """One number of all positions, of some spatial axes, of the channels, or of each few of them."""
    need(dim not in (None, (), []))
    value = t.value(x)
    layout, shape = value.layout, t.recorder.shape(value.step)
    dims = {d % x.dim() for d in (dim if isinstance(dim, (tuple, list)) else (dim,))}
    lost = {atom for d in dims for atom in layout.dims[d]}
    need(layout.whole)
    if not lost:
        step = value.step
    elif lost == {atom for axis in layout.axes[1:] for atom in axis}:
        step = t.step(pool, value.step)
    elif pool == ops.GlobalMaxPool() and dims == {layout.pieces()}:
        step = t.step(ops.Maxout(size_of(lost)), value.step)
        layout = replace(layout, axes=(layout.axes[0][: -len(lost)], *layout.axes[1:]))
    elif lost == set(layout.axes[0]):
        place = t.place()
        step = t.recorder.opaque(label, (value.step,), (1, *shape[1:]), place, local=True)
    else:
        need(label == "mean" and all(not lost & set(axis) or lost >= set(axis) for axis in layout.axes))
        need(not lost & {layout.batch, *layout.axes[0]})
        left = tuple(1 if lost & set(axis) else n for axis, n in zip(layout.axes[1:], shape[1:], strict=True))
        step = t.step(ops.AdaptiveAvgPool(left), value.step)
    out = t.run()
    return t.bind(out[0] if isinstance(out, tuple) else out, step, layout.without(dims, keepdim))
