"""What a drawing shows: every node once, layers with what follows them, repeats found."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from scoped_graphs import graphs, plain_residual, unet

from foveal.anatomy.outline import MOST_BOXES, Outline, Piece
from foveal.graph import Builder, Graph
from foveal.ops import Add, BatchNorm, Conv, Dropout, MaxPool, Opaque, Relu
from foveal.zoo import create_graph

NETWORKS = (
    "lenet5", "vgg16", "googlenet", "googlenet_paper_aux", "resnet18", "resnet152", "mobilenet_v2",
    "efficientnet_lite4",
)  # fmt: skip


def boxes(outline: Outline) -> list[Piece]:
    return [box for piece in outline.pieces for box in piece.boxes()]


def frames(pieces: list[Piece]) -> dict[str, Piece]:
    found: dict[str, Piece] = {}
    for piece in pieces:
        if piece.parts:
            found |= {piece.name: piece} | frames(list(piece.parts))
    return found


def said(piece: Piece) -> list[str]:
    return [type(node.op).__name__ for node in piece.drawn]


def check(graph: Graph, outline: Outline) -> None:
    """Each node is in one box, and what is drawn is a network in order: it reads only what is drawn before it."""
    held = sorted(node.name for box in boxes(outline) for node in box.nodes)
    assert held == sorted(node.name for node in graph.nodes)
    made = {"input"}
    for node in (node for piece in outline.pieces for node in piece.drawn):
        assert {outline.value(value) for value in node.inputs} <= made
        made.add(node.name)
    assert {outline.value(output) for output in graph.outputs} <= made
    for frame in frames(outline.pieces).values():
        assert sorted(n.name for n in frame.nodes) == sorted(n.name for box in frame.boxes() for n in box.nodes)


@pytest.mark.parametrize("depth", [None, 1, 2, 5])
@pytest.mark.parametrize("name", NETWORKS)
def test_every_node_of_a_network_is_in_one_box(name: str, depth: int | None) -> None:
    graph = create_graph(name)
    check(graph, Outline(graph, depth))


@settings(max_examples=150, deadline=None)
@given(graphs())
def test_every_node_of_a_random_network_is_in_one_box(graph: Graph) -> None:
    for depth in (None, 1, 2):
        check(graph, Outline(graph, depth))


@settings(max_examples=100, deadline=None)
@given(graphs())
def test_a_repeat_has_the_shapes_and_ops_of_what_is_drawn(graph: Graph) -> None:
    for box in boxes(Outline(graph)):
        kinds = {(type(n.op), graph.shapes[n.name]) for n in box.drawn}
        assert kinds == {(type(n.op), graph.shapes[n.name]) for n in box.nodes}


@pytest.mark.parametrize("name", NETWORKS)
def test_the_zoo_is_drawn_in_few_boxes(name: str) -> None:
    assert len(boxes(Outline(create_graph(name)))) <= MOST_BOXES


@pytest.mark.parametrize(
    ("name", "times"),
    [("resnet50", (2, 3, 5, 2)), ("resnet101", (2, 3, 22, 2)), ("resnet152", (2, 7, 35, 2))],
)
def test_resnet_draws_equal_blocks_once(name: str, times: tuple[int, ...]) -> None:
    outline = Outline(create_graph(name))  # He et al. (2015), table 1: 3, 4, 6, 3 blocks, the first with a projection
    found = frames(outline.pieces)
    assert tuple(found[f"stage{i}.block2"].times for i in (1, 2, 3, 4)) == times
    assert found["stage1.block1"].times == 1
    assert found["stage3.block2"].last == f"stage3.block{times[2] + 1}"


def test_googlenet_has_nine_inceptions_of_four_branches() -> None:
    found = frames(Outline(create_graph("googlenet")).pieces)
    inceptions = [frame for name, frame in found.items() if ".block" in name]
    assert len(inceptions) == 9
    for inception in inceptions:
        assert [len(part.drawn) for part in inception.parts] == [3, 3, 3, 3, 3, 1, 3, 1]


def test_vgg_repeats_its_convolutions() -> None:
    pieces = boxes(Outline(create_graph("vgg16")))  # Simonyan & Zisserman (2014), table 1, D
    assert [piece.times for piece in pieces if said(piece)[0] == "Conv"] == [2, 2, 3, 3, 3]


def test_repeats_are_found_without_scopes() -> None:
    outline = Outline(plain_residual(blocks=7))
    assert [(piece.name, piece.times) for piece in outline.pieces] == [("conv", 1), ("", 7)]
    assert [said(part) for part in outline.pieces[1].parts] == [
        ["Conv", "BatchNorm", "Relu"],
        ["Conv"],
        ["Add", "Relu"],
    ]
    assert outline.value("relu14") == "relu2"


def test_a_scope_that_is_one_repeat_bears_its_own_name() -> None:
    net = Builder("layers")
    x = net.input(4, 8, 8)
    for i in range(3):
        with net.scope(f"layer1.{i}"):
            y = net(Conv(4, 3, padding=1), net(Relu(), net(Conv(4, 3, padding=1), x)))
            x = net(Add(), y, x)
    for depth in (None, 1):
        (piece,) = Outline(net.graph(), depth).pieces
        assert (piece.name, piece.times, piece.last, piece.closed) == ("layer1", 3, "", depth == 1)


def test_repeats_inside_repeats() -> None:
    net = Builder("nested")
    x = net.input(4, 8, 8)
    for _ in range(3):
        for _ in range(2):
            x = net(Conv(4, 3, padding=1), x)
        x = net(MaxPool(3, 1, 1), x)
    outline = Outline(net.graph())
    (outer,) = outline.pieces
    assert (outer.times, [part.times for part in outer.parts]) == (3, [2, 1])
    assert [len(part.nodes) for part in outer.parts] == [6, 3]
    check(net.graph(), outline)


def test_what_differs_is_no_repeat() -> None:
    net = Builder("different")
    x = net(Conv(4, 3, padding=1), net.input(4, 8, 8), name="a")
    x = net(Conv(4, 3, padding=2, dilation=2), x, name="b")
    x = net(Conv(4, 3, padding=1), x, name="c", weights_of="a")
    x = net(Conv(8, 3, padding=1), x, name="d")
    assert [piece.times for piece in Outline(net.graph()).pieces] == [1, 1, 1, 1]


def test_a_value_that_others_read_ends_a_repeat() -> None:
    net = Builder("read")
    xs = [net(Conv(4, 3, padding=1), net.input(4, 8, 8))]
    for _ in range(3):
        xs.append(net(Conv(4, 3, padding=1), xs[-1]))
    graph = net.graph(net(Add(), xs[1], xs[3]))
    assert [piece.times for piece in Outline(graph).pieces][:2] == [2, 1]
    check(graph, Outline(graph))


def test_a_layer_takes_in_what_follows_it_and_nothing_else() -> None:
    net = Builder("follow")
    x = net(Conv(4, 3), net.input(4, 8, 8), name="conv")
    x = net(Dropout(0.5), net(Relu(), net(BatchNorm(), x, name="bn"), name="relu"), name="dropout")
    y = net(Opaque("mystery", (4, 6, 6)), x, name="opaque")
    z = net(Relu(), x, name="aside")
    net(Relu(), net(Add(), y, z, name="add"), name="last")
    assert [said(piece) for piece in Outline(net.graph()).pieces] == [
        ["Conv", "BatchNorm", "Relu", "Dropout"], ["Opaque"], ["Relu"], ["Add", "Relu"],
    ]  # fmt: skip
    outputs = Outline(net.graph("bn", "last")).pieces
    assert [said(piece) for piece in outputs][:2] == [["Conv", "BatchNorm"], ["Relu", "Dropout"]]


def test_depth_closes_scopes() -> None:
    graph = create_graph("resnet50")
    assert [piece.name for piece in boxes(Outline(graph, 1))] == [
        "stem",
        "stage1",
        "stage2",
        "stage3",
        "stage4",
        "head",
    ]
    second = Outline(graph, 2)
    assert [piece.name for piece in boxes(second)][2:4] == ["stage1.block1", "stage1.block2"]
    assert [piece.times for piece in boxes(second)][2:10] == [1, 2, 1, 3, 1, 5, 1, 2]


def test_a_scope_that_comes_back_is_drawn_each_time() -> None:
    net = Builder("back")
    x = net.input(4, 8, 8)
    for channels, scope in ((4, "a"), (6, "b"), (8, "a")):
        with net.scope(scope):
            for kernel in (3, 5, 7):
                x = net(Conv(channels, kernel, padding="same"), x)
    assert [piece.name for piece in Outline(net.graph(), 1).pieces] == ["a", "b", "a"]


def test_scopes_of_unet() -> None:
    outline = Outline(unet())
    assert [piece.name for piece in outline.pieces] == ["encoder", "decoder", "last"]
    check(unet(), outline)
