"""One step of an ONNX file: what it reads, what ONNX says of it, and the graph that grows from it.

Sizes come from ONNX's own shape inference, one node at a time on clean types; the whole-model passes, which run in C++
over whatever a file contains, are never called. Weights are known by their shapes; values are read where they are few.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx.reference import ReferenceEvaluator

from foveal.errors import GraphError, ShapeError
from foveal.graph import Node
from foveal.ops import Op, Opaque
from foveal.shapes import Shape, text
from foveal.text import printable

MOST_VALUES = 4096  # of a constant that is read, not only measured
FLOATS = frozenset({
    onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16, onnx.TensorProto.BFLOAT16, onnx.TensorProto.DOUBLE,
})  # fmt: skip
FOLDED = frozenset(
    """
    Abs Add And Cast Ceil Concat ConstantOfShape Div Equal Erf Exp Expand Floor Gather Greater Identity Less Log Max Min
    Mod Mul Neg Not Or Pow Range Reciprocal ReduceProd ReduceSum Reshape Round Slice Split Sqrt Squeeze Sub Tanh Tile
    Transpose Unsqueeze Where
    """.split()
)
"""Ops computed where all they read is known; shapes and settings are made of no others."""

FAILURES = (
    ArithmeticError, LookupError, RuntimeError, TypeError, ValueError,
    onnx.checker.ValidationError, onnx.defs.SchemaError, onnx.shape_inference.InferenceError,
)  # fmt: skip
"""What a malformed node may raise, in onnx or here."""

T = TypeVar("T", int, float, str, tuple[int, ...])


class Unfit(GraphError):
    """A step that no op here can say; it becomes opaque."""


@dataclass(frozen=True, eq=False)
class Weight:
    """A constant: its sizes as ONNX gives them, its element type, and its values where they are few.

    `origins` are the stored tensors that it comes from.
    """

    shape: tuple[int, ...]
    kind: int
    values: NDArray[Any] | None = None
    origins: tuple[str, ...] = ()

    @property
    def size(self) -> int:
        return math.prod(self.shape)

    def over(self, x: Map) -> bool:
        """Whether this is one number a channel of `x`, along its channel axis."""
        if x.order is None or not 1 <= len(self.shape) <= len(x.shape):
            return False
        channels = x.order.index(0) + 1
        sizes = (1,) * (len(x.shape) - len(self.shape)) + self.shape
        return sizes[channels] == self.size == x.shape[channels]


@dataclass(frozen=True)
class Map:
    """A value that depends on the input: the node that gives it, its sizes as ONNX gives them (batch first), its type.

    `order` says which axis of the node's shape each ONNX axis after the batch is, so that transposing costs no node;
    None where the two shapes have nothing to do with each other.
    """

    node: str
    shape: tuple[int, ...]
    order: tuple[int, ...] | None
    kind: int = onnx.TensorProto.FLOAT

    @property
    def plain(self) -> bool:
        return self.order == tuple(range(len(self.shape) - 1))


Value = Map | Weight


@dataclass
class Growing:
    """The graph while it is read: nodes by name, their shapes, and the constants that their weights are.

    Names are numbers until `rename`, when it is known which nodes there are.
    """

    batch: int
    shapes: dict[str, Shape]
    nodes: dict[str, Node] = field(default_factory=dict)
    held: dict[str, dict[str, Weight]] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)
    """Why a node is opaque."""
    made: dict[str, str] = field(default_factory=dict)
    """The ONNX value that a node was made for."""
    steps: dict[str, onnx.NodeProto] = field(default_factory=dict)
    """The ONNX node that a node was made from."""

    def graph_shape(self, shape: tuple[int, ...]) -> Shape:
        """ONNX's sizes without the batch axis, as one to four numbers."""
        inner = shape[1:] if len(shape) > 1 and shape[0] == self.batch else shape
        return (math.prod(inner[:-3]), *inner[-3:]) if len(inner) > 4 else inner or (1,)

    def prune(self, outputs: Sequence[str]) -> None:
        """Drop what nobody reads and what holds no weights: the parts of steps that became one, arithmetic on sizes."""
        read = set(outputs)
        for node in reversed(list(self.nodes.values())):
            if node.name in read or self.held.get(node.name):
                read.update(node.inputs)
            else:
                del self.nodes[node.name]

    def rename(self, names: Mapping[str, str]) -> None:
        """Call every node that is left by its name in `names`."""
        self.nodes = {
            names[old]: replace(node, name=names[old], inputs=tuple(names.get(x, x) for x in node.inputs))
            for old, node in self.nodes.items()
        }
        self.held = {names[old]: self.held[old] for old in names}
        self.reasons = {names[old]: reason for old, reason in self.reasons.items() if old in names}

    def share(self) -> list[str]:
        """Give nodes that read the same stored tensors in the same way one owner; a sentence for each other case."""
        owners: dict[str, str] = {}
        notes = []
        for name, weights in self.held.items():
            origins = [origin for weight in weights.values() for origin in weight.origins]
            known = {owners[origin] for origin in origins if origin in owners}
            owner = min(known, default=name)
            if known and len(known) == 1 and self._alike(name, owner):
                self.nodes[name] = replace(self.nodes[name], weights_of=owner)
            elif known:
                notes.append(f"{name} reads weights that {owner} has too, in another way; the totals count them twice")
            for origin in origins:
                owners.setdefault(origin, name)
        return notes

    def _alike(self, name: str, owner: str) -> bool:
        mine, theirs = (
            {key: (weight.origins, weight.shape) for key, weight in self.held[n].items()} for n in (name, owner)
        )
        return self.nodes[name].op == self.nodes[owner].op and mine == theirs


