"""ShuffleNet; Zhang, Zhou, Lin & Sun (2018), "ShuffleNet: an extremely efficient convolutional network", 1707.01083.

The 1x1 convolutions work in three groups, and a shuffle between them lets the groups exchange channels. As in the
authors' release: the shuffle is the inverse of the paper's, padded cells count in the average poolings, and the last
layer has no bias. ``_x0_5`` to ``_x2_0`` are the widths.
"""

from __future__ import annotations

from functools import partial

from foveal.blocks import conv_bn, pooled_head, shuffle_unit, staged
from foveal.graph import Builder
from foveal.ops import MaxPool, Relu

GROUPS = 3
BLOCKS = (4, 8, 4)

TABLE = {  # channels of the stem and of the three stages                Zhang et al., table 1, g = 3
    "shufflenet_v1_x0_5": (12, 120, 240, 480),
    "shufflenet_v1_x1_0": (24, 240, 480, 960),
    "shufflenet_v1_x1_5": (24, 360, 720, 1440),
    "shufflenet_v1_x2_0": (48, 480, 960, 1920),
}


def shufflenet_v1(net: Builder, widths: tuple[int, ...], num_classes: int = 1000) -> str:
    x = net.input(3, 224, 224)
    stem, *stages = widths
    with net.scope("stem"):
        x = conv_bn(net, x, stem, 3, 2, activation=Relu())
        x = net(MaxPool(3, stride=2, padding=1), x, name="pool")
    x = staged(net, x, partial(shuffle_unit, groups=GROUPS), BLOCKS, tuple(stages), first_stride=2)
    return pooled_head(net, x, num_classes, bias=False)


MODELS = {name: partial(shufflenet_v1, widths=widths) for name, widths in TABLE.items()}
