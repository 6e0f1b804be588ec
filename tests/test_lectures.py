"""The numbers that the lectures state, or that follow from them (DESIGN: "The lectures' numbers"), one by one.

Where a slide errs, the right value stands here and the slide's in the comment.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch

import foveal
from foveal.build import build
from foveal.errors import ShapeError
from foveal.graph import Builder, Graph
from foveal.ops import AvgPool, Concat, Conv, MaxPool, MedianPool, Op, Slice
from foveal.shapes import output_size, same_padding, slide
from foveal.zoo import create_graph

POOLED = [[1, 1, 2, 5], [5, 7, 7, 8], [3, 1, 1, 0], [1, 2, 3, 4]]


def parameters(network: str | Graph) -> int:
    return foveal.inspect(network).totals.parameters


def run(op: Op, values: list[list[int]]) -> list[list[float]]:
    net = Builder("pool")
    net(op, net.input(1, len(values), len(values[0])))
    result: list[list[float]] = build(net.graph())(torch.tensor([[values]], dtype=torch.float32))[0, 0].tolist()
    return result


def test_shapes() -> None:
    assert [output_size(7, 3, stride) for stride in (1, 2)] == [5, 3]
    with pytest.raises(ShapeError, match=r"\(7 - 3\)/3 \+ 1 = 2.33 does not fit"):
        output_size(7, 3, 3, strict=True)
    assert output_size(7, 3, padding=(1, 1)) == 7
    for kernel in (1, 3, 5, 7, 11):
        assert output_size(32, kernel, padding=((kernel - 1) // 2,) * 2) == 32
    assert output_size(output_size(32, 5), 5) == 24
    assert same_padding(32, 5, 2) == (1, 2)
    with pytest.raises(ShapeError, match=r"\(26 - 3\)/3 \+ 1 = 8.67 does not fit"):
        slide((26, 26), 3, 3, 0, strict=True)


def test_receptive_fields() -> None:
    rows = foveal.inspect("5x5x1 > conv 1 3x3 /2 p1 > conv 1 3x3 /2 p1").rows
    assert [(row.output_shape, row.receptive_field.text()) for row in rows] == [((1, 3, 3), "3"), ((1, 2, 2), "7")]
    assert foveal.inspect("9x9x1 > conv 1 3x3 > conv 1 3x3").rows[-1].receptive_field.text() == "5"


def test_filters() -> None:
    (row,) = foveal.inspect("32x32x3 > conv 6 5x5").rows
    assert row.output_shape == (6, 28, 28) and row.macs == 28 * 28 * 6 * 75  # each number a 75-dimensional dot product
    assert [parameters(f"32x32x3 > conv {step}") for step in ("1 3x3 same", "16 3x3 same", "10 5x5 p2")] == [
        28,
        448,
        760,
    ]


def test_the_counting_exercise() -> None:
    line = "32x32x3 > conv 8 3x3 same relu > conv 16 5x5 /2 same relu > flatten > dense 512 relu > dense 4 softmax"
    found = [row.parameters for row in foveal.inspect(line).rows if row.parameters]
    assert found == [224, 3_216, 2_097_664, 2_052]
    assert sum(found) == 2_103_156 and sum(found[2:]) == 2_099_716


def test_two_groups_are_two_convolutions_side_by_side() -> None:
    net = Builder("groups")
    x = net.input(4, 9, 9)
    net(Conv(6, 3, groups=2), x, name="grouped")
    halves = [net(Conv(3, 3), net(Slice(start, start + 2), x), name=f"half{start}") for start in (0, 2)]
    net(Concat(), *halves, name="joined")
    module = build(net.graph("grouped", "joined"))
    grouped = module.get_submodule("grouped")
    for i, half in enumerate(halves):
        part = module.get_submodule(half)
        part.weight.data = grouped.weight.data[3 * i : 3 * i + 3]
        part.bias.data = grouped.bias.data[3 * i : 3 * i + 3]
    a, b = module(torch.randn(2, 4, 9, 9))
    torch.testing.assert_close(a, b)
    assert parameters("9x9x4 > conv 6 3x3 g2 nobias") * 2 == parameters("9x9x4 > conv 6 3x3 nobias")


@pytest.mark.parametrize(
    ("op", "expected"),
    [
        (MaxPool(2), [[7, 8], [3, 4]]),
        (AvgPool(2), [[3.5, 5.5], [1.75, 2]]),
        (MedianPool(2), [[3, 6], [1.5, 2]]),
        (MaxPool(2, 1), [[7, 7, 8], [7, 7, 8], [3, 3, 4]]),
    ],
    ids=str,
)
def test_pooling(op: Op, expected: list[list[float]]) -> None:
    assert run(op, POOLED) == expected


def test_the_gradient_through_overlapping_windows_adds_up() -> None:
    x = torch.randn(1, 1, 6, 6, requires_grad=True)
    gradient = torch.randint(-5, 5, (1, 1, 4, 4)).float()
    build(foveal.parse("6x6x1 > maxpool 3 /1"))(x).backward(gradient)
    assert x.grad is not None and x.grad.sum() == gradient.sum()


def test_max_pooling_commutes_with_relu_and_average_pooling_does_not() -> None:
    x = torch.randn(2, 3, 8, 8)
    for pool, equal in (("maxpool 2", True), ("avgpool 2", False)):
        before, after = (build(foveal.parse(f"8x8x3 > {line}")) for line in (f"relu > {pool}", f"{pool} > relu"))
        assert torch.equal(before(x), after(x)) is equal


def test_the_digit_exercise() -> None:
    assert parameters("lecture_pooling_max") == parameters("lecture_pooling_average") == 29_138
    assert parameters("lecture_pooling_none") == 303_314


@pytest.mark.parametrize(
    ("name", "count", "gmacs"),
    [
        ("alexnet_paper", 60_965_224, 0.724),
        ("alexnet_ungrouped", 62_378_344, 1.135),
        ("alexnet", 61_100_840, 0.714),
        ("vgg16", 138_357_544, 15.470),
        ("googlenet_paper", 6_998_552, None),
        ("googlenet_paper_aux", 13_378_280, None),
        ("googlenet", 6_624_904, None),
        ("lenet5_paper", 60_000, None),
        ("lenet5", 61_706, None),
        ("resnet50", 25_557_032, 4.089),
        ("mobilenet_v2", 3_504_872, 0.301),
        ("resnet18_cifar", 11_173_962, None),
        ("resnet34_cifar", 21_282_122, None),
        ("resnet50_cifar", 23_520_842, None),
        ("resnet101_cifar", 42_512_970, None),
        ("resnet152_cifar", 58_156_618, None),
    ],
)
def test_published_counts(name: str, count: int, gmacs: float | None) -> None:
    totals = foveal.inspect(name).totals
    assert totals.parameters == count
    if gmacs is not None:
        assert round(totals.macs / 1e9, 3) == gmacs


def test_what_slides_say_of_them() -> None:
    assert parameters(create_graph("vgg16", num_classes=2)) == 134_268_738  # a slide prints 134,268,737
    google = parameters("googlenet_paper")  # the slides say 5 M, 12 and 28 times fewer
    assert round(parameters("alexnet_paper") / google, 1) == 8.7
    assert round(parameters("vgg16") / google, 1) == 19.8
    written = {
        name: sum(row.activation_bytes for row in foveal.inspect(name).rows if row.op == "Conv") / 2**20
        for name in ("vgg16", "alexnet")
    }
    assert round(written["alexnet"], 1) == 1.9  # 1.85 MiB
    one_map = 4 * 56 * 56 * 256 / 2**20
    assert round(written["vgg16"] - one_map, 1) == 48.6  # the slide's; with all its maps 51.7


def test_a_convolution_in_two_steps() -> None:
    (whole,) = foveal.inspect("12x12x3 > conv 256 5x5").rows
    assert (whole.output_shape, whole.parameters, whole.macs) == ((256, 8, 8), 19_456, 1_228_800)
    first, second = foveal.inspect("12x12x3 > depthwise 5x5 > conv 256 1x1").rows
    assert (first.parameters, second.parameters, first.macs, second.macs) == (78, 1_024, 4_800, 49_152)
    assert round(whole.macs / (first.macs + second.macs), 1) == 22.8
    at_inputs = 12 * 12 * 256 * 75, 12 * 12 * 75 + 8 * 8 * 3 * 256  # as the slide counts: 2.8 M and 60 K
    assert [round(n, -5 if n > 10**6 else -4) for n in at_inputs] == [2_800_000, 60_000]


def test_a_dense_layer_reads_all_maps_before_it() -> None:
    k0, growth = 16, 12
    line = "8x8x16" + "".join(f" > {{ id | conv {growth} 3x3 same }} concat" for _ in range(4))
    shapes = [row.output_shape[0] for row in foveal.inspect(line).rows if row.op == "Concat"]
    assert shapes == [k0 + growth * layer for layer in (1, 2, 3, 4)]  # so layer l reads k0 + k(l - 1)


def test_kernels() -> None:
    blur = np.array([[1, 2, 1], [2, 4, 2], [1, 2, 1]]) / 16
    vertical = np.array([[-3, 0, 3], [-6, 0, 6], [-3, 0, 3]])
    sharpen = np.array([[0, -1, 0], [-1, 20, -1], [0, -1, 0]])
    assert blur.sum() == 1 and sharpen.sum() == 16
    net = Builder("filter")
    net(Conv(1, 3, bias=False), net.input(1, 5, 5), name="filter")
    step = np.repeat([[0, 0, 0, 1, 1]], 5, 0).astype(np.float32)
    for kernel, expected in ((blur, [0, 0.25, 0.75]), (vertical, [0, 12, 12]), (vertical.T, [0, 0, 0])):
        module = build(net.graph(), {"filter.weight": kernel[None, None].astype(np.float32)})
        answer = module(torch.from_numpy(step)[None, None])[0, 0]
        assert answer[1].tolist() == expected
