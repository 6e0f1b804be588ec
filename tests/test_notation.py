"""The notation: what it says, what it refuses and where, and that format and parse undo each other."""

from __future__ import annotations

import math
import re
from dataclasses import MISSING, fields
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foveal import ops
from foveal.errors import FovealError, GraphError, NotationError, ShapeError
from foveal.graph import MOST_NODES, Builder, Graph, Node
from foveal.notation import format, parse
from foveal.notation.words import DEPTHWISE, JOINS, WORDS
from foveal.ops import OPS, Add, AvgPool, Concat, Conv, ConvTranspose, Dense, MaxPool, Op, Relu
from foveal.text import printable
from foveal.zoo import create_graph, list_models

PAGE = Path(__file__).resolve().parent.parent / "docs" / "notation.md"


def same_up_to_names(one: Graph, other: Graph) -> bool:
    """Whether some renaming of the nodes makes the graphs equal; inputs are ordered, so there is at most one."""
    names = {"input": "input"} | dict(zip(one.outputs, other.outputs, strict=True))
    for node in reversed(one.nodes):
        if node.name not in names or (twin := other.by_name.get(names[node.name])) is None:
            return False
        if node.op != twin.op or len(node.inputs) != len(twin.inputs) or node.weights_of or twin.weights_of:
            return False
        if any(names.setdefault(*pair) != pair[1] for pair in zip(node.inputs, twin.inputs, strict=True)):
            return False
    return one.input_shape == other.input_shape and len({*names.values()}) == len(one.nodes) + 1 == len(other.nodes) + 1


def said(text: str) -> Op:
    """The op of the last node of an 8x8x16 (or the text's own) input."""
    return parse(text if ">" in text else f"8x8x16 > {text}").nodes[-1].op


def parameters(graph: Graph) -> list[int]:
    return [
        n for node in graph.nodes if (n := sum(map(math.prod, node.op.parameters(*graph.input_shapes(node)).values())))
    ]


def test_same_up_to_names_tells_graphs_apart() -> None:
    fork = parse("8x8x3 > relu > { relu | relu } add")
    assert same_up_to_names(fork, parse("8x8x3 > relu > ({ (relu) | relu } add)"))
    net = Builder("g")
    x = net(Relu(), net.input(3, 8, 8))
    once = net(Relu(), x)
    net(Add(), once, once)
    for other in (net.graph(), parse("8x8x3 > relu > { relu | id } add"), parse("8x8x4 > relu > { relu | relu } add")):
        assert not same_up_to_names(fork, other) and not same_up_to_names(other, fork)


# --- what the lectures count -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "counts", "macs"),
    [
        ("32x32x3 > conv 1 3x3 same", [28], 27_648),
        ("32x32x3 > conv 16 3x3 same", [448], 442_368),
        ("32x32x3 > conv 10 5x5 p2", [760], 768_000),
        ("32x32x3 > conv 8 3x3 same relu > conv 16 5x5 /2 same relu > flatten > dense 512 relu > dense 4 softmax",
         [224, 3_216, 2_097_664, 2_052], 221_184 + 819_200 + 2_097_152 + 2_048),
        ("28x28x1 > conv 28 3x3 relu > maxpool 3 > flatten > dense 16 relu > dense 10", [280, 28_688, 170], None),
        ("28x28x1 > conv 28 3x3 relu > flatten > dense 16 relu > dense 10", [280, 302_864, 170], None),
        ("12x12x3 > conv 256 5x5", [19_456], 1_228_800),
        ("12x12x3 > depthwise 5x5 > conv 256 1x1", [78, 1_024], 4_800 + 49_152),
        ("12x12x3 > conv 3 5x5 depthwise > conv 256 1x1", [78, 1_024], 4_800 + 49_152),
        ("32x32x1 > conv 6 5x5 tanh > avgpool 2 > conv 16 5x5 tanh > avgpool 2 > conv 120 5x5 tanh > flatten "
         "> dense 84 tanh > dense 10", [156, 2_416, 48_120, 10_164, 850], None),
    ],
)  # fmt: skip
def test_the_lectures_networks(text: str, counts: list[int], macs: int | None) -> None:
    graph = parse(text)
    assert parameters(graph) == counts
    assert macs is None or graph.macs() == macs
    assert format(parse(format(graph))) == format(graph)


