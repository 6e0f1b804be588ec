"""Small functions that author the recurring parts of networks: from the builder and a node to a node.

`tag` ends the names of a function's nodes where a scope holds several of its kind: ``conv1``, ``bn1``.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from foveal.graph import Builder
from foveal.ops import (
    Add,
    AvgPool,
    BatchNorm,
    ChannelShuffle,
    Concat,
    Conv,
    Dense,
    Dropout,
    Flatten,
    GlobalAvgPool,
    MaxPool,
    Multiply,
    Op,
    PadChannels,
    Relu,
    Sigmoid,
    Slice,
)
from foveal.shapes import Padding, Size

NORM, RELU, SIGMOID = BatchNorm(), Relu(), Sigmoid()

Unit = Callable[..., str]
"""How a family convolves: `conv_bn` or `conv_relu`, with its options bound."""

Gate = Callable[[Builder, str], str]
"""What sits inside a residual block and keeps the shape, such as `squeeze_excite` with its options bound."""

Block = Callable[[Builder, str, int, int], str]
"""What stages repeat, and what bypasses them: from the builder, a node, channels and stride to a node."""

Layer = tuple[int, Size] | tuple[int, Size, int]
"""A convolution in a `branch`: channels and kernel, padded; or channels, kernel and stride, not padded."""


def conv_bn(
    net: Builder,
    x: str,
    channels: int,
    kernel: Size,
    stride: int = 1,
    *,
    padding: Padding | None = None,
    groups: int = 1,
    activation: Op | None = None,
    norm: BatchNorm = NORM,
    tag: str = "",
) -> str:
    """Convolution without bias (the norm has one), batch norm, and perhaps an activation.

    `padding` None is half the kernel on every side.
    """
    if padding is None:
        padding = kernel // 2 if isinstance(kernel, int) else tuple(side // 2 for side in kernel)
    x = net(Conv(channels, kernel, stride, padding, groups=groups, bias=False), x, name=f"conv{tag}")
    x = net(norm, x, name=f"bn{tag}")
    return x if activation is None else net(activation, x)


tensorflow_conv_bn = partial(conv_bn, padding="same", norm=BatchNorm(eps=1e-3, momentum=0.01))
"""`conv_bn` under SAME padding and Keras's norm: epsilon 0.001, a moving average that keeps 0.99."""


inception_conv = partial(conv_bn, activation=RELU, norm=BatchNorm(eps=1e-3))
"""`conv_bn` with ReLU and the epsilon 0.001 of Google's Inception networks."""


