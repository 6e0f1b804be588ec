"""The perceptron: a threshold unit that learns; Rosenblatt (1958), "The perceptron: a probabilistic model for
information storage and organization in the brain", Psychological Review 65, 386-408.

The picture is that of the Mark I, 20x20 photocells. A unit answers yes where its weighted sum is above zero; what the
graph returns is that sum, so that one unit answers yes or no, and the largest of several decides among classes. Its
learning rule is `foveal.reference.updates.perceptron`.

Where ours differs: the Mark I has 512 association units in between, each wired at random to some photocells and never
trained. Here the trained weights read the photocells, as the perceptron has been taught since.
"""

from __future__ import annotations

from foveal.graph import Builder
from foveal.ops import Dense, Flatten
from foveal.zoo.entry import ZERO, Init, Paper, models

PAPER = Paper(
    "Rosenblatt",
    1958,
    "The perceptron: a probabilistic model for information storage and organization in the brain",
    "Psychological Review 65, 386-408",
    "weights that learn from mistakes",
)
INIT = Init("zeros, from which the rule's first mistakes lead away", dense=ZERO)


def perceptron(net: Builder, num_classes: int = 1) -> str:
    return net(Dense(num_classes), net(Flatten(), net.input(1, 20, 20)), name="response")


MODELS = models(PAPER, INIT, {"perceptron": perceptron})
