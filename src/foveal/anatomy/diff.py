"""Two networks side by side: aligned node by node, what differs first."""

from __future__ import annotations

from dataclasses import dataclass, fields
from difflib import SequenceMatcher
from typing import Any

from foveal.anatomy.rows import COUNTED, Anatomy, Row, Sight
from foveal.graph import Node

_COMPARED = ("output_shape", "parameters", "buffers", "macs", "receptive_field")


@dataclass(frozen=True)
class Pair:
    """A row of each network, or of one alone.

    Attributes
    ----------
    changes : what differs, by field of the op or attribute of `Row`: ``{"stride": (1, 2)}``.
    """

    a: Row | None
    b: Row | None
    changes: dict[str, tuple[Any, Any]]

    @property
    def follows(self) -> bool:
        """Whether it differs only in what comes in: shapes, work and field, not in settings or weights."""
        return self.changes.keys() <= {"output_shape", "macs", "receptive_field"}

    def to_json(self) -> dict[str, Any]:
        return {
            "a": self.a and self.a.name,
            "b": self.b and self.b.name,
            "changes": {key: list(values) for key, values in self.changes.items()},
        }


@dataclass(frozen=True)
class Difference:
    """`a` against `b`: `pairs` in order of the networks, and the totals of both."""

    a: Anatomy
    b: Anatomy
    pairs: tuple[Pair, ...]

    @property
    def different(self) -> list[Pair]:
        """The pairs that are not the same in everything: first those whose own settings or weights differ."""
        return sorted((pair for pair in self.pairs if pair.changes), key=lambda pair: pair.follows)

    @property
    def totals(self) -> dict[str, tuple[int, int]]:
        """Each total of both."""
        return {key: (getattr(self.a.totals, key), getattr(self.b.totals, key)) for key in COUNTED}

    def to_json(self) -> dict[str, Any]:
        return {
            "a": self.a.graph.name,
            "b": self.b.graph.name,
            "same": len(self.pairs) - len(self.different),
            "different": [pair.to_json() for pair in self.different],
            "totals": {key: list(values) for key, values in self.totals.items()},
        }


def compare(a: Anatomy, b: Anatomy) -> Difference:
    """`a` and `b` aligned in order (`difflib`): by names where most are shared, else by ops. Rows may stay alone."""
    pairs: list[Pair] = []
    shared = 2 * len(a.by_name.keys() & b.by_name.keys()) > min(len(a.rows), len(b.rows))
    left, right = ([(type(n.op), n.name if shared else "") for n in x.graph.nodes] for x in (a, b))
    for tag, i1, i2, j1, j2 in SequenceMatcher(None, left, right, autojunk=False).get_opcodes():
        if tag == "equal":
            pairs += [_pair(a, b, m, n) for m, n in zip(a.graph.nodes[i1:i2], b.graph.nodes[j1:j2], strict=True)]
        else:
            pairs += [Pair(a.by_name[node.name], None, _only("a")) for node in a.graph.nodes[i1:i2]]
            pairs += [Pair(None, b.by_name[node.name], _only("b")) for node in b.graph.nodes[j1:j2]]
    return Difference(a, b, tuple(pairs))


def _only(side: str) -> dict[str, tuple[Any, Any]]:
    return {"present": (side == "a", side == "b")}


def _pair(a: Anatomy, b: Anatomy, m: Node, n: Node) -> Pair:
    rows = a.by_name[m.name], b.by_name[n.name]
    settings = {field.name: (getattr(m.op, field.name), getattr(n.op, field.name)) for field in fields(m.op)}
    counts = {key: (_comparable(rows[0], key), _comparable(rows[1], key)) for key in _COMPARED}
    return Pair(*rows, {key: pair for key, pair in (settings | counts).items() if pair[0] != pair[1]})


def _comparable(row: Row, key: str) -> Any:
    value = getattr(row, key)
    return value.text() if isinstance(value, Sight) else value
