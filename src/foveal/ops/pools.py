"""Pooling: each channel summed up window by window."""

from __future__ import annotations

import math
from dataclasses import dataclass

from foveal.errors import ShapeError
from foveal.fields import Field
from foveal.ops.base import Op, OptionalSize, slid
from foveal.shapes import Padding, Shape, Sides, Size, per_axis, resolve_padding, slide


@dataclass(frozen=True)
class MaxPool(Op):
    """The largest value in each window; padding counts as minus infinity. `stride` None means the kernel's size.

    `ceil_mode` lets a last window hang over the end, as in PyTorch and Caffe.
    """

    kernel_size: Size
    stride: OptionalSize = None
    padding: Padding = 0
    ceil_mode: bool = False

    def sides(self, x: Shape) -> tuple[Sides, ...]:
        """Cells before and after each spatial axis of `x` that the windows reach, beyond the padding too."""
        return _sides(x, self)

    def output_shape(self, *xs: Shape) -> Shape:
        return _pooled(self._map(xs), self)

    def other_ops(self, *xs: Shape) -> int:
        return math.prod(self.output_shape(*xs)) * (_cells(self, xs[0]) - 1)

    def receptive_field(self, *xs: Field) -> Field:
        return slid(xs[0], self.kernel_size, self.stride or self.kernel_size, self.padding, ceil_mode=self.ceil_mode)


@dataclass(frozen=True)
class AvgPool(Op):
    """The mean of each window. With `count_padding`, padded cells count as zeros, otherwise they are left out.

    Cells beyond the padding, under `ceil_mode`, are always left out, as in PyTorch.
    """

    kernel_size: Size
    stride: OptionalSize = None
    padding: Padding = 0
    count_padding: bool = False
    ceil_mode: bool = False

    def sides(self, x: Shape) -> tuple[Sides, ...]:
        """Cells before and after each spatial axis of `x` that the windows reach, beyond the padding too."""
        return _sides(x, self)

    def output_shape(self, *xs: Shape) -> Shape:
        return _pooled(self._map(xs), self)

    def other_ops(self, *xs: Shape) -> int:
        return math.prod(self.output_shape(*xs)) * _cells(self, xs[0])

    def receptive_field(self, *xs: Field) -> Field:
        return slid(xs[0], self.kernel_size, self.stride or self.kernel_size, self.padding, ceil_mode=self.ceil_mode)


@dataclass(frozen=True)
class MedianPool(Op):
    """The median of each window: the mean of the middle two where their number is even. No padding.

    Its work is n log2 n comparisons to sort a window of n cells.
    """

    kernel_size: Size
    stride: OptionalSize = None

    def output_shape(self, *xs: Shape) -> Shape:
        x = self._map(xs)
        return (x[0], *slide(x[1:], self.kernel_size, self.stride or self.kernel_size, 0))

    def other_ops(self, *xs: Shape) -> int:
        cells = _cells(self, xs[0])
        return math.prod(self.output_shape(*xs)) * math.ceil(cells * math.log2(cells))

    def receptive_field(self, *xs: Field) -> Field:
        return slid(xs[0], self.kernel_size, self.stride or self.kernel_size, 0)


@dataclass(frozen=True)
class GlobalAvgPool(Op):
    """The mean of each channel over all positions, kept as a map of one cell; Lin et al. (2013)."""

    def output_shape(self, *xs: Shape) -> Shape:
        x = self._map(xs)
        return (x[0], *(1,) * (len(x) - 1))

    def other_ops(self, *xs: Shape) -> int:
        return math.prod(xs[0])

    def receptive_field(self, *xs: Field) -> Field:
        return xs[0].whole()


@dataclass(frozen=True)
class GlobalMaxPool(Op):
    """The largest value of each channel, kept as a map of one cell."""

    def output_shape(self, *xs: Shape) -> Shape:
        x = self._map(xs)
        return (x[0], *(1,) * (len(x) - 1))

    def other_ops(self, *xs: Shape) -> int:
        return math.prod(xs[0]) - xs[0][0]

    def receptive_field(self, *xs: Field) -> Field:
        return xs[0].whole()


@dataclass(frozen=True)
class AdaptiveAvgPool(Op):
    """The mean of `output_size` bins an axis, which may overlap: bin i is ``floor(i*n/out)`` to ``ceil((i+1)*n/out)``.

    PyTorch's ``AdaptiveAvgPool``. A bin may also repeat cells, where the output is larger than the input.
    """

    output_size: Size

    def output_shape(self, *xs: Shape) -> Shape:
        x = self._map(xs)
        return (x[0], *per_axis(self.output_size, len(x) - 1))

    def other_ops(self, *xs: Shape) -> int:
        x = xs[0]
        sums = 1
        for n, outputs in zip(x[1:], per_axis(self.output_size, len(x) - 1), strict=True):
            sums *= _binned_cells(n, outputs)
        return x[0] * sums

    def receptive_field(self, *xs: Field) -> Field:
        outputs = per_axis(self.output_size, len(xs[0].axes))
        return xs[0].each(lambda axis, i: axis.binned(outputs[i]))


def _binned_cells(cells: int, outputs: int) -> int:
    """How many cells the bins of one axis read in all: a bound that falls inside a cell puts it into two bins."""
    return cells + outputs - math.gcd(cells, outputs)


def _cells(pool: MaxPool | AvgPool | MedianPool, x: Shape) -> int:
    return math.prod(per_axis(pool.kernel_size, len(x) - 1))


def _pooled(x: Shape, pool: MaxPool | AvgPool) -> Shape:
    stride = pool.stride or pool.kernel_size
    kernels = per_axis(pool.kernel_size, len(x) - 1)
    for kernel, sides in zip(kernels, resolve_padding(pool.padding, x[1:], kernels, stride), strict=True):
        if max(sides) >= kernel:
            raise ShapeError(
                f"padding {max(sides)} under a pooling window of {kernel} leaves windows with no input cell"
            )
    return (x[0], *slide(x[1:], kernels, stride, pool.padding, ceil_mode=pool.ceil_mode))


def _sides(x: Shape, pool: MaxPool | AvgPool) -> tuple[Sides, ...]:
    rank = len(x) - 1
    kernels, strides = per_axis(pool.kernel_size, rank), per_axis(pool.stride or pool.kernel_size, rank)
    sides = resolve_padding(pool.padding, x[1:], kernels, strides)
    outputs = slide(x[1:], kernels, strides, pool.padding, ceil_mode=pool.ceil_mode)
    axes = zip(x[1:], sides, outputs, kernels, strides, strict=True)
    return tuple(
        (before, max(after, (cells - 1) * stride + kernel - n - before))
        for n, (before, after), cells, kernel, stride in axes
    )
