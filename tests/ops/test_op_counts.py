"""The work that is no multiply-accumulate, by hand: an addition, product, comparison or function counts one."""

from __future__ import annotations

import pytest

from foveal import ops
from foveal.ops import OPS, Op
from foveal.shapes import Shape

X = (4, 2, 3)  # 24 values

COUNTS: list[tuple[Op, tuple[Shape, ...], int]] = [
    (ops.Conv(8, 3), ((3, 9, 11),), 8 * 7 * 9),  # the bias; products and sums are MACs
    (ops.Conv(8, 3, bias=False), ((3, 9, 11),), 0),
    (ops.ConvTranspose(5, 3), ((3, 4, 5),), 5 * 6 * 7),
    (ops.ConvTranspose(5, 3, bias=False), ((3, 4, 5),), 0),
    (ops.Dense(7), ((12,),), 7),
    (ops.Dense(7, bias=False), ((12,),), 0),
    (ops.Scale(), (X,), 24),
    (ops.Scale(bias=True), (X,), 48),
    (ops.Offset(), (X,), 24),
    (ops.Rbf(10), ((84,),), 10 * (84 + 84 + 83)),  # differences, squares, sums
    (ops.BatchNorm(), (X,), 48),  # one product and one sum, whatever they are made of
    (ops.BatchNorm(affine=False), (X,), 48),
    (ops.LayerNorm(), (X,), 24 * 7),
    (ops.LayerNorm(affine=False), (X,), 24 * 5),
    (ops.GroupNorm(2), (X,), 24 * 7),
    (ops.GroupNorm(2, affine=False), (X,), 24 * 5),
    (ops.LocalResponseNorm(5), (X,), 24 * (1 + 4 + 1 + 1 + 1 + 1)),
    (ops.Identity(), (X,), 0),
    (ops.Factor(0.17), (X,), 24),
    (ops.Dropout(), (X,), 0),
    (ops.Relu(), (X,), 24),
    (ops.Relu6(), (X,), 24 * 2),
    (ops.LeakyRelu(), (X,), 24 * 2),
    (ops.PRelu(), (X,), 24 * 2),
    (ops.Elu(), (X,), 24 * 4),  # compare, exp, minus 1, times alpha
    (ops.Selu(), (X,), 24 * 5),
    (ops.Gelu(), (X,), 24 * 5),  # x / sqrt 2, erf, plus 1, times x, times 1/2
    (ops.Gelu(approximate=True), (X,), 24 * 9),
    (ops.Silu(), (X,), 24 * 5),
    (ops.Mish(), (X,), 24 * 5),  # exp, plus 1, log, tanh, times x
    (ops.Softplus(), (X,), 24 * 3),
    (ops.Hardsigmoid(), (X,), 24 * 4),
    (ops.Hardswish(), (X,), 24 * 5),
    (ops.Sigmoid(), (X,), 24 * 4),  # minus, exp, plus 1, quotient
    (ops.Tanh(), (X,), 24),
    (ops.Softmax(), (X,), 24 * 3),  # exp, sum, quotient
    (ops.LogSoftmax(), (X,), 24 * 3),  # exp, sum, difference
    (ops.MaxPool(2), ((1, 4, 4),), 4 * 3),
    (ops.MaxPool(3, stride=2, ceil_mode=True), ((1, 4, 4),), 4 * 8),
    (ops.AvgPool(2), ((1, 4, 4),), 4 * (3 + 1)),
    (ops.MaxPool(2, stride=1, dilation=3), ((1, 4, 4),), 3),
    (ops.AvgPool(2, stride=1, dilation=2), ((1, 4, 4),), 4 * (3 + 1)),
    (ops.LpPool(2, p=3), ((1, 4, 4),), 4 * (4 + 4 + 3 + 1)),  # absolute values, powers, sums, the root
    (ops.MedianPool(2), ((1, 4, 4),), 4 * 4 * 2),  # 4 log2 4 comparisons a window
    (ops.MedianPool(3, stride=1), ((1, 4, 4),), 4 * 29),  # 9 log2 9 = 28.5
    (ops.MedianPool(1), ((1, 4, 4),), 0),
    (ops.GlobalAvgPool(), (X,), 4 * (5 + 1)),
    (ops.GlobalMaxPool(), (X,), 4 * 5),
    (ops.AdaptiveAvgPool(3), ((2, 7),), 2 * (3 + 3 + 3)),  # cells 0-2, 2-4, 4-6
    (ops.AdaptiveAvgPool((2, 3)), ((1, 4, 6),), 24),
    (ops.AdaptiveAvgPool(5), ((1, 3),), 1 + 2 + 1 + 2 + 1),
    (ops.Maxout(2), (X,), 12),
    (ops.Flatten(), (X,), 0),
    (ops.Reshape((24,)), (X,), 0),
    (ops.Pad(1), (X,), 0),
    (ops.PadChannels(1, 2), (X,), 0),
    (ops.Slice(0, 2), (X,), 0),
    (ops.ChannelShuffle(2), (X,), 0),
    (ops.PixelShuffle(2), (X,), 0),
    (ops.Upsample(2), (X,), 0),
    (ops.Upsample(2, "linear"), ((1, 3),), 6 * (2 + 1)),  # two products, one sum
    (ops.Upsample(2, "linear"), ((1, 2, 2),), 16 * (4 + 3)),
    (ops.Upsample(2, "linear"), ((1, 1, 1, 1),), 8 * (8 + 7)),
    (ops.Add(), (X, X), 24),
    (ops.Add(), (X, X, X), 48),
    (ops.Multiply(), ((4, 1, 1), X), 24),
    (ops.Multiply(), (X, X, X), 48),
    (ops.Concat(), (X, X), 0),
    (ops.Opaque("custom", X), (X,), 0),  # not known; totals say so
]


@pytest.mark.parametrize(("op", "shapes", "count"), COUNTS, ids=str)
def test_other_ops_by_hand(op: Op, shapes: tuple[Shape, ...], count: int) -> None:
    assert op.other_ops(*shapes) == count


def test_every_op_is_counted() -> None:
    assert {type(op) for op, _, _ in COUNTS} == set(OPS.values())
