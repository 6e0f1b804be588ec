"""What a teacher would point at in a network: nothing here is an error, each remark says what it costs."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

from foveal import ops
from foveal.fields import Field, Lattice
from foveal.graph import INPUT, Graph, Node
from foveal.shapes import Shape, per_axis, resolve_padding, text, window
from foveal.text import plural, printable

Windowed = ops.Conv | ops.MaxPool | ops.AvgPool | ops.LpPool | ops.MedianPool
WINDOWED = (ops.Conv, ops.MaxPool, ops.AvgPool, ops.LpPool, ops.MedianPool)
_AXES = {1: ("positions",), 2: ("rows", "columns"), 3: ("planes", "rows", "columns")}
_MOST = 0.5  # share of all parameters that is worth a remark


@dataclass(frozen=True)
class Warning:
    """One remark.

    Attributes
    ----------
    kind : a short name for the remark, the same for every network: ``"unread-cells"``.
    node : the node it is about.
    text : what is the case, with its numbers, and what would change it.
    """

    kind: str
    node: str
    text: str

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def find_warnings(graph: Graph, seen: Mapping[str, Field]) -> list[Warning]:
    """Every remark about `graph`, in the order of its nodes; `seen` is what `foveal.anatomy.sight.lattices` gives."""
    readers: dict[str, list[Node]] = {name: [] for name in graph.shapes}
    for node in graph.nodes:
        for name in node.inputs:
            readers[name].append(node)
    needed = {node.name for node in graph.up_to(*graph.outputs).nodes}
    parameters = sum(math.prod(shape) for shape in graph.parameters().values())
    found = [*_unread_cells(INPUT, graph.input_shape, readers[INPUT])]
    for node in graph.nodes:
        xs = graph.input_shapes(node)
        if node.name not in needed:
            found.append(Warning("unread-node", node.name, "no output depends on it; drop it, or read it somewhere"))
        if node.name not in graph.outputs:
            found += _unread_cells(node.name, graph.shapes[node.name], readers[node.name])
        found += _even_same(node)
        found += _checkerboard(node, xs)
        found += _misaligned(node, tuple(seen[name] for name in node.inputs))
        found += _heavy(node, graph, parameters)
        found += _narrow(node, graph, seen, readers)
        found += _opaque(node)
    return found


def _unread_cells(name: str, shape: Shape, readers: list[Node]) -> Iterator[Warning]:
    """Cells at the end of an axis, or between windows, that no reader's window covers."""
    windows = [node.op for node in readers if isinstance(node.op, WINDOWED)]
    if not windows or len(windows) < len(readers):
        return
    tails: dict[tuple[int, int], list[str]] = {}
    gaps: dict[tuple[int, int], list[str]] = {}
    for axis, (cells, noun) in enumerate(zip(shape[1:], _AXES[len(shape) - 1], strict=True)):
        reaches = [_reach(op, shape, axis) for op in windows]
        end = max(reach.end for reach in reaches)
        gap = min(reach.gap for reach in reaches) if len({reach.grid for reach in reaches}) == 1 else 0
        if cells - end > gap:
            tails.setdefault((end, cells - 1), []).append(noun)
        if gap:
            gaps.setdefault((gap, reaches[0].grid[0]), []).append(noun)
    nodes = " and ".join(node.name for node in readers)
    for (first, last), nouns in tails.items():
        lost = f"{_singular(nouns)} {first}" if first == last else f"{' and '.join(nouns)} {first} to {last}"
        verb = "is" if first == last and len(nouns) == 1 else "are"
        reason = f"{lost} of its {text(shape)} {verb} read by nobody, since the stride of {nodes} does not divide; "
        yield Warning("unread-cells", name, reason + "change the size, the padding or the stride")
    for (gap, step), nouns in gaps.items():
        lost = f"{gap} of every {step} {' and '.join(nouns)} of its {text(shape)} {'is' if gap == 1 else 'are'} read by"
        yield Warning("unread-cells", name, f"{lost} nobody, since the stride of {nodes} is larger than the window")


def _singular(nouns: list[str]) -> str:
    return " and ".join(noun[:-1] for noun in nouns)


class _Reach(NamedTuple):
    """Of windows along an axis: the end of the last, the cells between two, and the stride with its phase."""

    end: int
    gap: int
    grid: tuple[int, int]


def _reach(op: Windowed, x: Shape, axis: int) -> _Reach:
    rank = len(x) - 1
    stride, dilation = op.stride or op.kernel_size, getattr(op, "dilation", 1)
    sides = resolve_padding(getattr(op, "padding", 0), x[1:], op.kernel_size, stride, dilation)
    span = window(per_axis(op.kernel_size, rank)[axis], per_axis(dilation, rank)[axis])
    step, before = per_axis(stride, rank)[axis], sides[axis][0]
    outputs = op.output_shape((getattr(op, "groups", 1), *x[1:]))[axis + 1]
    gap = max(0, step - span) if outputs > 1 else 0
    return _Reach((outputs - 1) * step - before + span, gap, (step, before % step))


def _even_same(node: Node) -> Iterator[Warning]:
    if getattr(node.op, "padding", 0) != "same" or isinstance(node.op, ops.ConvTranspose):
        return
    sizes = node.op.kernel_size, node.op.stride or node.op.kernel_size  # type: ignore[attr-defined]  # it has a padding
    kernels, strides = (per_axis(size, 1) if isinstance(size, int) else size for size in sizes)
    if any(kernel % 2 == 0 for kernel in kernels) and set(strides) == {1}:
        reason = f"an even kernel ({'x'.join(map(str, kernels))}) under padding 'same' has no middle cell: "
        yield Warning("even-same", node.name, reason + "the map moves by half a cell; use an odd kernel")


