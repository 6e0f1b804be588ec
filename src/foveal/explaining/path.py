"""From one number down its strongest contributions to the pixels, a receipt at every step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from foveal.explaining.microscope import check_unit, receipt
from foveal.explaining.observing import Observed
from foveal.explaining.receipt import Receipt, Term, unit_name
from foveal.graph import INPUT
from foveal.reference.units import Index


@dataclass(frozen=True)
class Path:
    """A way from a number to a value of the input.

    Attributes
    ----------
    steps : the receipt of each unit on the way.
    contributions : at each step the value that the path goes on with, and what it contributes: slope times value.
    pixel : where the path ends in the input, or None where nothing came through.
    explained : the pixel times all slopes on the way: the part of the number that went this way.
    exact : whether every step is a sum (`foveal.reference.units.AFFINE`), so that all paths and biases add up to the
        number; else slopes stand for curves.
    """

    steps: tuple[Receipt, ...]
    contributions: tuple[Term, ...]
    pixel: Index | None
    explained: float
    exact: bool

    @property
    def share(self) -> float:
        """`explained` as a part of the number, below zero where it works against it."""
        return self.explained / self.steps[0].value if self.steps[0].value else 0.0

    @property
    def ending(self) -> str:
        """What the way comes to, in a sentence."""
        if self.pixel is None:
            return "here the way ends: a gate is shut, so nothing of what lies below comes through"
        kind = "" if self.exact else ", curves counted by their slopes"
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

    At every step it goes on with the one value whose product with its slope adds most to the number; chosen step by
    step, so it need not be the strongest of all ways.

    Raises
    ------
    UnknownName, GraphError : no such node or unit.
    """
    index, steps, chosen, slopes, exact = check_unit(seen.graph, node, index), [], [], 1.0, True
    sign = np.sign(seen.values[node][index])
    while node != INPUT:
        found = receipt(seen, node, index, after=False)
        unit = found.unit
        toward = [sign * np.sign(slopes) * products for products in found.products]
        part = int(np.argmax([parts.max() for parts in toward]))
        cell = int(toward[part].argmax())
        slope, value = float(unit.slopes[part].flat[cell]), float(found.products[part].flat[cell])
        source, place = unit.sources[part], int(unit.cells[part].flat[cell])
        steps.append(found)
        chosen.append(Term(found.cell(source, place), value))
        slopes, exact = slopes * slope, exact and unit.affine
        if slope == 0 or place < 0:
            return Path(tuple(steps), tuple(chosen), None, 0.0, exact)
        node, index = found.reads[source], tuple(map(int, np.unravel_index(place, found.shapes[source])))
    return Path(tuple(steps), tuple(chosen), index, slopes * float(seen.values[INPUT][index]), exact)
