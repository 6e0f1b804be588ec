"""Where boxes and lines go: the geometry of a drawing, without knowing what is drawn.

A network is mostly a series of forks and joins. So it is cut where a single item hands everything on (pieces one below
the other), what lies between is parted where nothing connects it (branches side by side), and so on inside each branch.
Only what neither cuts nor parts is laid out in rows by longest path (Sugiyama, Tagawa & Toda, 1981). Lines turn in the
gaps between rows alone, and long ones run down lanes beside the boxes, so no line crosses a box.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from heapq import heappop, heappush
from typing import NamedTuple

GAP = 28.0  # between what is one below the other
BESIDE = 20.0  # between branches
LANE = 12.0
PAD = 12.0  # inside a frame
MOST_PLACES = 8  # where lines enter a box apart
DEEPEST = 40  # forks inside forks; deeper ones are laid out in rows


@dataclass(frozen=True)
class Item:
    """A box, or with `parts` a frame around other items. Items are given in topological order.

    Attributes
    ----------
    key : names the item in the result.
    width, height : of the box; of a frame, those of its title.
    reads, gives : names of the values that enter at its top and that leave at its bottom for other items.
    """

    key: int
    width: float
    height: float
    reads: tuple[str, ...]
    gives: tuple[str, ...]
    parts: tuple[Item, ...] = ()


class Rect(NamedTuple):
    """Where an item lies."""

    key: int
    x: float
    y: float
    width: float
    height: float


class Wire(NamedTuple):
    """A piece of a value's line, from top to bottom; straight where x does not change; `enters` a box at its end."""

    value: str
    x1: float
    y1: float
    x2: float
    y2: float
    enters: bool = False


class Port(NamedTuple):
    """Where a value crosses the border of a block; `enters` a box right there."""

    value: str
    x: float
    enters: bool = False


@dataclass
class Block:
    """Items laid out, from y = 0 to `height`, around a main axis at x = 0."""

    left: float = 0.0
    right: float = 0.0
    height: float = 0.0
    tops: list[Port] = field(default_factory=list)
    bottoms: list[Port] = field(default_factory=list)
    rects: list[Rect] = field(default_factory=list)
    wires: list[Wire] = field(default_factory=list)

    def take(self, other: Block, dx: float, dy: float) -> None:
        """Put what `other` shows at a place of this block."""
        self.rects += [r._replace(x=r.x + dx, y=r.y + dy) for r in other.rects]
        self.wires += [w._replace(x1=w.x1 + dx, y1=w.y1 + dy, x2=w.x2 + dx, y2=w.y2 + dy) for w in other.wires]

    def run(self, value: str, x1: float, y1: float, x2: float, y2: float, enters: bool = False) -> None:
        """Draw a line, unless it has no length."""
        if (x1, y1) != (x2, y2):
            self.wires.append(Wire(value, x1, y1, x2, y2, enters))


def place(items: Sequence[Item]) -> Block:
    """`items` laid out; the block's corner is at (0, 0)."""
    block = arrange(items, ())
    whole = Block(0.0, block.left + block.right, block.height)
    whole.take(block, block.left, 0.0)
    return whole


def cuts(items: Sequence[Item], leaving: Collection[str]) -> dict[int, list[str]]:
    """Positions before which one item's values are all that the items before hand on to those after; and these values.

    The item is one since the last such position: what only passes by is a branch.

    Parameters
    ----------
    leaving : values that are needed beyond `items`.
    """
    maker = {value: i for i, item in enumerate(items) for value in item.gives}
    last, entered = dict.fromkeys(leaving, len(items)), 0
    for i, item in enumerate(items):
        for value in item.reads:
            if value in maker:
                last[value] = max(i, last.get(value, i))
            else:
                entered = i
    ending: dict[int, list[int]] = {}
    for value in maker.keys() & last.keys():
        ending.setdefault(last[value], []).append(maker[value])
    alive: Counter[int] = Counter()  # how many values of each item are still to be read
    found: dict[int, list[str]] = {}
    start = 0
    for i in range(1, len(items)):
        if kept := sum(value in last for value in items[i - 1].gives):
            alive[i - 1] = kept
        for made_at in ending.get(i - 1, ()):
            alive[made_at] -= 1
            if not alive[made_at]:
                del alive[made_at]
        if len(alive) == 1 and i > entered and (giver := next(iter(alive))) >= start:
            start = i
            found[i] = [value for value in items[giver].gives if last.get(value, 0) >= i]
    return found


