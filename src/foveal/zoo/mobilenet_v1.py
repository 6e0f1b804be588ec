"""MobileNet; Howard et al. (2017), "MobileNets: efficient convolutional neural networks", arXiv:1704.04861.

Convolutions split in two make a network for phones, and one number sets its width to the time there is.

Every convolution but the first is split into a depthwise 3x3 and a pointwise 1x1. As in timm (``mobilenetv1_100``):
ReLU6 as in the authors' code, where the paper says ReLU; padding on all sides, where TensorFlow pads after; no dropout.
``_x0_75``, ``_x0_5`` and ``_x0_25`` have that share of all widths (the paper's table 6).
"""

from __future__ import annotations

from functools import partial

from foveal.blocks import conv_bn, depthwise_separable, pooled_head
from foveal.graph import Builder
from foveal.ops import Relu6
from foveal.zoo.entry import Draw, Init, Paper, models

PAPER = Paper(
    "Howard, Zhu, Chen, Kalenichenko, Wang, Weyand, Andreetto & Adam",
    2017,
    "MobileNets: efficient convolutional neural networks for mobile vision applications",
    "arXiv:1704.04861",
    "depthwise separable convolutions throughout, and a width multiplier that trades accuracy for time",
)
INIT = Init("the authors' code, TensorFlow-Slim", Draw("truncated", 0.09), Draw("truncated", 0.09))

#   channels, blocks, stride                                                Howard et al., table 1
STAGES = (
    (64, 1, 1),
    (128, 2, 2),
    (256, 2, 2),
    (512, 6, 2),
    (1024, 2, 2),
)
WIDTHS = {"mobilenet_v1": 1.0, "mobilenet_v1_x0_75": 0.75, "mobilenet_v1_x0_5": 0.5, "mobilenet_v1_x0_25": 0.25}


def mobilenet_v1(net: Builder, width: float, num_classes: int = 1000) -> str:
    x = net.input(3, 224, 224)
    with net.scope("stem"):
        x = conv_bn(net, x, int(32 * width), 3, 2, activation=Relu6())
    for stage, (channels, blocks, stride) in enumerate(STAGES, start=1):
        for block in range(1, blocks + 1):
            with net.scope(f"stage{stage}.block{block}"):
                x = depthwise_separable(net, x, int(channels * width), stride if block == 1 else 1, Relu6())
    return pooled_head(net, x, num_classes)


MODELS = models(PAPER, INIT, {name: partial(mobilenet_v1, width=width) for name, width in WIDTHS.items()})
