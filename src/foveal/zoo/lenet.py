"""LeNet-5 as it is taught today; LeCun, Bottou, Bengio & Haffner (1998), "Gradient-based learning applied to document
recognition", figure 2.

Differs from the paper: average pooling has no trainable coefficient, the third layer sees all six maps, the output is a
dense layer in place of radial basis functions. 61,706 parameters.
"""

from __future__ import annotations

from foveal.graph import Builder
from foveal.ops import AvgPool, Conv, Dense, Flatten, Tanh


def lenet5(net: Builder, num_classes: int = 10) -> str:
    x = net.input(1, 32, 32)
    x = net(Tanh(), net(Conv(6, 5), x, name="c1"), name="tanh1")
    x = net(AvgPool(2), x, name="s2")
    x = net(Tanh(), net(Conv(16, 5), x, name="c3"), name="tanh3")
    x = net(AvgPool(2), x, name="s4")
    x = net(Tanh(), net(Conv(120, 5), x, name="c5"), name="tanh5")
    x = net(Tanh(), net(Dense(84), net(Flatten(), x), name="f6"), name="tanh6")
    return net(Dense(num_classes), x, name="output")


MODELS = {"lenet5": lenet5}
