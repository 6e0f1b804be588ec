"""Inception-ResNet; Szegedy, Ioffe, Vanhoucke & Alemi (2016), "Inception-v4, Inception-ResNet ...", arXiv:1602.07261.

What the branches of an Inception block give is mixed by a 1x1, scaled down and added to what they read: shortcuts make
Inception train several times quicker, and the scaling keeps wide blocks from dying.

``inception_resnet_v1`` is the paper's: the stem of figure 14, then 5, 10 and 5 blocks of figures 10, 11 and 13, where
FaceNet's release adds a sixth. ``inception_resnet_v2`` is Google's release, as in Keras and timm. It differs from the
paper's figures: the stem of Inception v3 and one block of four branches in place of figure 3; 10, 20 and 10 blocks, not
5, 10 and 5; maps of 320, 1088 and 2080 channels, where the paper has 384, 1154 and 2048; a last block without scaling
and ReLU; a 1x1 on top. The scalings are the release's; the paper says between 0.1 and 0.3. Batch norm has epsilon 0.001
and the head the paper's dropout, 0.2. ``halving`` is where a stage makes the map smaller.
"""

from __future__ import annotations

from foveal.blocks import Layer, branch, inception_conv, pooled_head
from foveal.graph import Builder
from foveal.ops import Add, AvgPool, Concat, Conv, Factor, MaxPool, Relu
from foveal.zoo.entry import ZERO, Draw, Init, Paper, models

PAPER = Paper(
    "Szegedy, Ioffe, Vanhoucke & Alemi",
    2016,
    "Inception-v4, Inception-ResNet and the impact of residual connections on learning",
    "AAAI 2017, arXiv:1602.07261",
    "Inception with shortcuts trains several times quicker, if what is added is first made small",
)
INIT = Init("Google's release, after Glorot & Bengio (2010)", Draw("glorot"), Draw("glorot"), ZERO)

Branches = tuple[tuple[Layer, ...], ...]
Stages = tuple[tuple[Branches, Branches, int, float], ...]

# The branches of each figure, pooling aside; (channels, kernel) of a convolution, with a third number the stride.
FIGURE_7_V1: Branches = ((384, 3, 2),), ((192, 1), (192, 3), (256, 3, 2))  # with table 1
FIGURE_10: Branches = ((32, 1),), ((32, 1), (32, 3)), ((32, 1), (32, 3), (32, 3))
FIGURE_11: Branches = ((128, 1),), ((128, 1), (128, (1, 7)), (128, (7, 1)))
FIGURE_12: Branches = ((256, 1), (384, 3, 2)), ((256, 1), (256, 3, 2)), ((256, 1), (256, 3), (256, 3, 2))
FIGURE_13: Branches = ((192, 1),), ((192, 1), (192, (1, 3)), (192, (3, 1)))
FIGURE_7_V2: Branches = ((384, 3, 2),), ((256, 1), (256, 3), (384, 3, 2))
FIGURE_16: Branches = ((32, 1),), ((32, 1), (32, 3)), ((32, 1), (48, 3), (64, 3))
FIGURE_17: Branches = ((192, 1),), ((128, 1), (160, (1, 7)), (192, (7, 1)))
FIGURE_18: Branches = ((256, 1), (384, 3, 2)), ((256, 1), (288, 3, 2)), ((256, 1), (288, 3), (320, 3, 2))
FIGURE_19: Branches = ((192, 1),), ((192, 1), (224, (1, 3)), (256, (3, 1)))

V1: Stages = (  # how the map is halved, what is added, how often, and scaled by how much
    ((), FIGURE_10, 5, 0.17),
    (FIGURE_7_V1, FIGURE_11, 10, 0.10),
    (FIGURE_12, FIGURE_13, 5, 0.20),
)
V2: Stages = (
    ((), FIGURE_16, 10, 0.17),
    (FIGURE_7_V2, FIGURE_17, 20, 0.10),
    (FIGURE_18, FIGURE_19, 9, 0.20),
)


def inception_resnet_v1(net: Builder, num_classes: int = 1000) -> str:
    x = _stem(net)
    with net.scope("stem"):
        x = inception_conv(net, x, 256, 3, 2, padding=0, tag="6")
    return pooled_head(net, _stages(net, x, V1), num_classes, dropout=0.2)


def inception_resnet_v2(net: Builder, num_classes: int = 1000) -> str:
    x = _stem(net)
    with net.scope("stem"):
        x = _mixed(net, net(MaxPool(3, stride=2), x, name="pool2"))
    x = _stages(net, x, V2)
    with net.scope("stage3.last"):
        x = _residual(net, x, FIGURE_19)
    with net.scope("top"):
        x = inception_conv(net, x, 1536, 1)
    return pooled_head(net, x, num_classes, dropout=0.2)


def _stem(net: Builder) -> str:
    """Figure 14, as far as both have it."""
    x = net.input(3, 299, 299)
    with net.scope("stem"):
        x = inception_conv(net, x, 32, 3, 2, padding=0, tag="1")
        x = inception_conv(net, x, 32, 3, padding=0, tag="2")
        x = inception_conv(net, x, 64, 3, tag="3")
        x = inception_conv(net, net(MaxPool(3, stride=2), x, name="pool1"), 80, 1, tag="4")
        return inception_conv(net, x, 192, 3, padding=0, tag="5")


def _mixed(net: Builder, x: str) -> str:
    """Four branches that widen 192 channels to 320, in the release only."""
    a = branch(net, x, 1, (96, 1))
    b = branch(net, x, 2, (48, 1), (64, 5))
    c = branch(net, x, 3, (64, 1), (96, 3), (96, 3))
    d = branch(net, net(AvgPool(3, stride=1, padding=1), x, name="around"), 4, (64, 1))
    return net(Concat(), a, b, c, d)


def _stages(net: Builder, x: str, stages: Stages) -> str:
    for stage, (halving, branches, blocks, scale) in enumerate(stages, start=1):
        if halving:
            with net.scope(f"stage{stage}.halving"):
                x = net(Concat(), *_side_by_side(net, x, halving), net(MaxPool(3, stride=2), x, name="pool"))
        for block in range(1, blocks + 1):
            with net.scope(f"stage{stage}.block{block}"):
                x = net(Relu(), _residual(net, x, branches, scale))
    return x


def _residual(net: Builder, x: str, branches: Branches, scale: float = 1.0) -> str:
    """Branches side by side, mixed 1x1 with bias and no norm, scaled, added; figure 20."""
    y = net(Conv(net.shape(x)[0], 1), net(Concat(), *_side_by_side(net, x, branches)), name="mix")
    return net(Add(), net(Factor(scale), y) if scale < 1 else y, x)


def _side_by_side(net: Builder, x: str, branches: Branches) -> list[str]:
    return [branch(net, x, number, *layers) for number, layers in enumerate(branches, start=1)]


MODELS = models(PAPER, INIT, {"inception_resnet_v1": inception_resnet_v1, "inception_resnet_v2": inception_resnet_v2})
