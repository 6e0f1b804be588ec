"""Graphs as untrusted data: what is refused, and that what is accepted comes back equal."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from foveal.errors import FovealError, GraphError, ShapeError
from foveal.graph import RESERVED, Builder, Graph, Node
from foveal.ops import Add, BatchNorm, Conv, Dense, Flatten, Relu
from foveal.zoo import create_graph


def one(node: str = "a", /, **changes: Any) -> Graph:
    fields: dict[str, Any] = {
        "name": "g", "input_shape": (3, 8, 8), "nodes": (Node(node, Relu(), ("input",)),), "outputs": (node,),
    }  # fmt: skip
    return Graph(**(fields | changes))


@pytest.mark.parametrize(
    "name",
    ["", ".", "a.", ".a", "a..b", "a b", "a-b", "a/b", "a;import os", "a\n", "é", "a" * 65, "import", "x.class",
     "forward", "stage.train", "__init__", "__class__", "a.__dict__", "lambda", "a'b", 'a"b', "a{b}", "graph"],
)  # fmt: skip
def test_names_that_could_do_harm_are_refused(name: str) -> None:
    with pytest.raises(GraphError, match="cannot name a node"):
        one(name)


def test_reserved_names_are_all_of_torchs() -> None:
    module = torch.fx.GraphModule(torch.nn.Module(), torch.fx.Graph())
    missing = {name for name in dir(module) if not name.startswith("__")} - RESERVED
    assert not missing, f"add to RESERVED: {sorted(missing)}"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"outputs": ()}, "no outputs"),
        ({"outputs": ("b",)}, "output 'b' names no node"),
        ({"input_shape": (3, 0, 8)}, "input_shape"),
        ({"input_shape": ()}, "input_shape"),
        ({"input_shape": (3.0, 8, 8)}, "input_shape"),
        ({"name": "rm -rf"}, "cannot name a network"),
        ({"nodes": (Node("a", Relu(), ("b",)), Node("b", Relu(), ("a",)))}, "a reads 'b', which no earlier node"),
        ({"nodes": (Node("a", Relu(), ("a",)),)}, "a reads 'a'"),
        ({"nodes": (Node("a", Relu(), ("input",)),) * 2}, "a: two nodes have this name"),
        ({"nodes": (Node("a", Relu(), ("input",)), Node("a.b", Relu(), ("a",)))}, "'a' is already the name"),
        ({"nodes": (Node("input", Relu(), ("input",)),)}, "'input' names the network's input"),
        ({"nodes": (Node("input.x", Relu(), ("input",)),)}, "'input' is already the name"),
    ],
)
def test_graphs_that_cannot_be(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(GraphError, match=said):
        one(**changes)


def test_errors_name_the_node() -> None:
    net = Builder("g")
    x = net.input(3, 5, 5)
    with net.scope("stage3"), pytest.raises(ShapeError, match=r"stage3\.conv2: a kernel of 7 does not fit"):
        net(Conv(8, 7), x, name="conv2")
    graph = create_graph("lenet5")
    with pytest.raises(ShapeError, match="c5: a kernel of 5 does not fit an input of 4"):
        graph.with_input((1, 28, 28))


def test_shared_weights_count_once_and_must_match() -> None:
    net = Builder("twice")
    x = net.input(4, 8, 8)
    first = net(Conv(4, 3, padding=1), x, name="conv")
    second = net(Conv(4, 3, padding=1), first, name="again", weights_of="conv")
    graph = net.graph(second)
    assert sum(map(math.prod, graph.parameters().values())) == 4 * 4 * 9 + 4
    assert graph.macs() == 2 * 4 * 4 * 9 * 64
    bad = Node("again", Conv(4, 5, padding=2), ("conv",), "conv")
    with pytest.raises(GraphError, match="again cannot share the weights of conv"):
        Graph("g", (4, 8, 8), (graph.nodes[0], bad), ("again",))
    with pytest.raises(GraphError, match="which no earlier node owns"):
        Graph("g", (4, 8, 8), (Node("again", Conv(4, 3), ("input",), "nobody"),), ("again",))


def test_up_to_keeps_only_what_is_needed() -> None:
    graph = create_graph("lenet5").up_to("s2")
    assert [node.name for node in graph.nodes] == ["c1", "tanh1", "s2"]
    assert graph.outputs == ("s2",)


def test_builder_numbers_repeated_names_and_scopes() -> None:
    net = Builder("g")
    x = net.input(3, 8, 8)
    with net.scope("stage1"), net.scope("block1"):
        y = net(Relu(), net(BatchNorm(), net(Relu(), x)))
    assert y == "stage1.block1.relu2"
    assert net(Add(), x, y) == "add"
    with pytest.raises(GraphError, match="two nodes have this name"):
        net(Relu(), x, name="add")
        net.graph()


@pytest.mark.parametrize("name", ["efficientnet_lite0", "lenet5", "lecture_counting"])
def test_zoo_json_round_trip(name: str) -> None:
    graph = create_graph(name)
    assert Graph.from_json(json.loads(json.dumps(graph.to_json()))) == graph


@pytest.mark.parametrize(
    "data",
    [
        None, 3, [], {}, {"name": "g"}, {"name": "g", "input_shape": [3], "nodes": {}, "outputs": ["a"]},
        {"name": "g", "input_shape": "3", "nodes": [], "outputs": []},
        {"name": ["g"], "input_shape": [3], "nodes": [], "outputs": []},
        {"name": "g", "input_shape": [3, True], "nodes": [], "outputs": ["input"]},
        {"name": "g", "input_shape": [3], "nodes": [7], "outputs": ["input"]},
        {"name": "g", "input_shape": [3], "nodes": [{"op": "Relu", "name": "a", "inputs": "input"}], "outputs": ["a"]},
        {"name": "g", "input_shape": [3], "nodes": [{"op": "os.system", "name": "a", "inputs": []}], "outputs": []},
        {"name": "g", "input_shape": [3], "nodes": [{"op": "Relu", "name": "a", "inputs": ["input"], "weights_of": 0}],
         "outputs": ["a"]},
        {"name": "g", "input_shape": [3], "nodes": [], "outputs": [["input"]]},
    ],
)  # fmt: skip
def test_json_that_is_no_graph(data: Any) -> None:
    with pytest.raises(FovealError):
        Graph.from_json(data)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
KEYS = st.sampled_from(
    ["name", "input_shape", "nodes", "outputs", "op", "inputs", "weights_of", "kernel_size", "stride"]
)


@settings(max_examples=300, deadline=None)
@given(place=st.lists(st.integers(0, 3) | KEYS, max_size=4), value=JSON)
def test_damaged_json_gives_a_graph_or_our_error(place: list[Any], value: Any) -> None:
    net = Builder("g")
    x = net(Conv(4, 3), net.input(3, 8, 8))
    data = json.loads(json.dumps(net.graph(net(Dense(2), net(Flatten(), x))).to_json()))
    target: Any = data
    for step in place[:-1]:
        try:
            target = target[step]
        except (KeyError, IndexError, TypeError):
            return
    try:
        target[place[-1] if place else "nodes"] = value
    except (IndexError, TypeError):
        return
    data = json.loads(json.dumps(data))
    try:
        graph = Graph.from_json(data)
    except FovealError:
        return
    assert Graph.from_json(json.loads(json.dumps(graph.to_json()))) == graph


def test_absurd_sizes_are_arithmetic_only() -> None:
    net = Builder("huge")
    x = net(Conv(10**9, 3, padding=1), net.input(3, 10**6, 10**6))
    graph = net.graph(net(Conv(10**9, 1), x))
    assert graph.macs() == (27 + 10**9) * 10**9 * 10**12
