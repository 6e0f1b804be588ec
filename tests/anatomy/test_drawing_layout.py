"""The geometry of drawings: nothing overlaps, every line goes from the box that makes a value to each that reads it."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations, pairwise

import networkx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foveal.anatomy.layout import Block, Item, Rect, Wire, arrange, cuts, parts, place

Wiring = Sequence[Sequence[int]]


def flat(wiring: Wiring) -> list[Item]:
    """A box for each list of the earlier boxes that it reads; box i makes the value ``"vi"``."""
    read = {j for reads in wiring for j in reads}
    return [
        Item(i, 100.0 + i % 3 * 30, 40.0, tuple(f"v{j}" for j in reads), (f"v{i}",) if i in read else ())
        for i, reads in enumerate(wiring)
    ]


def framed(items: Sequence[Item], bounds: Sequence[int]) -> list[Item]:
    """`items` with a frame around every other run between `bounds`."""
    result: list[Item] = []
    for k, (start, stop) in enumerate(pairwise(sorted({0, *bounds, len(items)}))):
        run = tuple(items[start:stop])
        if k % 2:
            result += run
            continue
        made = {value for item in run for value in item.gives}
        needed = {value for item in (*items[:start], *items[stop:]) for value in item.reads}
        reads = tuple(dict.fromkeys(value for item in run for value in item.reads if value not in made))
        gives = tuple(value for item in run for value in item.gives if value in needed)
        result.append(Item(1000 + k, 60.0, 22.0, reads, gives, run))
    return result


@st.composite
def wirings(draw: st.DrawFn) -> list[list[int]]:
    count = draw(st.integers(1, 24))
    near = draw(st.integers(1, 24))
    wiring: list[list[int]] = []
    for i in range(count):
        earlier = st.integers(max(0, i - near), i - 1) if i else st.nothing()
        wiring.append(sorted(draw(st.sets(earlier, max_size=3))) if i else [])
    return wiring


def boxes(items: Sequence[Item]) -> dict[int, Item]:
    found: dict[int, Item] = {}
    for item in items:
        found |= boxes(item.parts) if item.parts else {item.key: item}
    return found


def overlap(a: Rect, b: Rect) -> bool:
    return min(a.x + a.width, b.x + b.width) > max(a.x, b.x) and min(a.y + a.height, b.y + b.height) > max(a.y, b.y)


def points(wire: Wire) -> list[tuple[float, float]]:
    """Points of the curve that is drawn for `wire`, ends left out: a cubic, upright at both ends."""
    middle, found = (wire.y1 + wire.y2) / 2, []
    for k in range(1, 16):
        t = k / 16
        a, b, c, d = (1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t**2 * (1 - t), t**3
        found.append(((a + b) * wire.x1 + (c + d) * wire.x2, a * wire.y1 + (b + c) * middle + d * wire.y2))
    return found


def check(items: Sequence[Item]) -> Block:
    block = place(items)
    drawn = boxes(items)
    at = {rect.key: rect for rect in block.rects}
    assert len(at) == len(block.rects)
    leaves = [at[key] for key in drawn]
    for a, b in combinations(leaves, 2):
        assert not overlap(a, b)
    for rect in block.rects:
        assert rect.x >= -1e-6 and rect.y >= -1e-6
        assert rect.x + rect.width <= block.right + 1e-6 and rect.y + rect.height <= block.height + 1e-6
    _check_frames(items, at)
    for wire in block.wires:
        assert wire.y2 >= wire.y1, "every line runs down"
        for x, y in points(wire):
            assert not any(
                rect.x + 0.01 < x < rect.x + rect.width - 0.01 and rect.y + 0.01 < y < rect.y + rect.height - 0.01
                for rect in leaves
            ), "no line crosses a box"
    upright = [wire for wire in block.wires if wire.x1 == wire.x2]
    for one, other in combinations(upright, 2):
        apart = one.value == other.value or one.y2 <= other.y1 or other.y2 <= one.y1
        assert apart or abs(one.x1 - other.x1) > 1, "no two values share a lane"
    _check_lines(block, drawn, at)
    return block


def _check_frames(items: Sequence[Item], at: dict[int, Rect]) -> None:
    for one, other in combinations(items, 2):
        assert not overlap(at[one.key], at[other.key])
    for frame in items:
        for part in frame.parts:
            inner, outer = at[part.key], at[frame.key]
            assert outer.x < inner.x and inner.x + inner.width < outer.x + outer.width
            assert outer.y + frame.height <= inner.y and inner.y + inner.height < outer.y + outer.height
        _check_frames(frame.parts, at)


def _check_lines(block: Block, drawn: dict[int, Item], at: dict[int, Rect]) -> None:
    """From the bottom of the box that makes a value, its line reaches exactly the tops of the boxes that read it."""

    def spot(x: float, y: float) -> tuple[float, float]:
        return round(x, 3), round(y, 3)

    maker = {value: item.key for item in drawn.values() for value in item.gives}
    for value, key in maker.items():
        ways: dict[tuple[float, float], list[Wire]] = {}
        for wire in block.wires:
            if wire.value == value:
                ways.setdefault(spot(wire.x1, wire.y1), []).append(wire)
        box = at[key]
        starts = [s for s in ways if abs(s[1] - box.y - box.height) < 0.01 and box.x <= s[0] <= box.x + box.width]
        assert len(starts) == 1, "it leaves its box at one place"
        ends, open_, followed = [], [starts[0]], 0
        while open_:
            for wire in ways.get(open_.pop(), ()):
                followed += 1
                (ends if wire.enters else open_).append(spot(wire.x2, wire.y2))
        assert followed == sum(map(len, ways.values())), "no piece of a line is left over"
        readers = [item.key for item in drawn.values() if value in item.reads]
        assert len(ends) == len(readers)
        for reader in readers:
            top = at[reader]
            assert any(abs(y - top.y) < 0.01 and top.x <= x <= top.x + top.width for x, y in ends)


@settings(max_examples=150, deadline=None)
@given(wirings())
def test_random_networks(wiring: list[list[int]]) -> None:
    check(flat(wiring))


@settings(max_examples=150, deadline=None)
@given(wirings(), st.lists(st.integers(0, 24), max_size=5), st.lists(st.integers(0, 12), max_size=3))
def test_random_networks_in_frames(wiring: list[list[int]], inner: list[int], outer: list[int]) -> None:
    items = framed(flat(wiring), [bound for bound in inner if bound < len(wiring)])
    shifted = [item if item.key < 1000 else _renamed(item) for item in items]
    check(framed(shifted, [bound for bound in outer if bound < len(shifted)]))


def _renamed(frame: Item) -> Item:
    return Item(frame.key + 1000, frame.width, frame.height, frame.reads, frame.gives, frame.parts)


@settings(max_examples=100, deadline=None)
@given(wirings())
def test_parts_are_the_connected_components(wiring: list[list[int]]) -> None:
    graph = networkx.Graph([(i, j) for i, reads in enumerate(wiring) for j in reads])
    graph.add_nodes_from(range(len(wiring)))
    expected = sorted(sorted(component) for component in networkx.connected_components(graph))
    assert sorted(sorted(item.key for item in part) for part in parts(flat(wiring))) == expected


@settings(max_examples=100, deadline=None)
@given(wirings())
def test_a_cut_hands_on_what_one_item_makes(wiring: list[list[int]]) -> None:
    items, last = flat(wiring), 0
    found = cuts(items, ())
    for i in range(1, len(items)):
        crossing = {j for reads in wiring[i:] for j in reads if j < i}
        if len(crossing) == 1 and min(crossing) >= last:
            assert found[i] == [f"v{crossing.pop()}"]
            last = i
        else:
            assert i not in found


def middle(block: Block, key: int) -> float:
    rect = next(rect for rect in block.rects if rect.key == key)
    return rect.x + rect.width / 2


def test_a_chain_is_one_straight_column() -> None:
    block = check(flat([[], [0], [1], [2]]))
    assert {middle(block, key) for key in range(4)} == {65.0 + 15}
    assert all(wire.x1 == wire.x2 for wire in block.wires)


def test_branches_lie_side_by_side_and_their_fork_and_join_in_the_middle() -> None:
    block = check(flat([[], [0], [0], [0], [0], [1, 2, 3, 4]]))
    tops = [next(rect.y for rect in block.rects if rect.key == key) for key in (1, 2, 3, 4)]
    assert len(set(tops)) == 1
    assert middle(block, 1) < middle(block, 2) < middle(block, 3) < middle(block, 4)
    assert middle(block, 0) == middle(block, 5) == block.right / 2


def test_a_skip_runs_down_one_lane_beside_the_boxes_that_it_skips() -> None:
    block = check(flat([[], [0], [1], [0, 2]]))
    assert {middle(block, key) for key in range(4)} == {80.0}
    lane = max(wire.x1 for wire in block.wires)
    assert lane > max(rect.x + rect.width for rect in block.rects)


def test_nested_skips_run_beside_each_other() -> None:
    block = check(flat([[], [0], [1], [2], [3], [1, 4], [0, 5]]))
    assert len({wire.x1 for wire in block.wires if wire.x1 == wire.x2 and wire.y2 - wire.y1 > 100}) == 2
    assert len({middle(block, key) for key in range(7)}) == 1


def test_a_side_branch_that_ends_lies_beside_the_trunk() -> None:
    block = check(flat([[], [0], [0], [2], [3], [4], [5]]))
    assert middle(block, 1) > middle(block, 2) == middle(block, 6) == middle(block, 0)


def test_a_value_needed_beyond_the_items_has_a_port_at_the_bottom() -> None:
    items = flat([[], [0], [1]])
    block = arrange(items[:2], ["v0", "v1"])
    assert [port.value for port in block.bottoms] == ["v1", "v0"]


def test_unconnected_items_lie_side_by_side() -> None:
    block = check(flat([[], [], []]))
    assert len({rect.y for rect in block.rects}) == 1


@pytest.mark.parametrize(
    "wiring",
    [
        [[], *([i] for i in range(2000))],
        [[], *([max(0, i - 1)] if i % 2 else [i] for i in range(2000))],
        [[i - k for k in (1, 2, 7) if k <= i] for i in range(600)],
        [list(range(i)) for i in range(60)],
    ],
    ids=["chain", "side branches", "woven", "dense"],
)
def test_large_networks(wiring: list[list[int]]) -> None:
    items = flat(wiring)
    block = place(items)
    assert len(block.rects) == len(items)
    assert block == place(items)
