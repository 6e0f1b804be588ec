"""The zip-code network; LeCun, Boser, Denker, Henderson, Howard, Hubbard & Jackel (1989), "Backpropagation applied to
handwritten zip code recognition", Neural Computation 1, 541-551, section 3 and figure 3.

    layer      maps  size   reads                       trained    connections
    H1           12  8x8    5x5 of the picture        300 + 768         19,968
    H2           12  4x4    5x5 of 8 maps of H1     2,400 + 192         38,592
    H3           30         H2                       5,760 + 30          5,790
    output       10         H3                         300 + 10            310

Units of a map share their weights, but each has a bias of its own: 9,760 trained numbers for 64,660 connections of
1,256 units, of which 256 are the picture's.

Where ours differs: the paper leaves out its scheme of which 8 maps of H1 a map of H2 reads; here they are the first
eight, the last four and the first four, or the last eight, for four maps of H2 each. Beyond the border the paper has
background of -1, here are zeros: a constant that the biases of the border units take up. The tanh, which the paper only
calls scaled, has the constants of LeNet-5. And the graph returns the sums of the output units, for a softmax; squashing
would not change their order.
"""

from __future__ import annotations

from foveal.graph import Builder
from foveal.ops import Concat, Conv, Dense, Factor, Flatten, Offset, Tanh
from foveal.zoo.entry import Draw, Init, Paper, models

PAPER = Paper(
    "LeCun, Boser, Denker, Henderson, Howard, Hubbard & Jackel",
    1989,
    "Backpropagation applied to handwritten zip code recognition",
    "Neural Computation 1, 541-551",
    "convolutions trained by backpropagation",
)
INIT = Init(
    "LeCun et al. (1989), section 4: uniform within 2.4 / fan_in; biases 0",
    conv=Draw("uniform_in", 2.4),
    dense=Draw("uniform_in", 2.4),
)


def zipcode1989(net: Builder, num_classes: int = 10) -> str:
    x = net.input(1, 16, 16)
    with net.scope("h1"):
        x = scaled_tanh(net, net(Offset(), net(Conv(12, 5, stride=2, padding=2, bias=False), x)))
    with net.scope("h2"):
        x = net(Concat(), x, x)  # maps 0-7, 8-11 and 0-3, 4-11: what the three groups read
        x = scaled_tanh(net, net(Offset(), net(Conv(12, 5, stride=2, padding=2, groups=3, bias=False), x)))
    with net.scope("h3"):
        x = scaled_tanh(net, net(Dense(30), net(Flatten(), x)))
    return net(Dense(num_classes), x, name="output")


def scaled_tanh(net: Builder, x: str) -> str:
    """1.7159 tanh(2x/3), which is 1 at 1 and -1 at -1; LeCun et al. (1998), appendix A."""
    return net(Factor(1.7159), net(Tanh(), net(Factor(2 / 3), x, name="slope")), name="amplitude")


MODELS = models(PAPER, INIT, {"zipcode1989": zipcode1989})