def parts(items: Sequence[Item]) -> list[list[Item]]:
    """`items` in groups that share no value made inside."""
    group = list(range(len(items)))

    def find(i: int) -> int:
        while group[i] != i:
            group[i] = group[group[i]]
            i = group[i]
        return i

    maker = {value: i for i, item in enumerate(items) for value in item.gives}
    for i, item in enumerate(items):
        for value in item.reads:
            if value in maker:
                group[find(i)] = find(maker[value])
    groups: dict[int, list[Item]] = {}
    for i, item in enumerate(items):
        groups.setdefault(find(i), []).append(item)
    return list(groups.values())


def arrange(items: Sequence[Item], leaving: Collection[str], nesting: int = 0) -> Block:
    """`items` laid out, with a port at the bottom for each value of `leaving`."""
    if nesting > DEEPEST:
        return _rows(items, leaving, nesting)
    staying = _made(items, leaving)
    passing = [value for value in leaving if value not in staying]
    branches = parts(items)
    if passing or len(branches) > 1:
        return _beside([arrange(branch, _made(branch, staying), nesting + 1) for branch in branches], passing)
    stub = next((i for i, item in enumerate(items[:-1]) if not item.gives), len(items))  # a branch that ends there
    steps = [*((at, handed) for at, handed in cuts(items, staying).items() if at <= stub), (len(items), staying)]
    if len(steps) > 1:
        starts = [0, *(stop for stop, _ in steps[:-1])]
        pieces = [(items[start:stop], handed) for start, (stop, handed) in zip(starts, steps, strict=True)]
        return _stacked([arrange(piece, handed, nesting + 1) for piece, handed in pieces])
    return _leaf(items[0], nesting) if len(items) == 1 else _joined(items, staying, nesting)


def _made(items: Iterable[Item], wanted: Iterable[str]) -> list[str]:
    made = {value for item in items for value in item.gives}
    return [value for value in wanted if value in made]


def _joined(items: Sequence[Item], leaving: Sequence[str], nesting: int) -> Block:
    """Branches that the last item joins; rows, if there are none."""
    *rest, join = items
    branches = parts(rest)
    inner = {value for item in rest for value in item.gives}
    skips = [value for value in join.reads if value not in inner]
    if len(branches) + len(skips) < 2 or not set(leaving) <= set(join.gives):
        return _rows(items, leaving, nesting)
    above = _beside([arrange(branch, _made(branch, join.reads), nesting + 1) for branch in branches], skips)
    return _stacked([above, _leaf(join, nesting, {port.value: port.x for port in above.bottoms})])


def _leaf(item: Item, nesting: int, sources: Mapping[str, float] | None = None) -> Block:
    """One item; the values that a box reads enter in the order of their `sources`, from the left."""
    if item.parts:
        return _framed(item, arrange(item.parts, item.gives, nesting + 1))
    block = Block(item.width / 2, item.width / 2, item.height)
    reads = sorted(item.reads, key=lambda value: (sources or {}).get(value, 0.0))
    block.tops = [Port(value, x, True) for value, x in zip(reads, _spread(len(reads), item.width), strict=True)]
    block.bottoms = [Port(value, x) for value, x in zip(item.gives, _spread(len(item.gives), item.width), strict=True)]
    block.rects = [Rect(item.key, -item.width / 2, 0.0, item.width, item.height)]
    return block


def _spread(count: int, width: float) -> list[float]:
    """`count` places along a border of `width`, about its middle; one and the same for very many."""
    step = min(20.0, width / (count + 1)) if count <= MOST_PLACES else 0.0
    return [(i - (count - 1) / 2) * step for i in range(count)]


