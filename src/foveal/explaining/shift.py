"""A picture moved by a few pixels: a convolution's map moves along with it, and pooling makes less of the move.

Goodfellow et al. (2016), Deep Learning, sections 9.2 (equivariance) and 9.3 (invariance).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from foveal.anatomy.sight import check_node, lattices
from foveal.build import build
from foveal.errors import GraphError, UsageError
from foveal.explaining.observing import Subject, read_subject
from foveal.fields import Lattice
from foveal.graph import INPUT
from foveal.ops import MaxPool
from foveal.reference import OPS
from foveal.text import plural

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST = 64
"""Pixels that a picture is moved by, at most."""


@dataclass(frozen=True)
class Moved:
    """What a shift changed; a change is ``|after - before| / |before|``, by the root of the sum of squares.

    Attributes
    ----------
    by : pixels to the right; what enters on the left repeats the picture's first column.
    picture, map, pooled, output : the change, in place, of the input, the node's map, that map max-pooled (None where
        it is smaller than the window), and the network's output.
    cells : by how many cells, the nearest number, the map should have moved along.
    along : the change of the map against the one before moved by as many cells, over `columns`: those whose units see
        neither padding nor what entered. None where there are none.
    """

    by: int
    picture: float
    map: float
    pooled: float | None
    output: float
    cells: int
    along: float | None
    columns: int


@dataclass(frozen=True)
class Shifts:
    """The moves of one picture as one node sees them.

    Attributes
    ----------
    stride : pixels from a unit of the map to the next; None where the field follows no such rule.
    pool : cells of the max pooling's window, and its stride.
    """

    network: str
    node: str
    shape: tuple[int, ...]
    stride: int | None
    pool: int
    rows: tuple[Moved, ...]

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    def __str__(self) -> str:
        return "\n".join(_lines(self))

    def plot(self) -> Figure:
        """The changes over the shifts."""
        import matplotlib.pyplot as plt

        figure, ax = plt.subplots(figsize=(8, 4.8), layout="constrained")
        by = [row.by for row in self.rows]
        for label, values, colour, style in (
            ("picture", [row.picture for row in self.rows], "#9aa1a9", "o-"),
            (f"{self.node}, in place", [row.map for row in self.rows], "#1668b0", "o-"),
            (f"max-pooled {self.pool}, in place", [row.pooled for row in self.rows], "#e69f00", "o-"),
            (f"{self.node}, moved along", [row.along for row in self.rows], "#009e73", "o--"),
            ("output", [row.output for row in self.rows], "#b5500b", "o-"),
        ):
            if any(value is not None for value in values):
                ax.plot(by, [np.nan if v is None else v for v in values], style, color=colour, label=label)
        ax.set(xlabel="pixels moved", ylabel="relative change", title=f"{self.network}: {self.node}", ylim=(0, None))
        ax.grid(color="#e3e3e3", linewidth=0.6)
        ax.spines[["top", "right"]].set_visible(False)
        figure.legend(loc="outside lower center", ncols=2, frameon=False)
        return figure


def shift(model: Any, image: Any, node: str, *, by: int = 8, pool: int = 2) -> Shifts:
    """`image` moved to the right by 1 to `by` pixels: how much of the move each of picture, node and output shows.

    Parameters
    ----------
    model, image : as for `foveal.open_unit`. The picture is moved as the network receives it.
    node : the name of a map.
    pool : the window and stride of the max pooling that is compared.

    Raises
    ------
    UnknownName : no such node. GraphError : a node that is no map. UsageError : `by` or `pool` out of range. Others as
    by `foveal.open_unit`.
    """
    subject = read_subject(model)
    graph = subject.graph
    shape = graph.shapes[check_node(graph, node)]
    if len(shape) == 1 or node == INPUT:
        raise GraphError(f"{node} is no map of a layer, so there is nothing that could move; name a convolution")
    width = graph.input_shape[-1]
    if not 1 <= by <= min(MOST, width - 1):
        raise UsageError(f"a shift by {by}; expected 1 to {min(MOST, width - 1)} pixels")
    if pool < 1:
        raise UsageError(f"a pooling window of {pool}; expected 1 cell or more")
    x, _ = subject.read(image)
    moved = np.stack([x, *(moved_right(x, step) for step in range(1, by + 1))])
    maps, outputs = _run(subject, node, moved)
    axis = lattices(graph, local=False)[node].axes[-1]
    assert isinstance(axis, Lattice)
    rows = tuple(_compare(step, moved, maps, outputs, axis, width, pool) for step in range(1, by + 1))
    return Shifts(graph.name, node, shape, axis.jump if axis.kind == "lattice" else None, pool, rows)


def moved_right(x: np.ndarray, by: int) -> np.ndarray:
    """`x` moved along its last axis, its first cells repeated: ``y[..., i] = x[..., max(i - by, 0)]``."""
    return x[..., np.maximum(np.arange(x.shape[-1]) - by, 0)]


def change(after: np.ndarray, before: np.ndarray) -> float:
    """``|after - before| / |before|``; 0 where both are 0."""
    difference, size = (float(np.linalg.norm(v.astype(np.float64))) for v in (after - before, before))
    return difference / size if size else float(difference > 0)


def _run(subject: Subject, node: str, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The node's maps and the network's outputs for a batch."""
    names = (node, subject.graph.outputs[0])
    module = build(replace(subject.graph, outputs=tuple(dict.fromkeys(names))), subject.weights).eval()
    with torch.inference_mode():
        found = module(torch.from_numpy(x))
    values = found if isinstance(found, tuple) else (found,)
    return values[0].numpy(), values[-1].numpy()


