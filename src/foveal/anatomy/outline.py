"""What a drawing shows of a network: boxes for a layer and what follows it, frames for scopes, repeats shown once."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby, pairwise

from foveal.anatomy.layout import Item, cuts
from foveal.graph import Graph, Node
from foveal.notation.words import BY_OP

MOST_BOXES = 150  # without a depth, scopes are closed until no more are left
LONGEST_PATTERN = 32  # pieces that repeat together
SMALL = 2  # parts of a scope inside another that get no frame of their own
_OUTSIDE = ""  # who reads an output of the network


@dataclass(frozen=True)
class Piece:
    """A box, or with `parts` a frame around other pieces.

    Attributes
    ----------
    name : of the scope or of the box's first node; empty for a frame that stands for a repeat only.
    nodes : all it stands for, copies included.
    drawn : those of the first copy.
    level : how deep its scope is: 2 for ``stage1.block2``.
    times, last : how many copies the drawing marks it with, and the name of the last.
    closed : whether it is a box that could be a frame.
    """

    name: str
    nodes: tuple[Node, ...]
    drawn: tuple[Node, ...]
    parts: tuple[Piece, ...] = ()
    level: int = 0
    times: int = 1
    last: str = ""
    closed: bool = False

    def boxes(self) -> Iterator[Piece]:
        """The boxes inside, or itself."""
        if not self.parts:
            yield self
        for part in self.parts:
            yield from part.boxes()


class Outline:
    """The pieces of `graph`, from the first to the last.

    Consecutive nodes of one scope make a piece: they are an interval of a topological order, so no two pieces wait for
    each other, whatever the names.

    Parameters
    ----------
    depth : scopes this deep, counted as in ``stage1.block2`` (2), are boxes; None for as deep as `MOST_BOXES` allow.

    Attributes
    ----------
    pieces : in topological order.
    """

    def __init__(self, graph: Graph, depth: int | None = None) -> None:
        self._graph = graph
        self._stand_in: dict[str, str] = {}
        self._readers: dict[str, list[str]] = {node.name: [] for node in graph.nodes}
        for node in graph.nodes:
            for value in node.inputs:
                self._readers.setdefault(value, []).append(node.name)
        for value in graph.outputs:
            self._readers.setdefault(value, []).append(_OUTSIDE)
        pieces = self._level(graph.nodes, 0)
        deepest = 1 + max((node.name.count(".") for node in graph.nodes), default=0)
        for most in [depth] if depth else range(deepest, 0, -1):
            self.pieces = [_closed(piece, most) for piece in pieces]
            if sum(1 for piece in self.pieces for _ in piece.boxes()) <= MOST_BOXES:
                break

    def value(self, name: str) -> str:
        """The value that is drawn in place of the value `name`: that of the first copy for that of the last."""
        while name in self._stand_in:
            name = self._stand_in[name]
        return name

    def _level(self, nodes: Iterable[Node], level: int) -> list[Piece]:
        """The nodes of one scope, whose name has `level` parts."""
        pieces: list[Piece] = []
        for _, run in groupby(nodes, key=lambda node: node.name.split(".")[level]):
            inside = list(run)
            if inside[0].name.count(".") == level:
                pieces.append(Piece(inside[0].name, tuple(inside), tuple(inside)))
                continue
            name = ".".join(inside[0].name.split(".")[: level + 1])
            parts = self._level(inside, level + 1)
            if len(parts) == 1:
                pieces.append(replace(parts[0], name=name, last="", level=max(level + 1, parts[0].level)))
            elif level and len(parts) <= SMALL:
                pieces += parts
            else:
                pieces.append(Piece(name, tuple(inside), _drawn(parts), tuple(parts), level + 1))
        return self._folded(self._fused(pieces))

    def _fused(self, pieces: Iterable[Piece]) -> list[Piece]:
        """Boxes joined with what follows them and nothing else: norms, activations, dropout."""
        fused: list[Piece] = []
        ends: dict[str, int] = {}  # the value that a box gives, and the box's place
        for piece in pieces:
            node = piece.nodes[0]
            at = ends.get(node.inputs[0]) if len(node.inputs) == 1 else None
            if at is not None and _follows(piece) and len(self._readers[node.inputs[0]]) == 1:
                nodes = fused[at].nodes + piece.nodes
                fused[at] = replace(fused[at], nodes=nodes, drawn=nodes)
            else:
                at = len(fused)
                fused.append(piece)
            if _plain(fused[at]):
                ends[fused[at].nodes[-1].name] = at
        return fused

    def _folded(self, pieces: Sequence[Piece]) -> list[Piece]:
        """Equal pieces in a row, or patterns of several, put into one."""
        segments, keys = self._segments(pieces)
        folded: list[Piece] = []
        i = 0
        while i < len(segments):
            period, times = _best_run(keys, i)
            copies = [[p for s in segments[at : at + period] for p in s] for at in range(i, i + period * times, period)]
            folded += copies[0] if times == 1 else [self._repeated(copies)]
            i += period * times
        return folded

    def _segments(self, pieces: Sequence[Piece]) -> tuple[list[Sequence[Piece]], list[int]]:
        """`pieces` cut where one value is all that is handed on; equal numbers for segments that are built equally."""
        own = {node.name for piece in pieces for node in piece.nodes}
        items = [Item(0, 0.0, 0.0, *flow(piece.nodes, self._readers)) for piece in pieces]
        leaving = [value for item in items for value in item.gives if not own.issuperset(self._readers[value])]
        handed = {at: values for at, values in cuts(items, leaving).items() if len(values) == 1}
        numbers: list[int] = []
        bounds = [0, *handed, len(pieces)]
        segments = [pieces[start:stop] for start, stop in pairwise(bounds)]
        keys: dict[object, int] = {}
        for segment, given in zip(segments, [*handed.values(), leaving], strict=True):
            numbers.append(keys.setdefault(self._key(segment, given), len(keys)))
        return segments, numbers

    def _key(self, segment: Sequence[Piece], given: Sequence[str]) -> object:
        """Ops, shapes and wiring; two segments with equal keys differ in names alone, and in the shape they read."""
        nodes = [node for piece in segment for node in piece.nodes]
        place = {node.name: i for i, node in enumerate(nodes)}
        if len(given) != 1 or given[0] not in place:
            return object()  # equal to none
        for node in nodes:
            for value in node.inputs:
                place.setdefault(value, -1 - len(place))
        built = [
            (node.op, node.weights_of is None, self._graph.shapes[node.name], tuple(place[v] for v in node.inputs))
            for node in nodes
        ]
        return (place[given[0]], *built)

    def _repeated(self, copies: Sequence[Sequence[Piece]]) -> Piece:
        """The first of `copies`, each part of which stands for its like in the others, too."""
        each = [[node for piece in copy for node in piece.nodes] for copy in copies]
        alike = {same[0].name: same for same in zip(*each, strict=True)}
        (given,), (last,) = (flow(nodes, self._readers)[1] for nodes in (each[0], each[-1]))
        self._stand_in[last] = given
        parts = [_standing(piece, alike) for piece in self._folded(copies[0])]
        if len(parts) == 1:
            return replace(parts[0], times=parts[0].times * len(copies), last=copies[-1][0].name)
        return Piece("", tuple(node for copy in each for node in copy), _drawn(parts), tuple(parts), times=len(copies))


def flow(
    nodes: Sequence[Node], readers: Mapping[str, Collection[str]], value: Callable[[str], str] = str
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The values that `nodes` read from outside, each as `value` has it, and those that `readers` outside read."""
    own = {node.name for node in nodes}
    values = dict.fromkeys(value(name) for node in nodes for name in node.inputs)
    reads = tuple(name for name in values if name not in own)
    return reads, tuple(node.name for node in nodes if not own.issuperset(readers.get(node.name, ())))


