"""A network counted: one row a node, and what they come to."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields
from functools import cached_property
from typing import TYPE_CHECKING, Any

from foveal.anatomy.sight import lattices
from foveal.anatomy.warnings import Warning, find_warnings
from foveal.errors import MissingExtra, UnknownName
from foveal.fields import Field, Lattice
from foveal.graph import INPUT, Graph, Node
from foveal.ops import Opaque
from foveal.shapes import Shape

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FLOAT32 = 4
PRECISIONS = {"float32": 4.0, "bfloat16": 2.0, "float16": 2.0, "int8": 1.0, "int4": 0.5}
"""Bytes a value takes."""


@dataclass(frozen=True)
class Sight:
    """A receptive field in summary, per spatial axis of the input; see `foveal.fields`.

    Attributes
    ----------
    size, jump, start : cells; None in place of a number where `kind` is not ``"lattice"``.
    kind : ``"lattice"``, ``"varies"``, ``"global"`` or ``"unknown"``, per axis.
    """

    size: tuple[int | None, ...]
    jump: tuple[int | None, ...]
    start: tuple[int | None, ...]
    kind: tuple[str, ...]

    @classmethod
    def of(cls, seen: Field) -> Sight:
        axes = [axis for axis in seen.axes if isinstance(axis, Lattice)]
        known = [axis if axis.kind == "lattice" else None for axis in axes]
        return cls(
            size=tuple(axis.size if axis else None for axis in known),
            jump=tuple(axis.jump if axis else None for axis in known),
            start=tuple(axis.start if axis else None for axis in known),
            kind=tuple(axis.kind for axis in axes),
        )

    def to_json(self) -> dict[str, list[int | str | None]]:
        """``{"size": [5, 5], "jump": [1, 1], "start": [-2, -2]}``; `size` holds the kind where there is no number."""
        sizes: list[int | str | None] = [
            kind if size is None else size for size, kind in zip(self.size, self.kind, strict=True)
        ]
        return {"size": sizes, "jump": list(self.jump), "start": list(self.start)}

    def text(self) -> str:
        """``5``, ``5x3``, ``varies``, ``global``; a dash where the input has no spatial axis."""
        sizes = list(dict.fromkeys(self.to_json()["size"]))
        return str(sizes[0]) if len(sizes) == 1 else "x".join(map(str, self.to_json()["size"])) or "-"


@dataclass(frozen=True)
class Row:
    """What one node, or a level of nodes folded into one row, comes to, for one image.

    Attributes
    ----------
    parameters : trainable values it owns, of which `frozen` are kept from training; shared weights are counted where
        they are owned.
    buffers : stored values that are not trained.
    macs : multiply-accumulates of convolutions and dense layers, bias excluded. FLOPs are twice that.
    other_ops : elementary operations that are no MACs (biases, norms, activations, pooling).
    activation_bytes : its output in float32; of a level, all outputs inside.
    receptive_field, local_field : what a unit sees; `local_field` ignores gates and is None where they are equal.
    nodes : how many nodes the row stands for.
    """

    name: str
    op: str
    inputs: tuple[str, ...]
    output_shape: Shape
    parameters: int
    frozen: int
    buffers: int
    macs: int
    other_ops: int
    activation_bytes: int
    receptive_field: Sight
    local_field: Sight | None = None
    nodes: int = 1

    def to_json(self) -> dict[str, Any]:
        sights = {"receptive_field": self.receptive_field.to_json()}
        if self.local_field:
            sights["local_field"] = self.local_field.to_json()
        return asdict(self) | {"local_field": None} | sights


COUNTED = ("parameters", "frozen", "buffers", "macs", "other_ops", "activation_bytes", "nodes")
"""The attributes of a row that add up."""


@dataclass(frozen=True)
class Totals:
    """Sums over the rows; `opaque` nodes were seen from outside only, and their work is in none of these."""

    parameters: int
    frozen: int
    buffers: int
    macs: int
    other_ops: int
    activation_bytes: int
    nodes: int
    opaque: int

    @property
    def trainable(self) -> int:
        """Parameters that are not frozen."""
        return self.parameters - self.frozen

    @property
    def flops(self) -> int:
        """Two for each MAC."""
        return 2 * self.macs

    @property
    def bytes_on_disk(self) -> dict[str, int]:
        """Parameters and buffers in each precision of `PRECISIONS`, without the file's header."""
        values = self.parameters + self.buffers
        return {name: math.ceil(values * size) for name, size in PRECISIONS.items()}

    def to_json(self) -> dict[str, Any]:
        return asdict(self) | {
            "trainable": self.trainable,
            "flops": self.flops,
            "bytes_on_disk": self.bytes_on_disk,
        }


