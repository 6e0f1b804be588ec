"""AlexNet; Krizhevsky, Sutskever & Hinton (2012), "ImageNet classification with deep convolutional neural networks".

``alexnet_paper`` is figure 2: the halves on two GPUs are two groups, and the input is 227x227, from which 11x11 at
stride 4 gives the 55x55 that the paper counts (its 224 would give 54). ``alexnet_ungrouped`` has the same widths where
every layer sees all channels. ``alexnet`` is torchvision's, after the single column of Krizhevsky (2014,
arXiv:1404.5997): narrower, no groups, no response normalization, dropout before the dense layers, any input size.
"""

from __future__ import annotations

from functools import partial

from foveal.blocks import dense_head
from foveal.graph import Builder
from foveal.ops import AdaptiveAvgPool, Conv, LocalResponseNorm, MaxPool, Op, Relu

Layers = tuple[tuple[int, int, int, int, int], ...]

#    channels, kernel, stride, padding, groups
PAPER: Layers = (
    (96, 11, 4, 0, 1),
    (256, 5, 1, 2, 2),
    (384, 3, 1, 1, 1),
    (384, 3, 1, 1, 2),
    (256, 3, 1, 1, 2),
)
UNGROUPED: Layers = tuple((*layer[:4], 1) for layer in PAPER)
TORCHVISION: Layers = (
    (64, 11, 4, 2, 1),
    (192, 5, 1, 2, 1),
    (384, 3, 1, 1, 1),
    (256, 3, 1, 1, 1),
    (256, 3, 1, 1, 1),
)
NORM = LocalResponseNorm(5, alpha=5e-4, beta=0.75, k=2.0)  # section 3.3; its alpha 1e-4 is not divided by the 5


def alexnet(net: Builder, num_classes: int = 1000) -> str:
    x = _convolutions(net, net.input(3, 224, 224), TORCHVISION)
    with net.scope("head"):
        return dense_head(net, net(AdaptiveAvgPool(6), x, name="pool"), num_classes, dropout_first=True)


def alexnet_paper(net: Builder, layers: Layers, num_classes: int = 1000) -> str:
    x = _convolutions(net, net.input(3, 227, 227), layers, NORM)
    with net.scope("head"):
        return dense_head(net, x, num_classes)


def _convolutions(net: Builder, x: str, layers: Layers, norm: Op | None = None) -> str:
    for stage, (channels, kernel, stride, padding, groups) in enumerate(layers, start=1):
        with net.scope(f"stage{stage}"):
            x = net(Relu(), net(Conv(channels, kernel, stride, padding, groups=groups), x))
            if norm and stage in (1, 2):
                x = net(norm, x, name="norm")
            if stage in (1, 2, 5):
                x = net(MaxPool(3, stride=2), x, name="pool")
    return x


MODELS = {
    "alexnet": alexnet,
    "alexnet_paper": partial(alexnet_paper, layers=PAPER),
    "alexnet_ungrouped": partial(alexnet_paper, layers=UNGROUPED),
}
