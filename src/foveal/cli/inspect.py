"""``foveal inspect``."""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from foveal.anatomy import Anatomy, Row
    from foveal.anatomy.diff import Pair
    from foveal.graph import Graph

FORMATS = ("table", "json", "csv", "markdown", "svg", "html")
_FORMATS_OF = {
    **dict.fromkeys(("--vs", "--at", "--explain", "--batch", "--fit"), ("table", "json")),
    "--lattice": ("table", "svg"),
    "--sort": ("table", "json", "csv", "markdown"),
    "--depth": ("table", "json", "csv", "markdown", "svg"),
}


def inspect(
    model: Annotated[
        str, typer.Argument(help="A zoo name, notation, .json, .onnx, a bundle, module:factory or file.py:factory.")
    ],
    input: Annotated[str | None, typer.Option(help="The input's shape: 3x224x224, or 224x224x3.")] = None,
    format: Annotated[str, typer.Option(help=", ".join(FORMATS) + ".")] = "table",
    out: Annotated[Path | None, typer.Option(help="The file to write.", show_default="stdout")] = None,
    depth: Annotated[int | None, typer.Option(min=1, help="Fold levels of names below this.")] = None,
    sort: Annotated[str | None, typer.Option(help="A column: parameters, macs, other_ops, ...")] = None,
    by: Annotated[str, typer.Option(help="macs or parameters: what the bars are shares of.")] = "macs",
    explain: Annotated[bool, typer.Option("--explain", help="Print each number's arithmetic.")] = False,
    versus: Annotated[str | None, typer.Option("--vs", help="Another network to compare with.")] = None,
    at: Annotated[str | None, typer.Option(help="What one unit sees: NODE\\[y,x].")] = None,
    on: Annotated[Path | None, typer.Option(help="With --at: draw it on this photo, into --out.")] = None,
    lattice: Annotated[str | None, typer.Option(help="Draw (SVG) how the field of this node grows.")] = None,
    batch: Annotated[int | None, typer.Option(min=1, help="Memory for this many images.")] = None,
    optimizer: Annotated[str, typer.Option(help="sgd, momentum, adam, ...: for the memory.")] = "adam",
    precision: Annotated[str, typer.Option(help="float32 or bf16: for the memory.")] = "float32",
    fit: Annotated[str | None, typer.Option(help="The largest batch that trains in, say, 8GiB.")] = None,
) -> None:
    """Count a network: shapes, parameters, MACs, memory, receptive fields, and why."""
    from foveal.cli.show import deliver, foreign_code, terminal_width
    from foveal.errors import UsageError
    from foveal.networks import inspect as count
    from foveal.shapes import read_shape

    if format not in FORMATS:
        raise UsageError(f"--format {format!r:.40}; expected one of {', '.join(FORMATS)}")
    if by not in ("macs", "parameters"):
        raise UsageError(f"--by {by!r:.40}; expected macs or parameters")
    if on and not (at and out):
        raise UsageError("--on draws one unit's field on a photo: give --at NODE[y,x] and --out picture.png, too")
    asked = {"--vs": versus, "--at": at, "--lattice": lattice, "--explain": explain, "--sort": sort, "--depth": depth}
    _refuse_idle(format, [name for name, value in (asked | {"--batch": batch, "--fit": fit}).items() if value])
    shape = read_shape(input) if input else None
    with foreign_code():
        anatomy = count(model, shape)
        other = count(versus, shape) if versus else None
    if other:
        deliver(_difference(anatomy, other, format), out)
    elif at:
        _at(anatomy.graph, at, on, format, out)
    elif lattice:
        from foveal.anatomy.sight_drawing import lattice_svg

        deliver(lattice_svg(anatomy.graph, lattice), out)
    else:
        rows = _rows(anatomy, depth, sort)
        memory = _memory(anatomy, batch, optimizer, precision, fit)
        width = None if out else terminal_width()
        deliver(_rendered(anatomy, rows, memory, format, explain, depth, by, width), out)


def _refuse_idle(format: str, asked: list[str]) -> None:
    """UsageError for an option that would have no effect, since another or the format leaves it out."""
    from foveal.errors import UsageError

    if len(answers := [name for name in asked if name in ("--vs", "--at", "--lattice")]) > 1:
        raise UsageError(f"{' and '.join(answers)}: each gives an answer of its own; ask for one at a time")
    for name in asked:
        if format not in _FORMATS_OF[name]:
            raise UsageError(f"{name} does not go with --format {format}; take {' or '.join(_FORMATS_OF[name])}")


