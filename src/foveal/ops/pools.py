"""Pooling: each channel summed up window by window, and channels by groups."""

from __future__ import annotations

import math
from dataclasses import dataclass

from foveal.errors import ShapeError
from foveal.fields import Field
from foveal.ops.base import Count, Op, OptionalSize, Power, slid
from foveal.shapes import Padding, Shape, Sides, Size, per_axis, resolve_padding, slide, window


class _Window(Op):
    """What slides over a padded map: the methods of the ops that have these fields."""

    kernel_size: Size
    stride: OptionalSize
    padding: Padding
    ceil_mode: bool
    dilation: Size

    def sides(self, x: Shape) -> tuple[Sides, ...]:
        """Cells before and after each spatial axis of `x` that the windows reach, beyond the padding too."""
        rank, outputs = len(x) - 1, self.output_shape(x)[1:]
        spans = map(window, per_axis(self.kernel_size, rank), per_axis(self.dilation, rank))
        strides = per_axis(self.stride or self.kernel_size, rank)
        return tuple(
            (before, max(after, (cells - 1) * stride + span - n - before))
            for n, (before, after), cells, span, stride in zip(
                x[1:], self._padding(x), outputs, spans, strides, strict=True
            )
        )

    def output_shape(self, *xs: Shape) -> Shape:
        x = self._map(xs)
        rank, stride, padding = len(x) - 1, self.stride or self.kernel_size, self._padding(x)
        outputs = slide(x[1:], self.kernel_size, stride, padding, self.dilation, ceil_mode=self.ceil_mode)
        sizes = (per_axis(size, rank) for size in (self.kernel_size, stride, self.dilation))
        for n, m, kernel, step, dilation, sides in zip(x[1:], outputs, *sizes, padding, strict=True):
            span = window(kernel, dilation)
            if max(sides) >= span or _misses(n, m, step, dilation, sides[0]):
                raise ShapeError(
                    f"padding {max(sides)} under a pooling window of {span} leaves windows with no input cell"
                )
        return (x[0], *outputs)

    def receptive_field(self, *xs: Field) -> Field:
        stride = self.stride or self.kernel_size
        return slid(xs[0], self.kernel_size, stride, self.padding, self.dilation, ceil_mode=self.ceil_mode)

    def _padding(self, x: Shape) -> tuple[Sides, ...]:
        return resolve_padding(self.padding, x[1:], self.kernel_size, self.stride or self.kernel_size, self.dilation)


@dataclass(frozen=True)
class MaxPool(_Window):
    """The largest value in each window; padding counts as minus infinity. `stride` None means the kernel's size.

    `ceil_mode` lets a last window hang over the end, as in PyTorch and Caffe.
    """

    kernel_size: Size
    stride: OptionalSize = None
    padding: Padding = 0
    ceil_mode: bool = False
    dilation: Size = 1

    def other_ops(self, *xs: Shape) -> int:
        return math.prod(self.output_shape(*xs)) * (_cells(self, xs[0]) - 1)


@dataclass(frozen=True)
class AvgPool(_Window):
    """The mean of each window. With `count_padding`, padded cells count as zeros, otherwise they are left out.

    Cells beyond the padding, under `ceil_mode`, are always left out, as in PyTorch.
    """

    kernel_size: Size
    stride: OptionalSize = None
    padding: Padding = 0
    count_padding: bool = False
    ceil_mode: bool = False
    dilation: Size = 1

    def other_ops(self, *xs: Shape) -> int:
        return math.prod(self.output_shape(*xs)) * _cells(self, xs[0])


@dataclass(frozen=True)
class LpPool(_Window):
    """The p-norm of each window, ``(sum of |x|^p)^(1/p)``; Sermanet et al. (2012). Padding counts as zeros.

    Of p = 1 it is the sum of absolute values, and the larger p, the nearer it comes to the largest of them.
    """

    kernel_size: Size
    stride: OptionalSize = None
    padding: Padding = 0
    p: Power = 2.0
    ceil_mode: bool = False
    dilation: Size = 1

    def other_ops(self, *xs: Shape) -> int:
        return math.prod(self.output_shape(*xs)) * 3 * _cells(self, xs[0])  # of each cell |x|^p, added up; the root


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


@dataclass(frozen=True)
class Maxout(Op):
    """The largest of each `pieces` channels in a row, which become one; Goodfellow et al. (2013)."""

    pieces: Count

    def output_shape(self, *xs: Shape) -> Shape:
        x = self._only(xs)
        if x[0] % self.pieces:
            raise ShapeError(f"{x[0]} channels do not divide into pieces of {self.pieces}")
        return (x[0] // self.pieces, *x[1:])

    def other_ops(self, *xs: Shape) -> int:
        return math.prod(xs[0]) - math.prod(self.output_shape(*xs))

    def receptive_field(self, *xs: Field) -> Field:
        return xs[0].whole() if xs[0].flat else xs[0]


def _binned_cells(cells: int, outputs: int) -> int:
    """How many cells the bins of one axis read in all: a bound that falls inside a cell puts it into two bins."""
    return cells + outputs - math.gcd(cells, outputs)


def _misses(cells: int, windows: int, stride: int, dilation: int, before: int) -> bool:
    """Whether one of the windows that begin in the padding has all cells of the map in one of its gaps."""
    starts = range(min(windows, -(-before // stride), cells + 1))  # of so many, one misses or they repeat
    return dilation > cells and any((p * stride - before) % dilation >= cells for p in starts)


def _cells(pool: _Window | MedianPool, x: Shape) -> int:
    return math.prod(per_axis(pool.kernel_size, len(x) - 1))
