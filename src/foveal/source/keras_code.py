"""Graph -> Keras 3 source: the functional API, channels last. Blocks are functions from a tensor to a tensor."""

from __future__ import annotations

import math
from dataclasses import replace

from foveal import ops
from foveal.errors import GraphError
from foveal.graph import INPUT, Graph, Node
from foveal.source.blocks import Block, Words, arguments, rounds, share, signature
from foveal.source.keras_layers import HELPERS, calls, strided
from foveal.source.layout import INDENT, Bracket, Expression, before, call, flat, lines, literal, paragraphs
from foveal.source.naming import USED, identifier, unique, variable
from foveal.source.statements import Statements
from foveal.source.units import Call, Step, cut

WORDS = Words("", "filters", "hidden_filters", classes=False, form="function")
AROUND = ("layers.ZeroPadding", "layers.Cropping")
"""Layers without weights that stand before or after one that has."""


def keras_code(graph: Graph) -> str:
    """The text of a Python file that defines `graph` in Keras; GraphError for what Keras cannot say."""
    return _File(graph).text()


class _File:
    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.by_hand = {_pattern(node.name) for node in graph.nodes if strided(node.op)}
        self.helpers: dict[str, str] = {}
        root = cut(graph, self._calls)
        used = {*USED, *self.helpers, "KerasTensor", "inputs", "model"}
        self.name = unique(identifier(graph.name.lower()), used)
        self.blocks = share(root, WORDS, {self.name, *used})
        self.network = Block(self.name, root)
        self.names = frozenset({self.name, "inputs", *self.helpers, *(block.name for block in self.blocks)})

    def _calls(self, node: Node) -> tuple[Call, ...]:
        xs = self.graph.input_shapes(node)
        if isinstance(node.op, ops.Opaque):
            raise GraphError(f"{node.name}: a traced step that was not recovered cannot be written as code")
        try:
            found = calls(node.op, xs[0], _pattern(node.name) in self.by_hand)
        except GraphError as error:
            raise GraphError(f"{node.name}: {error}; write it with framework torch") from error
        self.helpers.update({made.function: HELPERS[made.function] for made in found if made.function in HELPERS})
        return found

    def text(self) -> str:
        definitions = [*self.helpers.values(), *(self._function(block) for block in self.blocks), self._model()]
        body = paragraphs(definitions)
        count = sum(math.prod(shape) for shape in self.graph.parameters().values())
        shape = " x ".join(str(n) for n in self._shape())
        used = [
            name
            for name, sign in (("KerasTensor", "KerasTensor"), ("layers", "layers."), ("ops", "ops."))
            if sign in body
        ]
        head = [
            f'"""{self.graph.name}: input {shape}, {count:,} trainable parameters."""',
            "from __future__ import annotations",
            f"import keras\nfrom keras import {', '.join(used)}" if used else "import keras",
        ]
        return paragraphs([paragraphs(head, apart=1), body, self._main()])

    def _shape(self) -> tuple[int, ...]:
        return (*self.graph.input_shape[1:], self.graph.input_shape[0])

    def _main(self) -> str:
        several = len(self.graph.outputs) > 1
        shapes = "[tuple(y.shape) for y in model(x)]" if several else "tuple(model(x).shape)"
        return (
            'if __name__ == "__main__":\n'
            f"    model = {self.name}()\n"
            f"    x = keras.random.normal({literal((1, *self._shape()))})\n"
            f"    print({shapes})\n"
            '    print(f"{model.count_params():,} parameters, moving statistics included")\n'
        )

    def _function(self, block: Block) -> str:
        head = lines(signature(block, "-> KerasTensor:", first="x: KerasTensor"), 0)
        parameters = {known.name for known in block.parameters}
        return "\n".join([*head, *self._body(block, parameters, "return {}")])

    def _model(self) -> str:
        ending = "return keras.Model(inputs, {}" + f", name={literal(self.name)})"
        if len(self.graph.outputs) > 1:
            ending = ending.replace("{}", "[{}]")
        head = [f"def {self.name}() -> keras.Model:", f"{INDENT}inputs = x = keras.Input({literal(self._shape())})"]
        return "\n".join([*head, *self._body(self.network, set(), ending)])

    def _body(self, block: Block, parameters: set[str], ending: str) -> list[str]:
        steps, given = _opened(block.unit.steps)
        if dead := next((step for step in steps if step.dead), None):
            raise GraphError(f"{dead.nodes[0].name}: nothing reads it, so a Keras model cannot hold it; remove it")
        outputs = tuple(given.get(name, name) for name in block.unit.outputs)
        loops: dict[str, tuple[str, str]] = {}
        for members in rounds(steps, block.depths):
            if members[0].count > 1 or members[0].name in block.depths:
                loops |= {step.name: (members[0].name, f"for _ in {_range(members[0], block)}:") for step in members}
        taken = parameters | self.names
        kept: dict[str, str] = {}
        out: list[str] = []
        for name in dict.fromkeys(step.owner for step in steps if step.owner):
            owner = next(step for step in steps if step.name == name)
            number = next(i for i, made in enumerate(owner.calls) if not made.function.startswith(AROUND))
            kept[name] = unique(f"{variable(name)}_layer", taken)
            taken |= {kept[name]}
            made = call(owner.calls[number].function, arguments(owner, number, block))
            out += lines(before(f"{kept[name]} = ", made), 1)

        def applied(step: Step, number: int, inputs: list[Expression]) -> Expression:
            layer = kept.get(step.owner or step.name)
            if layer and not step.calls[number].function.startswith(AROUND):
                return call(layer, inputs)
            return _applied(step, number, inputs, block)

        body = Statements(
            steps,
            outputs,
            applied,
            lambda step: False,
            lambda step: step.calls[0].form == "function",
            block.switches,
            loops,
            frozenset(taken),
            ending=ending,
            headings=block is self.network,
        )
        return [*out, *body.written_lines()]


