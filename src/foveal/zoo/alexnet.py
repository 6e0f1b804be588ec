"""AlexNet; Krizhevsky, Sutskever & Hinton (2012), "ImageNet classification with deep convolutional neural networks".

It won ILSVRC 2012 by ten points and turned computer vision to learned features: ReLU, dropout, two GPUs.

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
from foveal.zoo.entry import TORCH, ZERO, Draw, Init, Paper, models

PAPER = Paper(
    "Krizhevsky, Sutskever & Hinton",
    2012,
    "ImageNet classification with deep convolutional neural networks",
    "NeurIPS 2012",
    "a deep convolutional network with ReLU and dropout, trained on two GPUs, beats all designed features on ImageNet",
)
INIT = Init(
    "the paper's, section 5",
    conv=Draw("normal", 0.01),
    dense=Draw("normal", 0.01),
    bias=ZERO,
    special={
        f"{layer}.bias": Draw("constant", 1.0)
        for layer in ("stage2.conv", "stage4.conv", "stage5.conv", "head.dense1", "head.dense2")
    },
)
ONE_TOWER = Paper(
    "Krizhevsky",
    2014,
    "One weird trick for parallelizing convolutional neural networks",
    "arXiv:1404.5997",
    "convolutions split the pictures among GPUs, dense layers their weights; AlexNet in one column",
)
ONE_TOWER_INIT = Init("torchvision's: PyTorch's own", bias=TORCH)

Layers = tuple[tuple[int, int, int, int, int], ...]

#    channels, kernel, stride, padding, groups
TWO_GPUS: Layers = (
    (96, 11, 4, 0, 1),
    (256, 5, 1, 2, 2),
    (384, 3, 1, 1, 1),
    (384, 3, 1, 1, 2),
    (256, 3, 1, 1, 2),
)
UNGROUPED: Layers = tuple((*layer[:4], 1) for layer in TWO_GPUS)
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


MODELS = models(ONE_TOWER, ONE_TOWER_INIT, {"alexnet": alexnet}) | models(
    PAPER,
    INIT,
    {
        "alexnet_paper": partial(alexnet_paper, layers=TWO_GPUS),
        "alexnet_ungrouped": partial(alexnet_paper, layers=UNGROUPED),
    },
)
