"""One unit's box against the gradient, and the drawings read back as what they are: XML and pixels."""

from __future__ import annotations

import re
import tracemalloc
from xml.etree import ElementTree

import numpy as np
import pytest
import torch
import torch.nn.functional as F

import foveal
from foveal.anatomy.sight import Span, box, cells, lattices
from foveal.anatomy.sight_drawing import MOST_ROWS, MOST_UNITS, draw_on, lattice_svg
from foveal.errors import DataError, GraphError, UnknownName
from foveal.graph import Builder, Graph
from foveal.ops import (
    AdaptiveAvgPool,
    Add,
    Concat,
    Conv,
    ConvTranspose,
    Dense,
    Flatten,
    GlobalAvgPool,
    MaxPool,
    Multiply,
    Op,
    Relu,
    Reshape,
    Upsample,
)

SVG = "{http://www.w3.org/2000/svg}"


def chain(*ops: Op, shape: tuple[int, ...] = (1, 40, 40)) -> Graph:
    net = Builder("chain")
    x = net.input(*shape)
    for op in ops:
        x = net(op, x)
    return net.graph()


def small() -> Graph:
    return chain(Conv(2, 3, 2, 1), Relu(), Flatten(), Dense(5), shape=(3, 7, 9))


# ---------------------------------------------------------------- boxes


def test_boxes_of_a_flattened_map_are_those_of_the_gradient() -> None:
    """Value by value, channel by channel."""
    x = torch.ones(1, 3, 7, 9, dtype=torch.float64)
    jacobian = torch.autograd.functional.jacobian(
        lambda x: F.conv2d(x, torch.ones(2, 3, 3, 3, dtype=x.dtype), stride=2, padding=1).flatten(), x
    )
    for value, gradient in enumerate(jacobian.abs().sum((1, 2))):
        rows, columns = gradient.sum(1).nonzero().flatten(), gradient.sum(0).nonzero().flatten()
        found = box(small(), "flatten", value)
        assert [(s.first, s.last) for s in found] == [(rows[0], rows[-1]), (columns[0], columns[-1])], value
    assert value == 39


def test_padding_outside_the_picture_is_counted_apart() -> None:
    graph = small()
    assert box(graph, "conv", (0, 2)) == (Span(0, 1, 1, 0), Span(3, 5, 0, 0))
    assert box(graph, "conv", (3, 4)) == (Span(5, 6, 0, 1), Span(7, 8, 0, 1))
    assert box(graph, "input", (6, 0)) == (Span(6, 6, 0, 0), Span(0, 0, 0, 0))
    assert [str(span) for span in box(graph, "conv", (0, 4))] == [
        "0..1 (and 1 of padding before)",
        "7..8 (and 1 of padding after)",
    ]


def test_units_whose_padding_is_no_number() -> None:
    assert box(small(), "dense", 4) == (Span(0, 6, None, None), Span(0, 8, None, None))
    up = chain(Upsample(2), shape=(1, 4))
    assert box(up, "upsample", 7) == (Span(3, 3, None, None),)


def test_a_unit_among_padding_sees_nothing() -> None:
    graph = chain(Conv(1, 3, padding=((4, 4), (0, 0))), shape=(1, 8, 8))
    assert box(graph, "conv", (0, 3)) == (Span(0, -1, 3, 0), Span(0, -1, 0, 0))
    assert str(box(graph, "conv", (0, 3))[0]) == "nothing (and 3 of padding before)"


@pytest.mark.parametrize(
    ("name", "index", "message"),
    [
        ("conv", (4, 0), r"conv\[4,0\] is outside the map; its last unit is conv\[3,4\]"),
        ("conv", (-1, 0), r"conv\[-1,0\] is outside the map"),
        ("conv", (1.5, 0), r"conv\[1\.5,0\] is outside the map"),
        ("conv", (1,), r"conv\[1\]: expected 2 numbers, one for each axis, as in conv\[2,2\]"),
        ("conv", 7, r"conv\[7\]: expected 2 numbers"),
        ("flatten", 40, r"flatten\[40\] is outside the map; its last unit is flatten\[39\]"),
        ("flatten", (1, 2), r"flatten\[1,2\]: expected the number of a value, as in flatten\[20\]"),
    ],
)
def test_an_index_that_is_none(name: str, index: tuple[int, ...], message: str) -> None:
    with pytest.raises(GraphError, match=message):
        box(small(), name, index)


def test_unknown_nodes_list_the_nearest() -> None:
    for ask in (
        lambda: box(small(), "con", (0, 0)),
        lambda: cells(small(), "con"),
        lambda: lattice_svg(small(), "con"),
    ):
        with pytest.raises(UnknownName, match="unknown node 'con'; did you mean conv"):
            ask()


def test_inputs_without_axes_are_refused() -> None:
    graph = chain(Dense(3), shape=(4,))
    for ask in (lambda: box(graph, "dense", 0), lambda: lattice_svg(graph, "dense")):
        with pytest.raises(GraphError, match="chain takes 4 values in a row: there are no axes to see along"):
            ask()


