"""A graph cut along its names into units: groups of steps with one input and one output, which code can call.

The nodes under ``stage1.block2.`` are a unit where they read one value from outside and one of theirs is read outside;
otherwise they are steps of the unit around them. The whole network is the outermost unit.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

from foveal.graph import INPUT, Graph, Node

Value = int | float | bool | str | tuple["Value", ...]


Growth = dict[tuple[int, str], int]
"""(Number of a call, argument) -> what is added to the argument each time."""

IN_CONTAINERS = frozenset("append clear extend insert items keys pop update values".split())
"""Methods of PyTorch's containers, which refuse layers of these names."""


@dataclass(frozen=True)
class Arg:
    """An argument of a call.

    Attributes
    ----------
    kind : arguments of one kind may stand in for each other; ``"channels"``, or the name.
    default : a value that may be left out, or None.
    positional : written without its name.
    """

    name: str
    value: Value | None
    kind: str
    default: Value | None = None
    positional: bool = False


@dataclass(frozen=True)
class Call:
    """What a step calls. `form` is how:

    ``layer``     ``function(args)(x)``, made once and then applied;
    ``function``  ``function(x, args)``;
    ``list``      ``function([x, y], args)``;
    ``operator``  ``x function y``;
    ``suffix``    ``x`` and then the text `function`, e.g. ``[:, 0:4]``.
    """

    function: str
    args: tuple[Arg, ...] = ()
    form: str = "layer"


@dataclass(eq=False)
class Step:
    """One call (or a few in a row) in a unit.

    Attributes
    ----------
    name : dotted, under its unit.
    inputs : names of earlier steps, or ``"input"`` for what the unit is given.
    unit : the unit it calls, if any; `calls` is empty until the unit has become a block.
    nodes : the graph's nodes in it.
    owner : the step whose layer it applies again, where weights are shared.
    dead : nothing reads it; it only keeps its weights.
    count : steps it stands for; ``block3`` with 2 is ``block3`` and ``block4``, one after the other.
    growth : what rises from one of these steps to the next.
    """

    name: str
    inputs: tuple[str, ...]
    calls: tuple[Call, ...] = ()
    unit: Unit | None = None
    nodes: tuple[Node, ...] = ()
    owner: str | None = None
    dead: bool = False
    count: int = 1
    growth: Growth = field(default_factory=dict)


@dataclass(eq=False)
class Unit:
    """A callable part of a network.

    Attributes
    ----------
    scope : its names' common part, ``""`` for the network.
    outputs : the steps it returns: one, but the network may have several.
    in_channels, out_channels : of its input and its first output.
    """

    scope: str
    steps: list[Step]
    outputs: tuple[str, ...]
    in_channels: int
    out_channels: int
    nodes: tuple[Node, ...] = field(default=(), repr=False)

    @property
    def chain(self) -> bool:
        """Each step is a layer or unit of its own that reads the one before."""
        readable = all(all(call.form in ("layer", "unit", "function") for call in step.calls) for step in self.steps)
        if any(step.name in IN_CONTAINERS for step in self.steps):
            return False
        names = [INPUT, *(step.name for step in self.steps)]
        in_a_row = all(
            step.inputs == (name,) and not step.dead and step.owner is None and "." not in step.name
            for step, name in zip(self.steps, names, strict=False)
        )
        return readable and in_a_row and self.outputs == (names[-1],)

    def walk(self) -> Iterator[Unit]:
        """The units in it, and then itself."""
        for step in self.steps:
            if step.unit:
                yield from step.unit.walk()
        yield self


def cut(graph: Graph, translate: Callable[[Node], tuple[Call, ...]]) -> Unit:
    """The whole network as a unit, its steps units where names allow; `translate` says what a node calls."""
    return _Cutter(graph, translate).unit("", graph.outputs)


