"""A training at rest, in one file: kept so that it goes on to the very bits it would have reached undisturbed.

The file is safetensors: the tensors under ``model/NAME``, ``optimizer/NAME/KEY``, ``averaged/NAME`` and ``best/NAME``,
everything else as JSON in its head. Nothing in it is ever executed. Of a module from elsewhere it has the parameters
and buffers; what such a module remembers in other ways is not kept.
"""

from __future__ import annotations

import contextlib
import json
import time
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from foveal.errors import OutputError, UsageError, WeightsError
from foveal.files import write_atomic
from foveal.graph import Graph
from foveal.text import printable
from foveal.training import optimizers
from foveal.training.alarms import LOOKED_EVERY
from foveal.training.callbacks import Callback
from foveal.training.choices import Choices
from foveal.training.config import Config
from foveal.training.environment import differences, environment
from foveal.training.history import History
from foveal.training.state import Training

FORMAT = 1
_FREE = ("checkpoint_every", "device")  # settings that may change on the way; the device is of the environment
_OPEN_ENDED = ("constant", "plateau")  # schedules whose rates do not depend on when the run ends


class Checkpointing(Callback):
    """Keeps a training in the file `path`: after each epoch, every ``config.checkpoint_every`` seconds, at a stop.

    A checkpoint that cannot be written (a full disk) costs a note in the history, once, and the training goes on; the
    one before stays as it was. So it does when weights or losses are no numbers.
    """

    def __init__(self, path: Path) -> None:
        self._path, self._written, self._failed = path, 0.0, False

    def begin(self, training: Training) -> None:
        self._written = time.monotonic()

    def after_step(self, training: Training) -> None:
        due = bool(training.stop) or time.monotonic() - self._written >= training.config.checkpoint_every
        if training.world.size > 1:  # all of them, or none
            if training.device.type == "cuda" and training.step % LOOKED_EVERY and not training.stop:
                return
            due = bool(training.world.total(torch.tensor(float(due), device=training.device)))
        if due:
            self.after_epoch(training)

    def after_epoch(self, training: Training) -> None:
        try:
            if _sound(training):
                save(training, self._path)
        except OutputError as error:
            if not self._failed:
                training.history.notes.append(f"no checkpoint was written: {error}")
            self._failed = True
        self._written = time.monotonic()


def kept_choices(path: Path) -> Choices:
    """What the probe chose when the training began, which another probe might not."""
    with _opened(path) as file:
        return Choices.from_json(_parsed(path, file)["choices"])


def save(training: Training, path: Path) -> None:
    """Write where `training` stands to `path`; of several processes all call it, and the first one writes.

    Raises
    ------
    OutputError : it cannot be written; what stood at `path` before is untouched.
    """
    sums = _sums_of_all(training)
    if training.world.rank:
        return
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors_of(training).items()}
    state = json.dumps(_state(training, sums))
    metadata = {"foveal": state, "crc32": str(_checksum(state, tensors))}
    write_atomic(path, safetensors.torch.save(tensors, metadata))


def restore(training: Training, path: Path) -> None:
    """Put `training` where the one that wrote `path` stood.

    Where the environment (`foveal.training.environment`) is not as it was, the training goes on but not bit for bit,
    and a note in its history says so.

    Raises
    ------
    WeightsError : no checkpoint, a damaged one, one from a newer Foveal, or that of another network, config or data;
        the message says what differs. `training` is then as it was.
    """
    found = read(path)
    name = printable(path)
    if fault := _misfit(training, found):
        raise WeightsError(f"{name}: a checkpoint of another training: {fault}; go on with what made it, or start anew")
    state = found.state
    with torch.no_grad():
        for key, tensor in _live(training).items():
            tensor.copy_(found.tensors[f"model/{key}"])
    _restore_optimizer(training, found)
    if training.averaged is not None:
        training.averaged.load_state_dict({"count": state["averaged"], "tensors": found.group("averaged")})
    best = found.group("best")
    training.best = {key: tensor.to(training.device) for key, tensor in best.items()} or None
    training.schedule.load_state_dict(state["schedule"])
    training.history = History.from_json(state["history"])
    training.epoch, training.step, training.seconds = state["epoch"], state["step"], state["seconds"]
    training.stop = state["stop"]
    training.sums.copy_(_own_sums(training, state["sums"]))
    if changed := differences(state["environment"], environment(training.world)):
        where = f"after step {training.step} of epoch {training.epoch + 1}"
        training.history.notes.append(f"gone on {where} elsewhere, so not bit for bit: {'; '.join(changed)}")