def test_totals_of_the_lectures() -> None:
    for name, total in (("counting", 2_103_156), ("pooling_max", 29_138), ("pooling_none", 303_314)):
        graph = parse(format(create_graph(f"lecture_{name}")))
        assert sum(parameters(graph)) == total


def test_vgg16_in_two_lines_has_the_published_count() -> None:
    graph = parse("""
        224x224x3 > 2 x (conv 64 3x3 same relu) maxpool 2 > 2 x (conv 128 3x3 same relu) maxpool 2
        > 3 x (conv 256 3x3 same relu) maxpool 2 > 2 x (3 x (conv 512 3x3 same relu) maxpool 2)
        > flatten > 2 x (dense 4096 relu dropout) > dense 1000
    """)
    assert sum(parameters(graph)) == 138_357_544  # Simonyan & Zisserman (2015), configuration D
    assert 15.46e9 < graph.macs() < 15.48e9


def test_resnet50_by_hand_is_the_zoos() -> None:
    def stage(times: int, width: int, stride: str) -> str:
        def body(stride: str) -> str:
            return (
                f"conv {width} 1x1 nobias bn relu > conv {width} 3x3 {stride} p1 nobias bn relu "
                f"> conv {4 * width} 1x1 nobias bn"
            )

        first = f"{{ {body(stride)} | conv {4 * width} 1x1 {stride} nobias bn }} add relu"
        return f"{first} > {times - 1} x ({{ {body('')} | id }} add relu)"

    stages = " > ".join([stage(3, 64, ""), stage(4, 128, "/2"), stage(6, 256, "/2"), stage(3, 512, "/2")])
    head = "global avgpool flatten > dense 1000"
    graph = parse(f"224x224x3 > conv 64 7x7 /2 p3 nobias bn relu > maxpool 3 /2 p1 > {stages} > {head}")
    assert sum(parameters(graph)) == 25_557_032  # torchvision's resnet50
    assert same_up_to_names(graph, create_graph("resnet50"))


# --- words -------------------------------------------------------------------------------------------------------

