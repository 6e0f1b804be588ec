from __future__ import annotations

from foveal.anatomy.rows import count
from foveal.graph import Builder, Graph
from foveal.ops import (
    Add,
    Conv,
    ConvTranspose,
    Dense,
    Dropout,
    Flatten,
    GlobalAvgPool,
    MaxPool,
    Multiply,
    Op,
    Relu,
    Sigmoid,
)
from foveal.zoo import create_graph


def said(graph: Graph) -> list[tuple[str, str]]:
    return [(warning.kind, warning.node) for warning in count(graph).warnings]


def texts(graph: Graph) -> str:
    return "\n".join(f"{warning.node}: {warning.text}" for warning in count(graph).warnings)


def one(op: Op, *shape: int) -> Graph:
    net = Builder("one")
    net.input(*shape)
    net(op, "input", name="it")
    net(Flatten(), "it")
    return net.graph()


def test_cells_that_nobody_reads() -> None:
    assert "input: rows 6 to 7 of its 8x6x3 are read by nobody" in texts(one(Conv(4, 3, 3), 3, 8, 6))
    assert "input: column 6 of its 6x7x3 is read by nobody" in texts(one(MaxPool(3), 3, 6, 7))
    assert "position 6" in texts(one(MaxPool(3), 3, 7))
    (warning,) = count(one(MaxPool(3), 3, 8, 8)).warnings  # one remark for all axes that lose alike
    assert warning.text.startswith("rows and columns 6 to 7 of its 8x8x3 are read by nobody, since the stride of it ")


def test_a_map_that_is_given_out_is_read() -> None:
    net = Builder("given")
    x = net(Relu(), net.input(3, 8, 8), name="map")
    net(MaxPool(3), x, name="pool")
    assert [warning for warning in count(net.graph("map", "pool")).warnings if warning.kind == "unread-cells"] == []


def test_padding_that_nobody_reads_is_no_loss() -> None:
    assert said(one(Conv(4, 3, 2, 1), 3, 8, 8)) == []  # the last padded cell is unread, every input cell is read
    assert said(one(MaxPool(3, 2, ceil_mode=True), 3, 8, 8)) == []


def test_cells_between_windows() -> None:
    for cells in (8, 9):  # of eight the last is in such a gap, too: no other remark
        (warning,) = count(one(Conv(4, 1, 2), 3, cells, cells)).warnings
        shape = f"{cells}x{cells}x3"
        assert warning.text.startswith(f"1 of every 2 rows and columns of its {shape} is read by nobody, since the ")


def test_readers_that_take_turns_leave_no_gap() -> None:
    net = Builder("turns")
    x = net(Relu(), net.input(3, 8, 8))
    even, odd = net(Conv(4, 1, 2), x), net(Conv(4, 1, 2, padding=((1, 0), (1, 0))), x)
    net(Flatten(), even), net(Flatten(), odd)
    assert "unread-cells" not in [kind for kind, _ in said(net.graph())]


def test_the_papers_resnet_and_the_librarys() -> None:
    """He et al. (2015) stride in 1x1 kernels, which skip three cells of four; the library's read all."""
    kinds = {
        name: [kind for kind, _ in said(create_graph(name))] for name in ("resnet50_paper", "resnet50", "googlenet")
    }
    assert kinds == {"resnet50_paper": ["unread-cells"] * 3, "resnet50": [], "googlenet": []}


def test_a_cell_is_read_if_anyone_reads_it() -> None:
    net = Builder("shortcut")
    x = net(Relu(), net.input(3, 9, 9))
    net(Add(), net(Conv(4, 3, 2, 1), x, name="main"), net(Conv(4, 1, 2), x, name="shortcut"))
    assert "unread-cells" not in [kind for kind, _ in said(net.graph())]


def test_branches_that_look_at_different_places() -> None:
    net = Builder("apart")
    x = net.input(3, 8, 8)
    net(Add(), net(Conv(4, 3, padding=((2, 0), (2, 0))), x), net(Conv(4, 1), x), name="sum")
    net(Flatten(), "sum")
    assert ("misaligned", "sum") in said(net.graph())
    assert "unit 0 of its inputs looks at cells -1 and 0 of the picture: the branches are 1 cell apart" in texts(
        net.graph()
    )


def test_aligned_residuals_are_not_remarked() -> None:
    net = Builder("residual")
    x = net.input(4, 9, 9)
    net(Add(), net(Conv(4, 3, padding=1), x), x)
    net(Flatten(), "add")
    assert said(net.graph()) == []


def test_a_layer_with_most_of_the_parameters() -> None:
    (warning,) = count(create_graph("lecture_counting")).warnings
    assert (warning.kind, warning.node) == ("heavy-layer", "dense1")
    assert warning.text == (
        "holds 2,097,664 of 2,103,156 parameters (99.7 %), since it reads all 16x16x16 values; "
        "after a global average pooling it would have 8,704"
    )
    net = Builder("dropped")
    x = net(Dropout(), net(Flatten(), net(Conv(8, 3), net.input(3, 8, 8))))
    net(Dense(10), x)
    assert said(net.graph()) == [("heavy-layer", "dense")]


def test_a_field_smaller_than_the_picture() -> None:
    net = Builder("narrow")
    x = net(Conv(4, 3, padding=1), net.input(3, 32, 32))
    net(Dense(2), net(Flatten(), net(GlobalAvgPool(), x)))
    assert said(net.graph()) == [("narrow-field", "globalavgpool")]
    assert "each unit that it pools sees 3 of the picture's 32 rows" in texts(net.graph())


def test_a_gate_pools_what_it_likes() -> None:
    net = Builder("gate")
    x = net(Conv(4, 31, padding=15), net.input(3, 31, 31))
    net(Multiply(), x, net(Sigmoid(), net(GlobalAvgPool(), net(Conv(4, 3), x))))
    assert "narrow-field" not in [kind for kind, node in said(net.graph()) if node == "globalavgpool"]


def test_an_even_kernel_under_same() -> None:
    assert ("even-same", "it") in said(one(Conv(4, 4, padding="same"), 3, 8, 8))
    assert said(one(Conv(4, 3, padding="same"), 3, 8, 8)) == []


def test_checkerboards() -> None:
    assert ("checkerboard", "it") in said(one(ConvTranspose(4, 3, 2), 3, 8, 8))
    assert ("checkerboard", "it") not in said(one(ConvTranspose(4, 4, 2, 1), 3, 8, 8))


def test_a_node_that_nothing_reads() -> None:
    net = Builder("dead")
    x = net.input(3, 8, 8)
    net(Relu(), net(Conv(4, 1), x, name="dead1"), name="dead2")
    net(Flatten(), x, name="out")
    assert said(net.graph("out")) == [("unread-node", "dead1"), ("unread-node", "dead2")]
