"""Receptive fields drawn: how layers widen one along an axis, and one unit's box on a picture."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING
from xml.sax.saxutils import escape

from foveal.anatomy.explain import AXES
from foveal.anatomy.sight import MOST_CELLS, Index, box, check_axes, check_node, lattices, through
from foveal.errors import DataError, GraphError
from foveal.fields import Axis, Field, Lattice
from foveal.graph import INPUT, Graph, Node
from foveal.ops import Multiply
from foveal.shapes import Shape, per_axis
from foveal.text import plural

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from foveal.cells import Cells

MOST_ROWS, MOST_UNITS = 12, 60  # layers above the input, and units that a row draws of those that are read
MOST_PIXELS = 2**27
OUTLINE = (109, 177, 240)

_WIDTH, _CELL, _HEIGHT = 720, 22, 12  # pixels: of all units, of one at most, and its height
_TOP, _ROW, _LETTER = 44, 66, 7.2  # pixels: above the first row, from row to row, a letter's width
_STYLE = """
.sight{--page:#fff;--ink:#1b1b1b;--muted:#5c5c5c;--unit:#1668b0;--rest:#d3d8de;color-scheme:light dark;
font:13px system-ui,sans-serif}
@media(prefers-color-scheme:dark){.sight{--page:#16181b;--ink:#ececec;--muted:#a5abb3;--unit:#6db1f0;--rest:#3a4048}}
.sight .page{fill:var(--page)}.sight text{fill:var(--ink)}.sight .muted{fill:var(--muted);font-size:12px}
.sight .unit{fill:var(--unit)}.sight .rest{fill:var(--rest)}
.sight .padding{fill:none;stroke:var(--unit);stroke-dasharray:2 2}
.sight .cone{fill:var(--unit);opacity:.12}.sight .reads{stroke:var(--unit);opacity:.45;fill:none}
"""


@dataclass(frozen=True)
class _Layer:
    """A node that changes the field along `axis`: shapes and fields, counted along one path, before and after it."""

    node: Node
    shapes: tuple[Shape, Shape]
    before: Field
    after: Field
    axis: int

    @property
    def seen(self) -> Lattice:
        return _lattice(self.after, self.axis)

    @cached_property
    def own(self) -> Axis:
        """What its units see of the layer below, as if that were the picture; exact where no lattice says it."""
        summary = self._own(Lattice)
        if isinstance(summary, Lattice) and summary.kind == "lattice":
            return summary
        if max(self.before.units) > MOST_CELLS:
            raise GraphError(f"{self.node.name} reads a map of {max(self.before.units):,} cells: too many to draw")
        from foveal.cells import Cells

        return self._own(Cells)

    def _own(self, kind: type[Lattice] | type[Cells]) -> Axis:
        picture = self.before.each(lambda axis, _: kind.image(axis.units))
        return through(self.node.op, (picture,), self.shapes[:1], self.shapes[1], local=True).axes[self.axis]

    def reads(self, unit: int) -> range:
        """Units of the layer below that `unit` reads; those outside it are padding."""
        own = self.own
        if not isinstance(own, Lattice):
            return range(int(own.first[unit]), int(own.last[unit]) + 1)
        start = own.start + unit * own.jump
        dilation = per_axis(getattr(self.node.op, "dilation", 1), len(self.before.axes))[self.axis]
        return range(start, start + own.size, dilation)

    @property
    def grid(self) -> tuple[float, float]:
        """Where in the layer below its unit 0 lies, and how far from it unit 1; spread evenly where no lattice is."""
        if isinstance(self.own, Lattice):
            return self.own.start + (self.own.size - 1) / 2, self.own.jump
        pitch = self.before.units[self.axis] / self.after.units[self.axis]
        return (pitch - 1) / 2, pitch

    def __str__(self) -> str:
        op, rank = self.node.op, len(self.shapes[0]) - 1
        words = [type(op).__name__]
        for key in ("kernel_size", "stride", "dilation") if rank == len(self.before.axes) else ():
            value = getattr(op, key, 1) or op.kernel_size  # type: ignore[attr-defined]  # a pooling's stride may be None
            number = per_axis(value, rank)[self.axis]
            words += [f"{key.removesuffix('_size')} {number}"] if number > 1 else []
        return ", ".join(words)


def lattice_svg(graph: Graph, node: str, *, axis: int = -1) -> str:
    """A drawing along one axis of the input: one unit of `node` and, row by row, what it reads down to the input.

    The unit is the middle one. Of several branches the one with the largest field is drawn; gates are ignored; layers
    that leave the field as it is are left out. Where more than `MOST_ROWS` layers remain, or the field is larger than
    `MOST_UNITS` cells, the drawing starts at the last layer that can be shown, and says so.

    Returns
    -------
    One ``<svg>`` element with its own style, for light and dark.

    Raises
    ------
    UnknownName, GraphError : no such node or axis; a layer that reads too many cells to be drawn.
    """
    rank = check_axes(graph)
    if not -rank <= axis < rank:
        raise GraphError(f"axis {axis}: the input of {graph.name} has {rank} spatial axes, counted from 0")
    path = _path(graph, check_node(graph, node), axis % rank)
    layers = _layers(graph, path, axis % rank)
    shown = _that_fit(layers, graph.input_shape[1:][axis])
    rows = _Rows(graph.input_shape[1:][axis], shown)
    labels = [(layer.node.name, f"{layer}: {_summary(layer.seen)}") for layer in shown[::-1]]
    labels.append((INPUT, plural(rows.units[-1], "cell")))
    title = f"What one unit of {shown[-1].node.name if shown else node} sees along the {AXES[rank][axis]}"
    return _svg(title, rows, labels, _notes(path, layers, shown, rows))


def draw_on(pixels: NDArray[np.uint8], graph: Graph, name: str, index: Index) -> NDArray[np.uint8]:
    """A picture as the network receives it, with the box that one unit sees outlined and all else dimmed.

    Parameters
    ----------
    pixels : uint8 (H, W, 3), RGB; its middle is cut and scaled to the network's input.
    name, index : the unit, as for `foveal.anatomy.sight.box`, which says what is raised.

    Returns
    -------
    uint8 of the input's height and width, and 3.
    """
    import numpy as np
    from PIL import Image, ImageOps

    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3 or not pixels.size:
        raise DataError(f"pixels are {pixels.dtype} of shape {pixels.shape}; expected uint8 of height x width x 3")
    if len(graph.input_shape) != 3:
        raise GraphError(f"{graph.name} takes no pictures: its input has {len(graph.input_shape) - 1} spatial axes")
    if math.prod(graph.input_shape[1:]) > MOST_PIXELS:
        raise GraphError(f"{graph.name} takes {math.prod(graph.input_shape[1:]):,} pixels: too many to draw")
    rows, columns = box(graph, name, index)
    size = graph.input_shape[2], graph.input_shape[1]
    picture = np.array(ImageOps.fit(Image.fromarray(pixels), size, Image.Resampling.BICUBIC))
    drawn = picture // 4 + 24
    if rows.first <= rows.last:
        inside = slice(rows.first, rows.last + 1), slice(columns.first, columns.last + 1)
        drawn[inside] = OUTLINE
        inner = slice(rows.first + 1, rows.last), slice(columns.first + 1, columns.last)
        drawn[inner] = picture[inner]
    return drawn


def _lattice(field: Field, axis: int) -> Lattice:
    found = field.axes[axis]
    assert isinstance(found, Lattice)
    return found


def _path(graph: Graph, name: str, axis: int) -> list[Node]:
    """The nodes from the input to `name` along the branches with the largest field, leaving gates aside."""
    seen, cells = lattices(graph, local=True), graph.input_shape[1:][axis]
    path: list[Node] = []
    while name != INPUT:
        node = graph.by_name[name]
        path.append(node)
        full = [x for x in node.inputs if graph.shapes[x][1:] == graph.shapes[name][1:]]
        name = max(full or node.inputs, key=lambda x: _reach(_lattice(seen[x], axis), cells))
    return path[::-1]


def _reach(seen: Lattice, cells: int) -> int:
    """Cells of the input that a unit sees, counting padding; all there are where that is no fixed number."""
    return seen.size if seen.kind == "lattice" else cells


def _layers(graph: Graph, path: Sequence[Node], axis: int) -> list[_Layer]:
    field, below, layers = Field.image(graph.input_shape, Lattice), graph.input_shape, []
    for node in path:
        shape = graph.shapes[node.name]
        after = through(node.op, (field,), (below,), shape, local=True)
        if after.axes[axis] != field.axes[axis]:
            layers.append(_Layer(node, (below, shape), field, after, axis))
        field, below = after, shape
    return layers


def _that_fit(layers: list[_Layer], cells: int) -> list[_Layer]:
    """The layers from the input on that can be drawn: at least one, if there is one."""
    fit = [_reach(layer.seen, cells) <= MOST_UNITS for layer in layers[:MOST_ROWS]]
    return layers[: max(1, (*fit, False).index(False))]


def _summary(seen: Lattice) -> str:
    return f"field {seen.size}, jump {seen.jump}" if seen.kind == "lattice" else f"field {seen.kind}"


def _notes(path: list[Node], layers: list[_Layer], shown: list[_Layer], rows: _Rows) -> list[str]:
    notes = []
    if left := len(layers) - len(shown):
        last = layers[-1]
        notes.append(f"Left out: {plural(left, 'later layer')}, up to {last.node.name}: {_summary(last.seen)}.")
    if any(len(node.inputs) > 1 for node in path):
        gates = " and gates are ignored" if any(isinstance(node.op, Multiply) for node in path) else ""
        notes.append(f"Of several branches the one with the largest field is drawn{gates}.")
    if any(rows.padding(row, unit) for row, units in enumerate(rows.read) for unit in units):
        notes.append("Dashed: padding.")
    if max(map(len, rows.read)) == MOST_UNITS:
        notes.append(f"Of each row at most the middle {MOST_UNITS} units that are read are drawn.")
    return notes


class _Rows:
    """What is drawn: for each row, from the top, the units that are read and their places, in cells of the input."""

    def __init__(self, cells: int, shown: list[_Layer]) -> None:
        self.units, self.grid = [cells], [(0.0, 1.0)]  # of each row how many, where unit 0 is, and how far unit 1
        for layer in shown:
            (origin, pitch), (start, step) = self.grid[0], layer.grid
            self.grid.insert(0, (origin + start * pitch, step * pitch))
            self.units.insert(0, layer.seen.units)
        self.read: list[Sequence[int]] = [[self.units[0] // 2]]
        self.lines: list[list[tuple[int, int]]] = []  # from each row to the next, who reads whom
        for units, layer in zip(self.units, shown[::-1], strict=False):
            inside = [unit for unit in self.read[-1] if 0 <= unit < units]
            lines = [(unit, read) for unit in inside for read in _middle(layer.reads(unit))]
            self.read.append(_middle(sorted({read for _, read in lines})))
            self.lines.append([line for line in lines if line[1] in self.read[-1]])
        places = [self.place(row, unit) for row, units in enumerate(self.read) for unit in units]
        self.low, self.high = min(places) - 2, max(places) + 1.5

    def place(self, row: int, unit: int) -> float:
        origin, pitch = self.grid[row]
        return origin + unit * pitch

    def side(self, row: int) -> float:
        """The width of a unit as drawn."""
        return 0.8 * min(1, self.grid[row][1])

    def padding(self, row: int, unit: int) -> bool:
        return not 0 <= unit < self.units[row]

    def drawn(self, row: int) -> list[int]:
        """The units that fit in the drawing, unless they are too many, and those that are read."""
        origin, pitch = self.grid[row]
        first = max(0, math.ceil((self.low + 1 - origin) / pitch))
        last = min(self.units[row] - 1, math.floor((self.high - 0.5 - origin) / pitch))
        around = range(first, last + 1) if last - first < 4 * MOST_UNITS else ()
        return sorted({*around, *self.read[row]})


def _middle(units: Sequence[int]) -> Sequence[int]:
    skip = max(len(units) - MOST_UNITS, 0) // 2
    return units[skip : skip + MOST_UNITS]


def _svg(title: str, rows: _Rows, labels: list[tuple[str, str]], notes: list[str]) -> str:
    scale = min(_CELL, _WIDTH / (rows.high - rows.low))
    beside = (rows.high - rows.low) * scale + 24
    longest = max(len(text) for pair in labels for text in pair)
    width = max(beside + longest * _LETTER, max(map(len, [title, *notes])) * _LETTER + 24)
    bottom = _TOP + _ROW * len(labels)
    parts = [_cone(rows, scale)]
    for row, (name, text) in enumerate(labels):
        y = _TOP + _ROW * row
        parts += _lines(rows, row, scale) if row < len(rows.lines) else []
        parts += _units(rows, row, scale)
        parts += [_text(beside, y + 6, name), _text(beside, y + 23, text, "muted")]
    parts += [_text(16, bottom + 18 * i, note, "muted") for i, note in enumerate(notes)]
    height = bottom + 18 * len(notes)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="sight" role="img" aria-label="{escape(title)}" '
        f'viewBox="0 0 {width:.0f} {height}" width="{width:.0f}" height="{height}"><title>{escape(title)}</title>'
        f'<style>{_STYLE}</style><rect class="page" width="100%" height="100%"/>'
        f"{_text(16, 22, title)}{''.join(parts)}</svg>"
    )


def _text(x: float, y: float, text: str, kind: str = "name") -> str:
    return f'<text class="{kind}" x="{x:.0f}" y="{y:.0f}">{escape(text)}</text>'


def _units(rows: _Rows, row: int, scale: float) -> Iterator[str]:
    side, y = rows.side(row) * scale, _TOP + _ROW * row
    for unit in rows.drawn(row):
        kind = "padding" if rows.padding(row, unit) else "unit" if unit in rows.read[row] else "rest"
        x = (rows.place(row, unit) - rows.low) * scale - side / 2
        yield f'<rect class="{kind}" x="{x:.1f}" y="{y:.1f}" width="{side:.1f}" height="{_HEIGHT}" rx="2"/>'


def _lines(rows: _Rows, row: int, scale: float) -> Iterator[str]:
    """The lines from each unit of a row to those that it reads."""
    y = _TOP + _ROW * row + _HEIGHT
    for unit, read in rows.lines[row]:
        ends = [(rows.place(at, n) - rows.low) * scale for at, n in ((row, unit), (row + 1, read))]
        yield f'<path class="reads" d="M{ends[0]:.1f} {y}L{ends[1]:.1f} {y + _ROW - _HEIGHT}"/>'


def _cone(rows: _Rows, scale: float) -> str:
    """The shade from the one unit down to all that it sees."""
    left: list[str] = []
    right: list[str] = []
    for row, units in enumerate(filter(None, rows.read)):  # a unit among padding reads nothing
        half = rows.side(row) / 2
        y = _TOP + _ROW * row
        for edge, place in ((left, rows.place(row, units[0]) - half), (right, rows.place(row, units[-1]) + half)):
            x = (place - rows.low) * scale
            edge += [f"{x:.1f},{y}", f"{x:.1f},{y + _HEIGHT}"]
    return f'<polygon class="cone" points="{" ".join(left + right[::-1])}"/>'
