"""How much memory a network takes: to run by the liveness of its activations, to train by what backward needs kept.

Both follow PyTorch in eager mode: every op writes a new tensor, except that views and inference dropout write none; a
tensor lives until its last reader is done. Which tensors an op keeps for its backward pass is what PyTorch's
``derivatives.yaml`` says. Left out: the workspaces of convolution kernels, the allocator's rounding, Python itself;
``bench/memory.py`` measures the difference.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from foveal import ops
from foveal.errors import UnknownName, UsageError
from foveal.graph import INPUT, Graph, Node
from foveal.ops import Op
from foveal.shapes import Shape

ACTIVATION_BYTES = {"float32": 4, "bf16": 2}
"""``bf16`` is mixed precision: weights in float32 with a bfloat16 copy of those that multiply, activations bfloat16."""

OPTIMIZERS = {
    "sgd": (0, 0),
    "momentum": (1, 0),
    "nesterov": (1, 1),
    "adagrad": (1, 1),
    "rmsprop": (1, 1),
    "adam": (2, 2),
    "adamw": (2, 2),
}
"""Values an optimizer keeps for each parameter, and temporary tensors while it updates one."""

_VIEWS = (ops.Flatten, ops.Reshape, ops.Identity, ops.Slice)
_KEEP_OUTPUT = (ops.Relu, ops.Sigmoid, ops.Tanh, ops.Softmax, ops.LogSoftmax)
_KEEP_NOTHING = (ops.Add, ops.Concat, ops.Factor, ops.GlobalAvgPool, ops.Maxout, ops.Offset, ops.Pad,
                 ops.PadChannels, ops.Rbf, ops.Upsample, ops.ChannelShuffle, ops.PixelShuffle)  # fmt: skip
_PASS_GRADIENT = (*_VIEWS, ops.Add, ops.Offset)  # the gradient to the input is a view of the gradient to the output


@dataclass(frozen=True)
class Inference:
    """Bytes to run a network on a batch; `node` is where the activations are at their peak."""

    weights: int
    activations: int
    node: str

    @property
    def total(self) -> int:
        return self.weights + self.activations

    def to_json(self) -> dict[str, Any]:
        return asdict(self) | {"total": self.total}


@dataclass(frozen=True)
class Training:
    """Bytes to train a network on a batch, at the step of forward, backward or update that takes most.

    Attributes
    ----------
    weights : parameters and buffers, with their bfloat16 copies in mixed precision.
    optimizer : what it keeps between steps.
    saved : activations that backward needs; they are all there when it begins.
    peak : the most that activations and gradients take at one time, the input batch included.
    node : where that is.
    """

    weights: int
    optimizer: int
    gradients: int
    saved: int
    peak: int
    node: str

    @property
    def total(self) -> int:
        return self.weights + self.optimizer + self.peak

    def to_json(self) -> dict[str, Any]:
        return asdict(self) | {"total": self.total}


def inference(graph: Graph, batch: int = 1, precision: str = "float32") -> Inference:
    """Memory for one pass over `batch` images.

    Raises
    ------
    UnknownName, UsageError : an unknown precision; a batch below 1.
    """
    size = _size(precision) * _at_least_one(batch)
    root = _roots(graph, (*_VIEWS, ops.Dropout))
    readers = Counter(root[name] for node in graph.nodes for name in node.inputs)
    readers.update(root[name] for name in graph.outputs)
    live = values = math.prod(graph.input_shape)
    peak, where = values, INPUT
    for node in graph.nodes:
        if root[node.name] == node.name:
            live += math.prod(graph.shapes[node.name])
        if live > peak:
            peak, where = live, node.name
        for name in node.inputs:
            readers[root[name]] -= 1
            if readers[root[name]] == 0:
                live -= math.prod(graph.shapes[root[name]])
    return Inference(_weights(graph, precision), size * peak, where)


def training(
    graph: Graph, batch: int, optimizer: str = "adam", precision: str = "float32", frozen: frozenset[str] = frozenset()
) -> Training:
    """Memory for one training step on `batch` images.

    Parameters
    ----------
    optimizer : one of `OPTIMIZERS`.
    precision : ``"float32"`` or ``"bf16"``, see `ACTIVATION_BYTES`.
    frozen : names of parameters that are not trained: they have no gradient and no optimizer state.
    """
    batch = _at_least_one(batch)
    steps = list(_steps(graph, _size(precision), frozen, _optimizer(optimizer)[1]))
    each, fixed, where = max(steps, key=lambda step: step[0] * batch + step[1])
    trained = _trained(graph, frozen)
    saved = sum(_saved_sizes(graph, _size(precision)).values())
    return Training(
        _weights(graph, precision),
        4 * trained * _optimizer(optimizer)[0],
        4 * trained,
        batch * saved,
        each * batch + fixed,
        where,
    )


def largest_batch(
    graph: Graph, budget: int, optimizer: str = "adam", precision: str = "float32", frozen: frozenset[str] = frozenset()
) -> int:
    """How many images a training step may take within `budget` bytes; 0 if not even one."""
    left = budget - _weights(graph, precision) - 4 * _trained(graph, frozen) * _optimizer(optimizer)[0]
    bounds = [
        (left - fixed) // each if each else (10**18 if left >= fixed else 0)
        for each, fixed, _ in _steps(graph, _size(precision), frozen, _optimizer(optimizer)[1])
    ]
    return max(0, min(bounds))


def read_bytes(said: str) -> int:
    """``8GiB``, ``500 MB``, ``16g`` (GiB) in bytes; UsageError where it is none."""
    units = {"": 1, "b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12}
    units |= {key: 1024**power for power, letter in enumerate("kmgt", 1) for key in (letter, f"{letter}ib")}
    word = said.strip().lower()
    digits = word.rstrip("bikmgt ")
    try:
        size = float(digits) * units[word[len(digits) :].strip()]
        if not 0 < size < 1e18:
            raise ValueError
    except (ValueError, KeyError) as error:
        raise UsageError(f"{said!r:.40} is no size of memory; expected something like 8GiB or 500MB") from error
    return int(size)


def _steps(graph: Graph, size: int, frozen: frozenset[str], temporary: int) -> Iterator[tuple[int, int, str]]:
    """Every moment of a training step: bytes for each image, bytes besides (gradients of parameters), the node."""
    yield from _forward(graph, size)
    grads = 0
    for each, new, node in _backward(graph, size, frozen):
        grads += new
        yield each, grads, node
    largest = max((math.prod(shape) for name, shape in graph.parameters().items() if name not in frozen), default=0)
    yield size * math.prod(graph.input_shape), grads + 4 * largest * temporary, "the update"


def _forward(graph: Graph, size: int) -> Iterator[tuple[int, int, str]]:
    root = _roots(graph, _VIEWS)
    saved = _saved(graph)
    readers = Counter(root[name] for node in graph.nodes for name in node.inputs)
    readers.update(root[name] for name in graph.outputs)
    kept: Counter[str] = Counter()
    keep = {key for keys in saved.values() for key in keys}
    live = size * math.prod(graph.input_shape)
    extras = _extras(graph, size)
    for node in graph.nodes:
        if root[node.name] == node.name:
            live += size * math.prod(graph.shapes[node.name])
        live += extras[node.name]
        yield live, 0, node.name
        for name in node.inputs:
            readers[root[name]] -= 1
            if readers[root[name]] == 0 and root[name] not in keep and root[name] != INPUT:
                live -= size * math.prod(graph.shapes[root[name]])
        kept.update(saved[node.name])


def _backward(graph: Graph, size: int, frozen: frozenset[str]) -> Iterator[tuple[int, int, str]]:
    """Bytes for each image while the gradients travel back, and the bytes of parameter gradients each node adds."""
    saved, extras = _saved(graph), _extras(graph, size)
    savers = Counter(key for keys in saved.values() for key in keys)
    live = sum(_saved_sizes(graph, size).values()) + size * math.prod(graph.input_shape) * (INPUT not in savers)
    root = _roots(graph, _PASS_GRADIENT)  # tensors whose gradients share memory
    gradients = {root[name] for name in graph.outputs}
    live += sum(size * math.prod(graph.shapes[name]) for name in gradients)
    for node in reversed(graph.nodes):
        new = 0
        for name in node.inputs:
            target = root[name]
            if name != INPUT and target not in gradients and target != root[node.name]:
                gradients.add(target)
                live += size * math.prod(graph.shapes[target])
        arrays = {} if node.weights_of else node.op.parameters(*graph.input_shapes(node))
        new = 4 * sum(math.prod(s) for key, s in arrays.items() if f"{node.name}.{key}" not in frozen)
        yield live, new, node.name
        live -= extras[node.name]
        for key in saved[node.name]:
            savers[key] -= 1
            if savers[key] == 0 and key != INPUT:
                live -= size * math.prod(graph.shapes[key])
        if root[node.name] == node.name and node.name in gradients:
            gradients.discard(node.name)
            live -= size * math.prod(graph.shapes[node.name])


def _saved(graph: Graph) -> dict[str, set[str]]:
    """The tensors (by the node that wrote them) that each node keeps for its backward pass."""
    root = _roots(graph, _VIEWS)
    return {node.name: {root[name] for name in _read_by_backward(node)} for node in graph.nodes}


def _read_by_backward(node: Node) -> tuple[str, ...]:
    if isinstance(node.op, (*_VIEWS, *_KEEP_NOTHING, ops.Dropout, ops.Opaque)):
        return ()
    if isinstance(node.op, ops.LpPool):
        return (*node.inputs, node.name)
    return (node.name,) if isinstance(node.op, _KEEP_OUTPUT) else node.inputs


def _extras(graph: Graph, size: int) -> dict[str, int]:
    """Bytes that a node keeps besides inputs and outputs, for each image."""
    return {
        node.name: _extra(node.op, graph.input_shapes(node)[0], math.prod(graph.shapes[node.name]), size)
        for node in graph.nodes
    }


def _extra(op: Op, x: Shape, values: int, size: int) -> int:
    if isinstance(op, (ops.MaxPool, ops.Maxout)):
        return 8 * values  # where the largest was, as int64
    if isinstance(op, ops.Dropout):
        return size * values  # the mask
    if isinstance(op, ops.LocalResponseNorm):
        return 3 * size * values  # padded squares, the sum before and after the power
    if isinstance(op, ops.Rbf):
        return size * values * x[0]  # the differences that are squared
    return 0


def _saved_sizes(graph: Graph, size: int) -> dict[str, int]:
    """Bytes of everything kept for backward, for each image."""
    tensors = {key for keys in _saved(graph).values() for key in keys}
    sizes = {name: size * math.prod(graph.shapes[name]) for name in tensors}
    return sizes | {f"{name} besides": extra for name, extra in _extras(graph, size).items() if extra}


def _roots(graph: Graph, views: tuple[type[Op], ...]) -> dict[str, str]:
    """For each node the one whose tensor it shows: itself, or for a view the root of its first input."""
    root = {INPUT: INPUT}
    for node in graph.nodes:
        root[node.name] = root[node.inputs[0]] if isinstance(node.op, views) and node.inputs else node.name
    return root


def _weights(graph: Graph, precision: str) -> int:
    values = sum(math.prod(shape) for shape in (graph.parameters() | graph.buffers()).values())
    if precision == "float32":
        return 4 * values
    copied = sum(math.prod(s) for name, s in graph.parameters().items() if name.endswith(".weight") and len(s) > 1)
    return 4 * values + 2 * copied


def _trained(graph: Graph, frozen: frozenset[str]) -> int:
    return sum(math.prod(shape) for name, shape in graph.parameters().items() if name not in frozen)


def _optimizer(optimizer: str) -> tuple[int, int]:
    if optimizer not in OPTIMIZERS:
        raise UnknownName("optimizer", optimizer, OPTIMIZERS)
    return OPTIMIZERS[optimizer]


def _size(precision: str) -> int:
    if precision not in ACTIVATION_BYTES:
        raise UnknownName("precision", precision, ACTIVATION_BYTES)
    return ACTIVATION_BYTES[precision]


def _at_least_one(batch: int) -> int:
    if batch < 1:
        raise UsageError(f"a batch of {batch} images; expected at least 1")
    return batch
