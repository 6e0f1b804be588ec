"""Receipts in words: the arithmetic of one value, line by line, with its numbers in it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from foveal import ops
from foveal.explaining.receipt import Receipt, Term
from foveal.graph import Graph, Node
from foveal.notation import words
from foveal.ops import Op
from foveal.text import plural

SHOWN = 8
"""Terms that are printed one by one; the others are folded into one line, exactly."""


def receipt_lines(receipt: Receipt, shown: int = SHOWN) -> Iterator[str]:
    """What it sees and reads, the terms, the sum, PyTorch's answer, and what follows."""
    graph = receipt.seen.graph
    yield f"{receipt.name} of {graph.name}: {op_text(graph, graph.by_name[receipt.node])}"
    if receipt.box:
        axes = ("rows", "columns") if len(receipt.box) == 2 else [f"axis {i}" for i in range(len(receipt.box))]
        yield "sees " + ", ".join(f"{axis} {span}" for axis, span in zip(axes, receipt.box, strict=True))
    for source, cells in zip(receipt.unit.sources, receipt.unit.cells, strict=True):
        if cells.size > 1:
            padded = int((cells < 0).sum())
            extra = f", {padded:,} of them padding" if padded else ""
            yield f"reads {cells.size:,} values of {receipt.reads[source]}, {_sizes(cells)}{extra}"
    yield from _arithmetic(receipt, shown)
    difference = abs(receipt.value - receipt.torch)
    yield f"here {number(receipt.value)} | PyTorch {number(receipt.torch)} | difference {difference:.1g}"
    for later in receipt.after:
        yield f"then {later.name}: {in_a_line(later)}"


def op_text(graph: Graph, node: Node) -> str:
    """The node's operation in the words of the notation."""
    known = type(node.op) in words.BY_OP
    return words.write(node.op, graph.input_shapes(node)[0]) if known else type(node.op).__name__.lower()


def listed(terms: Sequence[Term], shown: int) -> Iterator[str]:
    """The first `shown` terms that are not 0, then a line for all others."""
    told, rest = parted(terms, shown)
    wide = max((len(term.what) for term in told), default=0)
    for term in told:
        counted = f"  (of {term.count:,} products)" if term.count > 1 else ""
        yield f"  {term.what:{wide}}  {term.value:+.7g}{counted}"
    if rest:
        yield f"  {f'{len(rest):,} more':{wide}}  {sum(term.value for term in rest):+.7g}"


def parted(terms: Sequence[Term], shown: int) -> tuple[Sequence[Term], Sequence[Term]]:
    """The terms to tell one by one, and the rest, which are never one alone."""
    count = min(sum(term.value != 0 for term in terms), shown)
    count += len(terms) - count == 1
    return terms[:count], terms[count:]


def number(value: float) -> str:
    return f"{value:.7g}"


def plus(value: float, what: str = "") -> str:
    """``+ bias 0.11`` or ``- bias 0.11``."""
    return f"{'-' if value < 0 else '+'} {what}{' ' if what else ''}{number(abs(value))}"


def in_a_line(receipt: Receipt) -> str:
    """The whole step in one line: a gate, a winner, a norm as the straight line that it is, a function of one value."""
    return _LINES.get(type(receipt.op), _function)(receipt)


def _sizes(cells: np.ndarray) -> str:
    return f"{plural(len(cells), 'channel')} of {' x '.join(map(str, cells.shape[1:]))}" if cells.ndim > 1 else "a row"


def _arithmetic(receipt: Receipt, shown: int) -> Iterator[str]:
    unit = receipt.unit
    if isinstance(receipt.op, (ops.Softmax, ops.LogSoftmax, ops.Rbf, ops.LpPool)):
        yield in_a_line(receipt)
        yield from listed(_shares(receipt), shown)
    elif type(receipt.op) in _LINES or not unit.affine:
        yield in_a_line(receipt)
    else:
        total, constant = receipt.value - unit.constant, unit.constant
        yield from listed(receipt.terms, shown)
        biased = "bias" in unit.arrays
        yield f"sum {number(total)}" + (f" {plus(constant, 'bias')} = {number(receipt.value)}" if biased else "")
        yield from _largest_channel(receipt)


