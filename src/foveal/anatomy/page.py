"""An anatomy as HTML: a table for notebooks, and a whole page that joins it with the drawing."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from foveal.anatomy.drawing import draw
from foveal.anatomy.rows import Anatomy, Row, fold
from foveal.anatomy.table import four_digits, op_text, size_text
from foveal.shapes import text
from foveal.templates import environment
from foveal.text import plural

if TYPE_CHECKING:
    from jinja2 import Environment

OPEN = 60  # rows; levels of a network that has more start closed
_FOLDER = Path(__file__).parent

COLUMNS = {
    "name": ("name", "The node, and the levels it is in: stage1.block2.conv1 is conv1 in block2 of stage1."),
    "op": ("op", "The operation. A folded level says how many nodes it stands for."),
    "output": ("output", "The shape of the result for one image, channels last: height x width x channels."),
    "parameters": (
        "parameters",
        "Trainable values. Shared weights count where they are owned; what is kept from training is counted, and named "
        "as frozen. Running statistics of batch norm are buffers and not counted here.",
    ),
    "macs": (
        "MACs",
        "Multiply-accumulates of convolutions and dense layers for one image, bias excluded. FLOPs are twice that.",
    ),
    "other": (
        "other",
        "Elementary operations for one image that are no MACs: biases, norms, activations, pooling, sums.",
    ),
    "activation": ("activation", "Bytes of the output in float32, for one image; of a level, of all outputs inside."),
    "field": (
        "field",
        "Receptive field: how many input cells along each axis a unit depends on. It varies where units differ, and is "
        "global where each sees all. In brackets the local field, which ignores gates.",
    ),
    "share": ("share of MACs", "The row's MACs out of those of the whole network."),
}
"""Each column's heading, and what it means."""


@dataclass(frozen=True)
class Line:
    """A row of the page's table: a node or a level, how deep it lies, and the numbers of the levels it is in."""

    row: Row
    indent: int
    inside: tuple[int, ...]
    level: int | None = None

    @property
    def leaf(self) -> str:
        """The last part of the name, where the levels above say the rest."""
        return self.row.name if not self.indent else ".".join(self.row.name.split(".")[self.indent :])


def table_html(anatomy: Anatomy, depth: int | None = None) -> str:
    """The table as an HTML fragment with a small style of its own; levels below `depth` are folded."""
    rows = anatomy.rows if depth is None else fold(anatomy, depth)
    lines = [Line(row, 0, ()) for row in rows]
    return _environment(anatomy).get_template("table.html").render(**_facts(anatomy), lines=lines)


def page(anatomy: Anatomy) -> str:
    """Drawing, warnings and table as one page that needs no network and, but for linked hovering, no JavaScript."""
    from markupsafe import Markup

    style = Markup((_FOLDER / "page.css").read_text("utf-8"))
    lines = list(nested(anatomy))
    return _environment(anatomy).get_template("page.html").render(
        **_facts(anatomy), lines=lines, levels=[line for line in lines if line.level is not None],
        is_open=len(lines) <= OPEN, drawing=Markup(draw(anatomy)), style=style,
    )  # fmt: skip


def nested(anatomy: Anatomy) -> Iterator[Line]:
    """Every row once, each level with more than one node before the rows inside it."""
    deepest = max((row.name.count(".") for row in anatomy.rows), default=0)
    levels = {row.name: row for depth in range(1, deepest + 1) for row in fold(anatomy, depth) if row.nodes > 1}
    numbers = {name: i for i, name in enumerate(levels)}

    def walk(rows: Sequence[Row], depth: int, indent: int, inside: tuple[int, ...]) -> Iterator[Line]:
        groups: dict[str, list[Row]] = {}
        for row in rows:
            groups.setdefault(".".join(row.name.split(".")[:depth]), []).append(row)
        for name, members in groups.items():
            if name in levels:
                yield Line(levels[name], indent, inside, numbers[name])
                yield from walk(members, depth + 1, indent + 1, (*inside, numbers[name]))
            else:
                yield Line(members[0], indent, inside)

    return walk(anatomy.rows, 1, 0, ())


def _facts(anatomy: Anatomy) -> dict[str, Any]:
    """What both templates show."""
    return {"a": anatomy, "t": anatomy.totals, "columns": COLUMNS, "input": text(anatomy.graph.input_shape)}


def _environment(anatomy: Anatomy) -> Environment:
    from markupsafe import Markup

    def number(value: int, write: Callable[[int], str] = four_digits) -> Markup:
        """Four digits, and the full value on demand (as the element's title)."""
        return Markup('<data value="{0}" title="{0:,}">{1}</data>').format(value, write(value))

    templates = environment(_FOLDER)
    templates.filters.update(
        number=number,
        cell=lambda value: number(value) if value else "",
        size=lambda value: number(value, size_text),
        plural=plural,
        shape=text,
        op=lambda row: op_text(anatomy.graph, row),
    )
    return templates
