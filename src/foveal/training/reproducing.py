"""Training a run again, from its record alone, and comparing bit for bit."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from foveal.datasets import PictureSet, load
from foveal.errors import DataError, UsageError
from foveal.graph import Graph
from foveal.runlog import Observer, RunLog
from foveal.text import plural, printable
from foveal.training.account import FORMAT
from foveal.training.callbacks import Callback
from foveal.training.checkpoint import kept_choices, read, tensors_of
from foveal.training.config import Config
from foveal.training.distributed import World
from foveal.training.environment import differences, environment
from foveal.training.history import TIMED, Epoch, History
from foveal.training.loop import fit
from foveal.training.progress import Progress
from foveal.training.run import CHECKPOINT, RECORD
from foveal.training.state import Training


@dataclass(frozen=True)
class Reproduction:
    """A run, trained again as far as its checkpoint.

    Attributes
    ----------
    epochs, tensors : how many were compared: accounts of epochs, and tensors of network, optimizer and averages.
    epoch, tensor : the first of each that differs, and by how much, or None.
    elsewhere : what of the environment is not as it was when the run began, and what the run noted on its way.
    """

    epochs: int
    tensors: int
    epoch: str | None
    tensor: str | None
    elsewhere: list[str]

    @property
    def equal(self) -> bool:
        """Whether every bit is the same, but for times."""
        return self.epoch is None and self.tensor is None

    def text(self) -> str:
        """The outcome in a sentence or two."""
        changed = "; ".join(self.elsewhere)
        if self.equal:
            compared = f"{plural(self.epochs, 'epoch')} and {plural(self.tensors, 'tensor')}"
            return f"bit-identical in {compared}" + (f", although {changed}" if changed else "")
        why = f"not as it was: {changed}" if changed else "versions, threads and device are as they were"
        return "; ".join(["not bit-identical", *filter(None, (self.epoch, self.tensor)), why])


def reproduce(
    run: str | Path, data: PictureSet | None = None, *, threads: int | None = None, observer: Observer | None = None
) -> Reproduction:
    """Train the run in the folder `run` again, in memory; nothing in the folder changes.

    Parameters
    ----------
    data : its pictures, where they were at hand and not read by name or path.
    threads : those that the run had if None.
    observer : called with each event (`foveal.runlog`).

    Raises
    ------
    UsageError : no run's folder, or a newer Foveal's.
    DataError : the data cannot be read, or are other pictures than they were.
    WeightsError : no checkpoint, or a damaged one.
    """
    folder = Path(run)
    record = _record(folder)
    there = read(folder / CHECKPOINT)
    torch.set_num_threads(threads or record["environment"]["threads"])
    graph, config = Graph.from_json(record["graph"]), Config.from_json(record["config"])
    with RunLog(Path(os.devnull), observer) as log:
        pictures = data or _read(record["given"], graph, config, observer)
        if pictures.digest != record["data"]["digest"]:
            raise DataError(
                f"{printable(pictures.name)}: other pictures, or divided otherwise, than when {printable(folder)} was "
                "trained; restore them, or train anew"
            )
        world, copy = World.here(config.device), _Copy(there.state["epoch"], there.state["step"])
        history = fit(
            graph, pictures, config, callbacks=[copy, Progress(log)], choices=kept_choices(folder / CHECKPOINT),
            world=world,
        )  # fmt: skip
    then = History.from_json(there.state["history"])
    return Reproduction(
        epochs=len(then.epochs),
        tensors=len(there.tensors),
        epoch=_epoch_that_differs(then.epochs, history.epochs),
        tensor=_tensor_that_differs(there.tensors, copy.tensors),
        elsewhere=[*differences(record["environment"], environment(world)), *then.notes],
    )


class _Copy(Callback):
    """Stops where the checkpoint was written, and keeps what a checkpoint would hold."""

    def __init__(self, epoch: int, step: int) -> None:
        self._until = (epoch, step)
        self.tensors: dict[str, Tensor] = {}

    def after_step(self, training: Training) -> None:
        if (training.epoch, training.step) == self._until:
            self.tensors = {name: tensor.detach().cpu().clone() for name, tensor in tensors_of(training).items()}
            training.stop = "as far as the checkpoint"

    def after_epoch(self, training: Training) -> None:
        self.after_step(training)


def _record(folder: Path) -> dict[str, Any]:
    """What the folder's run.json says."""
    path = folder / RECORD
    try:
        record = json.loads(path.read_bytes())
        form = record["format"]
        if type(form) is int and form > FORMAT:
            raise UsageError(
                f"{printable(path)}: this record has format {form!r:.40}, made by a newer Foveal; this one reads "
                f"{FORMAT}: upgrade it"
            )
        if form == FORMAT and record.keys() >= {"graph", "config", "given", "data", "environment"}:
            return dict(record)
        why = "damaged"
    except OSError as error:
        why = str(error.strerror)
    except (ValueError, TypeError, KeyError, RecursionError):
        why = "damaged"
    raise UsageError(
        f"{printable(path)}: not the record of a run ({why}); expected the --out of foveal train --from-scratch"
    )


def _read(given: Mapping[str, Any], graph: Graph, config: Config, observer: Observer | None) -> PictureSet:
    """The pictures, as the run read them."""
    options = {key: given[key] for key in ("test", "validation", "group_by")}
    return load(given["data"], graph.input_shape, seed=config.seed, observer=observer, **options)


def _epoch_that_differs(then: list[Epoch], now: list[Epoch]) -> str | None:
    for one, other in zip(then, now, strict=False):
        for name, value in asdict(one).items():
            if name not in TIMED and repr(value) != repr(asdict(other)[name]):
                return f"epoch {one.epoch}: {name} was {value}, now {asdict(other)[name]}"
    if len(then) != len(now):
        return f"it stopped after {plural(len(now), 'epoch')}, and had {plural(len(then), 'epoch')}"
    return None


def _tensor_that_differs(then: Mapping[str, Tensor], now: Mapping[str, Tensor]) -> str | None:
    changed = [name for name in then if now and not torch.equal(then[name], now[name])]
    if not changed:
        return None
    worst = float((then[changed[0]].double() - now[changed[0]].double()).abs().max())
    more = f", and {plural(len(changed) - 1, 'more tensor')}" if len(changed) > 1 else ""
    return f"{printable(changed[0])} differs by up to {worst:.2g}{more}"
