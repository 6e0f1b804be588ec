"""One training by several processes, as ``torchrun`` starts them: PyTorch's DistributedDataParallel, gloo or NCCL.

A step is the one that a single process would make of the whole batch: each process takes its share of the pictures,
losses are weighted by the whole batch's size, and batch norms take their statistics over all shares.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed import PrefixStore, TCPStore  # type: ignore[attr-defined]  # public, but not in its __all__
from torch.nn import functional as F

from foveal.errors import UsageError

if TYPE_CHECKING:
    from torch.nn.modules.batchnorm import _BatchNorm

Found = TypeVar("Found")

SHARE_OF_MEMORY = 0.25  # of a GPU's free memory that the pictures may take


@dataclass(frozen=True)
class World:
    """The processes of a training.

    Attributes
    ----------
    rank, size : this process's number, and how many there are; number 0 writes.
    device : of this process.
    """

    rank: int
    size: int
    device: torch.device

    @classmethod
    def here(cls, device: str = "auto") -> World:
        """This process, joined with the others that ``torchrun`` started; alone without it.

        Parameters
        ----------
        device : ``"auto"`` is the GPU where there is one for each process of this machine; each takes its own.

        Raises
        ------
        UsageError : ``"cuda"`` where PyTorch finds no GPU, or fewer than the processes of this machine.
        """
        found = torch.cuda.device_count()
        local, here = int(os.environ.get("LOCAL_RANK", "0")), int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
        if device == "cuda" and local >= found:
            raise UsageError(f"device = 'cuda': PyTorch finds {found} GPUs here, this is process {local + 1}; use cpu")
        chosen = torch.device("cuda", local) if device != "cpu" and here <= found else torch.device("cpu")
        if "TORCHELASTIC_RUN_ID" not in os.environ:
            return cls(0, 1, chosen)
        if not dist.is_initialized():
            if chosen.type == "cuda":
                torch.cuda.set_device(chosen)
            _join("nccl" if chosen.type == "cuda" else "gloo")
        return cls(dist.get_rank(), dist.get_world_size(), chosen)

    @property
    def place(self) -> tuple[int, int]:
        return self.rank, self.size

    @property
    def restarted(self) -> bool:
        """Whether ``torchrun --max-restarts`` has begun anew after a process died."""
        return int(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")) > 0

    def joined(self, module: nn.Module) -> nn.Module:
        """`module` as a step calls it: its gradients are means over the processes, its batch norms' statistics too."""
        if self.size == 1:
            return module
        _join_norms(module)
        ids = [self.device.index] if self.device.type == "cuda" else None
        return nn.parallel.DistributedDataParallel(module, device_ids=ids)

    def total(self, sums: Tensor) -> Tensor:
        """`sums` of all processes, added up."""
        if self.size > 1:
            dist.all_reduce(sums)
        return sums

    def agreed(self, found: Found) -> Found:
        """What process 0 found."""
        box = [found]
        if self.size > 1:
            dist.broadcast_object_list(box)
        return box[0]

    def wait(self) -> None:
        """Until all processes are here."""
        if self.size > 1:
            dist.barrier()

    def holds(self, count: int) -> bool:
        """Whether `count` bytes of pictures may lie in the device's memory."""
        if self.device.type != "cuda":
            return True
        return count < SHARE_OF_MEMORY * torch.cuda.mem_get_info(self.device)[0]


def _join(backend: str) -> None:
    """Meet the other processes where ``torchrun`` says, apart from what those of an earlier attempt left there."""
    given = {name: os.environ[name] for name in ("MASTER_ADDR", "MASTER_PORT", "RANK", "WORLD_SIZE")}
    rank, size = int(given["RANK"]), int(given["WORLD_SIZE"])
    hosts = rank == 0 and os.environ.get("TORCHELASTIC_USE_AGENT_STORE") != "True"
    store = TCPStore(given["MASTER_ADDR"], int(given["MASTER_PORT"]), is_master=hosts)
    attempt = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")
    dist.init_process_group(backend, store=PrefixStore(f"attempt{attempt}", store), rank=rank, world_size=size)


class _Total(torch.autograd.Function):
    """The sum over all processes, with its gradient, which is the sum of theirs."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        total = x.clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        total = gradient.clone()
        dist.all_reduce(total)
        return total


class JoinedBatchNorm(nn.Module):
    """Batch norm (Ioffe & Szegedy 2015) over the shares of all processes; PyTorch's own (SyncBatchNorm) needs GPUs."""

    running_mean: Tensor | None
    running_var: Tensor | None
    num_batches_tracked: Tensor | None

    def __init__(self, norm: _BatchNorm) -> None:
        super().__init__()
        self.eps, self.momentum = norm.eps, norm.momentum
        self.weight, self.bias = norm.weight, norm.bias
        for name, buffer in norm.named_buffers():
            self.register_buffer(name, buffer)
        self.train(norm.training)

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return F.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, False, 0.0, self.eps)
        axes = [axis for axis in range(x.dim()) if axis != 1]
        here, wide = x.numel() // x.shape[1], x.float()  # bfloat16 has too few digits for statistics
        mean, square = (part.double() for part in (wide.mean(axes), wide.var(axes, correction=0)))
        mine = torch.cat([mean, square + mean**2, mean.new_ones(1)]) * here
        everywhere: Tensor = _Total.apply(mine)  # type: ignore[no-untyped-call]  # as torch has it
        mean, square = everywhere[:-1].view(2, -1) / everywhere[-1]
        variance, count = square - mean**2, everywhere[-1].detach()
        self._remember(mean.detach(), variance.detach() * count / (count - 1))
        shape = [1, -1, *(1 for _ in axes[1:])]
        scale = torch.rsqrt(variance + self.eps)
        shift = -mean * scale
        if self.weight is not None:
            scale, shift = scale * self.weight, shift * self.weight + self.bias
        y: Tensor = (wide * scale.float().view(shape) + shift.float().view(shape)).to(x.dtype)
        return y

    def _remember(self, mean: Tensor, variance: Tensor) -> None:
        if self.running_mean is None or self.running_var is None or self.num_batches_tracked is None:
            return
        self.num_batches_tracked.add_(1)
        newest = self.momentum if self.momentum is not None else 1 / float(self.num_batches_tracked)
        self.running_mean.lerp_(mean.to(self.running_mean.dtype), newest)
        self.running_var.lerp_(variance.to(self.running_var.dtype), newest)


def _join_norms(module: nn.Module) -> None:
    """Replace the batch norms of `module`, in place; the names and tensors of its state stay."""
    for name, child in list(module.named_modules()):
        if isinstance(child, nn.modules.batchnorm._BatchNorm):
            parent, _, key = name.rpartition(".")
            setattr(module.get_submodule(parent), key, JoinedBatchNorm(child))
