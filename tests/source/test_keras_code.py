"""Written Keras code as text. That it runs, and gives our shapes, counts and outputs: ``bench/keras_code.py``."""

from __future__ import annotations

import ast

import pytest

from foveal import ops
from foveal.errors import GraphError
from foveal.graph import Builder, Graph
from foveal.ops import OPS, Op
from foveal.shapes import Shape
from foveal.source import write_code
from foveal.source.keras_layers import LAYERS
from foveal.zoo import create_graph, list_models


def said(op: Op, shape: Shape = (4, 9, 8)) -> list[str]:
    """The lines that compute `op`."""
    net = Builder("one")
    net(op, net.input(*shape))
    lines = write_code(net.graph(), "keras").splitlines()
    start = next(i for i, line in enumerate(lines) if "keras.Input(" in line)
    return [line.strip() for line in lines[start + 1 : lines.index("", start) - 1]]


def test_every_op_is_translated() -> None:
    assert {op.__name__ for op in LAYERS} | {"Conv", "Opaque"} == OPS.keys()


@pytest.mark.parametrize("name", list_models())
def test_every_network_is_written(name: str) -> None:
    text = write_code(create_graph(name), "keras")
    functions = [node for node in ast.parse(text).body if isinstance(node, ast.FunctionDef)]
    defined = [node.name for node in functions]
    assert defined[-1] == name and len(set(defined)) == len(defined)
    for function in functions:
        read = {node.id for part in function.body for node in ast.walk(part) if isinstance(node, ast.Name)}
        unread = {argument.arg for argument in function.args.args} - read
        assert not unread, f"{function.name} does nothing with {unread}"


def test_a_small_network_reads_well() -> None:
    assert (
        write_code(create_graph("lenet5"), "keras")
        == '''"""lenet5: input 32 x 32 x 1, 61,706 trainable parameters."""

from __future__ import annotations

import keras
from keras import layers


def lenet5() -> keras.Model:
    inputs = x = keras.Input((32, 32, 1))
    x = layers.Conv2D(6, 5)(x)
    x = layers.Activation("tanh")(x)
    x = layers.AveragePooling2D(2)(x)
    x = layers.Conv2D(16, 5)(x)
    x = layers.Activation("tanh")(x)
    x = layers.AveragePooling2D(2)(x)
    x = layers.Conv2D(120, 5)(x)
    x = layers.Activation("tanh")(x)
    x = layers.Flatten()(x)
    x = layers.Dense(84)(x)
    x = layers.Activation("tanh")(x)
    x = layers.Dense(10)(x)
    return keras.Model(inputs, x, name="lenet5")


if __name__ == "__main__":
    model = lenet5()
    x = keras.random.normal((1, 32, 32, 1))
    print(tuple(model(x).shape))
    print(f"{model.count_params():,} parameters, moving statistics included")
'''
    )


