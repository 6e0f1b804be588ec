"""ONNX models as graphs. Oracles: PyTorch's own exporters, onnxruntime's executed shapes, the file's stored tensors."""

from __future__ import annotations

import math
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn
from torch.nn import functional as F

from foveal import ops
from foveal.build import build
from foveal.graph import INPUT, Graph, Node
from foveal.ops import Op
from foveal.shapes import Shape, per_axis, resolve_padding
from foveal.tracing import Traced
from foveal.tracing.onnx_file import read_onnx
from foveal.zoo import create_graph, list_models
from onnx_models import FLOAT, ints, model, number, one, read, values, weight


def exported(module: nn.Module, path: Path, shape: Shape, **options: Any) -> Path:
    for tensor in module.state_dict().values():
        if tensor.is_floating_point():
            nn.init.uniform_(tensor, 0.5, 1.5)  # the exporter stores equal tensors once
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            module.eval(), (torch.zeros(1, *shape),), path, dynamo=False, do_constant_folding=False,
            training=torch.onnx.TrainingMode.PRESERVE, **options,
        )  # fmt: skip
    return path


def assert_shapes_are_executed(path: Path, traced: Traced) -> None:
    """onnxruntime's outputs, and with the batch cut off ours, have one shape."""
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (feed,) = session.get_inputs()
    results = session.run(None, {feed.name: np.zeros((1, *traced.graph.input_shape), np.float32)})
    assert [result.shape[1:] for result in results] == [traced.graph.shapes[name] for name in traced.graph.outputs]


# ---------------------------------------------------------------- whole networks


