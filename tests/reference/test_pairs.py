"""Each op of the reference against PyTorch's forward and autograd in float64, and against numerical gradients."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from against_torch import BATCH, by_torch, close, compare, inputs, rounded
from hypothesis import given, reject, settings
from hypothesis import strategies as st

from contracts.op_cases import CASES, COMPUTED
from foveal import ops
from foveal.errors import ShapeError, UsageError, WeightsError
from foveal.modules import MODULES
from foveal.ops import Op
from foveal.reference import OPS
from foveal.reference.norms import moved_statistics
from foveal.shapes import Shape

WINNERS = (ops.MaxPool, ops.MedianPool, ops.GlobalMaxPool, ops.Maxout)
SMOOTH = [case for case in COMPUTED if not isinstance(case[0], WINNERS)]


def test_every_op_has_its_pair() -> None:
    assert OPS.keys() == set(ops.OPS.values()) - {ops.Opaque}


@pytest.mark.parametrize(("op", "shapes"), COMPUTED, ids=str)
def test_forward_and_gradients_are_those_of_torch(op: Op, shapes: tuple[Shape, ...]) -> None:
    compare(by_torch(op, inputs(shapes)))


@pytest.mark.parametrize(("op", "shapes"), COMPUTED, ids=str)
def test_ties_and_kinks_are_those_of_torch(op: Op, shapes: tuple[Shape, ...]) -> None:
    compare(by_torch(op, rounded(inputs(shapes))))


@pytest.mark.parametrize(("op", "shapes"), CASES[ops.BatchNorm] + CASES[ops.Dropout], ids=str)
def test_in_training(op: Op, shapes: tuple[Shape, ...]) -> None:
    compare(by_torch(op, inputs(shapes), training=True))


@pytest.mark.parametrize(("op", "shapes"), CASES[ops.BatchNorm], ids=str)
def test_statistics_move_as_those_of_torch(op: ops.BatchNorm, shapes: tuple[Shape, ...]) -> None:
    (x,) = inputs(shapes)
    module = MODULES[ops.BatchNorm](op, shapes[0]).double()
    module(torch.from_numpy(x))
    start = {"running_mean": np.zeros(x.shape[1]), "running_var": np.ones(x.shape[1])}
    moved = moved_statistics(op, start, x)
    close(moved["running_mean"], module.running_mean.numpy())
    close(moved["running_var"], module.running_var.numpy())


@pytest.mark.parametrize(("op", "shapes"), SMOOTH[::3], ids=str)
def test_gradients_are_numerical_gradients(op: Op, shapes: tuple[Shape, ...]) -> None:
    """The slope of ``sum(gy * y)`` along a random direction through all inputs and arrays: no autograd involved."""
    theirs = by_torch(op, inputs(shapes))
    arrays, xs, gy = theirs.arrays, theirs.xs, theirs.gy
    forward, backward = OPS[type(op)]
    rng, step = np.random.default_rng(2), 1e-6
    ways = [rng.normal(size=x.shape) for x in xs]
    array_ways = {key: rng.normal(size=arrays[key].shape) for key in theirs.garrays}

    def value(t: float) -> float:
        moved = arrays | {key: arrays[key] + t * way for key, way in array_ways.items()}
        return float((gy * forward(op, moved, *(x + t * way for x, way in zip(xs, ways, strict=True)))).sum())

    gxs, gs = backward(op, arrays, xs, forward(op, arrays, *xs), gy)
    slope = sum((g * way).sum() for g, way in zip(gxs, ways, strict=True))
    slope += sum((gs[key] * way).sum() for key, way in array_ways.items())
    assert slope == pytest.approx((value(step) - value(-step)) / (2 * step), rel=1e-5, abs=1e-5)


@pytest.mark.parametrize(("op", "shapes"), COMPUTED, ids=str)
def test_not_a_number_passes_through_as_in_torch(op: Op, shapes: tuple[Shape, ...]) -> None:
    xs = inputs(shapes)
    xs[0].flat[xs[0].size // 3] = np.nan
    theirs = by_torch(op, xs)
    assert np.isnan(theirs.y).any() or isinstance(op, (ops.MedianPool, ops.Slice))  # sorted last there, or cut off
    close(OPS[type(op)].forward(op, theirs.arrays, *xs), theirs.y)


@pytest.mark.parametrize(("op", "shapes"), COMPUTED, ids=str)
def test_float32_stays_float32(op: Op, shapes: tuple[Shape, ...]) -> None:
    theirs = by_torch(op, inputs(shapes))
    arrays = {key: value.astype(np.float32) for key, value in theirs.arrays.items()}
    xs = tuple(x.astype(np.float32) for x in theirs.xs)
    y = OPS[type(op)].forward(op, arrays, *xs)
    gxs, garrays = OPS[type(op)].backward(op, arrays, xs, y, theirs.gy.astype(np.float32))
    assert {array.dtype for array in (y, *gxs, *garrays.values())} == {np.dtype(np.float32)}
    np.testing.assert_allclose(y, theirs.y, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("kind", [ops.MaxPool(3, stride=1, padding=1), ops.GlobalMaxPool()], ids=str)
@pytest.mark.parametrize("values", [[2, 2, 1, 2, 2], [1, np.nan, 2, np.nan, 3], [-np.inf] * 5], ids=str)
def test_winners_are_those_of_torch(kind: Op, values: list[float]) -> None:
    x = np.array([[values], [values[::-1]]], float)
    compare(by_torch(kind, (x,)))


# --- shapes of Hypothesis


@st.composite
def slid(draw: st.DrawFn, *, pool: bool = False) -> tuple[Shape, dict[str, Any]]:
    """A map of one to three spatial axes, and a window that fits it: kernel, stride, padding, dilation."""
    rank = draw(st.integers(1, 3))
    axes = []
    for _ in range(rank):
        kernel, dilation = draw(st.integers(1, 4)), draw(st.integers(1, 3))
        widest = dilation * (kernel - 1) if pool else 3
        sides = draw(st.tuples(st.integers(0, widest), st.integers(0, widest)))
        least = max(dilation * (kernel - 1) + 1 - sum(sides), 1)
        if pool and rank == 3:
            least = max(
                least, dilation * (kernel - 1) + 1
            )  # PyTorch's avg_pool3d does not count the padding when it checks the size
        axes.append((draw(st.integers(least, least + 5)), kernel, draw(st.integers(1, 4)), sides, dilation))
    spatial, kernel, stride, padding, dilation = zip(*axes, strict=True)
    return spatial, {"kernel_size": kernel, "stride": stride, "padding": padding, "dilation": dilation}


@settings(max_examples=40, deadline=None)
@given(slid(), st.integers(1, 3), st.integers(1, 2), st.integers(1, 2), st.booleans())
def test_convolutions_of_any_kind(drawn: Any, groups: int, wide_in: int, wide_out: int, bias: bool) -> None:
    spatial, window = drawn
    op = ops.Conv(groups * wide_out, **window, groups=groups, bias=bias)
    compare(by_torch(op, inputs(((groups * wide_in, *spatial),))))


@settings(max_examples=40, deadline=None)
@given(slid(), st.integers(1, 3), st.integers(1, 2), st.integers(1, 2), st.integers(0, 3))
def test_transposed_convolutions_of_any_kind(drawn: Any, groups: int, wide_in: int, wide_out: int, extra: int) -> None:
    spatial, window = drawn
    limits = (max(pair) for pair in zip(window["stride"], window["dilation"], strict=True))
    window["output_padding"] = tuple(min(extra, limit - 1) for limit in limits)
    op = ops.ConvTranspose(groups * wide_out, **window, groups=groups)
    shape = (groups * wide_in, *spatial)
    try:
        op.output_shape(shape)
    except ShapeError:  # the padding takes all of it away
        window["padding"] = ((0, 0),) * len(spatial)
        op = ops.ConvTranspose(groups * wide_out, **window, groups=groups)
    compare(by_torch(op, inputs((shape,))))


@settings(max_examples=40, deadline=None)
@given(
    slid(pool=True),
    st.sampled_from([(ops.MaxPool, {}), (ops.AvgPool, {}), (ops.AvgPool, {"count_padding": True}), (ops.LpPool, {}),
                     (ops.LpPool, {"p": 1}), (ops.LpPool, {"p": 3.5})]),
    st.booleans(),
    st.booleans(),
)  # fmt: skip
def test_pools_of_any_kind(drawn: Any, kind: tuple[type[Op], dict[str, Any]], ceil_mode: bool, ties: bool) -> None:
    spatial, window = drawn
    op, xs = kind[0](**window, **kind[1], ceil_mode=ceil_mode), inputs(((2, *spatial),))
    try:
        op.output_shape((2, *spatial))
    except ShapeError:  # a dilated window that has its cells around the map
        assert any(n < dilation for n, dilation in zip(spatial, window["dilation"], strict=True))
        reject()
    compare(by_torch(op, rounded(xs) if ties else xs))


# --- refused


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from([ops.Conv, ops.ConvTranspose]),
    st.tuples(st.integers(1, 4), st.integers(1, 5)),
    st.tuples(st.integers(1, 4), st.integers(1, 4), st.integers(1, 4)),
    st.tuples(st.integers(1, 3), st.integers(0, 3), st.integers(1, 2), st.integers(1, 3)),
)
def test_refused_wherever_torch_refuses(
    kind: type[Op], x: tuple[int, int], weight: tuple[int, int, int], options: tuple[int, int, int, int]
) -> None:
    """A map of any size, under any filter: PyTorch's functions and ours both compute the same, or both refuse."""
    (channels, cells), (stride, padding, dilation, groups), transposed = x, options, kind is ops.ConvTranspose
    rng = np.random.default_rng(0)
    image, filters = rng.normal(size=(1, channels, cells)), rng.normal(size=weight)
    function = torch.conv_transpose1d if transposed else torch.conv1d
    named = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    try:
        expected = function(torch.from_numpy(image), torch.from_numpy(filters), **named)
    except RuntimeError:
        expected = None
    op = kind(weight[1] * groups if transposed else weight[0], weight[2], bias=False, **named)
    if expected is None:
        with pytest.raises((ShapeError, WeightsError)):
            OPS[kind].forward(op, {"weight": filters}, image)
    else:
        close(OPS[kind].forward(op, {"weight": filters}, image), expected.numpy())


