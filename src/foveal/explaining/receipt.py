"""What one activation is made of: the terms of its sum, and PyTorch's own answer beside it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from foveal.anatomy.sight import Box
from foveal.ops import Op
from foveal.reference.units import Index, Unit
from foveal.shapes import Shape

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from foveal.explaining.gradient import Gradient
    from foveal.explaining.observing import Observed


@dataclass(frozen=True)
class Term:
    """A part of a sum.

    Attributes
    ----------
    what : where it comes from: ``"stem.pool[17]"`` a channel, ``"stem.pool[17,3,4]"`` a single value.
    value : its part.
    count : products that are added up in it.
    """

    what: str
    value: float
    count: int = 1


@dataclass(frozen=True)
class Receipt:
    """How one activation comes about.

    Attributes
    ----------
    seen : the pass that it is a number of.
    node, index : which one, ``index`` as (channel, row, column) or (number,).
    unit : the node's operation cut down to what makes this value (`foveal.reference.units`).
    torch : the value that PyTorch computed in float32, in its own way.
    box : the input cells it depends on, an axis each; None where the input has no spatial axes.
    after : what becomes of it in the norms, gates and the pool that follow.
    """

    seen: Observed
    node: str
    index: Index
    unit: Unit
    torch: float
    box: Box | None
    after: tuple[Receipt, ...] = ()

    @property
    def op(self) -> Op:
        return self.seen.graph.by_name[self.node].op

    @property
    def reads(self) -> tuple[str, ...]:
        """The node's inputs."""
        return self.seen.graph.by_name[self.node].inputs

    @property
    def shapes(self) -> tuple[Shape, ...]:
        """Shapes of the node's inputs."""
        return self.seen.graph.input_shapes(self.seen.graph.by_name[self.node])

    @property
    def name(self) -> str:
        return unit_name(self.node, self.index)

    @property
    def value(self) -> float:
        """The sum, from the float32 activations and weights, added up in float64."""
        return self.unit.value

    @property
    def products(self) -> tuple[np.ndarray, ...]:
        """Slope times input, in the shapes of the patches."""
        return tuple(slope * patch for slope, patch in zip(self.unit.slopes, self.unit.patches, strict=True))

    @property
    def terms(self) -> list[Term]:
        """An affine value's parts, the largest first: channel by channel of a patch, or value by value of a row."""
        found = []
        for source, cells, products in zip(self.unit.sources, self.unit.cells, self.products, strict=True):
            if cells[0].size == 1 or len(cells) == 1:
                rows = zip(cells.ravel().tolist(), products.ravel().tolist(), strict=True)
                found += [Term(self.cell(source, cell), part) for cell, part in rows]
            else:
                size = math.prod(self.shapes[source][1:])
                found += [
                    Term(f"{self.reads[source]}[{int(own.max()) // size}]", float(part.sum()), part.size)
                    for own, part in zip(cells, products, strict=True)
                ]
        return sorted(found, key=lambda term: -abs(term.value))

    def cell(self, source: int, cell: int) -> str:
        """The name of the value at `cell` of the ravelled input number `source`; -1 is padding."""
        if cell < 0:
            return f"padding of {self.reads[source]}"
        return unit_name(self.reads[source], np.unravel_index(cell, self.shapes[source]))

    def backward(self, target: int | str | None = None, *, loss: bool = False) -> Gradient:
        """How the gradient of a logit, or of a loss, comes back here: `foveal.explaining.gradient.backward`."""
        from foveal.explaining.gradient import backward

        return backward(self.seen, self.node, self.index, target=target, loss=loss)

    def plot(self) -> Sequence[Axes]:
        """Patch, slopes and products of the channel that adds most, as three matplotlib axes."""
        from foveal.explaining.plot import plot

        return plot(self)

    def __str__(self) -> str:
        from foveal.explaining.receipt_text import receipt_lines

        return "\n".join(receipt_lines(self))

    def to_json(self) -> dict[str, Any]:
        """Everything, as plain data: patches and slopes in full."""
        parts = zip(self.unit.sources, self.unit.cells, self.unit.patches, self.unit.slopes, strict=True)
        reads = [
            {"node": self.reads[i], "cells": cells.tolist(), "patch": patch.tolist(), "slopes": slopes.tolist()}
            for i, cells, patch, slopes in parts
        ]
        return {
            "network": self.seen.graph.name,
            "node": self.node,
            "index": list(self.index),
            "op": type(self.op).__name__,
            "value": self.value,
            "torch": self.torch,
            "constant": self.unit.constant if self.unit.affine else None,
            "sees": None if self.box is None else [[span.first, span.last] for span in self.box],
            "reads": reads,
            "after": [later.to_json() for later in self.after],
        }


def unit_name(node: str, index: Sequence[Any]) -> str:
    """``conv1[5,10,12]``."""
    return f"{node}[{','.join(str(int(i)) for i in index)}]"