def test_maps_that_are_too_long_are_refused_where_arrays_are_needed() -> None:
    graph = chain(Conv(1, 3), GlobalAvgPool(), shape=(1, 10**12))
    message = r"input: an axis of 1,000,000,000,000 cells is too long for exact receptive fields \(at most 4,194,304\)"
    for name in ("conv", "globalavgpool"):
        with pytest.raises(GraphError, match=message):
            box(graph, name, 0)
    with pytest.raises(GraphError, match=r"upsample: an axis of 33,554,432 cells is too long"):
        cells(chain(Conv(1, 3), Upsample(2**20), shape=(1, 34)), "upsample")
    assert lattices(graph)["conv"].axes[0].units == 10**12 - 2


def test_arrays_are_freed_once_read() -> None:
    """Forty steps on 100,000 cells take little more room than three."""
    graph = chain(*[Conv(1, 3, padding=1)] * 40, shape=(1, 100_000))
    tracemalloc.start()
    found = cells(graph, "conv40").axes[0]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (found.first[50_000], found.last[50_000]) == (50_000 - 40, 50_000 + 40)
    assert peak < 20e6  # 40 pairs of arrays would be 64 MB


def test_boxes_in_one_and_three_dimensions() -> None:
    assert [str(s) for s in box(chain(Conv(1, 5), shape=(1, 9)), "conv", 2)] == ["2..6"]
    video = chain(Conv(1, (1, 3, 5)), shape=(1, 4, 9, 9))
    assert [(s.first, s.last) for s in box(video, "conv", (3, 2, 1))] == [(3, 3), (2, 4), (1, 5)]


# ---------------------------------------------------------------- drawings


def texts(svg: str) -> list[str]:
    return [str(element.text) for element in ElementTree.fromstring(svg).iter(SVG + "text")]


def count(svg: str, kind: str) -> int:
    return len(re.findall(f'class="{kind}"', svg))


def test_the_drawing_says_how_each_layer_widens_the_field() -> None:
    graph = chain(Conv(1, 3, padding=1), Conv(1, 3, 2, 1), Relu(), Conv(1, 3, 1, 2, 2), MaxPool(2))
    svg = lattice_svg(graph, "maxpool")
    assert texts(svg) == [
        "What one unit of maxpool sees along the width",
        "maxpool", "MaxPool, kernel 2, stride 2: field 15, jump 4",
        "conv3", "Conv, kernel 3, dilation 2: field 13, jump 2",
        "conv2", "Conv, kernel 3, stride 2: field 5, jump 2",
        "conv", "Conv, kernel 3: field 3, jump 1",
        "input", "40 cells",
    ]  # fmt: skip
    assert count(svg, "unit") == 1 + 2 + 6 + 13 + 15
    assert count(svg, "reads") == 2 + 2 * 3 + 6 * 3 + 13 * 3
    assert count(svg, "padding") == 0


