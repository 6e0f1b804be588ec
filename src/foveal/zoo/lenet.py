"""LeNet-5; LeCun, Bottou, Bengio & Haffner (1998), "Gradient-based learning applied to document recognition", figure 2,
Proceedings of the IEEE 86, 2278-2324.

The convolutional network as it is known, trained as a whole by backpropagation, and the first in wide use: on cheques.

``lenet5_paper`` is the published one: pooling adds four cells and has a trained coefficient and bias for each map, the
maps of C3 read the maps of S2 that table I gives them, every unit squashes by 1.7159 tanh(2x/3), and each output is a
squared distance: of the 84 units of F6 from a fixed drawing of its digit, 7x12 cells of +1 and -1. 60,000 trained
parameters, 340,908 connections.

Where ours differs: the outputs are minus the distances, so that the largest is the best, as everywhere in the zoo. The
drawings are made after figure 3, not copied from it. Of fewer than ten classes each has the drawing of its digit; of
more, some would have none.

``lenet5`` is the one taught today: average pooling without coefficients, a third layer that sees all six maps, plain
tanh and dense logits. 61,706 parameters.
"""

from __future__ import annotations

from foveal.errors import UsageError
from foveal.graph import Builder
from foveal.ops import AvgPool, Concat, Conv, Dense, Factor, Flatten, Op, Rbf, Scale, Slice, Tanh
from foveal.zoo.entry import Draw, Init, Paper, models
from foveal.zoo.zipcode import scaled_tanh

C3 = (  # the maps of S2 that each map of C3 reads                          LeCun et al., table I
    *(tuple((i + k) % 6 for k in range(3)) for i in range(6)),
    *(tuple((i + k) % 6 for k in range(4)) for i in range(6)),
    (0, 1, 3, 4), (1, 2, 4, 5), (0, 2, 3, 5),
    (0, 1, 2, 3, 4, 5),
)  # fmt: skip

DRAWINGS = (  # 0 to 4, then 5 to 9                                         after LeCun et al., figure 3
    """
    ..###..  ...#...  .#####.  .#####.  .....#.
    .##.##.  ..##...  ##...##  ##...##  ....##.
    ##...##  .###...  ##...##  .....##  ...###.
    ##...##  ..##...  .....##  .....##  ..####.
    ##...##  ..##...  .....##  ....##.  .##.##.
    ##...##  ..##...  ....##.  ..####.  ##..##.
    ##...##  ..##...  ...##..  ....##.  #######
    ##...##  ..##...  ..##...  .....##  #######
    ##...##  ..##...  .##....  .....##  ....##.
    ##...##  ..##...  ##.....  ##...##  ....##.
    .##.##.  ..##...  ##.....  ##...##  ....##.
    ..###..  .####..  #######  .#####.  ....##.
    """,
    """
    #######  ..####.  #######  .#####.  .#####.
    ##.....  .##..##  ##...##  ##...##  ##...##
    ##.....  ##.....  .....##  ##...##  ##...##
    ##.....  ##.....  ....##.  ##...##  ##...##
    ##.....  ##.....  ....##.  .##.##.  ##...##
    ######.  ##.###.  ...##..  ..###..  ##..###
    ##...##  ###..##  ...##..  .##.##.  .###.##
    .....##  ##...##  ..##...  ##...##  .....##
    .....##  ##...##  ..##...  ##...##  .....##
    ##...##  ##...##  ..##...  ##...##  .....##
    ##...##  ##...##  .##....  ##...##  ##..##.
    .#####.  .#####.  .##....  .#####.  .####..
    """,
)


def drawings() -> tuple[tuple[float, ...], ...]:
    """The ten digits, each as the 84 values of F6 that stand for it: row by row, +1 where there is ink, else -1."""
    digits = [digit for five in DRAWINGS for digit in zip(*map(str.split, five.strip().splitlines()), strict=True)]
    return tuple(tuple(1.0 if cell == "#" else -1.0 for cell in "".join(digit)) for digit in digits)


PAPER = Paper(
    "LeCun, Bottou, Bengio & Haffner",
    1998,
    "Gradient-based learning applied to document recognition",
    "Proceedings of the IEEE 86, 2278-2324",
    "the convolutional network as it is known, in use on millions of cheques",
)
INIT = Init(
    "LeCun et al. (1998), appendix A: uniform within 2.4 / fan_in; biases 0",
    conv=Draw("uniform_in", 2.4),
    dense=Draw("uniform_in", 2.4),
    fixed={"rbf.weight": drawings},
)
TAUGHT = Init("Glorot & Bengio (2010), for tanh", conv=Draw("glorot"), dense=Draw("glorot"))


def lenet5(net: Builder, num_classes: int = 10) -> str:
    x = net.input(1, 32, 32)
    x = net(Tanh(), net(Conv(6, 5), x, name="c1"), name="tanh1")
    x = net(AvgPool(2), x, name="s2")
    x = net(Tanh(), net(Conv(16, 5), x, name="c3"), name="tanh3")
    x = net(AvgPool(2), x, name="s4")
    x = net(Tanh(), net(Conv(120, 5), x, name="c5"), name="tanh5")
    x = net(Tanh(), net(Dense(84), net(Flatten(), x), name="f6"), name="tanh6")
    return net(Dense(num_classes), x, name="output")


def lenet5_paper(net: Builder, num_classes: int = 10) -> str:
    points = Rbf(num_classes)
    if points.out_features > 10:
        raise UsageError(f"lenet5_paper has drawings of ten digits, not of {num_classes} classes; use lenet5")
    x = net.input(1, 32, 32)
    x = _layer(net, x, "c1", Conv(6, 5))
    x = _layer(net, x, "s2", AvgPool(2), Factor(4), Scale(bias=True))
    with net.scope("c3"):
        maps = [net(Slice(i, i + 1), x, name=f"map{i}") for i in range(6)]
        reads = [net(Concat(), *(maps[i] for i in seen)) for seen in C3]
        x = scaled_tanh(net, net(Concat(), *(net(Conv(1, 5), read) for read in reads), name="maps"))
    x = _layer(net, x, "s4", AvgPool(2), Factor(4), Scale(bias=True))
    x = _layer(net, x, "c5", Conv(120, 5))
    x = _layer(net, x, "f6", Flatten(), Dense(84))
    return net(Factor(-1), net(points, x), name="output")


def _layer(net: Builder, x: str, name: str, *ops: Op) -> str:
    with net.scope(name):
        for op in ops:
            x = net(op, x)
        return scaled_tanh(net, x)


MODELS = models(PAPER, TAUGHT, {"lenet5": lenet5}) | models(PAPER, INIT, {"lenet5_paper": lenet5_paper})
