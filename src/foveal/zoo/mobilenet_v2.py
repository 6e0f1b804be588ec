"""MobileNetV2; Sandler et al. (2018), "MobileNetV2: inverted residuals and linear bottlenecks", arXiv:1801.04381.

As in torchvision, which is the paper's network with one dropout of 0.2 before the last layer.
"""

from __future__ import annotations

from foveal.blocks import conv_bn, inverted_residual, pooled_head
from foveal.graph import Builder
from foveal.ops import Relu6

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


def mobilenet_v2(net: Builder, num_classes: int = 1000) -> str:
    x = net.input(3, 224, 224)
    with net.scope("stem"):
        x = conv_bn(net, x, 32, 3, 2, activation=Relu6())
    for stage, (expansion, channels, blocks, stride) in enumerate(STAGES, start=1):
        for block in range(1, blocks + 1):
            with net.scope(f"stage{stage}.block{block}"):
                x = inverted_residual(net, x, channels, 3, stride if block == 1 else 1, expansion, Relu6())
    with net.scope("top"):
        x = conv_bn(net, x, 1280, 1, activation=Relu6())
    return pooled_head(net, x, num_classes, dropout=0.2)


MODELS = {"mobilenet_v2": mobilenet_v2}