SAID = {
    "conv 8 3": Conv(8, 3),
    "conv 8 3x3": Conv(8, 3),
    "conv 8 3x5 /2x1 p1x2 d2 g4 nobias": Conv(8, (3, 5), (2, 1), (1, 2), 2, 4, False),
    "conv 8 3 same": Conv(8, 3, padding="same"),
    "conv 8 3 valid": Conv(8, 3),
    "conv 8 3 p1x1": Conv(8, 3, padding=1),
    "conv 8 3 p1+2x0": Conv(8, 3, padding=((1, 2), (0, 0))),
    "conv 8 3 p1+2x1+2": Conv(8, 3, padding=((1, 2), (1, 2))),
    "conv 32 3 depthwise": Conv(32, 3, groups=16),
    "depthwise 3": Conv(16, 3, groups=16),
    "conv depthwise 3 same": Conv(16, 3, padding="same", groups=16),
    "depthwise 32 3x3 /2 nobias": Conv(32, 3, 2, groups=16, bias=False),
    "deconv 64 4x4 /2 p1 o1 d2 g2 nobias": ConvTranspose(64, 4, 2, 1, 1, 2, 2, False),
    "deconv 4 4 /2 o0x1": ConvTranspose(4, 4, 2, 0, (0, 1)),
    "64 > dense 10 nobias": Dense(10, False),
    "64 > rbf 10": ops.Rbf(10),
    "scale bias": ops.Scale(True),
    "bn eps=0.001 momentum=0.01 noaffine": ops.BatchNorm(1e-3, 0.01, False),
    "layernorm eps=1e-06 noaffine": ops.LayerNorm(1e-6, False),
    "groupnorm 8 eps=.5 noaffine": ops.GroupNorm(8, 0.5, False),
    "lrn": ops.LocalResponseNorm(5),
    "lrn 3 alpha=0.0005 beta=1 k=2": ops.LocalResponseNorm(3, 5e-4, 1.0, 2.0),
    "factor -0.17": ops.Factor(-0.17),
    "factor 2": ops.Factor(2.0),
    "factor -1e-05": ops.Factor(-1e-5),
    "leaky 0.2": ops.LeakyRelu(0.2),
    "elu 2": ops.Elu(2.0),
    "gelu approximate": ops.Gelu(True),
    "dropout 0.25": ops.Dropout(0.25),
    "maxpool 3x2 /2 p1 ceil": MaxPool((3, 2), 2, 1, True),
    "maxpool 2": MaxPool(2),
    "maxpool 2 d3": MaxPool(2, dilation=3),
    "avgpool 3 /2 p1 d2x1 countpad ceil": AvgPool(3, 2, 1, True, True, (2, 1)),
    "lppool 3 /2 p1 d2 p=3 ceil": ops.LpPool(3, 2, 1, 3.0, True, 2),
    "lppool 2": ops.LpPool(2),
    "maxout 2": ops.Maxout(2),
    "medianpool 3 /2": ops.MedianPool(3, 2),
    "global avgpool": ops.GlobalAvgPool(),
    "global   maxpool": ops.GlobalMaxPool(),
    "adaptive avgpool 6x5": ops.AdaptiveAvgPool((6, 5)),
    "reshape 4x16x16": ops.Reshape((16, 4, 16)),
    "pad 1+2x0": ops.Pad(((1, 2), (0, 0))),
    "pad 1": ops.Pad(1),
    "padchannels 8+0": ops.PadChannels(8, 0),
    "slice 2:9": ops.Slice(2, 9),
    "slice 0:8:2 axis=1": ops.Slice(0, 8, 2, 1),
    "slice 1:9:3": ops.Slice(1, 9, 3),
    "shuffle 4": ops.ChannelShuffle(4),
    "pixelshuffle 2": ops.PixelShuffle(2),
    "upsample 2x3 linear": ops.Upsample((2, 3), "linear"),
    "{ id | relu } add": Add(),
    "{ id | relu } concat": Concat(),
    "{ id | global avgpool } multiply": ops.Multiply(),
}
SAID |= {
    word: getattr(ops, name)()
    for word, name in {
        "flatten": "Flatten", "identity": "Identity", "relu": "Relu", "relu6": "Relu6", "prelu": "PRelu",
        "selu": "Selu", "silu": "Silu", "mish": "Mish", "softplus": "Softplus", "hardsigmoid": "Hardsigmoid",
        "hardswish": "Hardswish", "sigmoid": "Sigmoid", "tanh": "Tanh", "softmax": "Softmax",
        "logsoftmax": "LogSoftmax",
        "offset": "Offset",
    }.items()
}  # fmt: skip


@pytest.mark.parametrize("text", SAID)
def test_what_a_word_says(text: str) -> None:
    assert said(text) == SAID[text]
    graph = parse(text if text.startswith("64") else f"8x8x16 > {text}")
    assert same_up_to_names(parse(format(graph)), graph)


def test_every_field_of_every_op_is_said() -> None:
    """Each with a value that is not its default, in the table above."""
    for name, op in OPS.items():
        if name == "Opaque":
            continue
        examples = [one for one in SAID.values() if type(one) is op]
        assert examples, f"no word says {name}"
        for field in fields(op):
            changed = field.default is MISSING or any(getattr(one, field.name) != field.default for one in examples)
            assert changed, f"{name}.{field.name} is not said"


def test_words_and_options_cannot_be_confused() -> None:
    options = {literal for word in WORDS.values() for one in word.arguments for literal in one.literals}
    assert {"same", "nobias", "ceil", "linear"} <= options
    assert not options & (WORDS.keys() | JOINS.keys() | {"id"})


def test_the_pages_table_has_every_word() -> None:
    rows = re.findall(r"^\| `([a-z0-9 ]+?)(?: [A-Z\[|][^`]*)?` \|", PAGE.read_text("utf-8"), re.MULTILINE)
    assert sorted(rows) == sorted([*WORDS, DEPTHWISE])


@pytest.mark.parametrize(
    ("shape", "read"),
    [("784", (784,)), ("100x4", (4, 100)), ("32x24x3", (3, 32, 24)), ("8 × 32 X 24x3", (3, 8, 32, 24))],
)
def test_the_input_has_its_channels_last(shape: str, read: tuple[int, ...]) -> None:
    assert parse(f"{shape} > relu").input_shape == read


