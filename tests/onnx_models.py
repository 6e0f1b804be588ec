"""Small ONNX models for the tests, their weights headers alone."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from foveal.shapes import Shape
from foveal.tracing import Traced
from foveal.tracing.onnx_file import read_onnx

FLOAT = TensorProto.FLOAT


def values(shapes: dict[str, Shape]) -> int:
    return sum(map(math.prod, shapes.values()))


def weight(name: str, *shape: int) -> TensorProto:
    """A tensor whose numbers would lie in a file of their own, which is not there."""
    tensor = TensorProto(name=name, data_type=FLOAT, dims=shape, data_location=TensorProto.EXTERNAL)
    tensor.external_data.add(key="location", value="weights.bin")
    return tensor


def ints(name: str, *numbers: int) -> TensorProto:
    return numpy_helper.from_array(np.array(numbers, dtype=np.int64), name)


def number(value: float, *shape: int) -> TensorProto:
    """One number called "n"."""
    return numpy_helper.from_array(np.full(shape, value, dtype=np.float32), "n")


def model(
    nodes: list[onnx.NodeProto], *weights: TensorProto, shape: tuple[Any, ...] = (1, 3, 8, 8), **options: Any
) -> onnx.ModelProto:
    """`nodes` from "x" to "y"."""
    feeds = [helper.make_tensor_value_info("x", FLOAT, shape), *options.pop("more_inputs", [])]
    ends = [helper.make_tensor_value_info("y", FLOAT, None)]
    graph = helper.make_graph(nodes, "g", feeds, ends, list(weights))
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", options.pop("opset", 17))], **options)


def read(source: onnx.ModelProto, folder: Path, input_shape: Shape | None = None) -> Traced:
    path = folder / "net.onnx"
    path.write_bytes(source.SerializeToString())
    return read_onnx(path, input_shape)


def one(kind: str, *inputs: str, name: str = "", **attributes: Any) -> onnx.NodeProto:
    return helper.make_node(kind, list(inputs), ["y"], name, **attributes)
