"""Any PyTorch module -> `Graph`, by watching it run without values.

The module runs once on meta tensors in place of its parameters and buffers: shapes, no data, nothing copied, nothing
multiplied. It runs as in evaluation (batch norm by running statistics, no dropout). Afterwards the module is as it was,
whatever happened: parameters, buffers, attributes, modes, hooks; so are the random number generators.
"""

from __future__ import annotations

import contextlib
import random
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules import module as hooks
from torch.utils._pytree import tree_leaves

from foveal import ops
from foveal.errors import FovealError, GraphError, UsageError
from foveal.shapes import Shape, text
from foveal.text import printable
from foveal.tracing import Traced, joins
from foveal.tracing.layouts import Layout
from foveal.tracing.naming import finished
from foveal.tracing.recorder import SOURCE, Place, Recorder
from foveal.tracing.rules import RULES
from foveal.tracing.tracer import BATCH, Functions, Tracer

assert joins  # its rules register on import


def trace(module: nn.Module, input_shape: Shape | None, name: str | None = None) -> Traced:
    """The network that `module` computes for one image of `input_shape`.

    Parameters
    ----------
    module : any module that takes one tensor (batch, \\*input_shape). It stays untouched, and may be on any device.
    input_shape : channels first, without the batch, e.g. ``(3, 224, 224)``.
    name : of the graph; the module's class in lower case if None.

    Returns
    -------
    Traced
        Every parameter of the module is counted once in its graph, or named in a note because nothing reads it.

    Raises
    ------
    UsageError : no `input_shape`, or one that is none.
    GraphError : the module cannot run on the shape, or not without values; the message names the submodule.
    """
    module = getattr(module, "_orig_mod", module)  # what torch.compile wraps
    if isinstance(module, (nn.DataParallel, nn.parallel.DistributedDataParallel)):
        module = module.module
    shape = _checked(module, input_shape)
    paths = {id(m): path for path, m in module.named_modules()}
    parameters = {name: tuple(p.shape) for name, p in module.named_parameters()}
    frozen = {name for name, p in module.named_parameters() if not p.requires_grad}
    recorder, stack = Recorder(shape, parameters), _Stack(paths)
    with contextlib.ExitStack() as cleanup:
        for guard in (_untouched(module), _same_randomness(), torch.inference_mode()):
            cleanup.enter_context(guard)
        tensors, buffers = _without_values(module)
        tracer = Tracer(recorder, tensors, buffers, lambda: stack.place, RULES)
        kinds = (x.dtype for x in (*(p for p, _ in tensors.values()), *buffers.values()) if x.is_floating_point())
        x = torch.empty((BATCH, *shape), device="meta", dtype=next(kinds, torch.get_default_dtype()))
        tracer.bind(x, SOURCE, Layout.plain(shape, tracer.batch))
        cleanup.enter_context(stack)
        try:
            with Functions(tracer), tracer:
                result = module(x)
        except Exception as error:
            raise _failure(error, stack.place.path, module, shape) from error
        outputs = _outputs(result, tracer, module)
    return finished(recorder, name or type(module).__name__.lower(), outputs, set(paths.values()), frozen)


def _checked(module: nn.Module, shape: Any) -> Shape:
    kind = type(module).__name__
    if not isinstance(module, nn.Module):
        raise UsageError(f"{module!r:.80} is no torch.nn.Module; give a module, or a function that returns one")
    if shape is None:
        raise UsageError(f"{kind} is a PyTorch module, which does not say what it takes; give --input 3x224x224")
    if (
        not isinstance(shape, (tuple, list))
        or not 1 <= len(shape) <= 4
        or not all(type(n) is int and n > 0 for n in shape)
    ):
        raise UsageError(f"input_shape {shape!r:.80}; expected one to four whole numbers of at least 1, channels first")
    if isinstance(module, torch.jit.ScriptModule):
        raise GraphError(f"{kind} is compiled TorchScript, which cannot be traced; give the Python module it came from")
    for name, p in module.named_parameters():
        if nn.parameter.is_lazy(p):
            raise GraphError(
                f"{printable(name)} has no shape yet; run the module once, on torch.zeros{(1, *shape)}, then trace it"
            )
    return tuple(shape)


