"""EfficientNet-Lite: EfficientNet (Tan & Le, 2019, arXiv:1905.11946) made plain for small devices (Google, 2020).

Lite differs from B0-B4 in three ways: no squeeze-and-excitation, ReLU6 in place of swish, and the stem and the top keep
their widths while the rest scales. Batch-norm epsilon and SAME padding are TensorFlow's, as published.
"""

from __future__ import annotations

import math
from functools import partial

from foveal.blocks import inverted_residual, pooled_head, tensorflow_conv_bn
from foveal.graph import Builder
from foveal.ops import Relu6

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

TABLE = {  # width, depth, resolution, dropout              tensorflow/tpu, efficientnet/lite/README.md
    "efficientnet_lite0": (1.0, 1.0, 224, 0.2),
    "efficientnet_lite1": (1.0, 1.1, 240, 0.2),
    "efficientnet_lite2": (1.1, 1.2, 260, 0.3),
    "efficientnet_lite3": (1.2, 1.4, 280, 0.3),
    "efficientnet_lite4": (1.4, 1.8, 300, 0.3),
}


def efficientnet_lite(
    net: Builder, width: float, depth: float, resolution: int, dropout: float, num_classes: int = 1000
) -> str:
    x = net.input(3, resolution, resolution)
    with net.scope("stem"):
        x = tensorflow_conv_bn(net, x, 32, 3, stride=2, activation=Relu6())
    for stage, (expansion, channels, blocks, stride, kernel) in enumerate(STAGES, start=1):
        scaled = blocks if stage in (1, len(STAGES)) else math.ceil(blocks * depth)
        for block in range(scaled):
            with net.scope(f"stage{stage}.block{block + 1}"):
                first = stride if block == 0 else 1
                x = inverted_residual(
                    net, x, _scale(channels, width), kernel, first, expansion, Relu6(), tensorflow_conv_bn
                )
    with net.scope("top"):
        x = tensorflow_conv_bn(net, x, 1280, 1, activation=Relu6())
    return pooled_head(net, x, num_classes, dropout)


def _scale(channels: int, width: float) -> int:
    """`channels` times `width`, to the nearest multiple of 8, but never more than a tenth below."""
    scaled = max(8, int(channels * width + 4) // 8 * 8)
    return scaled + 8 if scaled < 0.9 * channels * width else scaled


MODELS = {
    name: partial(efficientnet_lite, width=width, depth=depth, resolution=resolution, dropout=dropout)
    for name, (width, depth, resolution, dropout) in TABLE.items()
}
