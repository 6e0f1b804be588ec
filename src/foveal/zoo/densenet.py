"""DenseNet; Huang, Liu, van der Maaten & Weinberger (2017), "Densely connected convolutional networks", 1608.06993.

Each layer reads the maps of all layers before it in its stage, so the l-th has k0 + k(l - 1) input channels, k being
the growth rate. All are the paper's DenseNet-BC: a 1x1 bottleneck of 4k before each 3x3, and transitions that halve
the channels. ``densenet121`` to ``densenet201`` are as in torchvision; 161 is in the paper's first versions only, and
``densenet264``, the largest of its last, is not in torchvision. ``densenet100_cifar`` is for 32x32 pictures and 10
classes, with k = 12 and three stages (section 3).
"""

from __future__ import annotations

from functools import partial

from foveal.blocks import conv_bn, norm_conv, pooled_head
from foveal.graph import Builder
from foveal.ops import AvgPool, BatchNorm, Concat, Conv, MaxPool, Relu

TABLE = {  # growth rate, layers a stage                                     Huang et al., table 1
    "densenet121": (32, (6, 12, 24, 16)),
    "densenet161": (48, (6, 12, 36, 24)),
    "densenet169": (32, (6, 12, 32, 32)),
    "densenet201": (32, (6, 12, 48, 32)),
    "densenet264": (32, (6, 12, 64, 48)),
}


def densenet(net: Builder, growth: int, depths: tuple[int, ...], num_classes: int = 1000) -> str:
    x = net.input(3, 224, 224)
    with net.scope("stem"):
        x = conv_bn(net, x, 2 * growth, 7, 2, activation=Relu())
        x = net(MaxPool(3, stride=2, padding=1), x, name="pool")
    return _stages(net, x, growth, depths, num_classes)


def densenet_cifar(net: Builder, growth: int, depths: tuple[int, ...], num_classes: int = 10) -> str:
    x = net.input(3, 32, 32)
    with net.scope("stem"):
        x = net(Conv(2 * growth, 3, padding=1, bias=False), x)
    return _stages(net, x, growth, depths, num_classes)


def _stages(net: Builder, x: str, growth: int, depths: tuple[int, ...], num_classes: int) -> str:
    for stage, depth in enumerate(depths, start=1):
        if stage > 1:
            with net.scope(f"transition{stage - 1}"):
                x = net(AvgPool(2), norm_conv(net, x, net.shape(x)[0] // 2, 1), name="pool")
        for layer in range(1, depth + 1):
            with net.scope(f"stage{stage}.layer{layer}"):
                y = norm_conv(net, x, 4 * growth, 1, tag="1")
                x = net(Concat(), x, norm_conv(net, y, growth, 3, tag="2"))
    with net.scope("top"):
        x = net(Relu(), net(BatchNorm(), x, name="bn"))
    return pooled_head(net, x, num_classes)


MODELS = {name: partial(densenet, growth=growth, depths=depths) for name, (growth, depths) in TABLE.items()} | {
    "densenet100_cifar": partial(densenet_cifar, growth=12, depths=(16, 16, 16))
}
