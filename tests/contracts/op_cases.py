"""Every op on inputs that ask something of it: what the suites over all ops walk."""

from __future__ import annotations

from foveal import ops
from foveal.graph import Graph, Node
from foveal.ops import Op
from foveal.shapes import Shape

Case = tuple[Op, tuple[Shape, ...]]
ONE, MAP, SOLID, FLAT = ((6, 9),), ((6, 5, 4),), ((6, 3, 4, 5),), ((6,),)
"""One input of one, two, three and no spatial axes."""

CASES: dict[type[Op], list[Case]] = {
    ops.Conv: [
        (ops.Conv(8, 3), ((3, 9, 11),)),
        (ops.Conv(8, (3, 5), stride=(2, 1), padding=(1, 2), dilation=(1, 2), bias=False), ((4, 12, 13),)),
        (ops.Conv(6, 5, stride=2, padding="same", groups=2), ((4, 32, 31),)),
        (ops.Conv(6, 4, padding="same"), ((4, 9, 9),)),
        (ops.Conv(4, 3, padding=((0, 2), (1, 0)), groups=4), ((4, 7, 8),)),
        (ops.Conv(5, 3, padding=1), ((2, 20),)),
        (ops.Conv(5, 3, stride=2, padding="same"), ((2, 6, 7, 8),)),
    ],
    ops.ConvTranspose: [
        (ops.ConvTranspose(5, 3), ((3, 4, 5),)),
        (ops.ConvTranspose(6, 4, stride=2, padding=1, groups=2), ((4, 5, 6),)),
        (ops.ConvTranspose(6, 3, stride=2, padding=1, output_padding=1, bias=False), ((4, 5, 6),)),
        (ops.ConvTranspose(3, 3, stride=2, padding="same"), ((2, 4, 5),)),
        (ops.ConvTranspose(3, 4, stride=2, padding="same"), ((2, 4, 5),)),
        (ops.ConvTranspose(3, 2, stride=3, padding="same"), ((2, 4, 5),)),
        (ops.ConvTranspose(3, 4, padding="same", groups=3), ((3, 4, 5),)),
        (ops.ConvTranspose(3, (3, 2), stride=(3, 2), dilation=(2, 3), padding=(1, 0)), ((2, 4, 5),)),
        (ops.ConvTranspose(3, 3, stride=2, dilation=3, output_padding=2, padding=((0, 3), (2, 1))), ((2, 4, 5),)),
        (ops.ConvTranspose(3, 4, padding=((3, 0), (0, 3))), ((2, 4, 5),)),
        (ops.ConvTranspose(3, 3, stride=2, padding=((2, 0),)), ((2, 7),)),
        (ops.ConvTranspose(4, 3, stride=2, padding="same"), ((2, 3, 2, 4),)),
    ],
    ops.Dense: [(ops.Dense(7), ((12,),)), (ops.Dense(3, bias=False), ((5,),))],
    ops.Scale: [(ops.Scale(), MAP), (ops.Scale(bias=True), ONE), (ops.Scale(bias=True), FLAT), (ops.Scale(), SOLID)],
    ops.Offset: [(ops.Offset(), MAP), (ops.Offset(), ONE), (ops.Offset(), FLAT), (ops.Offset(), SOLID)],
    ops.Rbf: [(ops.Rbf(4), FLAT), (ops.Rbf(1), ((3,),))],
    ops.BatchNorm: [
        (ops.BatchNorm(), MAP),
        (ops.BatchNorm(eps=1e-3), ONE),
        (ops.BatchNorm(), FLAT),
        (ops.BatchNorm(), SOLID),
        (ops.BatchNorm(affine=False), MAP),
    ],
    ops.LayerNorm: [
        (ops.LayerNorm(), MAP),
        (ops.LayerNorm(eps=1e-2), ONE),
        (ops.LayerNorm(), FLAT),
        (ops.LayerNorm(affine=False), SOLID),
    ],
    ops.GroupNorm: [
        (ops.GroupNorm(2), MAP),
        (ops.GroupNorm(6, affine=False), MAP),
        (ops.GroupNorm(1, eps=1e-2), ONE),
        (ops.GroupNorm(3), FLAT),
        (ops.GroupNorm(2), SOLID),
    ],
    ops.LocalResponseNorm: [
        (ops.LocalResponseNorm(5, alpha=0.5, beta=0.6, k=2.0), MAP),
        (ops.LocalResponseNorm(4, alpha=0.5), ONE),
        (ops.LocalResponseNorm(15, alpha=0.5), SOLID),  # more than there are channels
    ],
    **{
        op: [(op(), MAP), (op(), FLAT)]
        for op in (
            ops.Identity, ops.Relu, ops.Relu6, ops.Selu, ops.Silu, ops.Mish, ops.Softplus, ops.Hardsigmoid,
            ops.Hardswish, ops.Sigmoid, ops.Tanh, ops.Dropout,
        )
    },
    ops.Factor: [(ops.Factor(0.17), MAP), (ops.Factor(-1), FLAT)],
    ops.LeakyRelu: [(ops.LeakyRelu(), MAP), (ops.LeakyRelu(0.2), FLAT)],
    ops.PRelu: [(ops.PRelu(), MAP), (ops.PRelu(), ONE), (ops.PRelu(), FLAT), (ops.PRelu(), SOLID)],
    ops.Elu: [(ops.Elu(), MAP), (ops.Elu(0.3), FLAT)],
    ops.Gelu: [(ops.Gelu(), MAP), (ops.Gelu(approximate=True), FLAT)],
    ops.Softmax: [(ops.Softmax(), FLAT), (ops.Softmax(), MAP), (ops.Softmax(), SOLID)],
    ops.LogSoftmax: [(ops.LogSoftmax(), FLAT), (ops.LogSoftmax(), MAP), (ops.LogSoftmax(), SOLID)],
    ops.MaxPool: [
        (ops.MaxPool(2), ((3, 9, 8),)),
        (ops.MaxPool(3, stride=2, padding=1), ((3, 10, 11),)),
        (ops.MaxPool(3, stride=2, padding="same"), ((3, 10, 11),)),
        (ops.MaxPool((2, 3), stride=1, padding=((1, 0), (0, 2))), ((3, 6, 6),)),
        (ops.MaxPool(3, stride=2, ceil_mode=True), ((3, 10, 11),)),
        (ops.MaxPool(2, stride=3, padding=1, ceil_mode=True), ((3, 6, 8),)),  # a last window all in the padding
        (ops.MaxPool(3, stride=2, padding=((0, 1), (2, 0)), ceil_mode=True), ((3, 9, 10),)),
        (ops.MaxPool(3, stride=2, padding=2, ceil_mode=True), ((3, 8),)),
        (ops.MaxPool((2, 3, 2), stride=2, ceil_mode=True), ((2, 5, 6, 7),)),
        (ops.MaxPool(2, stride=1, dilation=3), ((3, 7, 8),)),
        (ops.MaxPool((2, 3), stride=(2, 1), padding=1, ceil_mode=True, dilation=(1, 2)), ((3, 6, 8),)),
        (ops.MaxPool(3, stride=2, padding="same", dilation=3), ((3, 9, 10),)),
        (ops.MaxPool(2, stride=2, padding=((2, 0),), dilation=3), ((3, 8),)),
    ],
    ops.AvgPool: [
        (ops.AvgPool(2), ((3, 8, 9),)),
        (ops.AvgPool(3, stride=2, padding=1), ((3, 9, 10),)),
        (ops.AvgPool(3, stride=2, padding=1, count_padding=True), ((3, 9, 10),)),
        (ops.AvgPool(3, stride=2, padding="same"), ((3, 10, 9),)),
        (ops.AvgPool(3, stride=2, padding=((0, 2), (1, 0)), count_padding=True), ((3, 8, 8),)),
        (ops.AvgPool(3, stride=2, ceil_mode=True), ((3, 10, 11),)),
        (ops.AvgPool(3, stride=2, padding=1, count_padding=True, ceil_mode=True), ((3, 10, 11),)),
        (ops.AvgPool(2, stride=3, padding=1, count_padding=True, ceil_mode=True), ((3, 6, 8),)),
        (ops.AvgPool(3, stride=2, padding=((0, 1), (2, 0)), count_padding=True, ceil_mode=True), ((3, 8, 10),)),
        (ops.AvgPool(3, stride=3, padding=((2, 1),), ceil_mode=True), ((3, 8),)),
        (ops.AvgPool(2, padding=1, count_padding=True, ceil_mode=True), ((2, 3, 4, 5),)),
        (ops.AvgPool(2, stride=1, dilation=3), ((3, 7, 8),)),
        (ops.AvgPool(2, stride=3, padding=(1, 0), count_padding=True, ceil_mode=True, dilation=2), ((2, 6, 8),)),
        (ops.AvgPool(3, stride=2, padding="same", dilation=(1, 3)), ((3, 9, 10),)),
        (ops.AvgPool(2, stride=2, padding=((2, 0),), dilation=3), ((3, 8),)),
    ],
    ops.LpPool: [
        (ops.LpPool(2), ((3, 8, 9),)),
        (ops.LpPool(3, stride=2, padding=1, p=3), ((3, 9, 10),)),
        (ops.LpPool((2, 3), stride=1, padding=((1, 0), (0, 2)), p=1), ((3, 5, 6),)),
        (ops.LpPool(3, stride=2, padding="same", p=1.5, ceil_mode=True), ((3, 10),)),
        (ops.LpPool(2, stride=(1, 2), p=4, dilation=(2, 3)), ((3, 6, 8),)),
        (ops.LpPool(1, p=3), ((2, 3, 4, 2),)),
    ],
    ops.MedianPool: [
        (ops.MedianPool(2), ((2, 6, 7),)),
        (ops.MedianPool((3, 2), stride=(1, 2)), ((2, 6, 7),)),
        (ops.MedianPool(3, stride=2), ((2, 9),)),
        (ops.MedianPool(2), ((2, 4, 5, 4),)),
        (ops.MedianPool(1), ((2, 3, 3),)),
    ],
    ops.GlobalAvgPool: [(ops.GlobalAvgPool(), shapes) for shapes in (ONE, MAP, SOLID)],
    ops.GlobalMaxPool: [(ops.GlobalMaxPool(), shapes) for shapes in (ONE, MAP, SOLID)],
    ops.AdaptiveAvgPool: [
        (ops.AdaptiveAvgPool(3), ((2, 7, 8),)),
        (ops.AdaptiveAvgPool((2, 5)), ((2, 6, 3),)),
        (ops.AdaptiveAvgPool(4), ((2, 9),)),
        (ops.AdaptiveAvgPool((1, 2, 3)), ((2, 3, 4, 5),)),
    ],
    ops.Maxout: [(ops.Maxout(2), MAP), (ops.Maxout(3), ONE), (ops.Maxout(6), SOLID), (ops.Maxout(2), FLAT)],
    ops.Flatten: [(ops.Flatten(), MAP), (ops.Flatten(), SOLID), (ops.Flatten(), FLAT)],
    ops.Reshape: [
        (ops.Reshape((2, 3, 4)), ((24,),)),
        (ops.Reshape((10, 12)), MAP),
        (ops.Reshape((2, 3, 4, 5)), MAP),
        (ops.Reshape((120,)), MAP),
    ],
    ops.Pad: [
        (ops.Pad(1), MAP),
        (ops.Pad((0, 2)), MAP),
        (ops.Pad(((1, 2), (3, 0))), MAP),
        (ops.Pad(((0, 2),)), ONE),
        (ops.Pad((1, 0, 2)), SOLID),
    ],
    ops.PadChannels: [
        (ops.PadChannels(2, 3), MAP),
        (ops.PadChannels(0, 6), ONE),
        (ops.PadChannels(1, 0), SOLID),
    ],
    ops.Slice: [
        (ops.Slice(1, 5, 2), MAP),
        (ops.Slice(0, 4, axis=2), MAP),
        (ops.Slice(2, 6, step=3), FLAT),
        (ops.Slice(1, 3, axis=3), SOLID),
    ],
    ops.ChannelShuffle: [(ops.ChannelShuffle(3), ONE), (ops.ChannelShuffle(2), MAP), (ops.ChannelShuffle(3), SOLID)],
    ops.PixelShuffle: [(ops.PixelShuffle(2), ((8, 3, 4),)), (ops.PixelShuffle(3), ((9, 2, 1),))],
    ops.Upsample: [
        (ops.Upsample(2), MAP),
        (ops.Upsample((1, 3)), MAP),
        (ops.Upsample(3), ONE),
        (ops.Upsample((2, 1, 3)), SOLID),
        (ops.Upsample(2, "linear"), MAP),
        (ops.Upsample((3, 1), "linear"), MAP),
        (ops.Upsample(3, "linear"), ONE),
        (ops.Upsample((2, 3, 4), "linear"), SOLID),
    ],
    ops.Add: [(ops.Add(), MAP * 2), (ops.Add(), ((5,),) * 3)],
    ops.Multiply: [
        (ops.Multiply(), MAP * 3),
        (ops.Multiply(), ((6, 1, 1), (6, 5, 4))),
        (ops.Multiply(), ((1, 5, 4), (6, 5, 4))),
        (ops.Multiply(), ((6, 5, 1), (6, 1, 4))),
        (ops.Multiply(), ((6, 1), (6, 9))),
        (ops.Multiply(), ((1, 3, 4, 5), (6, 3, 4, 5))),
    ],
    ops.Concat: [(ops.Concat(), ((3, 4, 4), (2, 4, 4))), (ops.Concat(), ((3,), (4,), (1,))), (ops.Concat(), MAP)],
    ops.Opaque: [
        (ops.Opaque("custom", (2, 3)), MAP),
        (ops.Opaque("custom", (6, 5, 4), ((3,), (2, 2)), local=True), MAP * 2),
    ],
}  # fmt: skip

ALL: list[Case] = [case for cases in CASES.values() for case in cases]
COMPUTED: list[Case] = [case for case in ALL if not isinstance(case[0], ops.Opaque)]


def lonely(op: Op, shapes: tuple[Shape, ...]) -> Graph:
    """A graph that feeds `op`, its node called ``op``, inputs of `shapes`, all made of the network's one input."""
    if len(shapes) == 1:
        return Graph("lonely", shapes[0], (Node("op", op, ("input",)),), ("op",))
    whole = tuple(max(sizes) for sizes in zip(*shapes, strict=True))
    feeds: list[Node] = []
    for i, shape in enumerate(shapes):
        source = "input"
        if shape[1:] != whole[1:]:
            source = f"pool{i}"
            feeds.append(Node(source, ops.AdaptiveAvgPool(shape[1:]), ("input",)))
        mix = ops.Conv(shape[0], 1) if shape[1:] else ops.Dense(shape[0])
        feeds.append(Node(f"feed{i}", mix, (source,)))
    inputs = tuple(f"feed{i}" for i in range(len(shapes)))
    return Graph("lonely", whole, (*feeds, Node("op", op, inputs)), ("op",))
