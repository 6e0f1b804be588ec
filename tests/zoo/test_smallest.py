"""An input that is too small: the error names the node at which the map vanishes, and the smallest input that fits.

Oracle: PyTorch runs the network on the input that is named, and none of the smaller ones can be built.
"""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
import torch

from foveal.build import build
from foveal.errors import GraphError, ShapeError, UsageError
from foveal.graph import Builder, Graph
from foveal.models import create_model
from foveal.networks import inspect
from foveal.ops import Add, AvgPool, Concat, Conv, MaxPool, Upsample
from foveal.shapes import text
from foveal.zoo import create_graph
from small_photos import refused, run

SMALLEST = {  # one or two a family that has a smallest; residual nets with padding everywhere take 1x1
    "alexnet": ("stage5.pool", 63),
    "alexnet_paper": ("stage5.pool", 67),
    "vgg16": ("stage5.pool", 32),
    "googlenet": ("stage3.pool", 31),
    "googlenet_paper_aux": ("aux1.pool", 79),
    "inception_v3": ("stage3.block1.branch1.conv2", 75),
    "densenet121": ("transition3.pool", 29),
    "squeezenet1_1": ("stage3.pool", 25),
    "lenet5": ("c5", 32),
    "neocognitron": ("head.conv", 12),
    "tdnn": ("head.hidden2", 7),
}


def square(graph: Graph, size: int) -> tuple[int, ...]:
    return (graph.input_shape[0], *(size,) * (len(graph.input_shape) - 1))


@pytest.mark.parametrize("name", SMALLEST)
def test_the_smallest_input_is_named_and_runs(name: str) -> None:
    node, size = SMALLEST[name]
    graph = create_graph(name)
    said = text(square(graph, size))
    for smaller in range(1, size):
        with pytest.raises(ShapeError):
            replace(graph, input_shape=square(graph, smaller))
    with pytest.raises(ShapeError, match=rf"^{re.escape(node)}: .*; the smallest input that fits {name} is {said}$"):
        graph.with_input(square(graph, size - 1))
    with torch.device("meta"):
        build(graph.with_input(square(graph, size))).eval()(torch.empty(1, *square(graph, size)))


@pytest.mark.parametrize("sizes", [(3,), (64, 64), (3, 8, 64, 64)])
def test_another_number_of_sizes_is_refused(sizes: tuple[int, ...]) -> None:
    """Two would make a signal of 64 channels of a picture, where the network has layers for that."""
    said = rf"^resnet18 takes 3 sizes, channels first, as in \(3, 224, 224\); not {re.escape(str(sizes))}$"
    for make in (create_graph, create_model):
        with pytest.raises(ShapeError, match=said):
            make("resnet18", input_shape=sizes)
    with pytest.raises(ShapeError, match=said):
        inspect("resnet18", sizes)


def test_channels_that_come_last_or_contradict() -> None:
    said = (
        r"input_shape = \(64, 48, 3\) has 64 channels, which come first; did you mean \(3, 64, 48\)\? .* in_channels=64"
    )
    with pytest.raises(ShapeError, match=said):
        create_graph("resnet18", input_shape=(64, 48, 3))
    with pytest.raises(ShapeError, match=r"did you mean \(3, 20, 20\)"):  # too small, too, but that is not the point
        create_graph("vgg16", input_shape=(20, 20, 3))
    given = create_graph("resnet18", input_shape=(64, 48, 3), in_channels=64)
    assert given.input_shape == (64, 48, 3)
    with pytest.raises(UsageError, match=r"in_channels = 1, but input_shape = \(3, 64, 64\) has 3; give one"):
        create_graph("resnet18", in_channels=1, input_shape=(3, 64, 64))


def test_every_way_in_says_so() -> None:
    said = r"stage5\.pool: a kernel of 2 does not fit an input of 1 with padding 0 \+ 0; the smallest .* is 32x32x3$"
    with pytest.raises(ShapeError, match=said):
        create_graph("vgg16", input_shape=(3, 31, 200))
    with pytest.raises(ShapeError, match=said):
        create_model("vgg16", input_shape=(3, 31, 200))
    with pytest.raises(ShapeError, match=said):
        inspect("vgg16", (3, 31, 200))
    with pytest.raises(ShapeError, match=r"fits vgg16 is 32x32x1$"):
        create_graph("vgg16", in_channels=1, input_shape=(1, 16, 16))
    assert "the smallest input that fits vgg16 is 32x32x3" in refused(run("inspect", "vgg16", "--input", "16x16x3"), 4)


def unet(size: int) -> Graph:
    """Takes multiples of 4 alone: what is halved twice must meet itself again."""
    net = Builder("unet")
    x = net.input(3, size, size)
    y = net(MaxPool(2), net(MaxPool(2), x))
    y = net(Upsample(4), net(Conv(3, 3, padding=1), y))
    return net.graph(net(Concat(), x, y))


def test_sizes_that_do_not_fit_above_the_smallest_get_no_such_advice() -> None:
    graph = unet(64)
    with pytest.raises(ShapeError, match=r"the smallest input that fits unet is 4x4x3$"):
        graph.with_input((3, 2, 64))
    with pytest.raises(ShapeError) as raised:
        graph.with_input((3, 30, 30))
    assert "smallest" not in str(raised.value) and str(raised.value).startswith("concat: ")


def test_what_no_size_mends_gets_no_such_advice() -> None:
    net = Builder("grouped")
    net(Conv(4, 3, groups=2), net.input(2, 8, 8), name="conv")
    with pytest.raises(ShapeError) as raised:
        net.graph().with_input((3, 1, 1))
    assert "smallest" not in str(raised.value)
    with pytest.raises(ShapeError) as raised:
        net.graph().with_input((2,))
    assert "smallest" not in str(raised.value)
    with pytest.raises(GraphError, match="expected one to four whole numbers"):
        create_graph("vgg16", input_shape=(3, 0, 16))


def test_a_network_with_one_size_only() -> None:
    net = Builder("one")
    x = net.input(3, 300, 300)
    pooled = net(AvgPool(150), x)
    fixed = net(AvgPool(2), net(AvgPool(75), x))
    graph = net.graph(net(Add(), pooled, fixed))
    with pytest.raises(ShapeError, match=r"the smallest input that fits one is 150x150x3$"):
        graph.with_input((3, 100, 100))


def test_a_large_graph_is_refused_in_a_moment() -> None:
    net = Builder("deep")
    x = net.input(1, 1024, 1024)
    for _ in range(3000):
        x = net(Conv(1, 3, padding=1), x)
    net(AvgPool(1024), x, name="last")
    with pytest.raises(ShapeError, match=r"^last: a kernel of 1024 does not fit an input of 8") as raised:
        net.graph().with_input((1, 8, 8))
    assert "smallest" not in str(raised.value)  # it was not looked for that far
