"""Ops -> PyTorch: for each op a module, or an expression where it holds nothing and PyTorch has no module for it.

A module takes pictures of any size that the op itself takes, not only of the size it was made for.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from functools import partial, reduce
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from foveal import ops
from foveal.ops import Op
from foveal.shapes import Padding, Shape, Sides, Size, per_axis, resolve_padding, window


def pad(x: Tensor, padding: Padding, kernel: Size, stride: Size, dilation: Size) -> Tensor:
    """`x` (batch, C, spatial...) padded with zeros; ``"same"`` follows the size of the picture that comes in."""
    return F.pad(x, _flat(resolve_padding(padding, tuple(x.shape[2:]), kernel, stride, dilation)))


def own_pad(op: Op, x: Shape) -> tuple[Any, ...] | None:
    """Arguments of the `pad` that goes before `op` where PyTorch's module cannot pad so itself, else None."""
    if not isinstance(op, ops.Conv) or _built_in(op, x) is not None:
        return None
    return op.padding, op.kernel_size, op.stride, op.dilation


class PaddedMax(nn.Module):
    """Max pooling under padding that PyTorch's module cannot express."""

    def __init__(self, op: ops.MaxPool, x: Shape) -> None:
        super().__init__()
        self.op = op
        options = {"kernel_size": op.kernel_size, "stride": _stride(op), "dilation": op.dilation}
        self.pool = partial(getattr(torch, f"max_pool{len(x) - 1}d"), **options)  # that of F cannot be pickled

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.pool(F.pad(x, _flat(self.op.sides(tuple(x.shape[1:]))), value=float("-inf")))
        return y


class PaddedMean(nn.Module):
    """Average pooling under padding that PyTorch's module cannot express, or with a dilation."""

    def __init__(self, op: ops.AvgPool, x: Shape) -> None:
        super().__init__()
        self.op = op
        plain = max(per_axis(op.dilation, len(x) - 1)) == 1
        average = partial(getattr(F, f"avg_pool{len(x) - 1}d"), kernel_size=op.kernel_size, stride=_stride(op))
        self.pool = average if plain else partial(_window_means, op)

    def forward(self, x: Tensor) -> Tensor:
        shape = tuple(x.shape[1:])
        sides = self.op.sides(shape)
        counted = resolve_padding(
            self.op.padding if self.op.count_padding else 0,
            shape[1:],
            self.op.kernel_size,
            _stride(self.op),
            self.op.dilation,
        )
        beyond = tuple((a - c, b - d) for (a, b), (c, d) in zip(sides, counted, strict=True))
        ones = F.pad(torch.ones_like(x[:1, :1]), _flat(counted), value=1.0)
        mean: Tensor = self.pool(F.pad(x, _flat(sides))) / self.pool(F.pad(ones, _flat(beyond)))
        return mean


class LpPool(nn.Module):
    """The p-norm of each window."""

    def __init__(self, op: ops.LpPool, x: Shape) -> None:
        super().__init__()
        self.op = op

    def forward(self, x: Tensor) -> Tensor:
        sides = _flat(self.op.sides(tuple(x.shape[1:])))
        cells = _windows(self.op, F.pad(x, sides) if any(sides) else x)  # padding copies, even of nothing
        norms: Tensor = torch.linalg.vector_norm(cells, self.op.p, tuple(range(x.ndim, cells.ndim)))
        return norms


class Maxout(nn.Module):
    """The largest of each `pieces` channels in a row."""

    def __init__(self, op: ops.Maxout, x: Shape) -> None:
        super().__init__()
        self.pieces = op.pieces

    def forward(self, x: Tensor) -> Tensor:
        largest: Tensor = x.unflatten(1, (-1, self.pieces)).max(2).values  # type: ignore[no-untyped-call]  # torch has no types here
        return largest


class Median(nn.Module):
    """Median pooling: the windows sorted, the middle one or the mean of the middle two taken."""

    def __init__(self, op: ops.MedianPool, x: Shape) -> None:
        super().__init__()
        self.op = op

    def forward(self, x: Tensor) -> Tensor:
        cells = _windows(self.op, x).flatten(x.ndim).sort(-1).values
        middle = cells.shape[-1] // 2
        return (cells[..., middle] + cells[..., -1 - middle]) / 2


class CroppedTranspose(nn.Module):
    """A transposed convolution that loses different numbers of cells before and after, which PyTorch's cannot."""

    def __init__(self, conv: Any, crop: list[int]) -> None:
        super().__init__()
        self.weight, self.bias, self.crop = conv.weight, conv.bias, crop
        self.convolve = partial(
            getattr(F, f"conv_transpose{conv.weight.ndim - 2}d"),
            stride=conv.stride,
            padding=conv.padding,
            output_padding=conv.output_padding,
            groups=conv.groups,
            dilation=conv.dilation,
        )

    def forward(self, x: Tensor) -> Tensor:
        return F.pad(self.convolve(x, self.weight, self.bias), self.crop)


