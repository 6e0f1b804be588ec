"""Numbers opened: every receipt and every gradient against PyTorch, and what refuses to be opened.

Oracles: PyTorch's forward pass (float32) and its autograd; finite differences in float64.
"""

from __future__ import annotations

import functools
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import foveal
from foveal.build import build, weights_of
from foveal.errors import DataError, FovealError, GraphError, UnknownName, UsageError, WeightsError
from foveal.explaining.gradient import backward, step, weight_gradient
from foveal.explaining.gradient_text import step_lines
from foveal.explaining.microscope import observe, open_unit, parse_unit
from foveal.explaining.observing import Observed, Subject
from foveal.explaining.path import follow
from foveal.explaining.script import gradient_script, unit_script
from foveal.graph import INPUT, Graph
from foveal.zoo import create_graph

NETWORKS = {
    "plain": "12x12x3 > conv 4 3x3 same relu > maxpool 2 > conv 6 3x3 /2 p1 bn silu > flatten > dense 5 softmax",
    "pools": "14x14x2 > conv 6 3 maxout 2 > maxpool 2 /1 d2 > lppool 2 p=3 > avgpool 2 /1 d2 > flatten > dense 4 > "
    "logsoftmax",
    "signal": "20x2 > conv 4 5 p2 > bn > relu > avgpool 2 > flatten > dense 3",
}


@functools.cache
def seen(name: str) -> Observed:
    graph = foveal.parse(NETWORKS[name]) if name in NETWORKS else create_graph(name)
    torch.manual_seed(4)
    module = build(graph)
    for key, value in module.state_dict().items():  # norms that do something
        if key.endswith("running_var"):
            value.uniform_(0.5, 2)
        elif key.endswith("running_mean"):
            value.normal_()
    image = np.random.default_rng(1).normal(size=graph.input_shape).astype(np.float32)
    return observe(module, image)


def units(one: Observed, each: int = 2) -> list[tuple[str, tuple[int, ...]]]:
    random = np.random.default_rng(2)
    return [
        (node.name, tuple(int(random.integers(n)) for n in one.graph.shapes[node.name]))
        for node in one.graph.nodes
        for _ in range(each)
    ]


@pytest.mark.parametrize(
    "name", [*NETWORKS, "lenet5", "googlenet_paper_aux", "shufflenet_v2_x0_5", "mobilenet_v3_small"]
)
def test_every_node_opens_to_the_number_of_pytorch(name: str) -> None:
    one = seen(name)
    for node, index in units(one, each=1):
        receipt = open_unit(one, None, node, index)
        assert receipt.value == pytest.approx(receipt.torch, rel=1e-4, abs=1e-5), receipt.name
        assert receipt.torch == one.values[node][index]
        assert receipt.name in str(receipt)


