"""The operations a network is made of, each with its own arithmetic.

An op is frozen data: what it is called with, and integer functions of the shapes it receives. It has one output. Shapes
carry no batch axis; the spatial rank follows from the input, so the same `Conv` serves (C, L), (C, H, W) and
(C, D, H, W).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any

from foveal.errors import GraphError, ShapeError, UnknownName
from foveal.shapes import Padding, Shape, Size, per_axis, resolve_padding, slide, text

Count = int
"""A whole number of at least 1."""

Share = float
"""A number in [0, 1)."""

OptionalSize = Size | None
"""None where the op says what that means."""

LARGEST = 10**12  # no field of a real network comes near; arithmetic below stays exact and cheap


@dataclass(frozen=True)
class Op:
    """Base of all operations: checks every field once, on construction, by the name of its type.

    Raises
    ------
    GraphError : a field of the wrong type or out of range.
    """

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if value is None and field.type == "OptionalSize":
                continue
            check, expected = _CHECKS[str(field.type)]
            checked = check(value)
            if checked is None:
                raise GraphError(f"{type(self).__name__}.{field.name} = {value!r:.80}; expected {expected}")
            object.__setattr__(self, field.name, checked)

    def output_shape(self, *xs: Shape) -> Shape:
        """Shape of the output for inputs of shapes `xs`; ShapeError where the op cannot take them."""
        return self._only(xs)

    def parameters(self, *xs: Shape) -> dict[str, Shape]:
        """Names and shapes of the trainable values."""
        return {}

    def buffers(self, *xs: Shape) -> dict[str, Shape]:
        """Names and shapes of values that are stored but not trained."""
        return {}

    def macs(self, *xs: Shape) -> int:
        """Multiply-accumulates for one image: convolutions and dense layers only, bias excluded."""
        return 0

    def _only(self, xs: tuple[Shape, ...]) -> Shape:
        if len(xs) != 1:
            raise ShapeError(f"{type(self).__name__} takes one input, not {len(xs)}")
        return xs[0]

    def _map(self, xs: tuple[Shape, ...]) -> Shape:
        """The only input, which must be a feature map: channels and at least one spatial axis."""
        x = self._only(xs)
        if len(x) < 2:
            raise ShapeError(f"{type(self).__name__} takes a map such as 32x32x3, not {text(x)}")
        return x


@dataclass(frozen=True)
class Conv(Op):
    """Convolution as networks mean it (cross-correlation); LeCun et al. (1989)."""

    out_channels: Count
    kernel_size: Size
    stride: Size = 1
    padding: Padding = 0
    dilation: Size = 1
    groups: Count = 1
    bias: bool = True

    def output_shape(self, *xs: Shape) -> Shape:
        x = self._map(xs)
        for channels, side in ((x[0], "input"), (self.out_channels, "output")):
            if channels % self.groups:
                raise ShapeError(f"{channels} {side} channels do not divide into {self.groups} groups")
        return (self.out_channels, *slide(x[1:], self.kernel_size, self.stride, self.padding, self.dilation))

    def parameters(self, *xs: Shape) -> dict[str, Shape]:
        x = self._map(xs)
        weight = (self.out_channels, x[0] // self.groups, *per_axis(self.kernel_size, len(x) - 1))
        return {"weight": weight} | ({"bias": (self.out_channels,)} if self.bias else {})

    def macs(self, *xs: Shape) -> int:
        positions = math.prod(self.output_shape(*xs)[1:])
        return positions * math.prod(self.parameters(*xs)["weight"])


@dataclass(frozen=True)
class Dense(Op):
    """Fully connected layer on a flat input."""

    out_features: Count
    bias: bool = True

    def output_shape(self, *xs: Shape) -> Shape:
        x = self._only(xs)
        if len(x) != 1:
            raise ShapeError(f"Dense takes a flat input, not {text(x)}; put Flatten before it")
        return (self.out_features,)

    def parameters(self, *xs: Shape) -> dict[str, Shape]:
        weight = (self.out_features, *self._only(xs))
        return {"weight": weight} | ({"bias": (self.out_features,)} if self.bias else {})

    def macs(self, *xs: Shape) -> int:
        return math.prod(self.parameters(*xs)["weight"])


@dataclass(frozen=True)
class BatchNorm(Op):
    """Each channel normalised by the statistics of the batch, at inference by running ones; Ioffe & Szegedy (2015).

    `momentum` is the weight of the newest batch in the running statistics, as in PyTorch.
    """

    eps: float = 1e-5
    momentum: float = 0.1

    def parameters(self, *xs: Shape) -> dict[str, Shape]:
        channels = self._only(xs)[:1]
        return {"weight": channels, "bias": channels}

    def buffers(self, *xs: Shape) -> dict[str, Shape]:
        channels = self._only(xs)[:1]
        return {"running_mean": channels, "running_var": channels}


@dataclass(frozen=True)
class Relu(Op):
    """max(x, 0)."""


@dataclass(frozen=True)
class Relu6(Op):
    """min(max(x, 0), 6); Krizhevsky (2010)."""


@dataclass(frozen=True)
class Sigmoid(Op):
    """1 / (1 + exp(-x))."""


@dataclass(frozen=True)
class Tanh(Op):
    """Hyperbolic tangent."""


@dataclass(frozen=True)
class Softmax(Op):
    """exp(x) over its sum, across the channels (the first axis)."""


@dataclass(frozen=True)
class Dropout(Op):
    """In training, zero with probability `p` and the rest scaled by 1/(1 - p); Srivastava et al. (2014)."""

    p: Share = 0.5


@dataclass(frozen=True)
class MaxPool(Op):
    """The largest value in each window; padding counts as minus infinity. `stride` None means the kernel's size."""

    kernel_size: Size
    stride: OptionalSize = None
    padding: Padding = 0

    def output_shape(self, *xs: Shape) -> Shape:
        return _pooled(self._map(xs), self)