def test_one_and_three_dimensional_networks() -> None:
    assert parse("100x4 > conv 8 3 /2 same > maxpool 2 > depthwise 3").shapes["depthwise1"] == (8, 23)
    volume = parse("8x16x16x1 > conv 4 3x3x3 same > conv 4 1x3x3")
    assert [node.op for node in volume.nodes] == [Conv(4, 3, padding="same"), Conv(4, (1, 3, 3))]
    assert format(volume) == "8x16x16x1 > conv 4 3x3x3 same > conv 4 1x3x3"


def test_case_line_breaks_comments_and_typeset_signs_do_not_matter() -> None:
    plain = "32x32x3 > conv 8 3x3 same relu > 2 x (conv 8 3x3 same bn relu) > global avgpool"
    typeset = """# a small network
        32×32×3 → Conv 8 3 × 3 SAME ReLU   # the stem
        → 2 ×(conv 8 3 same BN relu)
        Global
        AvgPool"""
    assert parse(typeset) == parse(plain)


# --- names -------------------------------------------------------------------------------------------------------


def test_names_count_within_each_block_and_branch() -> None:
    graph = parse("8x8x4 > conv 4 1 relu > 2 x (conv 4 1 { conv 4 1 | id } add) > { id | 1 x (relu) } add relu")
    assert [node.name for node in graph.nodes] == [
        "conv1", "relu1", "block1.conv1", "block1.branch1.conv1", "block1.add1", "block2.conv1", "block2.branch1.conv1",
        "block2.add1", "branch2.block1.relu1", "add1", "relu2",
    ]  # fmt: skip
    assert (graph.name, parse("8 > relu", "mine").name) == ("network", "mine")


def test_the_deepest_nesting_makes_names_that_graphs_take() -> None:
    text = "relu"
    for _ in range(7):
        text = f"2 x ({{ {text} | id }} add)"
    graph = parse(f"4x4x2 > {{ {text} | id }} add")
    assert max(node.name.count(".") for node in graph.nodes) == 15
    assert same_up_to_names(parse(format(graph)), graph)