def _compare(
    by: int, x: np.ndarray, maps: np.ndarray, outputs: np.ndarray, axis: Lattice, width: int, pool: int
) -> Moved:
    cells, along, columns = 0, None, 0
    if axis.kind == "lattice":
        cells = (2 * by + axis.jump - 1) // (2 * axis.jump)
        first = axis.start + axis.jump * np.arange(axis.units)  # cell of the picture that each unit begins at
        inside = (first >= 0) & (first + axis.size <= width)
        both = inside[cells:] & inside[: axis.units - cells] & (first[cells:] >= by)
        columns = int(both.sum())
        if columns:
            along = change(maps[by][..., cells:][..., both], maps[0][..., : axis.units - cells][..., both])
    pooled = None
    if min(maps.shape[2:]) >= pool:
        summed = OPS[MaxPool].forward(MaxPool(pool), {}, maps[[0, by]])
        pooled = change(summed[1], summed[0])
    return Moved(
        by,
        change(x[by], x[0]),
        change(maps[by], maps[0]),
        pooled,
        change(outputs[by], outputs[0]),
        cells,
        along,
        columns,
    )


def _lines(found: Shifts) -> Iterator[str]:
    size = " x ".join(map(str, found.shape))
    step = "" if found.stride is None else f", a cell every {plural(found.stride, 'pixel')}"
    yield f"{found.node} of {found.network}: {size}{step}"
    yield f"relative change when the picture moves to the right; max-pooled: in windows of {found.pool}"
    yield f"{'pixels':>6}{'picture':>10}{'map':>10}{'max-pooled':>12}{'output':>10}  map moved along"
    for row in found.rows:
        pooled = "" if row.pooled is None else f"{row.pooled:.3f}"
        changes = f"{row.picture:>10.3f}{row.map:>10.3f}{pooled:>12}{row.output:>10.3f}"
        yield f"{row.by:>6}{changes}  {_along(row, found.stride)}"


def _along(row: Moved, stride: int | None) -> str:
    if row.along is None:
        return "every unit sees padding or the edge"
    whole = stride is not None and row.cells * stride == row.by
    kept = f"{row.along:.1g}" if whole else f"{row.along:.3f}"
    return f"{kept} after {plural(row.cells, 'cell')}, in {plural(row.columns, 'column')}"