@dataclass(frozen=True)
class AvgPool(Op):
    """The mean of each window. With `count_padding`, padded cells count as zeros, otherwise they are left out."""

    kernel_size: Size
    stride: OptionalSize = None
    padding: Padding = 0
    count_padding: bool = False

    def output_shape(self, *xs: Shape) -> Shape:
        return _pooled(self._map(xs), self)


def _pooled(x: Shape, pool: MaxPool | AvgPool) -> Shape:
    stride = pool.stride or pool.kernel_size
    kernels = per_axis(pool.kernel_size, len(x) - 1)
    for kernel, sides in zip(kernels, resolve_padding(pool.padding, x[1:], kernels, stride), strict=True):
        if max(sides) >= kernel:
            raise ShapeError(
                f"padding {max(sides)} under a pooling window of {kernel} leaves windows with no input cell"
            )
    return (x[0], *slide(x[1:], kernels, stride, pool.padding))


@dataclass(frozen=True)
class GlobalAvgPool(Op):
    """The mean of each channel over all positions, kept as a map of one cell; Lin et al. (2013)."""

    def output_shape(self, *xs: Shape) -> Shape:
        x = self._map(xs)
        return (x[0], *(1,) * (len(x) - 1))


@dataclass(frozen=True)
class Flatten(Op):
    """All values of one image in a row, channel by channel."""

    def output_shape(self, *xs: Shape) -> Shape:
        return (math.prod(self._only(xs)),)


@dataclass(frozen=True)
class Add(Op):
    """Sum of two or more inputs of one shape."""

    def output_shape(self, *xs: Shape) -> Shape:
        if len(xs) < 2:
            raise ShapeError(f"Add takes at least two inputs, not {len(xs)}")
        if len(set(xs)) > 1:
            raise ShapeError(f"Add needs equal shapes, not {' and '.join(text(x) for x in xs)}")
        return xs[0]


