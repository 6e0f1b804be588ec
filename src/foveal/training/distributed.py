"""One training by several processes, as ``torchrun`` starts them: PyTorch's DistributedDataParallel, gloo or NCCL.

A step is the one that a single process would make of the whole batch: each process takes its share of the pictures,
losses are weighted by the whole batch's size, and batch norms take their statistics over all shares.
"""

from __future__ import annotations

import atexit
import contextlib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed import PrefixStore, TCPStore  # type: ignore[attr-defined]  # public, but not in its __all__

from foveal.errors import TrainingError, UsageError
from foveal.training.joined_norm import JoinedNorms

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
            atexit.register(_leave)
        return cls(dist.get_rank(), dist.get_world_size(), chosen)

    @property
    def place(self) -> tuple[int, int]:
        return self.rank, self.size

    @property
    def restarted(self) -> bool:
        """Whether ``torchrun --max-restarts`` has begun anew after a process died."""
        return int(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")) > 0

    def joined(self, module: nn.Module, example: Tensor) -> Callable[[Tensor], Tensor]:
        """`module` as a step calls it: its gradients are means over the processes, its batch norms' statistics too.

        Parameters
        ----------
        example : pictures that show whether each weight has a part in the answer.
        """
        if self.size == 1:
            return module
        ids = [self.device.index] if self.device.type == "cuda" else None
        unused = self.agreed(_has_unused(module, example))
        parallel = nn.parallel.DistributedDataParallel(module, device_ids=ids, find_unused_parameters=unused)

        def compute(x: Tensor) -> Tensor:
            with JoinedNorms():
                y: Tensor = parallel(x)
            return y

        return compute

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


@contextlib.contextmanager
def partners_guard() -> Iterator[None]:
    """Where another process of the training is gone, a TrainingError that says so."""
    try:
        yield
    except RuntimeError as error:  # which gloo has no class of its own for
        lost = isinstance(error, dist.DistError) or "gloo" in str(error)
        if not (dist.is_initialized() and lost):
            raise
        raise TrainingError(
            "another process of this training is gone, or cannot be reached; torchrun --max-restarts begins anew from "
            "the checkpoint by itself, and the same command with --resume does it any time"
        ) from error


def _join(backend: str) -> None:
    """Meet the other processes where ``torchrun`` says, apart from what those of an earlier attempt left there."""
    given = {name: os.environ[name] for name in ("MASTER_ADDR", "MASTER_PORT", "RANK", "WORLD_SIZE")}
    rank, size = int(given["RANK"]), int(given["WORLD_SIZE"])
    hosts = rank == 0 and os.environ.get("TORCHELASTIC_USE_AGENT_STORE") != "True"
    store = TCPStore(given["MASTER_ADDR"], int(given["MASTER_PORT"]), is_master=hosts)
    attempt = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")
    dist.init_process_group(backend, store=PrefixStore(f"attempt{attempt}", store), rank=rank, world_size=size)


def _leave() -> None:
    """Part from the other processes, unless a script has done so by itself."""
    if dist.is_initialized():
        dist.destroy_process_group()


def _has_unused(module: nn.Module, x: Tensor) -> bool:
    """Whether a trainable weight has no part in what `module` makes of `x`; it and random numbers stay as they are."""
    buffers = {name: buffer.clone() for name, buffer in module.named_buffers()}
    weights = [weight for weight in module.parameters() if weight.requires_grad]
    with torch.random.fork_rng([x.device] if x.device.type == "cuda" else []):
        y = torch.func.functional_call(module, buffers, (x,))
    return any(gradient is None for gradient in torch.autograd.grad(y.sum(), weights, allow_unused=True))
