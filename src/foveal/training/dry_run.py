"""One pass before a training begins, so that what does not fit is a message and not a crash in the first step."""

from __future__ import annotations

from typing import Any, NoReturn

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from foveal.errors import UsageError
from foveal.shapes import text
from foveal.text import plural, printable

_UNGRADED = 8  # times the largest tensor: what four batches at once take where no gradient is kept


def dry_run(module: nn.Module, x: Tensor, classes: int) -> int:
    """Pass `x` as in training; weights, running statistics and generators stay as they are.

    Parameters
    ----------
    x : pictures as a step has them, as many as the smallest batch has, or two.

    Returns
    -------
    int
        Bytes that a step takes for each picture: what backward keeps, and the gradients on their way.

    Raises
    ------
    UsageError : `module` cannot take `x`, or gives no logits of `classes` that depend on a trainable weight, or
        normalises over a single value; the message names the node.
    """
    kept: dict[int, int] = {}
    weights = {tensor.untyped_storage().data_ptr() for tensor in (*module.parameters(), *module.buffers())}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    state = {name: buffer.clone() for name, buffer in module.named_buffers()}
    places = _Places(module.train())
    try:
        with (
            places,
            torch.random.fork_rng(devices=[x.device] if x.device.type == "cuda" else []),
            torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor),
        ):
            y = torch.func.functional_call(module, state, (x,))
    except torch.OutOfMemoryError:
        raise
    except Exception as error:  # a module from elsewhere may raise anything
        _refuse(error, module, x, classes, places.entered)
    _check(y, module, x, classes)
    largest = max(kept.values(), default=0)
    return max(sum(kept.values()) + 2 * largest, _UNGRADED * largest) // len(x)


def _check(y: Any, module: nn.Module, x: Tensor, classes: int) -> None:
    kind = printable(type(module).__name__)
    wanted = f"expected one tensor of logits, (batch, {classes})"
    if not isinstance(y, Tensor):
        count = f" of {len(y)}" if isinstance(y, (tuple, list, dict)) else ""
        raise UsageError(
            f"{kind} returns a {type(y).__name__}{count}; {wanted}: wrap it so that it returns those alone"
        )
    if y.shape != (len(x), classes):
        raise UsageError(
            f"{kind} returns {tuple(y.shape)} for {plural(len(x), 'picture')}; {wanted}, one for each class of the data"
        )
    if not y.requires_grad and any(tensor.requires_grad for tensor in module.parameters()):
        raise UsageError(
            f"{kind}: no trainable weight reaches its output, so there is nothing to learn; look for detach, "
            "no_grad or whole numbers on the way"
        )


def _refuse(error: Exception, module: nn.Module, x: Tensor, classes: int, entered: list[str]) -> NoReturn:
    kind, where = printable(type(module).__name__), f" in {entered[-1]}" if entered and entered[-1] else ""
    if isinstance(error, ValueError) and entered and isinstance(module.get_submodule(entered[-1]), _BatchNorm):
        raise UsageError(
            f"{entered[-1] or kind}: a batch norm over a single value of each channel, since the smallest batch has "
            f"{plural(len(x), 'picture')}; take a larger batch_size, or a group norm"
        ) from error
    shape = tuple(x.shape[1:])
    wanted = f"float32 (batch, {', '.join(map(str, shape))}) and gives logits (batch, {classes})"
    raise UsageError(
        f"{kind} cannot take pictures of {text(shape)}:{where} {type(error).__name__}, {printable(str(error))}; "
        f"expected a module that takes {wanted}"
    ) from error


class _Places:
    """While it lasts, `entered` has the names of the modules that are under way, the innermost last."""

    def __init__(self, module: nn.Module) -> None:
        self.entered: list[str] = []
        self._module = module

    def __enter__(self) -> None:
        self._hooks = []
        for name, each in self._module.named_modules():
            self._hooks += [
                each.register_forward_pre_hook(lambda *_, name=name: self.entered.append(name)),
                each.register_forward_hook(self._leave),
            ]

    def __exit__(self, *_: object) -> None:
        for hook in self._hooks:
            hook.remove()

    def _leave(self, *_: object) -> None:
        self.entered.pop()