@dataclass
class Step:
    """One ONNX node and the values that it reads (None where an optional one is left out)."""

    node: onnx.NodeProto
    inputs: tuple[Value | None, ...]
    opsets: dict[str, int]
    net: Growing
    read: Counter[str]
    """How often each ONNX value is read, here or outside."""
    said: dict[str, tuple[int, ...]]
    """Sizes that the file states."""

    @property
    def kind(self) -> str:
        return printable(self.node.op_type, limit=40)

    @property
    def domain(self) -> str:
        """Empty for ONNX's own."""
        return "" if self.node.domain == "ai.onnx" else self.node.domain

    @property
    def opset(self) -> int:
        return self.opsets.get(self.domain, 0)

    @property
    def maps(self) -> tuple[Map, ...]:
        return tuple(x for x in self.inputs if isinstance(x, Map))

    @property
    def x(self) -> Map:
        """The first input, which must be a map or row of values, in any order of its axes."""
        x: Map = self._a(Map, 0)
        return x

    @property
    def plain(self) -> Map:
        """The first input, channels first as the graph has them."""
        if not self.x.plain:
            raise Unfit("its input's axes are in another order")
        return self.x

    def has(self, index: int) -> bool:
        return index < len(self.inputs) and self.inputs[index] is not None

    def weight(self, index: int) -> Weight:
        weight: Weight = self._a(Weight, index)
        return weight

    def optional(self, index: int) -> Weight | None:
        return self.weight(index) if self.has(index) else None

    def _a(self, kind: type[Any], index: int) -> Any:
        value = self.inputs[index] if index < len(self.inputs) else None
        if not isinstance(value, kind):
            expected = "computed from the image" if kind is Map else "a constant"
            raise Unfit(f"its input {index + 1} is not {expected}")
        return value

    def numbers(self, index: int) -> list[Any]:
        """The values of a constant input."""
        values = self.weight(index).values
        if values is None:
            raise Unfit(f"the values of its input {index + 1} are not known")
        return values.reshape(-1).tolist()

    def setting(self, name: str, index: int, default: tuple[int, ...] = ()) -> tuple[int, ...]:
        """Whole numbers that old opsets give as an attribute and new ones as an input."""
        return tuple(self.numbers(index)) if self.has(index) else self.attribute(name, default)

    def attribute(self, name: str, default: T) -> T:
        for attribute in self.node.attribute:
            if attribute.name == name:
                value: Any = onnx.helper.get_attribute_value(attribute)
                value = value.decode("utf-8", "replace") if isinstance(value, bytes) else value
                value = tuple(value) if isinstance(value, list) else value
                if type(value) is not type(default):
                    raise Unfit(f"its {name} is of another type than ONNX says")
                if isinstance(value, float):
                    value = float(f"{value:.7g}")  # stored with 24 bits, 1e-5 reads as 9.9999997e-6
                return value  # type: ignore[no-any-return]  # checked above
        return default

    def emit(
        self,
        op: Op,
        *maps: Map,
        weights: Mapping[str, Weight | None] | None = None,
        order: tuple[int, ...] | None = None,
    ) -> Map:
        """Append a node to the graph.

        Parameters
        ----------
        weights : under the names of `Op.parameters` and `Op.buffers`; None for what the file leaves out.
        order : as in `Map`; the graph's own if None.

        Raises
        ------
        ShapeError : `op` cannot take the maps, or a weight is of another size than it has.
        """
        xs = [self.net.shapes[x.node] for x in maps]
        shape = op.output_shape(*xs)
        held = {key: weight for key, weight in (weights or {}).items() if weight is not None}
        expected = op.parameters(*xs) | op.buffers(*xs)
        for key, size in expected.items():
            if key not in held or held[key].size != math.prod(size):
                given = "x".join(map(str, held[key].shape)) if key in held else "missing"
                here, needed = " and ".join(map(text, xs)), "x".join(map(str, size))
                raise ShapeError(f"its {key} is {given} in the file, but {self.kind} on {here} takes {needed}")
        name = str(len(self.net.steps))
        self.net.nodes[name] = Node(name, op, tuple(x.node for x in maps))
        self.net.shapes[name], self.net.held[name], self.net.steps[name] = shape, held, self.node
        order = tuple(range(len(shape))) if order is None else order
        return Map(
            name,
            (self.net.batch, *(shape[axis] for axis in order)),
            order,
            maps[0].kind if maps else onnx.TensorProto.FLOAT,
        )

    def inferred(self) -> list[tuple[tuple[int, ...], int]]:
        """Sizes and element type of each output, by ONNX's inference for this op, or as the file states them.

        Raises
        ------
        GraphError : neither knows.
        """
        try:
            types = self._infer()
        except FAILURES as error:
            types, why = {}, printable(str(error).strip().splitlines()[-1] if str(error).strip() else "", limit=120)
        else:
            why = "it depends on values"
        results = []
        for name in filter(None, self.node.output):
            tensor = types[name].tensor_type if name in types else onnx.TypeProto.Tensor()
            sizes = tuple(dim.dim_value if dim.HasField("dim_value") else -1 for dim in tensor.shape.dim)
            if not tensor.HasField("shape") or min(sizes, default=1) < 0:
                if name not in self.said:
                    raise GraphError(
                        f"the shape of what {self.kind} gives is not known ({why}); export the model with its shapes "
                        "inferred, or cut it before this step"
                    )
                sizes = self.said[name]
            results.append((sizes, tensor.elem_type or int(onnx.TensorProto.FLOAT)))
        return results

    def _infer(self) -> dict[str, onnx.TypeProto]:
        pairs = [(name, x) for name, x in zip(self.node.input, self.inputs, strict=True) if x is not None]
        schema = onnx.defs.get_schema(self.node.op_type, self.opset, self.domain)
        return onnx.shape_inference.infer_node_outputs(
            schema,
            self.node,
            {name: onnx.helper.make_tensor_type_proto(x.kind, x.shape) for name, x in pairs},
            {
                name: onnx.numpy_helper.from_array(x.values)
                for name, x in pairs
                if isinstance(x, Weight) and x.values is not None
            },
            opset_imports=[onnx.helper.make_opsetid("", self.opset)],
        )

    def opaque(self, reason: str) -> list[Map]:
        """This step as seen from outside, one node an output; the first holds the weights."""
        weights = [
            x
            for x in self.inputs
            if isinstance(x, Weight) and x.kind in FLOATS and x.size > 1 and self.kind not in ("Resize", "Upsample")
        ]
        results: list[Map] = []
        for shape, kind in self.inferred():
            mine = self.net.graph_shape(shape)
            order = tuple(range(len(mine))) if shape == (self.net.batch, *mine) else None
            op = Opaque(self.kind or "?", mine, () if results else tuple(w.shape for w in weights))
            held = {} if results else {f"weight{i}": weight for i, weight in enumerate(weights)}
            made = self.emit(op, *self.maps, weights=held)
            self.net.reasons[made.node] = f"{self.kind} stays opaque ({reason}); totals leave out its work"
            results.append(Map(made.node, shape, order, kind))
        return results

    def constants(self) -> list[Weight]:
        """What a step that reads constants alone gives: computed where that is quick, else measured."""
        origins = tuple(dict.fromkeys(origin for x in self.inputs if isinstance(x, Weight) for origin in x.origins))
        results = self.inferred()
        values: Sequence[NDArray[Any] | None] = [None] * len(results)
        known = all(x is None or (isinstance(x, Weight) and x.values is not None) for x in self.inputs)
        if self.kind in FOLDED and known and all(math.prod(shape) <= MOST_VALUES for shape, _ in results):
            values = self.computed([x.values for x in self.inputs if isinstance(x, Weight) and x.values is not None])
        return [Weight(shape, kind, value, origins) for (shape, kind), value in zip(results, values, strict=True)]

    def sizes(self) -> Weight:
        """What Shape and Size give."""
        x = self.inputs[0] if self.inputs else None
        if x is None:
            raise GraphError(f"{self.kind} of nothing; the file is damaged")
        start, end = self.attribute("start", 0), self.attribute("end", len(x.shape))
        values = np.array(x.shape[start:end] if self.kind == "Shape" else math.prod(x.shape), dtype=np.int64)
        return Weight(values.shape, onnx.TensorProto.INT64, values)

    def computed(self, values: Sequence[NDArray[Any]]) -> list[NDArray[Any]]:
        """What ONNX's reference implementation gives for `values` in place of the inputs."""
        names = [name for name in self.node.input if name]
        imports = [onnx.helper.make_opsetid("", self.opset)]
        outputs = [name for name in self.node.output if name]
        alone = onnx.helper.make_function("foveal", "step", [*dict.fromkeys(names)], outputs, [self.node], imports)
        try:
            with np.errstate(all="ignore"):
                results = ReferenceEvaluator(alone).run(None, dict(zip(names, values, strict=True)), {})
            return [np.asarray(result) for result in results]
        except FAILURES as error:
            raise GraphError(
                f"{self.kind} of constants cannot be computed ({printable(str(error), limit=120)})"
            ) from error


def stored(tensor: onnx.TensorProto, name: str) -> Weight:
    """A tensor of the file as a constant; GraphError where its few values do not fit its sizes."""
    shape, values = tuple(tensor.dims), None
    if math.prod(shape) <= MOST_VALUES and tensor.data_location != onnx.TensorProto.EXTERNAL:
        try:
            values = onnx.numpy_helper.to_array(tensor)
        except FAILURES as error:
            why = printable(str(error), limit=120)
            raise GraphError(f"its weight {printable(name, limit=80)} cannot be read ({why})") from error
    return Weight(shape, tensor.data_type, values, (name,))


def constant(node: onnx.NodeProto) -> Weight:
    """What a Constant step gives."""
    name = next(iter(node.output), "")
    for attribute in node.attribute:
        if attribute.name == "value":
            return stored(attribute.t, name)
        if attribute.name in ("value_float", "value_int", "value_floats", "value_ints"):
            values = np.array(onnx.helper.get_attribute_value(attribute))
            values = values.astype(np.float32 if "float" in attribute.name else np.int64)
            return Weight(values.shape, onnx.helper.np_dtype_to_tensor_dtype(values.dtype), values, (name,))
    raise GraphError("a Constant without numbers; such a file cannot be read")
