"""The statements that run a unit's steps one after the other, with as few variables as reads well."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from foveal.graph import INPUT
from foveal.source.layout import INDENT, Expression, before, flat, lines
from foveal.source.naming import USED, unique, variable
from foveal.source.units import Step


@dataclass
class Statements:
    """Writes the body of a function.

    Attributes
    ----------
    apply : the expression of one of a step's calls, given those of its inputs.
    follows : whether a step may be written around the one before it, as in ``relu(bn(conv(x)))``.
    fits : whether a step may be written inside a sum or concatenation.
    switches : optional steps, and the condition under which each runs.
    loops : steps that repeat: the first step of the loop's body, and the loop's head.
    taken : names that no variable may have.
    depth : of indentation.
    ending : the last line, around the outputs.
    headings : a comment with the name of each group of steps.
    """

    steps: Sequence[Step]
    outputs: tuple[str, ...]
    apply: Callable[[Step, int, list[Expression]], Expression]
    follows: Callable[[Step], bool]
    fits: Callable[[Step], bool]
    switches: Mapping[str, str] = field(default_factory=dict)
    loops: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    taken: frozenset[str] = frozenset()
    depth: int = 1
    ending: str = "return {}"
    headings: bool = False

    def __post_init__(self) -> None:
        self.steps = [step for step in self.steps if not step.dead]
        self.readers: dict[str, list[int]] = defaultdict(list)
        for i, step in enumerate(self.steps):
            for name in step.inputs:
                self.readers[name].append(i)
        for name in self.outputs:
            self.readers[name].append(len(self.steps))
        self.written: dict[str, Expression] = {}  # steps that are part of a later statement
        self.nested: dict[str, int] = {}
        self.stands: list[int] = list(range(len(self.steps)))  # the statement of which each step is a part
        for i in reversed(range(len(self.steps))):
            if (reader := self._joins_reader(i)) is not None:
                self.stands[i] = self.stands[reader]
        self.last = {name: max(self._stand(i) for i in readers) for name, readers in self.readers.items()}
        self.variables = {INPUT: "x"}

    def _stand(self, i: int) -> int:
        return self.stands[i] if i < len(self.steps) else i

    def _plain(self, step: Step) -> bool:
        return len(step.calls) == 1 and step.name not in self.switches and step.name not in self.loops

    def _joins_reader(self, i: int) -> int | None:
        """The later step inside whose statement step i is written, if any."""
        step, readers = self.steps[i], self.readers[self.steps[i].name]
        if len(readers) != 1 or readers[0] == len(self.steps) or not self._plain(step):
            return None
        reader = self.steps[readers[0]]
        if not self._plain(reader):
            return None
        if len(reader.inputs) > 1:
            between = self.stands[i + 1 : readers[0]]  # the code runs the steps in the graph's order
            near = all(stand == self.stands[readers[0]] for stand in between)
            return readers[0] if near and self.fits(step) else None
        nested = self.nested.get(reader.name, 1)
        outermost = self.stands[i + 1] == i + 1 or reader.name in self.nested
        if readers[0] == i + 1 and self.follows(reader) and nested < 3 and outermost:
            self.nested[step.name] = nested + 1
            return i + 1
        return None

    def written_lines(self) -> list[str]:
        """The body, its last line a return."""
        out: list[str] = []
        end = len(self.steps) - 1
        heading = None
        for i, step in enumerate(self.steps):
            part, _, inner = step.name.partition(".")
            part = part if self.headings and inner else ""
            if part != heading and (part or heading):
                out += ["", f"{INDENT * self.depth}# {part}"] if part else [""]
            heading = part
            inputs: list[Expression] = [self._value(name) for name in step.inputs]
            if self.stands[i] != i:
                self.written[step.name] = self.apply(step, 0, inputs)
                continue
            if i == end and self.outputs == (step.name,) and self._plain(step) and self.ending == "return {}":
                return [*out, *lines(before("return ", self.apply(step, 0, inputs)), self.depth)]
            target = self._target(i)
            if step.name in self.switches or step.name in self.loops:
                out += self._under_a_head(step, inputs, target)
            else:
                out += self._assignments(step, inputs, target, self.depth)
            self.variables[step.name] = target
        results = ", ".join(flat(self._value(name)) for name in self.outputs)
        return [*out, INDENT * self.depth + self.ending.format(results)]

    def _assignments(self, step: Step, inputs: list[Expression], target: str, depth: int) -> list[str]:
        out: list[str] = []
        for number in range(len(step.calls)):
            out += lines(before(f"{target} = ", self.apply(step, number, inputs)), depth)
            inputs = [target]
        return out

    def _under_a_head(self, step: Step, inputs: list[Expression], target: str) -> list[str]:
        """A step that does not run once and always: its target holds what is passed on where it does not run."""
        passed = next((self.variables[name] for name in step.inputs if name != INPUT), self.variables[INPUT])
        out = [f"{INDENT * self.depth}{target} = {passed}"] if target != passed else []
        depth = self.depth
        if step.name in self.switches:
            out.append(f"{INDENT * depth}if {self.switches[step.name]}:")
            depth += 1
        if step.name in self.loops:
            first, head = self.loops[step.name]
            out += [INDENT * depth + head] if first == step.name else []
            depth, inputs = depth + 1, [target]
        return out + self._assignments(step, inputs, target, depth)

    def _value(self, name: str) -> Expression:
        return self.written[name] if name in self.written else self.variables[name]

    def _target(self, i: int) -> str:
        """A variable whose value is read for the last time here, else a new one."""
        members = [j for j in range(i + 1) if self.stands[j] == i]
        read = [name for j in members for name in self.steps[j].inputs if name in self.variables]
        step = self.steps[i]
        live = {held for n, held in self.variables.items() if self.last.get(n, -1) > i} | self.taken | USED
        joins = (len(self.steps[r].inputs) for r in self.readers[step.name] if r < len(self.steps))
        if max(joins, default=0) > 2 and step.name not in self.loops:
            return unique(variable(step.name), live)
        if step.name in self.switches and len(step.inputs) > 1:
            read = sorted(read, key=lambda name: name == INPUT)
        for name in read:
            same = [n for n, held in self.variables.items() if held == self.variables[name]]
            if all(self.last.get(n, -1) <= i for n in same):
                return self.variables[name]
        return "y" if "y" not in live else unique(variable(step.name), live)
