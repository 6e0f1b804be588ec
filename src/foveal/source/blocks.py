"""Units of one structure become one block: a class or function with parameters for what differs.

Every argument that varies from unit to unit is looked for among the block's parameters, or as a multiple of one
(``4 * channels``); only what is new becomes a parameter. A unit that lacks a shortcut, an expansion or a final sum
joins the block that has it, which gets a switch.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from foveal.graph import INPUT
from foveal.ops import Add
from foveal.source.layout import Bracket, Expression, literal
from foveal.source.naming import USED, another, block_name, identifier, unique
from foveal.source.units import Arg, Call, Step, Unit, Value, gathered, numbered

Column = list["Value | None"]
"""One argument's value in each unit of a block; None in units that lack the step."""

MOST_SWITCHES = 2


@dataclass(frozen=True)
class Words:
    """How a framework's code speaks of blocks.

    Attributes
    ----------
    entering, leaving, inner : the channels that go into a block, come out of it and stay inside; "" if never said.
    classes : units that branch are classes even when there is only one of a kind.
    form : how blocks are called; `Call`.
    """

    entering: str
    leaving: str
    inner: str
    classes: bool
    form: str


@dataclass(eq=False)
class Parameter:
    """A parameter of a block; `default` is None where every call says it, or where it is `optional` and may be None."""

    name: str
    kind: str
    column: Column
    default: Value | None = None
    optional: bool = False


@dataclass(eq=False)
class Block:
    """What several units share.

    Attributes
    ----------
    steps : of the most complete unit.
    formulas : (step, number of its call, argument) -> the expression that stands there in place of a number.
    depths : step -> (parameter, steps before it) where the number of steps it stands for varies.
    switches : optional step -> the parameter that says whether it is there.
    """

    name: str
    unit: Unit
    parameters: list[Parameter] = field(default_factory=list)
    formulas: dict[tuple[str, int, str], str] = field(default_factory=dict)
    depths: dict[str, tuple[str, int]] = field(default_factory=dict)
    switches: dict[str, str] = field(default_factory=dict)


def share(root: Unit, words: Words, taken: set[str]) -> list[Block]:
    """Makes blocks of the units inside `root`, innermost first, and lets the steps that hold those units call them.

    A unit of its own kind becomes no block (unless it branches and `words.classes`): its step has the form ``unit``.
    """
    units = [unit for unit in root.walk() if unit is not root]
    callers = {id(step.unit): step for unit in [*units, root] for step in unit.steps if step.unit}
    levels: dict[int, list[Unit]] = defaultdict(list)
    for unit in units:
        leaf = unit.chain and all(step.unit is None for step in unit.steps)
        levels[-1 if leaf else 16 - unit.scope.count(".")].append(unit)
    blocks: list[Block] = []
    for _, level in sorted(levels.items()):
        siblings = Counter(_stem(unit) for unit in level)
        for unit in level:
            gathered(unit, alone=siblings[_stem(unit)] == 1, growing=words.classes)
        for group in _groups(level, words):
            if _stands_where_it_is(group, words):
                for unit in group:
                    callers[id(unit)].calls = (Call("", form="unit"),)
                continue
            made = _Maker(group, words)
            name = another(block_name(group, words.classes), taken)
            taken.add(name)
            blocks.append(made.block(name))
            for i, unit in enumerate(group):
                callers[id(unit)].calls = (Call(name, made.arguments(i), words.form),)
    return blocks


def _stands_where_it_is(group: list[Unit], words: Words) -> bool:
    """Whether naming the block would not make the code shorter, or clearer."""
    unit = group[0]
    if unit.chain and len(unit.steps) == 1 and unit.steps[0].count == 1 and "." not in unit.scope:
        return True
    return len(group) == 1 and not (words.classes and (not unit.chain or any(step.count > 2 for step in unit.steps)))


