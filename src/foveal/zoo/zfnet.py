"""ZFNet; Zeiler & Fergus (2013), "Visualizing and understanding convolutional networks", arXiv:1311.2901, figure 3.

By looking at what each layer answers to, the authors found AlexNet's first layers too coarse and mended them.

AlexNet without groups, whose first layer looks finer: 7x7 at stride 2, not 11x11 at 4. The figure's sizes ask for one
cell of padding there and for poolings that round up. Its "contrast normalization across feature maps" has AlexNet's
constants here; the paper gives none.
"""

from __future__ import annotations

from foveal.blocks import dense_head
from foveal.graph import Builder
from foveal.ops import Conv, LocalResponseNorm, MaxPool, Relu
from foveal.zoo.entry import ZERO, Draw, Init, Paper, models

PAPER = Paper(
    "Zeiler & Fergus",
    2013,
    "Visualizing and understanding convolutional networks",
    "ECCV 2014, arXiv:1311.2901",
    "pictures of what each layer answers to, and a better AlexNet drawn from looking at them",
)
INIT = Init(
    "the paper's, section 3: all weights 0.01, here as the spread", Draw("normal", 0.01), Draw("normal", 0.01), ZERO
)

LAYERS = (  # channels, kernel, stride, padding                             Zeiler & Fergus, figure 3
    (96, 7, 2, 1),
    (256, 5, 2, 0),
    (384, 3, 1, 1),
    (384, 3, 1, 1),
    (256, 3, 1, 1),
)
NORM = LocalResponseNorm(5, alpha=5e-4, beta=0.75, k=2.0)


def zfnet(net: Builder, num_classes: int = 1000) -> str:
    x = net.input(3, 224, 224)
    for stage, (channels, kernel, stride, padding) in enumerate(LAYERS, start=1):
        with net.scope(f"stage{stage}"):
            x = net(Relu(), net(Conv(channels, kernel, stride, padding), x))
            if stage in (1, 2, 5):
                x = net(MaxPool(3, stride=2, ceil_mode=True), x, name="pool")
            if stage in (1, 2):
                x = net(NORM, x, name="norm")
    with net.scope("head"):
        return dense_head(net, x, num_classes)


MODELS = models(PAPER, INIT, {"zfnet": zfnet})
