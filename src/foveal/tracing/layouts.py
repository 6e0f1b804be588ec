"""How a tensor lies on a node's output: which of its axes are which of the node's, without moving a value.

Code permutes, flattens and splits axes freely; a graph knows feature maps, channels first. So a traced tensor is kept
as the node that computed it and a rearrangement of that node's axes. Only an operation that needs the rearranged
values makes a node of it: the two permutations around a channels-last layer leave none.

Axes are written as tuples of atoms, outermost first. An axis of one cell is the empty tuple.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from foveal.shapes import Shape


@dataclass(frozen=True, eq=False)
class Atom:
    """An axis, or a part of one that was split; atoms are told apart by identity."""

    size: int


Axis = tuple[Atom, ...]


def size_of(axis: Iterable[Atom]) -> int:
    return math.prod(atom.size for atom in axis)


def fresh(sizes: Iterable[int]) -> tuple[Axis, ...]:
    """An axis for each of `sizes`."""
    return tuple((Atom(n),) if n > 1 else () for n in sizes)


@dataclass(frozen=True, eq=False)
class Layout:
    """A rearrangement.

    Attributes
    ----------
    axes : those of the node's shape.
    dims : those of the tensor; together the atoms of `axes`, the batch, and atoms of neither, along which it repeats.
    batch : the atom of the images in the batch.
    """

    axes: tuple[Axis, ...]
    dims: tuple[Axis, ...]
    batch: Atom

    @classmethod
    def plain(cls, shape: Shape, batch: Atom) -> Layout:
        """The node's output itself, after the batch."""
        axes = fresh(shape)
        return cls(axes, ((batch,), *axes), batch)

    @classmethod
    def ordered(cls, sizes: Shape, order: Sequence[int], batch_dim: int | None, batch: Atom) -> tuple[Layout, Shape]:
        """A tensor of `sizes` whose axes a node has in `order`; also the node's shape.

        The images of the batch come first in `batch_dim`. A node has four axes at most: the last takes what is beyond.
        """
        parts = fresh(n // batch.size if d == batch_dim else n for d, n in enumerate(sizes))
        dims = tuple((batch, *part) if d == batch_dim else part for d, part in enumerate(parts))
        inner = [parts[d] for d in order]
        axes = (*inner[:3], tuple(atom for part in inner[3:] for atom in part)) if len(inner) > 3 else tuple(inner)
        axes = axes or ((),)
        return cls(axes, dims, batch), tuple(size_of(axis) for axis in axes)

    @property
    def batch_dim(self) -> int | None:
        """The tensor's axis that is the batch; None if it is no axis of its own."""
        return self.dims.index((self.batch,)) if (self.batch,) in self.dims else None

    @property
    def runs(self) -> tuple[tuple[tuple[int, int, int], ...], ...]:
        """The arrangement, comparable with another's: runs of (node axis, step, size) for each of the tensor's axes."""
        place = {self.batch: (-1, 1)}
        for i, axis in enumerate(self.axes):
            inner = 1
            for atom in reversed(axis):
                place[atom] = (i, inner)
                inner *= atom.size
        found = []
        for dim in self.dims:
            runs: list[tuple[int, int, int]] = []
            for atom in dim:
                axis_number, step = place.get(atom, (-2, 1))
                if runs and runs[-1][:2] == (axis_number, step * atom.size) and axis_number >= 0:
                    runs[-1] = (axis_number, step, runs[-1][2] * atom.size)
                else:
                    runs.append((axis_number, step, atom.size))
            found.append(tuple(runs))
        return tuple(found)

    @property
    def order(self) -> tuple[int, ...]:
        """The tensor's axes but the batch, in the order in which the node has them; axes of one cell last."""
        place = {atom: i for i, atom in enumerate(atom for axis in self.axes for atom in axis)}
        first = {d: next((place[atom] for atom in self.dims[d] if atom in place), len(place)) for d in self.natural}
        return tuple(sorted(first, key=first.__getitem__))

    @property
    def natural(self) -> tuple[int, ...]:
        """The tensor's axes but the batch, as they stand."""
        return tuple(d for d, dim in enumerate(self.dims) if dim != (self.batch,))

    def sizes(self, order: Sequence[int]) -> Shape:
        """Cells of the tensor's axes in `order`, for one image."""
        return tuple(size_of(a for a in self.dims[d] if a is not self.batch) for d in order) or (1,)

    @property
    def whole(self) -> bool:
        """Whether every image is there and nothing repeats."""
        own = {atom for axis in self.axes for atom in axis} | {self.batch}
        found = [atom for dim in self.dims for atom in dim]
        return self.batch in found and own.issuperset(found)

    def channels(self) -> int | None:
        """The tensor's axis that is the node's first one, whole; None if there is none."""
        return self.dims.index(self.axes[0]) if self.axes[0] and self.axes[0] in self.dims else None

    def pieces(self) -> int | None:
        """The tensor's axis along which only the last part of the node's first one runs; None if there is none."""
        ends = [self.axes[0][i:] for i in range(len(self.axes[0]))]
        return next((d for d, dim in enumerate(self.dims) if dim in ends), None)

    def only_channels(self, dim: int) -> bool:
        """Whether `dim` of the tensor is the node's first axis, whole."""
        return self.dims[dim] == self.axes[0]

    def find(self, atoms: Axis) -> tuple[int, int]:
        """The node's axis of which `atoms` are a part, and the place in it; (-1, 0) if they are not side by side."""
        for i, axis in enumerate(self.axes):
            if atoms and atoms[0] in axis:
                at = axis.index(atoms[0])
                return (i, at) if axis[at : at + len(atoms)] == atoms else (-1, 0)
        return -1, 0

    def permuted(self, order: Sequence[int]) -> Layout:
        return replace(self, dims=tuple(self.dims[d] for d in order))

    def without(self, dims: Iterable[int], keep: bool) -> Layout:
        """After a reduction over `dims`, which stay with one cell or leave; the axes they came from have one cell."""
        gone = set(dims)
        lost = {atom for d in gone for atom in self.dims[d]}
        left = tuple(() if d in gone else dim for d, dim in enumerate(self.dims) if keep or d not in gone)
        return replace(self, axes=tuple(() if lost & set(axis) else axis for axis in self.axes), dims=left)

    def resized(self, dim: int, size: int) -> Layout:
        """With another number of cells along `dim`, which is an axis of the node, whole."""
        new = fresh((size,))[0]
        i = self.axes.index(self.dims[dim])
        axes = (*self.axes[:i], new, *self.axes[i + 1 :])
        return replace(self, axes=axes, dims=(*self.dims[:dim], new, *self.dims[dim + 1 :]))

    def expanded(self, sizes: Shape) -> Layout:
        """Repeated along axes of one cell, up to `sizes`."""
        dims = ((),) * (len(sizes) - len(self.dims)) + self.dims
        return replace(
            self,
            dims=tuple(
                fresh((n,))[0] if size_of(dim) == 1 and n > 1 else dim for dim, n in zip(dims, sizes, strict=True)
            ),
        )

    def once(self) -> Layout:
        """With one cell where it repeats."""
        own = {atom for axis in self.axes for atom in axis} | {self.batch}
        return replace(self, dims=tuple(tuple(atom for atom in dim if atom in own) for dim in self.dims))

    def viewed(self, sizes: Sequence[int]) -> Layout | None:
        """The same values in the same order, in axes of `sizes`; None where that cuts an axis unevenly."""
        todo = [atom for dim in self.dims for atom in dim][::-1]
        parts: dict[Atom, Axis] = {}
        dims: list[Axis] = []
        for size in sizes:
            dim: list[Atom] = []
            while size > 1:
                if not todo:
                    return None
                atom = todo.pop()
                if size % atom.size:
                    if atom.size % size or atom is self.batch:
                        return None
                    parts[atom] = (Atom(size), Atom(atom.size // size))
                    todo.append(parts[atom][1])
                    atom = parts[atom][0]
                dim.append(atom)
                size //= atom.size
            dims.append(tuple(dim))
        if todo:
            return None
        return replace(self, axes=tuple(_split(axis, parts) for axis in self.axes), dims=tuple(dims))

    def inner(self, order: Sequence[int]) -> list[Atom]:
        """The atoms of the tensor's axes in `order`, for one image."""
        return [atom for d in order for atom in self.dims[d] if atom is not self.batch]

    def flat(self, order: Sequence[int]) -> bool:
        """Whether the values of the tensor's axes in `order` stand as the node has them."""
        return self.inner(order) == [atom for axis in self.axes for atom in axis]

    def shuffle(self, order: Sequence[int]) -> int | None:
        """The groups of the channel shuffle that brings the channels into `order`, if that is all it takes."""
        cut, wanted = len(self.axes[0]), self.inner(order)
        if wanted[cut:] != [atom for axis in self.axes[1:] for atom in axis]:
            return None
        for i in range(1, cut):
            if wanted[:cut] == [*self.axes[0][i:], *self.axes[0][:i]]:
                return size_of(self.axes[0][:i])
        return None

    def shuffled(self, groups: int) -> Layout:
        """The same tensor on the output of that channel shuffle."""
        cut = next(i for i in range(len(self.axes[0])) if size_of(self.axes[0][:i]) == groups)
        return replace(self, axes=((*self.axes[0][cut:], *self.axes[0][:cut]), *self.axes[1:]))

    def pixel_shuffle(self, order: Sequence[int]) -> int | None:
        """The factor of the pixel shuffle that gives the tensor's axes in `order`, if one does."""
        if len(self.axes) != 3 or len(order) != 3 or len(self.axes[0]) < 3:
            return None
        *channels, down, across = self.axes[0]
        wanted = (tuple(channels), (*self.axes[1], down), (*self.axes[2], across))
        return down.size if down.size == across.size and tuple(self.dims[d] for d in order) == wanted else None


def _split(axis: Axis, parts: dict[Atom, Axis]) -> Axis:
    return tuple(piece for atom in axis for piece in (_split(parts[atom], parts) if atom in parts else (atom,)))
