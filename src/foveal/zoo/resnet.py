"""ResNet; He, Zhang, Ren & Sun (2015), "Deep residual learning for image recognition", arXiv:1512.03385.

The input of a block is added to its output, so a block that learns nothing passes its input on, and 152 layers train.

As in torchvision, the stride of a bottleneck sits in its 3x3; ``_paper`` has it in the first 1x1 as the paper does.
Wherever the shape changes the shortcut is a projection (the paper's option B), in ResNet-18 and -34 too. ``plain`` has
no shortcuts: the networks beside which the paper shows what they bring.

``resnext``: grouped 3x3 (Xie et al. 2016, arXiv:1611.05431). ``wide_resnet``: twice the channels in the 3x3 (Zagoruyko
& Komodakis 2016, arXiv:1605.07146). ``_cifar``: the same five networks for 32x32 pictures and 10 classes, with a 3x3
stem that keeps the size; `foveal.zoo.resnet_cifar` has the narrower family that He et al. made for CIFAR-10.
"""

from __future__ import annotations

from functools import partial

from foveal.blocks import Block, basic, bottleneck, conv_bn, plain, pooled_head, staged
from foveal.graph import Builder
from foveal.ops import MaxPool, Relu
from foveal.zoo.entry import TORCH, Author, Draw, Init, Paper, models

PAPER = Paper(
    "He, Zhang, Ren & Sun",
    2015,
    "Deep residual learning for image recognition",
    "CVPR 2016, arXiv:1512.03385",
    "blocks learn what to add to their input: 152 layers train, where 34 plain ones do worse than 18",
)
GROUPED = Paper(
    "Xie, Girshick, Dollar, Tu & He",
    2016,
    "Aggregated residual transformations for deep neural networks",
    "CVPR 2017, arXiv:1611.05431",
    "many narrow paths in a block, as groups of one convolution: cardinality, beside depth and width",
)
WIDE = Paper(
    "Zagoruyko & Komodakis",
    2016,
    "Wide residual networks",
    "BMVC 2016, arXiv:1605.07146",
    "wider beats deeper: 16 wide layers do better than a thousand thin ones and train several times quicker",
)
INIT = Init("torchvision's, after He et al. (2015, arXiv:1502.01852)", Draw("he_out"), TORCH, TORCH)

Table = dict[str, tuple[Block, tuple[int, ...]]]

CHANNELS = (64, 128, 256, 512)

TABLE: Table = {  # block, blocks a stage         He et al., table 1
    "resnet18": (basic, (2, 2, 2, 2)),
    "resnet34": (basic, (3, 4, 6, 3)),
    "resnet50": (bottleneck, (3, 4, 6, 3)),
    "resnet101": (bottleneck, (3, 4, 23, 3)),
    "resnet152": (bottleneck, (3, 8, 36, 3)),
}
PLAIN: Table = {
    "plain18": (plain, (2, 2, 2, 2)),
    "plain34": (plain, (3, 4, 6, 3)),
}
STRIDE_FIRST: Table = {
    f"{name}_paper": (partial(bottleneck, stride_first=True), depths)
    for name, (block, depths) in TABLE.items()
    if block is bottleneck
}
GROUPED_TABLE: Table = {  # Xie et al., table 7; groups x channels of each in stage 1
    "resnext50_32x4d": (partial(bottleneck, groups=32, base=4), (3, 4, 6, 3)),
    "resnext101_32x8d": (partial(bottleneck, groups=32, base=8), (3, 4, 23, 3)),
}
WIDE_TABLE: Table = {
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


def _rows(table: Table, author: Author = resnet, suffix: str = "") -> dict[str, Author]:
    return {name + suffix: partial(author, block=block, depths=depths) for name, (block, depths) in table.items()}


MODELS = (
    models(PAPER, INIT, _rows(TABLE | PLAIN | STRIDE_FIRST) | _rows(TABLE, resnet_cifar, "_cifar"))
    | models(GROUPED, INIT, _rows(GROUPED_TABLE))
    | models(WIDE, INIT, _rows(WIDE_TABLE))
)