# --- what is refused ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "column 1: read the end, expected the input's size, such as 32x32x3"),
        ("conv 8 3x3", "column 1: read 'conv', expected the input's size"),
        ("0x32x3 > relu", "column 1: read '0x32x3', expected sizes of at least 1"),
        ("1x2x3x4x5 > relu", "column 1: read '1x2x3x4x5', expected the input's size"),
        ("8x8x3 relu", "column 7: read 'relu', expected '>'"),
        ("8x8x3", "column 6: read the end, expected '>'"),
        ("8x8x3 >", "column 8: read the end, expected a layer\n"),
        ("8x8x3 > relu > > relu", "column 16: read '>', expected a layer\n"),
        ("8x8x3 > relu   convv 8", "column 16: read 'convv', expected a layer (did you mean conv?) or '>'\n"),
        ("8x8x3 > conv 8 3x3 sme", "column 20: read 'sme', expected an option of conv (did you mean same?), a layer"),
        ("8x8x3 > conv 8 3x3 3", "column 20: read '3', expected a layer or '>'"),
        ("8x8x3 > conv 8 3 same valid",
         "column 23: read 'valid', expected a layer (conv has that option already) or '>'"),
        ("8x8x3 > 2 x (conv 3 1) sme", "column 24: read 'sme', expected a layer or '>'"),
        ("8x8x3 > conv 8 3 same p1", "column 23: read 'p1', expected a layer or '>'"),
        ("8x8x3 > conv 3x3 relu", "column 18: read 'relu', expected the number of filters, such as 8, after conv"),
        ("8x8x3 > conv 8 relu", "column 16: read 'relu', expected the kernel's size, such as 3x3, after conv"),
        ("8x8x3 > depthwise", "column 18: read the end, expected the kernel's size, such as 3x3, after depthwise"),
        ("8x8x3 > global relu", "column 9: read 'global relu', expected a layer"),
        ("8x8x3 > (relu", "column 14: read the end, expected a layer, '>' or ')'"),
        ("8x8x3 > relu)", "column 13: read ')', expected a layer or '>'"),
        ("8x8x3 > ()", "column 10: read ')', expected a layer\n"),
        ("8x8x3 > 0 x (relu)", "column 9: read '0x(', expected a number of times of at least 1"),
        ("8x8x3 > {}", "column 10: read '}', expected a layer\n"),
        ("8x8x3 > { relu | relu", "column 22: read the end, expected a layer, '>', '|' or '}'"),
        ("8x8x3 > { relu | id } relu", "column 23: read 'relu', expected add, concat or multiply, which joins"),
        ("8x8x3 > { id relu | relu } add", "column 14: read 'relu', expected '|' or '}', for id is a whole branch"),
        ("8x8x3 > relu id", "column 14: read 'id', expected a layer (id is a whole branch, as in { a | id } add)"),
        ("8x8x3 > relu add", "column 14: read 'add', expected a layer (add stands after { a | b }) or '>'"),
        ("8x8x3 > conv 0 3", "column 9: Conv.out_channels = 0; expected a whole number of at least 1"),
        ("8x8x3 > dropout 1.5", "column 9: Dropout.p = 1.5; expected a number from 0"),
        ("8x8x3 > factor", "column 15: read the end, expected the factor, such as 0.17, after factor"),
        ("8x8x3 > padchannels 8", "column 21: read '8', expected how many channels, such as 8+8, after padchannels"),
        ("8x8x3 > elu 1e999", "column 9: Elu.alpha = inf; expected a number"),
        ("8x8x3 > conv 1000000000001 3", "column 14: read '1000000000001', expected numbers up to 1,000,000,000,000"),
        ("8x8x3 > conv 8 p99999999999999999999", "column 16: read 'p99999999999999999999', expected numbers up to"),
        ("8x8x3 > 1000 x (101 x (relu))", "column 9: read '1000x(', expected at most 100,000 layers and"),
        ("8x8x3 > \x1b[31m", r"column 9: read '\x1b[31m', expected a layer"),
        ("8x8x3\n# one\n > relu\n > relo", "line 4, column 4: read 'relo', expected a layer (did you mean relu?)"),
    ],
)  # fmt: skip
def test_a_text_that_is_no_network_is_refused_at_its_column(text: str, message: str) -> None:
    with pytest.raises(NotationError) as caught:
        parse(text)
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("8x8x3 > conv 8 3x3 > conv 8 9x9", "column 22: conv2: a kernel of 9 does not fit an input of 6"),
        ("8x8x3 > { conv 3 3x3 | id } add", "column 9: add1: Add needs equal shapes, not 6x6x3 and 8x8x3"),
        ("8x8x3 > 2 x (maxpool 2 > dense 3)", "column 26: block1.dense1: Dense takes a flat input"),
        ("8x8x3 > conv 8 3x3x3", "column 9: conv1: (3, 3, 3) has 3 numbers, but the input has 2 spatial axes"),
        ("100x3 > conv 8 3x3", "column 9: conv1: (3, 3) has 2 numbers, but the input has 1 spatial axes"),
        ("100x3 > conv 8 3 p1x1", "column 9: conv1: padding (1, 1) is for 2 axes"),
        ("8 > conv 8 3", "column 5: conv1: Conv takes a map"),
        ("8x8x3 > conv 8 3 g2", "column 9: conv1: 3 input channels do not divide into 2 groups"),
        ("8x8x3 > 50 x ({ id | id } concat)", "column 15: block39.concat1: an output of"),
        ("8x8x3\n > relu\n > dense 3", "line 3, column 4: dense1: Dense takes a flat input"),
    ],
)
def test_a_layer_that_does_not_fit_is_pointed_at(text: str, message: str) -> None:
    with pytest.raises(ShapeError) as caught:
        parse(text)
    assert str(caught.value).startswith(message)


def test_an_error_shows_the_line_with_a_caret() -> None:
    with pytest.raises(NotationError) as caught:
        parse("8x8x3 > relu   convv 8")
    assert str(caught.value).splitlines()[1:] == ["  8x8x3 > relu   convv 8", "                 ^"]
    with pytest.raises(NotationError) as caught:
        parse("8x8x3 > " + "relu " * 1000 + "\tconvv" + " relu" * 1000)
    line, caret = str(caught.value).splitlines()[1:]
    assert line[caret.index("^") :].startswith("convv relu") and len(line) < 140


