"""What the units of a network see of its input: in summary for every node, exactly for one; see `foveal.fields`."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import pairwise
from numbers import Integral
from typing import TYPE_CHECKING

from foveal.errors import GraphError, UnknownName
from foveal.fields import Field, Lattice
from foveal.graph import INPUT, Graph, Node
from foveal.ops import Op
from foveal.shapes import Shape

if TYPE_CHECKING:
    from foveal.cells import Cells

MOST_CELLS = 2**22
"""Units along one axis, above which `cells` refuses: its arrays take 32 MiB each, and a step some ten of them."""

Index = int | tuple[int, ...]


@dataclass(frozen=True)
class Span:
    """What a unit sees along one axis of the input: the cells `first` to `last`; ``last < first`` where it sees none.

    `before` and `after` count the cells of padding that its window reaches outside the picture; None where the axis is
    no lattice.
    """

    first: int
    last: int
    before: int | None
    after: int | None

    def __str__(self) -> str:
        seen = f"{self.first}..{self.last}" if self.first <= self.last else "nothing"
        outside = [f"{n} of padding {side}" for n, side in ((self.before, "before"), (self.after, "after")) if n]
        return f"{seen} (and {', '.join(outside)})" if outside else seen


Box = tuple[Span, ...]
"""What a unit sees: one span for each spatial axis of the input."""


def lattices(graph: Graph, *, local: bool = False) -> dict[str, Field]:
    """Summary of the receptive field of every node, and of ``"input"``; instant for inputs of any size.

    `local` ignores gates, and statistics taken over the whole map (`foveal.ops.Op.local_field`).
    """
    known = {INPUT: Field.image(graph.input_shape, Lattice)}
    for node in graph.nodes:
        xs = tuple(known[name] for name in node.inputs)
        known[node.name] = through(node.op, xs, graph.input_shapes(node), graph.shapes[node.name], local=local)
    return known


def cells(graph: Graph, name: str, *, local: bool = False) -> Field:
    """Exact receptive fields of all units of the node `name`: one `foveal.cells.Cells` an axis.

    Raises
    ------
    UnknownName : no such node.
    GraphError : the node, or one that it depends on, has an axis of more than `MOST_CELLS` units.
    """
    from foveal.cells import Cells

    nodes = _ancestors(graph, check_node(graph, name))
    for each in (INPUT, *(node.name for node in nodes)):
        _check_size(each, graph.shapes[each])
    known = {INPUT: Field.image(graph.input_shape, Cells)}
    readers = Counter(x for node in nodes for x in node.inputs)
    for node in nodes:
        xs = tuple(known[x] for x in node.inputs)
        known[node.name] = through(node.op, xs, graph.input_shapes(node), graph.shapes[node.name], local=local)
        readers.subtract(node.inputs)
        for done in {x for x in node.inputs if not readers[x]}:
            del known[done]
    return known[name]


def box(graph: Graph, name: str, index: Index, *, local: bool = False) -> Box:
    """The input cells that one unit sees.

    Parameters
    ----------
    name : a node, or ``"input"``.
    index : the unit's position, ``(y, x)`` for a picture; for a flat node the value's number, which for a flattened map
        counts channel by channel.

    Raises
    ------
    UnknownName, GraphError : as `cells`; an index outside the map or with another number of axes; an input that has no
        spatial axes.
    """
    check_axes(graph)
    summary = lattices(graph, local=local)[check_node(graph, name)]
    at = _position(summary, name, graph.shapes[name], index if isinstance(index, tuple) else (index,))
    axes = zip(cells(graph, name, local=local).axes, summary.axes, at, graph.input_shape[1:], strict=True)
    spans = tuple(_span(*axis) for axis in axes)  # type: ignore[arg-type]  # first is Cells, second Lattice
    if any(span.last < span.first for span in spans):
        return tuple(replace(span, first=0, last=-1) for span in spans)
    return spans


def through(op: Op, xs: tuple[Field, ...], shapes: tuple[Shape, ...], output: Shape, *, local: bool = False) -> Field:
    """What the units of `op`, of shape `output`, see, from what those of its inputs do, `xs`, of `shapes`."""
    if all(x.fits(shape) for x, shape in zip(xs, shapes, strict=True)):
        return op.local_field(*xs) if local else op.receptive_field(*xs)
    return Field.joined(tuple(x.whole() for x in xs)).unknown(output[1:])


def check_axes(graph: Graph) -> int:
    """How many spatial axes the input of `graph` has; GraphError if none."""
    if len(graph.input_shape) == 1:
        raise GraphError(f"{graph.name} takes {graph.input_shape[0]} values in a row: there are no axes to see along")
    return len(graph.input_shape) - 1


def check_node(graph: Graph, name: str) -> str:
    """`name` if it names a node or the input of `graph`; else UnknownName, with the nearest names."""
    if name not in graph.shapes:
        raise UnknownName("node", str(name)[:80], graph.shapes, "foveal inspect lists them")
    return name


def _ancestors(graph: Graph, name: str) -> list[Node]:
    """The node `name` and those it depends on, in order."""
    needed = {name}
    for node in reversed(graph.nodes):
        if node.name in needed:
            needed.update(node.inputs)
    return [node for node in graph.nodes if node.name in needed]


def _check_size(name: str, shape: Shape) -> None:
    most = max(shape[1:], default=1)
    if most > MOST_CELLS:
        raise GraphError(
            f"{name}: an axis of {most:,} cells is too long for exact receptive fields (at most {MOST_CELLS:,}); "
            "the summary by size, jump and start still holds, or use a smaller input"
        )


def _position(field: Field, name: str, shape: Shape, index: tuple[int, ...]) -> tuple[int, ...]:
    """The unit of `field`, along each axis, that belongs to the value at `index`."""
    sizes = shape if field.flat else shape[1:]
    if len(index) != len(sizes):
        what = "the number of a value" if field.flat else f"{len(sizes)} numbers, one for each axis"
        raise GraphError(f"{name}[{_listed(index)}]: expected {what}, as in {name}[{_listed(n // 2 for n in sizes)}]")
    if not all(isinstance(i, Integral) and 0 <= i < n for i, n in zip(index, sizes, strict=True)):
        ends = _listed(n - 1 for n in sizes)
        raise GraphError(f"{name}[{_listed(index)}] is outside the map; its last unit is {name}[{ends}]")
    if not field.fits(shape):
        return (0,) * len(field.axes)
    if not field.flat:
        return tuple(map(int, index))
    rest = [math.prod(field.units[axis:]) for axis in range(len(field.units) + 1)]
    return tuple(int(index[0]) % outer // inner for outer, inner in pairwise(rest))


def _listed(numbers: Iterable[int]) -> str:
    return f"{','.join(map(str, numbers)):.80}"


def _span(cells: Cells, lattice: Lattice, at: int, size: int) -> Span:
    first, last = int(cells.first[at]), int(cells.last[at])
    if last < first:
        first, last = 0, -1
    if lattice.kind != "lattice":
        return Span(first, last, None, None)
    start = lattice.start + at * lattice.jump
    before, after = -start, start + lattice.size - size
    return Span(first, last, *(min(max(n, 0), lattice.size) for n in (before, after)))
