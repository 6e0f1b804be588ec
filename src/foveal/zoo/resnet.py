"""ResNet; He, Zhang, Ren & Sun (2015, arXiv:1512.03385), and what became of its bottleneck.

As in torchvision, the stride of a bottleneck sits in its 3x3; ``_paper`` has it in the first 1x1 as the paper does.
Wherever the shape changes the shortcut is a projection (the paper's option B), in ResNet-18 and -34 too. ``plain`` has
no shortcuts: the networks beside which the paper shows what they bring.

``resnext``: grouped 3x3 (Xie et al. 2017, arXiv:1611.05431). ``wide_resnet``: twice the channels in the 3x3 (Zagoruyko
& Komodakis 2016, arXiv:1605.07146). ``_cifar``: the same five networks for 32x32 pictures and 10 classes, with a 3x3
stem that keeps the size; not the narrower family that He et al. made for CIFAR-10 (their section 4.2).
"""

from __future__ import annotations

from functools import partial

from foveal.blocks import Block, basic, bottleneck, conv_bn, plain, pooled_head, staged
from foveal.graph import Builder
from foveal.ops import MaxPool, Relu

CHANNELS = (64, 128, 256, 512)

TABLE: dict[str, tuple[Block, tuple[int, ...]]] = {  # block, blocks a stage         He et al., table 1
    "resnet18": (basic, (2, 2, 2, 2)),
    "resnet34": (basic, (3, 4, 6, 3)),
    "resnet50": (bottleneck, (3, 4, 6, 3)),
    "resnet101": (bottleneck, (3, 4, 23, 3)),
    "resnet152": (bottleneck, (3, 8, 36, 3)),
}
PLAIN: dict[str, tuple[Block, tuple[int, ...]]] = {
    "plain18": (plain, (2, 2, 2, 2)),
    "plain34": (plain, (3, 4, 6, 3)),
}
PAPER: dict[str, tuple[Block, tuple[int, ...]]] = {
    f"{name}_paper": (partial(bottleneck, stride_first=True), depths)
    for name, (block, depths) in TABLE.items()
    if block is bottleneck
}
WIDER: dict[str, tuple[Block, tuple[int, ...]]] = {
    "resnext50_32x4d": (partial(bottleneck, groups=32, base=4), (3, 4, 6, 3)),
    "resnext101_32x8d": (partial(bottleneck, groups=32, base=8), (3, 4, 23, 3)),
    "wide_resnet50_2": (partial(bottleneck, base=128), (3, 4, 6, 3)),
    "wide_resnet101_2": (partial(bottleneck, base=128), (3, 4, 23, 3)),
}


def resnet(net: Builder, block: Block, depths: tuple[int, ...], num_classes: int = 1000) -> str:
    x = net.input(3, 224, 224)
    with net.scope("stem"):
        x = conv_bn(net, x, 64, 7, 2, activation=Relu())
        x = net(MaxPool(3, stride=2, padding=1), x, name="pool")
    return pooled_head(net, staged(net, x, block, depths, CHANNELS), num_classes)


def resnet_cifar(net: Builder, block: Block, depths: tuple[int, ...], num_classes: int = 10) -> str:
    x = net.input(3, 32, 32)
    with net.scope("stem"):
        x = conv_bn(net, x, 64, 3, activation=Relu())
    return pooled_head(net, staged(net, x, block, depths, CHANNELS), num_classes)


MODELS = {
    name: partial(resnet, block=block, depths=depths)
    for name, (block, depths) in (TABLE | PLAIN | PAPER | WIDER).items()
} | {f"{name}_cifar": partial(resnet_cifar, block=block, depths=depths) for name, (block, depths) in TABLE.items()}
