"""Pre-activation ResNet; He, Zhang, Ren & Sun (2016), "Identity mappings in deep residual networks", 1603.05027.

With nothing on the way of the additions, the signal passes a thousand layers unchanged, forward and backward.

Batch norm and ReLU come before each convolution, so that nothing stands on the way of the addition. ``preact_resnet50``
to ``152`` are as in timm (``resnetv2_50`` and so on): the stride of a block sits in its 3x3, the paper's code has it in
the first 1x1. ``preact_resnet164_cifar`` is the paper's for 32x32 pictures and 10 classes.

``wrn_28_10`` and its like are the wide networks of Zagoruyko & Komodakis (2016, arXiv:1605.07146) for the same: two 3x3
a block, 28 layers, 10 times the channels. Without the dropout between the two that some of the paper's rows have.
"""

from __future__ import annotations

from functools import partial

from foveal.blocks import Block, pooled_head, preact_basic, preact_bottleneck, staged
from foveal.graph import Builder
from foveal.ops import BatchNorm, Conv, MaxPool, Relu
from foveal.zoo.entry import TORCH, ZERO, Draw, Init, Paper, models
from foveal.zoo.resnet import WIDE

PAPER = Paper(
    "He, Zhang, Ren & Sun",
    2016,
    "Identity mappings in deep residual networks",
    "ECCV 2016, arXiv:1603.05027",
    "batch norm and ReLU before each convolution leave the shortcuts clean, and a thousand layers train",
)
INIT = Init("the authors' code: He et al. (2015) by fan_out", Draw("he_out"), TORCH, ZERO)

TABLE = {  # blocks a stage                                                 He et al. (2015), table 1
    "preact_resnet50": (3, 4, 6, 3),
    "preact_resnet101": (3, 4, 23, 3),
    "preact_resnet152": (3, 8, 36, 3),
}
WIDE_TABLE = {  # blocks a stage, and times 16 channels      Zagoruyko & Komodakis, table 5
    "wrn_40_4": (6, 4),
    "wrn_16_8": (2, 8),
    "wrn_28_10": (4, 10),
}


def preact_resnet(net: Builder, depths: tuple[int, ...], num_classes: int = 1000) -> str:
    x = net.input(3, 224, 224)
    with net.scope("stem"):
        x = net(Conv(64, 7, 2, padding=3, bias=False), x)
        x = net(MaxPool(3, stride=2, padding=1), x, name="pool")
    return _top(net, staged(net, x, preact_bottleneck, depths, (64, 128, 256, 512)), num_classes)


def preact_cifar(net: Builder, block: Block, depth: int, width: int, num_classes: int = 10) -> str:
    x = net.input(3, 32, 32)
    with net.scope("stem"):
        x = net(Conv(16, 3, padding=1, bias=False), x)
    return _top(net, staged(net, x, block, (depth,) * 3, (16 * width, 32 * width, 64 * width)), num_classes)


def _top(net: Builder, x: str, num_classes: int) -> str:
    with net.scope("top"):
        x = net(Relu(), net(BatchNorm(), x, name="bn"))
    return pooled_head(net, x, num_classes)


MODELS = models(
    PAPER,
    INIT,
    {name: partial(preact_resnet, depths=depths) for name, depths in TABLE.items()}
    | {"preact_resnet164_cifar": partial(preact_cifar, block=preact_bottleneck, depth=18, width=1)},
) | models(
    WIDE,
    INIT,
    {
        name: partial(preact_cifar, block=preact_basic, depth=depth, width=width)
        for name, (depth, width) in WIDE_TABLE.items()
    },
)