@dataclass(frozen=True)
class Checkpoint:
    """What a file holds: `state`, plain values, and `tensors` by their names in the file."""

    state: dict[str, Any]
    tensors: dict[str, Tensor]

    def group(self, name: str) -> dict[str, Tensor]:
        """The tensors under ``name/``."""
        return {key.partition("/")[2]: tensor for key, tensor in self.tensors.items() if key.startswith(f"{name}/")}


def read(path: Path) -> Checkpoint:
    """The content of a checkpoint; WeightsError where it is none, damaged, or of a newer Foveal."""
    with _opened(path) as file:
        state = _parsed(path, file)
        tensors = {key: file.get_tensor(key).clone() for key in file.keys()}  # noqa: SIM118 - not a mapping
        if file.metadata()["crc32"] != str(_checksum(file.metadata()["foveal"], tensors)):
            raise ValueError("checksum")
    return Checkpoint(state, tensors)


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """The file, for as long as it lasts; whatever is wrong with it is a WeightsError."""
    name = printable(path)
    if not path.is_file():
        raise WeightsError(
            f"{name}: no checkpoint; the first is written after an epoch, or checkpoint_every seconds if that is less"
        )
    try:
        with safe_open(path, framework="pt") as file:
            yield file
    except (OSError, SafetensorError, KeyError, TypeError, ValueError, RecursionError) as error:
        raise WeightsError(
            f"{name}: not a checkpoint, or a damaged one (cut short, perhaps); remove it and start anew"
        ) from error


def _parsed(path: Path, file: Any) -> dict[str, Any]:
    state: dict[str, Any] = json.loads((file.metadata() or {})["foveal"])
    if state["format"] != FORMAT:
        raise WeightsError(
            f"{printable(path)}: a checkpoint of format {state['format']!r:.40}; this Foveal reads {FORMAT}: go on "
            "with the one that made it"
        )
    return state


def tensors_of(training: Training) -> dict[str, Tensor]:
    """All tensors that a training goes on with, by their names in a checkpoint."""
    groups: dict[str, Mapping[str, Tensor]] = {"model": _live(training), "best": training.best or {}}
    if training.averaged is not None:
        groups["averaged"] = training.averaged.state_dict()["tensors"]
    names = {id(parameter): name for name, parameter in training.module.named_parameters()}
    groups["optimizer"] = {
        f"{names[id(parameter)]}/{key}": value
        for parameter, kept in training.optimizer.state.items()
        for key, value in kept.items()
        if isinstance(value, Tensor)
    }
    return {f"{group}/{name}": tensor for group, tensors in groups.items() for name, tensor in tensors.items()}


def _live(training: Training) -> dict[str, Tensor]:
    """Everything of the module that a step may change, also what its state dict leaves out."""
    return {**dict(training.module.named_parameters()), **dict(training.module.named_buffers())}


def _state(training: Training, sums: list[list[float]]) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "graph": training.graph and training.graph.to_json(),
        "config": training.config.to_json(),
        "choices": training.choices.to_json(),
        "data": {"name": training.data.name, "digest": training.data.digest, "classes": training.data.classes},
        "environment": environment(training.world),
        "epoch": training.epoch,
        "step": training.step,
        "sums": sums,
        "seconds": training.seconds,
        "stop": training.stop,
        "rates": [group["lr"] for group in training.optimizer.param_groups],
        "schedule": training.schedule.state_dict(),
        "averaged": training.averaged and training.averaged.state_dict()["count"],
        "history": training.history.to_json(),
    }


