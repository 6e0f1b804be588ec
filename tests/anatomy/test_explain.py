"""Every printed formula is evaluated, by Python's own arithmetic, and compared with the number beside it."""

from __future__ import annotations

import math
import re

import pytest

from foveal.anatomy.explain import Formula, explain
from foveal.anatomy.rows import count
from foveal.anatomy.sight import lattices
from foveal.graph import Builder, Graph
from foveal.ops import (
    AvgPool,
    Concat,
    Conv,
    ConvTranspose,
    Dense,
    Factor,
    Flatten,
    LpPool,
    Maxout,
    MaxPool,
    MedianPool,
    Offset,
    PadChannels,
    Rbf,
    Upsample,
)  # fmt: skip
from foveal.shapes import Shape
from foveal.zoo import create_graph, list_models


def evaluate(formula: str) -> float:
    """The value of a formula's text: words dropped, ``x`` read as times."""
    words = re.sub(r"\b(?!floor\b|ceil\b|x\b)[A-Za-z]+\b", "", formula)
    return eval(re.sub(r"\bx\b", "*", words), {"floor": math.floor, "ceil": math.ceil})


def formulas(graph: Graph) -> dict[str, list[Formula]]:
    seen = lattices(graph)
    return {node.name: explain(graph, node, seen) for node in graph.nodes}


def layer(op: object, x: Shape) -> list[str]:
    net = Builder("layer")
    net.input(*x)
    net(op, "input", name="it")
    return [str(formula) for formula in formulas(net.graph())["it"]]


@pytest.mark.parametrize("name", list_models())
def test_every_formula_of_the_zoo_gives_its_number(name: str) -> None:
    graph = create_graph(name)
    anatomy = count(graph)
    for node, found in formulas(graph).items():
        for formula in found:
            assert evaluate(formula.text) == formula.value, f"{node}: {formula}"
        said = {formula.what: formula.value for formula in found}
        row = anatomy.by_name[node]
        assert said.get("parameters", 0) == row.parameters
        assert said.get("buffers", 0) == row.buffers
        assert said.get("MACs", 0) == row.macs
        assert said.get("other operations", 0) == row.other_ops
        assert said["activation"] == row.activation_bytes
        for key, values in (("field", row.receptive_field.size), ("start", row.receptive_field.start)):
            if key in said:
                assert set(values) == {said[key]}


ODD = [
    (Conv(6, (3, 5), (2, 1), (1, 2), (1, 2), 2), (4, 12, 13)),
    (Conv(6, 5, 2, "same"), (4, 32, 31)),
    (Conv(2, 3, 2, ((1, 0), (2, 1)), 3), (2, 20, 19)),
    (Conv(2, 3, 2), (2, 20)),
    (Conv(2, 3, 2, 1), (2, 9, 8, 7)),
    (ConvTranspose(6, 4, 2, 1), (4, 7, 7)),
    (ConvTranspose(6, 3, 2, 1, 1, 2, 2), (4, 7, 5)),
    (ConvTranspose(6, 3, 2, "same"), (4, 7, 5)),
    (MaxPool(3, 2, ceil_mode=True), (4, 10, 13)),
    (MaxPool(2, 3, padding=1, ceil_mode=True), (4, 4, 7)),
    (AvgPool(3, 2, "same"), (4, 10, 13)),
    (MaxPool((2, 3), 2, 1, ceil_mode=True, dilation=(3, 2)), (4, 10, 13)),
    (LpPool(3, 2, "same", dilation=2), (4, 10, 13)),
    (Maxout(2), (4, 3, 3)),
    (MedianPool(2, 1), (4, 4, 4)),
    (Dense(7, bias=False), (12,)),
    (Offset(), (3, 4, 5)),
    (Rbf(10), (84,)),
    (Factor(-0.5), (3, 4, 5)),
    (PadChannels(1, 2), (3, 4, 5)),
    (Flatten(), (3, 4, 5)),
    (Upsample((2, 3), "linear"), (3, 4, 5)),
]


@pytest.mark.parametrize(("op", "x"), ODD, ids=str)
def test_odd_layers_too(op: object, x: Shape) -> None:
    net = Builder("odd")
    net.input(*x)
    net(op, "input", name="it")
    graph = net.graph()
    found = formulas(graph)["it"]
    y = graph.shapes["it"]
    for formula in found:
        assert evaluate(formula.text) == formula.value, formula
    sizes = [
        f.value for f in found if {*re.split(" and ", f.what)} & {"length", "height", "width", "depth", "each axis"}
    ]
    if isinstance(op, (Conv, ConvTranspose, MaxPool, AvgPool, LpPool, MedianPool)):
        assert sizes == list(y[1:]) or (len(sizes) == 1 and set(y[1:]) == set(sizes))


def test_the_wording() -> None:
    assert layer(Conv(16, 3, padding="same"), (3, 32, 32)) == [
        "height and width: (32 + 2*1 - 3)/1 + 1 = 32",
        "parameters: 16 filters x (3 x 3 x 3 weights + 1 bias) = 448",
        "MACs: 32 x 32 positions x 16 filters x 3 x 3 x 3 weights = 442,368",
        "other operations: 32 x 32 x 16 values x 1 each = 16,384",
        "activation: 32 x 32 x 16 values x 4 bytes = 65,536",
        "field: 1 + (3 - 1)*1 = 3",
        "jump: 1 x 1 = 1",
        "start: 0 - 1*1 = -1",
    ]
    assert layer(Conv(10, 5, padding=2), (3, 32, 32))[0] == "height and width: (32 + 2*2 - 5)/1 + 1 = 32"
    assert layer(Conv(1, 3, 3), (1, 7, 7))[0] == "height and width: floor((7 - 3)/3) + 1 = 2"
    assert layer(Rbf(10), (84,)) == [
        "buffers: 10 points x 84 coordinates = 840",
        "other operations: 10 points x (84 differences + 84 squares + 83 sums) = 2,510",
        "activation: 10 values x 4 bytes = 40",
    ]
    assert layer(Offset(), (3, 4, 5))[0] == "parameters: 4 x 5 x 3 values = 60"
    assert layer(PadChannels(8, 8), (16, 4, 5))[0] == "channels: 8 + 16 + 8 = 32"
    assert "parameters: 512 units x (4096 weights + 1 bias) = 2,097,664" in layer(Dense(512), (4096,))


def test_a_join_adds_its_channels() -> None:
    net = Builder("join")
    x = net.input(3, 8, 8)
    net(Concat(), net(Conv(4, 1), x), net(Conv(6, 1), x), name="both")
    assert str(formulas(net.graph())["both"][0]) == "channels: 4 + 6 = 10"