def _checkerboard(node: Node, xs: tuple[Shape, ...]) -> Iterator[Warning]:
    if not isinstance(node.op, ops.ConvTranspose):
        return
    rank = len(xs[0]) - 1
    pairs = zip(per_axis(node.op.kernel_size, rank), per_axis(node.op.stride, rank), strict=True)
    if uneven := [(kernel, stride) for kernel, stride in pairs if kernel % stride]:
        kernel, stride = uneven[0]
        reason = f"a transposed kernel of {kernel} under stride {stride} covers some outputs more often than others, "
        advice = f"which shows as a checkerboard (Odena et al. 2016); use a kernel that is a multiple of {stride}"
        yield Warning("checkerboard", node.name, reason + advice)


def _misaligned(node: Node, fields: tuple[Field, ...]) -> Iterator[Warning]:
    """Inputs of a join whose units look at places apart, by the middles of their fields."""
    if len(fields) < 2 or any(field.flat for field in fields) or len({len(field.axes) for field in fields}) > 1:
        return
    for axes in zip(*(field.axes for field in fields), strict=True):
        plain = [axis for axis in axes if isinstance(axis, Lattice) and axis.kind == "lattice"]
        if len(plain) < len(axes) or len({axis.units for axis in plain}) > 1:
            continue
        if len({axis.jump for axis in plain}) > 1:
            steps = " and ".join(str(axis.jump) for axis in plain)
            yield Warning("misaligned", node.name, f"its inputs step over {steps} cells of the picture a unit")
            return
        middles = sorted({axis.start + (axis.size - 1) / 2 for axis in plain})
        if len(middles) > 1:
            reason = f"unit 0 of its inputs looks at cells {' and '.join(f'{m:g}' for m in middles)} of the picture: "
            apart = f"{middles[-1] - middles[0]:g} cell" + "s" * (middles[-1] - middles[0] != 1)
            advice = f"the branches are {apart} apart; pad them alike on both sides"
            yield Warning("misaligned", node.name, reason + advice)
            return


def _heavy(node: Node, graph: Graph, total: int) -> Iterator[Warning]:
    """A dense layer behind a flattened map that holds most of the parameters."""
    if not isinstance(node.op, ops.Dense) or node.weights_of:
        return
    mine = sum(math.prod(shape) for shape in node.op.parameters(*graph.input_shapes(node)).values())
    source = _flattened_map(graph, node)
    if mine < _MOST * total or source is None or math.prod(source[1:]) == 1:
        return
    pooled = sum(math.prod(shape) for shape in node.op.parameters((source[0],)).values())
    reason = f"holds {mine:,} of {total:,} parameters ({100 * mine / total:.1f} %), since it reads all {text(source)} "
    advice = f"values; after a global average pooling it would have {pooled:,}"
    yield Warning("heavy-layer", node.name, reason + advice)


def _flattened_map(graph: Graph, node: Node) -> Shape | None:
    """The shape of the map whose values `node` reads in a row; None where it reads no flattened map."""
    source = graph.by_name.get(node.inputs[0])
    while source is not None and isinstance(source.op, (ops.Dropout, ops.Identity, ops.Relu)):
        source = graph.by_name.get(source.inputs[0])
    return graph.input_shapes(source)[0] if source is not None and isinstance(source.op, ops.Flatten) else None


def _narrow(
    node: Node, graph: Graph, seen: Mapping[str, Field], readers: Mapping[str, list[Node]]
) -> Iterator[Warning]:
    """A global pooling, or an output, whose units each see less than the picture."""
    if isinstance(node.op, (ops.GlobalAvgPool, ops.GlobalMaxPool)):
        field, what = seen[node.inputs[0]], "each unit that it pools sees"
        into_gate = _is_gate(node, readers)
    else:
        field, what, into_gate = seen[node.name], "each of its units sees", node.name not in graph.outputs
    if into_gate or field.flat:
        return
    for axis, cells, noun in zip(field.axes, graph.input_shape[1:], _AXES.get(len(field.axes), ()), strict=False):
        if isinstance(axis, Lattice) and axis.kind == "lattice" and axis.size < cells:
            reason = f"{what} {axis.size} of the picture's {cells} {noun}; a larger field takes more layers, strides "
            yield Warning("narrow-field", node.name, reason + "or dilation")
            return


def _is_gate(node: Node, readers: Mapping[str, list[Node]]) -> bool:
    """Whether a pooled value comes back as a factor: then the map beside it goes on by itself."""
    reached, ahead = {node.name}, [node]
    for near in ahead:  # which grows
        for later in readers[near.name]:
            if isinstance(later.op, ops.Multiply):
                return True
            if later.name not in reached:
                reached.add(later.name)
                ahead.append(later)
    return False


def _opaque(node: Node) -> Iterator[Warning]:
    if isinstance(node.op, ops.Opaque):
        held = sum(math.prod(shape) for shape in node.op.weights)
        kept = f"count its {plural(held, 'parameter')} but not its work" if held else "leave out its work"
        yield Warning("opaque", node.name, f"{printable(node.op.label)} was seen from outside only; the totals {kept}")