class _Cutter:
    def __init__(self, graph: Graph, translate: Callable[[Node], tuple[Call, ...]]) -> None:
        self.graph, self.translate = graph, translate
        self.live = set(graph.outputs)
        for node in reversed(graph.nodes):
            self.live.update(node.inputs if node.name in self.live else ())
        self.reads: dict[str, dict[str, None]] = defaultdict(dict)
        self.gives: dict[str, dict[str, None]] = defaultdict(dict)
        self.split: set[str] = set()
        self.inside: dict[str, list[Node]] = defaultdict(list)
        for node in graph.nodes:
            self._place(node)
        for name in graph.outputs:
            for scope in _scopes(name):
                self.gives[scope][name] = None
        self.callable = {
            scope
            for scope in self.inside
            if len(self.reads[scope]) == len(self.gives[scope]) == 1 and scope not in self.split
        }

    def _place(self, node: Node) -> None:
        for scope in _scopes(node.name):
            self.inside[scope].append(node)
        if node.weights_of:
            self.split.update(set(_scopes(node.name)) ^ set(_scopes(node.weights_of)))
        for name in node.inputs if node.name in self.live else ():
            mine, theirs = _scopes(node.name), _scopes(name)
            for scope in mine:
                if scope not in theirs:
                    self.reads[scope][name] = None
            for scope in theirs:
                if scope not in mine:
                    self.gives[scope][name] = None

    def unit(self, scope: str, outputs: tuple[str, ...]) -> Unit:
        nodes = self.inside[scope] if scope else list(self.graph.nodes)
        steps: dict[str, Step] = {}
        local: dict[str, str] = {}  # the node a value comes from -> the step of this unit that gives it
        for node in nodes:
            inner = next((s for s in _scopes(node.name) if len(s) > len(scope) and s in self.callable), None)
            start = len(scope) + 1 if scope else 0
            if inner is None:
                step = self._step(node, node.name[start:], start, local)
            elif inner[start:] in steps or node.name not in self.live:
                continue
            else:
                (output,) = self.gives[inner]
                (read,) = self.reads[inner]
                unit = self.unit(inner, (output,))
                step = Step(inner[start:], (local.get(read, INPUT),), unit=unit, nodes=unit.nodes)
                local[output] = step.name
            steps[step.name] = step
        read = INPUT if not scope else next(iter(self.reads[scope]))
        return Unit(
            scope,
            list(steps.values()),
            tuple(local.get(name, INPUT) for name in outputs),
            self.graph.shapes[read][0],
            self.graph.shapes[outputs[0]][0],
            tuple(nodes),
        )

    def _step(self, node: Node, name: str, start: int, local: dict[str, str]) -> Step:
        local[node.name] = name
        dead = node.name not in self.live
        return Step(
            name,
            () if dead else tuple(local.get(read, INPUT) for read in node.inputs),
            self.translate(node),
            nodes=(node,),
            owner=node.weights_of[start:] if node.weights_of else None,
            dead=dead,
        )


def gathered(unit: Unit, alone: bool, growing: bool) -> None:
    """Joins equal numbered rounds of a chain, ``conv2, relu2, conv3, relu3``, into one that stands for all.

    The first round stays by itself, as it often differs in the unit's siblings, unless the unit is `alone`. With
    `growing`, channels may also rise by the same number from round to round.
    """
    if not unit.chain or not unit.scope:
        return
    joined: list[Step] = []
    left = list(unit.steps)
    if not alone and not (growing and _rounds(left, True)[2]):
        first = _number(left[0])
        while left and first >= 0 and _number(left[0]) == first:
            joined.append(left.pop(0))
    while left:
        width, count, growth = _rounds(left, growing)
        joined += [replace(step, count=count, growth=growth.get(step.name, {})) for step in left[:width]]
        left = left[width * count :]
    for i, step in enumerate(joined):
        step.inputs = (joined[i - 1].name if i else INPUT,)
    unit.steps = joined
    unit.outputs = (joined[-1].name,)


def _rounds(steps: list[Step], growing: bool) -> tuple[int, int, dict[str, Growth]]:
    """How many steps make the round that `steps` begin with, how often it is repeated, and what grows in it."""
    for width in range(1, 5):
        first, second = steps[:width], steps[width : 2 * width]
        growth = {step.name: _growth(step, other) for step, other in zip(first, second, strict=False)}
        count = 1
        while _continues(first, steps[width * count : width * (count + 1)], count, growth):
            count += 1
        grows = any(growth.values())
        if count > (2 if grows else 1) and (growing or not grows):
            return width, count, growth if grows else {}
    return 1, 1, {}


def _growth(step: Step, other: Step) -> Growth:
    """By how much each channel argument of `other` is beyond that of `step`."""
    pairs = [
        (number, a.name, b.value - a.value)
        for number, (here, there) in enumerate(zip(step.calls, other.calls, strict=False))
        for a, b in zip(here.args, there.args, strict=False)
        if a.kind == "channels" and isinstance(a.value, int) and isinstance(b.value, int)
    ]
    return {(number, name): more for number, name, more in pairs if more}


def _continues(first: list[Step], later: list[Step], ahead: int, growth: dict[str, Growth]) -> bool:
    """Whether `later` is the round `ahead` rounds after `first`."""
    if len(later) < len(first) or len({_number(step) for step in first}) > 1:
        return False
    for step, other in zip(first, later, strict=True):
        here, there = numbered(step.name), numbered(other.name)
        if not here or there != (here[0], here[1] + ahead) or Call("", form="unit") in step.calls:
            return False
        if _grown(step.calls, growth[step.name], ahead) != other.calls:
            return False
    return True


def _grown(calls: tuple[Call, ...], growth: Growth, times: int) -> tuple[Call, ...]:
    def grown(number: int, arg: Arg) -> Arg:
        more = growth.get((number, arg.name), 0)
        return replace(arg, value=arg.value + more * times) if more and isinstance(arg.value, int) else arg

    return tuple(
        replace(call, args=tuple(grown(number, arg) for arg in call.args)) for number, call in enumerate(calls)
    )


def _number(step: Step) -> int:
    return (numbered(step.name) or ("", -1))[1]


def numbered(name: str) -> tuple[str, int] | None:
    """``("block", 12)`` for ``block12``; None where no plain number ends the name."""
    stem = name.rstrip("0123456789")
    digits = name[len(stem) :]
    return (stem, int(digits)) if digits and str(int(digits)) == digits else None


def _scopes(name: str) -> list[str]:
    """``["a", "a.b"]`` for ``a.b.c``."""
    parts = name.split(".")
    return [".".join(parts[:i]) for i in range(1, len(parts))]
