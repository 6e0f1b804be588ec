"""Small networks made for a laptop: the most accuracy for the CPU seconds that training takes.

Both take 28x28 grey pictures as they come, and any others of 8x8 or more, such as 32x32 in colour. Neither is from a
paper: parts and sizes were chosen by measuring. `bench/tiny_nets.py` measures on Fashion-MNIST, and bench/RESULTS.md
("Small networks") has its table; the nearest variants there are within chance of these two. What both follow:

- Few channels on the large maps, halved at once: they cost most of the time and teach least.
- Max pooling before batch norm and ReLU, which then have a quarter to do; so also Jordan (2024, arXiv:2404.00498).
- Dense 3x3 convolutions between the sizes. In training a CPU does several times the multiplications a second in these
  that it does in depthwise ones, so that MobileNet's thrift in multiplications saves little time.

``tiny_resnet`` then has one residual block (He et al. 2015) on the smallest map; the networks of Page (2018, "How to
train your ResNet", myrtle.ai) have two, on larger ones. ``micro_mobilenet`` has an inverted residual (Sandler et al.
2018) there, and less than half the weights.
"""

from __future__ import annotations

from functools import partial

from foveal.blocks import NORM, Block, basic, inverted_residual, pooled_head
from foveal.graph import Builder
from foveal.ops import Conv, MaxPool, Relu
from foveal.zoo.entry import ZERO, Draw, Init, Paper, models

PAPER = Paper(
    "Foveal",
    2026,
    "Small networks made for a laptop",
    "no paper; measured in bench/RESULTS.md",
    "no new part: known ones, sized by the accuracy that a CPU second of training buys",
)
INIT = Init("He et al. (2015, arXiv:1502.01852)", Draw("he_in"), Draw("he_in"), ZERO)

CHANNELS = (16, 32, 64)


def halved(net: Builder, x: str, channels: int) -> str:
    """A 3x3 convolution, pooled 2x2 before batch norm and ReLU."""
    x = net(MaxPool(2), net(Conv(channels, 3, padding=1, bias=False), x), name="pool")
    return net(Relu(), net(NORM, x, name="bn"))


def inverted(net: Builder, x: str, channels: int, stride: int) -> str:
    return inverted_residual(net, x, channels, 3, stride, 2, Relu())


def tiny(net: Builder, block: Block, num_classes: int = 10) -> str:
    x = net.input(1, 28, 28)
    for stage, channels in enumerate(CHANNELS, start=1):
        with net.scope(f"stage{stage}"):
            x = halved(net, x, channels)
    with net.scope(f"stage{len(CHANNELS)}.block"):
        x = block(net, x, CHANNELS[-1], 1)
    return pooled_head(net, x, num_classes)


MODELS = models(
    PAPER, INIT, {"tiny_resnet": partial(tiny, block=basic), "micro_mobilenet": partial(tiny, block=inverted)}
)
