"""Xception; Chollet (2016), "Xception: deep learning with depthwise separable convolutions", arXiv:1610.02357.

Inception taken to its end: each channel filtered by itself, then mixed 1x1, in residual blocks. As in timm
(``legacy_xception``, Cadene's port of the author's network), which pads on all sides where Keras pads after, and has
PyTorch's batch-norm epsilon. ``stage1`` to ``stage3`` begin with the blocks of the entry flow, ``stage3`` holds the
middle flow, ``stage4`` and ``top`` are the exit flow. No dropout; the paper has 0.5 before the last layer.
"""

from __future__ import annotations

from foveal.blocks import conv_bn, pooled_head, shortcut
from foveal.graph import Builder
from foveal.ops import Add, BatchNorm, Conv, MaxPool, Relu
from foveal.zoo.entry import ZERO, Draw, Init, Paper, models

PAPER = Paper(
    "Chollet",
    2016,
    "Xception: deep learning with depthwise separable convolutions",
    "CVPR 2017, arXiv:1610.02357",
    "Inception taken to its end: space and channels convolved apart, in residual blocks, beat Inception v3",
)
INIT = Init("the author's network in Keras, after Glorot & Bengio (2010)", Draw("glorot"), Draw("glorot"), ZERO)

#    channels of each separable convolution of each block; the first of a stage halves the map     Chollet, figure 5
STAGES = (
    ((128, 128),),
    ((256, 256),),
    ((728, 728), *((728, 728, 728),) * 8),
    ((728, 1024),),
)


def xception(net: Builder, num_classes: int = 1000) -> str:
    x = net.input(3, 299, 299)
    with net.scope("stem"):
        x = conv_bn(net, x, 32, 3, 2, padding=0, activation=Relu(), tag="1")
        x = conv_bn(net, x, 64, 3, padding=0, activation=Relu(), tag="2")
    for stage, blocks in enumerate(STAGES, start=1):
        for block, widths in enumerate(blocks, start=1):
            with net.scope(f"stage{stage}.block{block}"):
                x = _block(net, x, widths, 2 if block == 1 else 1, relu_first=stage > 1)
    with net.scope("top"):
        for i, channels in enumerate((1536, 2048), start=1):
            x = net(Relu(), _separable(net, x, channels, i))
    return pooled_head(net, x, num_classes)


def _block(net: Builder, x: str, widths: tuple[int, ...], stride: int, *, relu_first: bool) -> str:
    kept, y = shortcut(net, x, widths[-1], stride), x
    for i, channels in enumerate(widths, start=1):
        y = net(Relu(), y) if relu_first or i > 1 else y
        y = _separable(net, y, channels, i)
    if stride > 1:
        y = net(MaxPool(3, stride, padding=1), y, name="pool")
    return net(Add(), y, kept)


def _separable(net: Builder, x: str, channels: int, number: int) -> str:
    """Depthwise 3x3 and pointwise 1x1 with nothing in between, then batch norm; Chollet, section 4.7."""
    x = net(Conv(net.shape(x)[0], 3, padding=1, groups=net.shape(x)[0], bias=False), x, name=f"depthwise{number}")
    x = net(Conv(channels, 1, bias=False), x, name=f"pointwise{number}")
    return net(BatchNorm(), x, name=f"bn{number}")


MODELS = models(PAPER, INIT, {"xception": xception})