def _opened(steps: list[Step]) -> tuple[list[Step], dict[str, str]]:
    """`steps` with those of units that are no blocks in place of the unit, and what gives each such unit's output."""
    out: list[Step] = []
    given: dict[str, str] = {}
    for step in steps:
        inputs = tuple(given.get(name, name) for name in step.inputs)
        if not step.calls and not step.dead:
            given[step.name] = inputs[0]
            continue
        if not step.unit or step.calls[0].form != "unit":
            out.append(replace(step, inputs=inputs))
            continue
        inner, names = _opened(step.unit.steps)
        for part in inner:
            reads = tuple(inputs[0] if name == INPUT else f"{step.name}.{name}" for name in part.inputs)
            owner = part.owner and f"{step.name}.{part.owner}"
            out.append(replace(part, name=f"{step.name}.{part.name}", inputs=reads, owner=owner))
        (output,) = step.unit.outputs
        given[step.name] = f"{step.name}.{names.get(output, output)}"
    return out, given


def _applied(step: Step, number: int, inputs: list[Expression], block: Block) -> Expression:
    made = step.calls[number]
    if made.form == "suffix":
        return flat(inputs[0]) + made.function
    said = arguments(step, number, block)
    if made.form == "list":
        return call(made.function, [Bracket("[", tuple(inputs), "]"), *said])
    if made.form == "function":
        return call(made.function, [*inputs, *said])
    return call(made.function, said, after=f"({flat(inputs[0])})")


def _pattern(name: str) -> str:
    """What is alike in the names of a block's layers: ``stage.block.conv2`` for ``stage1.block3.conv2``."""
    *scopes, last = name.split(".")
    return ".".join([*(scope.rstrip("0123456789") for scope in scopes), last])


def _range(step: Step, block: Block) -> str:
    depth, ahead = block.depths.get(step.name, ("", 0))
    if not depth:
        return f"range({step.count})"
    return f"range({depth} - {ahead})" if ahead else f"range({depth})"