def _largest_channel(receipt: Receipt) -> Iterator[str]:
    """Patch, filter and products of the channel that adds most, cell by cell, where a filter lies on a picture."""
    unit = receipt.unit
    if unit.cells[0].ndim != 3 or unit.cells[0][0].size < 2:
        return
    channel = int(np.abs(receipt.products[0].sum((1, 2))).argmax())
    inside = unit.cells[0][channel] >= 0
    grids = [array[0][channel] for array in (unit.patches, unit.slopes, receipt.products)]
    place = int(unit.cells[0][channel].max()) // math.prod(receipt.shapes[0][1:])
    yield f"{receipt.reads[0]}[{place}], the patch times the filter:"
    yield from times(grids, inside)


def times(grids: Sequence[np.ndarray], inside: np.ndarray | None = None) -> Iterator[str]:
    """Three matrices side by side, ``a x b = product``; cells of the first that are not `inside` are padding."""
    columns = [[[f"{x + 0.0:.4g}" for x in row] for row in grid] for grid in grids]
    for y, x in np.argwhere(~inside) if inside is not None else ():
        columns[0][y][x] = "pad"
    wide = [max(len(text) for row in column for text in row) for column in columns]
    for i, rows in enumerate(zip(*columns, strict=True)):
        signs = ("x", "=", "") if i == len(grids[0]) // 2 else ("", "", "")
        parts = (
            " ".join(text.rjust(width) for text in row) + f"  {sign:1}"
            for row, width, sign in zip(rows, wide, signs, strict=True)
        )
        yield "  " + "  ".join(parts).rstrip()


def _shares(receipt: Receipt) -> list[Term]:
    """What each value adds to a softmax's denominator, in parts of it; or to a sum of squares or other powers."""
    x, cells = receipt.unit.patches[0].ravel(), receipt.unit.cells[0].ravel()
    if isinstance(receipt.op, ops.Rbf):
        parts = (x - receipt.unit.arrays["weight"].ravel()) ** 2
    elif isinstance(receipt.op, ops.LpPool):
        parts = np.abs(x) ** receipt.op.p
    else:
        parts = np.exp(x - x.max())
        parts /= parts.sum()
    rows = zip(cells.tolist(), parts.tolist(), strict=True)
    terms = [Term(receipt.cell(0, cell), part) for cell, part in rows]
    return sorted(terms, key=lambda term: -term.value)


def _only(receipt: Receipt) -> float:
    """The value itself among those that are read."""
    unit = receipt.unit
    return float(unit.patches[0][unit.at])


def _gate(receipt: Receipt) -> str:
    slope = float(receipt.unit.slopes[0].flat[0])
    closed = "full" if receipt.value else "shut"
    gate = "open" if slope == 1 else closed if slope == 0 else f"slope {number(slope)}"
    return f"{_word(receipt.op)}({number(_only(receipt))}): {gate}, {number(receipt.value)}"


def _winner(receipt: Receipt) -> str:
    cells = receipt.unit.cells[0].ravel()
    winner = receipt.cell(0, int(cells[np.argmax(receipt.unit.slopes[0])]))
    return f"the largest of {cells.size} is {winner}, {number(receipt.value)}"


def _middle(receipt: Receipt) -> str:
    cells, slopes = receipt.unit.cells[0].ravel(), receipt.unit.slopes[0].ravel()
    chosen = " and ".join(receipt.cell(0, cell) for cell in cells[slopes > 0].tolist())
    return f"the middle of {cells.size} in order: {chosen}, {number(receipt.value)}"


def _copied(receipt: Receipt) -> str:
    source = receipt.cell(receipt.unit.sources[0], int(receipt.unit.cells[0].flat[0]))
    return f"{source} handed on, {number(receipt.value)}"


def _batch_norm(receipt: Receipt) -> str:
    unit, x = receipt.unit, number(_only(receipt))
    mean, var = (float(unit.arrays[key][0]) for key in ("running_mean", "running_var"))
    weight, bias = (float(unit.arrays.get(key, [rest])[0]) for key, rest in (("weight", 1.0), ("bias", 0.0)))
    eps = f"{receipt.op.eps:g}"  # type: ignore[attr-defined]  # a BatchNorm's
    line = f"{x} x {number(float(unit.slopes[0].flat[0]))} {plus(unit.constant)}"
    whole = f"({x} {plus(-mean)}) / sqrt({number(var)} + {eps}) x {number(weight)} {plus(bias)}"
    return f"{whole} = {line} = {number(receipt.value)}"


