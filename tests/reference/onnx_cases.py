"""ONNX's own backend cases, as the onnx wheel generates them: one node each, with inputs and the outputs expected."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import onnx
from onnx.backend.test.case.node import collect_testcases
from onnx.backend.test.case.test_case import TestCase

from foveal.reference.base import Array

Attributes = dict[str, Any]
Wanted = list[Array]
"""The outputs that ONNX expects; some functions read off them what was drawn at random."""

Run = Callable[..., list[Any]]
"""How a case is computed here: ``(attributes, wanted, *inputs) -> outputs``."""


@cache
def cases_of(kind: str) -> list[TestCase]:
    """All cases that are one node of the operator."""
    return [case for case in _single() if case.model.graph.node[0].op_type == kind]


def check(case: TestCase, run: Run) -> None:
    """AssertionError unless `run` gives what the case expects."""
    (node,) = case.model.graph.node
    attributes = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
    attributes = {key: value.decode() if isinstance(value, bytes) else value for key, value in attributes.items()}
    for inputs, wanted in case.data_sets:
        outputs = run(attributes, wanted, *map(_floats, inputs))
        for y, expected in zip(outputs, wanted, strict=True):
            pairs = zip(y, expected, strict=True) if isinstance(expected, list) else [(y, expected)]
            for mine, theirs in pairs:
                np.testing.assert_allclose(mine, theirs, rtol=case.rtol, atol=1e-6, err_msg=case.name)
                assert np.shape(mine) == np.shape(theirs), case.name


@cache
def _single() -> list[TestCase]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the wheel's own making
        return [case for case in collect_testcases(None) if len(case.model.graph.node) == 1]


def _floats(x: Any) -> Any:
    """In float64, and a sequence value by value."""
    return [_floats(value) for value in x] if isinstance(x, list) else np.asarray(x, np.float64)
