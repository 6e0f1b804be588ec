"""A network as plain, immutable data, and the builder that authors one.

Graphs come out of bundles and files, so `Graph` treats everything it is given as untrusted: it checks names (they
become Python identifiers in built modules and in generated code), references, arity and shapes before anyone uses it.
"""

from __future__ import annotations

import contextlib
import keyword
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from foveal.errors import FovealError, GraphError, ShapeError
from foveal.ops import LARGEST, Op, op_from_json, op_to_json
from foveal.shapes import MEND, Shape, text
from foveal.text import plural

INPUT = "input"
"""The name under which nodes read the network's input."""

MOST_NODES = 100_000
_MOST_TRIED = 2**17  # shapes inferred to find the smallest input: about a second
_NAME = re.compile(r"[A-Za-z0-9_]{1,64}(\.[A-Za-z0-9_]{1,64}){0,15}")


@dataclass(frozen=True)
class Node:
    """One step of a network.

    Attributes
    ----------
    name : dotted, e.g. ``"stage1.block2.conv1"``.
    inputs : names of the nodes it reads, or ``"input"``.
    weights_of : where weights are shared, the earlier node that owns them.
    """

    name: str
    op: Op
    inputs: tuple[str, ...]
    weights_of: str | None = None


@dataclass(frozen=True)
class Graph:
    """A network: nodes in topological order.

    Attributes
    ----------
    name : what the network is called.
    input_shape : without the batch axis, e.g. ``(3, 224, 224)``.
    outputs : names of the nodes whose values the network returns.

    Raises
    ------
    GraphError : a bad, reserved, repeated or unknown name, a cycle, or a shared weight of another kind or shape.
    ShapeError : an op that cannot take its input; the message starts with the node's name.
    """

    name: str
    input_shape: Shape
    nodes: tuple[Node, ...]
    outputs: tuple[str, ...]

    def __post_init__(self) -> None:
        check_name(self.name, "network")
        if not _is_shape(self.input_shape):
            raise GraphError(
                f"input_shape {self.input_shape!r:.80}; expected one to four whole numbers from 1 to 10^12"
            )
        if len(self.nodes) > MOST_NODES:
            raise GraphError(f"{len(self.nodes)} nodes; a graph has at most {MOST_NODES}")
        _check_names([node.name for node in self.nodes])
        _ = self.shapes  # resolves every reference and every shape, or raises
        if not self.outputs:
            raise GraphError(f"{self.name} has no outputs; name at least one node")
        for output in self.outputs:
            if output not in self.shapes:
                raise GraphError(f"output {output!r:.80} names no node")

    @cached_property
    def shapes(self) -> dict[str, Shape]:
        """Output shape of every node, and of ``"input"``."""
        shapes = {INPUT: self.input_shape}
        seen: dict[str, Node] = {}
        for node in self.nodes:
            shapes[node.name] = _infer(node, shapes)
            _check_sharing(node, seen, shapes)
            seen[node.name] = node
        return shapes

    @cached_property
    def by_name(self) -> dict[str, Node]:
        return {node.name: node for node in self.nodes}

    def input_shapes(self, node: Node) -> tuple[Shape, ...]:
        """Shapes that `node` receives."""
        return tuple(self.shapes[name] for name in node.inputs)

    def parameters(self) -> dict[str, Shape]:
        """``{"stem.conv.weight": (32, 3, 3, 3), ...}``: every trainable value once, under the node that owns it."""
        return self._tensors(lambda node, xs: node.op.parameters(*xs))

    def buffers(self) -> dict[str, Shape]:
        """Stored but untrained values, named as `parameters` names them."""
        return self._tensors(lambda node, xs: node.op.buffers(*xs))

    def _tensors(self, of: Any) -> dict[str, Shape]:
        return {
            f"{node.name}.{key}": shape
            for node in self.nodes
            if node.weights_of is None
            for key, shape in of(node, self.input_shapes(node)).items()
        }

    def macs(self) -> int:
        """Multiply-accumulates of convolutions and dense layers for one image; a shared layer counts once per call."""
        return sum(node.op.macs(*self.input_shapes(node)) for node in self.nodes)

    def with_input(self, input_shape: Shape) -> Graph:
        """The same network on another input size; ShapeError at the node that cannot take it.

        Where that is since the input is too small, the message ends with the smallest square one that fits.
        One with another number of sizes is none of its inputs: 32x32 would make a signal of 32 channels of a picture.
        """
        sizes = len(self.input_shape)
        if isinstance(input_shape, tuple) and len(input_shape) != sizes:
            raise ShapeError(
                f"{self.name} takes {plural(sizes, 'size')}, channels first, as in {self.input_shape}; "
                f"not {input_shape!r:.40}"
            )
        try:
            return replace(self, input_shape=input_shape)
        except ShapeError as error:
            smallest = self._smallest(input_shape)
            raise ShapeError(f"{str(error).removesuffix(MEND) if smallest else error}{smallest}") from error

    def _smallest(self, refused: Shape) -> str:
        """The end of an error: the smallest square input that fits, if `refused` is smaller, else nothing."""
        own = self.input_shape
        for size in range(1, min(max(own[1:], default=0), _MOST_TRIED // len(self.nodes)) + 1):
            if self._fits(shape := (refused[0], *(size,) * len(own[1:]))):
                fits = f"; the smallest input that fits {self.name} is {text(shape)}"
                return fits if min(refused[1:]) < size else ""
        return ""

    def _fits(self, input_shape: Shape) -> bool:
        shapes = {INPUT: input_shape}
        with contextlib.suppress(ShapeError):
            for node in self.nodes:
                shapes[node.name] = _infer(node, shapes)
        return len(shapes) > len(self.nodes)

    def up_to(self, *outputs: str) -> Graph:
        """The part of the network that computes `outputs`, with those as its outputs."""
        needed = set(outputs)
        for node in reversed(self.nodes):
            if node.name in needed:
                needed.update(node.inputs)
                needed.update({node.weights_of} if node.weights_of else ())
        return replace(self, nodes=tuple(node for node in self.nodes if node.name in needed), outputs=outputs)

    def to_json(self) -> dict[str, Any]:
        """Plain data that `from_json` turns back into an equal graph."""
        nodes = [
            op_to_json(node.op)
            | {"name": node.name, "inputs": node.inputs}
            | ({"weights_of": node.weights_of} if node.weights_of else {})
            for node in self.nodes
        ]
        return {"name": self.name, "input_shape": self.input_shape, "nodes": nodes, "outputs": self.outputs}

    @classmethod
    def from_json(cls, data: Any) -> Graph:
        """A graph from untrusted JSON data (what ``json.loads`` returns); GraphError where it is not one."""
        if not isinstance(data, dict) or data.keys() != {"name", "input_shape", "nodes", "outputs"}:
            raise GraphError("not a graph; expected the keys name, input_shape, nodes and outputs")
        if not isinstance(data["nodes"], list):
            raise GraphError("a graph's nodes are a list")
        shape = data["input_shape"]
        return cls(
            name=check_name(data["name"], "network"),
            input_shape=tuple(shape) if isinstance(shape, list) else shape,
            nodes=tuple(_node_from_json(node) for node in data["nodes"]),
            outputs=_names(data["outputs"], "outputs"),
        )


class Builder:
    """Authors a graph: calling it appends a node and returns that node's name.

    >>> from foveal.ops import Conv, Relu
    >>> net = Builder("tiny")
    >>> x = net.input(3, 32, 32)
    >>> with net.scope("stem"):
    ...     x = net(Relu(), net(Conv(8, 3, padding="same"), x))
    >>> x, net.shape(x)
    ('stem.relu', (8, 32, 32))
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._shapes: dict[str, Shape] = {}
        self._nodes: list[Node] = []
        self._scope: tuple[str, ...] = ()

    def input(self, *shape: int) -> str:
        """Declare the input's shape, channels first; once, before the first node."""
        self._shapes[INPUT] = shape
        return INPUT

    def __call__(self, op: Op, *inputs: str, name: str | None = None, weights_of: str | None = None) -> str:
        stem = ".".join((*self._scope, name or type(op).__name__.lower()))
        full, count = stem, 1
        while full in self._shapes and name is None:
            count += 1
            full = f"{stem}{count}"
        node = Node(full, op, inputs, weights_of)
        self._shapes[full] = _infer(node, self._shapes)
        self._nodes.append(node)
        return full

    @contextlib.contextmanager
    def scope(self, name: str) -> Iterator[None]:
        """Prefix the names of the nodes made inside with ``name.``."""
        outer = self._scope
        self._scope = (*outer, name)
        try:
            yield
        finally:
            self._scope = outer

    def shape(self, name: str) -> Shape:
        return self._shapes[name]

    def graph(self, *outputs: str) -> Graph:
        """The finished graph; its output is the last node unless others are named."""
        return Graph(self.name, self._shapes[INPUT], tuple(self._nodes), outputs or (self._nodes[-1].name,))


def check_name(name: Any, what: str) -> str:
    """`name` if it can be the name of a node or network.

    Raises
    ------
    GraphError : not text, not dotted identifiers, a Python keyword, or an attribute of torch's modules.
    """
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise GraphError(f"{name!r:.80} cannot name a {what}; use letters, digits, _ and dots between parts")
    for part in name.split("."):
        if keyword.iskeyword(part) or part in RESERVED or (part.startswith("__")):
            raise GraphError(f"{name!r:.80} cannot name a {what}: {part!r} is reserved by Python or PyTorch")
    return name


def _check_names(names: list[str]) -> None:
    for name in names:
        check_name(name, "node")
    known = set(names)
    if len(known) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise GraphError(f"{twice}: two nodes have this name")
    if INPUT in known:
        raise GraphError(f"{INPUT!r} names the network's input and cannot name a node")
    for name in names:
        parts = name.split(".")
        for i in range(1, len(parts)):
            if (prefix := ".".join(parts[:i])) in known or prefix == INPUT:
                raise GraphError(
                    f"{name}: {prefix!r} is already the name of a node or the input, not of a group of nodes"
                )


def _infer(node: Node, shapes: dict[str, Shape]) -> Shape:
    for name in node.inputs:
        if name not in shapes:
            raise GraphError(
                f"{node.name} reads {name!r:.80}, which no earlier node is called (a cycle, or a typing slip)"
            )
    try:
        shape = node.op.output_shape(*(shapes[name] for name in node.inputs))
    except ShapeError as error:
        raise ShapeError(f"{node.name}: {error}") from error
    if max(shape) > LARGEST:
        raise ShapeError(f"{node.name}: an output of {max(shape)} cells along one axis is beyond {LARGEST}")
    return shape


def _check_sharing(node: Node, seen: dict[str, Node], shapes: dict[str, Shape]) -> None:
    if node.weights_of is None:
        return
    owner = seen.get(node.weights_of)
    if owner is None or owner.weights_of is not None:
        raise GraphError(f"{node.name} shares the weights of {node.weights_of!r:.80}, which no earlier node owns")
    mine, theirs = (_held(n, shapes) for n in (node, owner))
    if owner.op != node.op or mine != theirs:
        raise GraphError(
            f"{node.name} cannot share the weights of {owner.name}: the ops or their weights' shapes differ"
        )


def _held(node: Node, shapes: dict[str, Shape]) -> tuple[Any, ...]:
    """What nodes that share weights have in common: the number of axes, the arrays' names and shapes."""
    xs = [shapes[name] for name in node.inputs]
    return [len(x) for x in xs], node.op.parameters(*xs), node.op.buffers(*xs)


def _node_from_json(data: Any) -> Node:
    if not isinstance(data, dict) or not {"op", "name", "inputs"} <= data.keys():
        raise GraphError(f"not a node: {data!r:.80}; expected the keys op, name and inputs")
    name = check_name(data["name"], "node")
    owner = data.get("weights_of")
    try:
        op = op_from_json({key: value for key, value in data.items() if key not in ("name", "inputs", "weights_of")})
    except FovealError as error:
        raise GraphError(f"{name}: {error}") from error
    return Node(
        name, op, _names(data["inputs"], f"{name}: inputs"), None if owner is None else check_name(owner, "node")
    )


def _names(value: Any, what: str) -> tuple[str, ...]:
    if not isinstance(value, (list, tuple)) or not all(isinstance(name, str) for name in value):
        raise GraphError(f"{what}: {value!r:.80}; expected a list of names")
    return tuple(value)


def _is_shape(shape: Any) -> bool:
    sized = isinstance(shape, tuple) and 1 <= len(shape) <= 4
    return sized and all(type(n) is int and 1 <= n <= LARGEST for n in shape)


# Attributes of torch.nn.Module and torch.fx.GraphModule (2.13), and the name of the module in its own code; a test
# compares this list with the installed torch.
RESERVED = frozenset(
    """
    T_destination _apply _backward_hooks _backward_pre_hooks _boxed_call _buffers _call_impl _code
    _compiled_call_impl _create_node_hooks _deepcopy_hooks _deepcopy_init _erase_node_hooks _forward_hooks
    _forward_hooks_always_called _forward_hooks_with_kwargs _forward_pre_hooks _forward_pre_hooks_with_kwargs
    _get_backward_hooks _get_backward_pre_hooks _get_name _graph _is_full_backward_hook _lineno_map
    _load_from_state_dict _load_state_dict_post_hooks _load_state_dict_pre_hooks _maybe_warn_non_full_backward_hook
    _modules _named_members _non_persistent_buffers_set _parameters _prologue_start _recompile_submodules
    _register_create_node_hook _register_deepcopy_hook _register_erase_node_hook _register_load_state_dict_pre_hook
    _register_replace_node_hook _register_state_dict_hook _replace_hooks _replicate_for_data_parallel
    _save_to_state_dict _set_replace_hook _slow_forward _state_dict_hooks _state_dict_pre_hooks _tracer_cls
    _tracer_extras _unregister_create_node_hook _unregister_deepcopy_hook _unregister_erase_node_hook
    _unregister_replace_node_hook _version _wrapped_call _wrapped_call_impl add_module add_submodule apply bfloat16
    buffers call_super_init children code compile cpu cuda delete_all_unused_submodules delete_submodule double
    dump_patches eval extra_repr float forward get_buffer get_extra_state get_parameter get_submodule graph half ipu
    load_state_dict meta modules mtia named_buffers named_children named_modules named_parameters parameters
    print_readable recompile register_backward_hook register_buffer register_forward_hook register_forward_pre_hook
    register_full_backward_hook register_full_backward_pre_hook register_load_state_dict_post_hook
    register_load_state_dict_pre_hook register_module register_parameter register_state_dict_post_hook
    register_state_dict_pre_hook requires_grad_ set_extra_state set_submodule shape_env share_memory state_dict to
    to_empty to_folder train training type xpu zero_grad
    """.split()
)