def _framed(item: Item, inner: Block) -> Block:
    """A frame with its title above what it holds. Each value enters once and forks inside."""
    first = {port.value: port.x for port in reversed(inner.tops)}
    enter = first if len(first) > 1 else dict.fromkeys(first, 0.0)
    shifts = [abs(port.x - enter[port.value]) for port in inner.tops]
    fork = item.height / 2 if any(shifts) else item.height
    head = fork + (_gap(shifts) if any(shifts) else PAD)
    foot = head + inner.height + PAD
    left = inner.left + PAD
    block = Block(left, max(inner.right + PAD, item.width - left), foot)
    block.rects = [Rect(item.key, -left, 0.0, left + block.right, foot)]
    block.take(inner, 0.0, head)
    for value, x in enter.items():
        block.run(value, x, 0.0, x, fork)
    for port in inner.tops:
        block.run(port.value, enter[port.value], fork, port.x, head, port.enters)
    for port in inner.bottoms:
        block.run(port.value, port.x, head + inner.height, port.x, foot)
    block.tops, block.bottoms = [Port(value, x) for value, x in enter.items()], inner.bottoms
    return block


def _gap(shifts: Iterable[float]) -> float:
    """Room between rows for lines that move sideways by `shifts`."""
    return GAP + min(GAP, max(shifts, default=0.0) / 16)


def _stacked(blocks: Sequence[Block]) -> Block:
    """Blocks one below the other on one axis; each reads what the one above hands on."""
    whole = Block(max(b.left for b in blocks), max(b.right for b in blocks), tops=blocks[0].tops)
    handed: dict[str, float] = {}
    for block in blocks:
        if block is not blocks[0]:
            y = whole.height
            whole.height += _gap(abs(handed[port.value] - port.x) for port in block.tops)
            for port in block.tops:
                whole.run(port.value, handed[port.value], y, port.x, whole.height, port.enters)
        whole.take(block, 0.0, whole.height)
        whole.height += block.height
        handed = {port.value: port.x for port in block.bottoms}
    whole.bottoms = blocks[-1].bottoms
    return whole


def _beside(blocks: Sequence[Block], passing: Sequence[str]) -> Block:
    """Branches side by side, then a lane for each value that only passes.

    The axis is the middle; where one branch is at least twice as tall as any other, it comes first and keeps its own.
    """
    tallest = max(blocks, key=lambda b: b.height)
    chief = all(b is tallest or 2 * b.height <= tallest.height for b in blocks)
    ordered = [tallest, *(b for b in blocks if b is not tallest)] if chief else list(blocks)
    width = sum(b.left + b.right for b in ordered) + BESIDE * (len(ordered) - 1)
    left = ordered[0].left if chief else width / 2
    whole = Block(left, width - left + LANE * len(passing), tallest.height)
    x = -left
    for block in ordered:
        axis = x + block.left
        whole.take(block, axis, 0.0)
        whole.tops += [port._replace(x=port.x + axis) for port in block.tops]
        for port in block.bottoms:
            whole.run(port.value, port.x + axis, block.height, port.x + axis, whole.height)
            whole.bottoms.append(Port(port.value, port.x + axis))
        x = axis + block.right + BESIDE
    for i, value in enumerate(passing):
        lane = width - left + LANE * (i + 1)
        whole.run(value, lane, 0.0, lane, whole.height)
        whole.tops.append(Port(value, lane))
        whole.bottoms.append(Port(value, lane))
    return whole


# --- what neither cuts nor parts --------------------------------------------------------------------------------------


