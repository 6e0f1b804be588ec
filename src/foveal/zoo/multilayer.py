"""The multilayer perceptron; Rumelhart, Hinton & Williams (1986), "Learning representations by back-propagating
errors", Nature 323, 533-536.

Layers in between whose units find their own features, by the gradient of the error. `multilayer` makes one of any
widths:

>>> net = Builder("mine")
>>> output = multilayer(net, widths=(64, 32), input_shape=(3, 8, 8))
>>> net.graph(output).shapes[output]
(10,)

Named are those that LeCun et al. (1998), "Gradient-based learning applied to document recognition", section III.C,
compare with LeNet-5 on 28x28 pictures: ``mlp_300_100`` has hidden layers of 300 and 100 units. Where ours differ: they
have a plain tanh, not a scaled one, and return the sums of the output layer, for a softmax, not squashed.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from foveal.graph import Builder
from foveal.ops import Dense, Flatten, Op, Tanh
from foveal.shapes import Shape
from foveal.zoo.entry import Draw, Init, Paper, models

PAPER = Paper(
    "Rumelhart, Hinton & Williams",
    1986,
    "Learning representations by back-propagating errors",
    "Nature 323, 533-536",
    "hidden layers that learn their features by backpropagation",
)
INIT = Init(
    "LeCun, Bottou, Orr & Müller (1998), Efficient BackProp, section 4.6: a standard deviation of 1 / root of fan_in",
    dense=Draw("uniform_root", 3**0.5),
)

WIDTHS = ((300,), (1000,), (300, 100), (500, 150))  # of the hidden layers
TANH = Tanh()


def multilayer(
    net: Builder,
    widths: Sequence[int],
    input_shape: Shape = (1, 28, 28),
    activation: Op = TANH,
    num_classes: int = 10,
) -> str:
    """Dense layers of `widths`, each with `activation`, and a dense layer of classes; without widths it is linear."""
    x = net(Flatten(), net.input(*input_shape))
    for i, width in enumerate(widths, start=1):
        with net.scope(f"hidden{i}"):
            x = net(activation, net(Dense(width), x))
    return net(Dense(num_classes), x, name="output")


MODELS = models(
    PAPER, INIT, {"_".join(("mlp", *map(str, widths))): partial(multilayer, widths=widths) for widths in WIDTHS}
)
