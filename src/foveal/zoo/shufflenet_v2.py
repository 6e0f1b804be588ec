"""ShuffleNet v2; Ma, Zhang, Zheng & Sun (2018), "ShuffleNet V2: practical guidelines", arXiv:1807.11164.

Made by measured time, not by counted work: equal widths, no groups, few branches, few additions.

Half of the channels pass a block untouched, the other half are convolved, and a shuffle mixes the two. As in
torchvision, which is the paper's network.
"""

from __future__ import annotations

from functools import partial

from foveal.blocks import conv_bn, pooled_head, shuffle_split, staged
from foveal.graph import Builder
from foveal.ops import MaxPool, Relu
from foveal.zoo.entry import TORCH, Init, Paper, models

PAPER = Paper(
    "Ma, Zhang, Zheng & Sun",
    2018,
    "ShuffleNet V2: practical guidelines for efficient CNN architecture design",
    "ECCV 2018, arXiv:1807.11164",
    "what costs time on a device is memory as much as products: four rules, and a block that keeps them",
)
INIT = Init("torchvision's: PyTorch's own", bias=TORCH)

BLOCKS = (4, 8, 4)

TABLE = {  # channels of the three stages and of the top                          Ma et al., table 5
    "shufflenet_v2_x0_5": (48, 96, 192, 1024),
    "shufflenet_v2_x1_0": (116, 232, 464, 1024),
    "shufflenet_v2_x1_5": (176, 352, 704, 1024),
    "shufflenet_v2_x2_0": (244, 488, 976, 2048),
}


def shufflenet_v2(net: Builder, widths: tuple[int, ...], num_classes: int = 1000) -> str:
    x = net.input(3, 224, 224)
    with net.scope("stem"):
        x = conv_bn(net, x, 24, 3, 2, activation=Relu())
        x = net(MaxPool(3, stride=2, padding=1), x, name="pool")
    *stages, top = widths
    x = staged(net, x, shuffle_split, BLOCKS, tuple(stages), first_stride=2)
    with net.scope("top"):
        x = conv_bn(net, x, top, 1, activation=Relu())
    return pooled_head(net, x, num_classes)


MODELS = models(PAPER, INIT, {name: partial(shufflenet_v2, widths=widths) for name, widths in TABLE.items()})
