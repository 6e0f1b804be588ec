"""Small functions that author the recurring parts of networks: from the builder and a node to a node."""

from __future__ import annotations

from foveal.graph import Builder
from foveal.ops import Add, BatchNorm, Conv, Op
from foveal.shapes import Size

TENSORFLOW_NORM = BatchNorm(eps=1e-3, momentum=0.01)  # Keras: epsilon 0.001, moving average keeps 0.99


def conv_bn(
    net: Builder,
    x: str,
    channels: int,
    kernel: Size,
    stride: Size = 1,
    groups: int = 1,
    activation: Op | None = None,
    norm: BatchNorm = TENSORFLOW_NORM,
) -> str:
    """Convolution without bias (the norm has one) under SAME padding, batch norm, and perhaps an activation."""
    x = net(Conv(channels, kernel, stride, "same", groups=groups, bias=False), x, name="conv")
    x = net(norm, x, name="bn")
    return x if activation is None else net(activation, x)


def inverted_residual(net: Builder, x: str, channels: int, kernel: Size, stride: int, expansion: int, act: Op) -> str:
    """Expand 1x1, filter each channel, project 1x1 without activation, add; Sandler et al. (2018), figure 3."""
    inside = expansion * net.shape(x)[0]
    y = x
    if expansion != 1:
        with net.scope("expand"):
            y = conv_bn(net, y, inside, 1, activation=act)
    with net.scope("depthwise"):
        y = conv_bn(net, y, inside, kernel, stride, groups=inside, activation=act)
    with net.scope("project"):
        y = conv_bn(net, y, channels, 1)
    return net(Add(), y, x) if net.shape(y) == net.shape(x) else y
