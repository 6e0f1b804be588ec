from __future__ import annotations

import random

import numpy as np
import pytest
import torch

from foveal.build import build, weights_of
from foveal.graph import Builder, Graph
from foveal.notation import parse
from foveal.ops import AvgPool, BatchNorm, Conv, ConvTranspose, Dense, Dropout, Flatten, MaxPool, Op, Relu, Relu6, Tanh
from foveal.rewriting import crop_unread, fold_batch_norm, for_training, pool_before_relu
from foveal.zoo import create_graph

LECTURES = "28x28x1 > conv 28 3x3 relu > maxpool 3 > flatten > dense 16 relu > dense 10"


def kinds(graph: Graph) -> list[str]:
    return [type(node.op).__name__ for node in graph.nodes]


def trained(graph: Graph, weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Outputs, gradients and buffers of a step in training mode, in float64."""
    module = build(graph).double().train()
    module.load_state_dict(weights)
    torch.manual_seed(1)
    y = module(torch.randn(3, *graph.input_shape, dtype=torch.float64))
    outputs = y if isinstance(y, tuple) else (y,)
    sum((part * torch.randn_like(part)).sum() for part in outputs).backward()
    gradients = {f"gradient of {name}": p.grad for name, p in module.named_parameters()}
    return {f"output {i}": part.detach() for i, part in enumerate(outputs)} | gradients | dict(module.named_buffers())


def assert_trains_alike(graph: Graph, rewritten: Graph) -> None:
    assert rewritten.parameters() == graph.parameters()
    assert rewritten.buffers() == graph.buffers()
    weights = build(graph).double().state_dict()
    theirs, ours = trained(graph, weights), trained(rewritten, weights)
    assert ours.keys() == theirs.keys()
    for name, expected in theirs.items():
        torch.testing.assert_close(ours[name], expected, rtol=1e-9, atol=1e-9, msg=lambda m, name=name: f"{name}: {m}")


def test_the_lectures_network() -> None:
    graph = parse(LECTURES)
    rewritten = for_training(graph)
    assert kinds(rewritten) == ["Slice", "Slice", "Conv", "MaxPool", "Relu", "Flatten", "Dense", "Relu", "Dense"]
    assert [rewritten.shapes[node.name][1:] for node in rewritten.nodes[1:5]] == [(26, 26), (24, 24), (8, 8), (8, 8)]
    assert rewritten.macs() == graph.macs() - (26**2 - 24**2) * 28 * 9
    assert_trains_alike(graph, rewritten)


def random_layer(draw: random.Random, rank: int) -> Op:
    def sides() -> tuple[tuple[int, int], ...]:
        return tuple((draw.randrange(2), draw.randrange(2)) for _ in range(rank))

    kernel, stride = draw.randint(2, 4), draw.choice([None, 2, 3])
    return draw.choice(
        [
            Conv(2, kernel, draw.randint(1, 2), sides(), draw.randint(1, 2)),
            Conv(3, 3, draw.randint(1, 2), "same"),
            MaxPool(kernel, stride, sides(), ceil_mode=draw.random() < 0.3),
            AvgPool(kernel, stride, sides(), count_padding=draw.random() < 0.5, ceil_mode=draw.random() < 0.3),
            *(Relu(), Relu(), Relu6(), Tanh(), BatchNorm(), Dropout(0.5)),
        ]
    )


def random_graph(seed: int) -> Graph:
    """A chain, sometimes with two ends."""
    draw = random.Random(seed)
    net = Builder("random")
    x = net.input(2, *(draw.randint(17, 24) for _ in range(draw.randint(1, 2))))
    x = net(Conv(2, 3), x)
    passed = [x]
    for _ in range(draw.randint(2, 6)):
        layer = random_layer(draw, len(net.shape(x)) - 1)
        if isinstance(layer, (Conv, MaxPool, AvgPool)) and min(net.shape(x)[1:]) < 8:
            continue
        if isinstance(layer, MaxPool) and draw.random() < 0.7:
            x = net(Relu(), x)
        x = net(layer, x)
        passed.append(x)
    x = net(Dense(2), net(Flatten(), x))
    return net.graph(x, *(draw.sample(passed, 1) if draw.random() < 0.2 else []))


def test_random_networks_train_alike() -> None:
    cropped = swapped = 0
    for seed in range(400):
        graph = random_graph(seed)
        rewritten = for_training(graph)
        cropped += rewritten.macs() < graph.macs()
        swapped += pool_before_relu(graph) != graph
        if rewritten != graph:
            assert_trains_alike(graph, rewritten)
    assert cropped > 40 and swapped > 40  # the cases are there


@pytest.mark.parametrize(
    "layers",
    [
        "conv 4 3x3 > bn > relu > avgpool 3",  # the statistics are of all cells
        "conv 4 3x3 > dropout 0.5 > maxpool 3",  # a smaller mask would be another
        "conv 4 3x3 same > maxpool 3",  # the last row that is read, reads the last
        "maxpool 3",  # nothing to save
    ],
)
def test_what_must_not_be_cropped(layers: str) -> None:
    graph = parse(f"28x28x1 > {layers} > flatten > dense 10")
    assert crop_unread(graph) is graph


def test_a_relu_that_others_read_stays() -> None:
    net = Builder("forked")
    relu = net(Relu(), net(Conv(2, 3), net.input(1, 9, 9)))
    pool = net(MaxPool(3), relu)
    assert pool_before_relu(net.graph(pool, relu)).nodes == net.graph(pool, relu).nodes
    assert pool_before_relu(net.graph(relu, pool)).outputs == ("relu", "maxpool")
    assert pool_before_relu(net.graph(pool)).outputs == ("relu",)


def test_a_crop_takes_no_ones_name() -> None:
    net = Builder("named")
    x = net(Conv(2, 3), net.input(1, 9, 28), name="crop2.conv")
    graph = crop_unread(net.graph(net(Flatten(), net(MaxPool(7), x))))
    assert [node.name for node in graph.nodes] == ["crop2_", "crop2.conv", "maxpool", "flatten"]


def with_statistics(graph: Graph) -> dict[str, np.ndarray]:
    """Random weights, none of them at its neutral value."""
    draw = np.random.default_rng(0)
    return {name: draw.uniform(0.5, 1.5, array.shape).astype("f4") for name, array in weights_of(build(graph)).items()}


def assert_infers_alike(graph: Graph, weights: dict[str, np.ndarray]) -> Graph:
    folded, arrays = fold_batch_norm(graph, weights)
    assert {name: array.shape for name, array in arrays.items()} == folded.parameters() | folded.buffers()
    x = torch.rand(2, *graph.input_shape, dtype=torch.float64)
    expected = build(graph, weights).double().eval()(x)
    scale = float(expected.abs().max().detach())
    torch.testing.assert_close(build(folded, arrays).double().eval()(x), expected, rtol=0, atol=1e-5 * scale)
    return folded


def test_batch_norms_fold_into_what_they_read() -> None:
    net = Builder("folding")
    x = net(BatchNorm(), net(Conv(4, 3, groups=2, bias=False), net.input(2, 8, 8), name="first"))
    x = net(BatchNorm(affine=False, eps=1e-3), net(Conv(4, 3), net(Relu(), x), name="second"))
    x = net(BatchNorm(), net(Dense(3), net(Flatten(), x), name="third"))
    graph = net.graph(x)
    folded = assert_infers_alike(graph, with_statistics(graph))
    assert kinds(folded) == ["Conv", "Relu", "Conv", "Flatten", "Dense"]
    assert folded.outputs == ("third",)


def test_batch_norms_that_have_nothing_to_fold_into() -> None:
    net = Builder("unfolded")
    shared = Conv(2, 3, padding="same")
    x = net(BatchNorm(), net(shared, net(BatchNorm(), net.input(2, 8, 8)), name="one"))
    x = net(BatchNorm(), net(shared, x, name="two", weights_of="one"))
    x = net(BatchNorm(), net(ConvTranspose(2, 2), x))
    read_twice = net(Conv(2, 3), x)
    graph = net.graph(net(BatchNorm(), read_twice), read_twice)
    assert fold_batch_norm(graph, {}) == (graph, {})


def test_a_network_of_the_zoo_folds() -> None:
    graph = create_graph("resnet20")
    weights = weights_of(build(graph))
    folded = assert_infers_alike(graph, weights)
    assert "BatchNorm" in kinds(graph) and "BatchNorm" not in kinds(folded)
    assert weights.keys() == graph.parameters().keys() | graph.buffers().keys()  # those given are left alone
