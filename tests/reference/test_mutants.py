"""Bugs planted in the reference, one at a time: the comparison with PyTorch must find each.

Every operator, comparison, sign and number of the functions that compute is changed once, and what stands after a
dictionary's ``|`` is dropped, as the gradient of the bias. What a change cannot alter stands in `HARMLESS`.
"""

from __future__ import annotations

import ast
import inspect
import sys
import types
from collections.abc import Iterator
from functools import cache

import numpy as np
import pytest
from against_torch import Computed, by_torch, compare, inputs, rounded

from contracts.op_cases import CASES
from foveal import ops
from foveal.ops import Op
from foveal.reference import Pair, arranging, base, linear, norms, pointwise, pools

FAMILIES = {linear: "LINEAR", pointwise: "POINTWISE", norms: "NORMS", pools: "POOLS", arranging: "ARRANGING"}
ELSEWHERE = {"as_matrix", "true_convolution", "moved_statistics"}
"""Functions that no pair calls; other tests look at them."""

SWAPS: dict[type[ast.AST], list[type[ast.AST]]] = {
    ast.Add: [ast.Sub], ast.Sub: [ast.Add], ast.Mult: [ast.Div], ast.Div: [ast.Mult], ast.FloorDiv: [ast.Mult],
    ast.Pow: [ast.Mult], ast.BitAnd: [ast.BitOr], ast.BitOr: [ast.BitAnd], ast.MatMult: [ast.Mult],
    ast.Lt: [ast.LtE, ast.GtE], ast.LtE: [ast.Lt, ast.Gt], ast.Gt: [ast.GtE, ast.LtE], ast.GtE: [ast.Gt, ast.Lt],
    ast.Eq: [ast.NotEq], ast.In: [ast.NotIn],
}  # fmt: skip

HARMLESS = {
    "leaky_relu: x > 0 -> x >= 0": "the same at 0",
    "elu: x > 0 -> x >= 0": "the same at 0",
    "prelu: x > 0 -> x >= 0": "the same at 0",
    "prelu_backward: x > 0 -> x >= 0": "the weight's: the same at 0",
    "softmax: x - x.max(1, keepdims=True) -> x + x.max(1, keepdims=True)": "cancels, until it overflows",
    "log_softmax: x - x.max(1, keepdims=True) -> x + x.max(1, keepdims=True)": "cancels, until it overflows",
    "_normal: 1 -> 0": "the guard against one value a channel, which has its own test among the refusals",
}
MORE = {ops.PixelShuffle: [(ops.PixelShuffle(3), ((18, 2, 1),))]}


@cache
def computed(kind: type[Op]) -> list[Computed]:
    """What PyTorch makes of the op's cases; also of whole numbers, of NaN where it wins, and in training."""
    every = []
    for op, shapes in CASES[kind] + MORE.get(kind, []):
        xs = inputs(shapes)
        every += [by_torch(op, xs), by_torch(op, rounded(xs))]
        if kind in (ops.BatchNorm, ops.Dropout):
            every.append(by_torch(op, xs, training=True))
        if kind in (ops.MaxPool, ops.GlobalMaxPool):
            every.append(by_torch(op, tuple(np.where(x > 1, np.nan, x) for x in xs)))
    return every


def mutants(tree: ast.Module) -> Iterator[str]:
    """Changes one spot of `tree` after the other, and puts it back; says where and what."""
    for function in tree.body:
        if isinstance(function, ast.FunctionDef) and function.name not in ELSEWHERE:
            for node in [node for statement in function.body for node in ast.walk(statement)]:
                before = ast.unparse(node)
                for _ in changes(node):
                    yield f"{function.name}: {before} -> {ast.unparse(node)}"


def changes(node: ast.AST) -> Iterator[None]:
    match node:
        case ast.BinOp(left=ast.Dict(), op=ast.BitOr(), right=right):
            node.right = ast.Dict([], [])
            yield
            node.right = right
        case ast.BinOp(op=kind) | ast.AugAssign(op=kind):
            for swap in SWAPS[type(kind)]:
                node.op = swap()
                yield
            node.op = kind
        case ast.Compare(ops=[kind]):
            for swap in SWAPS[type(kind)]:
                node.ops = [swap()]
                yield
            node.ops = [kind]
        case ast.UnaryOp(op=ast.USub() as minus):
            node.op = ast.UAdd()
            yield
            node.op = minus
        case ast.Constant(value=int() | float() as number) if not isinstance(number, bool):
            node.value = number + 1 if number != 1 else 0  # not 2: in -1 any negative number does
            yield
            node.value = number


def executed(module: types.ModuleType, tree: ast.AST) -> types.ModuleType:
    made = types.ModuleType(module.__name__)
    exec(compile(ast.fix_missing_locations(tree), module.__name__, "exec"), vars(made))
    return made


def found(pairs: dict[type[Op], Pair]) -> bool:
    """Whether the comparison fails for one of them; a planted bug may also raise anything."""
    with np.errstate(all="ignore"):
        for kind, pair in pairs.items():
            for case in computed(kind):
                try:
                    compare(case, pair)
                except Exception:
                    return True
    return False


@pytest.mark.parametrize("module", FAMILIES, ids=FAMILIES.get)
def test_every_bug_planted_in_a_family_is_found(module: types.ModuleType) -> None:
    tree = ast.parse(inspect.getsource(module))
    assert not found(vars(executed(module, tree))[FAMILIES[module]])
    missed = [change for change in mutants(tree) if not found(vars(executed(module, tree))[FAMILIES[module]])]
    assert set(missed) <= HARMLESS.keys()


def test_every_bug_planted_in_what_they_share_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    tree, missed = ast.parse(inspect.getsource(base)), []
    sources = {module: ast.parse(inspect.getsource(module)) for module in FAMILIES}
    for change in mutants(tree):
        monkeypatch.setitem(sys.modules, base.__name__, executed(base, tree))
        if not any(found(vars(executed(module, sources[module]))[name]) for module, name in FAMILIES.items()):
            missed.append(change)
    assert missed == []
