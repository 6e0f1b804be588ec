"""Every network of the zoo, part by part, as it was when it was last checked: `golden.txt`.

A wanted change is written with ``pytest tests/zoo/test_golden.py --regenerate``, and its lines are read before they
are committed. The published counts of `test_counts.py` say that the numbers are right; this says that they stay.
"""

from __future__ import annotations

from itertools import zip_longest
from pathlib import Path

import pytest

from foveal import anatomy
from foveal.anatomy.rows import Sight
from foveal.anatomy.sight import lattices
from foveal.errors import UsageError
from foveal.graph import Graph
from foveal.shapes import text
from foveal.zoo import create_graph, list_models, stages

GOLDEN = Path(__file__).with_name("golden.txt")


def block(name: str) -> str:
    """The parts of a network with output, parameters and MACs; what it comes to; its feature levels."""
    graph = create_graph(name)
    counted = anatomy.count(graph)
    rows = anatomy.fold(counted, 1)
    wide = max(len(row.name) for row in rows)
    totals = counted.totals
    return "\n".join([
        f"{name}, input {text(graph.input_shape)}, output {outputs(graph)}",
        *(
            f"  {row.name:{wide}}  {text(row.output_shape):>12}  {row.parameters:>11,} parameters  {row.macs:>14,} MACs"
            for row in rows
        ),
        f"  {totals.parameters:,} parameters, {totals.buffers:,} buffers, {totals.macs:,} MACs",
        *level_lines(graph),
    ])  # fmt: skip


def outputs(graph: Graph) -> str:
    return ", ".join(text(graph.shapes[output]) for output in graph.outputs)


def level_lines(graph: Graph) -> list[str]:
    """Each feature level with its field: size, jump and start along each axis, or once if they are the same."""
    try:
        levels = stages(graph)
    except UsageError as error:  # a single layer
        return [f"  {error}"]
    seen = lattices(graph, local=True)
    return [
        f"  {name}: {level.node}, {text(graph.shapes[level.node])}, stride {level.stride or '-'}, "
        f"field {field_text(Sight.of(seen[level.node]))}"
        for name, level in levels.items()
    ]


def field_text(sight: Sight) -> str:
    axes = [
        kind if size is None else f"{size} jump {jump} start {start}"
        for kind, size, jump, start in zip(sight.kind, sight.size, sight.jump, sight.start, strict=True)
    ]
    return " x ".join(dict.fromkeys(axes)) or "-"


@pytest.fixture(scope="module")
def golden(request: pytest.FixtureRequest) -> dict[str, list[str]]:
    """The lines of each network's block."""
    if request.config.getoption("--regenerate"):
        GOLDEN.write_text("\n\n".join(map(block, list_models())) + "\n", "utf-8")
    blocks = (part.splitlines() for part in GOLDEN.read_text("utf-8").strip().split("\n\n"))
    return {lines[0].partition(",")[0]: lines for lines in blocks}


@pytest.mark.parametrize("name", list_models())
def test_a_network_is_what_it_was(name: str, golden: dict[str, list[str]]) -> None:
    assert name in golden, f"{name} is not in golden.txt; add it with --regenerate"
    for number, (was, now) in enumerate(zip_longest(golden[name], block(name).splitlines()), start=1):
        assert now == was, f"{name}: line {number} of its block in golden.txt was\n{was}\nand is\n{now}"


def test_no_network_is_gone(golden: dict[str, list[str]]) -> None:
    assert sorted(golden) == list_models()
