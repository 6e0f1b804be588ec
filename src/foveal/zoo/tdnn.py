"""The time-delay network; Waibel, Hanazawa, Hinton, Shikano & Lang (1989), "Phoneme recognition using time-delay neural
networks", IEEE Transactions on Acoustics, Speech, and Signal Processing 37, 328-339, figure 2.

    layer      units  frames  reads             trained    connections
    input         16      15  (coefficients of the spectrum, every 10 ms)
    hidden 1       8      13  3 frames              392          5,096
    hidden 2       3       9  5 frames              123          1,107
    output         3          9 frames          (fixed)             30

The same weights look for the sounds B, D and G wherever they are in time, and an output unit adds up the evidence of
its row of hidden layer 2. 6,233 connections, with one a unit for its bias.

Where ours differs: the paper's output units weigh all frames with one fixed number, add a bias and squash. Here they
are the plain sum of the nine, for a softmax, and of an input of another length nine times the mean.
"""

from __future__ import annotations

from foveal.graph import Builder
from foveal.ops import Conv, Factor, Flatten, GlobalAvgPool, Sigmoid
from foveal.zoo.entry import Draw, Init, Paper, models

PAPER = Paper(
    "Waibel, Hanazawa, Hinton, Shikano & Lang",
    1989,
    "Phoneme recognition using time-delay neural networks",
    "IEEE Transactions on Acoustics, Speech, and Signal Processing 37, 328-339",
    "weights shared along time, trained by backpropagation",
)
INIT = Init("Glorot & Bengio (2010); the paper says random and small", conv=Draw("glorot"))


def tdnn(net: Builder, num_classes: int = 3) -> str:
    with net.scope("hidden1"):
        x = net(Sigmoid(), net(Conv(8, 3), net.input(16, 15)))
    with net.scope("head"):
        x = net(Sigmoid(), net(Conv(num_classes, 5), x, name="hidden2"))
        return net(Flatten(), net(Factor(9), net(GlobalAvgPool(), x, name="mean"), name="sum"))


MODELS = models(PAPER, INIT, {"tdnn": tdnn})
