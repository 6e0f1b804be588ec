"""Watching a PyTorch module run on meta tensors: which recorded step each tensor comes from.

Operations are seen under inference mode, where PyTorch hands them over whole (``conv2d``, ``linear``, ``layer_norm``)
and not in parts. `foveal.tracing.rules` says what each is; what no rule knows is run on meta tensors for its shape and
recorded as `Opaque`.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode, _disable_current_modes
from torch.utils._pytree import tree_leaves, tree_map_only

from foveal.errors import GraphError
from foveal.ops import ChannelShuffle, Concat, Flatten, LocalResponseNorm, Op, PixelShuffle, Reshape, Slice
from foveal.shapes import Shape
from foveal.tracing.layouts import Atom, Layout, size_of
from foveal.tracing.recorder import Place, Recorder, Unrecovered

BATCH = 2
"""Images in the traced batch: with one, code that squeezes axes of one cell would drop the batch."""

_READS_DATA = {"_local_scalar_dense", "item", "is_nonzero", "equal", "allclose", "nonzero", "masked_select"}
_DATA = Tensor.data.__get__  # type: ignore[attr-defined]  # a property written in C
_READS_SHAPE = {f"new_{what}" for what in ("empty", "zeros", "ones", "full", "empty_strided")} | {
    f"{what}_like" for what in ("empty", "zeros", "ones", "full", "rand", "randn")
}


@dataclass(frozen=True)
class Value:
    """What a tensor holds: the output of a step, rearranged; `place` is where that was done last."""

    step: int
    layout: Layout
    place: Place


@dataclass(frozen=True)
class Cut:
    """That a tensor is part of another: cells `start` to `stop` of axis `dim`."""

    parent: int
    dim: int
    start: int
    stop: int


class Tracer(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch's own hook for subclasses
    """Follows tensors; use as a context while the module runs.

    Parameters
    ----------
    parameters : those of the module, each by all the tensors that stand for it.
    buffers : those of the module.
    place : gives the path of the module that is running.
    rules : by the operation's name, what records it and returns its result; Unrecovered where it cannot.
    """

    def __init__(
        self,
        recorder: Recorder,
        parameters: Mapping[str, Sequence[Tensor]],
        buffers: Mapping[str, Tensor],
        place: Callable[[], Place],
        rules: Mapping[str, Callable[..., Any]],
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.recorder = recorder
        self.rules = rules
        self.place = place
        self.batch = Atom(BATCH)
        self._seen: dict[int, tuple[str, tuple[Any, ...]]] = {}
        self._sources: dict[int, tuple[str, ...]] = {id(x): (name,) for name, xs in parameters.items() for x in xs}
        self._buffers = {id(x): name for name, x in buffers.items()}
        self._values: dict[int, Value | Callable[[], Value]] = {}
        self._kept: list[Any] = [parameters, buffers]  # an id is a tensor's as long as the tensor lives
        self._groups: dict[int, list[Tensor]] = {}
        self._cuts: dict[int, Cut] = {}
        self._laid: dict[tuple[int, Op], int] = {}
        self._call: Callable[[], Any] = lambda: None

    # What rules ask and say

    def reads(self, x: Any) -> bool:
        """Whether `x` is a tensor that depends on the network's input."""
        return id(x) in self._values

    def value(self, x: Any) -> Value:
        """What `x` holds; Unrecovered where it does not depend on the network's input."""
        found = self._values.get(id(x))
        if found is None:
            raise Unrecovered
        if callable(found):
            found = self._values[id(x)] = found()
        return found

    def sources(self, x: Any) -> tuple[str, ...]:
        """The module's parameters from which `x` is computed."""
        return self._sources.get(id(x), ())

    def stores(self, x: Any) -> bool:
        """Whether `x` is one of the module's buffers."""
        return id(x) in self._buffers

    def arguments(self, step: int, label: str) -> tuple[Any, ...]:
        """What the operation called `label` got, if `step` is that, seen from outside only; else nothing."""
        seen, args = self._seen.get(step, ("", ()))
        return args if seen == label else ()

    def run(self) -> Any:
        """The results of the operation that a rule is looked up for, on meta tensors."""
        return self._call()

    def bind(self, x: Tensor, step: int, layout: Layout, place: Place | None = None) -> Tensor:
        """Say that `x` is the output of `step` so arranged."""
        self._values[id(x)] = Value(step, layout, place or self.place())
        self._kept.append(x)
        return x

    def late(self, x: Tensor, record: Callable[[], Value]) -> Tensor:
        """Say that `x` holds what `record` gives, which is asked only if `x` is read."""
        self._values[id(x)] = record
        self._kept.append(x)
        return x

    def view(self, x: Tensor, of: Tensor, cut: tuple[int, int, int] | None = None) -> None:
        """Let `x` follow what is written into `of` if it shares its memory; `cut`: axis, start and stop of a part."""
        if x is of or x.untyped_storage()._cdata != of.untyped_storage()._cdata:
            return
        group = self._groups.setdefault(id(of), [of])
        group.append(x)
        self._groups[id(x)] = group
        self._kept.append(x)
        if cut is not None:
            self._cuts[id(x)] = Cut(id(of), *cut)

    def cut_before(self, x: Tensor, dim: int, start: int, stop: int) -> Value | None:
        """What that part of `x` holds, if it was cut out before."""
        wanted = Cut(id(x), dim, start, stop)
        known = (y for y in self._groups.get(id(x), ()) if self._cuts.get(id(y)) == wanted and self.reads(y))
        return next((self.value(y) for y in known), None)

    def step(self, op: Op, *inputs: int, state: Sequence[Any] = (), **weights: Any) -> int:
        """Record `op`; `weights` are the tensors of its parameters (or the names), `state` those of its buffers."""
        sources = {key: x if isinstance(x, tuple) else self.sources(x) for key, x in weights.items() if x is not None}
        buffers = tuple(self._buffers[id(tensor)] for tensor in state if id(tensor) in self._buffers)
        return self.recorder.add(op, inputs, self.place(), sources, buffers)

    def same(self, op: Op, x: Tensor, channels: int | None = None, **weights: Any) -> Tensor:
        """Record `op`, which keeps the shape, on `x` as it is arranged, the axis `channels` as the node's first."""
        value = self.value(x) if channels is None else self.channels_first(x, channels % x.dim())
        if not value.layout.whole:
            raise Unrecovered
        return self.bind(torch.empty_like(x), self.step(op, value.step, **weights), value.layout)

    def channels_first(self, x: Tensor, dim: int) -> Value:
        """What `x` holds, on a node that has its axis `dim` as channels."""
        value = self.value(x)
        layout = value.layout
        if layout.only_channels(dim):
            return value
        order = (dim, *(d for d in layout.natural if d != dim))
        if layout.batch_dim is None:
            raise Unrecovered
        arranged, _ = Layout.ordered(tuple(x.shape), order, layout.batch_dim, self.batch)
        return Value(self.lay(value, order), arranged, value.place)

    def settled(self, x: Tensor, dim: int) -> Value:
        """What `x` holds, put in order first where its axis `dim` is a mixture."""
        value = self.value(x)
        layout = value.layout
        if layout.batch_dim == 0 and layout.dims[dim] and layout.find(layout.dims[dim])[0] < 0:
            self.bind(x, self.lay(value), Layout.plain(layout.sizes(layout.natural), self.batch), value.place)
        return self.value(x)

    def laid(self, x: Tensor) -> int:
        """The step whose output is `x` as a feature map, channels first after the batch."""
        value = self.value(x)
        if value.layout.batch_dim != 0:
            raise Unrecovered
        return self.lay(value)

    def mapped(self, op: Op, x: Tensor, **weights: Any) -> Tensor:
        """Record `op` on `x` as a feature map."""
        return self.fresh(x, self.step(op, self.laid(x), **weights))

    def fresh(self, like: Tensor, step: int) -> Tensor:
        """A new tensor that is the output of `step`, of the type of `like`."""
        shape = self.recorder.shape(step)
        return self.bind(like.new_empty((BATCH, *shape)), step, Layout.plain(shape, self.batch))

    def lay(self, value: Value, order: Sequence[int] | None = None) -> int:
        """The step whose output is `value` with the tensor's axes in `order`, as they stand if None."""
        layout = value.layout
        order = layout.natural if order is None else order
        shape = layout.sizes(order)
        shape = shape if len(shape) <= 4 else (*shape[:3], math.prod(shape[3:]))
        if not layout.whole:
            return self.recorder.opaque("view", (value.step,), shape, value.place)
        if layout.flat(order):
            if shape == self.recorder.shape(value.step):
                return value.step
            return self._rearranged(Flatten() if len(shape) == 1 else Reshape(shape), value)
        if (groups := layout.shuffle(order)) is not None:
            step = self._rearranged(ChannelShuffle(groups), value)
            return self.lay(Value(step, layout.shuffled(groups), value.place), order)
        if (factor := layout.pixel_shuffle(order)) is not None:
            return self._rearranged(PixelShuffle(factor), value)
        return self.recorder.opaque("permute", (value.step,), shape, value.place)

    def _rearranged(self, op: Op, value: Value) -> int:
        known = self._laid.get((value.step, op))
        if known is None:
            known = self._laid[value.step, op] = self.recorder.add(op, (value.step,), value.place)
        return known

    # The dispatch mode

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        name = func._schema.name.partition("::")[2]
        if name in _READS_DATA and any(x.is_meta for x in _tensors(args, kwargs)):
            raise GraphError(
                f"what it computes next depends on the values of a tensor ({name}), and tracing runs without values; "
                "trace the part before, or a version of the module without that branch"
            )
        if name in _READS_SHAPE or not any(id(x) in self._values for x in _tensors(args, kwargs)):
            return self._constant(func, args, kwargs)
        in_place = name.endswith("_") and not name.endswith("__")
        rule = self.rules.get(name[:-1] if in_place else name)
        if rule is not None:
            before = len(self.recorder.steps)
            self._call = lambda: _on_meta(func, args, kwargs)
            try:
                out = rule(self, *args, **kwargs)
            except Exception:  # Unrecovered, a refused shape; what PyTorch itself has against it comes up again below
                self.recorder.supersede(*range(before, len(self.recorder.steps)))
            else:
                return self._overwrite(args[0], self.value(out)) if in_place else out
        return self._unknown(func, args, kwargs)

    def _constant(self, func: Any, args: Any, kwargs: Any) -> Any:
        """Run an operation that no input of the network reaches: one on parameters, buffers and constants."""
        out = _on_meta(func, args, kwargs)
        names = tuple(dict.fromkeys(name for x in _tensors(args, kwargs) for name in self.sources(x)))
        first = args[0] if args and isinstance(args[0], Tensor) else None
        for x in tree_leaves(out):
            if isinstance(x, Tensor):
                self._kept.append(x)
                if names:
                    self._sources[id(x)] = names
                if first is not None and func.is_view:
                    self.view(x, first)
        return out

    def _unknown(self, func: Any, args: Any, kwargs: Any) -> Any:
        """Take an operation apart where PyTorch defines it by others, else record it from outside."""
        with self:
            parts = func.decompose(*args, **kwargs)
        if parts is not NotImplemented:
            return parts
        return self._from_outside(func, args, kwargs)

    def _from_outside(self, func: Any, args: Any, kwargs: Any) -> Any:
        """Run an operation for its shapes alone; what it gives beside its first result is recorded when it is read."""
        out, place = _on_meta(func, args, kwargs), self.place()
        read = list(_tensors(args, kwargs))
        values = [self.value(x) for x in read if self.reads(x)]
        label, steps = func._schema.name.partition("::")[2].strip("_"), [value.step for value in values]
        for number, x in enumerate(x for x in tree_leaves(out) if isinstance(x, Tensor)):
            layout, shape, local = self._arranged(tuple(x.shape), values, torch.Tag.pointwise in func.tags)
            add = partial(self.recorder.opaque, label, steps, shape, place, local=local)
            if number == 0:
                names = [name for y in read for name in self.sources(y)]
                step = add(reads=names, work=_work(func, args, kwargs, out))
                self._overwrite(x, Value(step, layout, place))
                if not kwargs:
                    self._seen[step] = (label, args)
            else:
                self.late(x, partial(_late, add, layout, place))
            self._kept.append(x)
            if func.is_view:
                self.view(x, read[0])
        return out

    def _arranged(self, sizes: Shape, values: Sequence[Value], pointwise: bool) -> tuple[Layout, Shape, bool]:
        """How to arrange a result of `sizes`, its node's shape, and whether each position depends on that alone."""
        for like in values:
            layout, shape = like.layout, self.recorder.shape(like.step)
            if pointwise and layout.whole and tuple(size_of(dim) for dim in layout.dims) == sizes:
                spots = [v for v in values if math.prod(self.recorder.shape(v.step)[1:]) > 1]
                return layout, shape, all(v.layout.runs == layout.runs for v in spots)
        return *self._like(values[0].layout, sizes), False

    def _like(self, layout: Layout, sizes: Shape) -> tuple[Layout, Shape]:
        """How to arrange a tensor of `sizes` made from one of `layout`: its channels first, if they can be told."""
        same_rank = len(sizes) == len(layout.dims)
        batch_dim: int | None = (layout.batch_dim or 0) if same_rank else 0
        if not sizes or sizes[batch_dim or 0] % BATCH:
            batch_dim = None
        channels = layout.channels() if same_rank else None
        inner = (d for d in range(len(sizes)) if d != batch_dim or sizes[d] > BATCH)
        return Layout.ordered(sizes, sorted(inner, key=lambda d: d != channels), batch_dim, self.batch)

    def _overwrite(self, x: Tensor, value: Value) -> Tensor:
        """`x` now holds `value`, and so do the tensors that share its memory."""
        held = self._values.get(id(x))
        if isinstance(held, Value) and (held.step, held.layout.runs) == (value.step, value.layout.runs):
            return x
        for other in self._groups.get(id(x), ()):
            if other is x or self._apart(x, other):
                continue
            if (other.shape, other.stride(), other.storage_offset()) == (x.shape, x.stride(), x.storage_offset()):
                self._values[id(other)] = value
            else:
                self._values[id(other)] = self._written(other, x, value)
        self._values[id(x)] = value
        return x

    def _apart(self, x: Tensor, other: Tensor) -> bool:
        a, b = self._cuts.get(id(x)), self._cuts.get(id(other))
        siblings = a is not None and b is not None and (a.parent, a.dim) == (b.parent, b.dim)
        return siblings and (a.stop <= b.start or b.stop <= a.start)  # type: ignore[union-attr]  # both are there

    def _written(self, whole: Tensor, part: Tensor, value: Value) -> Callable[[], Value]:
        """What `whole` holds once `part` of its memory holds `value`; recorded when it is read."""
        before, place, cut = self._values.get(id(whole)), self.place(), self._cuts.get(id(part))

        def record() -> Value:
            old = before() if callable(before) else before
            if old is not None and cut is not None and cut.parent == id(whole) and self._has_channels(old, cut.dim):
                return self._patched(old, cut, value, place)
            layout, shape = self._like(value.layout, tuple(whole.shape))
            steps = (value.step,) if old is None else (old.step, value.step)
            return Value(self.recorder.opaque("copy", steps, shape, place), layout, place)

        return record

    def _has_channels(self, value: Value, dim: int) -> bool:
        """Whether axis `dim` is the channels of a map that is not rearranged otherwise than by a permutation."""
        layout = value.layout
        return layout.only_channels(dim) and layout.sizes(layout.order) == self.recorder.shape(value.step)

    def _patched(self, old: Value, cut: Cut, value: Value, place: Place) -> Value:
        """`old` with `value` in place of some of its channels."""
        end = size_of(old.layout.axes[0])
        ends = ((0, cut.start), (cut.stop, end))
        rest = [
            (self.recorder.add(Slice(start, stop), (old.step,), place),) if stop > start else () for start, stop in ends
        ]
        parts = (*rest[0], self.lay(value, old.layout.order), *rest[1])
        return Value(self.recorder.add(Concat(), parts, place), old.layout, place)


