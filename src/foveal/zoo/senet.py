"""SENet; Hu, Shen, Albanie, Sun & Wu (2017), "Squeeze-and-excitation networks", arXiv:1709.01507.

Each channel is weighed by a small network that looks at all of them; a gate that any other network can take up.

ResNet, ResNeXt and, as ``senet154``, the largest network of the entry that won ILSVRC 2017, each with a gate before
the addition, squeezed 16 times. As in Cadene's ports of the authors' Caffe networks (timm: ``legacy_``): the stride
of SE-ResNet sits in the first 1x1, that of the others in the 3x3, and the first pooling rounds up in place of padding.
"""

from __future__ import annotations

from functools import partial

from foveal.blocks import Block, bottleneck, conv_bn, pooled_head, shortcut, squeeze_excite, staged
from foveal.graph import Builder
from foveal.ops import Add, MaxPool, Relu
from foveal.zoo.entry import TORCH, ZERO, Draw, Init, Paper, models

PAPER = Paper(
    "Hu, Shen, Albanie, Sun & Wu",
    2017,
    "Squeeze-and-excitation networks",
    "CVPR 2018, arXiv:1709.01507",
    "a gate for each channel, decided from the means of all: ResNet-50 becomes almost as good as ResNet-101",
)
INIT = Init("the paper's, after He et al. (2015)", Draw("he_out"), TORCH, ZERO)

CHANNELS = (64, 128, 256, 512)
POOL = MaxPool(3, stride=2, ceil_mode=True)


def gate(net: Builder, x: str) -> str:
    return squeeze_excite(net, x, net.shape(x)[0] // 16)


def senet_bottleneck(net: Builder, x: str, channels: int, stride: int) -> str:
    """Hu et al., appendix: half the channels in the first 1x1, 64 groups, and a 3x3 where the shortcut strides."""
    y = conv_bn(net, x, 2 * channels, 1, activation=Relu(), tag="1")
    y = conv_bn(net, y, 4 * channels, 3, stride, groups=64, activation=Relu(), tag="2")
    y = gate(net, conv_bn(net, y, 4 * channels, 1, tag="3"))
    return net(Relu(), net(Add(), y, shortcut(net, x, 4 * channels, stride, kernel=3 if stride > 1 else 1)))


se_resnet = partial(bottleneck, stride_first=True, gate=gate)
se_resnext = partial(bottleneck, groups=32, base=4, gate=gate)

TABLE: dict[str, tuple[Block, tuple[int, ...]]] = {  # block, blocks a stage      Hu et al., table 1
    "se_resnet50": (se_resnet, (3, 4, 6, 3)),
    "se_resnet101": (se_resnet, (3, 4, 23, 3)),
    "se_resnet152": (se_resnet, (3, 8, 36, 3)),
    "se_resnext50_32x4d": (se_resnext, (3, 4, 6, 3)),
    "se_resnext101_32x4d": (se_resnext, (3, 4, 23, 3)),
}


def senet(net: Builder, block: Block, depths: tuple[int, ...], num_classes: int = 1000) -> str:
    x = net.input(3, 224, 224)
    with net.scope("stem"):
        x = conv_bn(net, x, 64, 7, 2, activation=Relu())
        x = net(POOL, x, name="pool")
    return pooled_head(net, staged(net, x, block, depths, CHANNELS), num_classes)


def senet154(net: Builder, num_classes: int = 1000) -> str:
    x = net.input(3, 224, 224)
    with net.scope("stem"):
        for i, (channels, stride) in enumerate(((64, 2), (64, 1), (128, 1)), start=1):
            x = conv_bn(net, x, channels, 3, stride, activation=Relu(), tag=str(i))
        x = net(POOL, x, name="pool")
    x = staged(net, x, senet_bottleneck, (3, 8, 36, 3), CHANNELS)
    return pooled_head(net, x, num_classes, dropout=0.2)


MODELS = models(
    PAPER,
    INIT,
    {name: partial(senet, block=block, depths=depths) for name, (block, depths) in TABLE.items()}
    | {"senet154": senet154},
)
