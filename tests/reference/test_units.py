"""One value by itself: of every op, what is cut out computes the same value, and moves with the same inputs.

Oracle: the reference on the whole input, itself held against PyTorch by the suite beside this one.
"""

from __future__ import annotations

import numpy as np
import pytest

from contracts.op_cases import CASES, Case
from foveal import ops
from foveal.ops import Op
from foveal.reference import OPS
from foveal.reference.routes import routes
from foveal.reference.units import cut

EVERY = [(op, case) for op, cases in CASES.items() if op is not ops.Opaque for case in cases]


def prepared(case: Case) -> tuple[Op, list[np.ndarray], dict[str, np.ndarray]]:
    """The op of a case, with random inputs and arrays."""
    op, shapes = case
    random = np.random.default_rng(3)
    arrays = {
        name: random.uniform(0.5, 2, shape) if name == "running_var" else random.normal(size=shape)
        for name, shape in (op.parameters(*shapes) | op.buffers(*shapes)).items()
    }
    return op, [random.normal(size=shape) for shape in shapes], arrays


@pytest.mark.parametrize(("op", "case"), EVERY, ids=lambda value: value.__name__ if isinstance(value, type) else "")
def test_a_unit_is_the_op_at_one_place(op: type[Op], case: Case) -> None:
    made, xs, arrays = prepared(case)
    random = np.random.default_rng(3)
    batch = tuple(x[None] for x in xs)
    y = OPS[op].forward(made, arrays, *batch)
    corners = [(0,) * (y.ndim - 1), tuple(n - 1 for n in y.shape[1:])]  # where padding is read
    for index in (*corners, *(tuple(int(random.integers(n)) for n in y.shape[1:]) for _ in range(4))):
        unit = cut(made, arrays, xs, index)
        assert unit.value == pytest.approx(y[(0, *index)], abs=1e-12)
        g = np.zeros_like(y)
        g[(0, *index)] = 1
        expected, _ = OPS[op].backward(made, arrays, batch, y, g)
        found = [np.zeros(x.size) for x in xs]
        for source, cells, slope in zip(unit.sources, unit.cells, unit.slopes, strict=True):
            np.add.at(found[source], cells[cells >= 0], slope[cells >= 0])
        for a, b in zip(found, expected, strict=True):
            np.testing.assert_allclose(a.reshape(b[0].shape), b[0], atol=1e-12)
        if unit.affine:
            products = sum((s * x).sum() for s, x in zip(unit.slopes, unit.patches, strict=True))
            assert products + unit.constant == pytest.approx(y[(0, *index)], abs=1e-12)


@pytest.mark.parametrize(("op", "case"), EVERY, ids=lambda value: value.__name__ if isinstance(value, type) else "")
def test_routes_lead_wherever_a_value_goes(op: type[Op], case: Case) -> None:
    made, xs, arrays = prepared(case)
    batch = tuple(x[None] for x in xs)
    y = OPS[op].forward(made, arrays, *batch)
    random = np.random.default_rng(5)
    gy = random.normal(size=y.shape)
    expected, _ = OPS[op].backward(made, arrays, batch, y, gy)
    for source, x in enumerate(xs):
        corners = [(0,) * x.ndim, tuple(n - 1 for n in x.shape)]
        for index in (*corners, *(tuple(int(random.integers(n)) for n in x.shape) for _ in range(3))):
            places, slopes = routes(made, arrays, xs, source, index)
            assert len({tuple(place) for place in places}) == len(places)
            total = sum(gy[(0, *place)] * slope for place, slope in zip(places, slopes, strict=True))
            assert total == pytest.approx(expected[source][(0, *index)], abs=1e-11)
