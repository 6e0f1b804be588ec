"""EfficientNet; Tan & Le (2019), "EfficientNet: rethinking model scaling", arXiv:1905.11946; and Lite (Google, 2020).

Width, depth and resolution grow together, by one rule, from a network that a search found.

``efficientnet_b0`` is MobileNetV2's block with a gate (squeeze-and-excitation) and swish, the others are B0 with width,
depth and resolution raised together. As in torchvision, whose B2 takes 288x288 where the paper has 260x260; but here
no blocks are dropped in training (stochastic depth).

Lite, made plain for small devices, differs from B0-B4 in three ways: no squeeze-and-excitation, ReLU6 in place of
swish, and the stem and the top keep their widths while the rest scales. Batch-norm epsilon and SAME padding are
TensorFlow's, as published.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import partial

from foveal.blocks import conv_bn, divisible, inverted_residual, pooled_head, squeeze_excite, tensorflow_conv_bn
from foveal.graph import Builder
from foveal.ops import Relu6, Silu
from foveal.zoo.entry import ZERO, Author, Draw, Init, Paper, models

PAPER = Paper(
    "Tan & Le",
    2019,
    "EfficientNet: rethinking model scaling for convolutional neural networks",
    "ICML 2019, arXiv:1905.11946",
    "width, depth and resolution grown together by one rule reach more accuracy for the same work",
)
LITE_RELEASE = Paper(
    "Liu, Google",
    2020,
    "Higher accuracy on vision models with EfficientNet-Lite",
    "TensorFlow blog, 16 March 2020",
    "EfficientNet without gates and with ReLU6, so that integers and small devices' chips run it well",
)
INIT = Init("the authors' and torchvision's", Draw("he_out"), Draw("uniform_root_out"), ZERO)

#        expansion, channels, blocks, stride, kernel                       Tan & Le, table 1
STAGES = (
    (1, 16, 1, 1, 3),
    (6, 24, 2, 2, 3),
    (6, 40, 2, 2, 5),
    (6, 80, 3, 2, 3),
    (6, 112, 3, 1, 5),
    (6, 192, 4, 2, 5),
    (6, 320, 1, 1, 3),
)

TABLE = {  # width, depth, resolution, dropout                            torchvision
    "efficientnet_b0": (1.0, 1.0, 224, 0.2),
    "efficientnet_b1": (1.0, 1.1, 240, 0.2),
    "efficientnet_b2": (1.1, 1.2, 288, 0.3),
    "efficientnet_b3": (1.2, 1.4, 300, 0.3),
    "efficientnet_b4": (1.4, 1.8, 380, 0.4),
}
LITE = {  # width, depth, resolution, dropout               tensorflow/tpu, efficientnet/lite/README.md
    "efficientnet_lite0": (1.0, 1.0, 224, 0.2),
    "efficientnet_lite1": (1.0, 1.1, 240, 0.2),
    "efficientnet_lite2": (1.1, 1.2, 260, 0.3),
    "efficientnet_lite3": (1.2, 1.4, 280, 0.3),
    "efficientnet_lite4": (1.4, 1.8, 300, 0.3),
}


def efficientnet(
    net: Builder, width: float, depth: float, resolution: int, dropout: float, num_classes: int = 1000
) -> str:
    x = net.input(3, resolution, resolution)
    with net.scope("stem"):
        x = conv_bn(net, x, divisible(32 * width), 3, stride=2, activation=Silu())
    x = _stages(net, x, _gated, width, [math.ceil(row[2] * depth) for row in STAGES])
    with net.scope("top"):
        x = conv_bn(net, x, 4 * net.shape(x)[0], 1, activation=Silu())
    return pooled_head(net, x, num_classes, dropout)


def efficientnet_lite(
    net: Builder, width: float, depth: float, resolution: int, dropout: float, num_classes: int = 1000
) -> str:
    x = net.input(3, resolution, resolution)
    with net.scope("stem"):
        x = tensorflow_conv_bn(net, x, 32, 3, stride=2, activation=Relu6())
    first, *middle, last = (row[2] for row in STAGES)
    depths = [first, *(math.ceil(blocks * depth) for blocks in middle), last]
    x = _stages(net, x, partial(inverted_residual, act=Relu6(), conv=tensorflow_conv_bn), width, depths)
    with net.scope("top"):
        x = tensorflow_conv_bn(net, x, 1280, 1, activation=Relu6())
    return pooled_head(net, x, num_classes, dropout)


def _stages(net: Builder, x: str, block: Callable[..., str], width: float, depths: list[int]) -> str:
    rows = zip(STAGES, depths, strict=True)
    for stage, ((expansion, channels, _, stride, kernel), depth) in enumerate(rows, start=1):
        for i in range(1, depth + 1):
            with net.scope(f"stage{stage}.block{i}"):
                x = block(net, x, divisible(channels * width), kernel, stride if i == 1 else 1, expansion)
    return x


def _gated(net: Builder, x: str, channels: int, kernel: int, stride: int, expansion: int) -> str:
    gate = partial(squeeze_excite, squeezed=net.shape(x)[0] // 4, act=Silu())
    return inverted_residual(net, x, channels, kernel, stride, expansion, Silu(), gate=gate)


def _rows(author: Author, table: Mapping[str, tuple[float, float, int, float]]) -> dict[str, Author]:
    return {
        name: partial(author, width=width, depth=depth, resolution=resolution, dropout=dropout)
        for name, (width, depth, resolution, dropout) in table.items()
    }


MODELS = models(PAPER, INIT, _rows(efficientnet, TABLE)) | models(LITE_RELEASE, INIT, _rows(efficientnet_lite, LITE))