def _rows(anatomy: Anatomy, depth: int | None, sort: str | None) -> Sequence[Row]:
    from foveal.anatomy import fold
    from foveal.anatomy.table import SORTABLE, sort_rows
    from foveal.errors import UnknownName

    if sort is not None and sort not in SORTABLE:
        raise UnknownName("column", sort, SORTABLE)
    rows = anatomy.rows if depth is None else fold(anatomy, depth)
    return rows if sort is None else sort_rows(rows, sort)


def _rendered(
    anatomy: Anatomy,
    rows: Sequence[Row],
    memory: dict[str, Any],
    format: str,
    explain: bool,
    depth: int | None,
    by: str,
    width: int | None,
) -> str:
    from foveal.anatomy.table import csv_table, markdown_table

    if format == "json":
        data = anatomy.to_json() | {"rows": [row.to_json() for row in rows]}
        formulas = {"formulas": dict(_formulas(anatomy))} if explain else {}
        return json.dumps(data | ({"memory": memory} if memory else {}) | formulas)
    if format == "csv":
        return csv_table(rows)
    if format == "markdown":
        return markdown_table(anatomy, rows)
    if format == "svg":
        from foveal.anatomy.drawing import draw

        return draw(anatomy, by=by, depth=depth)
    if format == "html":
        from foveal.anatomy.page import page

        return page(anatomy)
    return "\n".join(_table(anatomy, rows, memory, explain, by, width))


def _table(
    anatomy: Anatomy, rows: Sequence[Row], memory: dict[str, Any], explain: bool, by: str, width: int | None
) -> Iterator[str]:
    from foveal.anatomy.table import aligned, table_lines
    from foveal.shapes import text

    formulas = dict(_formulas(anatomy)) if explain else {}
    yield f"{anatomy.graph.name}, input {text(anatomy.graph.input_shape)}"
    lines, left_out = aligned(table_lines(anatomy, rows, by), width)
    yield lines[0]
    for row, line in zip(rows, lines[1:-1], strict=True):
        yield line
        yield from (f"    {formula}" for formula in formulas.get(row.name, ()))
    yield lines[-1]
    missing = [f"(no room for {', '.join(left_out)}: widen the window, or see --format html or csv)"] * bool(left_out)
    for line in (*missing, "", *_remarks(anatomy, memory)):
        yield line if width is None else textwrap.fill(line, width, subsequent_indent=" " * 9)


def _remarks(anatomy: Anatomy, memory: dict[str, Any]) -> Iterator[str]:
    yield from _totals(anatomy)
    yield from (f"{key}: {value}" for key, value in _said(memory))
    for warning in anatomy.warnings:
        if warning.kind != "opaque" or not anatomy.notes:  # the reader's notes say it, and why
            yield f"warning  {warning.node}: {warning.text}"
    yield from (f"note     {note}" for note in anatomy.notes)


def _formulas(anatomy: Anatomy) -> Iterator[tuple[str, list[str]]]:
    from foveal.anatomy.explain import explain
    from foveal.anatomy.sight import lattices

    seen = lattices(anatomy.graph)
    for node in anatomy.graph.nodes:
        yield node.name, [str(formula) for formula in explain(anatomy.graph, node, seen)]


def _totals(anatomy: Anatomy) -> Iterator[str]:
    from foveal.anatomy.memory import inference
    from foveal.anatomy.table import four_digits, size_text
    from foveal.text import plural

    totals = anatomy.totals
    frozen = f", {totals.frozen:,} of them frozen" if totals.frozen else ""
    yield f"parameters: {totals.parameters:,}{frozen}; buffers: {totals.buffers:,}"
    missing = f"; not counted: the work of {plural(totals.opaque, 'opaque step')}" if totals.opaque else ""
    work = f"{totals.macs:,} MACs ({four_digits(2 * totals.macs)} FLOPs), {totals.other_ops:,} other"
    yield f"work for one image: {work}{missing}"
    yield "on disk: " + ", ".join(f"{name} {size_text(size)}" for name, size in totals.bytes_on_disk.items())
    run = inference(anatomy.graph)
    peak = f"{size_text(run.activations)} activations at {run.node}"
    yield f"memory to run one image: {size_text(run.total)}, of it {peak}"


