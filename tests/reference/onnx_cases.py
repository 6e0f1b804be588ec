"""ONNX's own backend cases: nodes that the onnx wheel generates, models that it ships, and what they shall give."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper
from onnx.backend.test.case.node import collect_testcases
from onnx.backend.test.case.test_case import TestCase

from foveal.reference.base import Array

Attributes = dict[str, Any]
Wanted = list[Array]
"""The outputs that ONNX expects; some functions read off them what was drawn at random."""

MODELS = sorted(path.parent for path in Path(onnx.__file__).parent.glob("backend/test/data/*/*/model.onnx"))
"""Folders of a model each."""

Run = Callable[..., list[Any]]
"""How a case is computed here: ``(attributes, wanted, *inputs) -> outputs``."""


@cache
def cases_of(kind: str) -> list[TestCase]:
    """All cases that are one node of the operator."""
    return [case for case in _single() if case.model.graph.node[0].op_type == kind]


def check(case: TestCase, run: Run) -> None:
    """AssertionError unless `run` gives what the case expects."""
    (node,) = case.model.graph.node
    for inputs, wanted in case.data_sets:
        outputs = run(_attributes(node), wanted, *map(_floats, inputs))
        for y, expected in zip(outputs, wanted, strict=True):
            pairs = zip(y, expected, strict=True) if isinstance(expected, list) else [(y, expected)]
            for mine, theirs in pairs:
                _same(mine, theirs, case.rtol, case.name)


def kinds_of(folder: Path) -> set[str]:
    """The operators of a model."""
    return {node.op_type for node in onnx.load(folder / "model.onnx").graph.node}


def check_model(folder: Path, run: dict[str, Run]) -> None:
    """AssertionError unless `run`, node by node, gives what the model is expected to."""
    graph = onnx.load(folder / "model.onnx").graph
    stored = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    given = [x.name for x in graph.input if x.name not in stored]
    sets = list(folder.glob("test_data_set_*"))
    assert sets
    for data in sets:
        values = stored | {name: _tensor(data / f"input_{i}.pb") for i, name in enumerate(given)}
        for node in graph.node:
            inputs = (_floats(values[name]) for name in node.input)
            outputs = run[node.op_type](_attributes(node), [np.empty(0)] * len(node.output), *inputs)
            values |= dict(zip(node.output, outputs, strict=True))
        for i, output in enumerate(graph.output):
            _same(values[output.name], _tensor(data / f"output_{i}.pb"), 1e-3, folder.name)


@cache
def _single() -> list[TestCase]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the wheel's own making
        return [case for case in collect_testcases(None) if len(case.model.graph.node) == 1]


def _attributes(node: onnx.NodeProto) -> Attributes:
    found = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
    return {key: value.decode() if isinstance(value, bytes) else value for key, value in found.items()}


def _tensor(path: Path) -> Array:
    return numpy_helper.to_array(onnx.TensorProto.FromString(path.read_bytes()))


def _same(mine: Any, theirs: Any, rtol: float, name: str) -> None:
    np.testing.assert_allclose(mine, theirs, rtol=rtol, atol=1e-6, err_msg=name)
    assert np.shape(mine) == np.shape(theirs), name


def _floats(x: Any) -> Any:
    """In float64, and a sequence value by value."""
    return [_floats(value) for value in x] if isinstance(x, list) else np.asarray(x, np.float64)
