"""Collecting the steps of a traced network, each parameter once, and joining those that one op can say.

Torch-free: a source's parameters are names and shapes.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from foveal.errors import ShapeError
from foveal.ops import AvgPool, Conv, MaxPool, Op, Opaque, Pad, Scale
from foveal.shapes import Padding, Shape, per_axis, resolve_padding, same_padding

SOURCE = -1
"""The number under which steps read the network's input."""


class Unrecovered(Exception):
    """The ops there are cannot say this operation; never leaves the package."""


@dataclass(frozen=True)
class Place:
    """Where a step was made: the path of the module that ran, which of its calls, and whether all it does is pad."""

    path: str = ""
    call: int = 0
    pads: bool = False


@dataclass
class Step:
    """A node to be.

    Attributes
    ----------
    inputs : numbers of the steps it reads.
    names : for each of the op's parameters, the source's.
    owner : the step whose weights it shares.
    work : MACs for one image that are not in the op's count.
    passing : a later step stands for it; it goes unless another reads it.
    offset : it only adds a parameter to each channel.
    lowest : a padding with minus infinity, not zeros.
    gone : no part of the network any more.
    """

    op: Op
    inputs: tuple[int, ...]
    place: Place
    shape: Shape
    names: dict[str, str] = field(default_factory=dict)
    owner: int | None = None
    work: int = 0
    passing: bool = False
    offset: bool = False
    lowest: bool = False
    gone: bool = False


class Recorder:
    """The steps so far.

    Parameters
    ----------
    parameters : shape of each parameter, by the source's name.
    """

    def __init__(self, input_shape: Shape, parameters: Mapping[str, Shape]) -> None:
        self.input_shape = input_shape
        self.parameters = parameters
        self.steps: list[Step] = []
        self.owners: dict[str, int] = {}

    def shape(self, step: int) -> Shape:
        return self.input_shape if step == SOURCE else self.steps[step].shape

    def size(self, parameter: str) -> int:
        return math.prod(self.parameters[parameter])

    def op(self, step: int) -> Op | None:
        return None if step == SOURCE else self.steps[step].op

    def add(
        self,
        op: Op,
        inputs: Sequence[int],
        place: Place,
        sources: Mapping[str, tuple[str, ...]] | None = None,
        state: tuple[str, ...] = (),
    ) -> int:
        """Append a step and return its number.

        Parameters
        ----------
        sources : for each of the op's parameters, those of the source that it is computed from.
        state : the source's names of the op's buffers.

        Raises
        ------
        Unrecovered : a parameter that is not one of the source's and of that size, or belongs to a different step.
        ShapeError : an input that the op cannot take.
        """
        shapes = [self.shape(i) for i in inputs]
        shape = op.output_shape(*shapes)
        names: dict[str, str] = {}
        for key, needed in op.parameters(*shapes).items():
            given = (sources or {}).get(key, ())
            if len(given) != 1 or given[0] in names.values() or self.size(given[0]) != math.prod(needed):
                raise Unrecovered
            names[key] = given[0]
        owned = {self.owners.get(name) for name in (*names.values(), *state)}
        owner = next(iter(owned), None)
        if len(owned) > 1 or (owner is not None and (self.steps[owner].op, self.steps[owner].names) != (op, names)):
            raise Unrecovered
        self.owners |= dict.fromkeys((*names.values(), *state), len(self.steps) if owner is None else owner)
        self.steps.append(Step(op, tuple(inputs), place, shape, names, owner))
        return len(self.steps) - 1

    def opaque(
        self,
        label: str,
        inputs: Sequence[int],
        shape: Shape,
        place: Place,
        reads: Iterable[str] = (),
        *,
        local: bool = False,
        work: int = 0,
    ) -> int:
        """Append a step seen from outside only, with those of the parameters it `reads` that no other step has.

        `local` where each position depends on no other; `work` are the MACs for one image that it leaves out.
        """
        new = [name for name in dict.fromkeys(reads) if name not in self.owners and 0 not in self.parameters[name]]
        op = Opaque(label[:80], shape, tuple(self.parameters[name] or (1,) for name in new), local)
        self.owners |= dict.fromkeys(new, len(self.steps))
        names = {f"weight{i}": name for i, name in enumerate(new)}
        self.steps.append(Step(op, tuple(dict.fromkeys(inputs)), place, op.shape, names, work=work))
        return len(self.steps) - 1

    def supersede(self, *steps: int) -> None:
        """Say that a step found later stands for these."""
        for step in steps:
            if step != SOURCE and not self.steps[step].names:
                self.steps[step].passing = True

    def simplify(self, outputs: Sequence[int]) -> None:
        """Drop steps that others stand for, and put paddings and offsets into the layers they belong to."""
        readers = Counter(outputs)
        readers.update(i for step in self.steps for i in step.inputs)
        owners = {step.owner for step in self.steps if step.owner is not None}
        for number in reversed(range(len(self.steps))):
            step = self.steps[number]
            if step.passing and not readers[number]:
                step.gone = True
                readers.subtract(step.inputs)
        own = [step.owner is None and number not in owners for number, step in enumerate(self.steps)]
        for number, step in enumerate(self.steps):
            if not step.gone and own[number] and len(step.inputs) == 1 and step.inputs[0] != SOURCE:
                before = step.inputs[0]
                if own[before] and readers[before] == 1:
                    self._join(self.steps[before], step)
        for step in self.steps:
            if step.lowest:
                step.op = Opaque("pad", step.shape)

    def _join(self, before: Step, step: Step) -> None:
        """Let `step`, the only reader of `before`, do the work of both where an op can say it."""
        if isinstance(before.op, Pad) and isinstance(step.op, MaxPool if before.lowest else (Conv, AvgPool)):
            joined = _padded(step.op, before.op, self.shape(before.inputs[0]), before.place.pads)
            if joined is None:
                return
            step.op = joined
        elif step.offset and before.op == Scale():
            step.op = Scale(bias=True)
            step.names = before.names | {"bias": step.names["weight0"]}
            step.place = before.place
        else:
            return
        step.inputs = before.inputs
        before.gone = True


