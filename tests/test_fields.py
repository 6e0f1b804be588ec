"""Receptive fields against the gradient: the cells on which autograd says that a unit depends."""

from __future__ import annotations

import math
from itertools import product
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import event, given, settings
from hypothesis import strategies as st

from foveal.anatomy.sight import cells, lattices
from foveal.cells import Cells
from foveal.errors import ShapeError
from foveal.fields import Field, Lattice
from foveal.graph import INPUT, Builder, Graph
from foveal.ops import (
    AdaptiveAvgPool,
    Add,
    AvgPool,
    Concat,
    Conv,
    ConvTranspose,
    Dense,
    Factor,
    Flatten,
    GlobalAvgPool,
    GroupNorm,
    LpPool,
    MaxPool,
    Multiply,
    Offset,
    Op,
    Opaque,
    Pad,
    PadChannels,
    PixelShuffle,
    Rbf,
    Relu,
    Reshape,
    Sigmoid,
    Slice,
    Upsample,
)
from foveal.shapes import per_axis

CHANNELS, LONGEST = 2, 30

# ---------------------------------------------------------------- networks at random


@st.composite
def graphs(draw: st.DrawFn) -> Graph:
    """Up to seven steps, each of which reads any earlier one."""
    rank = draw(st.sampled_from((1, 1, 2)))
    net = Builder("random")
    maps = [net.input(CHANNELS, *(draw(st.integers(4, 13 if rank == 1 else 8)) for _ in range(rank)))]
    for _ in range(draw(st.integers(1, 7))):
        x = maps[-1] if draw(st.booleans()) else draw(st.sampled_from(maps))
        op, inputs = draw(st.sampled_from(STEPS))(draw, net, maps, x, rank)
        try:
            shape = op.output_shape(*(net.shape(name) for name in inputs))
        except ShapeError:
            continue
        if max(shape) <= LONGEST:
            maps.append(net(op, *inputs))
    if len(maps) == 1:
        maps.append(net(Relu(), INPUT))
    return net.graph()


def _axes(draw: st.DrawFn, rank: int, low: int, high: int) -> tuple[int, ...]:
    return tuple(draw(st.integers(low, high)) for _ in range(rank))


def _sides(draw: st.DrawFn, rank: int, most: int) -> tuple[tuple[int, int], ...]:
    return tuple((draw(st.integers(0, most)), draw(st.integers(0, most))) for _ in range(rank))


def conv(draw: st.DrawFn, net: Builder, maps: list[str], x: str, rank: int) -> tuple[Op, list[str]]:
    padding: Any = "same" if draw(st.booleans()) else _sides(draw, rank, 3)
    sizes = _axes(draw, rank, 1, 4), _axes(draw, rank, 1, 3), padding, _axes(draw, rank, 1, 3)
    return Conv(CHANNELS, *sizes), [x]


def transposed(draw: st.DrawFn, net: Builder, maps: list[str], x: str, rank: int) -> tuple[Op, list[str]]:
    padding: Any = "same" if draw(st.booleans()) else _sides(draw, rank, 2)
    sizes = _axes(draw, rank, 1, 4), _axes(draw, rank, 1, 4), padding, _axes(draw, rank, 0, 1)
    return ConvTranspose(CHANNELS, *sizes, _axes(draw, rank, 1, 3)), [x]


