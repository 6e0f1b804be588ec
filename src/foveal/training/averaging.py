"""An average of the weights over the steps, which is often better than the last of them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from foveal.errors import WeightsError


class Averaged:
    """Exponential moving average of the state dict of `module`; Polyak & Juditsky (1992) have the idea.

    After the t-th update, ``average <- d average + (1 - d) weights`` with ``d = min(decay, t / (9 + t))``, so that an
    average of few steps does not cling to the first weights. What is no floating number, such as a batch norm's count
    of batches, is copied.

    Parameters
    ----------
    module : in the layout and on the device that it keeps.
    decay : from 0 (the weights themselves) to less than 1.
    """

    def __init__(self, module: nn.Module, decay: float) -> None:
        self._decay, self._count = decay, 0
        self._live: dict[str, Tensor] = module.state_dict()  # detached, in the module's own memory
        self._average = {name: tensor.clone() for name, tensor in self._live.items()}
        moving = [name for name, tensor in self._live.items() if tensor.is_floating_point()]
        self._moving = [self._average[name] for name in moving], [self._live[name] for name in moving]
        self._copied = [name for name in self._live if name not in moving]

    @torch.no_grad()
    def update(self) -> None:
        """Take in the weights as they are now; to be called after each step."""
        self._count += 1
        decay = min(self._decay, self._count / (9 + self._count))
        torch._foreach_lerp_(*self._moving, 1 - decay)
        for name in self._copied:
            self._average[name].copy_(self._live[name])

    @contextmanager
    def swapped(self) -> Iterator[None]:
        """While it lasts the module has the averaged weights; after it, however it ends, its own again, bit for bit."""
        own = {name: tensor.clone() for name, tensor in self._live.items()}
        _copy(self._average, self._live)
        try:
            yield
        finally:
            _copy(own, self._live)

    def state(self) -> dict[str, Tensor]:
        """The averaged tensors, named as in the module's state dict; they are the average's own memory."""
        return dict(self._average)

    def state_dict(self) -> dict[str, Any]:
        """``tensors``, as `state` has them, and ``count``, the number of updates."""
        return {"count": self._count, "tensors": self.state()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from what `state_dict` gave; WeightsError for that of another network, and nothing is changed then."""
        theirs, ours = ({name: tensor.shape for name, tensor in of.items()} for of in (state["tensors"], self._average))
        if differing := [name for name in {**ours, **theirs} if ours.get(name) != theirs.get(name)]:
            raise WeightsError(f"averaged weights: {differing[0]:.80} differs, so they are of another network")
        _copy(state["tensors"], self._average)
        self._count = state["count"]


def _copy(source: dict[str, Tensor], target: dict[str, Tensor]) -> None:
    with torch.no_grad():
        for name, tensor in target.items():
            tensor.copy_(source[name])