def _rows(items: Sequence[Item], leaving: Collection[str], nesting: int) -> Block:
    """Rows by longest path, each centred; values that skip a row run down a lane at the right."""
    maker = {value: i for i, item in enumerate(items) for value in item.gives}
    levels: list[int] = []
    for item in items:
        levels.append(1 + max((levels[maker[value]] for value in item.reads if value in maker), default=-1))
    rows = _ordered(items, levels, maker)
    blocks = [_leaf(item, nesting) for item in items]
    axes = _centred(rows, blocks)
    entering = dict.fromkeys(v for v in (*(v for item in items for v in item.reads), *leaving) if v not in maker)
    source = dict(zip(entering, _spread(len(entering), 20.0 * (len(entering) + 1)), strict=True))
    source |= {port.value: axes[i] + port.x for i, block in enumerate(blocks) for port in block.bottoms}
    blocks = [block if item.parts else _leaf(item, nesting, source) for item, block in zip(items, blocks, strict=True)]
    left = max(max(b.left - x for b, x in zip(blocks, axes, strict=True)), -min(source.values(), default=0.0))
    right = max(max(b.right + x for b, x in zip(blocks, axes, strict=True)), max(source.values(), default=0.0))

    targets: dict[str, dict[int, list[Port]]] = {value: {} for value in source}
    for i, block in enumerate(blocks):
        for port in block.tops:
            targets[port.value].setdefault(levels[i], []).append(port._replace(x=port.x + axes[i]))
    for value in leaving:
        targets[value].setdefault(len(rows), [])
    origin = {value: levels[maker[value]] if value in maker else -1 for value in source}
    lanes, count = _lanes({v: (origin[v], max(reached)) for v, reached in targets.items() if reached})

    gap = _gap([left + right])
    floors = [0.0 if entering else -gap]  # where each row ends; first where values enter
    for row in rows:
        floors.append(floors[-1] + gap + max(blocks[i].height for i in row))
    whole = Block(left, right + LANE * count, floors[-1], [Port(value, source[value]) for value in entering])
    for i, block in enumerate(blocks):
        whole.take(block, axes[i], floors[levels[i]] + gap)
        for port in block.bottoms:
            x = axes[i] + port.x
            whole.run(port.value, x, floors[levels[i]] + gap + block.height, x, floors[levels[i] + 1])
    for value, reached in targets.items():
        x, y = source[value], floors[origin[value] + 1]
        for level, ports in sorted(reached.items()):
            if level > origin[value] + 1 and x == source[value]:  # from here on in its lane
                x = right + LANE * (lanes[value] + 1)
                whole.run(value, source[value], y, x, y + gap)
                y += gap
            if level > origin[value] + 1:
                whole.run(value, x, y, x, floors[level])
                y = floors[level]
            for port in ports:
                whole.run(value, x, y, port.x, y + gap, port.enters)
        if value in leaving:
            whole.bottoms.append(Port(value, x))
    return whole


def _ordered(items: Sequence[Item], levels: Sequence[int], maker: Mapping[str, int]) -> list[list[int]]:
    """The items of each row, near those they read and those that read them (barycentres, two sweeps each way)."""
    rows: list[list[int]] = [[] for _ in range(max(levels) + 1)]
    above: list[list[int]] = [[maker[v] for v in item.reads if v in maker] for item in items]
    below: list[list[int]] = [[] for _ in items]
    for i, level in enumerate(levels):
        rows[level].append(i)
        for j in above[i]:
            below[j].append(i)
    place = {i: (k + 0.5) / len(row) for row in rows for k, i in enumerate(row)}
    for sweep in range(4):
        near = below if sweep % 2 else above
        for row in reversed(rows) if sweep % 2 else rows:
            row.sort(key=lambda i: sum(place[j] for j in near[i]) / len(near[i]) if near[i] else place[i])
            place.update({i: (k + 0.5) / len(row) for k, i in enumerate(row)})
    return rows


def _centred(rows: Sequence[Sequence[int]], blocks: Sequence[Block]) -> list[float]:
    """The axis of each block."""
    axes = [0.0] * len(blocks)
    for row in rows:
        x = -(sum(blocks[i].left + blocks[i].right for i in row) + BESIDE * (len(row) - 1)) / 2
        for i in row:
            axes[i] = x + blocks[i].left
            x += blocks[i].left + blocks[i].right + BESIDE
    return axes


def _lanes(spans: Mapping[str, tuple[int, int]]) -> tuple[dict[str, int], int]:
    """A lane for each value that skips a row between its first and its last; and how many lanes there are."""
    lanes: dict[str, int] = {}
    ends: list[tuple[int, int]] = []
    for value, (first, last) in sorted(spans.items(), key=lambda span: span[1]):
        if last > first + 1:
            lanes[value] = heappop(ends)[1] if ends and ends[0][0] <= first else len(ends)
            heappush(ends, (last, lanes[value]))
    return lanes, len(ends)
