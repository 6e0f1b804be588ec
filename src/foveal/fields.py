"""Receptive fields: which cells of the input a unit sees, along each axis.

Two answers with the same methods. A `Lattice` is the summary that papers print: every unit sees `size` cells, its
neighbour is `jump` cells on, and unit 0 begins at cell `start` (below zero: in the padding). It costs nothing, and
where no such rule holds it says ``varies``, ``global`` or ``unknown``. `foveal.cells.Cells` are the exact first and
last input cell of every single unit, inside the picture, as integer arrays; they hold through branches, dilation,
uneven padding, pooling and upsampling. Araujo, Norris & Sim (2019), "Computing receptive fields of convolutional neural
networks", give the lattice's rule.

A unit is a position of a map: all its channels together. Exact means: the bounding box, axis by axis, of the cells on
which the unit depends. It is never smaller, and larger in three cases only: one branch of a join has units that see
nothing but padding (then the axes are not independent), channels that were concatenated are sliced apart again, or
values are reshaped so that their positions are lost.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import reduce
from typing import TYPE_CHECKING, Literal, TypeAlias

from foveal.shapes import Shape

if TYPE_CHECKING:
    from foveal.cells import Cells

Kind = Literal["lattice", "varies", "global", "unknown"]
_RANK: tuple[Kind, ...] = ("lattice", "varies", "global", "unknown")


@dataclass(frozen=True)
class Lattice:
    """One axis in summary: unit i sees the cells from ``start + i*jump`` on, `size` of them.

    `kind` is ``"lattice"`` where that holds; else the three numbers mean nothing. ``"varies"``: each unit sees a part
    of its own; ``"global"``: statistics of the whole map are in it; ``"unknown"``: it may see anything.
    """

    units: int
    size: int = 1
    jump: int = 1
    start: int = 0
    kind: Kind = "lattice"

    @classmethod
    def image(cls, units: int) -> Lattice:
        """The input itself: each cell sees itself."""
        return cls(units)

    def windowed(self, outputs: int, kernel: int, stride: int = 1, before: int = 0, dilation: int = 1) -> Lattice:
        """What the outputs of a sliding window see, `before` cells of padding in front."""
        size = self.size + dilation * (kernel - 1) * self.jump
        return replace(self, units=outputs, size=size, jump=self.jump * stride, start=self.start - before * self.jump)

    def spread(self, outputs: int, kernel: int, stride: int = 1, before: int = 0, dilation: int = 1) -> Lattice:
        """What the outputs of a transposed convolution see."""
        if stride == 1:
            return self.windowed(outputs, kernel, 1, dilation * (kernel - 1) - before, dilation)
        return self._at_least("varies", outputs)

    def resized(self, factor: int, smooth: bool) -> Lattice:
        """What the outputs of an upsampling by `factor` see; `smooth` for linear interpolation."""
        return self._at_least("varies", self.units * factor) if factor > 1 else self

    def binned(self, outputs: int) -> Lattice:
        """What the outputs of adaptive pooling see."""
        if outputs == 1:
            return self.whole()
        if self.units % outputs == 0:
            return self.windowed(outputs, self.units // outputs, self.units // outputs)
        return self._at_least("varies", outputs)

    def sliced(self, start: int, stop: int, step: int = 1) -> Lattice:
        """The units ``start:stop:step`` alone."""
        units = len(range(start, stop, step))
        return replace(self, units=units, start=self.start + start * self.jump, jump=self.jump * step)

    def padded(self, before: int, after: int) -> Lattice:
        """The units with others put before and after them that see nothing."""
        return replace(self, units=self.units + before + after, start=self.start - before * self.jump)

    def whole(self, units: int = 1) -> Lattice:
        """`units` units, each of which sees what any of these sees."""
        return self._at_least("global", units)

    def unknown(self, outputs: int) -> Lattice:
        """Units of which nothing is known; `Cells` assumes that they may see all."""
        return self._at_least("unknown", outputs)

    def joined(self, other: Lattice) -> Lattice:
        """Each unit sees what either's sees; a single unit is every unit's partner."""
        units = max(self.units, other.units)
        if self.kind != "lattice" or other.kind != "lattice":
            return self._at_least(max(self.kind, other.kind, key=_RANK.index), units)
        if self.units != other.units or (self.jump != other.jump and units > 1):
            return self._at_least("varies", units)
        start = min(self.start, other.start)
        end = max(self.start + self.size, other.start + other.size)
        return replace(self, units=units, start=start, size=end - start)

    def _at_least(self, kind: Kind, units: int) -> Lattice:
        return Lattice(units, kind=max(self.kind, kind, key=_RANK.index))


Axis: TypeAlias = "Lattice | Cells"


@dataclass(frozen=True, eq=False)
class Field:
    """The receptive field of a node: one `Lattice` or one `Cells` for each spatial axis of the network's input.

    `flat` where the node's values lie in a row. If they are a flattened map, the axes keep the map's units; else all
    axes have one unit, which stands for every value.
    """

    axes: tuple[Axis, ...]
    flat: bool = False

    @classmethod
    def image(cls, shape: Shape, kind: type[Lattice] | type[Cells]) -> Field:
        """The field of a network's input of `shape`, channels first."""
        return cls(tuple(kind.image(n) for n in shape[1:]), len(shape) == 1)

    @property
    def units(self) -> Shape:
        """Units along each axis."""
        return tuple(axis.units for axis in self.axes)

    def each(self, change: Callable[[Axis, int], Axis]) -> Field:
        """`change` of every axis, told its number."""
        return replace(self, axes=tuple(change(axis, i) for i, axis in enumerate(self.axes)))

    def whole(self) -> Field:
        """One unit that sees all that any of them sees."""
        return self.each(lambda axis, _: axis.whole())

    def fits(self, shape: Shape) -> bool:
        """Whether the units are those of a node of `shape`; not after a change of the number of axes."""
        return self.flat == (len(shape) == 1) and (self.flat or self.units == shape[1:])

    def unknown(self, spatial: Shape) -> Field:
        """A map of `spatial` units of which nothing is known; one unit for all if it has other axes than the input."""
        units = spatial if len(spatial) == len(self.axes) else (1,) * len(self.axes)
        return Field(self.each(lambda axis, i: axis.unknown(units[i])).axes, not spatial)

    @staticmethod
    def joined(fields: tuple[Field, ...]) -> Field:
        """Each unit sees what its partners in any of `fields` see; one unit is every unit's partner."""
        sizes = {field.units for field in fields if math.prod(field.units) > 1}
        if len(sizes) > 1 and fields[0].flat:
            fields = tuple(field.whole() for field in fields)
        return reduce(_join, fields)


def _join(a: Field, b: Field) -> Field:
    axes = tuple(m.joined(n) for m, n in zip(a.axes, b.axes, strict=True))  # type: ignore[arg-type]  # of one kind
    return replace(a, axes=axes)
