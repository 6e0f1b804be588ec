"""What every operation is: frozen data, checked once, with integer functions of the shapes it receives."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any, ClassVar

from foveal.errors import GraphError, ShapeError
from foveal.fields import Axis, Field
from foveal.shapes import Padding, Shape, Size, per_axis, resolve_padding, slide, text

Count = int
"""A whole number of at least 1."""

Share = float
"""A number in [0, 1)."""

Real = float
"""Any finite number below a million, of either sign."""

Power = float
"""A number of at least 1 and below a thousand."""

OptionalSize = Size | None
"""None where the op says what that means."""

Whole = int
"""A whole number of at least 0."""

Extra = Size
"""One whole number of at least 0 for every spatial axis, or one per axis."""

Sizes = tuple[int, ...]
"""One to four numbers of at least 1: a shape."""

Shapes = tuple[Sizes, ...]
"""Any number of shapes."""

Mode = str
"""How to fill in between cells: ``"nearest"`` or ``"linear"``."""

Label = str
"""Up to 80 characters that can be printed."""

LARGEST = 10**12  # no field of a real network comes near; arithmetic below stays exact and cheap


@dataclass(frozen=True)
class Op:
    """Base of all operations: checks every field once, on construction, by the name of its type.

    Raises
    ------
    GraphError : a field of the wrong type or out of range.
    """

    work: ClassVar[int] = 0
    """Elementary operations for each output value, where that is all the op does."""

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

    def other_ops(self, *xs: Shape) -> int:
        """Elementary operations for one image that are no MACs: one for each addition, product, comparison or function.

        Here `work` of them for each output value.
        """
        return self.work * math.prod(self.output_shape(*xs))

    def receptive_field(self, *xs: Field) -> Field:
        """What each output unit sees, from what the units of the inputs see; `foveal.fields`."""
        return Field.joined(xs)

    def local_field(self, *xs: Field) -> Field:
        """The same, ignoring gates and statistics taken over the whole map."""
        return self.receptive_field(*xs)

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


def slid(
    x: Field, kernel: Size, stride: Size, padding: Padding, dilation: Size = 1, *, ceil_mode: bool = False
) -> Field:
    """The receptive field of a window that slides over a map whose units have the field `x`."""
    rank = len(x.axes)
    outputs = slide(x.units, kernel, stride, padding, dilation, ceil_mode=ceil_mode)
    sides = resolve_padding(padding, x.units, kernel, stride, dilation)
    kernels, strides, dilations = (per_axis(value, rank) for value in (kernel, stride, dilation))

    def windowed(axis: Axis, i: int) -> Axis:
        return axis.windowed(outputs[i], kernels[i], strides[i], sides[i][0], dilations[i])

    return x.each(windowed)


def _whole(value: Any, least: int) -> int | None:
    return value if type(value) is int and least <= value <= LARGEST else None


def _whole_tuple(value: Any, least: int, longest: int = 3) -> tuple[int, ...] | None:
    if not isinstance(value, (tuple, list)) or not 1 <= len(value) <= longest:
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


def _shapes(value: Any) -> tuple[tuple[int, ...], ...] | None:
    if not isinstance(value, (tuple, list)) or len(value) > 100:
        return None
    shapes = [_whole_tuple(shape, 1, 8) for shape in value]
    return None if None in shapes else tuple(shape for shape in shapes if shape)


def _number(value: Any, least: float, below: float) -> float | None:
    usable = type(value) in (int, float) and least <= value < below  # False for NaN, too
    return float(value) if usable else None


_SIZE_TEXT = "a whole number of at least 1, or one per axis"
_LABEL_TEXT = "up to 80 printable characters"
_CHECKS: dict[str, tuple[Callable[[Any], Any], str]] = {
    "Count": (lambda v: _whole(v, 1), "a whole number of at least 1"),
    "Size": (_size, _SIZE_TEXT),
    "Extra": (
        lambda v: v if _whole(v, 0) is not None else _whole_tuple(v, 0),
        "a whole number of at least 0, or one per axis",
    ),
    "OptionalSize": (_size, _SIZE_TEXT + ", or None"),
    "Padding": (_padding, "a whole number of at least 0, one per axis, a (before, after) pair per axis, or 'same'"),
    "Whole": (lambda v: _whole(v, 0), "a whole number of at least 0"),
    "Sizes": (lambda v: _whole_tuple(v, 1, 4), "one to four whole numbers of at least 1"),
    "Shapes": (_shapes, "a list of shapes"),
    "Mode": (lambda v: v if v in ("nearest", "linear") else None, "'nearest' or 'linear'"),
    "Label": (lambda v: v if isinstance(v, str) and len(v) <= 80 and v.isprintable() else None, _LABEL_TEXT),
    "bool": (lambda v: v if type(v) is bool else None, "true or false"),
    "float": (lambda v: _number(v, 0.0, 1e6), "a number of at least 0 and below a million"),
    "Real": (lambda v: _number(v, -1e6, 1e6), "a number between minus a million and a million"),
    "Power": (lambda v: _number(v, 1.0, 1e3), "a number of at least 1 and below a thousand"),
    "Share": (lambda v: _number(v, 0.0, 1.0), "a number from 0 up to, not including, 1"),
}
"""By the name of a field's type: the checked value or None, and what was expected."""
