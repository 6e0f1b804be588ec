"""Layers with weights: convolutions and what is close to them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

from foveal.errors import ShapeError
from foveal.fields import Axis, Field
from foveal.ops.base import Count, Extra, Op, slid
from foveal.shapes import Padding, Shape, Sides, Size, per_axis, resolve_padding, slide, text, transposed_size


@dataclass(frozen=True)
class Conv(Op):
    """Convolution as networks mean it (cross-correlation); LeCun et al. (1989)."""

    out_channels: Count
    kernel_size: Size
    stride: Size = 1
    padding: Padding = 0
    dilation: Size = 1
    groups: Count = 1
    bias: bool = True

    def output_shape(self, *xs: Shape) -> Shape:
        x = self._map(xs)
        _check_groups(x[0], self.out_channels, self.groups)
        return (self.out_channels, *slide(x[1:], self.kernel_size, self.stride, self.padding, self.dilation))

    def parameters(self, *xs: Shape) -> dict[str, Shape]:
        x = self._map(xs)
        weight = (self.out_channels, x[0] // self.groups, *per_axis(self.kernel_size, len(x) - 1))
        return {"weight": weight} | ({"bias": (self.out_channels,)} if self.bias else {})

    def macs(self, *xs: Shape) -> int:
        positions = math.prod(self.output_shape(*xs)[1:])
        return positions * math.prod(self.parameters(*xs)["weight"])

    def other_ops(self, *xs: Shape) -> int:
        return math.prod(self.output_shape(*xs)) if self.bias else 0

    def receptive_field(self, *xs: Field) -> Field:
        return slid(xs[0], self.kernel_size, self.stride, self.padding, self.dilation)


@dataclass(frozen=True)
class ConvTranspose(Op):
    """Transposed convolution (deconvolution): each input cell adds its kernel to the output; Zeiler et al. (2010).

    `padding` cuts the output; ``"same"`` makes it `stride` times the input. `output_padding` adds cells after.
    """

    out_channels: Count
    kernel_size: Size
    stride: Size = 1
    padding: Padding = 0
    output_padding: Extra = 0
    dilation: Size = 1
    groups: Count = 1
    bias: bool = True

    def cuts(self, x: Shape) -> tuple[tuple[Sides, int], ...]:
        """What each spatial axis of `x` loses before and after, and the cells it gains after (``output_padding``)."""
        rank = len(x) - 1
        kernels, strides, dilations = (
            per_axis(value, rank) for value in (self.kernel_size, self.stride, self.dilation)
        )
        extras = per_axis(self.output_padding, rank)
        if self.padding != "same":
            for extra, stride, dilation in zip(extras, strides, dilations, strict=True):
                if extra >= max(stride, dilation):
                    raise ShapeError(
                        f"output_padding {extra} must be smaller than the stride {stride} or the dilation {dilation}"
                    )
            sides = resolve_padding(self.padding, x[1:], kernels, strides, dilations)
            return tuple(zip(sides, extras, strict=True))
        if any(extras):
            raise ShapeError("padding 'same' decides the output_padding itself; leave output_padding at 0")
        spans = (dilation * (kernel - 1) + 1 - stride for kernel, stride, dilation in zip(
            kernels, strides, dilations, strict=True
        ))  # fmt: skip
        return tuple(((max(span, 0) // 2, max(span, 0) - max(span, 0) // 2), max(-span, 0)) for span in spans)

    def output_shape(self, *xs: Shape) -> Shape:
        x = self._map(xs)
        _check_groups(x[0], self.out_channels, self.groups)
        sizes = [per_axis(value, len(x) - 1) for value in (self.kernel_size, self.stride, self.dilation)]
        return (self.out_channels, *(
            transposed_size(n, kernel, stride, sides, dilation, extra)
            for n, kernel, stride, dilation, (sides, extra) in zip(x[1:], *sizes, self.cuts(x), strict=True)
        ))  # fmt: skip

    def parameters(self, *xs: Shape) -> dict[str, Shape]:
        x = self._map(xs)
        weight = (x[0], self.out_channels // self.groups, *per_axis(self.kernel_size, len(x) - 1))
        return {"weight": weight} | ({"bias": (self.out_channels,)} if self.bias else {})

    def macs(self, *xs: Shape) -> int:
        return math.prod(xs[0][1:]) * math.prod(self.parameters(*xs)["weight"])

    def other_ops(self, *xs: Shape) -> int:
        return math.prod(self.output_shape(*xs)) if self.bias else 0

    def receptive_field(self, *xs: Field) -> Field:
        x = (1, *xs[0].units)
        outputs, cuts, rank = self.output_shape((self.groups, *x[1:]))[1:], self.cuts(x), len(x) - 1
        kernels, strides, dilations = (
            per_axis(value, rank) for value in (self.kernel_size, self.stride, self.dilation)
        )

        def spread(axis: Axis, i: int) -> Axis:
            return axis.spread(outputs[i], kernels[i], strides[i], cuts[i][0][0], dilations[i])

        return xs[0].each(spread)


@dataclass(frozen=True)
class Dense(Op):
    """Fully connected layer on a flat input."""

    out_features: Count
    bias: bool = True

    def output_shape(self, *xs: Shape) -> Shape:
        x = self._only(xs)
        if len(x) != 1:
            raise ShapeError(f"Dense takes a flat input, not {text(x)}; put Flatten before it")
        return (self.out_features,)

    def parameters(self, *xs: Shape) -> dict[str, Shape]:
        weight = (self.out_features, *self._only(xs))
        return {"weight": weight} | ({"bias": (self.out_features,)} if self.bias else {})

    def macs(self, *xs: Shape) -> int:
        return math.prod(self.parameters(*xs)["weight"])

    def other_ops(self, *xs: Shape) -> int:
        return self.out_features if self.bias else 0

    def receptive_field(self, *xs: Field) -> Field:
        return xs[0].whole()


@dataclass(frozen=True)
class Scale(Op):
    """Each channel times a trained number, and plus another with `bias`: layer scale (Touvron et al. 2021), the
    coefficients of LeNet-5's pooling (LeCun et al. 1998).
    """

    bias: bool = False

    def parameters(self, *xs: Shape) -> dict[str, Shape]:
        channels = self._only(xs)[:1]
        return {"weight": channels} | ({"bias": channels} if self.bias else {})

    def other_ops(self, *xs: Shape) -> int:
        return math.prod(xs[0]) * (1 + self.bias)


@dataclass(frozen=True)
class Offset(Op):
    """A trained summand for every single value; LeCun et al. (1989), whose units share weights but not biases."""

    work: ClassVar[int] = 1

    def parameters(self, *xs: Shape) -> dict[str, Shape]:
        return {"bias": self._only(xs)}


@dataclass(frozen=True)
class Rbf(Op):
    """Squared distances to fixed points, ``y_i = sum_j (x_j - w_ij)^2``; LeCun et al. (1998), equation 7.

    The points are a buffer: drawn by hand, not trained. The products count among the other operations.
    """

    out_features: Count

    def output_shape(self, *xs: Shape) -> Shape:
        x = self._only(xs)
        if len(x) != 1:
            raise ShapeError(f"Rbf takes a flat input, not {text(x)}; put Flatten before it")
        return (self.out_features,)

    def buffers(self, *xs: Shape) -> dict[str, Shape]:
        return {"weight": (self.out_features, *self._only(xs))}

    def other_ops(self, *xs: Shape) -> int:
        return self.out_features * (3 * xs[0][0] - 1)  # a difference, a square, and their sum

    def receptive_field(self, *xs: Field) -> Field:
        return xs[0].whole()


def _check_groups(in_channels: int, out_channels: int, groups: int) -> None:
    for channels, side in ((in_channels, "input"), (out_channels, "output")):
        if channels % groups:
            raise ShapeError(f"{channels} {side} channels do not divide into {groups} groups")
