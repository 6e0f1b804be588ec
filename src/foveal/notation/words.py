"""The words of the notation: what each operation is called, and how its fields are written after it.

One table serves both ways: `make` turns a word and its arguments into an op, `write` an op into both. What is left out
has the op's own default.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, field, fields
from functools import cached_property
from typing import Any

from foveal import ops
from foveal.ops import Op
from foveal.shapes import Padding, Shape, Size, per_axis, text

DEPTHWISE = "depthwise"
"""As an argument of `conv`: a group for each input channel. As a word: a `conv` with it."""

JOINS: dict[str, type[Op]] = {"add": ops.Add, "concat": ops.Concat, "multiply": ops.Multiply}
"""What may follow ``{ a | b }``."""


@dataclass(frozen=True)
class Kind:
    """How values of one kind are written; `read` and `write` also get the shape of the layer's input."""

    pattern: str
    read: Callable[[str, Shape], Any]
    write: Callable[[Any, Shape], str]


@dataclass(frozen=True)
class Argument:
    """One argument: the fields it sets, and what an error says where it is missing."""

    names: tuple[str, ...]
    kind: Kind
    what: str = ""
    prefix: str = ""

    def matches(self, token: str) -> bool:
        return self._pattern.fullmatch(token) is not None

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        return re.compile(f"{re.escape(self.prefix)}(?:{self.kind.pattern})")

    def read(self, token: str, x: Shape) -> dict[str, Any]:
        value = self.kind.read(token[len(self.prefix) :], x)
        return {self.names[0]: value} if len(self.names) == 1 else dict(zip(self.names, value, strict=False))

    def write(self, op: Op, x: Shape) -> str:
        values = tuple(getattr(op, name) for name in self.names)
        return self.prefix + self.kind.write(values[0] if len(values) == 1 else values, x)

    @property
    def literals(self) -> list[str]:
        """The words this argument can be."""
        return [part for part in self.kind.pattern.split("|") if part.isalpha()]


@dataclass(frozen=True)
class Word:
    """A layer's name and arguments, in the order in which they are written.

    `follows` says that it is written into the step of the layer before it; `assumed` are defaults that the op itself
    does not have.
    """

    text: str
    op: type[Op]
    arguments: tuple[Argument, ...] = ()
    follows: bool = False
    assumed: Mapping[str, Any] = field(default_factory=dict)

    @cached_property
    def defaults(self) -> dict[str, Any]:
        return {f.name: f.default for f in fields(self.op) if f.default is not MISSING} | {**self.assumed}

    def missing(self, given: Mapping[Argument, str]) -> Argument | None:
        """The first argument that has no default and is not among the `given`."""
        optional = self.defaults.keys() | ({"out_channels"} if DEPTHWISE in given.values() else set())
        return next((a for a in self.arguments if a not in given and not optional.issuperset(a.names)), None)


def make(word: Word, given: Mapping[Argument, str], x: Shape) -> Op:
    """The op that `word` with the arguments `given` means on an input of shape `x`; GraphError where a value is bad."""
    values = dict(word.defaults)
    if DEPTHWISE in given.values():
        values["out_channels"] = x[0]
    for argument, token in given.items():
        values |= argument.read(token, x)
    return word.op(**values)


def write(op: Op, x: Shape) -> str:
    """`op` on an input of shape `x`, as `make` reads it."""
    word = BY_OP[type(op)]
    parts = [
        argument.write(op, x)
        for argument in word.arguments
        if not all(_says(getattr(op, name), word.defaults.get(name, MISSING), x) for name in argument.names)
    ]
    if DEPTHWISE in parts:
        filters, *others = (part for part in parts if part != DEPTHWISE)
        return " ".join([DEPTHWISE, *([] if filters == str(x[0]) else [filters]), *others])
    return " ".join([word.text, *parts])


def _says(value: Any, default: Any, x: Shape) -> bool:
    """Whether `value` is the default, or that for each axis or each side."""
    rank = len(x) - 1
    return value in (default, (default,) * rank, ((default, default),) * rank)


def read_shape(token: str) -> Shape:
    """Channels first, from a text with channels last."""
    *spatial, channels = (int(n) for n in token.split("x"))
    return (channels, *spatial)


def _merged(values: tuple[int, ...], x: Shape) -> Size:
    """One value where it holds for every axis: ``3x3`` and ``3`` say one network, so they make one graph."""
    return values[0] if len(set(values)) == 1 and len(values) in (1, len(x) - 1) else values


