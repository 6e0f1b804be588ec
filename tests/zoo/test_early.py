"""The networks before the modern CNN: sizes, parameters and connections as their papers print them, and what they do.

Oracles: the papers' numbers, networks written here a second time with torch's functions, and two theorems: of Novikoff
(1962), how many mistakes a perceptron makes, and that a time-delay network answers alike wherever its sound is.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits

import foveal
from foveal.build import build
from foveal.errors import UsageError
from foveal.graph import Builder, Graph
from foveal.initializing import initialize
from foveal.ops import AvgPool, Conv, Dense, GlobalAvgPool, Offset, Relu
from foveal.reference.updates import perceptron
from foveal.shapes import text
from foveal.zoo import create_graph, find_model
from foveal.zoo.lenet import C3, drawings
from foveal.zoo.multilayer import multilayer


def parameters(graph: Graph) -> dict[str, int]:
    """By the scope, or the node, that comes first in their names."""
    counts: dict[str, int] = {}
    for name, shape in graph.parameters().items():
        layer = name.partition(".")[0]
        counts[layer] = counts.get(layer, 0) + math.prod(shape)
    return counts


def built(name: str) -> torch.nn.Module:
    torch.manual_seed(3)
    module = build(create_graph(name))
    for tensor in module.parameters():
        torch.nn.init.normal_(tensor, 0, 0.2)
    return module


def squashed(x: torch.Tensor) -> torch.Tensor:
    """LeCun et al. (1998), appendix A: A tanh(S a)."""
    return 1.7159 * torch.tanh(2 / 3 * x)


# The perceptron


def test_the_perceptron_reads_the_photocells_of_the_mark_1() -> None:
    assert parameters(create_graph("perceptron")) == {"response": 20 * 20 + 1}
    assert parameters(create_graph("perceptron", num_classes=8)) == {"response": 8 * 401}


@pytest.mark.parametrize("pair", [(0, 1), (3, 8), (4, 9)])
def test_the_perceptron_learns_two_digits_within_the_mistakes_of_the_theorem(pair: tuple[int, int]) -> None:
    """Novikoff (1962): from zeros, at most (R / gamma)^2 mistakes, with the bias as a weight of a constant 1."""
    digits = load_digits()
    chosen = np.isin(digits.target, pair)
    x, d = digits.data[chosen], (digits.target[chosen] == pair[1]).astype(int)
    w, b, mistakes = np.zeros(64), 0.0, 0
    for _ in range(100):
        before = mistakes
        for row, wanted in zip(x, d, strict=True):
            moved, b_moved = perceptron(w, b, row, int(wanted))
            mistakes += b_moved != b
            w, b = moved, b_moved
        if mistakes == before:
            break
    assert mistakes == before, "a whole round without a mistake"
    signed = np.where(d == 1, 1, -1) * (x @ w + b)
    gamma = signed.min() / math.hypot(*w, b)
    assert gamma > 0 and 0 < mistakes <= (np.square(x).sum(1).max() + 1) / gamma**2

    weights = {"response.weight": w[None].astype(np.float32), "response.bias": np.array([b], np.float32)}
    module = build(create_graph("perceptron", input_shape=(1, 8, 8)), weights)
    answers = module(torch.from_numpy(x).float().reshape(-1, 1, 8, 8))[:, 0] > 0
    assert answers.int().tolist() == d.tolist()


def test_the_perceptron_never_settles_on_xor() -> None:
    """It comes back to weights that it has had, and makes mistakes in every round until then."""
    corners, wanted = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], float), (0, 1, 1, 0)
    w, b, had = np.zeros(2), 0.0, set()
    while (*w, b) not in had:
        had.add((*w, b))
        mistakes = 0
        for x, d in zip(corners, wanted, strict=True):
            mistakes += int(w @ x + b > 0) != d
            w, b = perceptron(w, b, x, d)
        assert mistakes


# The multilayer perceptron


def test_multilayer_perceptrons_by_hand() -> None:
    """LeCun et al. (1998), section III.C: the networks 28x28-300-10 and so on."""
    assert parameters(create_graph("mlp_300")) == {"hidden1": 784 * 300 + 300, "output": 300 * 10 + 10}
    assert parameters(create_graph("mlp_300_100")) == {"hidden1": 235_500, "hidden2": 30_100, "output": 1_010}
    assert parameters(create_graph("mlp_500_150")) == {"hidden1": 392_500, "hidden2": 75_150, "output": 1_510}
    assert foveal.inspect("mlp_1000").totals.parameters == 795_010


def test_a_multilayer_perceptron_of_any_widths() -> None:
    net = Builder("mine")
    graph = net.graph(multilayer(net, (7, 5, 3), (2, 4, 6), Relu(), num_classes=4))
    assert parameters(graph) == {"hidden1": 49 * 7, "hidden2": 8 * 5, "hidden3": 6 * 3, "output": 4 * 4}
    assert [text(graph.shapes[node.name]) for node in graph.nodes if isinstance(node.op, Relu)] == ["7", "5", "3"]
    linear = Builder("linear")
    assert parameters(linear.graph(multilayer(linear, (), (9,)))) == {"output": 100}


def test_hidden_units_settle_xor() -> None:
    """Rumelhart, Hinton & Williams (1986): what a perceptron cannot learn, one hidden layer does by backpropagation."""
    net = Builder("xor")
    module = build(net.graph(multilayer(net, (4,), (2,), num_classes=1)))
    torch.manual_seed(0)
    for tensor in module.parameters():
        torch.nn.init.normal_(tensor)
    x, d = torch.tensor([[0, 0], [0, 1], [1, 0], [1, 1.0]]), torch.tensor([0, 1, 1, 0.0])
    optimizer = torch.optim.SGD(module.parameters(), lr=0.5)
    for _ in range(500):
        optimizer.zero_grad()
        loss = F.binary_cross_entropy_with_logits(module(x)[:, 0], d)
        loss.backward()
        optimizer.step()
    assert (module(x)[:, 0] > 0).int().tolist() == [0, 1, 1, 0]


# The Neocognitron


def test_the_neocognitron_has_the_cells_and_synapses_of_the_paper() -> None:
    """Fukushima (1980), section 5: S-cells read 5x5 of each plane before, C-cells 5x5, 5x5 and 2x2 of their own."""
    graph = create_graph("neocognitron")
    cells = {name: text(graph.shapes[name]) for name in graph.shapes if name == "input" or name[-2:] in ("us", "uc")}
    assert cells == {
        "input": "16x16x1", "stage1.us": "16x16x24", "stage1.uc": "10x10x24", "stage2.us": "8x8x24",
        "stage2.uc": "6x6x24", "head.us": "2x2x24", "head.uc": "1x1x24",
    }  # fmt: skip
    excitatory = {"stage1": 25 * 24, "stage2": 25 * 24 * 24, "head": 25 * 24 * 24}
    assert parameters(graph) == {module: count + 24 for module, count in excitatory.items()}
    windows = [node.op.kernel_size for node in graph.nodes if isinstance(node.op, (Conv, AvgPool))]
    assert windows == [5, 5, 5, 5, 5] and isinstance(graph.by_name["head.uc"].op, GlobalAvgPool)


def test_the_last_cells_of_the_neocognitron_see_the_whole_picture() -> None:
    module = built("neocognitron")
    for name, tensor in module.named_parameters():
        torch.nn.init.constant_(tensor, 0.0 if "bias" in name else 0.01)
    x = torch.ones(1, 1, 16, 16, requires_grad=True)
    module(x)[0, 0].backward()
    assert x.grad is not None and (x.grad > 0).all()


# The time-delay network


def test_the_time_delay_network_has_the_units_weights_and_connections_of_the_paper() -> None:
    """Waibel et al. (1989), figure 2; its authors count 6,233 connections, those for the biases among them."""
    graph = create_graph("tdnn")
    shapes = [graph.shapes[name] for name in ("input", "hidden1.conv", "head.hidden2", "head.flatten")]
    assert shapes == [(16, 15), (8, 13), (3, 9), (3,)]
    assert parameters(graph) == {"hidden1": 8 * (16 * 3 + 1), "head": 3 * (8 * 5 + 1)}
    connections = 0
    for node in graph.nodes:
        if isinstance(node.op, Conv):
            connections += node.op.macs(*graph.input_shapes(node)) + math.prod(graph.shapes[node.name])
        elif isinstance(node.op, GlobalAvgPool):
            connections += math.prod(graph.input_shapes(node)[0]) + 3  # fixed, and the paper's bias
    assert connections == 6_233


def test_the_time_delay_network_adds_up_its_evidence() -> None:
    module = built("tdnn")
    p = dict(module.named_parameters())
    x = y = torch.randn(2, 16, 15)
    for layer in ("hidden1.conv", "head.hidden2"):
        y = torch.sigmoid(F.conv1d(y, p[f"{layer}.weight"], p[f"{layer}.bias"]))
    torch.testing.assert_close(module(x), y.sum(2))


def test_the_time_delay_network_answers_alike_wherever_the_sound_is() -> None:
    torch.manual_seed(0)
    graph = create_graph("tdnn", input_shape=(16, 50))
    module = build(graph)
    sound, other = torch.randn(2, 16, 15)
    answers = []
    for what, start in ((sound, 7), (sound, 8), (sound, 28), (other, 7)):
        x = torch.zeros(1, 16, 50)
        x[0, :, start : start + 15] = what
        answers.append(module(x))
    torch.testing.assert_close(answers[0], answers[1])
    torch.testing.assert_close(answers[0], answers[2])
    assert (answers[0] - answers[3]).abs().max() > 1e-3


# The zip-code network


def test_the_zip_code_network_by_layer() -> None:
    """LeCun et al. (1989), section 3.3: the trained numbers, the connections and the units of every layer."""
    graph = create_graph("zipcode1989")
    assert parameters(graph) == {"h1": 1_068, "h2": 2_592, "h3": 5_790, "output": 310}
    connections: dict[str, int] = {}
    for node in graph.nodes:
        layer = node.name.partition(".")[0]
        work = node.op.macs(*graph.input_shapes(node))
        if isinstance(node.op, (Dense, Offset)):
            work += math.prod(graph.shapes[node.name])  # the biases
        connections[layer] = connections.get(layer, 0) + work
    assert connections == {"h1": 19_968, "h2": 38_592, "h3": 5_790, "output": 310}
    units = [math.prod(graph.shapes[name]) for name in ("input", "h1.conv", "h2.conv", "h3.dense", "output")]
    assert units == [256, 768, 192, 30, 10]
    assert (sum(parameters(graph).values()), sum(connections.values()), sum(units)) == (9_760, 64_660, 1_256)


def test_each_map_of_h2_reads_eight_of_the_twelve() -> None:
    module = build(create_graph("zipcode1989").up_to("h1.amplitude", "h2.conv"))
    h1, h2 = module(torch.randn(1, 1, 16, 16))
    read = [torch.autograd.grad(h2[0, m].sum(), h1, retain_graph=True)[0][0].flatten(1).any(1) for m in range(12)]
    assert [row.nonzero().flatten().tolist() for row in read[::4]] == [
        [*range(8)], [0, 1, 2, 3, 8, 9, 10, 11], [*range(4, 12)]
    ]  # fmt: skip
    assert torch.stack(read).sum(0).tolist() == torch.stack(read).sum(1).tolist() == [8] * 12


def test_a_background_beyond_the_border_is_a_matter_of_biases() -> None:
    """Written a second time with the paper's border of -1; with biases that make up for it, ours computes the same."""
    module = built("zipcode1989")
    p = {name: tensor.detach().clone() for name, tensor in module.named_parameters()}

    def layer(x: torch.Tensor, name: str, groups: int, border: float) -> torch.Tensor:
        return F.conv2d(F.pad(x, (2, 2, 2, 2), value=border), p[f"{name}.conv.weight"], stride=2, groups=groups)

    x = torch.randn(2, 1, 16, 16)
    h1 = squashed(layer(x, "h1", 1, -1) + p["h1.offset.bias"])
    h2 = squashed(layer(h1.repeat(1, 2, 1, 1), "h2", 3, -1) + p["h2.offset.bias"])
    h3 = squashed(F.linear(h2.flatten(1), p["h3.dense.weight"], p["h3.dense.bias"]))
    expected = F.linear(h3, p["output.weight"], p["output.bias"])
    assert (module(x) - expected).abs().max() > 1e-2

    with torch.no_grad():
        for name, groups, maps, size in (("h1", 1, 1, 16), ("h2", 3, 24, 8)):
            module.get_parameter(f"{name}.offset.bias").add_(
                layer(torch.zeros(1, maps, size, size), name, groups, -1)[0]
            )
    torch.testing.assert_close(module(x), expected)


