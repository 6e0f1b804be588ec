"""The Neocognitron; Fukushima (1980), "Neocognitron: a self-organizing neural network model for a mechanism of pattern
recognition unaffected by shift in position", Biological Cybernetics 36, 193-202, section 5.

    layer         U0      US1      UC1     US2    UC2    US3    UC3
    cells      16x16    16x16    10x10     8x8    6x6    2x2    1x1
    planes         1       24       24      24     24     24     24
    reads                 5x5      5x5     5x5    5x5    5x5    2x2

S-cells look for a feature that they learn, all cells of a plane for the same at different places; C-cells blur where it
was, so that the next S-cells see it anywhere nearby. Each of the 24 last cells comes to stand for one pattern.

Where ours differs:

- An S-cell is a convolution with ReLU. In the paper it divides by the response of an inhibitory V-cell, the root mean
  square of what it reads, through one trained weight a plane; here that weight is a bias. So both have the 29,400
  excitatory and the 72 inhibitory weights of the paper.
- A C-cell is the mean of what it reads in its own plane. The paper's weights, fixed too, fall off from the middle, and
  its C-cells are inhibited by the other planes and saturate.
- The paper learns without labels: the cell that answers most strengthens what it read. Here any gradient will do.
- The numbers of cells and the windows are the paper's; where the cells sit is read out of them. It thins them out with
  depth, and half as many and two more, 16 to 10 and 8 to 6, are here C-cells at every second place whose windows hang
  over both ends, by 3 and 4 cells that count as zeros.
"""

from __future__ import annotations

from foveal.graph import Builder
from foveal.ops import AvgPool, Conv, Flatten, GlobalAvgPool, Pad, Relu
from foveal.zoo.entry import Draw, Init, Paper, models

PAPER = Paper(
    "Fukushima",
    1980,
    "Neocognitron: a self-organizing neural network model for a mechanism of pattern recognition unaffected by shift "
    "in position",
    "Biological Cybernetics 36, 193-202",
    "layers of shared local features and of pooling, one above the other",
)
INIT = Init("He et al. (2015), for ReLU; the paper's begin small and positive", conv=Draw("he_in"))


def neocognitron(net: Builder, num_classes: int = 24) -> str:
    x = net.input(1, 16, 16)
    with net.scope("stage1"):
        x = _thinned(net, _s_cells(net, x, 24, padding=2))
    with net.scope("stage2"):
        x = _thinned(net, _s_cells(net, x, 24, padding=1))
    with net.scope("head"):
        return net(Flatten(), net(GlobalAvgPool(), _s_cells(net, x, num_classes, padding=0), name="uc"))


def _s_cells(net: Builder, x: str, planes: int, padding: int) -> str:
    return net(Relu(), net(Conv(planes, 5, padding=padding), x), name="us")


def _thinned(net: Builder, x: str) -> str:
    """C-cells at every second place."""
    return net(AvgPool(5, stride=2), net(Pad(((3, 4), (3, 4))), x), name="uc")


MODELS = models(PAPER, INIT, {"neocognitron": neocognitron})