def _read_padding(token: str, x: Shape) -> Padding:
    if token in ("same", "valid"):
        return "same" if token == "same" else 0
    sides = [[int(n) for n in axis.split("+")] for axis in token.removeprefix("p").split("x")]
    if any(side[0] != side[-1] for side in sides):
        return tuple((side[0], side[-1]) for side in sides)
    return _merged(tuple(side[0] for side in sides), x)


def _write_padding(padding: Any, x: Shape) -> str:
    if padding == "same":
        return "same"
    sides = [side if isinstance(side, tuple) else (side, side) for side in per_axis(padding, len(x) - 1)]
    return _shortest([str(before) if before == after else f"{before}+{after}" for before, after in sides])


def _shortest(axes: list[str]) -> str:
    return axes[0] if len(set(axes)) == 1 and "+" not in axes[0] else "x".join(axes)


def _axes(size: Size, x: Shape) -> list[str]:
    return [str(n) for n in per_axis(size, len(x) - 1)]


def _read_groups(token: str, x: Shape) -> int:
    return x[0] if token == DEPTHWISE else int(token.removeprefix("g"))


def _option(name: str, word: str, value: Any) -> Argument:
    """A word that gives the field `name` the value that is not its default."""
    return Argument((name,), Kind(word, lambda token, x: value, lambda value, x: word))


def _key(name: str, kind: Kind) -> Argument:
    return Argument((name,), kind, prefix=f"{name}=")


_SIDE = r"[0-9]+(?:\+[0-9]+)?"
_WHOLE = Kind("[0-9]+", lambda token, x: int(token), lambda value, x: str(value))
_REAL = Kind(
    r"[0-9]+(?:\.[0-9]+)?(?:e-?[0-9]+)?|\.[0-9]+",
    lambda token, x: float(token),
    lambda value, x: repr(abs(value)).removesuffix(".0"),  # abs: there is -0.0
)
_SIGNED = Kind(f"-?(?:{_REAL.pattern})", _REAL.read, lambda value, x: repr(value).removesuffix(".0"))
_SIZE = Kind(
    "[0-9]+(?:x[0-9]+)*",
    lambda token, x: _merged(tuple(int(n) for n in token.split("x")), x),
    lambda value, x: _shortest(_axes(value, x)),
)
_GRID = Kind(_SIZE.pattern, _SIZE.read, lambda value, x: "x".join(_axes(value, x)))
_SHAPE = Kind(_SIZE.pattern, lambda token, x: read_shape(token), lambda value, x: text(value))
_ZEROS = Kind(f"same|valid|{_SIDE}(?:x{_SIDE})*", _read_padding, _write_padding)
_SIDES = Kind(
    f"same|valid|p{_SIDE}(?:x{_SIDE})*",
    _read_padding,
    lambda value, x: "same" if value == "same" else f"p{_write_padding(value, x)}",
)
_ENDS = Kind(
    r"[0-9]+\+[0-9]+",
    lambda token, x: [int(n) for n in token.split("+")],
    lambda value, x: "{}+{}".format(*value),
)
_GROUP_COUNT = Kind(f"g[0-9]+|{DEPTHWISE}", _read_groups, lambda value, x: DEPTHWISE if value == x[0] else f"g{value}")
_PART = Kind(
    "[0-9]+:[0-9]+(?::[0-9]+)?",
    lambda token, x: [int(n) for n in token.split(":")],
    lambda value, x: f"{value[0]}:{value[1]}" + f":{value[2]}" * (value[2] > 1),
)

_FILTERS = Argument(("out_channels",), _WHOLE, "the number of filters, such as 8")
_KERNEL = Argument(("kernel_size",), _GRID, "the kernel's size, such as 3x3")
_WINDOW = Argument(("kernel_size",), _SIZE, "the window's size, such as 2")
_STRIDE = Argument(("stride",), _SIZE, prefix="/")
_PADDING = Argument(("padding",), _SIDES)
_DILATION = Argument(("dilation",), _SIZE, prefix="d")
_EXTRA = Argument(("output_padding",), _SIZE, prefix="o")
_GROUPS = Argument(("groups",), _WHOLE, prefix="g")
_GROUPS_OR_DEPTHWISE = Argument(("groups",), _GROUP_COUNT)
_FACTOR = Argument(("scale",), _SIZE, "the factor, such as 2")
_OUTPUTS = Argument(("output_size",), _GRID, "the output's size, such as 6x6")
_RANGE = Argument(("start", "stop", "step"), _PART, "which part, such as 0:16")
_NO_BIAS = _option("bias", "nobias", False)
_CEIL = _option("ceil_mode", "ceil", True)
_EPS = _key("eps", _REAL)
_NOT_AFFINE = _option("affine", "noaffine", False)


