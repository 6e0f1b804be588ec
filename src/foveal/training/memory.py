"""Whether a training fits into memory, said before anything large is there: on a CPU running out is a kill.

The estimate for a graph is `foveal.anatomy.memory`'s. Against what a step on a CPU added to the resident memory it was
0.92 to 0.95 for a convolutional network at 470 MiB and a dense one at 260; at 170 MiB, where the kernels' own 40 show,
0.7 to 0.8.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator

import torch
from torch import nn

from foveal import machine
from foveal.anatomy import memory
from foveal.anatomy.table import size_text
from foveal.errors import TrainingError, UnknownName, UsageError
from foveal.graph import Graph
from foveal.text import plural, printable
from foveal.training.config import Config
from foveal.training.distributed import World

MARGIN = 0.9  # of what is free; the rest is for kernels' workspaces and the allocator's rounding
EVALUATED = 4  # batches at once where no gradient is kept, and their sizes together at most
EVALUATED_MOST = 512


def evaluated(batch: int) -> int:
    """Pictures at once where no gradient is kept, of a training in batches of `batch`: they take no more memory."""
    return min(EVALUATED * batch, EVALUATED_MOST)


def needed(network: Graph | nn.Module, batch: int, config: Config, *, activations: int = 0) -> int:
    """Bytes that training takes at its peak, the pictures aside: in the probe, a step, evaluation or a checkpoint.

    Parameters
    ----------
    network : what is trained; a graph as it is built.
    batch : pictures a step, of this process.
    activations : of a module, the bytes for each picture (`foveal.training.dry_run`).

    Raises
    ------
    UnknownName : no such optimizer.
    """
    if config.optimizer not in memory.OPTIMIZERS:
        raise UnknownName("optimizer", config.optimizer, memory.OPTIMIZERS)
    states, temporary = memory.OPTIMIZERS[config.optimizer]
    if isinstance(network, Graph):
        precision = "bf16" if config.precision == "bf16" else "float32"
        step = memory.training(network, batch, config.optimizer, precision)
        weights, gradients = step.weights, step.gradients
        peak = max(step.peak, step.saved + gradients, memory.inference(network, evaluated(batch)).activations)
    else:
        trained = [tensor.nbytes for tensor in network.parameters() if tensor.requires_grad]
        weights = sum(tensor.nbytes for tensor in (*network.parameters(), *network.buffers()))
        gradients = sum(trained)
        peak = gradients + max(batch * activations, temporary * max(trained, default=0))
    average, best = 2 * (config.ema is not None), config.patience is not None  # twice: one while it is in place
    kept = weights * (1 + average + best) + states * gradients
    tried = 2 if config.layout == "auto" else int(config.precision == "auto")  # copies that the probe steps with
    probe = weights + tried * (weights + gradients) + peak - gradients
    return max(kept + peak, kept + gradients + kept, probe)  # a checkpoint is made in memory


def check_fits(network: Graph | nn.Module, name: str, config: Config, world: World, *, activations: int = 0) -> None:
    """Refuse what does not fit, before it is built.

    Parameters
    ----------
    name : of the network, for the message.
    network, activations : as in `needed`.

    Raises
    ------
    UsageError : the message names the estimate, what is free, and the largest batch that fits.
    """
    free = available(world)
    if free is None:
        return
    room = int(MARGIN * free)
    need = _need(network, config, world, activations)
    if need(config.batch_size) <= room:
        return
    where = "on the GPU" if world.device.type == "cuda" else "here"
    each = f" for each of {world.size} processes" if world.size > 1 else ""
    if fitting := largest_batch(need, config.batch_size, room):
        way = f"batch_size = {fitting} fits"
    else:
        way = "not even one picture fits: take a smaller network or input, or another machine"
    raise UsageError(
        f"batch_size = {config.batch_size}: training {printable(name)} takes about "
        f"{size_text(need(config.batch_size))}, but {where} {size_text(free)} of memory are free{each}; {way}"
    )


def fitting_batch(network: Graph | nn.Module, config: Config, world: World, most: int) -> int:
    """`most` or, where that does not fit, the largest power of two that does; activations of a module do not count."""
    free = available(world)
    need = _need(network, config, world, 0)
    if free is None or need(most) <= (room := int(MARGIN * free)):
        return most
    return largest_batch(need, most, room) or 1


def _need(network: Graph | nn.Module, config: Config, world: World, activations: int) -> Callable[[int], int]:
    """What a batch of all processes together needs in each."""
    return lambda batch: needed(network, -(-batch // world.size), config, activations=activations)


def largest_batch(need: Callable[[int], int], most: int, room: int) -> int:
    """The largest power of two below `most` whose `need` is within `room` bytes; 0 if not even 1 is."""
    powers = (1 << exponent for exponent in reversed(range((most - 1).bit_length())))
    return next((batch for batch in powers if need(batch) <= room), 0)


def available(world: World) -> int | None:
    """Bytes that this process may still take on its device, its neighbours left their parts; None if unknown."""
    if world.device.type == "cuda":
        kept = torch.cuda.memory_reserved(world.device) - torch.cuda.memory_allocated(world.device)
        return torch.cuda.mem_get_info(world.device)[0] + kept
    free = machine.available_memory()
    return free // int(os.environ.get("LOCAL_WORLD_SIZE", "1")) if free is not None and world.size > 1 else free


@contextlib.contextmanager
def memory_guard(config: Config) -> Iterator[None]:
    """Where memory runs out after all, a TrainingError that says what to do."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:  # a CPU's allocator has no error of its own
        ran_out = isinstance(error, (torch.OutOfMemoryError, MemoryError)) or "DefaultCPUAllocator" in str(error)
        if not ran_out:
            raise
        where = (
            f"in batches of {plural(config.batch_size, 'picture')}" if config.batch_size else "in the probe, or after"
        )
        half = config.batch_size // 2 if config.batch_size else Config.batch_size
        smaller = f"try batch_size = {half}" if half else "try a smaller network"
        raise TrainingError(f"memory ran out {where}; {smaller}, or free some") from error