def _groups(units: list[Unit], words: Words) -> list[list[Unit]]:
    """Units of one structure together, the most complete first."""
    alike: dict[object, list[Unit]] = defaultdict(list)
    for unit in units:
        alike[_structure(unit)].append(unit)
    groups: list[list[Unit]] = []
    for members in sorted(alike.values(), key=lambda members: -len(members[0].steps)):
        home = next((group for group in groups if _absorbs(group, members[0], words)), None)
        if home is None:
            groups.append(list(members))
        else:
            home += members
    return groups


def _structure(unit: Unit) -> object:
    return tuple((step.name, step.inputs, step.dead, step.owner, _kind(step)) for step in unit.steps), unit.outputs


def _kind(step: Step) -> object:
    unit = id(step.unit) if Call("", form="unit") in step.calls else None
    calls = ((call.function, call.form, *((arg.name, arg.value is None) for arg in call.args)) for call in step.calls)
    return unit, tuple(sorted(step.growth.items())), tuple(calls)


def _absorbs(group: list[Unit], small: Unit, words: Words) -> bool:
    """Whether `small` is the group's first unit with a few steps passed by."""
    big = group[0]
    names = {step.name for step in small.steps}
    missing = [step for step in big.steps if step.name not in names]
    if big.chain or not missing or 2 * len(missing) > len(big.steps) or _stem(big) != _stem(small):
        return False
    if any(step.dead or step.owner or (len(step.inputs) > 1 and not _sums(step)) for step in missing):
        return False
    if not words.classes and any(Call("", form="unit") in step.calls for step in missing):
        return False  # a function holds the steps of such a unit itself, and one switch cannot go around them
    present = {tuple(step.name in {s.name for s in unit.steps} for unit in [*group, small]) for step in big.steps}
    if len(present - {(True,) * (len(group) + 1)}) > MOST_SWITCHES:
        return False
    passed: dict[str, str] = {}
    left = []
    for step in big.steps:
        inputs = tuple(passed.get(name, name) for name in step.inputs)
        if step.name in names:
            left.append((step.name, inputs, step.dead, step.owner, _kind(step)))
        else:
            passed[step.name] = next((name for name in inputs if name != INPUT), INPUT)
    return (tuple(left), tuple(passed.get(name, name) for name in big.outputs)) == _structure(small)


def _sums(step: Step) -> bool:
    return len(step.nodes) == 1 and isinstance(step.nodes[0].op, Add) and len(step.inputs) == 2


def _stem(unit: Unit) -> str:
    last = unit.scope.rpartition(".")[2]
    stem = numbered(last)
    return stem[0] if stem else last