class Functions(TorchFunctionMode):
    """Sees the few functions of PyTorch that are best taken whole, before their parts come to the tracer."""

    def __init__(self, tracer: Tracer) -> None:
        super().__init__()
        self.tracer = tracer

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is _DATA:
            return args[0].detach()  # which the tracer sees
        if func is F.local_response_norm:
            return self._local_response_norm(*args, **(kwargs or {}))
        return func(*args, **(kwargs or {}))

    def _local_response_norm(
        self, input: Tensor, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0
    ) -> Tensor:
        try:
            with _disable_current_modes():
                return self.tracer.mapped(LocalResponseNorm(size, float(alpha), float(beta), float(k)), input)
        except (Unrecovered, GraphError):
            return F.local_response_norm(input, size, alpha, beta, k)


def _late(add: Callable[[], int], layout: Layout, place: Place) -> Value:
    return Value(add(), layout, place)


def _tensors(args: Iterable[Any], kwargs: Mapping[str, Any]) -> Iterator[Tensor]:
    for x in itertools.chain(args, kwargs.values()):
        if isinstance(x, Tensor):
            yield x
        elif isinstance(x, (list, tuple)):
            yield from (y for y in x if isinstance(y, Tensor))


def _on_meta(func: Any, args: Any, kwargs: Any) -> Any:
    """Run `func`; tensors with values beside ones without become ones without, and nothing leaves the meta device."""
    tensors = list(_tensors(args, kwargs))
    if any(x.is_meta for x in tensors):
        if not all(x.is_meta for x in tensors):
            args, kwargs = tree_map_only(Tensor, lambda x: x.to("meta"), (args, kwargs))
        if kwargs.get("device") is not None:
            kwargs = {**kwargs, "device": torch.device("meta")}
        args = tuple(torch.device("meta") if isinstance(x, torch.device) else x for x in args)
    return func(*args, **kwargs)


def _work(func: Any, args: Any, kwargs: Any, out: Any) -> int:
    """MACs for one image of an operation that PyTorch's own counter knows, else 0."""
    from torch.utils.flop_counter import flop_registry

    count = flop_registry.get(func.overloadpacket)
    return int(count(*args, **kwargs, out_val=out)) // 2 // BATCH if count else 0
