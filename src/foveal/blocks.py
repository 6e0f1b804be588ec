"""Small functions that author the recurring parts of networks: from the builder and a node to a node.

`tag` ends the names of a function's nodes where a scope holds several of its kind: ``conv1``, ``bn1``.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from foveal.graph import Builder
from foveal.ops import Add, BatchNorm, Concat, Conv, Dense, Dropout, Flatten, GlobalAvgPool, MaxPool, Op, Relu
from foveal.shapes import Padding

NORM = BatchNorm()

Unit = Callable[..., str]
"""How a family convolves: `conv_bn` or `conv_relu`, with its options bound."""


def conv_bn(
    net: Builder,
    x: str,
    channels: int,
    kernel: int,
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
    padding = kernel // 2 if padding is None else padding
    x = net(Conv(channels, kernel, stride, padding, groups=groups, bias=False), x, name=f"conv{tag}")
    x = net(norm, x, name=f"bn{tag}")
    return x if activation is None else net(activation, x)


tensorflow_conv_bn = partial(conv_bn, padding="same", norm=BatchNorm(eps=1e-3, momentum=0.01))
"""`conv_bn` under SAME padding and Keras's norm: epsilon 0.001, a moving average that keeps 0.99."""


def conv_relu(net: Builder, x: str, channels: int, kernel: int, stride: int = 1, *, tag: str = "") -> str:
    """Convolution with bias, padded by half its kernel, and ReLU."""
    return net(Relu(), net(Conv(channels, kernel, stride, kernel // 2), x, name=f"conv{tag}"))


def inverted_residual(
    net: Builder, x: str, channels: int, kernel: int, stride: int, expansion: int, act: Op, conv: Unit = conv_bn
) -> str:
    """Expand 1x1, filter each channel, project 1x1 without activation, add; Sandler et al. (2018), figure 3."""
    inside = expansion * net.shape(x)[0]
    y = x
    if expansion != 1:
        with net.scope("expand"):
            y = conv(net, y, inside, 1, activation=act)
    with net.scope("depthwise"):
        y = conv(net, y, inside, kernel, stride, groups=inside, activation=act)
    with net.scope("project"):
        y = conv(net, y, channels, 1)
    return net(Add(), y, x) if net.shape(y) == net.shape(x) else y


def basic(net: Builder, x: str, channels: int, stride: int) -> str:
    """Two 3x3 convolutions around which the input is added; He et al. (2015), figure 5 left."""
    y = conv_bn(net, x, channels, 3, stride, activation=Relu(), tag="1")
    y = conv_bn(net, y, channels, 3, tag="2")
    return net(Relu(), net(Add(), y, shortcut(net, x, channels, stride)))


def bottleneck(
    net: Builder, x: str, channels: int, stride: int, *, groups: int = 1, base: int = 64, stride_first: bool = False
) -> str:
    """1x1 down, 3x3, 1x1 up to four times `channels`, input added; He et al. (2015), figure 5 right.

    Parameters
    ----------
    groups, base : the 3x3 has `groups` groups, each of `base` channels for every 64 of `channels`.
    stride_first : the stride sits in the first 1x1, as in the paper, not in the 3x3.
    """
    inside = channels * base // 64 * groups
    strides = (stride, 1) if stride_first else (1, stride)
    y = conv_bn(net, x, inside, 1, strides[0], activation=Relu(), tag="1")
    y = conv_bn(net, y, inside, 3, strides[1], groups=groups, activation=Relu(), tag="2")
    y = conv_bn(net, y, 4 * channels, 1, tag="3")
    return net(Relu(), net(Add(), y, shortcut(net, x, 4 * channels, stride)))


def shortcut(net: Builder, x: str, channels: int, stride: int) -> str:
    """`x` itself, or projected 1x1 where the shape changes; He et al. (2015), option B."""
    if stride == 1 and net.shape(x)[0] == channels:
        return x
    with net.scope("shortcut"):
        return conv_bn(net, x, channels, 1, stride)


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


def pooled_head(net: Builder, x: str, num_classes: int, dropout: float = 0.0) -> str:
    """Global average pooling and one dense layer; Lin et al. (2013)."""
    with net.scope("head"):
        x = net(Flatten(), net(GlobalAvgPool(), x, name="pool"))
        if dropout:
            x = net(Dropout(dropout), x)
        return net(Dense(num_classes), x)


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
