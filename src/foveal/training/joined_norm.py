"""Batch norm (Ioffe & Szegedy 2015) over the shares of all processes; PyTorch's own, SyncBatchNorm, needs GPUs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode


class JoinedNorms(TorchFunctionMode):
    """While it lasts, batch norms that train take their statistics over the shares of all processes.

    Modules stay as they are, whatever their class: the function that they call is another.
    """

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        return (joined_batch_norm if func is F.batch_norm else func)(*args, **(kwargs or {}))


def joined_batch_norm(
    input: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """`torch.nn.functional.batch_norm`, in training that of the batch of which `input` is this process's share.

    The processes meet once forward, for the statistics, and once back, for two sums a channel. The gradients of
    `weight` and `bias` are this share's.
    """
    if not training:
        return F.batch_norm(input, running_mean, running_var, weight, bias, False, momentum, eps)
    mean, var, count = _statistics(input.detach())
    if running_mean is not None and running_var is not None:
        running_mean.lerp_(mean.to(running_mean.dtype), momentum)
        running_var.lerp_((var * count / (count - 1)).to(running_var.dtype), momentum)
    apply: Callable[..., Tensor] = _Normalized.apply  # torch has no types here
    return apply(input, weight, bias, mean, var, count, eps)


def _statistics(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Mean and variance (biased) of the channels, (C,), and how many values each has, (1,), over all processes.

    Put together of each process's as Chan, Golub & LeVeque (1983) do: a mean of squares would lose digits.
    """
    channels = x.shape[1]
    unused = x.new_zeros(2, channels, dtype=torch.promote_types(x.dtype, torch.float32))  # that of the statistics
    mean, var = torch.ops.aten.batch_norm_update_stats(x, *unused, 0.0)
    every = _gathered(torch.cat([mean, var, mean.new_full((1,), x.numel() // channels)]))
    means, variances, counts = torch.split(every, [channels, channels, 1], 1)
    count = counts.sum(0)
    shares = counts / count
    mean = (shares * means).sum(0)
    return mean, (shares * (variances + (means - mean) ** 2)).sum(0), count


def _gathered(mine: Tensor) -> Tensor:
    """(processes, \\*mine): that of each."""
    every = mine.new_empty(dist.get_world_size(), *mine.shape)
    dist.all_gather(list(every), mine)
    return every


class _Normalized(torch.autograd.Function):
    """``x̂ * weight + bias`` with ``x̂ = (x - mean) / sqrt(var + eps)``, where the statistics depend on `x`, too."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor | None, bias: Tensor | None, mean: Tensor, var: Tensor, count: Tensor,
        eps: float,
    ) -> Tensor:  # fmt: skip
        ctx.save_for_backward(x, weight, mean, var, count)
        ctx.eps = eps
        return F.batch_norm(x, mean, var, weight, bias, False, 0.0, eps)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:
        """For `x` it is ``weight / sqrt(var + eps) * (g - mean of g x̂ * x̂ - mean of g)``."""
        x, weight, mean, var, count = ctx.saved_tensors
        needed = ctx.needs_input_grad[:3]
        x_g, weight_g, bias_g = torch.ops.aten.native_batch_norm_backward(
            g, x, weight, mean, var, None, None, False, ctx.eps, [needed[0], True, True]
        )
        if needed[0]:
            means = _gathered(torch.stack([weight_g, bias_g])).sum(0) / count
            scale = torch.rsqrt(var + ctx.eps)
            by_x, by_one = -means * (scale if weight is None else scale * weight)
            x_g.add_(F.batch_norm(x, mean, var, by_x, by_one, False, 0.0, ctx.eps))
        return x_g, weight_g if needed[1] else None, bias_g if needed[2] else None, None, None, None, None