@pytest.mark.parametrize("name", ["lenet5", "resnet18_cifar", "mobilenet_v2", "googlenet", "efficientnet_lite0"])
def test_exported_networks_are_the_networks_that_were_exported(name: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    graph = create_graph(name)
    path = exported(build(graph), tmp_path / f"{name}.onnx", graph.input_shape)
    traced = read_onnx(path)
    assert values(traced.graph.parameters()) == values(graph.parameters())
    assert values(traced.graph.buffers()) == values(graph.buffers())
    assert traced.graph.macs() == graph.macs()
    assert traced.notes == ()
    layers = ops.Conv, ops.Dense, ops.BatchNorm, ops.Add, ops.Concat, ops.MaxPool
    assert [g.shapes[n.name] for g in (traced.graph,) for n in g.nodes if isinstance(n.op, layers)] == [
        graph.shapes[n.name] for n in graph.nodes if isinstance(n.op, layers)
    ]
    stored = onnx.load(path, load_external_data=False).graph.initializer
    floats = sum(
        math.prod(tensor.dims) for tensor in stored if tensor.data_type == FLOAT and math.prod(tensor.dims) > 1
    )
    assert floats == values(traced.graph.parameters()) + values(traced.graph.buffers())
    assert_shapes_are_executed(path, traced)


def written(graph: Graph) -> onnx.ModelProto:
    """`graph` in ONNX, its weights as headers alone."""
    nodes, stored = [], []
    for node in graph.nodes:
        op, (x, *_) = node.op, graph.input_shapes(node)
        tensors = op.parameters(*graph.input_shapes(node)) | op.buffers(*graph.input_shapes(node))
        stored += [weight(f"{node.name}.{key}", *shape) for key, shape in tensors.items()]
        kind, attributes = in_onnx(op, x)
        inputs = [*("x" if name == INPUT else name for name in node.inputs), *(f"{node.name}.{key}" for key in tensors)]
        if kind == "Slice":
            assert isinstance(op, ops.Slice)
            numbers = {"starts": op.start, "ends": op.stop, "axes": op.axis + 1, "steps": op.step}
            stored += [ints(f"{node.name}.{key}", number) for key, number in numbers.items()]
            inputs += [f"{node.name}.{key}" for key in numbers]
        if kind == "Clip":
            stored += [numpy_helper.from_array(np.float32(n), f"{node.name}.{n}") for n in (0, 6)]
            inputs += [f"{node.name}.0", f"{node.name}.6"]
        if isinstance(op, ops.Scale):
            stored[-len(tensors) :] = [weight(f"{node.name}.{key}", x[0], 1, 1) for key in tensors]
            nodes.append(helper.make_node("Mul", inputs[:2], [f"{node.name}.scaled"], node.name))
            kind, inputs = ("Add" if op.bias else "Identity"), [f"{node.name}.scaled", *inputs[2:]]
        if isinstance(op, ops.Factor):
            stored.append(numpy_helper.from_array(np.float32(op.value), f"{node.name}.value"))
            inputs.append(f"{node.name}.value")
        if isinstance(op, (ops.Pad, ops.PadChannels)):
            channels = (op.before, op.after) if isinstance(op, ops.PadChannels) else (0, 0)
            around = op.sides(x) if isinstance(op, ops.Pad) else ((0, 0),) * (len(x) - 1)
            pads = (n for side in zip((0, 0), channels, *around, strict=True) for n in side)
            stored.append(ints(f"{node.name}.pads", *pads))
            inputs.append(f"{node.name}.pads")
        if isinstance(op, ops.Rbf):
            row, apart, squares, axis = (f"{node.name}.{part}" for part in ("row", "apart", "squares", "axis"))
            stored += [ints(f"{axis}{n}", n) for n in (1, 2)]
            nodes += [
                helper.make_node("Unsqueeze", [inputs[0], f"{axis}1"], [row]),
                helper.make_node("Sub", [row, inputs[1]], [apart]),
                helper.make_node("Mul", [apart, apart], [squares]),
            ]
            inputs = [squares, f"{axis}2"]
        if isinstance(op, ops.Silu):
            nodes.append(helper.make_node("Sigmoid", inputs, [f"{node.name}.gate"]))
            inputs.append(f"{node.name}.gate")
        if isinstance(op, ops.ChannelShuffle):
            for key, shape in (("apart", (0, op.groups, -1, *x[1:])), ("together", (0, *x))):
                stored.append(ints(f"{node.name}.{key}", *shape))
            nodes.append(helper.make_node("Reshape", [*inputs, f"{node.name}.apart"], [f"{node.name}.groups"]))
            nodes.append(
                helper.make_node("Transpose", [f"{node.name}.groups"], [f"{node.name}.dealt"], perm=(0, 2, 1, 3, 4))
            )
            inputs = [f"{node.name}.dealt", f"{node.name}.together"]
        nodes.append(helper.make_node(kind, inputs, [node.name], node.name, **attributes))
    source = model(nodes, *stored, shape=("N", *graph.input_shape))
    del source.graph.output[:]
    source.graph.output.extend(helper.make_tensor_value_info(name, FLOAT, None) for name in graph.outputs)
    return source


def in_onnx(op: Op, x: Shape) -> tuple[str, dict[str, Any]]:
    rank = len(x) - 1
    if isinstance(op, (ops.Conv, ops.MaxPool, ops.AvgPool)):
        kernel, stride = op.kernel_size, op.stride or op.kernel_size
        dilation = getattr(op, "dilation", 1)
        sides = resolve_padding(op.padding, x[1:], kernel, stride, dilation)
        window = {
            "kernel_shape": per_axis(kernel, rank), "strides": per_axis(stride, rank),
            "pads": [side[0] for side in sides] + [side[1] for side in sides],
        }  # fmt: skip
        if isinstance(op, ops.Conv):
            return "Conv", window | {"group": op.groups, "dilations": per_axis(dilation, rank)}
        window["ceil_mode"] = int(op.ceil_mode)
        if isinstance(op, ops.MaxPool):
            return "MaxPool", window
        return "AveragePool", window | {"count_include_pad": int(op.count_padding)}
    if isinstance(op, ops.LocalResponseNorm):
        return "LRN", {"size": op.size, "alpha": op.alpha, "beta": op.beta, "bias": op.k}
    fixed: dict[type[Op], tuple[str, dict[str, Any]]] = {
        ops.Dense: ("Gemm", {"transB": 1}), ops.BatchNorm: ("BatchNormalization", {}), ops.Relu: ("Relu", {}),
        ops.Relu6: ("Clip", {}), ops.Sigmoid: ("Sigmoid", {}), ops.Tanh: ("Tanh", {}), ops.Add: ("Add", {}),
        ops.Concat: ("Concat", {"axis": 1}), ops.Flatten: ("Flatten", {}), ops.Softmax: ("Softmax", {"axis": 1}),
        ops.GlobalAvgPool: ("GlobalAveragePool", {}), ops.Dropout: ("Dropout", {}), ops.Multiply: ("Mul", {}),
        ops.Slice: ("Slice", {}), ops.Scale: ("Add", {}), ops.Silu: ("Mul", {}), ops.Hardswish: ("HardSwish", {}),
        ops.Hardsigmoid: ("HardSigmoid", {"alpha": 1 / 6, "beta": 0.5}), ops.ChannelShuffle: ("Reshape", {}),
        ops.Factor: ("Mul", {}), ops.Offset: ("Add", {}), ops.PadChannels: ("Pad", {}),
        ops.Pad: ("Pad", {}),
        ops.Rbf: ("ReduceSum", {"keepdims": 0}),
        ops.AdaptiveAvgPool: ("Identity", {}),  # at its published size a network's map has as many cells as bins
    }  # fmt: skip
    return fixed[type(op)]


@pytest.mark.parametrize("name", [name for name in list_models() if name != "googlenet_aux"])  # ONNX has no such bins
def test_every_network_of_the_zoo_comes_back(name: str, tmp_path: Path) -> None:
    graph = create_graph(name)
    traced = read(written(graph), tmp_path)
    assert traced.graph.macs() == graph.macs()
    left = {node.name for node in graph.nodes if not isinstance(node.op, ops.AdaptiveAvgPool)}
    assert {n: traced.graph.shapes[n] for n in left} == {n: graph.shapes[n] for n in left}
    for mine, theirs in ((traced.graph.parameters(), graph.parameters()), (traced.graph.buffers(), graph.buffers())):
        assert mine == theirs
    assert traced.parameters_of == {name: name for name in graph.parameters()}


class Modern(nn.Module):
    """Channels-last layers, group norm, a gate, a channel shuffle and activations written out."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1)
        self.gn = nn.GroupNorm(2, 8)
        self.ln = nn.LayerNorm(8)
        self.up = nn.Linear(8, 32)
        self.down = nn.Linear(32, 8, bias=False)
        self.gamma = nn.Parameter(torch.ones(8))
        self.gate = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(8, 8, 1), nn.Hardsigmoid())
        self.train_ = nn.PReLU(8)
        self.tail = nn.ConvTranspose2d(8, 4, 4, stride=2, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.silu(self.gn(self.stem(x)))
        y = self.ln(x.permute(0, 2, 3, 1))
        y = self.gamma * self.down(0.5 * (z := self.up(y)) * (1 + torch.erf(z / math.sqrt(2))))
        x = x + y.permute(0, 3, 1, 2)
        x = self.train_(x * self.gate(x))
        n, c, h, w = x.shape
        x = x.reshape(n, 2, c // 2, h, w).transpose(1, 2).reshape(n, c, h, w)
        x = F.mish(x) * F.relu6(x + 3) / 6
        return F.pixel_shuffle(self.tail(F.interpolate(x, scale_factor=2)), 2).mean((2, 3))


def test_a_modern_network_has_no_opaque_step_but_the_ones_written_by_hand(tmp_path: Path) -> None:
    module = Modern()
    path = exported(module, tmp_path / "modern.onnx", (3, 8, 8))
    traced = read_onnx(path)
    kinds = [type(node.op).__name__ for node in traced.graph.nodes]
    assert kinds == [
        "Conv", "GroupNorm", "Scale", "Silu", "LayerNorm", "Conv", "Gelu", "Conv", "Scale", "Add",
        "GlobalAvgPool", "Conv", "Hardsigmoid", "Multiply", "PRelu", "ChannelShuffle", "Mish",
        "Opaque", "Relu6", "Multiply", "Factor", "Upsample", "ConvTranspose", "PixelShuffle", "GlobalAvgPool",
        "Flatten",
    ]  # fmt: skip
    assert values(traced.graph.parameters()) == sum(p.numel() for p in module.parameters())
    assert traced.graph.shapes["up"] == (32, 8, 8)
    assert traced.modules["gate.1"] == "gate.1" and traced.modules["gn_2"] == "gn"
    assert len(traced.notes) == 1 and "stays opaque" in traced.notes[0]
    assert_shapes_are_executed(path, traced)


def test_the_newer_exporter(tmp_path: Path) -> None:
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.SiLU(), nn.Flatten(), nn.Linear(4 * 36, 5))
    path = tmp_path / "new.onnx"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(module.eval(), (torch.zeros(1, 3, 8, 8),), path, dynamo=True, verbose=False)
    traced = read_onnx(path)
    folded = sum(p.numel() for p in module.parameters()) - 8  # it folds the batch norm into the convolution
    assert values(traced.graph.parameters()) == folded
    assert [type(node.op) for node in traced.graph.nodes] == [ops.Conv, ops.Silu, ops.Flatten, ops.Dense]
    assert [node.name for node in traced.graph.nodes] == ["0", "2", "3", "4"]
    assert traced.graph.macs() == 4 * 27 * 36 + 4 * 36 * 5


# ---------------------------------------------------------------- single steps


@pytest.mark.parametrize(
    ("nodes", "weights", "op", "shape"),
    [
        ([one("Conv", "x", "w", strides=[2, 2], auto_pad="SAME_UPPER")], [weight("w", 4, 3, 3, 3)],
         ops.Conv(4, 3, 2, "same", bias=False), (4, 4, 4)),
        ([one("Conv", "x", "w", strides=[2, 2], auto_pad="SAME_LOWER")], [weight("w", 4, 3, 3, 3)],
         ops.Conv(4, 3, 2, ((1, 0), (1, 0)), bias=False), (4, 4, 4)),
        ([one("Conv", "x", "w", "b", pads=[0, 1, 0, 1], dilations=[1, 2])], [weight("w", 4, 3, 1, 3), weight("b", 4)],
         ops.Conv(4, (1, 3), 1, (0, 1), (1, 2)), (4, 8, 6)),
        ([one("AveragePool", "x", kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1, count_include_pad=1)], [],
         ops.AvgPool(3, 2, 0, count_padding=True, ceil_mode=True), (3, 4, 4)),
        ([one("Clip", "x", "", "")], [], ops.Opaque("Clip", (3, 8, 8)), (3, 8, 8)),
        ([one("LeakyRelu", "x", alpha=0.2)], [], ops.LeakyRelu(0.2), (3, 8, 8)),
        ([one("Elu", "x")], [], ops.Elu(1.0), (3, 8, 8)),
        ([one("Selu", "x")], [], ops.Selu(), (3, 8, 8)),
        ([one("HardSwish", "x")], [], ops.Hardswish(), (3, 8, 8)),
        ([one("HardSigmoid", "x")], [], ops.Opaque("HardSigmoid", (3, 8, 8)), (3, 8, 8)),
        ([one("PRelu", "x", "w")], [weight("w", 3, 1, 1)], ops.PRelu(), (3, 8, 8)),
        ([one("GlobalMaxPool", "x")], [], ops.GlobalMaxPool(), (3, 1, 1)),
        ([one("ReduceMean", "x", axes=[-1, 2])], [], ops.GlobalAvgPool(), (3, 1, 1)),
        ([one("ReduceMean", "x", axes=[3])], [], ops.Opaque("ReduceMean", (3, 8, 1)), (3, 8, 1)),
        ([one("Softmax", "x", axis=1)], [], ops.Softmax(), (3, 8, 8)),
        ([one("LogSoftmax", "x", axis=-3)], [], ops.LogSoftmax(), (3, 8, 8)),
        ([one("MaxPool", "x", kernel_shape=[2, 2], dilations=[1, 3])], [], ops.MaxPool(2, 1, dilation=(1, 3)),
         (3, 7, 5)),
        ([one("AveragePool", "x", kernel_shape=[3, 3], dilations=[2, 2], pads=[2, 2, 2, 2])], [],
         ops.AvgPool(3, 1, 2, dilation=2), (3, 8, 8)),
        ([one("LpPool", "x", kernel_shape=[2, 2], strides=[2, 2], p=3)], [], ops.LpPool(2, 2, p=3), (3, 4, 4)),
        ([one("Softmax", "x")], [], ops.Opaque("Softmax", (3, 8, 8)), (3, 8, 8)),
        ([one("Slice", "x", "one", "end", "axis", "two")],
         [ints("one", 1), ints("end", 2**62), ints("axis", -1), ints("two", 2)], ops.Slice(1, 8, 2, 2), (3, 8, 4)),
        ([one("Pad", "x", "p")], [ints("p", 0, 0, 1, 0, 0, 0, 2, 0)], ops.Pad(((1, 2), (0, 0))), (3, 11, 8)),
        ([one("Pad", "x", "p", mode="reflect")], [ints("p", 0, 0, 1, 0, 0, 0, 2, 0)],
         ops.Opaque("Pad", (3, 11, 8)), (3, 11, 8)),
        ([one("InstanceNormalization", "x", "w", "b")], [weight("w", 3), weight("b", 3)],
         ops.GroupNorm(3), (3, 8, 8)),
        ([one("LRN", "x", size=5, alpha=2e-4)], [], ops.LocalResponseNorm(5, 2e-4), (3, 8, 8)),
        ([one("Mul", "x", "w")], [weight("w", 3, 1, 1)], ops.Scale(), (3, 8, 8)),
        ([one("Mul", "x", "n")], [number(0.17)], ops.Factor(0.17), (3, 8, 8)),
        ([one("Mul", "n", "x")], [number(-3, 1, 1)], ops.Factor(-3.0), (3, 8, 8)),
        ([one("Mul", "x", "n")], [number(2, 1, 1, 1, 1, 1)], ops.Opaque("Mul", (1, 3, 8, 8)), (1, 3, 8, 8)),
        ([one("Div", "x", "n")], [number(4)], ops.Factor(0.25), (3, 8, 8)),
        ([one("Div", "x", "n")], [number(0)], ops.Opaque("Div", (3, 8, 8)), (3, 8, 8)),
        ([one("Div", "n", "x")], [number(4)], ops.Opaque("Div", (3, 8, 8)), (3, 8, 8)),
        ([one("Neg", "x")], [], ops.Factor(-1.0), (3, 8, 8)),
        ([one("Pow", "x", "n")], [number(2)], ops.Multiply(), (3, 8, 8)),
        ([one("Add", "x", "n")], [number(0.17)], ops.Opaque("Add", (3, 8, 8)), (3, 8, 8)),
        ([one("Add", "w", "x")], [weight("w", 1, 3, 8, 8)], ops.Offset(), (3, 8, 8)),
        ([one("Pad", "x", "p")], [ints("p", 0, 2, 0, 0, 0, 3, 0, 0)], ops.PadChannels(2, 3), (8, 8, 8)),
        ([one("Pad", "x", "p")], [ints("p", 0, -2, 0, 0, 0, 3, 0, 0)], ops.Opaque("Pad", (4, 8, 8)), (4, 8, 8)),
        ([one("Add", "x", "w")], [weight("w", 3, 1, 1)], ops.Opaque("Add", (3, 8, 8), ((3, 1, 1),)), (3, 8, 8)),
        ([one("MatMul", "x", "w")], [weight("w", 8, 5)], ops.Opaque("MatMul", (3, 8, 5), ((8, 5),)), (3, 8, 5)),
        ([one("DepthToSpace", "x", blocksize=1, mode="CRD")], [], ops.PixelShuffle(1), (3, 8, 8)),
        ([one("Einsum", "x", "w", equation="nchw,cd->ndhw")], [weight("w", 3, 5)],
         ops.Opaque("Einsum", (5, 8, 8), ((3, 5),)), (5, 8, 8)),
    ],
)  # fmt: skip
def test_single_steps(
    nodes: list[onnx.NodeProto], weights: list[TensorProto], op: Op, shape: Shape, tmp_path: Path
) -> None:
    traced = read(model(nodes, *weights), tmp_path)
    (node,) = traced.graph.nodes
    assert node.op == op
    assert traced.graph.shapes[node.name] == shape
    assert ("stays opaque" in " ".join(traced.notes)) == isinstance(op, ops.Opaque)


def test_channels_and_cells_padded_at_once(tmp_path: Path) -> None:
    traced = read(model([one("Pad", "x", "p")], ints("p", 0, 2, 1, 0, 0, 0, 0, 4)), tmp_path)
    assert [node.op for node in traced.graph.nodes] == [ops.PadChannels(2, 0), ops.Pad(((1, 0), (0, 4)))]
    row = read(model([one("Pad", "x", "p")], ints("p", 0, 2, 0, 0), shape=(1, 3)), tmp_path)
    assert [node.op for node in row.graph.nodes] == [ops.Opaque("Pad", (5,))]


def test_channels_by_turns_are_shuffled_before_they_become_cells(tmp_path: Path) -> None:
    traced = read(model([one("DepthToSpace", "x", blocksize=2)], shape=(1, 8, 3, 4)), tmp_path)
    assert [node.op for node in traced.graph.nodes] == [ops.ChannelShuffle(4), ops.PixelShuffle(2)]


def test_a_sum_of_squares_that_are_no_distances_is_opaque(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Sub", ["x", "w"], ["d"]),
        helper.make_node("Mul", ["d", "d"], ["s"]),
        one("ReduceSum", "s", "axis", keepdims=0),
    ]
    traced = read(model(nodes, weight("w", 8, 8), ints("axis", 3)), tmp_path)
    assert [type(node.op).__name__ for node in traced.graph.nodes] == ["Opaque", "Multiply", "Opaque"]
    assert values(traced.graph.parameters()) == 64


@pytest.mark.parametrize(
    ("op", "shape"), [(ops.Factor(-0.3), (3, 5, 4)), (ops.Offset(), (3, 5, 4)), (ops.Rbf(4), (6,)),
                      (ops.PadChannels(2, 1), (3, 5, 4)), (ops.Maxout(3), (6, 5, 4)), (ops.Maxout(2), (6,))], ids=str,
)  # fmt: skip
def test_what_pytorch_exports_as_arithmetic_comes_back(op: Op, shape: Shape, tmp_path: Path) -> None:
    graph = Graph("one", shape, (Node("op", op, (INPUT,)),), ("op",))
    path = exported(build(graph), tmp_path / "one.onnx", shape)
    traced = read_onnx(path)
    assert [node.op for node in traced.graph.nodes] == [op]
    assert values(traced.graph.parameters()) == values(graph.parameters())
    assert values(traced.graph.buffers()) == values(graph.buffers())
    assert traced.notes == ()
    assert_shapes_are_executed(path, traced)


def test_sizes_computed_in_the_file(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Shape", ["x"], ["s"]),
        helper.make_node("Gather", ["s", "zero"], ["n"]),
        helper.make_node("Unsqueeze", ["n", "axis"], ["n1"]),
        helper.make_node("Concat", ["n1", "rest"], ["target"], axis=0),
        one("Reshape", "x", "target"),
    ]
    zero = numpy_helper.from_array(np.array(0, np.int64), "zero")
    source = model(nodes, zero, ints("axis", 0), ints("rest", -1), shape=("N", 3, "H", "W"))
    traced = read(source, tmp_path, (3, 4, 6))
    assert [(node.name, node.op) for node in traced.graph.nodes] == [("reshape", ops.Flatten())]
    assert traced.graph.shapes["reshape"] == (72,)


def test_channels_last_files_have_channels_first(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Transpose", ["x"], ["t"], perm=[0, 3, 1, 2]),
        helper.make_node("Conv", ["t", "w"], ["c"], "conv"),
        helper.make_node("Transpose", ["c"], ["y"], perm=[0, 2, 3, 1]),
    ]
    traced = read(model(nodes, weight("w", 5, 3, 3, 3), shape=("N", 9, 7, 3)), tmp_path)
    assert traced.graph.input_shape == (3, 9, 7)
    assert traced.graph.shapes["conv"] == (5, 7, 5)
    assert traced.notes == ("conv: the file has this output's axes in another order",)


def test_weights_read_twice(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["a"], "a", pads=[1, 1, 1, 1]),
        helper.make_node("Conv", ["a", "w"], ["b"], "b", pads=[1, 1, 1, 1]),
        helper.make_node("Conv", ["b", "w"], ["y"], "c"),
    ]
    traced = read(model(nodes, weight("w", 3, 3, 3, 3)), tmp_path)
    assert [node.weights_of for node in traced.graph.nodes] == [None, "a", None]
    assert traced.notes == ("c reads weights that a has too, in another way; the totals count them twice",)


def test_quantised_weights_count_quantised_steps_do_not(tmp_path: Path) -> None:
    whole = TensorProto(name="q", data_type=TensorProto.INT8, dims=(4, 3, 3, 3), data_location=TensorProto.EXTERNAL)
    scale = numpy_helper.from_array(np.float32(0.1), "s")
    nodes = [helper.make_node("DequantizeLinear", ["q", "s"], ["w"]), one("Conv", "x", "w", name="conv")]
    traced = read(model(nodes, whole, scale), tmp_path)
    assert traced.graph.parameters() == {"conv.weight": (4, 3, 3, 3)}
    assert traced.parameters_of == {"conv.weight": "q + s"}
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "s"], ["xq"]),
        one("ConvInteger", "xq", "q", name="conv"),
    ]
    traced = read(model(nodes, whole, scale), tmp_path)
    assert [note.partition(" (")[0] for note in traced.notes] == [
        "quantizelinear: QuantizeLinear stays opaque", "conv: ConvInteger stays opaque"
    ]  # fmt: skip
