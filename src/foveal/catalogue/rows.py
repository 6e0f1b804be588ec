"""The rows of the catalogue."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from typing import Any

from foveal.anatomy.rows import Sight
from foveal.anatomy.sight import lattices
from foveal.errors import UnknownName, UsageError
from foveal.fields import Field
from foveal.graph import Graph
from foveal.published import PRETRAINED, Pretrained
from foveal.shapes import Shape
from foveal.zoo import MODELS, create_graph, without_head
from foveal.zoo.entry import Paper


@dataclass(frozen=True)
class Entry:
    """What the catalogue says of a network.

    Attributes
    ----------
    paper : short, ``"He et al."``.
    parameters, macs : as in `foveal.anatomy.Totals`, at `input_shape`, the network's own.
    field : what a unit of the map that the head reads sees, gates ignored; of the output where there is no head.
    weights : names of the published weights.
    accuracy : top-1 on ImageNet as published with the first of them, in percent; None where it was not.
    images_per_second : on this machine, where it was measured.
    """

    name: str
    family: str
    year: int
    paper: str
    input_shape: Shape
    parameters: int
    macs: int
    field: Sight
    weights: tuple[str, ...]
    accuracy: float | None
    images_per_second: float | None = None

    def to_json(self) -> dict[str, Any]:
        return asdict(self) | {"field": self.field.to_json()}


def entries(*, family: str | None = None, max_parameters: int | None = None, sort: str | None = None) -> list[Entry]:
    """The networks of the zoo, in its order: family by family, the oldest first.

    Parameters
    ----------
    family : only this family, which is the name of its file in ``foveal/zoo``.
    max_parameters : only networks with as many, or fewer.
    sort : one of `SORTABLE`; counts and accuracies from the largest down, years and words upwards.

    Raises
    ------
    UnknownName : no such family or column; the nearest are listed.
    """
    families = list(dict.fromkeys(model.family for model in MODELS.values()))
    if family is not None and family not in families:
        raise UnknownName("family", family, families)
    if sort is not None:
        check_column(sort)
    found = [entry(name) for name, model in MODELS.items() if family in (None, model.family)]
    found = [each for each in found if max_parameters is None or each.parameters <= max_parameters]
    return found if sort is None else sort_entries(found, sort)


def sort_entries(found: Iterable[Entry], column: str) -> list[Entry]:
    """`found` by a column of `SORTABLE`; what is not known comes last."""
    return sorted(found, key=SORTABLE[check_column(column)])


def check_column(column: str) -> str:
    """`column`, or the one that the table heads so, if it is one to sort by; else UnknownName, with the nearest."""
    column = {"top-1": "accuracy", "images/s": "images_per_second"}.get(column, column)
    if column not in SORTABLE:
        raise UnknownName("column", column, SORTABLE)
    return column


def entry(name: str) -> Entry:
    """The row of the network called `name`; UnknownName lists the nearest."""
    graph = create_graph(name)
    model = MODELS[name]
    weights = published(name)
    return Entry(
        name=name,
        family=model.family,
        year=model.paper.year,
        paper=citation(model.paper),
        input_shape=graph.input_shape,
        parameters=sum(math.prod(shape) for shape in graph.parameters().values()),
        macs=graph.macs(),
        field=Sight.of(_field(graph)),
        weights=tuple(each.name for each in weights),
        accuracy=weights[0].accuracy if weights else None,
    )


def published(name: str) -> list[Pretrained]:
    """The published weights of the network called `name`, ``"imagenet"`` first."""
    return sorted((each for (of, _), each in PRETRAINED.items() if of == name), key=lambda each: each.name)


def _field(graph: Graph) -> Field:
    """What a unit of the map that the head of `graph` reads sees; see `Entry`."""
    with contextlib.suppress(UsageError):  # a network without a head
        graph = without_head(graph)
    return lattices(graph, local=True)[graph.outputs[0]]


def citation(paper: Paper) -> str:
    """``He et al.``: the authors as a text names them, up to two in full.

    >>> citation(Paper("He, Zhang, Ren & Sun", 2015, "Deep residual learning", "CVPR", ""))
    'He et al.'
    """
    first, *others = paper.authors.partition(" & ")[0].split(", ")
    return f"{first} et al." if others and "&" in paper.authors else paper.authors


def read_count(said: str) -> int:
    """``5M``, ``500k``, ``1.2G`` or ``61706`` as a number; UsageError where it is none.

    >>> read_count("1.2G")
    1200000000
    """
    units = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "b": 10**9, "t": 10**12}
    word = said.strip().lower().replace(",", "").replace("_", "")
    digits = word.rstrip("kmgbt ")
    try:
        count = float(digits) * units[word[len(digits) :].strip()]
        if not 0 <= count < 1e18:
            raise ValueError
    except (ValueError, KeyError) as error:
        raise UsageError(f"{said!r:.40} is no count; expected something like 5M, 500k or 1.2G") from error
    return int(count)


def _down(value: float | None) -> tuple[bool, float]:
    """Sorts from the largest down, what is not known last."""
    return (True, 0.0) if value is None else (False, -value)


def _field_size(entry: Entry) -> float | None:
    sizes = [math.inf if size is None else size for size in entry.field.size]
    return max(sizes, default=None)


SORTABLE: dict[str, Callable[[Entry], Any]] = {
    "name": lambda entry: entry.name,
    "family": lambda entry: entry.family,
    "year": lambda entry: entry.year,
    "paper": lambda entry: entry.paper,
    "parameters": lambda entry: _down(entry.parameters),
    "macs": lambda entry: _down(entry.macs),
    "field": lambda entry: _down(_field_size(entry)),
    "accuracy": lambda entry: _down(entry.accuracy),
    "images_per_second": lambda entry: _down(entry.images_per_second),
}
"""The columns to sort by, and by what of an entry."""