def _without_values(module: nn.Module) -> tuple[dict[str, tuple[Tensor, Tensor]], dict[str, Tensor]]:
    """Put meta tensors into `module`; returns each parameter, with and without values, and the buffers without.

    A buffer of one value keeps it: code branches on such.
    """
    parameters: dict[str, tuple[Tensor, Tensor]] = {name: (p, _empty(p)) for name, p in module.named_parameters()}
    buffers = {name: (b, _own(b) if b.numel() == 1 else _empty(b)) for name, b in module.named_buffers()}
    made = {id(old): new for old, new in (*buffers.values(), *parameters.values())}
    for m in module.modules():
        m.__dict__["training"] = False
        for tensors in (m._parameters, m._buffers):
            for key, tensor in tensors.items():
                if tensor is not None:
                    tensors[key] = made[id(tensor)]  # type: ignore[assignment]  # any tensor does
    return parameters, {name: new for name, (_, new) in buffers.items()}


def _own(tensor: Tensor) -> Tensor:
    return tensor.detach().clone() if tensor.is_meta else tensor.detach().cpu().clone()


def _empty(tensor: Tensor) -> Tensor:
    if tensor.layout is not torch.strided:
        return tensor.detach().to("meta")
    return torch.empty_strided(tensor.shape, tensor.stride(), dtype=tensor.dtype, device="meta")


@contextlib.contextmanager
def _untouched(module: nn.Module) -> Iterator[None]:
    """Give every module back the attributes it has now."""
    tables = ("_parameters", "_buffers", "_modules")
    before = [(m.__dict__, m.__dict__.copy(), [m.__dict__[t].copy() for t in tables]) for m in module.modules()]
    try:
        yield
    finally:
        for attributes, saved, contents in before:
            attributes.clear()
            attributes.update(saved)
            for table, content in zip(tables, contents, strict=True):
                attributes[table].clear()
                attributes[table].update(content)


@contextlib.contextmanager
def _same_randomness() -> Iterator[None]:
    """Leave the random number generators of Python and PyTorch as they are."""
    python, pytorch = random.getstate(), torch.get_rng_state()
    try:
        yield
    finally:
        random.setstate(python)
        torch.set_rng_state(pytorch)


class _Stack:
    """Which module is running, by hooks around every call; use as a context."""

    def __init__(self, paths: dict[int, str]) -> None:
        self.paths = paths
        self.calls = 0
        self.running: list[tuple[int, Place]] = []
        self.handles: list[Any] = []

    @property
    def place(self) -> Place:
        return self.running[-1][1] if self.running else Place()

    def __enter__(self) -> None:
        self.handles = [
            hooks.register_module_forward_pre_hook(self._enter),
            hooks.register_module_forward_hook(self._leave),
        ]

    def __exit__(self, *_: object) -> None:
        for handle in self.handles:
            handle.remove()

    def _enter(self, module: nn.Module, _: Any) -> None:
        path = self.paths.get(id(module))
        if path is not None:
            self.calls += 1
            pads = type(module).__module__ == "torch.nn.modules.padding"
            self.running.append((id(module), Place(path, self.calls, pads)))

    def _leave(self, module: nn.Module, _: Any, __: Any) -> None:
        if id(module) in self.paths:
            while self.running and self.running.pop()[0] != id(module):
                pass  # a call whose error was caught inside the network


def _outputs(result: Any, tracer: Tracer, module: nn.Module) -> list[int]:
    """The steps that `module` returns, in whatever it packs them."""
    found = [x for x in tree_leaves(result) if isinstance(x, Tensor) and tracer.reads(x)]
    if not found:
        raise GraphError(
            f"{type(module).__name__} returned {type(result).__name__} with no tensor computed from its input; "
            "trace the part that computes something"
        )
    steps = [tracer.lay(tracer.value(x)) for x in found]
    return [
        tracer.recorder.add(ops.Identity(), (step,), Place()) if step == SOURCE else step
        for step in dict.fromkeys(steps)
    ]


def _failure(error: Exception, path: str, module: nn.Module, shape: Shape) -> FovealError:
    """What to tell the user about an exception out of the module's own code."""
    kind = type(module).__name__
    where = f"{printable(path)} ({type(module.get_submodule(path)).__name__})" if path else kind
    if isinstance(error, FovealError):
        return GraphError(f"{where}: {error}")
    said = printable(" ".join(str(error).split()), limit=300)
    if isinstance(error, NotImplementedError) and "meta" in said.lower():
        return GraphError(
            f"{where}: an operation needs values or cannot run without them ({said}); "
            "trace the part before it, or replace that operation"
        )
    return GraphError(
        f"{where}: forward raised {type(error).__name__} for an input of {text(shape)}: {said}; "
        "check the input's size (--input), and that forward takes one tensor"
    )
