"""Inception v3; Szegedy, Vanhoucke, Ioffe, Shlens & Wojna (2015), "Rethinking the Inception architecture", 1512.00567.

Large filters taken apart into small ones, with batch norm: more accuracy than VGG for a sixth of its weights.

Two 3x3 do the work of a 5x5, a 1x7 and a 7x1 that of a 7x7, and the map shrinks by a convolution and a pooling side by
side. As in torchvision: ``inception_v3`` without and ``inception_v3_aux`` with the classifier of training, its second
output. It follows Google's release, which differs from the paper's table 1: a pooling and a 1x1 in the stem, one 5x5
kept in each block of stage 1. Padded cells count in the average poolings, and batch norm has epsilon 0.001.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from foveal.blocks import branch, pooled_head
from foveal.blocks import inception_conv as conv
from foveal.graph import Builder
from foveal.ops import AdaptiveAvgPool, AvgPool, Concat, Dense, Flatten, MaxPool
from foveal.zoo.entry import ZERO, Draw, Init, Paper, models

PAPER = Paper(
    "Szegedy, Vanhoucke, Ioffe, Shlens & Wojna",
    2015,
    "Rethinking the Inception architecture for computer vision",
    "CVPR 2016, arXiv:1512.00567",
    "large filters taken apart, 5x5 into two 3x3 and 7x7 into 1x7 and 7x1, and labels made a little soft",
)
INIT = Init(
    "Google's release and torchvision's",
    conv=Draw("truncated", 0.1),
    dense=Draw("truncated", 0.1),
    bias=ZERO,
    special={"aux.conv2.weight": Draw("truncated", 0.01), "aux.dense.weight": Draw("truncated", 0.001)},
)

AROUND = AvgPool(3, stride=1, padding=1, count_padding=True)
ROW, COLUMN = (1, 7), (7, 1)


def inception_v3(net: Builder, num_classes: int = 1000) -> str:
    return _top(net, _trunk(net), num_classes)


def inception_v3_aux(net: Builder, num_classes: int = 1000) -> tuple[str, str]:
    x = _trunk(net)
    aux = _auxiliary(net, x, num_classes)
    return _top(net, x, num_classes), aux


def _trunk(net: Builder) -> str:
    x = net.input(3, 299, 299)
    with net.scope("stem"):
        x = conv(net, x, 32, 3, 2, padding=0, tag="1")
        x = conv(net, conv(net, x, 32, 3, padding=0, tag="2"), 64, 3, tag="3")
        x = net(MaxPool(3, stride=2), x, name="pool1")
        x = conv(net, conv(net, x, 80, 1, tag="4"), 192, 3, padding=0, tag="5")
        x = net(MaxPool(3, stride=2), x, name="pool2")
    x = _stage(net, x, 1, [partial(_fives, pooled=pooled) for pooled in (32, 64, 64)])
    return _stage(net, x, 2, [_halve, *(partial(_sevens, inside=inside) for inside in (128, 160, 160, 192))])


def _top(net: Builder, x: str, num_classes: int) -> str:
    return pooled_head(net, _stage(net, x, 3, [_halve_again, _fans, _fans]), num_classes, dropout=0.5)


def _stage(net: Builder, x: str, stage: int, blocks: list[Callable[[Builder, str], str]]) -> str:
    for i, block in enumerate(blocks, start=1):
        with net.scope(f"stage{stage}.block{i}"):
            x = block(net, x)
    return x


def _fives(net: Builder, x: str, pooled: int) -> str:
    """Figure 5, with one 5x5 kept."""
    a = branch(net, x, 1, (64, 1))
    b = branch(net, x, 2, (48, 1), (64, 5))
    c = branch(net, x, 3, (64, 1), (96, 3), (96, 3))
    return net(Concat(), a, b, c, _pooled_branch(net, x, pooled))


def _halve(net: Builder, x: str) -> str:
    """Figure 10."""
    a = branch(net, x, 1, (384, 3, 2))
    b = branch(net, x, 2, (64, 1), (96, 3), (96, 3, 2))
    return net(Concat(), a, b, net(MaxPool(3, stride=2), x, name="pool"))


def _sevens(net: Builder, x: str, inside: int) -> str:
    """Figure 6, n = 7."""
    a = branch(net, x, 1, (192, 1))
    b = branch(net, x, 2, (inside, 1), (inside, ROW), (192, COLUMN))
    c = branch(net, x, 3, (inside, 1), (inside, COLUMN), (inside, ROW), (inside, COLUMN), (192, ROW))
    return net(Concat(), a, b, c, _pooled_branch(net, x, 192))


def _halve_again(net: Builder, x: str) -> str:
    a = branch(net, x, 1, (192, 1), (320, 3, 2))
    b = branch(net, x, 2, (192, 1), (192, ROW), (192, COLUMN), (192, 3, 2))
    return net(Concat(), a, b, net(MaxPool(3, stride=2), x, name="pool"))


def _fans(net: Builder, x: str) -> str:
    """Figure 7: two branches end in a row and a column side by side."""
    a = branch(net, x, 1, (320, 1))
    b = _fan(net, branch(net, x, 2, (384, 1)), 2)
    c = _fan(net, branch(net, x, 3, (448, 1), (384, 3)), 3)
    return net(Concat(), a, b, c, _pooled_branch(net, x, 192))


def _fan(net: Builder, x: str, number: int) -> str:
    with net.scope(f"branch{number}"):
        return net(Concat(), conv(net, x, 384, (1, 3), tag="_row"), conv(net, x, 384, (3, 1), tag="_column"))


def _pooled_branch(net: Builder, x: str, channels: int) -> str:
    with net.scope("branch4"):
        return conv(net, net(AROUND, x, name="pool"), channels, 1)


def _auxiliary(net: Builder, x: str, num_classes: int) -> str:
    with net.scope("aux"):
        x = conv(net, net(AvgPool(5, stride=3), x, name="pool"), 128, 1, tag="1")
        x = conv(net, x, 768, 5, padding=0, tag="2")
        return net(Dense(num_classes), net(Flatten(), net(AdaptiveAvgPool(1), x)))


MODELS = models(PAPER, INIT, {"inception_v3": inception_v3, "inception_v3_aux": inception_v3_aux})