def _sums_of_all(training: Training) -> list[list[float]]:
    """The sums of every process."""
    rank, size = training.world.place
    sums = torch.zeros(size, len(training.sums), dtype=torch.float64, device=training.device)
    sums[rank] = training.sums
    rows: list[list[float]] = training.world.total(sums).tolist()
    return rows


def _own_sums(training: Training, sums: list[list[float]]) -> Tensor:
    """This process's sums; where there were more or fewer processes, the first goes on from those of all."""
    rank, size = training.world.place
    rows = torch.tensor(sums, dtype=torch.float64)
    if len(rows) == size:
        return rows[rank]
    return rows.sum(0) if rank == 0 else torch.zeros_like(rows[0])


def _restore_optimizer(training: Training, found: Checkpoint) -> None:
    """Each parameter's state goes to the parameter of that name."""
    kept: dict[str, dict[str, Tensor]] = {}
    for key, tensor in found.group("optimizer").items():
        name, _, part = key.rpartition("/")
        kept.setdefault(name, {})[part] = tensor
    names = {id(parameter): name for name, parameter in training.module.named_parameters()}
    state = training.optimizer.state_dict()
    ordered = [parameter for group in training.optimizer.param_groups for parameter in group["params"]]
    state["state"] = {i: kept[names[id(p)]] for i, p in enumerate(ordered) if names[id(p)] in kept}
    for group, rate in zip(state["param_groups"], found.state["rates"], strict=True):
        group["lr"] = rate
    optimizers.restore(training.optimizer, state)


def _checksum(state: str, tensors: Mapping[str, Tensor]) -> int:
    total = zlib.crc32(state.encode())
    for name in sorted(tensors):
        content = tensors[name].reshape(-1).view(torch.uint8).numpy().data
        total = zlib.crc32(content, zlib.crc32(name.encode(), total))
    return total


def _sound(training: Training) -> bool:
    """Whether the losses of this epoch, of all processes, and the weights are numbers."""
    sums = training.world.total(training.sums.clone())
    return all(bool(tensor.isfinite().all()) for tensor in (sums, *training.module.parameters()))


def _misfit(training: Training, found: Checkpoint) -> str | None:
    """The first thing in which the checkpoint is not of this training."""
    state = found.state
    if training.graph and state["graph"] and (fault := _graph_difference(state["graph"], training.graph)):
        return fault
    theirs = {name: _form(tensor) for name, tensor in found.group("model").items()}
    if fault := _difference(theirs, {name: _form(tensor) for name, tensor in _live(training).items()}):
        return f"tensor {fault}"
    if state["data"]["digest"] != training.data.digest:
        return f"it saw other pictures ({printable(state['data']['name'])}) than {printable(training.data.name)}"
    try:
        config = Config.from_json(state["config"])
    except UsageError as error:
        return f"its config: {error}"
    return _difference(_binding(config), _binding(training.config))


def _graph_difference(there: dict[str, Any], graph: Graph) -> str | None:
    here: dict[str, Any] = json.loads(json.dumps(graph.to_json()))
    nodes: Iterator[tuple[dict[str, Any], ...]] = zip_longest(there["nodes"], here["nodes"], fillvalue={})
    for theirs, ours in nodes:
        if fault := _difference(theirs, ours):
            return f"node {printable((ours or theirs)['name'])}: {fault}"
    return _difference(*({key: each[key] for key in ("input_shape", "outputs")} for each in (there, here)))


def _difference(theirs: Mapping[str, Any], ours: Mapping[str, Any]) -> str | None:
    """The first entry in which the two differ."""
    for name in {**ours, **theirs}:
        there, here = (each.get(name, "absent") for each in (theirs, ours))
        if there != here:
            return f"{printable(name)} is {printable(str(there))} there, {printable(str(here))} here"
    return None


def _form(tensor: Tensor) -> str:
    return f"{str(tensor.dtype).removeprefix('torch.')} {tuple(tensor.shape)}"


def _binding(config: Config) -> dict[str, Any]:
    """What of `config` a training keeps to the end."""
    free = (*_FREE, "epochs") if config.schedule in _OPEN_ENDED else _FREE
    return {name: value for name, value in asdict(config).items() if name not in free}
