"""What an op refuses: fields out of range when it is made, shapes it cannot take when it is asked."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from foveal import ops
from foveal.errors import GraphError, ShapeError, UnknownName
from foveal.graph import Graph, Node
from foveal.ops import Op, op_from_json
from foveal.shapes import Shape


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: ops.Conv(0, 3), r"Conv.out_channels = 0; expected a whole number of at least 1"),
        (lambda: ops.Conv(8, -1), r"Conv.kernel_size = -1"),
        (lambda: ops.Conv(8, 3, padding="valid"), r"Conv.padding = 'valid'.*'same'"),
        (lambda: ops.Conv(8, 3, padding=-1), r"Conv.padding = -1"),
        (lambda: ops.Conv(8, 3, padding=((1, 2), (3,))), r"Conv.padding"),
        (lambda: ops.Conv(8, 3, bias=1), r"Conv.bias = 1; expected true or false"),
        (lambda: ops.Conv(True, 3), r"Conv.out_channels = True"),
        (lambda: ops.Conv(8.0, 3), r"Conv.out_channels = 8.0"),
        (lambda: ops.Conv(10**13, 3), r"Conv.out_channels"),
        (lambda: ops.ConvTranspose(8, 3, output_padding=-1), r"ConvTranspose.output_padding = -1; .* at least 0, or"),
        (lambda: ops.Dropout(1.0), r"Dropout.p = 1.0; expected a number from 0 up to, not including, 1"),
        (lambda: ops.BatchNorm(eps=float("nan")), r"BatchNorm.eps = nan; expected a number of at least 0"),
        (lambda: ops.LeakyRelu("0.1"), r"LeakyRelu.negative_slope = '0.1'"),
        (lambda: ops.Factor(float("inf")), r"Factor.value = inf; expected a number between minus a million and a mill"),
        (lambda: ops.Factor(-2e6), r"Factor.value = -2000000.0; expected a number between"),
        (lambda: ops.Factor(True), r"Factor.value = True"),
        (lambda: ops.Rbf(0), r"Rbf.out_features = 0; expected a whole number of at least 1"),
        (lambda: ops.PadChannels(-1, 0), r"PadChannels.before = -1; expected a whole number of at least 0"),
        (lambda: ops.GroupNorm(0), r"GroupNorm.groups = 0"),
        (lambda: ops.MaxPool((2, 2, 2, 2)), r"MaxPool.kernel_size"),
        (lambda: ops.MaxPool(2, ceil_mode=None), r"MaxPool.ceil_mode = None; expected true or false"),
        (lambda: ops.AvgPool(2, dilation=0), r"AvgPool.dilation = 0; expected a whole number of at least 1"),
        (lambda: ops.LpPool(2, p=0.5), r"LpPool.p = 0.5; expected a number of at least 1 and below a thousand"),
        (lambda: ops.Maxout(0), r"Maxout.pieces = 0"),
        (lambda: ops.Reshape(()), r"Reshape.shape = \(\); expected one to four whole numbers of at least 1"),
        (lambda: ops.Reshape((2, -1)), r"Reshape.shape = \(2, -1\)"),
        (lambda: ops.Slice(-1, 2), r"Slice.start = -1; expected a whole number of at least 0"),
        (lambda: ops.Slice(0, 2, step=0), r"Slice.step = 0"),
        (lambda: ops.Upsample(2, "cubic"), r"Upsample.mode = 'cubic'; expected 'nearest' or 'linear'"),
        (lambda: ops.Upsample(1.5), r"Upsample.scale = 1.5"),
        (lambda: ops.Upsample(2, ["linear"]), r"Upsample.mode = \['linear'\]"),
        (lambda: ops.Opaque("a\x1b[31m", (3,)), r"Opaque.label = 'a\\x1b\[31m'; expected up to 80 printable"),
        (lambda: ops.Opaque("a", (3,), ((0,),)), r"Opaque.weights = \(\(0,\),\); expected a list of shapes"),
        (lambda: ops.Opaque("a", (3,), ((), (2,))), r"Opaque.weights"),
    ],
)
def test_fields_out_of_range(make: Callable[[], Op], said: str) -> None:
    with pytest.raises(GraphError, match=said):
        make()


@pytest.mark.parametrize(
    ("op", "shapes", "said"),
    [
        (ops.Conv(8, 3), ((3, 2, 2),), "a kernel of 3 does not fit an input of 2 with padding 0"),
        (ops.Conv(8, 3, groups=2), ((3, 9, 9),), "3 input channels do not divide into 2 groups"),
        (ops.Conv(9, 3, groups=2), ((4, 9, 9),), "9 output channels do not divide into 2 groups"),
        (ops.Conv(8, (3, 3)), ((3, 9),), "has 2 numbers, but the input has 1 spatial axes"),
        (ops.Conv(8, 3), ((3,),), "takes a map"),
        (ops.ConvTranspose(4, 3, groups=2), ((3, 4, 4),), "3 input channels do not divide into 2 groups"),
        (ops.ConvTranspose(5, 3, groups=2), ((4, 4, 4),), "5 output channels do not divide into 2 groups"),
        (ops.ConvTranspose(4, 3, padding=2), ((3, 2, 2),), "leaves nothing of 2 cells under padding 2.*lower the pad"),
        (ops.ConvTranspose(4, 3, 2, output_padding=2), ((3, 4, 4),), "output_padding 2 must be smaller than the"),
        (ops.ConvTranspose(4, 3, 2, "same", 1), ((3, 4, 4),), "'same' decides the output_padding itself"),
        (ops.ConvTranspose(4, 3, output_padding=(0, 0)), ((3, 9),), "has 2 numbers, but the input has 1"),
        (ops.ConvTranspose(4, 3), ((3,),), "ConvTranspose takes a map"),
        (ops.Dense(8), ((3, 4, 4),), "takes a flat input, not 4x4x3; put Flatten before it"),
        (ops.Rbf(8), ((3, 4, 4),), "Rbf takes a flat input, not 4x4x3; put Flatten before it"),
        (ops.Offset(), ((3,), (3,)), "Offset takes one input, not 2"),
        (ops.PadChannels(1, 1), ((6,),), "PadChannels takes a map such as 32x32x3, not 6"),
        (ops.GroupNorm(4), ((6, 3, 3),), "6 channels do not divide into 4 groups"),
        (ops.LocalResponseNorm(5), ((6,),), "LocalResponseNorm takes a map such as 32x32x3, not 6"),
        (ops.Relu(), ((3,), (3,)), "Relu takes one input, not 2"),
        (ops.Scale(), (), "Scale takes one input, not 0"),
        (ops.MaxPool(2, padding=2), ((3, 8, 8),), "windows with no input cell"),
        (ops.MaxPool(2, padding=((0, 2), (0, 0)), ceil_mode=True), ((3, 8, 8),), "windows with no input cell"),
        (ops.AvgPool(2, padding=2, ceil_mode=True), ((3, 8, 8),), "padding 2 under a pooling window of 2"),
        (ops.MaxPool(2, padding=3, dilation=2), ((3, 8, 8),), "padding 3 under a pooling window of 3 leaves windows"),
        (ops.AvgPool(2, 1, 1, dilation=2), ((3, 1, 8),), "windows with no input cell"),  # at -1 and 1 of one cell
        (ops.MaxPool(2, 1, 2, dilation=3), ((3, 2),), "windows with no input cell"),  # the second: at -1 and 2
        (ops.LpPool(3, dilation=4), ((3, 8),), "a kernel of 3 dilated by 4 does not fit an input of 8"),
        (ops.Maxout(4), ((6, 3, 3),), "6 channels do not divide into pieces of 4"),
        (ops.AvgPool(9, ceil_mode=True), ((3, 8, 8),), "a kernel of 9 does not fit an input of 8"),
        (ops.MedianPool(3), ((3, 2, 2),), "a kernel of 3 does not fit an input of 2"),
        (ops.GlobalMaxPool(), ((3,),), "GlobalMaxPool takes a map"),
        (ops.AdaptiveAvgPool((2, 2)), ((3, 9),), "has 2 numbers, but the input has 1"),
        (ops.Reshape((5, 5)), ((6, 2, 2),), "2x2x6 has 24 values, 5x5 has 25"),
        (ops.Pad("same"), ((3, 4, 4),), "Pad has no window.*give numbers"),
        (ops.Pad((1, 1, 1)), ((3, 4, 4),), "is for 3 axes, but the input has 2"),
        (ops.Slice(0, 5), ((4, 3, 3),), "Slice takes 0:5 of axis 0, which 3x3x4 does not have"),
        (ops.Slice(3, 3), ((4, 3, 3),), "Slice takes 3:3 of axis 0"),
        (ops.Slice(0, 1, axis=3), ((4, 3, 3),), "Slice takes 0:1 of axis 3"),
        (ops.ChannelShuffle(3), ((4, 3, 3),), "4 channels do not divide into 3 groups"),
        (ops.PixelShuffle(2), ((6, 3, 3),), r"takes H x W x \(a multiple of 4\), not 3x3x6"),
        (ops.PixelShuffle(2), ((8, 3),), r"takes H x W x \(a multiple of 4\), not 3x8"),
        (ops.Upsample((2, 2)), ((3, 9),), "has 2 numbers, but the input has 1"),
        (ops.Add(), ((3, 4, 4), (3, 4, 5)), "Add needs equal shapes, not 4x4x3 and 4x5x3"),
        (ops.Add(), ((3,),), "at least two inputs"),
        (ops.Multiply(), ((3, 4, 4), (3, 4, 2)), "Multiply needs equal shapes, or 1 where one serves all, not 4x4"),
        (ops.Multiply(), ((3, 4, 4), (3,)), "Multiply needs equal shapes"),
        (ops.Multiply(), ((3,),), "at least two inputs"),
        (ops.Concat(), ((3, 4, 4), (3, 5, 4)), "Concat needs equal spatial sizes"),
        (ops.Concat(), (), "Concat takes at least one input"),
        (ops.Opaque("custom", (3,)), (), "Opaque takes at least one input"),
    ],
    ids=str,
)  # fmt: skip
def test_shapes_that_do_not_fit(op: Op, shapes: tuple[Shape, ...], said: str) -> None:
    with pytest.raises(ShapeError, match=said):
        op.output_shape(*shapes)


def test_pooling_with_gaps_as_wide_as_the_map() -> None:
    """Windows that begin in the padding reach the map as long as no gap swallows it."""
    assert ops.AvgPool(3, 1, "same", dilation=8).output_shape((3, 7, 7)) == (3, 7, 7)
    assert ops.MaxPool(3, 1, "same", dilation=2).output_shape((3, 1, 1)) == (3, 1, 1)
    vast = 10**11
    assert ops.MaxPool(vast, 1, vast // 2, dilation=2).output_shape((1, 2 * vast)) == (1, 10**11 + 2)


def test_a_field_that_is_new_has_its_default_in_older_files() -> None:
    old = {"op": "MaxPool", "kernel_size": 2, "stride": None, "padding": 0, "ceil_mode": False}
    assert op_from_json(old) == ops.MaxPool(2)


def test_unknown_ops_and_fields_name_what_is_near() -> None:
    with pytest.raises(UnknownName, match="did you mean Conv"):
        op_from_json({"op": "Convv"})
    with pytest.raises(GraphError, match="Conv has no field 'filters'"):
        op_from_json({"op": "Conv", "out_channels": 3, "kernel_size": 3, "filters": 3})
    with pytest.raises(GraphError, match="a field is missing"):
        op_from_json({"op": "Conv", "kernel_size": 3})


def test_weights_that_cannot_be_shared() -> None:
    bare = ops.BatchNorm(affine=False)
    wider = Node("two", ops.Concat(), ("a", "a")), Node("b", bare, ("two",), "a")
    flat = (
        Node("pool", ops.GlobalAvgPool(), ("a",)),
        Node("row", ops.Flatten(), ("pool",)),
        Node("b", bare, ("row",), "a"),
    )
    for nodes in (wider, flat):  # statistics of another width; another number of axes
        with pytest.raises(
            GraphError, match="b cannot share the weights of a: the ops or their weights' shapes differ"
        ):
            Graph("shared", (4, 6, 6), (Node("a", bare, ("input",)), *nodes), ("b",))