class ChannelNorm(nn.LayerNorm):
    """Layer norm over the channels of each position of (batch, C, spatial...)."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.movedim(1, -1)).movedim(-1, 1)


class Scale(nn.Module):
    """A factor a channel, and perhaps a summand; 1 and 0 to begin with."""

    def __init__(self, op: ops.Scale, x: Shape) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(x[0]))
        self.bias = nn.Parameter(torch.zeros(x[0])) if op.bias else None

    def forward(self, x: Tensor) -> Tensor:
        channels = (-1,) + (1,) * (x.ndim - 2)
        y = x * self.weight.view(channels)
        return y if self.bias is None else y + self.bias.view(channels)


class Offset(nn.Module):
    """A summand a value; 0 to begin with."""

    def __init__(self, op: ops.Offset, x: Shape) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(x))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.bias


class Rbf(nn.Module):
    """Squared distances to fixed points; at random places of 1 and -1 to begin with."""

    weight: Tensor

    def __init__(self, op: ops.Rbf, x: Shape) -> None:
        super().__init__()
        self.register_buffer("weight", torch.randint(2, (op.out_features, *x)) * 2.0 - 1)

    def forward(self, x: Tensor) -> Tensor:
        return (x.unsqueeze(1) - self.weight).square().sum(2)


class PadChannels(nn.Module):
    """Channels of zeros before and after."""

    def __init__(self, op: ops.PadChannels, x: Shape) -> None:
        super().__init__()
        self.padding = (0, 0) * (len(x) - 1) + (op.before, op.after)

    def forward(self, x: Tensor) -> Tensor:
        return F.pad(x, self.padding)


def _windows(op: ops.AvgPool | ops.LpPool | ops.MedianPool, x: Tensor) -> Tensor:
    """Every window as a view, (batch, C, positions..., cells...)."""
    rank = x.ndim - 2
    sizes = [per_axis(size, rank) for size in (op.kernel_size, op.stride or op.kernel_size, getattr(op, "dilation", 1))]
    for axis, (kernel, stride, dilation) in enumerate(zip(*sizes, strict=True), start=2):
        x = x.unfold(axis, window(kernel, dilation), stride)[..., ::dilation]
    return x


def _window_means(op: ops.AvgPool, x: Tensor) -> Tensor:
    cells = _windows(op, x)
    return cells.mean(tuple(range(x.ndim, cells.ndim)))


def _stride(op: ops.Conv | ops.MaxPool | ops.AvgPool) -> Size:
    return op.stride or op.kernel_size


def _flat(sides: tuple[Sides, ...]) -> list[int]:
    """Pairs of the axes in order as `F.pad` wants them: one row, last axis first."""
    return [side for pair in reversed(sides) for side in pair]


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


def _ranked(kind: str, x: Shape) -> Any:
    """``nn.Conv2d`` for ``"Conv"`` and a map of two spatial axes, and so on."""
    return getattr(nn, f"{kind}{len(x) - 1}d")


def _conv(op: ops.Conv, x: Shape) -> Any:
    padding = _built_in(op, x) or 0
    kind = _ranked("Conv", x)
    return kind(x[0], op.out_channels, op.kernel_size, op.stride, padding, op.dilation, op.groups, op.bias)


def _conv_transpose(op: ops.ConvTranspose, x: Shape) -> Any:
    strides, dilations = (per_axis(value, len(x) - 1) for value in (op.stride, op.dilation))
    paddings, extras, crop = [], [], []
    for (sides, extra), stride, dilation in zip(op.cuts(x), strides, dilations, strict=True):
        before, after = sides[0], sides[1] - extra  # after may be below zero: cells gained
        padding = min(before, after + max(stride, dilation) - 1)  # PyTorch gains fewer than stride or dilation
        gained = max(padding - after, 0)
        paddings.append(padding)
        extras.append(gained)
        crop.append((padding - before, padding - gained - after))
    conv = _ranked("ConvTranspose", x)(
        x[0], op.out_channels, op.kernel_size, op.stride, paddings, extras, op.groups, op.bias, op.dilation
    )
    return CroppedTranspose(conv, _flat(tuple(crop))) if any(map(any, crop)) else conv


def _max_pool(op: ops.MaxPool, x: Shape) -> Any:
    if (padding := _built_in(op, x)) is None:
        return PaddedMax(op, x)
    return _ranked("MaxPool", x)(op.kernel_size, _stride(op), padding, op.dilation, ceil_mode=op.ceil_mode)


def _avg_pool(op: ops.AvgPool, x: Shape) -> Any:
    if (padding := _built_in(op, x)) is None or max(per_axis(op.dilation, len(x) - 1)) > 1:
        return PaddedMean(op, x)
    return _ranked("AvgPool", x)(op.kernel_size, _stride(op), padding, op.ceil_mode, op.count_padding)


def _upsample(op: ops.Upsample, x: Shape) -> nn.Module:
    rank = len(x) - 1
    mode = ("linear", "bilinear", "trilinear")[rank - 1] if op.mode == "linear" else op.mode
    return nn.Upsample(scale_factor=tuple(map(float, per_axis(op.scale, rank))), mode=mode)


MODULES: dict[type[Op], Callable[[Any, Shape], nn.Module]] = {
    ops.Conv: _conv,
    ops.ConvTranspose: _conv_transpose,
    ops.Dense: lambda op, x: nn.Linear(x[0], op.out_features, op.bias),
    ops.Scale: Scale,
    ops.Offset: Offset,
    ops.Rbf: Rbf,
    ops.BatchNorm: lambda op, x: _ranked("BatchNorm", x if len(x) > 1 else (0, 0))(
        x[0], op.eps, op.momentum, op.affine
    ),
    ops.LayerNorm: lambda op, x: ChannelNorm(x[0], op.eps, op.affine),
    ops.GroupNorm: lambda op, x: nn.GroupNorm(op.groups, x[0], op.eps, op.affine),
    ops.LocalResponseNorm: lambda op, x: nn.LocalResponseNorm(op.size, op.alpha, op.beta, op.k),
    ops.Identity: lambda op, x: nn.Identity(),
    ops.Relu: lambda op, x: nn.ReLU(),
    ops.Relu6: lambda op, x: nn.ReLU6(),
    ops.LeakyRelu: lambda op, x: nn.LeakyReLU(op.negative_slope),
    ops.PRelu: lambda op, x: nn.PReLU(x[0]),
    ops.Elu: lambda op, x: nn.ELU(op.alpha),
    ops.Selu: lambda op, x: nn.SELU(),
    ops.Gelu: lambda op, x: nn.GELU("tanh" if op.approximate else "none"),
    ops.Silu: lambda op, x: nn.SiLU(),
    ops.Mish: lambda op, x: nn.Mish(),
    ops.Softplus: lambda op, x: nn.Softplus(),
    ops.Hardsigmoid: lambda op, x: nn.Hardsigmoid(),
    ops.Hardswish: lambda op, x: nn.Hardswish(),
    ops.Sigmoid: lambda op, x: nn.Sigmoid(),
    ops.Tanh: lambda op, x: nn.Tanh(),
    ops.Softmax: lambda op, x: nn.Softmax(dim=1),
    ops.LogSoftmax: lambda op, x: nn.LogSoftmax(dim=1),
    ops.Dropout: lambda op, x: nn.Dropout(op.p),
    ops.MaxPool: _max_pool,
    ops.AvgPool: _avg_pool,
    ops.LpPool: LpPool,
    ops.MedianPool: Median,
    ops.GlobalAvgPool: lambda op, x: _ranked("AdaptiveAvgPool", x)(1),
    ops.GlobalMaxPool: lambda op, x: _ranked("AdaptiveMaxPool", x)(1),
    ops.AdaptiveAvgPool: lambda op, x: _ranked("AdaptiveAvgPool", x)(op.output_size),
    ops.Maxout: Maxout,
    ops.Flatten: lambda op, x: nn.Flatten(),
    ops.Pad: lambda op, x: _ranked("ZeroPad", x)(_flat(op.sides(x))),
    ops.PadChannels: PadChannels,
    ops.ChannelShuffle: lambda op, x: nn.ChannelShuffle(op.groups),
    ops.PixelShuffle: lambda op, x: nn.PixelShuffle(op.factor),
    ops.Upsample: _upsample,
}
"""One PyTorch module an op, from the op and its input's shape."""

EXPRESSIONS: dict[type[Op], Callable[[Any, list[Any]], Any]] = {
    ops.Factor: lambda op, xs: xs[0] * op.value,
    ops.Add: lambda op, xs: reduce(operator.add, xs),
    ops.Multiply: lambda op, xs: reduce(operator.mul, xs),
    ops.Concat: lambda op, xs: torch.cat(xs, 1),
    ops.Slice: lambda op, xs: xs[0][(slice(None),) * (op.axis + 1) + (slice(op.start, op.stop, op.step),)],
    ops.Reshape: lambda op, xs: xs[0].flatten(1).unflatten(1, op.shape),
}
"""The other ops as functions of their inputs, tensors or the proxies of torch.fx."""