def pooled(draw: st.DrawFn, net: Builder, maps: list[str], x: str, rank: int) -> tuple[Op, list[str]]:
    kernels = _axes(draw, rank, 1, 4)
    padding = tuple(draw(st.integers(0, kernel // 2)) for kernel in kernels)
    kind: Any = draw(st.sampled_from((MaxPool, AvgPool, LpPool)))
    window = kernels, _axes(draw, rank, 1, 3), padding
    if draw(st.booleans()):
        return kind(*window, ceil_mode=draw(st.booleans())), [x]
    return kind(*window, dilation=_axes(draw, rank, 1, 3)), [x]


def binned(draw: st.DrawFn, net: Builder, maps: list[str], x: str, rank: int) -> tuple[Op, list[str]]:
    return AdaptiveAvgPool(_axes(draw, rank, 1, 7)), [x]


def resized(draw: st.DrawFn, net: Builder, maps: list[str], x: str, rank: int) -> tuple[Op, list[str]]:
    return Upsample(_axes(draw, rank, 1, 4), draw(st.sampled_from(("nearest", "linear")))), [x]


def sliced(draw: st.DrawFn, net: Builder, maps: list[str], x: str, rank: int) -> tuple[Op, list[str]]:
    axis = draw(st.integers(1, rank))
    start = draw(st.integers(0, net.shape(x)[axis] - 1))
    stop = draw(st.integers(start + 1, net.shape(x)[axis]))
    return Slice(start, stop, draw(st.integers(1, 3)), axis), [x]


def padded(draw: st.DrawFn, net: Builder, maps: list[str], x: str, rank: int) -> tuple[Op, list[str]]:
    return Pad(_sides(draw, rank, 2)), [x]


def valued(draw: st.DrawFn, net: Builder, maps: list[str], x: str, rank: int) -> tuple[Op, list[str]]:
    """What moves no value; zeros in new channels see nothing."""
    return draw(st.sampled_from((PadChannels(1, 2), Factor(0.5), Offset()))), [x]


def joined(draw: st.DrawFn, net: Builder, maps: list[str], x: str, rank: int) -> tuple[Op, list[str]]:
    partners = [name for name in maps if net.shape(name) == net.shape(x)]
    inputs = [x, draw(st.sampled_from(partners))]
    return draw(st.sampled_from((Add, Multiply, Concat)))(), inputs


def branched(draw: st.DrawFn, net: Builder, maps: list[str], x: str, rank: int) -> tuple[Op, list[str]]:
    """A sum with a convolution of the same shape."""
    y = net(Conv(net.shape(x)[0], _axes(draw, rank, 1, 4), (1,) * rank, "same", _axes(draw, rank, 1, 3)), x)
    return Add(), [x, y]


def gated(draw: st.DrawFn, net: Builder, maps: list[str], x: str, rank: int) -> tuple[Op, list[str]]:
    inside = draw(st.sampled_from(maps))
    if net.shape(inside)[0] not in (1, net.shape(x)[0]):
        inside = x
    return Multiply(), [x, net(GlobalAvgPool(), inside)]


STEPS = (conv, conv, conv, transposed, pooled, pooled, binned, resized, sliced, padded, valued, joined, branched, gated)

# ---------------------------------------------------------------- the same in torch


def forward(graph: Graph, x: torch.Tensor) -> torch.Tensor:
    """The output, with all weights and biases 1, the mean for the maximum, and ones around the map for zeros."""
    values = {INPUT: x}
    for node in graph.nodes:
        values[node.name] = execute(node.op, [values[name] for name in node.inputs])
    return values[graph.outputs[0]]


def execute(op: Op, xs: list[torch.Tensor]) -> torch.Tensor:
    x, rank = xs[0], xs[0].ndim - 2
    match op:
        case Conv():
            weight = torch.ones(op.out_channels, x.shape[1], *per_axis(op.kernel_size, rank), dtype=x.dtype)
            x = F.pad(x, around(op, x))
            convolution = (F.conv1d, F.conv2d)[rank - 1]
            return convolution(x, weight, stride=op.stride, dilation=op.dilation) + 1
        case ConvTranspose():
            weight = torch.ones(x.shape[1], op.out_channels, *per_axis(op.kernel_size, rank), dtype=x.dtype)
            transpose = (F.conv_transpose1d, F.conv_transpose2d)[rank - 1]
            full = transpose(x, weight, stride=op.stride, dilation=op.dilation) + 1
            return F.pad(
                full, [n for (before, after), extra in reversed(cuts(op, x)) for n in (-before, extra - after)]
            )
        case MaxPool() | AvgPool() | LpPool() if not op.ceil_mode:
            ones = torch.ones(x.shape[1], 1, *op.kernel_size, dtype=x.dtype)
            convolution = (F.conv1d, F.conv2d)[rank - 1]
            return convolution(x, ones, None, op.stride, op.padding, op.dilation, x.shape[1])
        case MaxPool() | AvgPool() | LpPool():
            pool = (F.avg_pool1d, F.avg_pool2d)[rank - 1]
            return pool(x, op.kernel_size, op.stride, op.padding, op.ceil_mode)
        case AdaptiveAvgPool():
            return (F.adaptive_avg_pool1d, F.adaptive_avg_pool2d)[rank - 1](x, op.output_size)
        case GlobalAvgPool():
            return x.mean(tuple(range(2, x.ndim)), keepdim=True)
        case Upsample():
            mode = "nearest" if op.mode == "nearest" else ("linear", "bilinear")[rank - 1]
            return F.interpolate(x, scale_factor=tuple(map(float, per_axis(op.scale, rank))), mode=mode)
        case Slice():
            return x[(slice(None),) * (op.axis + 1) + (slice(op.start, op.stop, op.step),)]
        case Pad():
            return F.pad(x, [n for sides in reversed(op.padding) for n in sides], value=1)
        case PadChannels():
            return F.pad(x, [0, 0] * rank + [op.before, op.after], value=1)
        case Factor():
            return op.value * x
        case Offset():
            return x + 1
        case Add():
            return xs[0] + xs[1]
        case Multiply():
            return xs[0] * xs[1]
        case Concat():
            return torch.cat(xs, 1)
        case PixelShuffle():
            return F.pixel_shuffle(x, op.factor)
        case Reshape():
            return x.reshape(len(x), *op.shape)
        case Flatten():
            return x.flatten(1)
        case Relu():  # left out, as is every step that changes no position
            return x
    raise AssertionError(op)


def around(op: Conv, x: torch.Tensor) -> list[int]:
    """Padding of a convolution in torch's order; TensorFlow's SAME written out a second time."""
    if op.padding != "same":
        return [n for sides in reversed(op.padding) for n in sides]
    found = []
    for n, kernel, stride, dilation in zip(x.shape[2:], op.kernel_size, op.stride, op.dilation, strict=True):
        total = max((math.ceil(n / stride) - 1) * stride + dilation * (kernel - 1) + 1 - n, 0)
        found.append((total // 2, total - total // 2))
    return [n for sides in reversed(found) for n in sides]


def cuts(op: ConvTranspose, x: torch.Tensor) -> list[tuple[tuple[int, int], int]]:
    if op.padding != "same":
        return list(zip(op.padding, op.output_padding, strict=True))
    spans = [d * (k - 1) + 1 - s for k, s, d in zip(op.kernel_size, op.stride, op.dilation, strict=True)]
    return [((max(n, 0) // 2, (max(n, 0) + 1) // 2), max(-n, 0)) for n in spans]


def support(graph: Graph) -> np.ndarray:
    """For each unit of the output, and along each axis of the input, the first and last cell with a gradient.

    Shape (units, axes, 2), units in C order; ``(-1, -1)`` where no cell has one.
    """
    channels, *spatial = graph.shapes[graph.outputs[0]]
    units = math.prod(spatial)
    x = torch.ones(units, *graph.input_shape, dtype=torch.float64, requires_grad=True)
    y = forward(graph, x)
    assert y.shape == (units, channels, *spatial)
    y.sum(1).reshape(units, units).diagonal().sum().backward()  # image n of the batch asks for unit n
    assert x.grad is not None
    seen = (x.grad.abs().amax(1) > 1e-9).numpy()  # rounding in torch's interpolation leaves 1e-16
    found = []
    for axis in range(seen.ndim - 1):
        along = seen.any(tuple(other + 1 for other in range(seen.ndim - 1) if other != axis))
        first, last = along.argmax(1), along.shape[1] - 1 - along[:, ::-1].argmax(1)
        found.append(np.where(along.any(1)[:, None], np.stack([first, last], 1), -1))
    return np.stack(found, 1)


def boxes(field: Field) -> np.ndarray:
    """`Cells` as `support` writes it."""
    grid = np.indices(field.units).reshape(len(field.axes), -1)
    axes = [np.stack([axis.first[at], axis.last[at]], 1) for axis, at in zip(field.axes, grid, strict=True)]
    found = np.stack(axes, 1)
    found[(found[:, :, 1] < found[:, :, 0]).any(1)] = -1
    return found


@settings(max_examples=150, deadline=None)
@given(graphs())
def test_cells_are_the_box_of_the_gradient(graph: Graph) -> None:
    mine, truth = boxes(cells(graph, graph.outputs[0])), support(graph)
    holes = [name for name in graph.shapes if (boxes(cells(graph, name)) < 0).any()]
    if len(graph.input_shape) == 3 and holes:  # the documented case: the box may be larger
        event("blind units in 2-D")
        seeing = truth[:, 0, 0] >= 0
        assert (mine[seeing, :, 0] <= truth[seeing, :, 0]).all() and (mine[seeing, :, 1] >= truth[seeing, :, 1]).all()
    else:
        np.testing.assert_array_equal(mine, truth)


@settings(max_examples=200, deadline=None)
@given(graphs())
def test_a_lattice_is_what_the_units_inside_see(graph: Graph) -> None:
    """Slices and cuts take units away in mid-picture; then the lattice is an upper bound."""
    cut = any(isinstance(node.op, (Slice, ConvTranspose)) for node in graph.nodes)
    summary, exact = lattices(graph)[graph.outputs[0]], cells(graph, graph.outputs[0])
    for lattice, axis, n in zip(summary.axes, exact.axes, graph.input_shape[1:], strict=True):
        assert isinstance(lattice, Lattice) and isinstance(axis, Cells)
        assert lattice.units == axis.units
        event(lattice.kind)
        if lattice.kind == "lattice":
            first = lattice.start + lattice.jump * np.arange(axis.units)
            last = first + lattice.size - 1
            seeing = axis.first <= axis.last
            assert (axis.first >= first)[seeing].all() and (axis.last <= last)[seeing].all()
            inside = (first >= 0) & (last < n) & (not cut)
            np.testing.assert_array_equal(axis.first[inside], first[inside])
            np.testing.assert_array_equal(axis.last[inside], last[inside])


def test_poolings_of_every_small_size() -> None:
    for size, kernel, stride, ceil_mode in product(range(4, 9), range(1, 5), range(1, 5), (False, True)):
        for padding in range(kernel // 2 + 1):
            net = Builder("pooling")
            net(AvgPool((kernel,), (stride,), (padding,), ceil_mode=ceil_mode), net.input(1, size))
            graph = net.graph()
            np.testing.assert_array_equal(boxes(cells(graph, "avgpool")), support(graph), str(graph.nodes))


@pytest.mark.parametrize("stride", range(1, 6))
@pytest.mark.parametrize("dilation", range(1, 6))
def test_transposed_convolutions_one_input_at_a_time(stride: int, dilation: int) -> None:
    """Five pictures of five cells, of which one cell each is 1: where it lands is who reads it."""
    for kernel, before in product(range(1, 5), range(3)):
        weight = torch.ones(1, 1, kernel)
        lands = F.conv_transpose1d(torch.eye(5)[:, None], weight, stride=stride, dilation=dilation)[:, 0, before:] > 0
        found = Cells.image(5).spread(lands.shape[1], kernel, stride, before, dilation)
        for unit, readers in enumerate(lands.T):
            read = readers.nonzero().flatten().tolist()
            if read:
                assert (found.first[unit], found.last[unit]) == (read[0], read[-1]), (kernel, before, unit)
            else:
                assert found.last[unit] < found.first[unit], (kernel, before, unit)


# ---------------------------------------------------------------- published numbers


def seen(graph: Graph, name: str = "") -> tuple[int, int, int]:
    """Size, jump and start along the last axis of a node, by default the output."""
    axis = lattices(graph)[name or graph.outputs[0]].axes[-1]
    assert isinstance(axis, Lattice) and axis.kind == "lattice"
    return axis.size, axis.jump, axis.start


def chain(*ops: Op, size: int = 400) -> Graph:
    net = Builder("chain")
    x = net.input(1, size, size)
    for op in ops:
        x = net(op, x)
    return net.graph()


@pytest.mark.parametrize(
    ("ops", "expected"),
    [
        ([Conv(1, 3)] * 2, (5, 1, 0)),  # the lectures: two 3x3 see 5x5
        ([Conv(1, 3)] * 3, (7, 1, 0)),
        ([Conv(1, 3, 2, 1)], (3, 2, -1)),  # the lectures: 3, then 7
        ([Conv(1, 3, 2, 1)] * 2, (7, 4, -3)),
        ([Conv(1, 3, dilation=d) for d in (1, 2, 4)], (15, 1, 0)),  # Yu & Koltun (2016), figure 1: 3, 7, 15
        ([Conv(1, 2, dilation=2**i) for i in range(8)], (256, 1, 0)),  # van den Oord et al. (2016), figure 3: doubling
        ([ConvTranspose(1, 5, 1, 1)], (5, 1, -3)),  # at stride 1 a convolution, with padding 5 - 1 - 1
        ([MaxPool(2), AdaptiveAvgPool(50)], (8, 8, 0)),  # bins of 200 / 50 units
        ([MaxPool(2), Slice(3, 50, 2, axis=2)], (2, 4, 6)),
    ],
)
def test_stacks_of_the_books(ops: list[Op], expected: tuple[int, int, int]) -> None:
    assert seen(chain(*ops)) == expected


def test_vgg16_and_alexnet_as_published() -> None:
    """Araujo, Norris & Sim (2019), table 1: field, stride and padding of vgg_16 and alexnet_v2."""
    vgg = [op for depth in (2, 2, 3, 3, 3) for op in (*(Conv(1, 3, padding=1),) * depth, MaxPool(2))]
    assert seen(chain(*vgg)) == (212, 32, -90)
    three = (Conv(1, 3, padding=1),) * 3
    alexnet = chain(Conv(1, 11, 4), MaxPool(3, 2), Conv(1, 5, padding=2), MaxPool(3, 2), *three, MaxPool(3, 2))
    assert seen(alexnet) == (195, 32, -64)


def resnet50(stride_in: str) -> Graph:
    """The convolutions of He et al. (2015), table 1, one channel wide; `stride_in` the ``"1x1"`` or the ``"3x3"``."""
    net = Builder("resnet50")
    x = net(MaxPool(3, 2, 1), net(Conv(1, 7, 2, 3), net.input(3, 224, 224)))
    for stage, depth in enumerate((3, 4, 6, 3)):
        for block in range(depth):
            stride = 2 if stage and not block else 1
            first, second = (stride, 1) if stride_in == "1x1" else (1, stride)
            y = net(Conv(1, 3, second, 1), net(Conv(1, 1, first), x))
            x = net(Add(), net(Conv(1, 1), y), x if block else net(Conv(1, 1, stride), x))
    return net.graph()


def test_resnet50_sees_483_in_the_paper_and_427_in_the_library() -> None:
    """483 is also in Araujo et al. (2019), table 1; the library is torchvision, which strides in the 3x3."""
    assert seen(resnet50("1x1")) == (483, 32, -241)
    assert seen(resnet50("3x3")) == (427, 32, -213)


# ---------------------------------------------------------------- what is no lattice


def test_positions_survive_a_reshape_that_keeps_them() -> None:
    net = Builder("reshaped")
    x = net(Flatten(), net(Conv(4, (3, 3), (1, 1), ((0, 0), (0, 0)), (1, 1)), net.input(2, 6, 8)))
    net(PixelShuffle(2), net(Reshape((4, 4, 6)), x))
    graph = net.graph()
    assert graph.shapes[graph.outputs[0]] == (1, 8, 12)
    np.testing.assert_array_equal(boxes(cells(graph, graph.outputs[0])), support(graph))


def test_other_reshapes_are_unknown_and_cover_everything() -> None:
    net = Builder("reshaped")
    row = net(Reshape((2, 48)), net(Conv(2, 3, padding=1), net.input(2, 6, 8)))
    back = net(Reshape((2, 8, 6)), net(Conv(2, 3, padding=1), row))
    last = net(Conv(2, 3), back)
    graph = net.graph()
    for name in (row, back, last):
        assert [axis.kind for axis in lattices(graph)[name].axes] == ["unknown", "unknown"]
        found = boxes(cells(graph, name))
        assert (found == [[0, 5], [0, 7]]).all()
    assert lattices(graph)[last].units == (6, 4)


def test_a_gate_makes_the_field_global_and_local_ignores_it() -> None:
    net = Builder("gated")
    x = net(Conv(4, 3, padding=1), net.input(3, 9, 9))
    gate = net(Sigmoid(), net(Conv(4, 1), net(GlobalAvgPool(), x)))
    net(GroupNorm(2), net(Conv(4, 3, padding=1), net(Multiply(), x, gate)))
    graph = net.graph()
    assert [axis.kind for axis in lattices(graph)[graph.outputs[0]].axes] == ["global", "global"]
    assert [axis.size for axis in lattices(graph, local=True)[graph.outputs[0]].axes] == [5, 5]
    assert (boxes(cells(graph, graph.outputs[0])) == [0, 8]).all()
    assert boxes(cells(graph, graph.outputs[0], local=True))[40].tolist() == [[2, 6], [2, 6]]


def test_a_gate_of_one_unit_is_no_neighbour() -> None:
    """A convolution as large as the map is a gate, too: its one unit does not move on with the map's."""
    net = Builder("gated")
    x = net.input(1, 5)
    net(Multiply(), x, net(Conv(1, 3), net(Slice(0, 3, axis=1), x)))
    axis = lattices(net.graph())["multiply"].axes[0]
    assert axis.kind == "varies"
    assert boxes(cells(net.graph(), "multiply"))[:, 0].tolist() == [[0, 2], [0, 2], [0, 2], [0, 3], [0, 4]]


def test_flat_values_of_different_maps_are_not_partners() -> None:
    net = Builder("flat")
    x = net.input(1, 4, 6)
    tall = net(Flatten(), net(Conv(3, (1, 6)), x))
    wide = net(Flatten(), net(Conv(2, (4, 1)), x))
    net(Add(), tall, wide)
    assert lattices(net.graph())["add"].units == (1, 1)
    assert boxes(cells(net.graph(), "add")).tolist() == [[[0, 3], [0, 5]]]


def test_distances_to_points_see_the_whole_map() -> None:
    graph = chain(Conv(2, 3), Slice(2, 8, axis=1), Flatten(), Rbf(4), size=12)
    (axis,) = {*lattices(graph)[graph.outputs[0]].axes}
    assert axis.kind == "global"
    exact, _ = cells(graph, graph.outputs[0]).axes
    assert (exact.first.tolist(), exact.last.tolist()) == ([2], [9])  # of cells 0 to 11, as the slice left them


def test_networks_on_rows_of_numbers_have_no_axes() -> None:
    net = Builder("rows")
    x = net(Conv(4, (3, 3)), net(Reshape((1, 28, 28)), net(Dense(784), net.input(10))))
    net(Dense(2), net(Flatten(), x))
    assert {field.axes for field in lattices(net.graph()).values()} == {()}


def test_steps_seen_from_outside_are_unknown() -> None:
    net = Builder("traced")
    x = net.input(3, 8, 8)
    y = net(Opaque("roll", (3, 8, 8)), x)
    net(Add(), net(Conv(3, 3, padding=1), x), y)
    graph = net.graph()
    for name in (y, "add"):
        assert [axis.kind for axis in lattices(graph)[name].axes] == ["unknown", "unknown"]
        assert (boxes(cells(graph, name)) == [0, 7]).all()


def test_a_summary_of_trillions_of_cells_takes_no_time_and_no_memory() -> None:
    graph = chain(*[Conv(1, 3, 2, 1), MaxPool(3, 1, 1)] * 5, Upsample(2), Concat(), size=10**12)
    assert lattices(graph)["maxpool5"].units == (31_250_000_000, 31_250_000_000)
    assert seen(graph, "maxpool5") == (187, 32, -93)
    assert lattices(graph)[graph.outputs[0]].axes[0].kind == "varies"
