"""Graph -> PyTorch source. Modules nest as the names do, so state dict keys are those of `Graph.parameters`."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable

from foveal import ops
from foveal.errors import GraphError
from foveal.graph import Graph, Node
from foveal.source.blocks import Block, Words, arguments, rounds, share, signature
from foveal.source.layout import INDENT, WIDTH, Bracket, Expression, before, call, flat, lines, paragraphs
from foveal.source.naming import USED, network_name, unique
from foveal.source.statements import Statements
from foveal.source.torch_layers import HELPERS, calls, needs_same
from foveal.source.units import IN_CONTAINERS, Call, Step, cut, numbered

WORDS = Words("in_channels", "out_channels", "hidden_channels", classes=True, form="layer")
AFTER = (ops.BatchNorm, ops.LayerNorm, ops.GroupNorm, ops.LocalResponseNorm, ops.Relu, ops.Relu6, ops.LeakyRelu,
         ops.PRelu, ops.Elu, ops.Selu, ops.Gelu, ops.Silu, ops.Mish, ops.Softplus, ops.Hardsigmoid, ops.Hardswish,
         ops.Sigmoid, ops.Tanh)  # fmt: skip
"""Ops that are written around the one before them."""

SEQUENTIAL = '''
def sequential(**layers: nn.Module) -> nn.Sequential:
    """The layers one after the other, under their names."""
    return nn.Sequential(OrderedDict(layers))
'''


def torch_code(graph: Graph) -> str:
    """The text of a Python file that defines `graph` in PyTorch; GraphError for what it cannot say."""
    return _File(graph).text()


class _File:
    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.same = any(needs_same(node.op, graph.input_shapes(node)[0]) for node in graph.nodes if node.inputs)
        self.helpers: dict[str, str] = {}
        root = cut(graph, self._calls)
        used = {*USED, *self.helpers, "OrderedDict", "Any"}
        self.name = unique(network_name(graph.name), used)
        self.blocks = share(root, WORDS, {self.name, *used})
        self.network = Block(self.name, root)

    def _calls(self, node: Node) -> tuple[Call, ...]:
        if isinstance(node.op, ops.Opaque):
            raise GraphError(f"{node.name}: a traced step that was not recovered cannot be written as code")
        found = calls(node.op, self.graph.input_shapes(node), self.same)
        for made in found:
            kind = re.sub(r"\dd$", "", made.function)
            if kind in HELPERS:
                self.helpers[made.function] = HELPERS[kind].replace("{r}", made.function[-2:-1])
        return found

    def text(self) -> str:
        written = [self._block(block) for block in self.blocks]
        body = paragraphs([*self.helpers.values(), *written, self._class(self.network)])
        sequence = SEQUENTIAL if "sequential(" in body else ""
        return paragraphs([self._head(body, sequence), paragraphs([sequence, body]), self._main()])

    def _head(self, body: str, sequence: str) -> str:
        count = sum(math.prod(shape) for shape in self.graph.parameters().values())
        fixed = " Some padding is for this input size." if "sides=" in body or "ignored=" in body else ""
        imports = [
            "from collections import OrderedDict\n" * bool(sequence) + "from typing import Any\n" * (": Any" in body),
            "import torch\nfrom torch import Tensor, nn\n" + "from torch.nn import functional as F\n" * ("F." in body),
        ]
        shape = " x ".join(str(n) for n in self.graph.input_shape)
        head = f'"""{self.graph.name}: input {shape}, {count:,} parameters.{fixed}"""'
        return paragraphs([head, "from __future__ import annotations", *imports], apart=1)

    def _main(self) -> str:
        shape = ", ".join(str(n) for n in (1, *self.graph.input_shape))
        several = len(self.graph.outputs) > 1
        shapes = "[tuple(y.shape) for y in model(x)]" if several else "tuple(model(x).shape)"
        return (
            'if __name__ == "__main__":\n'
            f"    model = {self.name}().eval()\n"
            f"    x = torch.randn({shape})\n"
            "    with torch.inference_mode():\n"
            f"        print({shapes})\n"
            '    print(f"{sum(p.numel() for p in model.parameters()):,} parameters")\n'
        )

    def _block(self, block: Block) -> str:
        return self._function(block) if block.unit.chain else self._class(block)

    def _function(self, block: Block) -> str:
        """A function that makes an `nn.Sequential`."""
        steps = block.unit.steps
        head = lines(signature(block, "-> nn.Sequential:"), 0)
        if all(step.count == 1 and step.name not in block.depths for step in steps):
            return "\n".join([*head, *lines(before("return ", self._sequential(steps, block)), 1)])
        out = [*head, f"{INDENT}layers: dict[str, nn.Module] = {{}}"]
        for members in rounds(steps, block.depths):
            step = members[0]
            looped = step.count > 1 or step.name in block.depths
            if looped:
                out.append(f"{INDENT}for i in {_range(step, block)}:")
            for member in members:
                stem, _ = numbered(member.name) or ("", 0)
                key = f'f"{stem}{{i}}"' if looped else f'"{member.name}"'
                out += lines(before(f"layers[{key}] = ", self._made(member, block)), 1 + looped)
        return "\n".join([*out, f"{INDENT}return sequential(**layers)"])

    def _class(self, block: Block) -> str:
        out = [
            f"class {block.name}(nn.Module):",
            *lines(signature(block, "-> None:", method=True), 1),
            f"{INDENT * 2}super().__init__()",
        ]
        parts: dict[str, list[Step]] = {}
        for step in block.unit.steps:
            if step.owner is None and step.calls[0].form in ("layer", "unit"):
                parts.setdefault(step.name.partition(".")[0], []).append(step)
        for name, steps in parts.items():
            out += self._attribute(name, steps, block)
        for step in block.unit.steps:
            if step.name in block.switches and step.calls[0].form == "operator":
                flag = block.switches[step.name]
                out += [f"{INDENT * 2}self.{flag} = {flag}"]
        several = len(block.unit.outputs) > 1
        body = Statements(
            block.unit.steps,
            block.unit.outputs,
            self._applied,
            lambda step: step.unit is None and isinstance(step.nodes[-1].op, AFTER),
            lambda step: (
                step.calls[0].form != "operator" and (step.unit is not None or not isinstance(step.nodes[-1].op, AFTER))
            ),
            {step: f"self.{flag}" for step, flag in block.switches.items() if self._is_sum(block, step)},
            depth=2,
        ).written_lines()
        returns = "tuple[Tensor, ...]" if several else "Tensor"
        return "\n".join([*out, "", f"{INDENT}def forward(self, x: Tensor) -> {returns}:", *body])

    @staticmethod
    def _is_sum(block: Block, name: str) -> bool:
        return any(step.name == name and step.calls[0].form == "operator" for step in block.unit.steps)

    def _attribute(self, name: str, steps: list[Step], block: Block) -> list[str]:
        """The lines that make one attribute: a layer, a block or a dictionary of those under ``name.``."""
        made = self._made(steps[0], block) if steps[0].name == name else self._nested(name, steps, block)
        target = f"self.{name} = " if name.isidentifier() else ""
        flag = block.switches.get(steps[0].name)
        if not target:
            return lines(call("self.add_module", [f'"{name}"', made]), 2)
        if flag is None:
            return lines(before(target, made), 2)
        choice = f"{target}{flat(made)} if {flag} else nn.Identity()"
        if len(choice) + 2 * len(INDENT) <= WIDTH:
            return [INDENT * 2 + choice]
        otherwise = [f"{INDENT * 2}else:", f"{INDENT * 3}{target}nn.Identity()"]
        return [f"{INDENT * 2}if {flag}:", *lines(before(target, made), 3), *otherwise]

    def _nested(self, name: str, steps: list[Step], block: Block) -> Expression:
        """``nn.ModuleDict`` of what is named under `name`, and is called one by one."""
        parts: dict[str, list[Step]] = {}
        for step in steps:
            parts.setdefault(step.name[len(name) + 1 :].partition(".")[0], []).append(step)
        items = []
        for part, members in parts.items():
            if part in IN_CONTAINERS:
                raise GraphError(
                    f"{members[0].nodes[0].name}: {part!r} cannot name a layer of nn.ModuleDict; rename it"
                )
            inner = f"{name}.{part}"
            made = self._made(members[0], block) if members[0].name == inner else self._nested(inner, members, block)
            items.append(before(f'"{part}": ', made))
        return call("nn.ModuleDict", [Bracket("{", tuple(items), "}")])

    def _made(self, step: Step, block: Block | None) -> Expression:
        """The call that makes a step's layer."""
        (made,) = step.calls
        if made.form == "unit" and step.unit:
            return self._sequential(step.unit.steps, None)
        return call(made.function, arguments(step, 0, block))

    def _sequential(self, steps: Iterable[Step], block: Block | None) -> Expression:
        named: dict[str, Expression] = {}
        for members in rounds(steps, {}):
            for i in range(members[0].count):
                for step in members:
                    stem, first = numbered(step.name) or ("", 0)
                    named[f"{stem}{first + i}" if step.count > 1 else step.name] = self._made(step, block)
        if list(named) == [str(i) for i in range(len(named))]:
            return call("nn.Sequential", named.values())
        if all(name.isidentifier() for name in named):
            return call("sequential", [before(f"{name}=", made) for name, made in named.items()])
        items = tuple(before(f'"{name}": ', made) for name, made in named.items())
        return call("sequential", [Bracket("**{", items, "}")])

    def _applied(self, step: Step, number: int, inputs: list[Expression]) -> Expression:
        """The call of a step's layer in forward."""
        made = step.calls[number]
        if made.form == "suffix":
            return flat(inputs[0]) + made.function
        if made.form == "list":
            return call(made.function, [Bracket("[", tuple(inputs), "]"), *arguments(step, number, None)])
        if made.form == "operator":
            return joined(made.function, inputs)
        return call(_access(step.owner or step.name), inputs)


def _range(step: Step, block: Block) -> str:
    """``range(2, depth + 1)``: the numbers of the layers that `step` stands for."""
    _, first = numbered(step.name) or ("", 0)
    depth, ahead = block.depths.get(step.name, ("", 0))
    if not depth:
        return f"range({first}, {first + step.count})"
    shift = first - ahead
    return f"range({first}, {depth} + {shift})" if shift else f"range({first}, {depth})"


def joined(operator: str, inputs: list[Expression]) -> Expression:
    """``a + b``, or a function of the two where that is too long for a line."""
    texts = [flat(x) for x in inputs]
    if operator == "*":  # a product among the factors stays one of its own
        texts = [f"({text})" if " * " in text else text for text in texts]
    text = f" {operator} ".join(texts)
    if len(text) <= WIDTH - 24:
        return text
    whole = inputs[0]
    for x in inputs[1:]:
        whole = call({"+": "torch.add", "*": "torch.mul"}[operator], [whole, x])
    return whole


def _access(name: str) -> str:
    head, *rest = name.split(".")
    text = f"self.{head}" if head.isidentifier() else f'self.get_submodule("{head}")'
    return text + "".join(f'["{part}"]' for part in rest)
