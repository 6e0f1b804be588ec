"""The networks that the courses' lectures count by hand: every number is a line of arithmetic.

From no paper: from the courses that Foveal grew from, written down here in 2026. What they bring is that a count can be
checked with a pencil; each docstring below states it.
"""

from __future__ import annotations

from functools import partial

from foveal.graph import Builder
from foveal.ops import AvgPool, Conv, Dense, Flatten, MaxPool, Op, Relu, Softmax
from foveal.zoo.entry import TORCH, Init, Paper, models

PAPER = Paper(
    "the courses that Foveal grew from",
    2026,
    "Convolutional neural networks, counted by hand",
    "lecture slides; no paper",
    "every parameter and every product of a small network is a line of arithmetic",
)
INIT = Init("PyTorch's own", bias=TORCH)


def counting(net: Builder, num_classes: int = 4) -> str:
    """The worked parameter count: 224 + 3,216 + 2,097,664 + 2,052 = 2,103,156."""
    x = net.input(3, 32, 32)
    x = net(Relu(), net(Conv(8, 3, padding="same"), x, name="conv1"), name="relu1")
    x = net(Relu(), net(Conv(16, 5, stride=2, padding="same"), x, name="conv2"), name="relu2")
    x = net(Relu(), net(Dense(512), net(Flatten(), x), name="dense1"), name="relu3")
    return net(Softmax(), net(Dense(num_classes), x, name="dense2"))


def pooling_exercise(net: Builder, pool: Op | None, num_classes: int = 10) -> str:
    """The MNIST exercise, 28 filters 3x3 and dense 16: 29,138 parameters with a pooling of 3, 303,314 without."""
    x = net.input(1, 28, 28)
    x = net(Relu(), net(Conv(28, 3), x), name="relu1")
    if pool is not None:
        x = net(pool, x, name="pool")
    x = net(Relu(), net(Dense(16), net(Flatten(), x), name="dense1"), name="relu2")
    return net(Dense(num_classes), x, name="dense2")


def standard(net: Builder, num_classes: int = 256) -> str:
    """A 5x5 convolution 3 -> 256 on 12x12: 19,456 parameters, 1,228,800 MACs."""
    return net(Conv(num_classes, 5), net.input(3, 12, 12))


def separable(net: Builder, num_classes: int = 256) -> str:
    """The same as a 5x5 depthwise and a 1x1 pointwise convolution: 78 + 1,024 parameters, 4,800 + 49,152 MACs."""
    x = net(Conv(3, 5, groups=3), net.input(3, 12, 12), name="depthwise")
    return net(Conv(num_classes, 1), x, name="pointwise")


MODELS = models(
    PAPER,
    INIT,
    {
        "lecture_counting": counting,
        "lecture_pooling_none": partial(pooling_exercise, pool=None),
        "lecture_pooling_average": partial(pooling_exercise, pool=AvgPool(3)),
        "lecture_pooling_max": partial(pooling_exercise, pool=MaxPool(3)),
        "lecture_standard": standard,
        "lecture_separable": separable,
    },
)
