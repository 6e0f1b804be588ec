"""The catalogue as text: for a terminal, Markdown, a spreadsheet."""

from __future__ import annotations

import csv
import io
import textwrap
from collections.abc import Sequence

from foveal.anatomy.table import aligned, four_digits
from foveal.catalogue.rows import Entry
from foveal.shapes import text
from foveal.text import markdown

_HEAD = ("name", "year", "paper", "input", "parameters", "MACs", "field", "weights", "top-1", "images/s")
_LONGEST = 24  # characters of the authors
_LEFT = (0, 2, 3, 6, 7)
_SPARE = (3, 7, 2, 6, 8)  # columns that a narrow terminal does without, the first to go first


def text_table(entries: Sequence[Entry], width: int | None = None) -> tuple[list[str], list[str]]:
    """Aligned lines with a head, and the heads of the columns left out for the lines to fit `width`."""
    return aligned(table_lines(entries), width, left=_LEFT, spare=_SPARE)


def table_lines(entries: Sequence[Entry]) -> list[list[str]]:
    """Cells of the table, a list a line; the column of speeds only where one was measured."""
    lines = [list(_HEAD), *(_cells(entry) for entry in entries)]
    measured = any(entry.images_per_second is not None for entry in entries)
    return lines if measured else [line[:-1] for line in lines]


def _cells(entry: Entry) -> list[str]:
    return [
        entry.name,
        str(entry.year),
        textwrap.shorten(entry.paper, _LONGEST, placeholder=" ..."),
        text(entry.input_shape),
        f"{entry.parameters:,}",
        four_digits(entry.macs),
        entry.field.text(),
        ", ".join(entry.weights),
        "" if entry.accuracy is None else f"{entry.accuracy:.1f}",
        "" if entry.images_per_second is None else rate(entry.images_per_second),
    ]


def rate(images_per_second: float) -> str:
    """A speed to three significant digits.

    >>> rate(1234.5), rate(3.14159)
    ('1,230', '3.14')
    """
    return f"{float(f'{images_per_second:.3g}'):,g}"


def markdown_table(entries: Sequence[Entry]) -> str:
    """The table as GitHub's Markdown."""
    head, *lines = table_lines(entries)
    ruler = ["---" if i in _LEFT else "---:" for i in range(len(head))]
    escaped = [[markdown(cell) if i == 2 else cell for i, cell in enumerate(line)] for line in lines]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in (head, ruler, *escaped))


def csv_table(entries: Sequence[Entry]) -> str:
    """The entries with full figures; sizes per axis of one field are joined by ``x``."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow([
        "name", "family", "year", "paper", "input_shape", "parameters", "macs", "field", "weights", "accuracy",
        "images_per_second",
    ])  # fmt: skip
    for entry in entries:
        writer.writerow([
            entry.name, entry.family, entry.year, entry.paper, text(entry.input_shape), entry.parameters, entry.macs,
            entry.field.text(), " ".join(entry.weights), entry.accuracy, entry.images_per_second,
        ])  # fmt: skip
    return buffer.getvalue().rstrip("\n")
