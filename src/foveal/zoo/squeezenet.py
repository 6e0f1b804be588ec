"""SqueezeNet; Iandola et al. (2016), "SqueezeNet: AlexNet-level accuracy with 50x fewer parameters", arXiv:1602.07360.

AlexNet's accuracy in five megabytes: most convolutions are 1x1 and the few 3x3 read squeezed maps.

As in torchvision, which has the authors' two releases. ``squeezenet1_0`` is the paper's table 1, whose 111x111 after
the first convolution come from 227x227 (224x224 gives 109x109); ``squeezenet1_1`` pools earlier and takes 2.4 times
less work. The last convolution gives the classes, and the head only averages them.
"""

from __future__ import annotations

import math
from functools import partial

from foveal.blocks import fire
from foveal.graph import Builder
from foveal.ops import Conv, Dropout, Flatten, GlobalAvgPool, MaxPool, Relu
from foveal.zoo.entry import ZERO, Draw, Init, Paper, models

PAPER = Paper(
    "Iandola, Han, Moskewicz, Ashraf, Dally & Keutzer",
    2016,
    "SqueezeNet: AlexNet-level accuracy with 50x fewer parameters and <0.5MB model size",
    "arXiv:1602.07360",
    "squeeze by 1x1, expand by 1x1 and 3x3: AlexNet's accuracy with a fiftieth of its weights",
)
INIT = Init(
    "torchvision's, after He et al. (2015), uniform; the last layer as the authors'",
    conv=Draw("uniform_root", math.sqrt(6)),
    bias=ZERO,
    special={"head.conv.weight": Draw("normal", 0.01)},
)

Stages = tuple[tuple[tuple[int, int], ...], ...]

#    squeeze, expand 1x1 and 3x3 each; a pooling between stages              Iandola et al., table 1
STAGES_1_0: Stages = (
    ((16, 64), (16, 64), (32, 128)),
    ((32, 128), (48, 192), (48, 192), (64, 256)),
    ((64, 256),),
)
STAGES_1_1: Stages = (
    ((16, 64), (16, 64)),
    ((32, 128), (32, 128)),
    ((48, 192), (48, 192), (64, 256), (64, 256)),
)


def squeezenet(net: Builder, stem: Conv, stages: Stages, num_classes: int = 1000) -> str:
    x = net.input(3, 224, 224)
    with net.scope("stem"):
        x = net(Relu(), net(stem, x))
        x = net(MaxPool(3, stride=2, ceil_mode=True), x, name="pool")
    for stage, widths in enumerate(stages, start=1):
        with net.scope(f"stage{stage}"):
            if stage > 1:
                x = net(MaxPool(3, stride=2, ceil_mode=True), x, name="pool")
            for block, (squeezed, expanded) in enumerate(widths, start=1):
                with net.scope(f"fire{block}"):
                    x = fire(net, x, squeezed, expanded)
    with net.scope("head"):
        x = net(Relu(), net(Conv(num_classes, 1), net(Dropout(), x)))
        return net(Flatten(), net(GlobalAvgPool(), x, name="pool"))


MODELS = models(
    PAPER,
    INIT,
    {
        "squeezenet1_0": partial(squeezenet, stem=Conv(96, 7, 2), stages=STAGES_1_0),
        "squeezenet1_1": partial(squeezenet, stem=Conv(64, 3, 2), stages=STAGES_1_1),
    },
)