def _memory(
    anatomy: Anatomy, batch: int | None, optimizer: str, precision: str, fit: str | None
) -> dict[str, dict[str, Any]]:
    from foveal.anatomy.memory import inference, largest_batch, read_bytes, training

    found: dict[str, dict[str, Any]] = {}
    graph, settings = anatomy.graph, {"optimizer": optimizer, "precision": precision}
    if batch is not None:
        run, step = inference(graph, batch, precision), training(graph, batch, optimizer, precision)
        found["inference"] = {"batch": batch, "precision": precision, "bytes": run.to_json()}
        found["training"] = {"batch": batch, **settings, "bytes": step.to_json()}
    if fit is not None:
        budget = read_bytes(fit)
        batch = largest_batch(graph, budget, optimizer, precision)
        found["fit"] = {"budget": budget, **settings, "batch": batch}
    return found


def _said(memory: dict[str, dict[str, Any]]) -> Iterator[tuple[str, str]]:
    from foveal.anatomy.table import size_text
    from foveal.text import plural

    if run := memory.get("inference"):
        used = run["bytes"]
        what = f"memory to run {plural(run['batch'], 'image')} ({run['precision']})"
        yield what, f"{size_text(used['total'])}, of it {size_text(used['activations'])} activations at {used['node']}"
    if step := memory.get("training"):
        used = step["bytes"]
        parts = ", ".join(f"{size_text(used[key])} {key}" for key in ("weights", "optimizer", "gradients", "saved"))
        what = f"memory to train on {plural(step['batch'], 'image')} ({step['optimizer']}, {step['precision']})"
        yield what, f"{size_text(used['total'])} at {used['node']}; {parts}"
    if fit := memory.get("fit"):
        yield (
            f"largest batch in {size_text(fit['budget'])} ({fit['optimizer']}, {fit['precision']})",
            f"{fit['batch']:,}",
        )


def _difference(a: Anatomy, b: Anatomy, format: str) -> str:
    from foveal.anatomy.diff import compare
    from foveal.text import plural

    found = compare(a, b)
    if format == "json":
        return json.dumps(found.to_json())
    names = a.graph.name, b.graph.name
    if names[0] == names[1]:
        names = f"{names[0]} (first)", f"{names[1]} (second)"
    different = len(found.different)
    lines = [f"{names[0]} against {names[1]}: {different} of {plural(len(found.pairs), 'row')} differ"]
    lines += [line for pair in found.different for line in _pair_lines(pair, names)]
    lines += [
        f"{key}: {left:,} | {right:,}" + (" (the same)" if left == right else "")
        for key, (left, right) in found.totals.items()
    ]
    return "\n".join(lines)


def _pair_lines(pair: Pair, names: tuple[str, str]) -> Iterator[str]:
    row = pair.a or pair.b
    assert row
    if not (pair.a and pair.b):
        yield f"{row.name} ({row.op}, {row.parameters:,} parameters): only in {names[pair.a is None]}"
        return
    name = row.name if pair.a.name == pair.b.name else f"{pair.a.name} | {pair.b.name}"
    changes = [f"{key} {_shown(key, left)} | {_shown(key, right)}" for key, (left, right) in pair.changes.items()]
    yield f"{name}: {', '.join(changes)}"


def _shown(key: str, value: Any) -> str:
    from foveal.shapes import text

    if key == "output_shape":
        return text(value)
    return f"{value:,}" if type(value) is int else str(value)


def _at(graph: Graph, unit: str, photo: Path | None, format: str, target: Path | None) -> None:
    from foveal.anatomy import sight, sight_drawing
    from foveal.anatomy.explain import AXES
    from foveal.cli.pictures import save_png
    from foveal.cli.show import deliver
    from foveal.errors import UsageError

    matched = re.fullmatch(r"([A-Za-z0-9_.]+)\[(\d{1,18}(?:,\s*\d{1,18})*)\]", unit)
    if not matched:
        raise UsageError(f"--at {unit!r:.80}; expected a node and a position, such as conv1[4,7]")
    node, index = matched[1], tuple(int(n) for n in matched[2].split(","))
    box = sight.box(graph, node, index)
    if photo:
        from foveal.data.decode import decode_image

        assert target
        save_png(sight_drawing.draw_on(decode_image(photo), graph, node, index), target)
    elif format == "json":
        deliver(json.dumps({"node": node, "index": index, "axes": [asdict(span) for span in box]}), target)
    else:
        deliver("\n".join(f"{axis}: {span}" for axis, span in zip(AXES[len(box)], box, strict=True)), target)
