"""DenseNet; Huang, Liu, van der Maaten & Weinberger (2016), "Densely connected convolutional networks", 1608.06993.

Every layer reuses the maps of all layers before it, so a few new channels a layer are enough.

Each layer reads the maps of all layers before it in its stage, so the l-th has k0 + k(l - 1) input channels, k being
the growth rate. ``densenet121`` to ``densenet201`` are the paper's DenseNet-BC as in torchvision: a 1x1 bottleneck of
4k before each 3x3, and transitions that halve the channels; 161 is in the paper's first versions only, and
``densenet264``, the largest of its last, is not in torchvision.

``_cifar`` are for 32x32 pictures and 10 classes, with three stages (section 3): ``densenet40_k12_cifar`` has 40 layers
and k = 12; ``_bc`` has the bottlenecks and the halving, which the others go without. Dropout, which the paper has
where it does not augment, is left out.
"""

from __future__ import annotations

from functools import partial

from foveal.blocks import conv_bn, norm_conv, pooled_head
from foveal.graph import Builder
from foveal.ops import AvgPool, BatchNorm, Concat, Conv, MaxPool, Relu
from foveal.zoo.entry import TORCH, ZERO, Draw, Init, Paper, models

PAPER = Paper(
    "Huang, Liu, van der Maaten & Weinberger",
    2016,
    "Densely connected convolutional networks",
    "CVPR 2017, arXiv:1608.06993",
    "every layer reads the maps of all layers before it, so a few new channels a layer are enough",
)
INIT = Init("the paper's and torchvision's, after He et al. (2015)", Draw("he_in"), TORCH, ZERO)

TABLE = {  # growth rate, layers a stage                                     Huang et al., table 1
    "densenet121": (32, (6, 12, 24, 16)),
    "densenet161": (48, (6, 12, 36, 24)),
    "densenet169": (32, (6, 12, 32, 32)),
    "densenet201": (32, (6, 12, 48, 32)),
    "densenet264": (32, (6, 12, 64, 48)),
}
CIFAR = {  # growth rate, layers a stage, bottlenecks and compression                Huang et al., table 2
    "densenet40_k12_cifar": (12, 12, False),
    "densenet100_k12_cifar": (12, 32, False),
    "densenet100_k24_cifar": (24, 32, False),
    "densenet100_bc_k12_cifar": (12, 16, True),
    "densenet250_bc_k24_cifar": (24, 41, True),
    "densenet190_bc_k40_cifar": (40, 31, True),
}


def densenet(net: Builder, growth: int, depths: tuple[int, ...], num_classes: int = 1000) -> str:
    x = net.input(3, 224, 224)
    with net.scope("stem"):
        x = conv_bn(net, x, 2 * growth, 7, 2, activation=Relu())
        x = net(MaxPool(3, stride=2, padding=1), x, name="pool")
    return _stages(net, x, growth, depths, num_classes)


def densenet_cifar(net: Builder, growth: int, depth: int, bc: bool, num_classes: int = 10) -> str:
    x = net.input(3, 32, 32)
    with net.scope("stem"):
        x = net(Conv(2 * growth if bc else 16, 3, padding=1, bias=False), x)
    return _stages(net, x, growth, (depth,) * 3, num_classes, bc=bc)


def _stages(net: Builder, x: str, growth: int, depths: tuple[int, ...], num_classes: int, *, bc: bool = True) -> str:
    for stage, depth in enumerate(depths, start=1):
        if stage > 1:
            with net.scope(f"transition{stage - 1}"):
                x = net(AvgPool(2), norm_conv(net, x, net.shape(x)[0] // (2 if bc else 1), 1), name="pool")
        for layer in range(1, depth + 1):
            with net.scope(f"stage{stage}.layer{layer}"):
                y = norm_conv(net, x, 4 * growth, 1, tag="1") if bc else x
                x = net(Concat(), x, norm_conv(net, y, growth, 3, tag="2" if bc else ""))
    with net.scope("top"):
        x = net(Relu(), net(BatchNorm(), x, name="bn"))
    return pooled_head(net, x, num_classes)


MODELS = models(
    PAPER,
    INIT,
    {name: partial(densenet, growth=growth, depths=depths) for name, (growth, depths) in TABLE.items()}
    | {name: partial(densenet_cifar, growth=growth, depth=depth, bc=bc) for name, (growth, depth, bc) in CIFAR.items()},
)
