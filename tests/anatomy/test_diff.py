from __future__ import annotations

import json

from foveal.anatomy.diff import compare
from foveal.anatomy.rows import count
from foveal.graph import Builder, Graph
from foveal.ops import BatchNorm, Conv, Relu
from foveal.zoo import create_graph


def small(stride: int, norm: bool, prefix: str = "") -> Graph:
    net = Builder("small")
    x = net(Conv(8, 3, stride, 1), net.input(3, 32, 32), name=f"{prefix}conv")
    if norm:
        x = net(BatchNorm(), x, name=f"{prefix}bn")
    net(Relu(), x, name=f"{prefix}relu")
    return net.graph()


def test_a_network_against_itself() -> None:
    anatomy = count(create_graph("lenet5"))
    found = compare(anatomy, anatomy)
    assert found.different == [] and len(found.pairs) == 12
    assert found.totals["parameters"] == (61_706, 61_706)


def test_settings_and_what_follows_from_them() -> None:
    (conv, relu) = compare(count(small(1, False)), count(small(2, False))).different
    assert conv.changes == {"stride": (1, 2), "output_shape": ((8, 32, 32), (8, 16, 16)), "macs": (221_184, 55_296)}
    assert relu.changes == {"output_shape": ((8, 32, 32), (8, 16, 16))}


def test_a_node_of_one_alone() -> None:
    (pair,) = compare(count(small(1, False)), count(small(1, True))).different
    assert pair.a is None and pair.b is not None and pair.b.name == "bn"
    (pair,) = compare(count(small(1, True)), count(small(1, False))).different
    assert pair.b is None and pair.a is not None and pair.changes == {"present": (True, False)}


def test_other_names_align_by_their_ops() -> None:
    found = compare(count(small(1, True)), count(small(1, True, "other")))
    assert found.different == [] and len(found.pairs) == 3


def test_a_paper_against_a_library() -> None:
    found = compare(count(create_graph("resnet50_paper")), count(create_graph("resnet50")))
    moved = [pair for pair in found.different if "stride" in pair.changes]
    assert len(moved) == 6  # in three stages, from the first 1x1 to the 3x3
    assert found.totals["parameters"][0] == found.totals["parameters"][1] == 25_557_032
    assert found.totals["macs"][0] < found.totals["macs"][1]
    data = json.loads(json.dumps(found.to_json()))
    assert data["a"] == "resnet50_paper" and data["same"] + len(data["different"]) == len(found.pairs)
