"""What moves, joins or cuts values and computes little or nothing."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from foveal.errors import GraphError, ShapeError
from foveal.fields import Axis, Field
from foveal.ops.base import Count, Label, Mode, Op, Shapes, Sizes, Whole
from foveal.shapes import Padding, Shape, Sides, Size, per_axis, resolve_padding, text


@dataclass(frozen=True)
class Flatten(Op):
    """All values of one image in a row, channel by channel."""

    def output_shape(self, *xs: Shape) -> Shape:
        return (math.prod(self._only(xs)),)

    def receptive_field(self, *xs: Field) -> Field:
        return replace(xs[0], flat=True)


@dataclass(frozen=True)
class Reshape(Op):
    """The same values in another shape, counted channel by channel."""

    shape: Sizes

    def output_shape(self, *xs: Shape) -> Shape:
        x = self._only(xs)
        if math.prod(x) != math.prod(self.shape):
            values = math.prod(x), math.prod(self.shape)
            raise ShapeError(f"{text(x)} has {values[0]:,} values, {text(self.shape)} has {values[1]:,}")
        return self.shape

    def receptive_field(self, *xs: Field) -> Field:
        x, spatial = xs[0], self.shape[1:]
        if not spatial or spatial == x.units:
            return replace(x, flat=not spatial)
        if len(spatial) == len(x.axes) and math.prod(x.units) == 1:
            return replace(x.each(lambda axis, i: axis.whole(spatial[i])), flat=False)
        return x.unknown(spatial)


@dataclass(frozen=True)
class Pad(Op):
    """Zeros around the map."""

    padding: Padding

    def sides(self, x: Shape) -> tuple[Sides, ...]:
        """Zeros before and after, per spatial axis of `x`."""
        if self.padding == "same":
            raise ShapeError("Pad has no window to stay the 'same' under; give numbers")
        return resolve_padding(self.padding, x[1:], 1, 1)

    def output_shape(self, *xs: Shape) -> Shape:
        x = self._map(xs)
        return (x[0], *(n + sum(sides) for n, sides in zip(x[1:], self.sides(x), strict=True)))

    def receptive_field(self, *xs: Field) -> Field:
        sides = self.sides((1, *xs[0].units))
        return xs[0].each(lambda axis, i: axis.padded(*sides[i]))


@dataclass(frozen=True)
class PadChannels(Op):
    """Channels of zeros before and after those of the input; He et al. (2015), option A of a shortcut."""

    before: Whole
    after: Whole

    def output_shape(self, *xs: Shape) -> Shape:
        x = self._map(xs)
        return (x[0] + self.before + self.after, *x[1:])


@dataclass(frozen=True)
class Slice(Op):
    """Part of one axis, ``start:stop:step`` as in Python; axis 0 is the channels."""

    start: Whole
    stop: Count
    step: Count = 1
    axis: Whole = 0

    def output_shape(self, *xs: Shape) -> Shape:
        x = self._only(xs)
        if self.axis >= len(x) or not self.start < self.stop <= x[self.axis]:
            raise ShapeError(f"Slice takes {self.start}:{self.stop} of axis {self.axis}, which {text(x)} does not have")
        return (*x[: self.axis], len(range(self.start, self.stop, self.step)), *x[self.axis + 1 :])

    def receptive_field(self, *xs: Field) -> Field:
        if xs[0].flat:
            return xs[0].whole()

        def sliced(axis: Axis, i: int) -> Axis:
            return axis.sliced(self.start, self.stop, self.step) if i == self.axis - 1 else axis

        return xs[0].each(sliced)


@dataclass(frozen=True)
class ChannelShuffle(Op):
    """Channels of `groups` groups dealt out in turn; Zhang et al. (2018), ShuffleNet."""

    groups: Count

    def output_shape(self, *xs: Shape) -> Shape:
        x = self._map(xs)
        if x[0] % self.groups:
            raise ShapeError(f"{x[0]} channels do not divide into {self.groups} groups")
        return x


@dataclass(frozen=True)
class PixelShuffle(Op):
    """Each `factor` x `factor` channels become that many cells of a larger map; Shi et al. (2016)."""

    factor: Count

    def output_shape(self, *xs: Shape) -> Shape:
        x = self._map(xs)
        if len(x) != 3 or x[0] % self.factor**2:
            raise ShapeError(
                f"PixelShuffle by {self.factor} takes H x W x (a multiple of {self.factor**2}), not {text(x)}"
            )
        return (x[0] // self.factor**2, *(n * self.factor for n in x[1:]))

    def receptive_field(self, *xs: Field) -> Field:
        return xs[0].each(lambda axis, _: axis.resized(self.factor, smooth=False))


@dataclass(frozen=True)
class Upsample(Op):
    """A map `scale` times as large, each cell repeated (``"nearest"``) or cells interpolated (``"linear"``).

    Linear is bi- or trilinear with cell centres aligned (PyTorch's ``align_corners=False``).
    """

    scale: Size
    mode: Mode = "nearest"

    def output_shape(self, *xs: Shape) -> Shape:
        x = self._map(xs)
        return (x[0], *(n * by for n, by in zip(x[1:], per_axis(self.scale, len(x) - 1), strict=True)))

    def other_ops(self, *xs: Shape) -> int:
        corners = 2 ** (len(xs[0]) - 1)  # each a product, then their sum
        return math.prod(self.output_shape(*xs)) * (2 * corners - 1) if self.mode == "linear" else 0

    def receptive_field(self, *xs: Field) -> Field:
        factors = per_axis(self.scale, len(xs[0].axes))
        return xs[0].each(lambda axis, i: axis.resized(factors[i], smooth=self.mode == "linear"))


@dataclass(frozen=True)
class Add(Op):
    """Sum of two or more inputs of one shape."""

    def output_shape(self, *xs: Shape) -> Shape:
        if len(xs) < 2:
            raise ShapeError(f"Add takes at least two inputs, not {len(xs)}")
        if len(set(xs)) > 1:
            raise ShapeError(f"Add needs equal shapes, not {' and '.join(text(x) for x in xs)}")
        return xs[0]

    def other_ops(self, *xs: Shape) -> int:
        return (len(xs) - 1) * math.prod(xs[0])


@dataclass(frozen=True)
class Multiply(Op):
    """Product of two or more inputs. Along an axis where an input has one cell (a gate), it serves all cells."""

    def output_shape(self, *xs: Shape) -> Shape:
        if len(xs) < 2:
            raise ShapeError(f"Multiply takes at least two inputs, not {len(xs)}")
        if len({len(x) for x in xs}) > 1 or any(len({*sizes} - {1}) > 1 for sizes in zip(*xs, strict=True)):
            raise ShapeError(
                f"Multiply needs equal shapes, or 1 where one serves all, not {' and '.join(text(x) for x in xs)}"
            )
        return tuple(max(sizes) for sizes in zip(*xs, strict=True))

    def other_ops(self, *xs: Shape) -> int:
        return (len(xs) - 1) * math.prod(self.output_shape(*xs))

    def local_field(self, *xs: Field) -> Field:
        units = tuple(max(sizes) for sizes in zip(*(x.units for x in xs), strict=True))
        return Field.joined(tuple(x for x in xs if x.units == units) or xs)


@dataclass(frozen=True)
class Concat(Op):
    """Inputs stacked along the channels."""

    def output_shape(self, *xs: Shape) -> Shape:
        if not xs:
            raise ShapeError("Concat takes at least one input, not 0")
        if len({x[1:] for x in xs}) > 1:
            raise ShapeError(f"Concat needs equal spatial sizes, not {' and '.join(text(x) for x in xs)}")
        return (sum(x[0] for x in xs), *xs[0][1:])

    def receptive_field(self, *xs: Field) -> Field:
        return Field.joined(tuple(x.whole() for x in xs) if any(x.flat for x in xs) else xs)


@dataclass(frozen=True)
class Opaque(Op):
    """A step that was seen from outside only: what it is called, what it gives, and the arrays it holds.

    It can be counted as far as known; it cannot be built or turned into code, and totals say that they leave out its
    work. `local` where each position depends on no other position of its inputs.
    """

    label: Label
    shape: Sizes
    weights: Shapes = ()
    local: bool = False

    def refusal(self, node: str) -> GraphError:
        """What to raise where the node called `node` would have to be computed."""
        return GraphError(
            f"{node}: cannot be built: {self.label!r} was seen from outside only; write it with the ops there are, "
            f"or end the graph before it: graph.up_to(...)"
        )

    def output_shape(self, *xs: Shape) -> Shape:
        if not xs:
            raise ShapeError("Opaque takes at least one input, not 0")
        return self.shape

    def parameters(self, *xs: Shape) -> dict[str, Shape]:
        return {f"weight{i}": shape for i, shape in enumerate(self.weights)}

    def receptive_field(self, *xs: Field) -> Field:
        if self.local and all(x.fits(self.shape) or math.prod(x.units) == 1 for x in xs):
            joined = Field.joined(xs)
            return joined.whole() if joined.flat else joined
        return Field.joined(tuple(x.whole() for x in xs)).unknown(self.shape[1:])