@dataclass(frozen=True)
class Concat(Op):
    """Inputs stacked along the channels."""

    def output_shape(self, *xs: Shape) -> Shape:
        if not xs:
            raise ShapeError("Concat takes at least one input, not 0")
        if len({x[1:] for x in xs}) > 1:
            raise ShapeError(f"Concat needs equal spatial sizes, not {' and '.join(text(x) for x in xs)}")
        return (sum(x[0] for x in xs), *xs[0][1:])


OPS: dict[str, type[Op]] = {
    op.__name__: op
    for op in (
        Conv, Dense, BatchNorm, Relu, Relu6, Sigmoid, Tanh, Softmax, Dropout,
        MaxPool, AvgPool, GlobalAvgPool, Flatten, Add, Concat,
    )
}  # fmt: skip
"""Every operation by name."""


def op_to_json(op: Op) -> dict[str, Any]:
    """``{"op": "Conv", "out_channels": 8, ...}`` with every field."""
    return {"op": type(op).__name__} | {field.name: getattr(op, field.name) for field in fields(op)}


def op_from_json(data: dict[str, Any]) -> Op:
    """Inverse of `op_to_json`, from untrusted data.

    Raises
    ------
    UnknownName, GraphError : no such op; a field unknown, missing, of the wrong type or out of range.
    """
    name = data.get("op")
    if not isinstance(name, str) or name not in OPS:
        raise UnknownName("op", str(name)[:80], OPS)
    known = {field.name for field in fields(OPS[name])}
    options = {key: value for key, value in data.items() if key != "op"}
    if unknown := sorted(options.keys() - known):
        raise GraphError(
            f"{name} has no field {unknown[0][:80]!r}; its fields are {', '.join(sorted(known)) or 'none'}"
        )
    try:
        return OPS[name](**options)
    except TypeError as error:
        raise GraphError(f"{name}: a field is missing ({error})") from error


def _whole(value: Any, least: int) -> int | None:
    return value if type(value) is int and least <= value <= LARGEST else None


def _whole_tuple(value: Any, least: int) -> tuple[int, ...] | None:
    if not isinstance(value, (tuple, list)) or not 1 <= len(value) <= 3:
        return None
    return tuple(value) if all(_whole(n, least) is not None for n in value) else None


def _size(value: Any) -> Size | None:
    return _whole(value, 1) or _whole_tuple(value, 1)


def _padding(value: Any) -> Padding | None:
    if value == "same" or _whole(value, 0) is not None:
        return value  # type: ignore[no-any-return]  # checked on the line above
    if isinstance(value, (tuple, list)) and 1 <= len(value) <= 3 and all(isinstance(v, (tuple, list)) for v in value):
        pairs = [_whole_tuple(pair, 0) for pair in value]
        return tuple((p[0], p[1]) for p in pairs if p) if all(p and len(p) == 2 for p in pairs) else None
    return _whole_tuple(value, 0)


def _number(value: Any, least: float, below: float) -> float | None:
    usable = type(value) in (int, float) and least <= value < below  # False for NaN, too
    return float(value) if usable else None


_SIZE_TEXT = "a whole number of at least 1, or one per axis"
_CHECKS: dict[
    str, tuple[Callable[[Any], Any], str]
] = {  # by type name: the checked value or None, and what was expected
    "Count": (lambda v: _whole(v, 1), "a whole number of at least 1"),
    "Size": (_size, _SIZE_TEXT),
    "OptionalSize": (_size, _SIZE_TEXT + ", or None"),
    "Padding": (_padding, "a whole number of at least 0, one per axis, a (before, after) pair per axis, or 'same'"),
    "bool": (lambda v: v if type(v) is bool else None, "true or false"),
    "float": (lambda v: _number(v, 0.0, 1e6), "a number of at least 0 and below a million"),
    "Share": (lambda v: _number(v, 0.0, 1.0), "a number from 0 up to, not including, 1"),
}
