"""VGG; Simonyan & Zisserman (2014), "Very deep convolutional networks for large-scale image recognition", 1409.1556.

3x3 convolutions throughout, twice the channels after each pooling until there are 512: depth by one simple rule.

As in torchvision. From 224x224 these are the paper's configurations A, B, D and E; from another size an adaptive
pooling brings the map to the 7x7 that the dense layers take. ``_bn`` puts batch norm after each convolution, which
keeps its bias; the paper predates it.
"""

from __future__ import annotations

from functools import partial

from foveal.blocks import dense_head
from foveal.graph import Builder
from foveal.ops import AdaptiveAvgPool, BatchNorm, Conv, MaxPool, Relu
from foveal.zoo.entry import ZERO, Draw, Init, Paper, models

PAPER = Paper(
    "Simonyan & Zisserman",
    2014,
    "Very deep convolutional networks for large-scale image recognition",
    "ICLR 2015, arXiv:1409.1556",
    "depth from 3x3 convolutions alone: two see as far as a 5x5, with fewer weights and one more ReLU",
)
INIT = Init(
    "torchvision's; the paper's larger networks begin from its trained smallest",
    Draw("he_out"),
    Draw("normal", 0.01),
    ZERO,
)

CHANNELS = (64, 128, 256, 512, 512)

TABLE = {  # convolutions a stage                            Simonyan & Zisserman, table 1
    "vgg11": (1, 1, 2, 2, 2),
    "vgg13": (2, 2, 2, 2, 2),
    "vgg16": (2, 2, 3, 3, 3),
    "vgg19": (2, 2, 4, 4, 4),
}


def vgg(net: Builder, depths: tuple[int, ...], norm: bool = False, num_classes: int = 1000) -> str:
    x = net.input(3, 224, 224)
    for stage, (depth, channels) in enumerate(zip(depths, CHANNELS, strict=True), start=1):
        with net.scope(f"stage{stage}"):
            for i in range(1, depth + 1):
                x = net(Conv(channels, 3, padding=1), x, name=f"conv{i}")
                if norm:
                    x = net(BatchNorm(), x, name=f"bn{i}")
                x = net(Relu(), x, name=f"relu{i}")
            x = net(MaxPool(2), x, name="pool")
    with net.scope("head"):
        return dense_head(net, net(AdaptiveAvgPool(7), x, name="pool"), num_classes)


MODELS = models(
    PAPER,
    INIT,
    {
        f"{name}{suffix}": partial(vgg, depths=depths, norm=bool(suffix))
        for name, depths in TABLE.items()
        for suffix in ("", "_bn")
    },
)