def test_a_text_too_long_or_too_deep_is_refused() -> None:
    with pytest.raises(NotationError, match="10,000,001 characters; a network has at most 10,000,000"):
        parse(" " * 10_000_001)
    for sign, most in (("(", 7), ("{", 8), ("2 x (", 7)):
        with pytest.raises(NotationError, match=f"expected at most {most} .* inside one another"):
            parse("8x8x3 > " + sign * 100_000)
    with pytest.raises(NotationError, match="at most 100,000 layers and branches"):
        parse("8x8x3 > 10 x ({ " + "id | " * 10_000 + "id } add)")
    with pytest.raises(GraphError, match="cannot name a network"):
        parse("8 > relu", "rm -rf")


def test_the_largest_network_can_be_read() -> None:
    assert len(parse(f"8 > {MOST_NODES} x (relu)").nodes) == MOST_NODES


# --- format ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "shortest"),
    [
        ("8x8x4 > conv 4 3 same > relu > bn > maxpool 2", "8x8x4 > conv 4 3x3 same relu bn > maxpool 2"),
        ("8x8x4 > relu > conv 4 1", "8x8x4 > relu > conv 4 1x1"),
        ("8x8x4 > conv 4 1 > conv 4 1 > conv 4 1", "8x8x4 > 3 x (conv 4 1x1)"),
        ("8x8x4 > 3 x (2 x (conv 4 1 bn) conv 4 3 same)", "8x8x4 > 3 x (2 x (conv 4 1x1 bn) > conv 4 3x3 same)"),
        ("8x8x4 > 2 x ({ 2 x (conv 4 1) | id } add relu)", "8x8x4 > 2 x ({ 2 x (conv 4 1x1) | id } add relu)"),
        ("8x8x4 > { id } concat > { relu } concat", "8x8x4 > { id } concat relu > { id } concat"),
        ("8x8x4 > conv 4 3x3 /1 d1 g1", "8x8x4 > conv 4 3x3"),
        ("8x8x1 > conv 1 3 depthwise", "8x8x1 > conv 1 3x3"),
        ("8x8x4 > depthwise 4 3", "8x8x4 > depthwise 3x3"),
        ("8x8x4 > { id | global avgpool > conv 1 1x1 relu > conv 4 1x1 sigmoid } multiply",
         "8x8x4 > { id | global avgpool > conv 1 1x1 relu > conv 4 1x1 sigmoid } multiply"),
    ],
)  # fmt: skip
def test_format_is_as_short_as_can_be(text: str, shortest: str) -> None:
    assert format(parse(text)) == shortest


@pytest.mark.parametrize("name", list_models())
def test_the_zoo_can_be_said(name: str) -> None:
    unsaid = {
        "googlenet_paper_aux": "aux1.dense2 cannot be said in the notation: a network has one output",
        "googlenet_aux": "aux1.dense2 cannot be said in the notation: a network has one output",
        "inception_v3_aux": "aux.dense cannot be said in the notation: a network has one output",
        "lenet5_paper": "c3.map1 cannot be said in the notation: the paths from it do not meet in one",
    }
    graph = create_graph(name)
    if name in unsaid:
        with pytest.raises(GraphError, match=re.escape(unsaid[name])):
            format(graph)
    else:
        assert same_up_to_names(parse(format(graph)), graph)


def test_a_size_for_each_axis_that_is_the_same_comes_back_as_one_number() -> None:
    """PyTorch's modules hold (3, 3) where 3 was meant."""
    net = Builder("g")
    x = net(Conv(8, (3, 3), (2, 2), ((1, 1), (1, 1)), (1, 1)), net.input(4, 9, 9))
    net(MaxPool((2, 2), (1, 1), ((0, 0), (0, 0))), x)
    text = "9x9x4 > conv 8 3x3 /2 p1 > maxpool 2 /1"
    assert format(net.graph()) == text
    assert [node.op for node in parse(text).nodes] == [Conv(8, 3, 2, 1), MaxPool(2, 1)]


def refused(*nodes: Node, outputs: tuple[str, ...] = ()) -> str:
    with pytest.raises(GraphError) as caught:
        format(Graph("g", (4, 8, 8), nodes, outputs or (nodes[-1].name,)))
    return str(caught.value)


