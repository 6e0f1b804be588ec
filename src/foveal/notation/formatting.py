"""Graph -> text: what `parse` reads, as short as the notation allows.

A joining node and all that leads to it from one earlier node, its fork, are one piece ``{ a | b } add``. Each node
belongs to one piece only; where one does not, the wiring cannot be said.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import reduce

from foveal.errors import GraphError
from foveal.graph import INPUT, Graph, Node
from foveal.notation.parsing import MOST_NESTED
from foveal.notation.words import BY_OP, JOINS, write
from foveal.shapes import text

_JOIN_WORDS = {op: word for word, op in JOINS.items()}
_COMPARISONS = 2_000_000  # bounds the search for repetitions in a chain of very many steps


@dataclass(frozen=True)
class Piece:
    """Text for one or more steps in a row: how deep its forks and its repetitions are nested."""

    text: str
    forks: int = 0
    repeats: int = 0


def format(graph: Graph) -> str:
    """The text that `parse` turns into `graph`, up to the names of its nodes (and 3 for a size of (3, 3)).

    Equal steps in a row are written once, as ``3 x (...)``.

    Raises
    ------
    GraphError : the notation cannot say it: an `Opaque` step, shared weights, several outputs, a value read from inside
        a branch, a node that nothing reads; the message names the node.
    """
    writer = _Writer(graph)
    for node in graph.nodes:
        writer.add(node)
    return f"{text(graph.input_shape)} > {writer.whole()}"


class _Writer:
    """Pieces of the nodes added so far, each with the node before it: the fork, where the piece is a join."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.before: dict[str, str] = {}
        self.depth = {INPUT: 0}
        self.pieces: dict[str, Piece] = {}
        self.taken: set[str] = set()  # nodes inside a branch, or in the outermost chain

    def add(self, node: Node) -> None:
        if node.weights_of:
            raise _refusal(node.name, f"it shares the weights of {node.weights_of}")
        kind = type(node.op)
        if kind in _JOIN_WORDS:
            before, piece = self.join(node)
        elif kind in BY_OP:
            before = node.inputs[0]
            piece = Piece(write(node.op, self.graph.shapes[before]))
        else:
            raise _refusal(node.name, f"there is no word for {kind.__name__}")
        self.before[node.name], self.pieces[node.name] = before, piece
        self.depth[node.name] = self.depth[before] + 1

    def join(self, node: Node) -> tuple[str, Piece]:
        """The fork from which all inputs of `node` come, and what lies between."""
        fork = reduce(self.meeting, node.inputs)
        branches = [self.row(end, fork) for end in node.inputs]
        forks = 1 + max(branch.forks for branch in branches)
        if forks > MOST_NESTED["{"]:
            raise _refusal(node.name, f"more than {MOST_NESTED['{']} branches are nested here")
        inside = " | ".join(branch.text or "id" for branch in branches)
        repeats = max(branch.repeats for branch in branches)
        return fork, Piece(f"{{ {inside} }} {_JOIN_WORDS[type(node.op)]}", forks, repeats)

    def meeting(self, one: str, other: str) -> str:
        """The last node through which both of these are reached."""
        while one != other:
            if self.depth[one] < self.depth[other]:
                one, other = other, one
            one = self.before[one]
        return one

    def row(self, last: str, fork: str) -> Piece:
        """The steps after `fork`, up to and with `last`."""
        names = []
        while last != fork:
            if last in self.taken:
                raise _refusal(last, "the paths from it do not meet in one add, concat or multiply")
            self.taken.add(last)
            names.append(last)
            last = self.before[last]
        steps: list[list[Piece]] = []
        for name in reversed(names):
            word = BY_OP.get(type(self.graph.by_name[name].op))
            if steps and word and word.follows:
                steps[-1].append(self.pieces[name])
            else:
                steps.append([self.pieces[name]])
        return _joined(_folded([_joined(step, " ") for step in steps]), " > ")

    def whole(self) -> str:
        """The outermost chain."""
        output, *others = self.graph.outputs
        if others or output == INPUT:
            raise _refusal((others or [INPUT])[0], "a network has one output, its last step")
        chain = self.row(output, INPUT)
        for node in self.graph.nodes:
            if node.name not in self.taken:
                raise _refusal(node.name, "no path leads from it to the output")
        return chain.text


def _joined(pieces: list[Piece], sign: str) -> Piece:
    return Piece(
        sign.join(piece.text for piece in pieces),
        max((piece.forks for piece in pieces), default=0),
        max((piece.repeats for piece in pieces), default=0),
    )


def _folded(steps: list[Piece]) -> list[Piece]:
    """`steps` with equal runs in a row written once, short runs first, so that repetitions can hold others."""
    period = 1
    while period <= min(len(steps) // 2, _COMPARISONS // max(len(steps), 1)):
        steps = list(_fold(steps, period))
        period += 1
    return steps


def _fold(steps: list[Piece], period: int) -> Iterator[Piece]:
    texts = [step.text for step in steps]
    i = 0
    while i < len(steps):
        times = _times(texts, i, period)
        whole = _joined(steps[i : i + period], " > ") if times > 1 else steps[i]
        if times > 1 and whole.repeats < MOST_NESTED["("]:
            yield Piece(f"{times} x ({whole.text})", whole.forks, whole.repeats + 1)
            i += times * period
        else:
            yield steps[i]
            i += 1


def _times(texts: list[str], i: int, period: int) -> int:
    """How often the `period` texts from `i` on stand there in a row."""
    end = i + period
    while end < len(texts) and texts[i] == texts[end] and texts[i : i + period] == texts[end : end + period]:
        end += period
    return (end - i) // period


def _refusal(name: str, why: str) -> GraphError:
    return GraphError(f"{name} cannot be said in the notation: {why}")