def test_every_row_of_the_drawing_is_read_by_the_exact_field() -> None:
    """The input cells that are drawn as read span the box of the unit; here with branches, gates and upsampling."""
    net = Builder("mixed")
    x = net(Conv(2, 3, 2, 1), net.input(3, 32))
    y = net(Conv(2, 3, 1, "same", 2), x)
    x = net(Add(), y, x)
    x = net(Multiply(), net(GlobalAvgPool(), net(Conv(2, 1), x)), x)
    net(Conv(2, 3), net(ConvTranspose(2, 4, 2, 1), net(Concat(), x, y)))
    graph = net.graph()
    svg = lattice_svg(graph, "conv4")
    assert texts(svg)[-1] == "Of several branches the one with the largest field is drawn and gates are ignored."
    seen = box(graph, "conv4", graph.shapes["conv4"][1] // 2, local=True)[0]
    bottom = ElementTree.fromstring(svg).findall(f"{SVG}rect[@class='unit']")
    lowest = max(float(rect.get("y", 0)) for rect in bottom)
    assert sum(float(rect.get("y", 0)) == lowest for rect in bottom) == seen.last - seen.first + 1


def test_padding_is_drawn_as_padding() -> None:
    svg = lattice_svg(chain(Conv(1, 3, padding=1), Conv(1, 3, padding=1), shape=(1, 2)), "conv2")
    assert texts(svg)[-1] == "Dashed: padding."
    assert (count(svg, "padding"), count(svg, "reads")) == (1 + 2, 3 + 2 * 3)
    assert count(lattice_svg(chain(Conv(1, 1, padding=9), shape=(1, 1)), "conv"), "reads") == 1
    blind = lattice_svg(chain(Conv(1, 1, padding=((9, 0),)), Conv(1, 1, 2), Upsample(2), shape=(1, 1)), "upsample")
    ElementTree.fromstring(blind)


def test_a_long_way_is_cut_and_says_so() -> None:
    deep = lattice_svg(chain(*[Conv(1, 3, padding=1)] * 20), "conv20")
    assert texts(deep)[0] == f"What one unit of conv{MOST_ROWS} sees along the width"
    assert texts(deep)[-1] == "Left out: 8 later layers, up to conv20: field 41, jump 1."
    wide = lattice_svg(chain(Conv(1, 7, 2), Conv(1, 7, 2), Conv(1, 7, 2), Conv(1, 7, 2), shape=(1, 224)), "conv4")
    assert texts(wide)[0] == "What one unit of conv3 sees along the length"
    huge = lattice_svg(chain(Conv(1, 10**11), Conv(1, 3), shape=(1, 10**12)), "conv2")
    assert count(huge, "reads") == MOST_UNITS
    assert texts(huge)[-1] == f"Of each row at most the middle {MOST_UNITS} units that are read are drawn."
    fine = lattice_svg(chain(Upsample(10**5), shape=(1, 9)), "upsample")
    for svg in (deep, wide, huge, fine):
        assert len(svg) < 200_000


def test_the_drawing_of_what_needs_arrays_is_refused_beyond_reason() -> None:
    with pytest.raises(GraphError, match=r"upsample reads a map of 1,000,000,000 cells: too many to draw"):
        lattice_svg(chain(Upsample(2), shape=(1, 10**9)), "upsample")


def test_maps_with_other_axes_than_the_input() -> None:
    net = Builder("row")
    row = net(Reshape((2, 48)), net(Conv(2, 3, padding=1), net.input(2, 6, 8)))
    net(Conv(2, (3,), dilation=(2,)), row)
    assert box(net.graph(), "conv2", 43) == (Span(0, 5, None, None), Span(0, 7, None, None))
    assert texts(lattice_svg(net.graph(), "conv2"))[1:3] == ["reshape", "Reshape: field unknown"]


def test_other_axes_and_the_input_itself() -> None:
    graph = chain(Conv(1, (5, 3)), shape=(1, 9, 9))
    assert texts(lattice_svg(graph, "conv", axis=0))[0] == "What one unit of conv sees along the height"
    assert "Conv, kernel 5: field 5, jump 1" in texts(lattice_svg(graph, "conv", axis=-2))
    assert texts(lattice_svg(graph, "input"))[1:] == ["input", "9 cells"]
    with pytest.raises(GraphError, match="axis 2: the input of chain has 2 spatial axes, counted from 0"):
        lattice_svg(graph, "conv", axis=2)


@pytest.mark.parametrize("name", ["lenet5", "efficientnet_lite0", "lecture_pooling_max"])
def test_networks_of_the_zoo_are_drawn(name: str) -> None:
    graph = foveal.create_graph(name)
    svg = lattice_svg(graph, graph.outputs[0])
    assert "prefers-color-scheme:dark" in svg
    assert len(texts(svg)) > 6


def test_a_picture_is_dimmed_outside_the_box() -> None:
    graph = chain(Conv(1, 5, 2, 2), AdaptiveAvgPool(4), shape=(3, 16, 16))
    pixels = np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    drawn = draw_on(pixels, graph, "conv", (3, 0))
    rows, columns = box(graph, "conv", (3, 0))
    assert (rows.first, rows.last, columns.first, columns.last) == (4, 8, 0, 2)
    np.testing.assert_array_equal(drawn[5:8, 1:2], pixels[5:8, 1:2])
    assert (drawn[4:9, 0] == drawn[4, 0]).all() and (drawn[8, 0:3] == drawn[4, 0]).all()
    outside = np.ones((16, 16), bool)
    outside[4:9, 0:3] = False
    assert drawn[outside].max() <= 255 // 4 + 24


def test_a_picture_of_another_size_is_cut_and_scaled() -> None:
    graph = chain(Conv(1, 3, padding=((0, 9), (0, 0))), shape=(3, 8, 12))
    pixels = np.full((40, 30, 3), 200, np.uint8)
    assert draw_on(pixels, graph, "conv", (0, 0)).shape == (8, 12, 3)
    assert (draw_on(pixels, graph, "conv", (14, 0)) == 200 // 4 + 24).all()  # a unit among padding


def test_what_is_no_picture_is_refused() -> None:
    graph = chain(Conv(1, 3), shape=(3, 8, 8))
    for pixels in (np.zeros((8, 8), np.uint8), np.zeros((8, 8, 3)), np.zeros((0, 8, 3), np.uint8)):
        with pytest.raises(DataError, match="expected uint8 of height x width x 3"):
            draw_on(pixels, graph, "conv", (0, 0))
    picture = np.zeros((8, 8, 3), np.uint8)
    with pytest.raises(GraphError, match="chain takes no pictures: its input has 1 spatial axes"):
        draw_on(picture, chain(Conv(1, 3), shape=(3, 8)), "conv", 0)
    with pytest.raises(GraphError, match="chain takes 1,000,000,000,000 pixels: too many to draw"):
        draw_on(picture, chain(Conv(1, 3), shape=(3, 10**6, 10**6)), "conv", (0, 0))