def _padded(op: Conv | AvgPool | MaxPool, pad: Pad, x: Shape, fixed: bool) -> Op | None:
    """`op` with the padding of `pad` as its own, for an input of shape `x`; None where it cannot have them.

    Padding that TensorFlow's SAME would choose for `x` is taken for SAME, unless it is `fixed`.
    """
    rank = len(x) - 1
    stride = per_axis(op.stride or op.kernel_size, rank)
    kernels, dilations = per_axis(op.kernel_size, rank), per_axis(getattr(op, "dilation", 1), rank)
    own = resolve_padding(op.padding, x[1:], kernels, stride, dilations)
    sides = tuple((a + c, b + d) for (a, b), (c, d) in zip(own, pad.sides(x), strict=True))
    padding: Padding = sides
    if not fixed and max(stride) > 1:
        axes = zip(x[1:], kernels, stride, dilations, strict=True)
        padding = "same" if sides == tuple(same_padding(*axis) for axis in axes) else sides
    if isinstance(op, Conv):
        return replace(op, padding=one(padding))
    if op.ceil_mode or (isinstance(op, AvgPool) and not op.count_padding and op.padding != 0):
        return None
    joined: Op = replace(op, padding=one(padding))
    if isinstance(op, AvgPool):
        joined = replace(op, padding=one(padding), count_padding=True)
    try:
        joined.output_shape(x)
    except ShapeError:
        return None
    return joined


def one(value: Padding) -> Padding:
    """The shortest form: one number where all sides or axes agree, one an axis where its two sides do.

    >>> one(((1, 1), (1, 1))), one((3, 5))
    (1, (3, 5))
    """
    if isinstance(value, (int, str)):
        return value
    axes = tuple(v[0] if isinstance(v, tuple) and v[0] == v[1] else v for v in value)
    if any(isinstance(v, tuple) for v in axes):
        return tuple(v if isinstance(v, tuple) else (v, v) for v in axes)
    return axes[0] if len(set(axes)) == 1 else axes  # type: ignore[return-value]  # whole numbers only


def label_of(step: Step) -> str:
    """What a step does, as one word that can be part of a name."""
    word = step.op.label if isinstance(step.op, Opaque) else type(step.op).__name__.lower()
    return re.sub(r"\W", "_", word, flags=re.ASCII)