@dataclass(eq=False)
class _Maker:
    """Finds the parameters of the block that `units` share."""

    units: list[Unit]
    words: Words

    def __post_init__(self) -> None:
        self.parameters: list[Parameter] = []
        self.formulas: dict[tuple[str, int, str], tuple[Parameter, str]] = {}
        self.depths: dict[str, tuple[Parameter, int]] = {}
        self.switches: dict[str, Parameter] = {}
        self.rows = [{step.name: step for step in unit.steps} for unit in self.units]
        slots = [slot for slot in self._slots() if _varies(slot[3])]
        channels = [column for _, _, arg, column in slots if arg.kind == "channels"]
        entering: Column = [unit.in_channels for unit in self.units]
        leaving: Column = [unit.out_channels for unit in self.units]
        for name, column in ((self.words.entering, entering), (self.words.leaving, leaving)):
            known = any(_agree(column, parameter.column) for parameter in self.parameters)
            if name and not known and _varies(column) and any(_agree(column, other) for other in channels):
                self.parameters.append(Parameter(name, "channels", column))
        for name, call, arg, column in sorted(slots, key=lambda slot: slot[2].kind == "padding"):
            self.formulas[name, call, arg.name] = self._expression(name, arg, column)
        for step in self.units[0].steps:
            self._depth(step)
            self._switch(step)
        self._finish()

    def _slots(self) -> Iterator[tuple[str, int, Arg, Column]]:
        for step in self.units[0].steps:
            for number, call in enumerate(step.calls):
                for at, arg in enumerate(call.args):
                    column = [row[step.name].calls[number].args[at].value if step.name in row else None
                              for row in self.rows]  # fmt: skip
                    yield step.name, number, arg, column

    def _expression(self, step: str, arg: Arg, column: Column) -> tuple[Parameter, str]:
        """The parameter and the formula around it that give `column`; a new parameter where there is none."""
        alike = [known for known in self.parameters if known.kind == arg.kind]
        for known in alike:
            if _agree(known.column, column):
                known.column = [a if a is not None else b for a, b in zip(known.column, column, strict=True)]
                return known, "{}"
        for known in self.parameters:
            if any(a is None and b is not None for a, b in zip(known.column, column, strict=True)):
                continue  # nothing says yet what the parameter is in that unit
            if arg.kind == known.kind == "channels":
                if factor := _factor(column, known.column):
                    return known, f"{factor} * {{}}"
                if factor := _factor(known.column, column):
                    return known, f"{{}} // {factor}"
            halves = [_half(kernel) for kernel in known.column]
            if arg.kind == "padding" and known.kind == "kernel_size" and _agree(halves, column):
                return known, "{} // 2"
        name = f"{step}.{arg.name}" if arg.kind == "channels" and arg.name != "groups" else arg.name
        default = arg.default if any(_same(arg.default, value) for value in column) else None
        self.parameters.append(Parameter(name, arg.kind, column, default))
        return self.parameters[-1], "{}"

    def _depth(self, step: Step) -> None:
        number, first = numbered(step.name), numbered(self.units[0].steps[0].name)
        counts = [row[step.name].count if step.name in row else None for row in self.rows]
        if number and first and _varies(list(counts)):
            ahead = number[1] - first[1]
            column: Column = [count and count + ahead for count in counts]
            same = [known for known in self.parameters if known.kind == "depth" and known.column == column]
            if not same:
                same = [Parameter("depth", "depth", column)]
                self.parameters += same
            self.depths[step.name] = same[0], ahead

    def _switch(self, step: Step) -> None:
        column: Column = [step.name in row for row in self.rows]
        if all(column):
            return
        same = [known for known in self.parameters if known.kind == "switch" and known.column == column]
        if not same:
            name = "residual" if _sums(step) else identifier(step.name)
            same = [Parameter(name, "switch", column, False)]
            self.parameters += same
        self.switches[step.name] = same[0]

    def _finish(self) -> None:
        """Names, defaults and order: channels, then depth and what every call says, then what has a default."""
        inner = [known for known in self.parameters if known.kind == "channels" and "." in known.name]
        for known in self.parameters:
            self._switch_itself(known)
        taken = set(USED)
        for known in self.parameters:
            if known in inner:
                step, _, name = known.name.rpartition(".")
                short = self.words.inner.rpartition("_")[2] if name == self.words.leaving else name
                known.name = self.words.inner if len(inner) == 1 else f"{identifier(step)}_{short}"
            known.name = unique(known.name, taken)
            taken.add(known.name)
            if known.default is None and None in known.column and not known.optional:
                known.default = Counter(v for v in known.column if v is not None).most_common(1)[0][0]
        order = {"channels": 0, "depth": 2, "switch": 4}
        self.parameters.sort(
            key=lambda p: (
                p.default is not None or p.optional,
                1 if p.name == self.words.leaving else order.get(p.kind, 3),
            )
        )

    def _switch_itself(self, known: Parameter) -> None:
        """Lets a number that is there only with an optional step be its switch: None for no such step."""
        said = [value is not None for value in known.column]
        for switch in self.parameters:
            if switch.kind == "switch" and switch.column == said and known.default is None and 0 not in known.column:
                known.optional = True
                self.switches = {step: known if p is switch else p for step, p in self.switches.items()}
        if known.optional:
            self.parameters = [p for p in self.parameters if p in self.switches.values() or p.kind != "switch"]

    def block(self, name: str) -> Block:
        return Block(
            name,
            self.units[0],
            self.parameters,
            {slot: formula.format(known.name) for slot, (known, formula) in self.formulas.items()},
            {step: (known.name, ahead) for step, (known, ahead) in self.depths.items()},
            {step: known.name for step, known in self.switches.items()},
        )

    def arguments(self, i: int) -> tuple[Arg, ...]:
        """What the step that holds unit `i` calls the block with."""
        return tuple(
            Arg(p.name, p.column[i], p.kind, p.default, p.kind == "channels" and p.default is None and not p.optional)
            for p in self.parameters
        )


