"""ShuffleNet; Zhang, Zhou, Lin & Sun (2017), "ShuffleNet: an extremely efficient convolutional network", 1707.01083.

1x1 convolutions in groups, and a shuffle of the channels after them, for networks of 10 to 150 million products.

The 1x1 convolutions work in groups, three of them or as ``_g1`` to ``_g8`` say, and a shuffle between them lets the
groups exchange channels. As in the authors' release: the shuffle is the inverse of the paper's, padded cells count in
the average poolings, and the last layer has no bias. ``_x0_5`` to ``_x2_0`` are the widths.
"""

from __future__ import annotations

from functools import partial

from foveal.blocks import conv_bn, pooled_head, shuffle_unit, staged
from foveal.graph import Builder
from foveal.ops import MaxPool, Relu
from foveal.zoo.entry import TORCH, ZERO, Draw, Init, Paper, models

PAPER = Paper(
    "Zhang, Zhou, Lin & Sun",
    2017,
    "ShuffleNet: an extremely efficient convolutional neural network for mobile devices",
    "CVPR 2018, arXiv:1707.01083",
    "1x1 convolutions in groups too, and a channel shuffle through which the groups still hear of each other",
)
INIT = Init("the paper's: as ResNeXt, which follows He et al. (2015)", Draw("he_out"), TORCH, ZERO)

BLOCKS = (4, 8, 4)

TABLE = {  # groups, channels of the stem and of the three stages                Zhang et al., table 1
    "shufflenet_v1_g1_x1_0": (1, (24, 144, 288, 576)),
    "shufflenet_v1_g2_x1_0": (2, (24, 200, 400, 800)),
    "shufflenet_v1_x0_5": (3, (12, 120, 240, 480)),
    "shufflenet_v1_x1_0": (3, (24, 240, 480, 960)),
    "shufflenet_v1_x1_5": (3, (24, 360, 720, 1440)),
    "shufflenet_v1_x2_0": (3, (48, 480, 960, 1920)),
    "shufflenet_v1_g4_x1_0": (4, (24, 272, 544, 1088)),
    "shufflenet_v1_g8_x1_0": (8, (24, 384, 768, 1536)),
}


def shufflenet_v1(net: Builder, groups: int, widths: tuple[int, ...], num_classes: int = 1000) -> str:
    x = net.input(3, 224, 224)
    stem, *stages = widths
    with net.scope("stem"):
        x = conv_bn(net, x, stem, 3, 2, activation=Relu())
        x = net(MaxPool(3, stride=2, padding=1), x, name="pool")
    x = staged(net, x, partial(shuffle_unit, groups=groups), BLOCKS, tuple(stages), first_stride=2)
    return pooled_head(net, x, num_classes, bias=False)


MODELS = models(
    PAPER,
    INIT,
    {name: partial(shufflenet_v1, groups=groups, widths=widths) for name, (groups, widths) in TABLE.items()},
)
