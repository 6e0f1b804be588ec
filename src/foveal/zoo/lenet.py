"""LeNet-5; LeCun, Bottou, Bengio & Haffner (1998), "Gradient-based learning applied to document recognition", figure 2.

``lenet5_paper`` is the published one: each pooled map has a trained coefficient and bias, and the maps of the third
layer see the earlier ones that table I gives them. 60,000 parameters. It ends in the 84 numbers of F6; the output
units, which compare these with fixed drawings of the ten digits, train nothing. The paper adds the four cells that a
pooling reads, where here they are averaged, and squashes by 1.7159 tanh(2x/3): factors that the weights around take up.

``lenet5`` is the one taught today: average pooling without coefficients, a third layer that sees all six maps, and
dense logits. 61,706 parameters.
"""

from __future__ import annotations

from foveal.graph import Builder
from foveal.ops import AvgPool, Concat, Conv, Dense, Flatten, Scale, Slice, Tanh

C3 = (  # the maps of S2 that each map of C3 reads                          LeCun et al., table I
    *(tuple((i + k) % 6 for k in range(3)) for i in range(6)),
    *(tuple((i + k) % 6 for k in range(4)) for i in range(6)),
    (0, 1, 3, 4), (1, 2, 4, 5), (0, 2, 3, 5),
    (0, 1, 2, 3, 4, 5),
)  # fmt: skip


def lenet5(net: Builder, num_classes: int = 10) -> str:
    x = net.input(1, 32, 32)
    x = net(Tanh(), net(Conv(6, 5), x, name="c1"), name="tanh1")
    x = net(AvgPool(2), x, name="s2")
    x = net(Tanh(), net(Conv(16, 5), x, name="c3"), name="tanh3")
    x = net(AvgPool(2), x, name="s4")
    x = net(Tanh(), net(Conv(120, 5), x, name="c5"), name="tanh5")
    x = net(Tanh(), net(Dense(84), net(Flatten(), x), name="f6"), name="tanh6")
    return net(Dense(num_classes), x, name="output")


def lenet5_paper(net: Builder, num_classes: int = 84) -> str:
    x = net.input(1, 32, 32)
    x = net(Tanh(), net(Conv(6, 5), x, name="c1"), name="tanh1")
    x = _subsample(net, x, "s2")
    with net.scope("c3"):
        maps = [net(Slice(i, i + 1), x, name=f"map{i}") for i in range(6)]
        reads = [net(Concat(), *(maps[i] for i in seen)) for seen in C3]
        x = net(Concat(), *(net(Conv(1, 5), read) for read in reads), name="maps")
    x = net(Tanh(), x, name="tanh3")
    x = _subsample(net, x, "s4")
    x = net(Tanh(), net(Conv(120, 5), x, name="c5"), name="tanh5")
    return net(Tanh(), net(Dense(num_classes), net(Flatten(), x), name="f6"), name="tanh6")


def _subsample(net: Builder, x: str, name: str) -> str:
    with net.scope(name):
        return net(Tanh(), net(Scale(bias=True), net(AvgPool(2), x)))


MODELS = {"lenet5": lenet5, "lenet5_paper": lenet5_paper}
