"""A small layer as the matrix it is, each weight under its own letter, so that one sees which are shared."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from foveal.colors import diverging
from foveal.errors import UsageError
from foveal.ops import Conv, ConvTranspose, Dense, Op
from foveal.reference import as_matrix
from foveal.shapes import Shape, text
from foveal.svg import label, picture, tag
from foveal.teaching.matrices import place
from foveal.text import plural

MOST_TEXT, MOST_DRAWN = 64, 256
"""Rows and columns, at most, of a matrix that is written out, and of one that is drawn."""

MOST_LETTERS = 64
"""Rows and columns, at most, of a drawing whose cells bear their letters."""


def weight_numbers(op: Op, x: Shape, *, most: int = MOST_DRAWN) -> npt.NDArray[np.int64]:
    """Which weight stands where in the layer's matrix: its number, counted from 1 through the weight array; 0 for none.

    Parameters
    ----------
    x : the shape of the layer's input, channels first.
    most : rows and columns.

    Returns
    -------
    (output values, input values), both in the order channel, row, column.

    Raises
    ------
    UsageError : a layer without a matrix, or one with more rows or columns. ShapeError : it does not take `x`.

    >>> weight_numbers(Conv(1, 2, bias=False), (1, 3))
    array([[1, 2, 0],
           [0, 1, 2]])
    """
    if not isinstance(op, (Conv, ConvTranspose, Dense)):
        raise UsageError(f"{type(op).__name__} is no product with a matrix; take conv, deconv or dense")
    rows, columns = math.prod(op.output_shape(x)), math.prod(x)
    if max(rows, columns) > most:
        raise UsageError(
            f"the matrix of this layer has {rows:,} x {columns:,} entries; up to {most} x {most} can be seen: take a "
            "smaller input and fewer filters, such as --input 5x5x1 --filters 1"
        )
    shape = op.parameters(x)["weight"]
    return np.rint(as_matrix(op, x, np.arange(1.0, 1 + math.prod(shape)).reshape(shape))).astype(np.int64)


def letters(number: int) -> str:
    """The name of the weight `number`: a to z, then aa, ab, ... as columns of spreadsheets go on.

    >>> [letters(n) for n in (1, 26, 27, 703)]
    ['a', 'z', 'aa', 'aaa']
    """
    name = ""
    while number:
        number, digit = divmod(number - 1, 26)
        name = chr(ord("a") + digit) + name
    return name


def matrix_text(op: Op, x: Shape) -> Iterator[str]:
    """The weights with their letters, then the matrix: a row an output value, a column an input value, ``.`` for 0."""
    numbers = weight_numbers(op, x, most=MOST_TEXT)
    yield from _heading(op, x, numbers)
    yield from _weights(op, x)
    width = len(letters(int(numbers.max())))
    rows = [place("y", at) for at in np.ndindex(op.output_shape(x))]
    indent = max(map(len, rows)) + 3
    every = x[-1] if len(x) > 1 else len(numbers[0])  # a gap after each row of the input
    yield f"{'':{indent}} columns: {place('x', [0] * len(x))} to {place('x', [n - 1 for n in x])}"
    for name, row in zip(rows, numbers, strict=True):
        cells = [(letters(int(n)) or ".").rjust(width) for n in row]
        parts = [" ".join(cells[i : i + every]) for i in range(0, len(cells), every)]
        yield f"  {name:{indent - 2}} {'  '.join(parts)}"


def matrix_drawing(op: Op, x: Shape) -> str:
    """The same as an SVG, a colour for each weight; lines between the rows and channels of the maps."""
    numbers = weight_numbers(op, x)
    rows, columns = numbers.shape
    lettered = max(rows, columns) <= MOST_LETTERS
    side = 20 if lettered else 5
    count = int(numbers.max())
    parts = [tag("rect", width=columns * side, height=rows * side, fill="#f7f7f7")]
    for (i, j), number in np.ndenumerate(numbers):
        if number:
            colour, ink = _colour(int(number), count)
            parts.append(tag("rect", x=j * side, y=i * side, width=side, height=side, fill=colour))
            if lettered:
                style = {"class_": "cell", "fill": ink, "text_anchor": "middle", "font_size": 11}
                parts.append(label((j + 0.5) * side, (i + 0.7) * side, letters(int(number)), **style))
    parts += _lines(rows, op.output_shape(x), side, columns * side, along="x")
    parts += _lines(columns, x, side, rows * side, along="y")
    return picture(
        columns * side,
        rows * side,
        f"{text(x)} -> {text(op.output_shape(x))} as a matrix",
        parts,
        xmlns="http://www.w3.org/2000/svg",
    )


def _heading(op: Op, x: Shape, numbers: npt.NDArray[np.int64]) -> Iterator[str]:
    filled, weights = int(np.count_nonzero(numbers)), len(np.unique(numbers[numbers > 0]))
    rows, columns = numbers.shape
    yield f"{text(x)} -> {text(op.output_shape(x))}: a matrix of {rows} x {columns}, times the input in one column"
    share = f"they share {plural(weights, 'weight')}" if weights < filled else "each has a weight of its own"
    yield f"{filled:,} of its {numbers.size:,} entries are connections, the others 0; {share}"
    if "bias" in op.parameters(x):
        yield "the biases are added to the product and are not part of it"


def _weights(op: Op, x: Shape) -> Iterator[str]:
    """The weight array, each two-dimensional part of it with its letters."""
    shape = op.parameters(x)["weight"]
    if isinstance(op, Dense):
        return
    numbers = np.arange(1, 1 + math.prod(shape)).reshape(shape)
    width = len(letters(numbers.size))
    for at in np.ndindex(shape[:2]):
        part = numbers[at].reshape(-1, shape[-1])
        for i, row in enumerate(part):
            name = f"w[{at[0]},{at[1]}]" if i == 0 else ""
            yield f"  {name:8} {' '.join(letters(int(n)).rjust(width) for n in row)}"


def _colour(number: int, count: int) -> tuple[str, str]:
    """Of a weight and of the ink upon it: from first to last along the scale of parameters, leaving out its middle."""
    at = 2 * (number - 0.5) / count - 1
    colour = diverging(np.copysign(0.25 + 0.75 * abs(at), at), "parameters")
    dark = float(colour @ [0.299, 0.587, 0.114]) < 130
    return "#{:02x}{:02x}{:02x}".format(*colour), "#ffffff" if dark else "#1b1f24"


def _lines(cells: int, shape: Shape, side: int, length: int, *, along: str) -> Iterator[str]:
    """Between the rows of a map thin lines, between its channels thick ones."""
    if len(shape) == 1:
        return
    other = "y" if along == "x" else "x"
    for at in range(shape[-1], cells, shape[-1]):
        thick = at % math.prod(shape[1:]) == 0
        ends = {f"{along}1": 0, f"{along}2": length, f"{other}1": at * side, f"{other}2": at * side}
        yield tag("line", stroke="#1b1f24" if thick else "#9aa1a9", stroke_width=2 if thick else 0.7, **ends)