@pytest.mark.parametrize(
    ("op", "arrays", "shapes", "said"),
    [
        (ops.Conv(4, 3), {}, [(2, 3, 2, 2)], "a kernel of 3 does not fit an input of 2"),
        (ops.Conv(4, 3), {}, [(3, 9)], "Conv takes a map such as 32x32x3, not 9"),
        (ops.Conv(4, 3, bias=False), {}, [(2, 3, 9, 9)], r"Conv lacks its array 'weight', of shape \(4, 3, 3, 3\)"),
        (ops.Conv(4, 1), {"weight": (4, 2, 1, 1), "bias": (4,)}, [(2, 3, 9, 9)], r"needs \(4, 3, 1, 1\)"),
        (ops.Relu(), {"weight": (3,)}, [(2, 3)], "Relu has no array 'weight'; it has none"),
        (ops.Dense(4), {}, [(2, 3, 9, 9)], "Dense takes a flat input"),
        (ops.Dense(4), {}, [(3,)], r"Dense takes batches of one size, \(batch, channels, ...\), not \(3,\)"),
        (ops.Add(), {}, [(2, 3), (1, 3)], r"Add takes batches of one size, .* not \(2, 3\), \(1, 3\)"),
        (ops.Add(), {}, [(2, 3), (2, 4)], "Add needs equal shapes"),
        (ops.Concat(), {}, [(2, 3, 4), (2, 3, 5)], "Concat needs equal spatial sizes"),
        (ops.MaxPool(2, padding=2), {}, [(2, 3, 8)], "leaves windows with no input cell"),
        (ops.BatchNorm(), {"weight": (3,), "bias": (3,)}, [(1, 3)], "more than one value a channel"),
        (ops.BatchNorm(affine=False), {"running_mean": (3,)}, [(2, 3)], "BatchNorm lacks its array 'running_var'"),
        (ops.Dropout(), {"mask": (2, 4)}, [(2, 3)], r"Dropout's mask has the shape \(2, 4\); .* needs \(2, 3\)"),
    ],
)  # fmt: skip
def test_what_is_refused(op: Op, arrays: dict[str, Shape], shapes: list[Shape], said: str) -> None:
    with pytest.raises((ShapeError, WeightsError), match=said):
        OPS[type(op)].forward(op, {key: np.ones(shape) for key, shape in arrays.items()}, *map(np.ones, shapes))


def test_whole_numbers_are_no_floats() -> None:
    with pytest.raises(UsageError, match=r"MaxPool computes with floats, not int64; use .astype\(float\)"):
        OPS[ops.MaxPool].forward(ops.MaxPool(2), {}, np.ones((1, 1, 2, 2), np.int64))


def test_a_gradient_of_another_shape() -> None:
    x = np.ones((BATCH, 3))
    with pytest.raises(ShapeError, match=r"Relu: a gradient of \(2, 4\) for an activation of \(2, 3\)"):
        OPS[ops.Relu].backward(ops.Relu(), {}, (x,), x, np.ones((BATCH, 4)))