def _standardised(receipt: Receipt) -> str:
    patch, eps = receipt.unit.patches[0], f"{receipt.op.eps:g}"  # type: ignore[attr-defined]  # a LayerNorm's
    score = f"({number(_only(receipt))} {plus(-float(patch.mean()))}) / sqrt({number(float(patch.var()))} + {eps})"
    if "weight" not in receipt.unit.arrays:
        return f"{score} = {number(receipt.value)}"
    weight, bias = (float(receipt.unit.arrays[key][receipt.unit.at[0]]) for key in ("weight", "bias"))
    return f"{score} x {number(weight)} {plus(bias)} = {number(receipt.value)}"


def _response(receipt: Receipt) -> str:
    op = receipt.op
    assert isinstance(op, ops.LocalResponseNorm)
    squares = number(float((receipt.unit.patches[0] ** 2).sum()))
    below = f"({op.k:g} + {op.alpha:g}/{op.size} x {squares}) ** {op.beta:g}"
    return f"{number(_only(receipt))} / {below} = {number(receipt.value)}"


def _product(receipt: Receipt) -> str:
    return " x ".join(number(float(patch.flat[0])) for patch in receipt.unit.patches) + f" = {number(receipt.value)}"


def _straight(receipt: Receipt) -> str:
    """Factor, scale, offset."""
    slope, constant = float(receipt.unit.slopes[0].flat[0]), receipt.unit.constant
    times = "" if isinstance(receipt.op, ops.Offset) else f" x {number(slope)}"
    summand = f" {plus(constant)}" if "bias" in receipt.unit.arrays else ""
    return f"{number(_only(receipt))}{times}{summand} = {number(receipt.value)}"


def _softmax(receipt: Receipt) -> str:
    count = receipt.unit.patches[0].size
    own = f"exp({number(_only(receipt))})"
    return f"{own} out of the sum of {count:,} exponentials = {number(receipt.value)}; their shares:"


def _log_softmax(receipt: Receipt) -> str:
    x, count = receipt.unit.patches[0], receipt.unit.patches[0].size
    below = number(float(np.log(np.exp(x - x.max()).sum()) + x.max()))
    line = f"{number(_only(receipt))} - {below} = {number(receipt.value)}"
    return f"{line}, after the minus the logarithm of the sum of {count:,} exponentials; their shares:"


def _norm(receipt: Receipt) -> str:
    assert isinstance(receipt.op, ops.LpPool)
    total, p = number(float((np.abs(receipt.unit.patches[0]) ** receipt.op.p).sum())), f"{receipt.op.p:g}"
    line = f"{total} ** (1/{p}) = {number(receipt.value)}"
    return f"{line}, the root of the sum of {receipt.unit.patches[0].size:,} values to the power of {p}:"


def _distance(receipt: Receipt) -> str:
    return f"the sum of {receipt.unit.patches[0].size:,} squared differences = {number(receipt.value)}:"


def _function(receipt: Receipt) -> str:
    return f"{_word(receipt.op)}({number(_only(receipt))}) = {number(receipt.value)}"


def _word(op: Op) -> str:
    return type(op).__name__.lower()


_LINES: dict[type[Op], Callable[[Receipt], str]] = {
    **dict.fromkeys((ops.Relu, ops.Relu6, ops.LeakyRelu, ops.PRelu), _gate),
    **dict.fromkeys((ops.MaxPool, ops.GlobalMaxPool, ops.Maxout), _winner),
    ops.MedianPool: _middle,
    **dict.fromkeys(
        (
            ops.Identity, ops.Dropout, ops.Flatten, ops.Reshape, ops.Pad, ops.PadChannels, ops.Slice,
            ops.ChannelShuffle, ops.PixelShuffle, ops.Concat,
        ),
        _copied,
    ),
    ops.BatchNorm: _batch_norm,
    **dict.fromkeys((ops.LayerNorm, ops.GroupNorm), _standardised),
    ops.LocalResponseNorm: _response,
    ops.Multiply: _product,
    **dict.fromkeys((ops.Factor, ops.Scale, ops.Offset), _straight),
    ops.Softmax: _softmax,
    ops.LogSoftmax: _log_softmax,
    ops.LpPool: _norm,
    ops.Rbf: _distance,
}  # fmt: skip
