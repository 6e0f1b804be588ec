"""Written PyTorch code against `build`, by name and by number. Oracles: PyTorch running both; Ruff on the text."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest
import torch
from written import difference, random_graph, ruff, smallest, state, written

from foveal import ops
from foveal.errors import GraphError, UnknownName
from foveal.graph import Builder, Graph, Node
from foveal.ops import OPS, Op
from foveal.shapes import Shape
from foveal.source import write_code
from foveal.tracing.modules import trace
from foveal.zoo import create_graph, list_models

MAP = ((4, 9, 8),)
CASES: list[tuple[Op, tuple[Shape, ...]]] = [
    (ops.Conv(8, 3), MAP),
    (ops.Conv(8, (3, 5), (2, 1), (1, 2), (1, 2), 2, bias=False), MAP),
    (ops.Conv(4, 5, 2, "same", groups=4), MAP),
    (ops.Conv(6, 4, padding="same"), MAP),
    (ops.Conv(6, 3, padding="same", dilation=2), MAP),
    (ops.Conv(6, 1, 2, "same"), MAP),
    (ops.Conv(6, 3, padding=((0, 2), (1, 0))), MAP),
    (ops.Conv(6, 3, 2, "same"), ((2, 9),)),
    (ops.Conv(6, 2, padding=((1, 0), (0, 1), (1, 1))), ((2, 4, 5, 6),)),
    (ops.ConvTranspose(6, 4, 2, 1), MAP),
    (ops.ConvTranspose(6, 3, 2, 1, output_padding=1, groups=2, dilation=2, bias=False), MAP),
    (ops.ConvTranspose(6, 3, 2, "same"), MAP),
    (ops.ConvTranspose(6, (2, 3), (3, 2), ((0, 1), (1, 2)), (1, 0)), MAP),
    (ops.ConvTranspose(3, 3, 2, "same"), ((2, 9),)),
    (ops.Dense(7), ((12,),)),
    (ops.Dense(3, bias=False), ((5,),)),
    *((ops.Scale(bias), shapes) for bias in (False, True) for shapes in (MAP, ((5,),))),
    *((ops.Offset(), shapes) for shapes in (MAP, ((5,),))),
    (ops.Rbf(3), ((5,),)),
    *((ops.BatchNorm(1e-3, 0.2, affine), shapes) for affine in (False, True) for shapes in (MAP, ((6,),), ((3, 7),))),
    *((ops.LayerNorm(1e-6, affine), shapes) for affine in (False, True) for shapes in (MAP, ((6,),))),
    (ops.GroupNorm(2), MAP),
    (ops.GroupNorm(4, affine=False), MAP),
    (ops.LocalResponseNorm(3, 2e-4, 0.5, 2), MAP),
    *((op, MAP) for op in (ops.Relu(), ops.Relu6(), ops.LeakyRelu(0.2), ops.PRelu(), ops.Elu(0.5), ops.Selu())),
    *((op, MAP) for op in (ops.Gelu(), ops.Gelu(True), ops.Silu(), ops.Mish(), ops.Softplus(), ops.Hardsigmoid())),
    *((op, MAP) for op in (ops.Hardswish(), ops.Sigmoid(), ops.Tanh(), ops.Softmax(), ops.Identity(), ops.Dropout())),
    (ops.Factor(0.17), MAP),
    (ops.Factor(-1), ((5,),)),
    (ops.Softmax(), ((5,),)),
    (ops.MaxPool(2), MAP),
    (ops.MaxPool(3, 2, 1, ceil_mode=True), MAP),
    (ops.MaxPool(3, 1, "same"), MAP),
    (ops.MaxPool(3, 2, "same"), MAP),
    (ops.MaxPool((2, 3), 2, ((1, 0), (0, 2)), ceil_mode=True), MAP),
    (ops.MaxPool(3, 2, 2), ((2, 11),)),
    (ops.AvgPool(2), MAP),
    (ops.AvgPool(3, 2, 1, ceil_mode=True), MAP),
    (ops.AvgPool(3, 2, 1, count_padding=True, ceil_mode=True), MAP),
    (ops.AvgPool(3, 2, "same"), MAP),
    (ops.AvgPool(4, 3, ((0, 2), (1, 0)), count_padding=True, ceil_mode=True), MAP),
    (ops.AvgPool(4, 3, ((0, 2), (1, 0)), ceil_mode=True), MAP),
    (ops.MaxPool(2, 1, dilation=(1, 3)), MAP),
    (ops.MaxPool(3, 2, 2, dilation=2), MAP),
    (ops.AvgPool(2, 1, dilation=3), MAP),
    (ops.AvgPool((3, 2), 2, ((1, 0), (0, 2)), count_padding=True, ceil_mode=True, dilation=2), MAP),
    (ops.LpPool(2), MAP),
    (ops.LpPool(3, 2, ((0, 1), (1, 0)), 3, dilation=(1, 2)), MAP),
    (ops.LpPool(2, 3, ceil_mode=True), ((2, 10),)),
    (ops.Maxout(2), MAP),
    (ops.Maxout(3), ((6,),)),
    (ops.LogSoftmax(), MAP),
    (ops.MedianPool(3, 2), MAP),
    (ops.MedianPool((2, 3)), MAP),
    (ops.GlobalAvgPool(), MAP),
    (ops.GlobalMaxPool(), ((4, 7),)),
    (ops.AdaptiveAvgPool((4, 3)), MAP),
    (ops.AdaptiveAvgPool(3), MAP),
    (ops.Flatten(), MAP),
    (ops.Reshape((8, 3, 12)), MAP),
    (ops.Reshape((2, 2, 3)), ((12,),)),
    (ops.Pad(2), MAP),
    (ops.Pad(((1, 0), (0, 2))), MAP),
    (ops.PadChannels(2, 1), MAP),
    (ops.PadChannels(0, 3), ((2, 9),)),
    (ops.Slice(1, 4, 2), MAP),
    (ops.Slice(2, 7, 1, 2), MAP),
    (ops.ChannelShuffle(2), MAP),
    (ops.PixelShuffle(2), MAP),
    *((ops.Upsample((2, 3), mode), MAP) for mode in ("nearest", "linear")),
    (ops.Upsample(2, "linear"), ((3, 5),)),
    (ops.Add(), (*MAP, *MAP, *MAP)),
    (ops.Multiply(), (*MAP, (4, 1, 1))),
    (ops.Concat(), (*MAP, (2, 9, 8))),
]  # fmt: skip


def lonely(op: Op, shapes: tuple[Shape, ...]) -> Graph:
    """`op` on values of `shapes`, cut or convolved from one input."""
    net = Builder("lonely")
    x = net.input(*shapes[0])
    inputs = [x]
    for shape in shapes[1:]:
        y = net(ops.GlobalAvgPool(), x) if shape[1:] == (1, 1) else x
        inputs.append(net(ops.Conv(shape[0], 1), y))
    net(op, *inputs, name="op")
    return net.graph()


def test_every_op_has_a_case() -> None:
    assert {type(op).__name__ for op, _ in CASES} == OPS.keys() - {"Opaque"}


@pytest.mark.parametrize(("op", "shapes"), CASES, ids=str)
def test_an_op_computes_what_build_computes(op: Op, shapes: tuple[Shape, ...]) -> None:
    assert difference(lonely(op, shapes)) < 1e-5


@pytest.mark.parametrize("name", list_models())
def test_a_network_computes_what_build_computes(name: str) -> None:
    graph = create_graph(name)
    assert difference(graph, smallest(graph)) < 1e-5


@pytest.mark.parametrize("seed", range(60))
def test_random_names_and_wiring(seed: int) -> None:
    assert difference(random_graph(seed)) < 1e-4


@pytest.mark.parametrize("framework", ["torch", "keras"])
def test_a_formatter_leaves_the_text_alone_and_a_linter_has_no_complaint(framework: str, tmp_path: Path) -> None:
    graphs = [create_graph(name) for name in list_models()]
    graphs += [Graph(f"{graph.name}{i}", graph.input_shape, graph.nodes, graph.outputs)
               for i, graph in enumerate(lonely(op, shapes) for op, shapes in CASES)]  # fmt: skip
    graphs += [Graph(f"random{seed}", (4, 3, 3), random_graph(seed).nodes, random_graph(seed).outputs)
               for seed in range(60 if framework == "torch" else 0)]  # fmt: skip
    for graph in graphs:
        try:
            text = write_code(graph, framework)
        except GraphError:
            assert framework == "keras"
            continue
        (tmp_path / f"{graph.name}.py").write_text(text, "utf-8")
        assert max(map(len, text.splitlines())) <= 100 and "foveal" not in text
    assert len(list(tmp_path.iterdir())) > 60
    assert ruff("format", "--check", "--diff", tmp_path) == ""
    assert ruff("format", "--check", "--diff", "--line-length", "100", tmp_path) == ""
    assert ruff("check", "--select", "E,F,I,UP,PIE,RET,SIM,C4", "--line-length", "100", tmp_path) == ""


def test_a_small_network_reads_well() -> None:
    net = Builder("tiny_resnet")
    x = net.input(3, 32, 32)
    for i, stride in enumerate((1, 2, 2), start=1):
        with net.scope(f"block{i}"):
            y = net(ops.Relu(), net(ops.Conv(8 * i, 3, stride, 1), x, name="conv1"), name="relu1")
            y = net(ops.Conv(8 * i, 3, 1, 1), y, name="conv2")
            x = net(ops.Relu(), net(ops.Add(), y, net(ops.Conv(8 * i, 1, stride), x, name="shortcut")), name="relu2")
    net(ops.Dense(10), net(ops.Flatten(), net(ops.GlobalAvgPool(), x, name="pool")))
    assert write_code(net.graph()).split("\n\n\n")[1:3] == [
        """class BasicBlock(nn.Module):
    def __init__(self, in_channels: int, out_channels: int, stride: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, stride=stride, padding=1)
        self.relu1 = nn.ReLU()
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1)
        self.shortcut = nn.Conv2d(in_channels, out_channels, 1, stride=stride)
        self.relu2 = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        y = self.relu1(self.conv1(x))
        return self.relu2(self.conv2(y) + self.shortcut(x))""",
        """class TinyResnet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.block1 = BasicBlock(3, 8)
        self.block2 = BasicBlock(8, 16, stride=2)
        self.block3 = BasicBlock(16, 24, stride=2)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.flatten = nn.Flatten()
        self.dense = nn.Linear(24, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.block1(x)
        x = self.block2(x)
        x = self.block3(x)
        x = self.pool(x)
        x = self.flatten(x)
        return self.dense(x)""",
    ]


@pytest.mark.parametrize(
    ("name", "most", "said"),
    [
        ("resnet152", 115, "self.stage3 = stage(512, 1024, depth=36, stride=2)"),
        ("googlenet", 130, "block1=Inception(192, 64, 96, 128, 16, 32, 32),"),
        ("vgg16", 75, "self.stage5 = stage(512, 512, depth=3)"),
        ("densenet264", 100, '        layers[f"layer{i}"] = Layer(in_channels + 32 * (i - 1))'),
        ("mobilenet_v2", 145, "class InvertedResidual(nn.Module):"),
        ("efficientnet_lite0", 170, 'class SameConv2d(nn.Conv2d):\n    """Pads'),
    ],
)
def test_blocks_that_repeat_are_said_once(name: str, most: int, said: str) -> None:
    text = write_code(create_graph(name))
    assert said in text and len(text.splitlines()) <= most


