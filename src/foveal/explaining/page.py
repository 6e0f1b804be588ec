"""A receipt as one self-contained page: the photo, the patches, the filter, the sum, and what follows."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from foveal import anatomy
from foveal.anatomy.sight_drawing import draw_on
from foveal.explaining.gradient import Gradient, Step
from foveal.explaining.gradient_text import gradient_lines, path_lines, step_lines
from foveal.explaining.grids import grid, legend
from foveal.explaining.receipt_text import SHOWN, number, receipt_lines
from foveal.templates import environment

if TYPE_CHECKING:
    from foveal.explaining.path import Path as Way
    from foveal.explaining.receipt import Receipt

_FOLDER = Path(__file__).parent
LARGEST_GRID = 11
"""Rows and columns of a patch that is drawn; larger ones are left to the list of sums."""


@dataclass(frozen=True)
class Row:
    """One channel's patch, filter and products, drawn, and what they come to."""

    name: str
    value: float
    patch: str
    filter: str
    products: str


def page(receipt: Receipt, gradient: Gradient | None = None, step: Step | None = None, path: Way | None = None) -> str:
    """The page: readable without JavaScript and network, light and dark, printable."""
    from markupsafe import Markup

    terms = receipt.terms if receipt.unit.affine else []
    sheets = Path(anatomy.__file__).parent / "page.css", _FOLDER / "receipt.css"
    return (
        environment(_FOLDER)
        .get_template("receipt.html")
        .render(
            receipt=receipt,
            photo=_photo(receipt),
            rows=list(_rows(receipt)),
            terms=terms[:SHOWN],
            more=terms[SHOWN:],
            rest=sum(term.value for term in terms[SHOWN:]),
            lines=list(receipt_lines(receipt)),
            gradient=gradient,
            gradient_lines=list(gradient_lines(gradient)) if gradient else [],
            step_lines=list(step_lines(step)) if step else [],
            path_lines=list(path_lines(path)) if path else [],
            signals=Markup(legend("signals")),
            parameters=Markup(legend("parameters")),
            newline=Markup("\n"),
            number=number,
            style=Markup("".join(sheet.read_text("utf-8") for sheet in sheets)),
        )
    )


def _rows(receipt: Receipt) -> Iterator[Row]:
    """The channels that add most, where a filter lies on a picture."""
    from markupsafe import Markup

    unit = receipt.unit
    if not unit.affine or unit.cells[0].ndim != 3 or max(unit.cells[0].shape[1:]) > LARGEST_GRID:
        return
    if unit.cells[0][0].size == 1 and len(unit.cells) == 1:
        return
    sums = receipt.products[0].sum((1, 2))
    for channel in np.argsort(-np.abs(sums))[:SHOWN]:
        inside = unit.cells[0][channel] >= 0
        place = int(unit.cells[0][channel].max()) // int(np.prod(receipt.shapes[0][1:]))
        name = f"{receipt.reads[0]}[{place}]"
        drawn = (
            grid(unit.patches[0][channel], f"the patch of {name}", inside=inside),
            grid(unit.slopes[0][channel], f"its filter for {receipt.name}", scale="parameters"),
            grid(receipt.products[0][channel], f"the products of {name}"),
        )
        yield Row(name, float(sums[channel]), *map(Markup, drawn))


def _photo(receipt: Receipt) -> str | None:
    """The picture as the network receives it, with the cells outlined that this unit sees; a PNG's data address."""
    from markupsafe import Markup
    from PIL import Image

    if receipt.box is None or len(receipt.box) != 2:
        return None
    index = receipt.index if len(receipt.index) == 1 else receipt.index[1:]
    drawn = draw_on(receipt.seen.picture, receipt.seen.graph, receipt.node, index)
    data = io.BytesIO()
    Image.fromarray(drawn).save(data, "PNG")
    return Markup("data:image/png;base64," + base64.b64encode(data.getvalue()).decode("ascii"))
