"""What the networks brought, each as a number that would not come out without it."""

from __future__ import annotations

import math
from functools import partial

import pytest
import torch
from sklearn.datasets import load_digits
from torch.nn import functional as F

from foveal.anatomy.sight import lattices
from foveal.blocks import Block, basic, bottleneck, plain, preact_basic, preact_bottleneck
from foveal.build import build
from foveal.graph import Builder, Graph
from foveal.models import create_model
from foveal.ops import Concat, Conv, MaxPool
from foveal.zoo import create_graph


def chain(*layers: Conv, channels: int = 64) -> Graph:
    net = Builder("chain")
    x = net.input(channels, 28, 28)
    for layer in layers:
        x = net(layer, x)
    return net.graph(x)


def field(graph: Graph) -> int:
    """Rows of the picture that an output of `graph` sees."""
    axis = lattices(graph)[graph.outputs[0]].axes[0]
    assert axis.kind == "lattice"
    return axis.size


def weights(graph: Graph) -> int:
    return sum(math.prod(shape) for shape in graph.parameters().values())


def test_two_3x3_see_what_one_5x5_sees_with_fewer_weights() -> None:
    """VGG; Simonyan & Zisserman (2014), section 2.3: 27 C^2 against 49 C^2 for three 3x3 and a 7x7."""
    small = partial(Conv, 64, 3, padding=1, bias=False)
    for depth, kernel in ((2, 5), (3, 7)):
        several = chain(*(small() for _ in range(depth)))
        large = chain(Conv(64, kernel, padding=kernel // 2, bias=False))
        assert field(several) == field(large) == kernel
        assert weights(several) == depth * 9 * 64**2 < weights(large) == kernel**2 * 64**2
    assert field(create_graph("vgg16").up_to("stage1.conv2")) == 5


def test_1x1_reductions_make_inception_affordable() -> None:
    """GoogLeNet; Szegedy et al. (2015), figure 2: module (3a) as it is and without its reductions."""
    graph = create_graph("googlenet_paper")
    block = "stage1.block1"
    reduced = sum(n.op.macs(*graph.input_shapes(n)) for n in graph.nodes if n.name.startswith(f"{block}."))
    net = Builder("naive")
    x = net.input(*graph.shapes["stem.pool2"])
    convs = [net(Conv(channels, kernel, padding=kernel // 2), x) for channels, kernel in ((64, 1), (128, 3), (32, 5))]
    naive = net.graph(net(Concat(), *convs, net(MaxPool(3, stride=1, padding=1), x)))
    assert (reduced, naive.macs()) == (784 * 163_328, 784 * 387_072)
    assert naive.macs() / reduced == pytest.approx(2.37, abs=0.005)
    # Without a projection after its pooling, every module is wider than the one before by all its input.
    assert graph.shapes[f"{block}.concat"][0] == 256
    assert naive.shapes[naive.outputs[0]][0] == 64 + 128 + 32 + 192


def test_separable_convolution_takes_22_8_times_fewer_macs() -> None:
    standard, separable = (create_graph(f"lecture_{kind}") for kind in ("standard", "separable"))
    assert standard.shapes[standard.outputs[0]] == separable.shapes[separable.outputs[0]]
    assert standard.macs() / separable.macs() == pytest.approx(22.8, abs=0.05)


@pytest.mark.parametrize(
    ("name", "k0", "k"),
    [("densenet121", (64, 128, 256, 512), 32), ("densenet161", (96, 192, 384, 1056), 48),
     ("densenet40_k12_cifar", (16, 160, 304), 12)],
)  # fmt: skip
def test_layer_l_of_a_dense_stage_reads_k0_and_k_for_each_layer_before(name: str, k0: tuple[int, ...], k: int) -> None:
    """Huang et al. (2017), section 3: k0 + k(l - 1)."""
    graph = create_graph(name)
    for stage, first in enumerate(k0, start=1):
        layers = [n for n in graph.nodes if n.name.startswith(f"stage{stage}.") and n.name.endswith((".bn", ".bn1"))]
        assert len(layers) > 5
        read = [graph.input_shapes(node)[0][0] for node in layers]
        assert read == [first + k * (layer - 1) for layer in range(1, len(layers) + 1)]


@pytest.mark.parametrize(
    ("block", "channels"), [(basic, 64), (bottleneck, 16), (preact_basic, 64), (preact_bottleneck, 16), (plain, 64)]
)
def test_a_residual_block_whose_weights_are_zero_is_the_identity(block: Block, channels: int) -> None:
    """He et al. (2015), section 3.1: what a block must learn nothing for. A plain one forgets all it is given."""
    net = Builder("block")
    module = build(net.graph(block(net, net.input(64, 6, 6), channels, 1)))
    with torch.no_grad():
        for name, value in module.named_parameters():
            if "conv" in name:
                value.zero_()
    x = torch.rand(2, 64, 6, 6)  # none below zero, as what comes out of the ReLU of the block before
    for mode in (module.train(), module.eval()):
        torch.testing.assert_close(mode(x), torch.zeros_like(x) if block is plain else x)


def losses(name: str, steps: int) -> list[float]:
    """Of `name` on digits, step by step."""
    digits = load_digits()
    pictures = torch.from_numpy(digits.images).float()[:, None] / 8 - 1
    targets = torch.from_numpy(digits.target)
    module = create_model(name, in_channels=1, input_shape=(1, 8, 8), seed=0)
    optimizer = torch.optim.SGD(module.parameters(), lr=0.05, momentum=0.9)
    seen = []
    for step in range(steps):
        batch = slice(64 * step, 64 * (step + 1))
        loss = F.cross_entropy(module(pictures[batch]), targets[batch])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        seen.append(float(loss.detach()))
    return seen


@pytest.mark.usefixtures("one_thread")
def test_depth_that_stops_plain_networks_from_learning_does_not_stop_residual_ones() -> None:
    """He et al. (2015), figure 6, small: 28 steps on digits, all else equal. Guessing costs ln 10 = 2.30."""
    ends = {name: sum(losses(name, 28)[-6:]) / 6 for name in ("plain20", "plain56", "resnet56")}
    assert ends["plain20"] < 1.6 and ends["resnet56"] < 1.6
    assert ends["plain56"] > 2.0