def test_a_factor_stands_in_its_sum() -> None:
    net = Builder("scaled")
    x = net.input(3, 8, 8)
    y = net(ops.Factor(0.17), net(ops.Conv(3, 1), x, name="conv"))
    z = net(ops.Relu(), net(ops.Factor(-2), net(ops.Add(), x, y), name="doubled"))
    net(ops.Multiply(), z, net(ops.Factor(3), z, name="tripled"))
    assert difference(net.graph()) < 1e-6
    body = write_code(net.graph()).partition("Tensor:\n")[2].partition("\n\n")[0]
    assert [line.strip() for line in body.splitlines()] == [
        "y = self.conv(x)",
        "y = x + y * 0.17",
        "y = self.relu(y * -2.0)",
        "return y * (y * 3.0)",
    ]


@pytest.mark.parametrize(
    ("op", "shape"),
    [(ops.Factor(-0.3), (3, 5, 4)), (ops.Offset(), (3, 5, 4)), (ops.Rbf(4), (6,)), (ops.PadChannels(2, 1), (3, 5, 4))],
    ids=str,
)
def test_arithmetic_traces_back_to_the_op(op: Op, shape: Shape) -> None:
    graph = lonely(op, (shape,))
    traced = trace(written(graph), shape)
    assert [node.op for node in traced.graph.nodes] == [op]
    assert traced.graph.parameters() == graph.parameters()
    assert traced.graph.buffers() == graph.buffers()


