"""He et al.'s residual networks for CIFAR-10; He, Zhang, Ren & Sun (2015), arXiv:1512.03385, section 4.2.

The networks that showed, small enough to look at, that residual nets gain from depth where plain ones lose: 6n + 2
layers for 32x32 pictures and 10 classes, with 16, 32 and 64 channels.

The shortcuts have no weights (the paper's option A): where the shape changes they take every second cell and add
channels of zeros, behind the others as in Facebook's release; the paper does not say where. ``plain`` has no shortcuts,
and as many weights. ``resnet18_cifar`` and its like, in `foveal.zoo.resnet`, are another, wider family.
"""

from __future__ import annotations

from functools import partial

from foveal.blocks import Block, basic, conv_bn, padded_shortcut, plain, pooled_head, staged
from foveal.graph import Builder
from foveal.ops import Relu
from foveal.zoo.entry import TORCH, ZERO, Draw, Init, models
from foveal.zoo.resnet import PAPER

INIT = Init("the paper's, after He et al. (2015, arXiv:1502.01852)", Draw("he_out"), TORCH, ZERO)

residual = partial(basic, bypass=padded_shortcut)

TABLE: dict[str, tuple[Block, int]] = {  # block, n blocks a stage                  He et al., table 6
    "resnet20": (residual, 3),
    "resnet32": (residual, 5),
    "resnet44": (residual, 7),
    "resnet56": (residual, 9),
    "resnet110": (residual, 18),
    "plain20": (plain, 3),
    "plain56": (plain, 9),
}


def resnet_cifar(net: Builder, block: Block, depth: int, num_classes: int = 10) -> str:
    x = net.input(3, 32, 32)
    with net.scope("stem"):
        x = conv_bn(net, x, 16, 3, activation=Relu())
    return pooled_head(net, staged(net, x, block, (depth,) * 3, (16, 32, 64)), num_classes)


MODELS = models(
    PAPER, INIT, {name: partial(resnet_cifar, block=block, depth=depth) for name, (block, depth) in TABLE.items()}
)