@pytest.mark.parametrize(
    ("op", "lines"),
    [
        (ops.Conv(8, 3, padding=1), ['x = layers.Conv2D(8, 3, padding="same")(x)']),
        (ops.Conv(8, 3, 2, 1), ["x = layers.ZeroPadding2D(1)(x)", "x = layers.Conv2D(8, 3, strides=2)(x)"]),
        (ops.Conv(8, 3, 2, "same"), ['x = layers.Conv2D(8, 3, strides=2, padding="same")(x)']),
        (ops.Conv(8, 3, 2, ((0, 1), (1, 0))), ["x = layers.ZeroPadding2D(((0, 1), (1, 0)))(x)",
                                               "x = layers.Conv2D(8, 3, strides=2)(x)"]),
        (ops.Conv(8, 3, groups=4), ["x = layers.DepthwiseConv2D(3, depth_multiplier=2)(x)"]),
        (ops.Conv(8, 3, groups=2), ["x = layers.Conv2D(8, 3, groups=2)(x)"]),
        (ops.BatchNorm(), ["x = layers.BatchNormalization(momentum=0.9, epsilon=1e-5)(x)"]),
        (ops.BatchNorm(1e-3, 0.01), ["x = layers.BatchNormalization()(x)"]),
        (ops.MaxPool(3, 2, 1), ["x = pad_lowest(x, ((1, 1), (1, 1)))", "x = layers.MaxPooling2D(3, strides=2)(x)"]),
        (ops.MaxPool(3, 2, ceil_mode=True), ["x = pad_lowest(x, ((0, 0), (0, 1)))",
                                             "x = layers.MaxPooling2D(3, strides=2)(x)"]),
        (ops.AvgPool(3, 2, "same"), ['x = layers.AveragePooling2D(3, strides=2, padding="same")(x)']),
        (ops.LpPool(2, p=3), ["x = lp_pool(x, ((0, 0), (0, 0)), kernels=(2, 2), strides=2, p=3.0)"]),
        (ops.Maxout(2), ["x = maxout(x, pieces=2)"]),
        (ops.LogSoftmax(), ['x = layers.Activation("log_softmax")(x)']),
        (ops.Flatten(), ["x = layers.Permute((3, 1, 2))(x)", "x = layers.Flatten()(x)"]),
        (ops.Factor(0.17), ["x = x * 0.17"]),
        (ops.Offset(), ["x = Offset()(x)"]),
        (ops.PadChannels(8, 0), ["x = pad_channels(x, before=8, after=0)"]),
        (ops.Slice(1, 3), ["x = x[..., 1:3]"]),
        (ops.Slice(1, 9, 2, 1), ["x = x[:, 1:9:2]"]),
        (ops.AdaptiveAvgPool((3, 4)), ["x = layers.AveragePooling2D((3, 2))(x)"]),
        (ops.ConvTranspose(6, 4, 2, 1), ["x = layers.Conv2DTranspose(6, 4, strides=2)(x)",
                                         "x = layers.Cropping2D(((1, 1), (1, 1)))(x)"]),
    ],
    ids=str,
)  # fmt: skip
def test_an_op_in_keras_words(op: Op, lines: list[str]) -> None:
    assert said(op) == lines


@pytest.mark.parametrize(
    ("op", "why"),
    [
        (ops.Conv(8, 3, 2, 1, 2), "no convolution with both a stride and a dilation"),
        (ops.MaxPool(2, dilation=2), "no dilated pooling"),
        (ops.AvgPool(2, dilation=2), "no dilated pooling"),
        (ops.LpPool(2, dilation=(1, 2)), "no dilated pooling"),
        (ops.ConvTranspose(4, 3, groups=2), "no transposed convolution in groups"),
        (ops.ConvTranspose(4, 2, 3), "takes no stride beyond its kernel's size"),
        (ops.ConvTranspose(4, 3, 2, output_padding=1), "no output padding beyond what the padding cuts"),
        (ops.Upsample(2, "linear"), "interpolates linearly only along two axes"),
    ],
    ids=str,
)
def test_what_keras_cannot_say(op: Op, why: str) -> None:
    net = Builder("one")
    net(op, net.input(*((4, 9) if isinstance(op, ops.Upsample) else (4, 9, 8))), name="stage1.op")
    with pytest.raises(GraphError, match=rf"^stage1\.op: Keras.*{why}; write it with framework torch$"):
        write_code(net.graph(), "keras")


def test_what_nothing_reads_is_refused() -> None:
    net = Builder("dead")
    x = net.input(3, 8, 8)
    y = net(ops.Relu(), x, name="a.relu")
    net(ops.Conv(2, 1), x, name="a.unused")
    with pytest.raises(GraphError, match=r"^a\.unused: nothing reads it"):
        write_code(net.graph(y), "keras")


def test_shared_weights_are_one_layer() -> None:
    net = Builder("shared")
    x = net(ops.Conv(3, 3, padding=1), net.input(3, 8, 8), name="conv")
    net(ops.Conv(3, 3, padding=1), net(ops.Relu(), x, name="relu"), name="again", weights_of="conv")
    text = write_code(net.graph(), "keras")
    assert text.count("Conv2D(") == 1 and text.count("conv_layer(x)") == 2


def test_several_outputs_are_a_list() -> None:
    net = Builder("two")
    x = net(ops.Relu(), net.input(3, 8, 8), name="a")
    y = net(ops.Conv(2, 1), x, name="b")
    assert 'return keras.Model(inputs, [x, y], name="two")' in write_code(Graph.from_json(_json(net, x, y)), "keras")


def _json(net: Builder, *outputs: str) -> object:
    import json

    return json.loads(json.dumps(net.graph(*outputs).to_json()))