def test_an_optional_step_with_a_zero_among_its_numbers_has_a_switch_beside_them() -> None:
    net = Builder("padded")
    x, channels = net.input(4, 6, 6), 4
    for i, after in enumerate((4, 0, None, 2), start=1):
        with net.scope(f"stage.block{i}"):
            shortcut = x if after is None else net(ops.PadChannels(0, after), x, name="shortcut")
            channels += after or 0
            x = net(ops.Add(), shortcut, net(ops.Relu(), net(ops.Conv(channels, 1), x)))
    assert difference(net.graph()) < 1e-6


def test_the_file_runs_by_itself(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "lenet5.py").write_text(write_code(create_graph("lenet5")), "utf-8")
    runpy.run_path(str(tmp_path / "lenet5.py"), run_name="__main__")
    assert capsys.readouterr().out == "(1, 10)\n61,706 parameters\n"


def test_names_of_other_libraries_work() -> None:
    """Digits, a container's methods, what the code itself uses, and a network called like a class it needs."""
    nodes, x = [], "input"
    for name in ("features.0", "features.3", "features.append.0", "x", "print", "torch", "values.pop", "_"):
        nodes.append(Node(name, ops.Conv(3, 1), (x,)))
        x = name
    for network in ("Tensor", "nn", "super", "ordered_dict", "a.b", "_", "9"):
        assert difference(Graph(network, (3, 4, 4), tuple(nodes), (x,))) < 1e-5