@dataclass(frozen=True)
class Anatomy:
    """Everything counted about a network.

    Attributes
    ----------
    rows : one a node, in order.
    totals : their sums.
    warnings : what a teacher would point at; see `foveal.anatomy.warnings`.
    notes : what the reader of the network could not recover.
    """

    graph: Graph
    rows: tuple[Row, ...]
    totals: Totals
    warnings: tuple[Warning, ...]
    notes: tuple[str, ...] = field(default=())

    @cached_property
    def by_name(self) -> dict[str, Row]:
        return {row.name: row for row in self.rows}

    def to_json(self) -> dict[str, Any]:
        """Plain data, as ``foveal inspect --format json`` prints it."""
        return {
            "name": self.graph.name,
            "input_shape": list(self.graph.input_shape),
            "rows": [row.to_json() for row in self.rows],
            "totals": self.totals.to_json(),
            "warnings": [warning.to_json() for warning in self.warnings],
            "notes": list(self.notes),
        }

    def to_pandas(self) -> Any:
        """The rows as a ``pandas.DataFrame``, indexed by name; MissingExtra where pandas is not installed."""
        try:
            import pandas
        except ImportError as error:
            raise MissingExtra("to_pandas", "pandas") from error
        return pandas.DataFrame([row.to_json() for row in self.rows]).set_index("name")

    def plot(self, ax: Axes | None = None, by: str = "macs") -> Axes:
        """A bar for each node that has any of `by`: a counted attribute of `Row`, e.g. ``"parameters"``."""
        import matplotlib.pyplot as plt

        if by not in COUNTED:
            raise UnknownName("count", by, COUNTED)
        shown = [row for row in self.rows if getattr(row, by)]
        if ax is None:
            _, ax = plt.subplots(figsize=(6.4, max(4.8, 0.2 * len(shown))), layout="constrained")
        ax.barh([row.name for row in shown], [getattr(row, by) for row in shown], color="#1668b0")
        ax.invert_yaxis()
        ax.set_xlabel(by)
        ax.set_title(self.graph.name)
        return ax

    def _repr_html_(self) -> str:
        from foveal.anatomy.page import table_html

        return table_html(self)


def count(graph: Graph, *, frozen: Iterable[str] = (), notes: Iterable[str] = ()) -> Anatomy:
    """Count `graph`.

    Parameters
    ----------
    frozen : names, as in `Graph.parameters`, of arrays that are kept from training.
    notes : what the reader of the network could not recover; kept.
    """
    kept = frozenset(frozen)
    seen, local = lattices(graph), lattices(graph, local=True)
    rows = tuple(_row(graph, node, kept, seen, local) for node in graph.nodes)
    opaque = sum(isinstance(node.op, Opaque) for node in graph.nodes)
    totals = Totals(**{key: sum(getattr(row, key) for row in rows) for key in COUNTED}, opaque=opaque)
    return Anatomy(graph, rows, totals, tuple(find_warnings(graph, seen)), tuple(notes))


def _row(
    graph: Graph, node: Node, frozen: frozenset[str], seen: Mapping[str, Field], local: Mapping[str, Field]
) -> Row:
    shapes, output = graph.input_shapes(node), graph.shapes[node.name]
    owned = {} if node.weights_of else node.op.parameters(*shapes)
    buffers = {} if node.weights_of else node.op.buffers(*shapes)
    sight, nearby = Sight.of(seen[node.name]), Sight.of(local[node.name])
    return Row(
        name=node.name,
        op=type(node.op).__name__,
        inputs=node.inputs,
        output_shape=output,
        parameters=_values(owned),
        frozen=_values({key: shape for key, shape in owned.items() if f"{node.name}.{key}" in frozen}),
        buffers=_values(buffers),
        macs=node.op.macs(*shapes),
        other_ops=node.op.other_ops(*shapes),
        activation_bytes=FLOAT32 * math.prod(output),
        receptive_field=sight,
        local_field=None if nearby == sight else nearby,
    )


def _values(arrays: Mapping[str, Shape]) -> int:
    return sum(math.prod(shape) for shape in arrays.values())


def fold(anatomy: Anatomy, depth: int) -> tuple[Row, ...]:
    """Rows with every level below `depth` folded: at 1, ``stage1.block1.conv`` and its neighbours become ``stage1``.

    A folded row sums what adds up and shows the shape and the field of its last node; a name at or above `depth` stays.
    """
    folded: dict[str, list[Row]] = {}
    for row in anatomy.rows:
        folded.setdefault(".".join(row.name.split(".")[:depth]), []).append(row)
    level = {row.name: name for name, rows in folded.items() for row in rows}
    return tuple(rows[0] if name == rows[0].name else _sum(name, rows, level) for name, rows in folded.items())


def _sum(name: str, rows: list[Row], level: Mapping[str, str]) -> Row:
    inside = {row.name for row in rows}
    read = dict.fromkeys(level.get(x, INPUT) for row in rows for x in row.inputs if x not in inside)
    sums = {key: sum(getattr(row, key) for row in rows) for key in COUNTED}
    last = {f.name: getattr(rows[-1], f.name) for f in fields(Row)}
    return Row(**last | sums | {"name": name, "op": f"{len(rows)} nodes", "inputs": tuple(read)})