def _count(name: str, what: str) -> Argument:
    return Argument((name,), _WHOLE, what)


def _layer(text: str, op: type[Op], *arguments: Argument) -> Word:
    return Word(text, op, arguments)


def _after(text: str, op: type[Op], *arguments: Argument, **assumed: Any) -> Word:
    return Word(text, op, arguments, follows=True, assumed=assumed)


_TABLE = (
    _layer("conv", ops.Conv, _FILTERS, _KERNEL, _STRIDE, _PADDING, _DILATION, _GROUPS_OR_DEPTHWISE, _NO_BIAS),
    _layer("deconv", ops.ConvTranspose, _FILTERS, _KERNEL, _STRIDE, _PADDING, _EXTRA, _DILATION, _GROUPS, _NO_BIAS),
    _layer("dense", ops.Dense, _count("out_features", "the number of units, such as 10"), _NO_BIAS),
    _layer("rbf", ops.Rbf, _count("out_features", "the number of points, such as 10")),
    _layer("maxpool", ops.MaxPool, _WINDOW, _STRIDE, _PADDING, _DILATION, _CEIL),
    _layer(
        "avgpool", ops.AvgPool, _WINDOW, _STRIDE, _PADDING, _DILATION, _option("count_padding", "countpad", True), _CEIL
    ),
    _layer("lppool", ops.LpPool, _WINDOW, _STRIDE, _PADDING, _DILATION, _key("p", _REAL), _CEIL),
    _layer("medianpool", ops.MedianPool, _WINDOW, _STRIDE),
    _layer("global avgpool", ops.GlobalAvgPool),
    _layer("global maxpool", ops.GlobalMaxPool),
    _layer("adaptive avgpool", ops.AdaptiveAvgPool, _OUTPUTS),
    _layer("flatten", ops.Flatten),
    _layer("reshape", ops.Reshape, Argument(("shape",), _SHAPE, "the new shape, such as 7x7x64")),
    _layer("pad", ops.Pad, Argument(("padding",), _ZEROS, "how many zeros, such as 1 or 0+1x0+1")),
    _layer("padchannels", ops.PadChannels, Argument(("before", "after"), _ENDS, "how many channels, such as 8+8")),
    _layer("slice", ops.Slice, _RANGE, _key("axis", _WHOLE)),
    _layer("upsample", ops.Upsample, _FACTOR, _option("mode", "linear", "linear")),
    _layer("pixelshuffle", ops.PixelShuffle, _count("factor", "the factor, such as 2")),
    _layer("shuffle", ops.ChannelShuffle, _count("groups", "the number of groups, such as 3")),
    _after("bn", ops.BatchNorm, _EPS, _key("momentum", _REAL), _NOT_AFFINE),
    _after("layernorm", ops.LayerNorm, _EPS, _NOT_AFFINE),
    _after("groupnorm", ops.GroupNorm, _count("groups", "the number of groups, such as 8"), _EPS, _NOT_AFFINE),
    _after(
        "lrn", ops.LocalResponseNorm, _count("size", "the number of channels, such as 5"),
        _key("alpha", _REAL), _key("beta", _REAL), _key("k", _REAL), size=5,
    ),
    _after("relu", ops.Relu),
    _after("relu6", ops.Relu6),
    _after("leaky", ops.LeakyRelu, Argument(("negative_slope",), _REAL)),
    _after("prelu", ops.PRelu),
    _after("elu", ops.Elu, Argument(("alpha",), _REAL)),
    _after("selu", ops.Selu),
    _after("gelu", ops.Gelu, _option("approximate", "approximate", True)),
    _after("silu", ops.Silu),
    _after("mish", ops.Mish),
    _after("softplus", ops.Softplus),
    _after("hardsigmoid", ops.Hardsigmoid),
    _after("hardswish", ops.Hardswish),
    _after("sigmoid", ops.Sigmoid),
    _after("tanh", ops.Tanh),
    _after("softmax", ops.Softmax),
    _after("logsoftmax", ops.LogSoftmax),
    _after("maxout", ops.Maxout, _count("pieces", "how many channels become one, such as 2")),
    _after("identity", ops.Identity),
    _after("dropout", ops.Dropout, Argument(("p",), _REAL)),
    _after("scale", ops.Scale, _option("bias", "bias", True)),
    _after("offset", ops.Offset),
    _after("factor", ops.Factor, Argument(("value",), _SIGNED, "the factor, such as 0.17")),
)  # fmt: skip

WORDS: dict[str, Word] = {word.text: word for word in _TABLE}
"""Every layer by its name."""

BY_OP: dict[type[Op], Word] = {word.op: word for word in _TABLE}
"""Every layer by its op."""