def test_shared_weights_are_one_layer() -> None:
    net = Builder("shared")
    x = net(ops.Conv(3, 3, padding=1), net.input(3, 8, 8), name="a.conv")
    x = net(ops.Conv(3, 3, padding=1), net(ops.Relu(), x, name="a.relu"), name="b.again", weights_of="a.conv")
    assert difference(net.graph()) < 1e-5
    assert write_code(net.graph()).count("nn.Conv2d(") == 1


def test_what_nothing_reads_keeps_its_weights() -> None:
    net = Builder("dead")
    x = net.input(3, 8, 8)
    y = net(ops.Conv(2, 1), x, name="a.used")
    net(ops.Conv(5, 1), x, name="a.unused")
    graph = net.graph(y)
    assert difference(graph) < 1e-5
    assert "a.unused.weight" in state(written(graph))


def test_the_input_may_be_an_output() -> None:
    graph = Graph("mirror", (2, 3, 3), (Node("relu", ops.Relu(), ("input",)),), ("relu", "input"))
    assert difference(graph) == 0


@pytest.mark.parametrize("framework", ["torch", "keras"])
def test_an_opaque_step_is_refused_by_name(framework: str) -> None:
    net = Builder("traced")
    net(ops.Opaque("__import__('os')", (4,)), net.input(3, 8, 8), name="layer1.sort")
    with pytest.raises(GraphError, match=r"^layer1\.sort: a traced step that was not recovered cannot be written"):
        write_code(net.graph(), framework)


def test_an_unknown_framework_is_refused() -> None:
    with pytest.raises(UnknownName, match="unknown framework 'kerras'; did you mean keras"):
        write_code(create_graph("lenet5"), "kerras")


def test_a_dictionary_of_layers_refuses_its_methods_names() -> None:
    net = Builder("clash")
    x = net(ops.Conv(2, 1), net.input(2, 4, 4), name="a.keys")
    y = net(ops.Conv(2, 1), x, name="a.other")
    with pytest.raises(GraphError, match=r"^a\.keys: 'keys' cannot name a layer of nn\.ModuleDict; rename it"):
        write_code(net.graph(x, y))


def test_other_sizes_run_too() -> None:
    """The file says where its numbers are for one input size only; SAME convolutions follow the size by themselves."""
    net = Builder("same")
    net(ops.Conv(4, 3, 2, "same"), net(ops.Conv(4, 3, 2, "same"), net.input(3, 17, 16)))
    assert "for this input size" not in write_code(net.graph())
    assert difference(net.graph(), net.graph().with_input((3, 32, 31))) < 1e-5
    pool = lonely(ops.MaxPool(3, 2, "same"), MAP)
    assert "Some padding is for this input size." in write_code(pool)
    assert torch.isfinite(torch.tensor(difference(pool)))
