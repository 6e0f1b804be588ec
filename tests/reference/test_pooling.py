"""The lectures' pooling exercise, its gradient, and which pooling commutes with ReLU."""

from __future__ import annotations

import numpy as np
import pytest
from against_torch import close, inputs

from foveal import ops
from foveal.ops import Op
from foveal.reference import OPS
from foveal.reference.base import Array

EXERCISE = np.array([[1, 1, 2, 5], [5, 7, 7, 8], [3, 1, 1, 0], [1, 2, 3, 4]], float)[None, None]
RELU = ops.Relu()


def pooled(op: Op, x: Array) -> Array:
    return OPS[type(op)].forward(op, {}, x)


def handed_back(op: Op, x: Array, gy: Array) -> Array:
    (gx,), _ = OPS[type(op)].backward(op, {}, (x,), pooled(op, x), gy)
    return gx


@pytest.mark.parametrize(
    ("op", "expected"),
    [
        (ops.MaxPool(2), [[7, 8], [3, 4]]),
        (ops.AvgPool(2), [[3.5, 5.5], [1.75, 2]]),
        (ops.MedianPool(2), [[3, 6], [1.5, 2]]),
        (ops.MaxPool(2, stride=1), [[7, 7, 8], [7, 7, 8], [3, 3, 4]]),
    ],
    ids=str,
)
def test_the_exercise(op: Op, expected: list[list[float]]) -> None:
    close(pooled(op, EXERCISE)[0, 0], np.array(expected, float))


def test_overlapping_windows_add_up_and_keep_the_sum() -> None:
    """3x3 windows, stride 1: the 8 wins both windows that hold it; of the two sevens the one read first the others."""
    gy = np.array([[1.0, 10], [100, 1000]])[None, None]
    gx = handed_back(ops.MaxPool(3, stride=1), EXERCISE, gy)
    expected = np.zeros((4, 4))
    expected[1, 1], expected[1, 3] = 1 + 100, 10 + 1000
    close(gx[0, 0], expected)
    assert gx.sum() == gy.sum() == 1111


@pytest.mark.parametrize(
    "op", [ops.MaxPool(3, stride=1), ops.MaxPool(3, 2, padding=1), ops.AvgPool(3, 1), ops.MedianPool(2, 1)], ids=str
)
def test_pooling_keeps_the_sum_of_the_gradient(op: Op) -> None:
    (x,) = inputs(((3, 7, 7),))
    gy = np.random.default_rng(0).normal(size=pooled(op, x).shape)
    assert handed_back(op, x, gy).sum() == pytest.approx(gy.sum())


def test_max_pooling_commutes_with_relu_average_pooling_does_not() -> None:
    (x,) = inputs(((3, 8, 8),))
    for op, commutes in ((ops.MaxPool(2), True), (ops.MaxPool(3, 1), True), (ops.AvgPool(2), False)):
        after, before = pooled(RELU, pooled(op, x)), pooled(op, pooled(RELU, x))
        assert np.array_equal(after, before) is commutes
