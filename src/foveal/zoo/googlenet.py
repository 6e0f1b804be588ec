"""GoogLeNet; Szegedy et al. (2014), "Going deeper with convolutions", CVPR 2015, arXiv:1409.4842.

Filters of several sizes side by side, made cheap by 1x1 convolutions: 22 layers with a ninth of AlexNet's weights.

``stage1``, ``stage2`` and ``stage3`` are the paper's inception (3a-3b), (4a-4e) and (5a-5b). ``googlenet_paper`` is its
table 1, with the response normalization of Caffe's release, which the paper does not give; ``googlenet_paper_aux`` adds
the two classifiers that the paper trains along, as second and third output. ``googlenet`` is torchvision's without
them: batch norm after each convolution, which has no bias, and no response normalization; 3x3 where the paper has 5x5;
the last pooling takes 2x2, not 3x3; less dropout. ``googlenet_aux`` is torchvision's with them, where an adaptive
pooling gives the 4x4 of the paper's pooling.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from foveal.blocks import Unit, conv_relu, inception, inception_conv, pooled_head
from foveal.graph import Builder
from foveal.ops import AdaptiveAvgPool, AvgPool, Dense, Dropout, Flatten, LocalResponseNorm, MaxPool, Op, Relu
from foveal.zoo.entry import ZERO, Draw, Init, Paper, models

PAPER = Paper(
    "Szegedy, Liu, Jia, Sermanet, Reed, Anguelov, Erhan, Vanhoucke & Rabinovich",
    2014,
    "Going deeper with convolutions",
    "CVPR 2015, arXiv:1409.4842",
    "filters of several sizes side by side, each behind a 1x1 that first makes the map thin",
)
INIT = Init("torchvision's", Draw("truncated", 0.01), Draw("truncated", 0.01), ZERO)
CAFFE = Init(
    "Caffe's release: uniform within the root of 3 / fan_in, biases 0.2",
    conv=Draw("uniform_root", math.sqrt(3)),
    dense=Draw("uniform_root", math.sqrt(3)),
    bias=Draw("constant", 0.2),
    special={"head.dense.bias": ZERO, "dense2.bias": ZERO},
)

#    #1x1, #3x3 reduce, #3x3, #5x5 reduce, #5x5, pool proj           Szegedy et al., table 1
STAGES = (
    (
        (64, 96, 128, 16, 32, 32),
        (128, 128, 192, 32, 96, 64),
    ),
    (
        (192, 96, 208, 16, 48, 64),
        (160, 112, 224, 24, 64, 64),
        (128, 128, 256, 24, 64, 64),
        (112, 144, 288, 32, 64, 64),
        (256, 160, 320, 32, 128, 128),
    ),
    (
        (256, 160, 320, 32, 128, 128),
        (384, 192, 384, 48, 128, 128),
    ),
)
AUXILIARY = ("stage2.block1", "stage2.block4")  # (4a) and (4d)
NORM = LocalResponseNorm(5, alpha=1e-4, beta=0.75, k=1.0)  # BVLC's bvlc_googlenet


def googlenet(net: Builder, num_classes: int = 1000) -> str:
    x = _stem(net, net.input(3, 224, 224), inception_conv)
    x = _inceptions(net, x, inception_conv, large=3, last_pool=2)
    return pooled_head(net, x, num_classes, dropout=0.2)


def googlenet_aux(net: Builder, num_classes: int = 1000) -> tuple[str, ...]:
    main = googlenet(net, num_classes)
    return main, *_auxiliaries(net, num_classes, AdaptiveAvgPool(4), inception_conv)


def googlenet_paper(net: Builder, num_classes: int = 1000) -> str:
    x = _stem(net, net.input(3, 224, 224), conv_relu, NORM)
    x = _inceptions(net, x, conv_relu)
    return pooled_head(net, x, num_classes, dropout=0.4)


def googlenet_paper_aux(net: Builder, num_classes: int = 1000) -> tuple[str, ...]:
    main = googlenet_paper(net, num_classes)
    return main, *_auxiliaries(net, num_classes, AvgPool(5, stride=3), conv_relu)


def _auxiliaries(net: Builder, num_classes: int, pool: Op, conv: Unit) -> Iterator[str]:
    """The classifiers on the side; Szegedy et al., section 5."""
    for number, block in enumerate(AUXILIARY, start=1):
        with net.scope(f"aux{number}"):
            x = conv(net, net(pool, f"{block}.concat", name="pool"), 128, 1)
            x = net(Relu(), net(Dense(1024), net(Flatten(), x), name="dense1"))
            yield net(Dense(num_classes), net(Dropout(0.7), x), name="dense2")


def _stem(net: Builder, x: str, conv: Unit, norm: LocalResponseNorm | None = None) -> str:
    with net.scope("stem"):
        x = net(MaxPool(3, stride=2, ceil_mode=True), conv(net, x, 64, 7, 2, tag="1"), name="pool1")
        x = net(norm, x, name="norm1") if norm else x
        x = conv(net, conv(net, x, 64, 1, tag="2"), 192, 3, tag="3")
        x = net(norm, x, name="norm2") if norm else x
        return net(MaxPool(3, stride=2, ceil_mode=True), x, name="pool2")


def _inceptions(net: Builder, x: str, conv: Unit, large: int = 5, last_pool: int = 3) -> str:
    for stage, blocks in enumerate(STAGES, start=1):
        with net.scope(f"stage{stage}"):
            if stage > 1:
                kernel = last_pool if stage == len(STAGES) else 3
                x = net(MaxPool(kernel, stride=2, ceil_mode=True), x, name="pool")
            for block, widths in enumerate(blocks, start=1):
                with net.scope(f"block{block}"):
                    x = inception(net, x, widths, conv, large)
    return x


MODELS = models(PAPER, INIT, {"googlenet": googlenet, "googlenet_aux": googlenet_aux}) | models(
    PAPER, CAFFE, {"googlenet_paper": googlenet_paper, "googlenet_paper_aux": googlenet_paper_aux}
)
