"""A layer as its matrix: times the input it is the layer, by PyTorch; and how it is written and drawn."""

from __future__ import annotations

import math
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
import torch

from foveal.errors import ShapeError, UsageError
from foveal.ops import Conv, ConvTranspose, Dense, MaxPool, Op
from foveal.shapes import Shape
from foveal.teaching.layer_matrix import letters, matrix_drawing, matrix_text, weight_numbers

LAYERS: list[tuple[Op, Shape]] = [
    (Conv(1, 3), (1, 4, 4)),
    (Conv(2, 3, 2, "same", bias=False), (2, 5, 4)),
    (Conv(4, 2, groups=2, dilation=2), (2, 4, 4)),
    (Conv(2, 3, padding=1), (1, 7)),
    (ConvTranspose(2, 3, 2), (1, 2, 2)),
    (Dense(3), (5,)),
]
TORCHS = {
    Conv: lambda op, x, w: torch.nn.functional.conv2d(x, w, None, op.stride, 0, op.dilation, op.groups),
    ConvTranspose: lambda op, x, w: torch.nn.functional.conv_transpose2d(x, w, None, op.stride),
    Dense: lambda op, x, w: x @ w.T,
}


@pytest.mark.parametrize(("op", "shape"), [LAYERS[i] for i in (0, 2, 4, 5)])
def test_times_the_input_it_is_torchs_layer(op: Op, shape: Shape) -> None:
    random = np.random.default_rng(3)
    weight, x = random.normal(size=op.parameters(shape)["weight"]), random.normal(size=shape)
    matrix = np.concatenate([[0], weight.ravel()])[weight_numbers(op, shape)]
    theirs = TORCHS[type(op)](op, torch.from_numpy(x)[None], torch.from_numpy(weight))
    assert np.allclose(matrix @ x.ravel(), theirs.numpy().ravel())


def test_a_convolution_of_three_by_three() -> None:
    """Every row the nine weights, in the four places that the filter takes on 4 x 4."""
    rows = weight_numbers(Conv(1, 3), (1, 4, 4))
    filter_ = np.arange(1, 10).reshape(3, 3)
    for row, (top, left) in zip(rows, np.ndindex(2, 2), strict=True):
        expected = np.zeros((4, 4), int)
        expected[top : top + 3, left : left + 3] = filter_
        assert np.array_equal(row.reshape(4, 4), expected)


def test_letters_go_on_as_columns_do() -> None:
    assert [letters(n) for n in (1, 2, 26, 27, 52, 53, 702, 703)] == ["a", "b", "z", "aa", "az", "ba", "zz", "aaa"]


def test_written_out() -> None:
    assert list(matrix_text(Conv(1, 2), (1, 2, 3))) == [
        "2x3x1 -> 1x2x1: a matrix of 2 x 6, times the input in one column",
        "8 of its 12 entries are connections, the others 0; they share 4 weights",
        "the biases are added to the product and are not part of it",
        "  w[0,0]   a b",
        "           c d",
        "            columns: x[0,0,0] to x[0,1,2]",
        "  y[0,0,0]  a b .  c d .",
        "  y[0,0,1]  . a b  . c d",
    ]
    dense = list(matrix_text(Dense(2, bias=False), (3,)))
    assert dense[1:] == [
        "6 of its 6 entries are connections, the others 0; each has a weight of its own",
        "        columns: x[0] to x[2]",
        "  y[0]  a b c",
        "  y[1]  d e f",
    ]


@pytest.mark.parametrize(("op", "shape"), LAYERS)
def test_text_and_drawing_have_every_connection(op: Op, shape: Shape) -> None:
    numbers = weight_numbers(op, shape)
    lines = [line for line in matrix_text(op, shape) if line.startswith("  y[")]
    cells = [line.split()[1:] for line in lines]
    assert [[letters(int(n)) or "." for n in row] for row in numbers] == cells
    root = ElementTree.fromstring(matrix_drawing(op, shape))
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    rects = [one for one in root if one.tag.endswith("rect")]
    assert len(rects) == 1 + np.count_nonzero(numbers)
    fills = {one.get("fill") for one in rects[1:]}
    assert len(fills) == len(np.unique(numbers[numbers > 0]))
    assert [one.text for one in root if one.tag.endswith("text")] == [letters(int(n)) for n in numbers[numbers > 0]]


def test_a_larger_one_is_drawn_without_letters() -> None:
    op, shape = Conv(1, 3), (1, 12, 12)
    root = ElementTree.fromstring(matrix_drawing(op, shape))
    assert not [one for one in root if one.tag.endswith("text")]
    assert len([one for one in root if one.tag.endswith("rect")]) == 1 + op.macs(shape)
    assert root.get("width") == str(5 * math.prod(shape))


def test_refusals() -> None:
    with pytest.raises(UsageError, match="has 14,400 x 3,072 entries; up to 64 x 64 can be seen: take a smaller input"):
        list(matrix_text(Conv(16, 3), (3, 32, 32)))
    with pytest.raises(UsageError, match="up to 256 x 256 can be seen"):
        matrix_drawing(Conv(16, 3), (3, 32, 32))
    with pytest.raises(UsageError, match="MaxPool is no product with a matrix; take conv, deconv or dense"):
        list(matrix_text(MaxPool(2), (1, 4, 4)))
    with pytest.raises(ShapeError, match="a kernel of 3 does not fit an input of 2"):
        list(matrix_text(Conv(1, 3), (1, 2, 2)))
