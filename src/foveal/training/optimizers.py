"""How the weights move: torch's optimizers under the lectures' names, each with a rate to begin with.

`foveal.reference.updates` has the rules, and reasons from them; ten steps here equal ten there.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn, optim
from torch.optim import Optimizer

from foveal.errors import UnknownName, UsageError
from foveal.training.config import Config


@dataclass(frozen=True)
class Kind:
    """An optimizer, and what it is given where the config says nothing.

    Attributes
    ----------
    make : torch's class.
    lr, weight_decay : the defaults.
    momentum : whether it takes the config's.
    options : further arguments of `make`.
    fused : devices on which torch (2.6 and later) takes the whole step in one kernel.
    """

    make: Any
    lr: float
    weight_decay: float = 0.0
    momentum: bool = False
    options: Mapping[str, Any] = field(default_factory=dict)
    fused: tuple[str, ...] = ("cpu", "cuda")


OPTIMIZERS: dict[str, Kind] = {
    # Krizhevsky et al. (2012), section 5, have 0.01 with momentum, He et al. (2016) 0.1: between them (Nesterov at 0.03
    # and 0.1 did better than at 0.01 under one-cycle); without momentum ten times that, which 0.9 of it amounts to
    "sgd": Kind(optim.SGD, lr=0.5, weight_decay=5e-4),
    "momentum": Kind(optim.SGD, lr=0.05, weight_decay=5e-4, momentum=True),
    "nesterov": Kind(optim.SGD, lr=0.05, weight_decay=5e-4, momentum=True, options={"nesterov": True}),
    # the rate is PyTorch's; Duchi et al. (2011) leave it open
    "adagrad": Kind(optim.Adagrad, lr=0.01, fused=("cpu",)),
    # Hinton's lecture 6e, which has the rule from Tieleman (2012)
    "rmsprop": Kind(optim.RMSprop, lr=0.001, fused=()),
    # Kingma & Ba (2015), algorithm 1
    "adam": Kind(optim.Adam, lr=0.001),
    # Loshchilov & Hutter (2019): decay apart from the gradient; its amount is PyTorch's. The rate is ours, the highest
    # of one-cycle: better than 0.001 for all seven networks tried on digits and 5,000 pictures of MNIST
    "adamw": Kind(optim.AdamW, lr=0.003, weight_decay=0.01),
}
"""Every optimizer by name. For all but ``adamw`` the decay is the lambda of ``lambda/2 * sum of w^2`` in the loss."""


def make_optimizer(module: nn.Module, config: Config) -> Optimizer:
    """The config's optimizer of what is trainable in `module`, which must be on its device and in its layout by now.

    Decay is for the weights of convolutions and dense layers; norms, biases and whatever has one axis go without (He et
    al. 2019, arXiv:1812.01187, section 3.1).

    Raises
    ------
    UsageError : nothing is trainable, or Nesterov's look ahead has no momentum.
    UnknownName : no such optimizer.
    """
    if config.optimizer not in OPTIMIZERS:
        raise UnknownName("optimizer", config.optimizer, OPTIMIZERS)
    kind = OPTIMIZERS[config.optimizer]
    if config.optimizer == "nesterov" and not config.momentum:
        raise UsageError("nesterov with momentum = 0 looks nowhere ahead; give it a momentum, such as 0.9, or take sgd")
    decayed, plain = _divided(module)
    if not decayed and not plain:
        raise UsageError("the network has no trainable weight, so there is nothing to train")
    options = {**kind.options, "momentum": config.momentum} if kind.momentum else kind.options
    fused = (decayed or plain)[0].device.type in kind.fused
    decay = kind.weight_decay if config.weight_decay is None else config.weight_decay
    groups = [{"params": decayed, "weight_decay": decay}, {"params": plain, "weight_decay": 0.0}]
    if not decay:  # one call of the kernel is quicker than two
        groups = [{"params": [*decayed, *plain], "weight_decay": 0.0}]
    made: Optimizer = _uncompiled(kind.make)(
        groups,
        lr=config.lr or kind.lr,
        **options,
        **{"fused" if fused else "foreach": True},
    )
    return made


def restore(optimizer: Optimizer, state: dict[str, Any]) -> None:
    """Load a state dict, each tensor in the layout of its parameter.

    Fused steps walk a parameter and its state in the order of memory and do not look whether these agree: a state that
    was saved contiguous, under a weight whose channels are last, would move the wrong weights.
    """
    optimizer.load_state_dict(state)
    for parameter, kept in optimizer.state.items():
        for name, value in kept.items():
            if value.shape == parameter.shape and value.stride() != parameter.stride():
                kept[name] = torch.empty_like(parameter, dtype=value.dtype).copy_(value)


def _uncompiled(kind: Any) -> Any:
    """`kind` without torch's guards against its compiler: they import it, 1.5 s of a CPU that no step here needs."""
    guarded = ("add_param_group", "zero_grad", "state_dict", "load_state_dict")
    bare = {name: inspect.unwrap(getattr(kind, name)) for name in guarded}
    return type(kind.__name__, (kind,), {**bare, "step": torch.no_grad()(inspect.unwrap(kind.step))})


def _divided(module: nn.Module) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
    """The trainable parameters: those that decay, and those that do not."""
    norms = {
        id(parameter)
        for layer in module.modules()
        if isinstance(layer, nn.LayerNorm)  # may have several axes
        for parameter in layer.parameters(recurse=False)
    }
    decayed: list[nn.Parameter] = []
    plain: list[nn.Parameter] = []
    for name, parameter in module.named_parameters():
        if parameter.requires_grad:
            spared = parameter.ndim < 2 or name.endswith("bias") or id(parameter) in norms
            (plain if spared else decayed).append(parameter)
    return decayed, plain
