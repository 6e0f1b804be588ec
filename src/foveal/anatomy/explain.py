"""The arithmetic behind each number of a row, with the numbers in it.

Every `Formula` can be evaluated: drop the words, read ``x`` as times, and its left side gives its value.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from foveal import ops
from foveal.anatomy.rows import FLOAT32
from foveal.anatomy.warnings import WINDOWED, Windowed
from foveal.fields import Field, Lattice
from foveal.graph import Graph, Node
from foveal.shapes import Shape, per_axis, resolve_padding, window

AXES = {1: ("length",), 2: ("height", "width"), 3: ("depth", "height", "width")}


@dataclass(frozen=True)
class Formula:
    """One number's arithmetic.

    Attributes
    ----------
    what : the number's name: ``"parameters"``, ``"height"``, ``"field"``...
    text : the calculation, e.g. ``"16 filters x (3 x 3 x 3 weights + 1 bias)"``.
    value : what it comes to.
    """

    what: str
    text: str
    value: int

    def __str__(self) -> str:
        return f"{self.what}: {self.text} = {self.value:,}"


def explain(graph: Graph, node: Node, seen: Mapping[str, Field]) -> list[Formula]:
    """The formulas behind `node`'s row; `seen` is what `foveal.anatomy.sight.lattices` gives for `graph`."""
    xs, y = graph.input_shapes(node), graph.shapes[node.name]
    fields = tuple(seen[name] for name in node.inputs)
    return [*_shape(node.op, xs, y), *_weights(node, xs), *_work(node.op, xs, y), *_sight(node.op, xs, fields)]


def _shape(op: ops.Op, xs: tuple[Shape, ...], y: Shape) -> Iterator[Formula]:
    if isinstance(op, WINDOWED):
        yield from _each_axis(list(_slid(op, xs[0], y)))
    elif isinstance(op, ops.ConvTranspose):
        yield from _each_axis(list(_spread(op, xs[0], y)))
    elif isinstance(op, ops.Flatten):
        yield Formula("values", _times(*xs[0][1:], f"{xs[0][0]} channels"), y[0])
    elif isinstance(op, ops.Concat):
        yield Formula("channels", " + ".join(str(x[0]) for x in xs), y[0])
    elif isinstance(op, ops.PadChannels):
        yield Formula("channels", f"{op.before} + {xs[0][0]} + {op.after}", y[0])
    elif isinstance(op, ops.Maxout):
        yield Formula("channels", f"{xs[0][0]}/{op.pieces}", y[0])
    elif isinstance(op, ops.Upsample):
        scales = per_axis(op.scale, len(y) - 1)
        yield from _each_axis([(f"{n} x {by}", m) for n, by, m in zip(xs[0][1:], scales, y[1:], strict=True)])