def test_what_cannot_be_said_is_refused_by_name() -> None:
    a, b = Node("a", Conv(4, 1), ("input",)), Node("b", Conv(4, 1), ("a",))
    said = "cannot be said in the notation:"
    assert refused(a, Node("odd", ops.Opaque("x", (4, 8, 8)), ("a",))) == f"odd {said} there is no word for Opaque"
    assert refused(a, Node("twin", Conv(4, 1), ("a",), "a")) == f"twin {said} it shares the weights of a"
    assert refused(a, b, outputs=("b", "a")) == f"a {said} a network has one output, its last step"
    assert refused(a, outputs=("input",)).startswith(f"input {said} a network has one output")
    assert refused(a, b, outputs=("a",)) == f"b {said} no path leads from it to the output"
    inside = Node("c", Add(), ("a", "b"))
    crossing = Node("d", Add(), ("c", "b"))
    assert refused(a, b, inside, crossing) == f"b {said} the paths from it do not meet in one add, concat or multiply"
    nodes, last = [], "input"
    for i in range(9):
        nodes += [Node(f"r{i}", Relu(), (last,)), Node(f"s{i}", Add(), (f"r{i}", "input"))]
        last = f"s{i}"
    assert refused(*nodes) == f"s8 {said} more than 8 branches are nested here"


# --- fuzz --------------------------------------------------------------------------------------------------------

LAYERS = [text for text in SAID if not text.startswith(("64", "{"))] + ["dense 8", "conv 16 1", "maxpool 2 /1"]
CHAINS = st.recursive(
    st.sampled_from([*LAYERS, "relu", "bn", "conv 16 3x3 same", "conv 16 3 same relu"]),
    lambda inner: st.one_of(
        st.lists(inner, min_size=1, max_size=4).map(" > ".join),
        inner.map("{} bn relu".format),
        st.builds("{} x ({})".format, st.integers(1, 3), inner),
        st.builds(
            lambda branches, join: f"{{ {' | '.join(branches)} }} {join}",
            st.lists(inner | st.just("id"), min_size=1, max_size=3),
            st.sampled_from(sorted(JOINS)),
        ),
    ),
    max_leaves=12,
)
SHAPES = st.sampled_from(["8x8x16", "16x16", "4x4x4x16", "64"])


@settings(max_examples=400, deadline=None)
@given(shape=SHAPES, chain=CHAINS)
def test_a_text_of_the_grammar_gives_a_graph_that_format_says_or_a_shape_error(shape: str, chain: str) -> None:
    try:
        graph = parse(f"{shape} > {chain}")
    except ShapeError:
        return
    text = format(graph)
    again = parse(text)
    assert same_up_to_names(again, graph)
    assert format(again) == text


@settings(max_examples=400, deadline=None)
@given(wiring=st.lists(st.lists(st.integers(1, 4), min_size=1, max_size=3), min_size=1, max_size=10))
def test_any_wiring_is_said_exactly_or_refused(wiring: list[list[int]]) -> None:
    """Each node reads those so many places before it."""
    net = Builder("g")
    names = [net.input(2, 4, 4)]
    for back in wiring:
        inputs = [names[max(len(names) - n, 0)] for n in back]
        names.append(net(Relu() if len(inputs) == 1 else Add(), *inputs))
    graph = net.graph()
    try:
        text = format(graph)
    except GraphError as error:
        assert str(error).partition(" ")[0] in graph.by_name
        return
    assert same_up_to_names(parse(text), graph)


FRAGMENTS = st.sampled_from(
    [
        *WORDS, *JOINS, "id", "depthwise", "same", "p1", "/2", "d2", "g4", "3", "3x3", "2 x (", "(", ")", "{", "|", "}",
        ">", "→", "×", "#", "\n", "eps=0.1", "0.5", "0:4", "p1+2x0", "8x8x4", "10" * 9, "1e9", "\x00", "\ud800", "²",
        "İ",
    ]
)  # fmt: skip


@settings(max_examples=400, deadline=None)
@given(text=st.text() | st.lists(FRAGMENTS).map(" ".join) | st.lists(FRAGMENTS).map(lambda x: "8x8x4 > " + "".join(x)))
def test_any_text_gives_a_graph_or_our_error(text: str) -> None:
    try:
        graph = parse(text)
    except FovealError as error:
        assert all(printable(line, limit=10_000) == line for line in str(error).split("\n"))
        return
    assert same_up_to_names(parse(format(graph)), graph)