@pytest.mark.parametrize("name", [*NETWORKS, "lenet5"])
@pytest.mark.parametrize("loss", [False, True])
def test_every_gradient_is_the_sum_that_autograd_finds(name: str, loss: bool) -> None:
    one = seen(name)
    for node, index in [*units(one), (INPUT, tuple(n // 2 for n in one.graph.input_shape))]:
        if node not in one.graph.up_to(one.scores).shapes:
            continue  # the goal is taken before it
        found = backward(one, node, index, target=1, loss=loss)
        assert found.value == pytest.approx(found.autograd, rel=1e-4, abs=1e-6), found.name
        if not found.kink:
            assert sum(found.quotients) / 2 == pytest.approx(found.value, rel=1e-2, abs=1e-6), found.name


@pytest.mark.parametrize("name", [*NETWORKS, "lenet5"])
def test_every_weight_opens_to_its_gradient(name: str) -> None:
    one = seen(name)
    random = np.random.default_rng(6)
    for tensor, shape in one.graph.parameters().items():
        index = tuple(int(random.integers(n)) for n in shape)
        found = weight_gradient(one, tensor, index, target=0, loss=True)
        assert found.value == pytest.approx(found.autograd, rel=1e-3, abs=1e-6), found.name
        if not found.kink:
            assert sum(found.quotients) / 2 == pytest.approx(found.value, rel=1e-2, abs=1e-6), found.name


def test_the_terms_folded_away_add_up_exactly() -> None:
    text = str(open_unit(seen("lenet5"), None, "c5", (7, 0, 0))).splitlines()
    terms = [line for line in text if line.startswith("  s4[") or " more " in line]
    assert len(terms) == 9
    assert " more " in terms[-1]
    total = float(next(line for line in text if line.startswith("sum ")).split()[1])
    assert sum(float(line.split()[1 if line.startswith("  s4[") else 2]) for line in terms) == pytest.approx(
        total, abs=1e-6
    )


def test_padding_is_marked_and_what_follows_is_told() -> None:
    text = str(open_unit(seen("plain"), None, "conv1", (2, 0, 0)))
    assert "reads 27 values of input, 3 channels of 3 x 3, 15 of them padding" in text
    assert text.count("pad") >= 6
    assert "then relu1[2,0,0]: relu(" in text
    assert "then maxpool1[2,0,0]: the largest of 4 is relu1[" in text


def test_a_shut_gate_lets_no_gradient_through() -> None:
    one = seen("plain")
    shut = tuple(int(i) for i in np.argwhere(one.values["relu1"] == 0)[0])
    found = backward(one, "conv1", shut)
    assert found.value == found.autograd == 0
    assert "relu(" in str(open_unit(one, None, "relu1", shut))
    assert "shut" in str(open_unit(one, None, "relu1", shut))


def test_a_kink_is_said_where_the_finite_difference_crosses_it() -> None:
    graph = foveal.parse("4 > relu > dense 2")
    module = build(graph)
    one = observe(module, np.array([0.0, 1.0, -1.0, 2.0], np.float32))
    assert backward(one, INPUT, (0,), target=0).kink
    assert "not valid here" in str(backward(one, INPUT, (0,), target=0))
    assert not backward(one, INPUT, (1,), target=0).kink


@pytest.mark.parametrize("rule", ["sgd", "momentum", "nesterov", "adagrad", "rmsprop", "adam"])
def test_a_step_is_the_optimizers_own(rule: str) -> None:
    """Against torch.optim on the module itself; its Nesterov and ours store the same point."""
    one = seen("plain")
    found = weight_gradient(one, "conv1", (1, 0, 2, 1), target=2, loss=True)
    moved = step(found, rule, 0.05)
    weight = torch.tensor([found.at], dtype=torch.float64, requires_grad=True)
    weight.grad = torch.tensor([found.value], dtype=torch.float64)
    makers = {
        "sgd": lambda: torch.optim.SGD([weight], lr=0.05),
        "momentum": lambda: torch.optim.SGD([weight], lr=0.05, momentum=0.9),
        "nesterov": lambda: torch.optim.SGD([weight], lr=0.05, momentum=0.9, nesterov=True),
        "adagrad": lambda: torch.optim.Adagrad([weight], lr=0.05),
        "rmsprop": lambda: torch.optim.RMSprop([weight], lr=0.05),
        "adam": lambda: torch.optim.Adam([weight], lr=0.05),
    }
    makers[rule]().step()
    assert moved.after == pytest.approx(weight.item(), abs=1e-12)
    assert f"= {moved.after:.7g}" in "\n".join(step_lines(moved))


def test_the_path_reaches_a_pixel_and_says_its_share() -> None:
    one = seen("plain")
    way = follow(one, "dense1", (3,))
    assert way.steps[0].node == "dense1"
    assert way.pixel is not None
    assert f"reached input[{','.join(map(str, way.pixel))}]" in str(way)
    for earlier, later in zip(way.steps, way.steps[1:], strict=False):
        assert later.node in earlier.reads
    affine = follow(observe(build(foveal.parse("6 > dense 3")), np.arange(6, dtype=np.float32)), "dense1", (1,))
    assert affine.explained == pytest.approx(affine.contributions[0].value)


@pytest.mark.parametrize(
    ("node", "index"), [("conv1", (1, 0, 3)), ("bn1", (2, 1, 1)), ("dense1", (4,)), ("maxpool1", (0, 2, 2))]
)
def test_the_script_comes_to_the_number(tmp_path: Path, node: str, index: tuple[int, ...]) -> None:
    receipt = open_unit(seen("plain"), None, node, index)
    script = unit_script(receipt)
    assert "foveal" not in script.lower().replace("foveal.", "")
    assert run(script, tmp_path) == pytest.approx(receipt.value, abs=1e-12)


def test_the_script_of_a_gradient_comes_to_the_number(tmp_path: Path) -> None:
    found = backward(seen("plain"), "conv1", (0, 4, 4), loss=True)
    assert run(gradient_script(found), tmp_path) == pytest.approx(found.value, abs=1e-12)


def run(script: str, folder: Path) -> float:
    (folder / "script.py").write_text(script)
    done = subprocess.run([sys.executable, "script.py"], cwd=folder, capture_output=True, text=True, check=True)
    return float(done.stdout)


def test_a_receipt_is_plain_data() -> None:
    data = json.loads(json.dumps(open_unit(seen("plain"), None, "conv1", (2, 0, 0)).to_json()))
    read = data["reads"][0]
    products = np.array(read["patch"]) * np.array(read["slopes"])
    assert products.sum() + data["constant"] == pytest.approx(data["value"])
    assert data["sees"] == [[0, 1], [0, 1]]
    assert [later["node"] for later in data["after"]] == ["relu1", "maxpool1"]


@pytest.mark.parametrize(
    ("node", "index", "kind", "message"),
    [
        ("conv9", (0, 0, 0), UnknownName, "unknown node 'conv9'; did you mean conv"),
        ("conv1", (0, 12, 0), GraphError, r"conv1\[0,12,0\] is outside; the last unit is conv1\[3,11,11\]"),
        ("conv1", (0, 0), GraphError, r"conv1\[0,0\]: the node has 3 axes; its units go up to conv1\[3,11,11\]"),
        (INPUT, (0, 0, 0), UsageError, "not made of anything"),
    ],
)
def test_what_cannot_be_opened(node: str, index: tuple[int, ...], kind: type[FovealError], message: str) -> None:
    with pytest.raises(kind, match=message):
        open_unit(seen("plain"), None, node, index)


def test_bad_pictures_classes_and_weights() -> None:
    one = seen("plain")
    with pytest.raises(
        DataError, match=r"an array of float64 \(4, 4\); expected floats \(3, 12, 12\), or pixels uint8"
    ):
        one.subject.read(np.zeros((4, 4)))
    with pytest.raises(DataError, match="does not say how a picture goes in"):
        one.subject.read(np.zeros((4, 4, 3), np.uint8))
    with pytest.raises(UsageError, match="class 7: network has the classes 0 to 4"):
        backward(one, "conv1", (0, 0, 0), target=7)
    with pytest.raises(UnknownName, match="unknown class 'cat'"):
        backward(one, "conv1", (0, 0, 0), target="cat")
    weights = weights_of(build(one.graph))
    weights["conv1.weight"][0, 0, 0, 0] = np.nan
    with pytest.raises(WeightsError, match=r"conv1\.weight holds values that are no numbers"):
        Subject(one.graph, weights)
    with pytest.raises(
        GraphError, match=r"conv1\.weight\[9,0,0,0\] is not there; the last one is conv1\.weight\[3,2,2,2\]"
    ):
        weight_gradient(one, "conv1", (9, 0, 0, 0))
    with pytest.raises(UnknownName, match="unknown weight 'relu1'"):
        weight_gradient(one, "relu1", (0,))
    with pytest.raises(UnknownName, match="unknown update rule 'sdg'; did you mean sgd"):
        step(weight_gradient(one, "conv1", (0, 0, 0, 0)), "sdg", 0.1)
    with pytest.raises(UsageError, match="there is no logit to start from"):
        backward(
            observe(build(foveal.parse("8x8x1 > conv 2 3x3")), np.zeros((1, 8, 8), np.float32)), "conv1", (0, 0, 0)
        )
    with pytest.raises(UsageError, match="softmax1: no gradient comes back to it, since dense1 does not depend on it"):
        backward(one, "softmax1", (0,))
    for bad in ("conv1", "conv1[a]", "conv1[1,2", "[1]"):
        with pytest.raises(UsageError, match="expected a node and an index"):
            parse_unit(bad)


def test_numbers_that_are_none_and_indices_that_are_none() -> None:
    one = seen("plain")
    with pytest.raises(DataError, match="the input holds values that are no numbers"):
        one.subject.read(np.full((3, 12, 12), np.nan, np.float32))
    tensor = torch.from_numpy(one.x)
    assert np.array_equal(one.subject.read(tensor)[0], one.x)
    for index in (3, ("a",), (1.5, 0, 0)):
        with pytest.raises(UsageError, match="expected whole numbers"):
            open_unit(one, None, "conv1", index)


def test_gates_are_open_shut_or_full() -> None:
    one = observe(build(foveal.parse("3 > relu6 > dense 2")), np.array([7.0, -1.0, 2.0], np.float32))
    said = [str(open_unit(one, None, "relu61", (i,))).splitlines()[1] for i in range(3)]
    assert [line.split(": ")[1].split(",")[0] for line in said] == ["full", "shut", "open"]


def test_a_way_goes_round_what_ends_in_a_bias() -> None:
    """The strongest feature is all bias; the way to the pixel leads through the other."""
    graph = foveal.parse("2 > dense 2 relu > dense 1")
    weights = {
        "dense1.weight": np.array([[0, 0], [1, 0]], np.float32), "dense1.bias": np.array([9, 0], np.float32),
        "dense2.weight": np.array([[1, 1]], np.float32), "dense2.bias": np.zeros(1, np.float32),
    }  # fmt: skip
    way = follow(observe(Subject(graph, weights), np.array([2.0, 5.0], np.float32)), "dense2", (0,))
    assert way.pixel == (0,)
    assert way.share == pytest.approx(2 / 11)
    shut = follow(observe(Subject(graph, weights), np.array([-2.0, 5.0], np.float32)), "dense2", (0,))
    assert shut.pixel is None
    assert "the way ends" in str(shut)


def test_terms_of_zero_are_not_listed() -> None:
    one = observe(build(foveal.parse("12 > relu > dense 2")), np.array([1.0, -1.0] * 6, np.float32))
    lines = str(open_unit(one, None, "dense1", (0,))).splitlines()
    assert sum(line.startswith("  relu1[") for line in lines) == 6
    assert any(line.split() == ["6", "more", "+0"] for line in lines)


def test_a_network_without_weights_is_named() -> None:
    graph: Graph = create_graph("lenet5")
    with pytest.raises(
        UsageError, match="Graph cannot be opened; expected a bundle, a pretrained zoo name or a module"
    ):
        observe(graph, np.zeros((1, 32, 32), np.float32))
