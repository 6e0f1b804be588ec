from __future__ import annotations

import json
import math

import pytest
from matplotlib import pyplot

from foveal.anatomy.rows import COUNTED, count, fold
from foveal.errors import UnknownName
from foveal.graph import Builder, Graph
from foveal.ops import Conv, Dense, Flatten, GlobalAvgPool, Multiply, Opaque, Relu, Sigmoid
from foveal.zoo import create_graph


def gated() -> Graph:
    net = Builder("gated")
    x = net(Conv(8, 3, padding=1), net.input(3, 16, 16), name="conv")
    with net.scope("gate"):
        gate = net(Sigmoid(), net(Conv(8, 1), net(GlobalAvgPool(), x)))
    net(Multiply(), x, gate, name="gated")
    return net.graph()


def test_rows_add_up_to_the_graphs_own_counts() -> None:
    graph = create_graph("efficientnet_lite0")
    anatomy = count(graph)
    assert [row.name for row in anatomy.rows] == [node.name for node in graph.nodes]
    assert anatomy.totals.parameters == sum(math.prod(shape) for shape in graph.parameters().values()) == 4_652_008
    assert anatomy.totals.buffers == sum(math.prod(shape) for shape in graph.buffers().values())
    assert anatomy.totals.macs == graph.macs() == 385_187_552
    assert anatomy.totals.flops == 2 * graph.macs()
    assert anatomy.totals.bytes_on_disk["float32"] == 4 * (4_652_008 + anatomy.totals.buffers)
    assert anatomy.totals.bytes_on_disk["int4"] * 8 == anatomy.totals.bytes_on_disk["float32"]


def test_the_promised_json() -> None:
    data = json.loads(json.dumps(count(create_graph("lenet5")).to_json()))
    assert data["name"] == "lenet5" and data["input_shape"] == [1, 32, 32]
    assert data["rows"][0] == {
        "name": "c1", "op": "Conv", "inputs": ["input"], "output_shape": [6, 28, 28], "parameters": 156, "frozen": 0,
        "buffers": 0, "macs": 117_600, "other_ops": 4_704, "activation_bytes": 18_816,
        "receptive_field": {"size": [5, 5], "jump": [1, 1], "start": [0, 0]}, "local_field": None, "nodes": 1,
    }  # fmt: skip
    assert data["rows"][-1]["receptive_field"] == {
        "size": ["global", "global"],
        "jump": [None, None],
        "start": [None, None],
    }
    assert data["totals"]["parameters"] == data["totals"]["trainable"] == 61_706
    assert data["totals"]["macs"] == 416_520
    assert data["warnings"] == []


def test_shared_weights_count_once_and_work_counts_per_call() -> None:
    net = Builder("twice")
    x = net(Conv(3, 3, padding=1), net.input(3, 8, 8), name="once")
    net(Conv(3, 3, padding=1), x, name="again", weights_of="once")
    once, again = count(net.graph()).rows
    assert (once.parameters, again.parameters) == (84, 0)
    assert once.macs == again.macs > 0


def test_frozen_parameters_are_counted_apart() -> None:
    totals = count(create_graph("lenet5"), frozen=["c1.weight", "c1.bias"]).totals
    assert (totals.parameters, totals.frozen, totals.trainable) == (61_706, 156, 61_550)


def test_a_gate_sees_all_but_its_map_locally_does_not() -> None:
    row = count(gated()).by_name["gated"]
    assert row.receptive_field.text() == "global"
    assert row.local_field is not None and row.local_field.text() == "3"
    assert count(create_graph("lenet5")).by_name["c1"].local_field is None


def test_an_opaque_step_is_said_to_be_left_out() -> None:
    net = Builder("opaque")
    x = net(Opaque("attention", (8, 4, 4), ((8, 8), (8,))), net.input(3, 4, 4), name="seen")
    net(Conv(2, 1), x, name="after")
    anatomy = count(net.graph())
    assert anatomy.totals.opaque == 1 and anatomy.by_name["seen"].parameters == 72
    assert anatomy.by_name["after"].receptive_field.text() == "unknown"
    assert [warning.kind for warning in anatomy.warnings] == ["opaque"]


def test_folding_keeps_every_sum() -> None:
    anatomy = count(create_graph("efficientnet_lite0"))
    for depth in (1, 2, 3, 9):
        rows = fold(anatomy, depth)
        for key in COUNTED:
            assert sum(getattr(row, key) for row in rows) == getattr(anatomy.totals, key)
    stages = fold(anatomy, 1)
    assert [row.name for row in stages] == ["stem", *(f"stage{i}" for i in range(1, 8)), "top", "head"]
    assert stages[1].inputs == ("stem",) and stages[0].inputs == ("input",)
    assert stages[1].output_shape == (16, 112, 112) and stages[1].op == "5 nodes"
    assert fold(anatomy, 9) == anatomy.rows


def test_flat_inputs_have_no_field() -> None:
    net = Builder("flat")
    net(Relu(), net(Dense(3), net.input(7)))
    assert [row.receptive_field.text() for row in count(net.graph()).rows] == ["-", "-"]


def test_absurd_sizes_cost_nothing() -> None:
    net = Builder("absurd")
    x = net(Conv(10**9, 3, padding=1), net.input(10**9, 10**6, 10**6))
    net(Dense(1), net(Flatten(), net(GlobalAvgPool(), x)))
    anatomy = count(net.graph())
    assert anatomy.by_name["conv"].macs == 10**12 * 9 * 10**18
    assert anatomy.by_name["conv"].receptive_field.size == (3, 3)


def test_pandas_and_matplotlib() -> None:
    anatomy = count(create_graph("lenet5"))
    frame = anatomy.to_pandas()
    assert frame["parameters"].sum() == 61_706 and frame.loc["c3", "macs"] == 240_000
    ax = anatomy.plot(by="parameters")
    assert [bar.get_width() for bar in ax.patches] == [156, 2_416, 48_120, 10_164, 850]
    assert ax.get_xlabel() == "parameters"
    pyplot.close("all")
    with pytest.raises(UnknownName, match="unknown count 'nonsense'"):
        anatomy.plot(by="nonsense")
    pyplot.close("all")
