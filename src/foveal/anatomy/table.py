"""The rows of an anatomy as text: for a terminal, Markdown, a spreadsheet."""

from __future__ import annotations

import csv
import io
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

from foveal.notation import words
from foveal.ops import Opaque
from foveal.shapes import text
from foveal.text import csv_cell, markdown, plural, printable

if TYPE_CHECKING:
    from foveal.anatomy.rows import Anatomy, Row
    from foveal.graph import Graph

SORTABLE = ("name", "op", "parameters", "buffers", "macs", "other_ops", "activation_bytes")
_HEAD = ("name", "op", "output", "parameters", "MACs", "other", "activation", "field")
_LEFT = (0, 1, 2, 7, 8)
_SPARE = (6, 5, 8, 1, 7, 2)  # columns that a narrow terminal does without, the first to go first
_UNITS = ((10**12, " T"), (10**9, " G"), (10**6, " M"), (10**3, " K"))
_BYTES = ((2**40, " TiB"), (2**30, " GiB"), (2**20, " MiB"), (2**10, " KiB"))
_EIGHTHS = " ▏▎▍▌▋▊▉█"


def four_digits(value: int) -> str:
    """A count with four significant digits and its unit; below 10,000 in full.

    >>> four_digits(4089184256), four_digits(9216)
    ('4.089 G', '9,216')
    """
    return _scaled(value, _UNITS) if value >= 10_000 else f"{value:,}"


def size_text(size: int) -> str:
    """Bytes with four significant digits.

    >>> size_text(602112)
    '588 KiB'
    """
    return _scaled(size, _BYTES) if size >= 1024 else f"{size} B"


def _scaled(value: int, units: Sequence[tuple[int, str]]) -> str:
    unit, name = next((unit, name) for unit, name in units if value >= unit or unit == units[-1][0])
    return f"{value / unit:.4g}" + name if value / unit < 10_000 else f"{value // unit:,}" + name


def bar(share: float, width: int = 10) -> str:
    """A bar of `width` characters at most, in eighths of one.

    >>> bar(0.55)
    '█████▌'
    """
    eighths = round(share * width * 8)
    return ("█" * (eighths // 8) + _EIGHTHS[eighths % 8]).rstrip()


def sort_rows(rows: Sequence[Row], key: str) -> list[Row]:
    """`rows` by `key` of `SORTABLE`: numbers from the largest down, words by the alphabet."""
    return sorted(rows, key=lambda row: getattr(row, key), reverse=key not in ("name", "op"))


def table_lines(anatomy: Anatomy, rows: Sequence[Row], by: str = "macs") -> list[list[str]]:
    """Cells of the table, a list a line: the head, the rows with their share of all `by` as a bar, the totals."""
    total = getattr(anatomy.totals, by) or 1
    lines = [[*_HEAD, f"share of {'MACs' if by == 'macs' else by.replace('_', ' ')}"]]
    for row in rows:
        share = getattr(row, by) / total
        name, op, shape = printable(row.name), op_text(anatomy.graph, row), text(row.output_shape)
        counts = f"{row.parameters:,}", four_digits(row.macs), four_digits(row.other_ops)
        rest = size_text(row.activation_bytes), _field(row), f"{100 * share:4.1f} % {bar(share)}" if share else ""
        shown = ["" if count == "0" else count for count in counts]
        if _is_opaque(anatomy.graph, row):
            shown[1:] = "?", "?"
        lines.append([name, op, shape, *shown, *rest])
    totals = anatomy.totals
    lines.append([
        "total", plural(totals.nodes, "node"), "", f"{totals.parameters:,}", four_digits(totals.macs),
        four_digits(totals.other_ops), size_text(totals.activation_bytes), "", "",
    ])  # fmt: skip
    return lines


def op_text(graph: Graph, row: Row) -> str:
    """What a row does, in the words of the notation: ``conv 64 7x7 /2 p3``."""
    node = graph.by_name.get(row.name)
    if node is None:
        return row.op
    if isinstance(node.op, Opaque):
        return printable(node.op.label, limit=30)
    return words.write(node.op, graph.input_shapes(node)[0]) if type(node.op) in words.BY_OP else row.op.lower()


def _is_opaque(graph: Graph, row: Row) -> bool:
    return row.name in graph.by_name and isinstance(graph.by_name[row.name].op, Opaque)


def _field(row: Row) -> str:
    return row.receptive_field.text() + (f" ({row.local_field.text()})" if row.local_field else "")


def markdown_table(anatomy: Anatomy, rows: Sequence[Row]) -> str:
    """The table as GitHub's Markdown, without the bars."""
    head, *lines = (line[:-1] for line in table_lines(anatomy, rows))
    ruler = ["---", "---", "---", *("---:",) * 4, "---"]
    escaped = [[markdown(cell) if i < 2 else cell for i, cell in enumerate(line)] for line in lines]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in (head, ruler, *escaped))


def csv_table(rows: Sequence[Row]) -> str:
    """The rows with full figures; sizes per axis of one field are joined by ``x``."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    counts = ("parameters", "frozen", "buffers", "macs", "other_ops", "activation_bytes")
    writer.writerow(["name", "op", "inputs", "output_shape", *counts, "field_size", "field_jump", "field_start"])
    for row in rows:
        field = row.receptive_field.to_json()
        writer.writerow([
            csv_cell(row.name), csv_cell(row.op), csv_cell(" ".join(row.inputs)), text(row.output_shape),
            *(getattr(row, key) for key in counts),
            *("x".join("" if n is None else str(n) for n in field[key]) for key in ("size", "jump", "start")),
        ])  # fmt: skip
    return buffer.getvalue().rstrip("\n")


def aligned(
    lines: Sequence[Sequence[str]],
    width: int | None = None,
    *,
    left: Collection[int] = _LEFT,
    spare: Sequence[int] = _SPARE,
) -> tuple[list[str], list[str]]:
    """The cells under one another, and the heads of the columns left out for the lines to fit `width`.

    Parameters
    ----------
    left : the columns of words, which stand to the left; numbers stand to the right.
    spare : the columns that may be left out, the first to go first.
    """
    widths = [max(len(cell) for cell in column) for column in zip(*lines, strict=True)]
    kept = list(range(len(widths)))
    for column in spare:
        if width is not None and sum(widths[i] + 2 for i in kept) - 2 > width:
            kept.remove(column)
    fitted = [
        "  ".join(line[i].ljust(widths[i]) if i in left else line[i].rjust(widths[i]) for i in kept).rstrip()
        for line in lines
    ]
    return fitted, [head for i, head in enumerate(lines[0]) if i not in kept]
