"""Matrices of numbers as people write them: ``[[1, 2], [3, 4]]``, or rows in a text file."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from foveal.errors import DataError, UsageError
from foveal.reference.base import Array
from foveal.text import printable

MOST_BYTES = 2**20
"""Longest text that is read as a matrix."""

EXAMPLE = "[[0, 1], [2, 3]]"


def read_matrix(said: str) -> Array:
    """The matrix that `said` is, as JSON, or that stands in the file it names.

    Parameters
    ----------
    said : ``"[[1, 2], [3, 4]]"``, or the path of a file with that in it, or with a row a line, its numbers apart by
        commas, semicolons or spaces.

    Returns
    -------
    float64 (rows, columns)

    Raises
    ------
    DataError : no such file, or no matrix in it. UsageError : the same of a text given directly.

    >>> read_matrix("[[1, 2], [3, 4]]")
    array([[1., 2.],
           [3., 4.]])
    """
    if said.lstrip().startswith("["):
        return _matrix(_from_json(said, "the matrix", UsageError), "the matrix", UsageError)
    name, text = printable(said), _text(said)
    if text.lstrip().startswith("["):
        return _matrix(_from_json(text, name, DataError), name, DataError)
    rows = [re.split(r"\s*[,;]\s*|\s+", line.strip()) for line in text.splitlines() if line.strip()]
    return _matrix([[_number(cell, name) for cell in row] for row in rows], name, DataError)


def matrix_lines(matrix: Array, indent: int = 2) -> Iterator[str]:
    """`matrix` as text, its columns aligned.

    >>> list(matrix_lines(np.array([[1, -0.5], [10, 2]])))
    ['   1 -0.5', '  10    2']
    """
    cells = [[number(value) for value in row] for row in matrix]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for row in cells:
        yield " " * indent + " ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True))


def place(name: str, at: Sequence[int]) -> str:
    """A cell by its indices: ``y[0,1]``."""
    return f"{name}[{','.join(map(str, at))}]"


def number(value: float) -> str:
    """A value with six digits at most, and no minus before a zero."""
    return f"{value + 0.0:.6g}"


def _text(path: str) -> str:
    try:
        if Path(path).exists() and not Path(path).is_file():  # a pipe would be waited for
            raise DataError(f"{printable(path)}: not an ordinary file; expected one with a matrix, or {EXAMPLE}")
        with Path(path).open("rb") as file:
            data = file.read(MOST_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = printable(getattr(error, "strerror", None) or str(error))
        raise DataError(f"{printable(path)}: cannot be read ({reason}); expected a file, or {EXAMPLE}") from error
    if len(data) > MOST_BYTES:
        raise DataError(f"{printable(path)}: longer than {MOST_BYTES:,} bytes, which is no small matrix")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{printable(path)}: not a text file; expected rows of numbers, or {EXAMPLE}") from error


def _from_json(text: str, name: str, error: type[DataError | UsageError]) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as problem:
        raise error(
            f"{name}: {text!r:.60} is no list of rows of numbers; expected something like {EXAMPLE}"
        ) from problem


def _number(cell: str, name: str) -> float:
    try:
        return float(cell)
    except ValueError:
        raise DataError(f"{name}: {cell!r:.40} is no number; expected rows of numbers, or {EXAMPLE}") from None


def _matrix(rows: Any, name: str, error: type[DataError | UsageError]) -> Array:
    """`rows` checked: a list of rows of equal length, of finite numbers."""
    if not isinstance(rows, list) or not rows or not all(isinstance(row, list) and row for row in rows):
        raise error(f"{name}: expected a list of rows, each a list of numbers, such as {EXAMPLE}")
    lengths = [len(row) for row in rows]
    if len(set(lengths)) > 1:
        raise error(f"{name}: its rows have {min(lengths)} to {max(lengths)} numbers; expected as many in each")
    for value in (value for row in rows for value in row):
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not abs(value) <= 1e30:
            raise error(f"{name}: {value!r:.40} is no number to compute with; expected rows such as {EXAMPLE}")
    return np.array(rows, np.float64)