def _standing(piece: Piece, alike: Mapping[str, Sequence[Node]]) -> Piece:
    """`piece` standing for all nodes `alike` its own."""
    nodes = tuple(same for node in piece.nodes for same in alike[node.name])
    return replace(piece, nodes=nodes, parts=tuple(_standing(part, alike) for part in piece.parts))


def _drawn(parts: Iterable[Piece]) -> tuple[Node, ...]:
    return tuple(node for part in parts for node in part.drawn)


def _plain(piece: Piece) -> bool:
    return not piece.parts and piece.times == 1


def _follows(piece: Piece) -> bool:
    word = BY_OP.get(type(piece.nodes[0].op))
    return word is not None and word.follows and _plain(piece)


def _best_run(keys: Sequence[int], at: int) -> tuple[int, int]:
    """The pattern from `at` on that saves most: its length and how often it comes."""
    best = (1, 1)
    for period in range(1, min(LONGEST_PATTERN, (len(keys) - at) // 2) + 1):
        times = 1
        while keys[at + times * period : at + (times + 1) * period] == keys[at : at + period]:
            times += 1
        best = max(best, (period, times), key=lambda run: (run[1] - 1) * run[0])
    return best


def _closed(piece: Piece, depth: int) -> Piece:
    """`piece` with the scopes at `depth` shown as boxes."""
    if piece.parts and piece.level >= depth:
        return replace(piece, parts=(), closed=True)
    return replace(piece, parts=tuple(_closed(part, depth) for part in piece.parts))
