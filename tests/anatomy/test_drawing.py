"""Drawings are parsed as XML and their geometry is read back."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from itertools import combinations, pairwise
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from scoped_graphs import graphs, plain_residual, unet

from foveal.anatomy import Anatomy, count
from foveal.anatomy.drawing import draw
from foveal.errors import UnknownName, UsageError
from foveal.graph import Builder, Graph
from foveal.ops import Add, Conv, Opaque, Relu
from foveal.zoo import create_graph

NETWORKS = ("lenet5", "googlenet", "googlenet_paper_aux", "resnet50", "mobilenet_v2", "efficientnet_lite0", "vgg16")
SVG = "{http://www.w3.org/2000/svg}"


class Box(NamedTuple):
    x: float
    y: float
    width: float
    height: float

    @property
    def middle(self) -> float:
        return self.x + self.width / 2


def parsed(drawing: str) -> ET.Element:
    return ET.fromstring(drawing)


def rects(root: ET.Element, kind: str) -> list[Box]:
    return [
        Box(*(float(rect.attrib[key]) for key in ("x", "y", "width", "height")))
        for rect in root.iter(f"{SVG}rect")
        if kind in rect.attrib["class"].split()
    ]


def nodes(root: ET.Element) -> dict[str, ET.Element]:
    return {group.attrib["data-node"]: group for group in root.iter(f"{SVG}g") if "data-node" in group.attrib}


def box_of(root: ET.Element, name: str) -> Box:
    return rects(nodes(root)[name], "box")[0]


def texts(element: ET.Element) -> list[str]:
    return [text.text or "" for text in element.iter(f"{SVG}text")]


def check(anatomy: Anatomy, drawing: str) -> ET.Element:
    root = parsed(drawing)
    width, height = (float(v) for v in root.attrib["viewBox"].split()[2:])
    boxes = rects(root, "box") + rects(root, "terminal")
    for box in boxes + rects(root, "frame"):
        assert box.x >= 0 and box.y >= 0 and box.x + box.width <= width and box.y + box.height <= height
    for a, b in combinations(boxes, 2):
        across = min(a.x + a.width, b.x + b.width) - max(a.x, b.x)
        down = min(a.y + a.height, b.y + b.height) - max(a.y, b.y)
        assert across <= 0.02 or down <= 0.02
    for path in root.iter(f"{SVG}path"):
        if "marker-end" in path.attrib:
            x, y = re.findall(r"-?[\d.]+", path.attrib["d"])[-2:] if "C" in path.attrib["d"] else _upright(path)
            assert any(b.x <= float(x) <= b.x + b.width and abs(b.y - float(y)) < 0.02 for b in boxes), "ends at a box"
    held = [name for group in nodes(root).values() for name in group.attrib["data-nodes"].split()]
    assert sorted(held) == sorted(row.name for row in anatomy.rows)
    assert nodes(root).keys() <= anatomy.by_name.keys()
    return root


def _upright(path: ET.Element) -> tuple[str, str]:
    x, _, y = re.findall(r"-?[\d.]+", path.attrib["d"])
    return x, y


@pytest.mark.parametrize("by", ["macs", "parameters"])
@pytest.mark.parametrize("name", NETWORKS)
def test_networks_of_the_zoo(name: str, by: str) -> None:
    anatomy = count(create_graph(name))
    drawing = draw(anatomy, by=by)
    check(anatomy, drawing)
    assert draw(anatomy, by=by) == drawing


@settings(max_examples=60, deadline=None)
@given(graphs())
def test_random_networks(graph: Graph) -> None:
    anatomy = count(graph)
    for depth in (None, 1):
        check(anatomy, draw(anatomy, depth=depth))


def test_lenet_reads_from_top_to_bottom() -> None:
    anatomy = count(create_graph("lenet5"))
    root = check(anatomy, draw(anatomy))
    order = ["c1", "s2", "c3", "s4", "c5", "flatten", "f6", "output"]
    assert list(nodes(root)) == order
    assert len({box_of(root, name).middle for name in order}) == 1
    assert all(box_of(root, a).y < box_of(root, b).y for a, b in pairwise(order))
    assert texts(nodes(root)["c1"]) == ["conv 6 5x5", "28.2 %", "tanh", "c1"]
    said = texts(root)
    assert [s for s in said if re.fullmatch(r"[\dx]+", s)] == [
        "32x32x1", "28x28x6", "14x14x6", "10x10x16", "5x5x16", "1x1x120", "120", "84", "10",
    ]  # fmt: skip
    assert said.index("input") < said.index("conv 6 5x5") < said.index("output")
    assert said[:2] == ["lenet5", "61.71 K parameters, 416.5 K MACs"]  # 61,706


def test_inceptions_branches_lie_side_by_side() -> None:
    root = parsed(draw(count(create_graph("googlenet"))))
    ones, threes, fives, pool = (
        box_of(root, f"stage2.block3.branch{n}.{layer}")
        for n, layer in ((1, "conv"), (2, "conv1"), (3, "conv1"), (4, "pool"))
    )
    assert ones.y == threes.y == fives.y == pool.y
    assert ones.x < threes.x < fives.x < pool.x
    join = box_of(root, "stage2.block3.concat")
    assert join.y > ones.y and join.middle == pytest.approx((ones.middle + pool.middle) / 2, abs=0.02)
    assert [texts(group)[0] for name, group in nodes(root).items() if name.startswith("stage2.block3.")] == [
        "conv 128 1x1", "conv 128 1x1", "conv 256 3x3", "conv 24 1x1", "conv 64 3x3", "maxpool 3 /1", "conv 64 1x1",
        "concat",
    ]  # fmt: skip


def test_resnet50_fits_about_three_screens_and_shows_its_repeats() -> None:
    root = parsed(draw(count(create_graph("resnet50"))))
    assert float(root.attrib["height"]) < 3.3 * 1080
    badges = [text.text for text in root.iter(f"{SVG}text") if text.attrib["class"] == "count"]
    assert badges == ["×2", "×3", "×5", "×2"]
    assert {"block2 - block3", "block2 - block4", "block2 - block6", "stage4"} <= set(texts(root))
    column = [box_of(root, f"stage3.block2.{name}").middle for name in ("conv1", "conv2", "conv3", "add")]
    assert len(set(column)) == 1


def test_shares_of_the_boxes_add_up() -> None:
    root = parsed(draw(count(create_graph("resnet50"))))
    shares = [float(text[:-2]) for group in nodes(root).values() for text in texts(group) if text.endswith(" %")]
    assert sum(shares) == pytest.approx(100, abs=0.05 * len(shares))


def test_bars_are_as_long_as_shares() -> None:
    root = parsed(draw(count(create_graph("lenet5")), by="parameters"))
    bars = {name: rects(group, "bar") for name, group in nodes(root).items()}
    assert not bars["s2"] and not bars["flatten"]
    long = {name: found[0].width for name, found in bars.items() if found}
    assert max(long, key=lambda name: long[name]) == "c5"
    assert long["f6"] / long["c5"] == pytest.approx(10_164 / 48_120, abs=0.001)


def test_hints_have_the_full_figures() -> None:
    root = parsed(draw(count(create_graph("resnet50"))))
    hint = nodes(root)["stage1.block2.conv2"].find(f"{SVG}title")
    assert hint is not None and hint.text is not None
    names, ops, copies, figures = hint.text.split("\n")
    assert names == "stage1.block2.conv2, stage1.block2.bn2, stage1.block2.relu2"
    assert ops.startswith("Conv(out_channels=64, kernel_size=3, stride=1, padding=1, ")
    assert copies == "2 copies; together:"
    assert figures.startswith("output 56x56x64, 73,984 parameters, 231,211,008 MACs, ")  # 2 x (36,864 + 128)


def test_skips_of_a_unet_end_at_their_joins() -> None:
    anatomy = count(unet())
    root = check(anatomy, draw(anatomy))
    assert "concat" in texts(root)


def test_several_outputs_are_numbered_in_their_order() -> None:
    anatomy = count(create_graph("googlenet_paper_aux"))
    root = check(anatomy, draw(anatomy))
    ends = sorted(text for text in texts(root) if text.startswith("output"))
    assert ends == ["output 1", "output 2", "output 3"]


def test_an_output_that_is_the_input() -> None:
    anatomy = count(Graph("empty", (3, 2, 2), (), ("input",)))
    assert texts(check(anatomy, draw(anatomy)))[-2:] == ["input", "output"]


def test_a_network_without_macs() -> None:
    net = Builder("none")
    net(Relu(), net.input(1, 2, 2))
    assert "no MACs" in texts(parsed(draw(count(net.graph()))))


@pytest.mark.parametrize(
    "label", ["</title><script>alert(1)</script>", '" onload="x', "&lt;]]>", "a" * 80, "名前 ünïcode", "' or {{ 7*7 }}"]
)
def test_hostile_labels_are_text(label: str) -> None:
    net = Builder("hostile")
    net(Opaque(label, (4, 2, 2)), net(Conv(4, 1), net.input(1, 2, 2)), name="step")
    anatomy = count(net.graph())
    root = check(anatomy, draw(anatomy))
    assert {element.tag.removeprefix(SVG) for element in root.iter()} == {
        "svg", "title", "style", "defs", "marker", "path", "rect", "g", "text",
    }  # fmt: skip
    hint = nodes(root)["step"].find(f"{SVG}title")
    assert hint is not None and hint.text is not None and repr(label)[1:60] in hint.text
    shown = texts(nodes(root)["step"])[0]
    assert shown == label if len(label) < 20 else len(shown) < 30
    assert "without 1 opaque step" in texts(root)[1]


def test_long_names_are_shortened() -> None:
    net = Builder("n" * 64)
    with net.scope(".".join("s" * 60 for _ in range(15))):
        x = net(Conv(1, 1), net.input(1, 2, 2), name="a" * 64)
        for i in range(4):
            x = net(Conv(1, 1, dilation=i + 1), x, name="b" * 60 + str(i))
    root = parsed(draw(count(net.graph())))
    boxes = [group for group in nodes(root).values() if rects(group, "stripe")]
    assert all(rects(group, "box")[0].width <= 230 and max(map(len, texts(group))) < 40 for group in boxes)


def test_it_needs_nothing_else() -> None:
    drawing = draw(count(create_graph("resnet18")))
    assert re.findall(r"https?://[^\"<]*", drawing) == ["http://www.w3.org/2000/svg"]
    assert not re.search(r"<script|href|@import|url\((?!#)", drawing)
    assert drawing.count("prefers-color-scheme:dark") == 1


def test_thousands_of_nodes() -> None:
    net = Builder("many")
    xs = [net.input(1, 2, 2)]
    for i in range(3000):
        earlier = xs[-1 - i * i % min(len(xs), 40)]
        xs.append(net(Add(), xs[-1], earlier) if earlier != xs[-1] and i % 3 else net(Relu(), xs[-1]))
    anatomy = count(net.graph())
    root = parsed(draw(anatomy))
    held = sum(len(group.attrib["data-nodes"].split()) for group in nodes(root).values())
    assert held == 3000


def test_what_repeats_without_scopes_has_one_frame() -> None:
    anatomy = count(plain_residual(blocks=9))
    root = check(anatomy, draw(anatomy))
    assert len(rects(root, "frame")) == 1 and "×9" in texts(root)


def test_depth() -> None:
    anatomy = count(create_graph("googlenet"))
    assert len(nodes(parsed(draw(anatomy, depth=1)))) == 5
    assert len(nodes(parsed(draw(anatomy, depth=2)))) == 5 + 9 + 2 + 3  # stem, inceptions, pools between, head
    with pytest.raises(UsageError, match=r"^depth 0; expected at least 1$"):
        draw(anatomy, depth=0)


def test_measure() -> None:
    with pytest.raises(UnknownName, match=r"unknown measure 'mac'; did you mean macs\?"):
        draw(count(create_graph("lenet5")), by="mac")