# LeNet-5


def test_the_drawings_are_ten_digits_of_84_cells() -> None:
    values = np.array(drawings())
    assert values.shape == (10, 84) and set(values.flat) == {-1.0, 1.0}
    apart = [(a != b).sum() for i, a in enumerate(values) for b in values[:i]]
    assert min(apart) >= 5
    seven = values[7].reshape(12, 7)
    assert (seven[0] == 1).all() and (seven[2, :5] == -1).all()  # its bar, and nothing to the left under it


def test_lenet5_of_the_paper_written_a_second_time() -> None:
    """Figure 2, table I, equations 5 to 7; the best class is the nearest drawing."""
    module = built("lenet5_paper")
    module.get_buffer("rbf.weight").copy_(torch.tensor(drawings()))
    p = dict(module.named_parameters())

    def pooled(x: torch.Tensor, name: str) -> torch.Tensor:
        four = x.unfold(2, 2, 2).unfold(3, 2, 2).sum((-1, -2))
        weight, bias = (p[f"{name}.scale.{key}"][:, None, None] for key in ("weight", "bias"))
        return squashed(four * weight + bias)

    x = torch.randn(2, 1, 32, 32)
    s2 = pooled(squashed(F.conv2d(x, p["c1.conv.weight"], p["c1.conv.bias"])), "s2")
    maps = []
    for i, seen in enumerate(C3, start=1):
        name = "c3.conv" if i == 1 else f"c3.conv{i}"
        maps.append(F.conv2d(s2[:, list(seen)], p[f"{name}.weight"], p[f"{name}.bias"]))
    s4 = pooled(squashed(torch.cat(maps, 1)), "s4")
    c5 = squashed(F.conv2d(s4, p["c5.conv.weight"], p["c5.conv.bias"]))
    f6 = squashed(F.linear(c5.flatten(1), p["f6.dense.weight"], p["f6.dense.bias"]))
    distances = torch.cdist(f6, torch.tensor(drawings())).square()
    torch.testing.assert_close(module(x), -distances, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("classes", [10, 3])
def test_lenet5_begins_with_its_drawings(classes: int) -> None:
    module = build(create_graph("lenet5_paper", num_classes=classes))
    initialize(module, find_model("lenet5_paper").init)
    assert module.get_buffer("rbf.weight").tolist() == [list(row) for row in drawings()[:classes]]


def test_lenet5_has_no_drawing_of_an_eleventh_class() -> None:
    with pytest.raises(UsageError, match="lenet5_paper has drawings of ten digits, not of 11 classes; use lenet5"):
        create_graph("lenet5_paper", num_classes=11)