def conv_relu(net: Builder, x: str, channels: int, kernel: int, stride: int = 1, *, tag: str = "") -> str:
    """Convolution with bias, padded by half its kernel, and ReLU."""
    return net(Relu(), net(Conv(channels, kernel, stride, kernel // 2), x, name=f"conv{tag}"))


def norm_conv(net: Builder, x: str, channels: int, kernel: int, stride: int = 1, *, tag: str = "") -> str:
    """Batch norm, ReLU, then the convolution, without bias; He et al. (2016), "Identity mappings", figure 4e."""
    x = net(Relu(), net(NORM, x, name=f"bn{tag}"), name=f"relu{tag}")
    return net(Conv(channels, kernel, stride, kernel // 2, bias=False), x, name=f"conv{tag}")


def staged(
    net: Builder, x: str, block: Block, depths: tuple[int, ...], channels: tuple[int, ...], first_stride: int = 1
) -> str:
    """`depths` blocks a stage, ``stage1.block1`` and so on; each stage but the first begins with a stride of 2."""
    for stage, (depth, width) in enumerate(zip(depths, channels, strict=True), start=1):
        for i in range(1, depth + 1):
            stride = 1 if i > 1 else first_stride if stage == 1 else 2
            with net.scope(f"stage{stage}.block{i}"):
                x = block(net, x, width, stride)
    return x


def divisible(channels: float) -> int:
    """The nearest multiple of 8, but never more than a tenth below; Sandler et al. (2018), in their code."""
    rounded = max(8, int(channels + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * channels else rounded


def inverted_residual(
    net: Builder,
    x: str,
    channels: int,
    kernel: int,
    stride: int,
    expansion: float,
    act: Op,
    conv: Unit = conv_bn,
    gate: Gate | None = None,
) -> str:
    """Expand 1x1, filter each channel, project 1x1 without activation, add; Sandler et al. (2018), figure 3.

    `gate`, such as `squeeze_excite`, comes between filtering and projecting; Howard et al. (2019), figure 4.
    """
    inside = round(expansion * net.shape(x)[0])
    y = x
    if inside != net.shape(x)[0]:
        with net.scope("expand"):
            y = conv(net, y, inside, 1, activation=act)
    with net.scope("depthwise"):
        y = conv(net, y, inside, kernel, stride, groups=inside, activation=act)
    if gate:
        y = gate(net, y)
    with net.scope("project"):
        y = conv(net, y, channels, 1)
    return net(Add(), y, x) if net.shape(y) == net.shape(x) else y


def squeeze_excite(net: Builder, x: str, squeezed: int, act: Op = RELU, gate: Op = SIGMOID) -> str:
    """Each channel times a gate between 0 and 1 that the means of all channels decide; Hu et al. (2018), figure 3.

    The two layers, `squeezed` channels and then as many as `x`, are 1x1 convolutions of a map of one cell.
    """
    with net.scope("gate"):
        y = net(GlobalAvgPool(), x, name="pool")
        y = net(act, net(Conv(squeezed, 1), y, name="squeeze"))
        y = net(gate, net(Conv(net.shape(x)[0], 1), y, name="excite"))
        return net(Multiply(), x, y)


def depthwise_separable(net: Builder, x: str, channels: int, stride: int, act: Op) -> str:
    """Filter each channel 3x3, then mix channels 1x1, each with batch norm; Howard et al. (2017), figure 3 right."""
    with net.scope("depthwise"):
        x = conv_bn(net, x, net.shape(x)[0], 3, stride, groups=net.shape(x)[0], activation=act)
    with net.scope("pointwise"):
        return conv_bn(net, x, channels, 1, activation=act)


def shuffle_split(net: Builder, x: str, channels: int, stride: int) -> str:
    """Half of the channels kept, half convolved, then shuffled; Ma et al. (2018), figure 3c, with a stride 3d."""
    inside, half = channels // 2, net.shape(x)[0] // 2
    if stride == 1:
        kept, x = net(Slice(0, half), x, name="kept"), net(Slice(half, 2 * half), x, name="worked")
    else:
        with net.scope("branch1"):
            kept = conv_bn(net, x, net.shape(x)[0], 3, stride, groups=net.shape(x)[0], tag="1")
            kept = conv_bn(net, kept, inside, 1, activation=Relu(), tag="2")
    with net.scope("branch2"):
        y = conv_bn(net, x, inside, 1, activation=Relu(), tag="1")
        y = conv_bn(net, y, inside, 3, stride, groups=inside, tag="2")
        y = conv_bn(net, y, inside, 1, activation=Relu(), tag="3")
    return net(ChannelShuffle(2), net(Concat(), kept, y))


def shuffle_unit(net: Builder, x: str, channels: int, stride: int, groups: int) -> str:
    """Grouped 1x1, depthwise 3x3, shuffle, grouped 1x1, added; Zhang et al. (2018), figure 2b, with a stride 2c.

    The shuffle is that of the authors' release: after the depthwise layer, where the figure has it before, and the
    figure's turned around. The very first 1x1, on the few channels of the stem, has one group (section 3.3).
    """
    inside = channels // 4
    y = conv_bn(net, x, inside, 1, groups=groups if net.shape(x)[0] >= inside else 1, activation=Relu(), tag="1")
    y = conv_bn(net, y, inside, 3, stride, groups=inside, tag="2")
    y = net(ChannelShuffle(inside // groups), y)
    y = conv_bn(net, y, channels if stride == 1 else channels - net.shape(x)[0], 1, groups=groups, tag="3")
    if stride == 1:
        return net(Relu(), net(Add(), y, x))
    pooled = net(AvgPool(3, stride, padding=1, count_padding=True), x, name="pool")
    return net(Concat(), pooled, net(Relu(), y))


def plain(net: Builder, x: str, channels: int, stride: int) -> str:
    """`basic` without the addition; He et al. (2015), figure 3 middle."""
    x = conv_bn(net, x, channels, 3, stride, activation=Relu(), tag="1")
    return conv_bn(net, x, channels, 3, activation=Relu(), tag="2")


def basic(net: Builder, x: str, channels: int, stride: int, bypass: Block | None = None) -> str:
    """Two 3x3 convolutions around which the input is added; He et al. (2015), figure 5 left.

    `bypass` is what the input takes: `shortcut` if None, or `padded_shortcut`.
    """
    y = conv_bn(net, x, channels, 3, stride, activation=Relu(), tag="1")
    y = conv_bn(net, y, channels, 3, tag="2")
    return net(Relu(), net(Add(), y, (bypass or shortcut)(net, x, channels, stride)))


def bottleneck(
    net: Builder,
    x: str,
    channels: int,
    stride: int,
    *,
    groups: int = 1,
    base: int = 64,
    stride_first: bool = False,
    gate: Gate | None = None,
) -> str:
    """1x1 down, 3x3, 1x1 up to four times `channels`, input added; He et al. (2015), figure 5 right.

    Parameters
    ----------
    groups, base : the 3x3 has `groups` groups, each of `base` channels for every 64 of `channels`.
    stride_first : the stride sits in the first 1x1, as in the paper, not in the 3x3.
    gate : a block before the addition, such as `squeeze_excite`.
    """
    inside = channels * base // 64 * groups
    strides = (stride, 1) if stride_first else (1, stride)
    y = conv_bn(net, x, inside, 1, strides[0], activation=Relu(), tag="1")
    y = conv_bn(net, y, inside, 3, strides[1], groups=groups, activation=Relu(), tag="2")
    y = conv_bn(net, y, 4 * channels, 1, tag="3")
    if gate:
        y = gate(net, y)
    return net(Relu(), net(Add(), y, shortcut(net, x, 4 * channels, stride)))


def shortcut(net: Builder, x: str, channels: int, stride: int, kernel: int = 1) -> str:
    """`x` itself, or projected where the shape changes; He et al. (2015), option B."""
    if stride == 1 and net.shape(x)[0] == channels:
        return x
    with net.scope("shortcut"):
        return conv_bn(net, x, channels, kernel, stride)


def padded_shortcut(net: Builder, x: str, channels: int, stride: int) -> str:
    """`x` itself, or where the shape changes every `stride`-th cell and channels of zeros; He et al., option A."""
    if stride == 1 and net.shape(x)[0] == channels:
        return x
    with net.scope("shortcut"):
        kept = net(AvgPool(1, stride), x, name="kept")
        return net(PadChannels(0, channels - net.shape(x)[0]), kept, name="zeros")


def preact_basic(net: Builder, x: str, channels: int, stride: int) -> str:
    """Two 3x3 convolutions, each after batch norm and ReLU; Zagoruyko & Komodakis (2016), figure 1a."""
    active, kept = _preactivated(net, x, channels, stride)
    y = net(Conv(channels, 3, stride, padding=1, bias=False), active, name="conv1")
    return net(Add(), norm_conv(net, y, channels, 3, tag="2"), kept)


def preact_bottleneck(net: Builder, x: str, channels: int, stride: int) -> str:
    """1x1 down, 3x3, 1x1 up to four times `channels`, each after batch norm and ReLU; He et al. (2016), section 4."""
    active, kept = _preactivated(net, x, 4 * channels, stride)
    y = net(Conv(channels, 1, bias=False), active, name="conv1")
    y = norm_conv(net, y, channels, 3, stride, tag="2")
    return net(Add(), norm_conv(net, y, 4 * channels, 1, tag="3"), kept)


def _preactivated(net: Builder, x: str, channels: int, stride: int) -> tuple[str, str]:
    """What a block convolves, and what it adds: `x`, or a projection of the former where the shape changes."""
    active = net(Relu(), net(NORM, x, name="bn1"), name="relu1")
    if stride == 1 and net.shape(x)[0] == channels:
        return active, x
    return active, net(Conv(channels, 1, stride, bias=False), active, name="shortcut")


def inception(net: Builder, x: str, widths: tuple[int, ...], conv: Unit, large: int = 5) -> str:
    """Four branches side by side, concatenated; Szegedy et al. (2015), figure 2b.

    Parameters
    ----------
    widths : channels of #1x1, #3x3 reduce, #3x3, #5x5 reduce, #5x5 and pool proj, as in the paper's table 1.
    large : kernel of the third branch.
    """
    ones, reduce3, threes, reduce5, fives, pooled = widths
    with net.scope("branch1"):
        a = conv(net, x, ones, 1)
    with net.scope("branch2"):
        b = conv(net, conv(net, x, reduce3, 1, tag="1"), threes, 3, tag="2")
    with net.scope("branch3"):
        c = conv(net, conv(net, x, reduce5, 1, tag="1"), fives, large, tag="2")
    with net.scope("branch4"):
        d = conv(net, net(MaxPool(3, stride=1, padding=1), x, name="pool"), pooled, 1)
    return net(Concat(), a, b, c, d)


def branch(net: Builder, x: str, number: int, *layers: Layer) -> str:
    """One of the branches side by side in an Inception block; Szegedy et al. (2016), figures 5 to 10."""
    with net.scope(f"branch{number}"):
        for i, (channels, kernel, *stride) in enumerate(layers, start=1):
            x = inception_conv(net, x, channels, kernel, *stride, padding=0 if stride else None, tag=str(i))
    return x


def fire(net: Builder, x: str, squeezed: int, expanded: int) -> str:
    """Squeeze 1x1, expand 1x1 and 3x3 side by side, concatenate; Iandola et al. (2016), figure 1."""
    with net.scope("squeeze"):
        x = conv_relu(net, x, squeezed, 1)
    with net.scope("expand1"):
        a = conv_relu(net, x, expanded, 1)
    with net.scope("expand3"):
        b = conv_relu(net, x, expanded, 3)
    return net(Concat(), a, b)


def pooled_head(net: Builder, x: str, num_classes: int, dropout: float = 0.0, *, bias: bool = True) -> str:
    """Global average pooling and one dense layer; Lin et al. (2013)."""
    with net.scope("head"):
        x = net(Flatten(), net(GlobalAvgPool(), x, name="pool"))
        if dropout:
            x = net(Dropout(dropout), x)
        return net(Dense(num_classes, bias), x)


def dense_head(net: Builder, x: str, num_classes: int, *, dropout_first: bool = False) -> str:
    """Dense 4096, dense 4096 and a dense layer of classes; Krizhevsky et al. (2012).

    Dropout follows the ReLU of the first two layers, or with `dropout_first` precedes these layers.
    """
    x = net(Flatten(), x)
    for layer in ("dense1", "dense2"):
        if dropout_first:
            x = net(Dropout(), x)
        x = net(Relu(), net(Dense(4096), x, name=layer))
        if not dropout_first:
            x = net(Dropout(), x)
    return net(Dense(num_classes), x, name="dense3")