def rounds(steps: Iterable[Step], depths: Mapping[str, tuple[str, int]]) -> list[list[Step]]:
    """`steps` one by one, but those of one loop together."""
    out: list[list[Step]] = []
    last = None
    for step in steps:
        number = numbered(step.name)
        loops = number and (step.count > 1 or step.name in depths)
        key = (number[1], step.count, depths.get(step.name)) if loops and number else None
        if key and out and key == last:
            out[-1].append(step)
        else:
            out.append([step])
        last = key
    return out


def _varies(column: Column) -> bool:
    return len({(type(value), value) for value in column if value is not None}) > 1


def _agree(a: Column, b: Column) -> bool:
    return all(_same(x, y) or x is None or y is None for x, y in zip(a, b, strict=True))


def _same(a: Value | None, b: Value | None) -> bool:
    return type(a) is type(b) and a == b


def _factor(large: Column, small: Column) -> int | None:
    """The whole number that `large` is of `small`, in every unit."""
    factors = {x / y for x, y in zip(large, small, strict=True) if isinstance(x, int) and isinstance(y, int)}
    factor = factors.pop() if len(factors) == 1 else 0
    return int(factor) if factor > 1 and factor == int(factor) else None


def _half(kernel: Value | None) -> Value | None:
    return kernel // 2 if isinstance(kernel, int) else kernel


def arguments(step: Step, number: int, block: Block | None) -> list[Expression]:
    """The arguments of one call, with the block's parameters in place of what varies; those at default left out."""
    formulas: Mapping[tuple[str, int, str], str] = block.formulas if block else {}
    out: list[Expression] = []
    for arg in step.calls[number].args:
        formula, more = formulas.get((step.name, number, arg.name)), step.growth.get((number, arg.name), 0)
        left_out = arg.value is None or (arg.default is not None and arg.value == arg.default)
        if left_out and formula is None and not more:
            continue
        text = formula or literal(arg.value)
        if more:
            first = (numbered(step.name) or ("", 0))[1]
            text += f" {'+' if more > 0 else '-'} {abs(more)} * {f'(i - {first})' if first else 'i'}"
        out.append(text if arg.positional else f"{arg.name}={text}")
    return out


def signature(block: Block, after: str, *, method: bool = False, first: str = "") -> Bracket:
    """The head of the function that makes a block, or of its class's ``__init__``."""
    items = ["self"] if method else [first] if first else []
    for known in block.parameters:
        text = f"{known.name}: {_type(known)}"
        if known.optional:
            text += " | None = None"
        items.append(text if known.default is None else f"{text} = {literal(known.default)}")
    return Bracket(f"def {'__init__' if method else block.name}(", tuple(items), f") {after}")


def _type(known: Parameter) -> str:
    kinds = {_type_of(value): None for value in known.column if value is not None}
    return " | ".join(kinds)


def _type_of(value: Value) -> str:
    return f"tuple[{', '.join(_type_of(part) for part in value)}]" if isinstance(value, tuple) else type(value).__name__
