"""A receipt as one self-contained page: the photo, the patches, the filter, the sum, and what follows."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from foveal import anatomy
from foveal.anatomy.sight_drawing import draw_on
from foveal.explaining.gradient import Gradient, Step
from foveal.explaining.gradient_text import gradient_lines, path_lines, step_lines, turned
from foveal.explaining.grids import grid, legend
from foveal.explaining.receipt_text import SHOWN, number, receipt_lines
from foveal.ops import Conv, ConvTranspose
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


def page(
    receipt: Receipt | None, gradient: Gradient | None = None, step: Step | None = None, path: Way | None = None
) -> str:
    """The page, readable without JavaScript and network, light and dark, printable; of a weight without a receipt."""
    from markupsafe import Markup

    opened = receipt or gradient
    assert opened
    rows, rest, more = _rows(receipt) if receipt else ([], 0.0, 0)
    sheets = Path(anatomy.__file__).parent / "page.css", _FOLDER / "receipt.css"
    return (
        environment(_FOLDER)
        .get_template("receipt.html")
        .render(
            name=opened.name,
            value=receipt.value if receipt else gradient.at if gradient else 0.0,
            network=opened.seen.graph.name,
            photo=_photo(receipt) if receipt else None,
            rows=rows,
            rest=rest,
            more=more,
            lines=list(receipt_lines(receipt)) if receipt else [],
            gradient=gradient,
            turned=_turned(gradient) if gradient else None,
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


def _rows(receipt: Receipt) -> tuple[list[Row], float, int]:
    """The channels that add most, where a filter lies on a picture; the sum of the others, and how many they are."""
    unit = receipt.unit
    if not isinstance(receipt.op, (Conv, ConvTranspose)) or unit.cells[0].ndim != 3:
        return [], 0.0, 0
    if max(unit.cells[0].shape[1:]) > LARGEST_GRID:
        return [], 0.0, 0
    sums = receipt.products[0].sum((1, 2))
    order = np.argsort(-np.abs(sums))
    rows = []
    for channel in order[:SHOWN]:
        inside = unit.cells[0][channel] >= 0
        place = int(unit.cells[0][channel].max()) // int(np.prod(receipt.shapes[0][1:]))
        name = f"{receipt.reads[0]}[{place}]"
        patch, filters = unit.patches[0][channel], unit.slopes[0][channel]
        rows.append(_row(name, patch, filters, float(sums[channel]), inside=inside))
    return rows, float(sums[order[SHOWN:]].sum()), len(order[SHOWN:])


def _turned(gradient: Gradient) -> Row | None:
    """The gradients where a filter met the value, times that filter turned round; in dashed frames."""
    found = turned(gradient)
    if found is None or max(found[1].shape) > LARGEST_GRID:
        return None
    name, met, filters = found
    return _row(name, met, filters, float((met * filters).sum()), dashed=True)


def _row(
    name: str,
    patch: np.ndarray,
    filters: np.ndarray,
    value: float,
    *,
    inside: np.ndarray | None = None,
    dashed: bool = False,
) -> Row:
    from markupsafe import Markup

    drawn = (
        grid(patch, f"what is met at {name}", inside=inside, dashed=dashed),
        grid(filters, f"the filter at {name}", scale="parameters"),
        grid(patch * filters, f"the products at {name}", dashed=dashed),
    )
    return Row(name, value, *map(Markup, drawn))


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
