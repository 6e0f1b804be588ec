"""From one number down its strongest contributions to the pixels, a receipt at every step."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from foveal.explaining.microscope import receipt
from foveal.explaining.observing import Observed
from foveal.explaining.receipt import Receipt, Term, unit_name
from foveal.graph import INPUT
from foveal.reference.units import Index

BREADTH = 4
"""Values below a unit that are tried, one after the other, where ways end in biases."""

MOST_TRIED = 10_000
"""Units that are opened in search of a way."""


@dataclass(frozen=True)
class Path:
    """A way from a number to a value of the input.

    Attributes
    ----------
    steps : the receipt of each unit on the way.
    contributions : at each step the value that the path goes on with, and what it contributes. To a sum that is slope
        times value; what is made of one value alone, by a gate or a curve, is all that value's doing.
    pixel : where the path ends in the input, or None where nothing came through.
    share : the product of what each contributes to the value above it, in parts of that: the part of the number that
        went this way. Below zero where it works against it.
    exact : whether every step is a sum or made of one value, so that the shares of all ways, and of the biases on them,
        add up to 1; else slopes stand for curves.
    """

    steps: tuple[Receipt, ...]
    contributions: tuple[Term, ...]
    pixel: Index | None
    share: float
    exact: bool

    @property
    def explained(self) -> float:
        """The part of the number that went this way."""
        return self.share * self.steps[0].value

    @property
    def ending(self) -> str:
        """What the way comes to, in a sentence."""
        if self.pixel is None:
            return "here the way ends: gates below are shut, or biases make the number"
        kind = "" if self.exact else "; norms and products are counted by their slopes"
        return (
            f"reached {unit_name(INPUT, self.pixel)}: this one way carries {self.explained:.4g}, "
            f"{100 * self.share:.3g} % of the number{kind}"
        )

    def __str__(self) -> str:
        from foveal.explaining.gradient_text import path_lines

        return "\n".join(path_lines(self))

    def to_json(self) -> dict[str, Any]:
        rows = zip(self.steps, self.contributions, strict=True)
        return {
            "steps": [
                {
                    "unit": step.name, "value": step.value, "torch": step.torch, "from": term.what,
                    "contribution": term.value,
                }
                for step, term in rows
            ],
            "pixel": None if self.pixel is None else list(self.pixel),
            "explained": self.explained,
            "share": self.share,
            "exact": self.exact,
        }  # fmt: skip


def follow(seen: Observed, node: str, index: Index) -> Path:
    """The path of the strongest contributions from a unit, such as a logit, to the pixels.

    At every step it goes on with the value that contributes most and does not end in a bias further down; chosen step
    by step, so it need not be the strongest of all ways.

    Raises
    ------
    UnknownName, GraphError : no such node or unit.
    """
    start = receipt(seen, node, index, after=False)
    here, index, tried = node, start.index, 0
    steps: list[_Step] = []
    while here != INPUT and tried < MOST_TRIED:
        tried += 1
        steps.append(_Step(receipt(seen, here, index, after=False)))
        while steps and not steps[-1].left:
            steps.pop()
        if not steps:
            break
        here, index = steps[-1].go_on()
    found, chosen = [step.found for step in steps], [step.term for step in steps]
    if here != INPUT:
        return Path((start,), (Term("nothing below", 0.0),), None, 0.0, True)
    share = math.prod(term.value / step.value for step, term in zip(found, chosen, strict=True))
    exact = all(step.unit.affine or _alone(step) for step in found)
    return Path(tuple(found), tuple(chosen), index, share, exact)


class _Step:
    """A unit on the way, and the values below it that have not been tried, the weakest first."""

    def __init__(self, found: Receipt) -> None:
        self.found, self.term = found, Term("", 0.0)
        self.left = [row for row in _contributions(found) if row[0]]

    def go_on(self) -> tuple[str, Index]:
        """Take the strongest that is left: where the way leads."""
        value, part, cell = self.left.pop()
        unit = self.found.unit
        source, place = unit.sources[part], int(unit.cells[part].flat[cell])
        self.term = Term(self.found.cell(source, place), value)
        return self.found.reads[source], tuple(map(int, np.unravel_index(place, self.found.shapes[source])))


def _contributions(found: Receipt) -> list[tuple[float, int, int]]:
    """What the strongest values contribute, which patch and which of its cells they are; the strongest last."""
    if _alone(found):
        return [(found.value, 0, 0)]
    rows = []
    for part, products in enumerate(found.products):
        toward = np.sign(found.value) * products.ravel()
        rows += [(float(products.flat[cell]), part, int(cell)) for cell in np.argsort(toward)[-BREADTH:]]
    return sorted(rows, key=lambda row: np.sign(found.value) * row[0])[-BREADTH:]


def _alone(found: Receipt) -> bool:
    """Whether a gate or a curve makes the value of one other alone."""
    return sum(cells.size for cells in found.unit.cells) == 1 and not found.unit.arrays