def _slid(op: Windowed, x: Shape, y: Shape) -> Iterator[tuple[str, int]]:
    rank = len(x) - 1
    kernels, strides = per_axis(op.kernel_size, rank), per_axis(op.stride or op.kernel_size, rank)
    dilations = per_axis(getattr(op, "dilation", 1), rank)
    sides = resolve_padding(getattr(op, "padding", 0), x[1:], kernels, strides, dilations)
    for n, kernel, stride, dilation, pair, outputs in zip(
        x[1:], kernels, strides, dilations, sides, y[1:], strict=True
    ):
        reach = str(kernel) if dilation == 1 else f"({dilation}*({kernel} - 1) + 1)"
        room = f"({n}{_padding_text(*pair)} - {reach})"
        quotient = f"{room}/{stride}"
        spare = (n + sum(pair) - window(kernel, dilation)) % stride
        if spare:
            rounding = "ceil" if getattr(op, "ceil_mode", False) else "floor"
            quotient = f"{rounding}({quotient})"
            if rounding == "ceil" and outputs != -(-(n + sum(pair) - window(kernel, dilation)) // stride) + 1:
                yield f"{quotient} + 1 - 1 window beyond the input", outputs
                continue
        yield f"{quotient} + 1", outputs


def _spread(op: ops.ConvTranspose, x: Shape, y: Shape) -> Iterator[tuple[str, int]]:
    rank = len(x) - 1
    sizes = [per_axis(value, rank) for value in (op.kernel_size, op.stride, op.dilation)]
    for n, kernel, stride, dilation, (pair, extra), outputs in zip(x[1:], *sizes, op.cuts(x), y[1:], strict=True):
        reach = str(kernel) if dilation == 1 else f"{dilation}*({kernel} - 1) + 1"
        cut = f" - {pair[0]} - {pair[1]}" if any(pair) else ""
        yield f"({n} - 1)*{stride} + {reach}{cut}" + (f" + {extra}" if extra else ""), outputs


def _padding_text(before: int, after: int) -> str:
    if before == after:
        return f" + 2*{before}" if before else ""
    return f" + {before} + {after}"


def _each_axis(formulas: list[tuple[str, int]]) -> Iterator[Formula]:
    """One line where every axis has the same arithmetic, else one an axis."""
    if len(formulas) > 1 and len(set(formulas)) == 1:
        yield Formula(" and ".join(AXES[len(formulas)][-2:]) if len(formulas) == 2 else "each axis", *formulas[0])
        return
    for axis, formula in zip(AXES[len(formulas)], formulas, strict=True):
        yield Formula(axis, *formula)


def _weights(node: Node, xs: tuple[Shape, ...]) -> Iterator[Formula]:
    arrays, buffers = node.op.parameters(*xs), node.op.buffers(*xs)
    if node.weights_of:
        return
    if arrays:
        value = sum(math.prod(shape) for shape in arrays.values())
        yield Formula("parameters", _parameters_text(node.op, arrays), value)
    if buffers:
        value = sum(math.prod(shape) for shape in buffers.values())
        yield Formula("buffers", _buffers_text(node.op, buffers), value)


def _parameters_text(op: ops.Op, arrays: Mapping[str, Shape]) -> str:
    shape, bias = next(iter(arrays.values())), " + 1 bias" if "bias" in arrays else ""
    if isinstance(op, ops.Conv):
        return f"{plain(shape[0], 'filter')} x " + _bracket(f"{_times(*shape[2:], shape[1])} weights", bias)
    if isinstance(op, ops.ConvTranspose):
        weights = f"{shape[0]} channels x {_times(*shape[2:], shape[1])} weights"
        return weights + (f" + {arrays['bias'][0]} biases" if bias else "")
    if isinstance(op, ops.Dense):
        return f"{plain(shape[0], 'unit')} x " + _bracket(plain(shape[1], "weight"), bias)
    if isinstance(op, ops.Offset):
        return f"{_times(*shape[1:], shape[0])} values"
    if isinstance(op, ops.Opaque):
        return " + ".join(_times(*shape) for shape in arrays.values())
    return f"{len(arrays)} x {shape[0]} channels" if len(arrays) > 1 else f"{shape[0]} channels"


def _buffers_text(op: ops.Op, arrays: Mapping[str, Shape]) -> str:
    shape = next(iter(arrays.values()))
    if isinstance(op, ops.Rbf):
        return f"{plain(shape[0], 'point')} x {plain(shape[1], 'coordinate')}"
    return f"{len(arrays)} statistics x {shape[0]} channels"


def _bracket(weights: str, bias: str) -> str:
    return f"({weights}{bias})"


def _work(op: ops.Op, xs: tuple[Shape, ...], y: Shape) -> Iterator[Formula]:
    if macs := op.macs(*xs):
        weight = op.parameters(*xs)["weight"]
        if isinstance(op, ops.Conv):
            text = (
                f"{_times(*y[1:])} positions x {plain(weight[0], 'filter')} x {_times(*weight[2:], weight[1])} weights"
            )
        elif isinstance(op, ops.ConvTranspose):
            places = f"{_times(*xs[0][1:])} input positions x {weight[0]} channels"
            text = f"{places} x {_times(*weight[2:], weight[1])} weights"
        else:
            text = f"{plain(weight[0], 'unit')} x {plain(weight[1], 'weight')}"
        yield Formula("MACs", text, macs)
    if other := op.other_ops(*xs):
        values = math.prod(y)
        share, rest = divmod(other, values)
        text = f"{_times(*y[1:], y[0])} values x {share} each" if not rest else f"{other} elementary operations"
        if isinstance(op, ops.Rbf):
            (n,) = xs[0]
            text = f"{plain(y[0], 'point')} x ({n} differences + {n} squares + {n - 1} sums)"
        yield Formula("other operations", text, other)
    yield Formula("activation", f"{_times(*y[1:], y[0])} values x {FLOAT32} bytes", FLOAT32 * math.prod(y))


def _sight(op: ops.Op, xs: tuple[Shape, ...], fields: tuple[Field, ...]) -> Iterator[Formula]:
    """How the lattice widens, along the first axis on which it is one (and each that differs)."""
    if not isinstance(op, WINDOWED):
        return
    x = xs[0]
    rank = len(x) - 1
    kernels, strides = per_axis(op.kernel_size, rank), per_axis(op.stride or op.kernel_size, rank)
    dilations = per_axis(getattr(op, "dilation", 1), rank)
    sides = resolve_padding(getattr(op, "padding", 0), x[1:], kernels, strides, dilations)
    axes = list(zip(fields[0].axes, kernels, strides, dilations, sides, AXES[rank], strict=True))
    same = len({axis[:-1] for axis in axes}) == 1
    for axis, kernel, stride, dilation, (before, _), name in axes[:1] if same else axes:
        if not isinstance(axis, Lattice) or axis.kind != "lattice":
            continue
        where = "" if same else f" ({name})"
        gain = f"({kernel} - 1)*{axis.jump}" if dilation == 1 else f"{dilation}*({kernel} - 1)*{axis.jump}"
        grown = axis.size + dilation * (kernel - 1) * axis.jump
        yield Formula(f"field{where}", f"{axis.size} + {gain}", grown)
        yield Formula(f"jump{where}", f"{axis.jump} x {stride}", axis.jump * stride)
        yield Formula(f"start{where}", f"{axis.start} - {before}*{axis.jump}", axis.start - before * axis.jump)


def plain(count: int, noun: str) -> str:
    """``1 filter``, ``4096 weights``: without the commas that no calculator reads."""
    return f"{count} {noun}" + "s" * (count != 1)


def _times(*factors: int | str) -> str:
    return " x ".join(map(str, factors))
