"""MobileNetV3; Howard et al. (2019), "Searching for MobileNetV3", arXiv:1905.02244.

A search on real phones chose the blocks, and cheap swish-like activations and gates went in by hand.

MobileNetV2's block with a gate (squeeze-and-excitation) in some and hard swish in the later ones, and two dense layers
on the pooled map. As in torchvision, which is the paper's network with dropout of 0.2, a gate that squeezes to a
quarter rounded to a multiple of 8, and batch norm as in Keras. A stage ends before each stride of 2.
"""

from __future__ import annotations

from functools import partial

from foveal.blocks import conv_bn, divisible, inverted_residual, squeeze_excite
from foveal.graph import Builder
from foveal.ops import BatchNorm, Dense, Dropout, Flatten, GlobalAvgPool, Hardsigmoid, Hardswish, Relu
from foveal.zoo.entry import ZERO, Draw, Init, Paper, models

PAPER = Paper(
    "Howard, Sandler, Chu, Chen, Chen, Tan, Wang, Zhu, Pang, Vasudevan, Le & Adam",
    2019,
    "Searching for MobileNetV3",
    "ICCV 2019, arXiv:1905.02244",
    "a search on real phones' time chooses the blocks; hard swish and gates where they pay",
)
INIT = Init("torchvision's", Draw("he_out"), Draw("normal", 0.01), ZERO)

RE, HS = Relu(), Hardswish()
Row = tuple[int, int, int, bool, Relu | Hardswish, int]

#    kernel, filtered channels, channels, gate, activation, stride               Howard et al., tables 1 and 2
LARGE: tuple[Row, ...] = (
    (3, 16, 16, False, RE, 1),
    (3, 64, 24, False, RE, 2),
    (3, 72, 24, False, RE, 1),
    (5, 72, 40, True, RE, 2),
    (5, 120, 40, True, RE, 1),
    (5, 120, 40, True, RE, 1),
    (3, 240, 80, False, HS, 2),
    (3, 200, 80, False, HS, 1),
    (3, 184, 80, False, HS, 1),
    (3, 184, 80, False, HS, 1),
    (3, 480, 112, True, HS, 1),
    (3, 672, 112, True, HS, 1),
    (5, 672, 160, True, HS, 2),
    (5, 960, 160, True, HS, 1),
    (5, 960, 160, True, HS, 1),
)
SMALL: tuple[Row, ...] = (
    (3, 16, 16, True, RE, 2),
    (3, 72, 24, False, RE, 2),
    (3, 88, 24, False, RE, 1),
    (5, 96, 40, True, HS, 2),
    (5, 240, 40, True, HS, 1),
    (5, 240, 40, True, HS, 1),
    (5, 120, 48, True, HS, 1),
    (5, 144, 48, True, HS, 1),
    (5, 288, 96, True, HS, 2),
    (5, 576, 96, True, HS, 1),
    (5, 576, 96, True, HS, 1),
)

conv = partial(conv_bn, norm=BatchNorm(eps=1e-3, momentum=0.01))


def mobilenet_v3(net: Builder, rows: tuple[Row, ...], top: int, dense: int, num_classes: int = 1000) -> str:
    x = net.input(3, 224, 224)
    with net.scope("stem"):
        x = conv(net, x, 16, 3, 2, activation=HS)
    stage, block = 1, 0
    for kernel, filtered, channels, gated, act, stride in rows:
        stage, block = (stage + 1, 1) if stride > 1 and block else (stage, block + 1)
        gate = partial(squeeze_excite, squeezed=divisible(filtered / 4), gate=Hardsigmoid()) if gated else None
        with net.scope(f"stage{stage}.block{block}"):
            x = inverted_residual(net, x, channels, kernel, stride, filtered / net.shape(x)[0], act, conv, gate)
    with net.scope("top"):
        x = conv(net, x, top, 1, activation=HS)
    with net.scope("head"):
        x = net(Flatten(), net(GlobalAvgPool(), x, name="pool"))
        x = net(Dropout(0.2), net(HS, net(Dense(dense), x, name="dense1")))
        return net(Dense(num_classes), x, name="dense2")


MODELS = models(
    PAPER,
    INIT,
    {
        "mobilenet_v3_large": partial(mobilenet_v3, rows=LARGE, top=960, dense=1280),
        "mobilenet_v3_small": partial(mobilenet_v3, rows=SMALL, top=576, dense=1024),
    },
)
