"""MobileNetV2; Sandler et al. (2018), "MobileNetV2: inverted residuals and linear bottlenecks", arXiv:1801.04381.

The residual block turned inside out: narrow between blocks, wide and depthwise inside, no activation on the narrow end.

As in torchvision, which is the paper's network with one dropout of 0.2 before the last layer. ``_x0_35`` to ``_x1_4``
have that share of all widths, as in timm (``mobilenetv2_035`` and so on); the 1280 of the top grow, but do not shrink.
"""

from __future__ import annotations

from functools import partial

from foveal.blocks import conv_bn, divisible, inverted_residual, pooled_head
from foveal.graph import Builder
from foveal.ops import Relu6
from foveal.zoo.entry import ZERO, Draw, Init, Paper, models

PAPER = Paper(
    "Sandler, Howard, Zhu, Zhmoginov & Chen",
    2018,
    "MobileNetV2: inverted residuals and linear bottlenecks",
    "CVPR 2018, arXiv:1801.04381",
    "shortcuts between narrow maps, depthwise work on wide ones inside, and no activation where it is narrow",
)
INIT = Init("torchvision's", Draw("he_out"), Draw("normal", 0.01), ZERO)

#   expansion, channels, blocks, stride                             Sandler et al., table 2
STAGES = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)


WIDTHS = {
    "mobilenet_v2_x0_35": 0.35,
    "mobilenet_v2_x0_5": 0.5,
    "mobilenet_v2_x0_75": 0.75,
    "mobilenet_v2": 1.0,
    "mobilenet_v2_x1_4": 1.4,
}


def mobilenet_v2(net: Builder, width: float, num_classes: int = 1000) -> str:
    x = net.input(3, 224, 224)
    with net.scope("stem"):
        x = conv_bn(net, x, divisible(32 * width), 3, 2, activation=Relu6())
    for stage, (expansion, channels, blocks, stride) in enumerate(STAGES, start=1):
        for block in range(1, blocks + 1):
            with net.scope(f"stage{stage}.block{block}"):
                step = stride if block == 1 else 1
                x = inverted_residual(net, x, divisible(channels * width), 3, step, expansion, Relu6())
    with net.scope("top"):
        x = conv_bn(net, x, divisible(1280 * max(1.0, width)), 1, activation=Relu6())
    return pooled_head(net, x, num_classes, dropout=0.2)


MODELS = models(PAPER, INIT, {name: partial(mobilenet_v2, width=width) for name, width in WIDTHS.items()})
