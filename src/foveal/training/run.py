"""The verb: train a network from scratch, in a folder of its own, and account for it."""

from __future__ import annotations

import contextlib
import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import fx

from foveal import machine, zoo
from foveal.account import PICTURED
from foveal.build import graph_of, weights_of
from foveal.bundle import remove_bundle
from foveal.datasets import DATASETS, PictureSet, load
from foveal.datasets.pictures import PARTS
from foveal.datasets.shaping import shaped
from foveal.errors import OutputError, ShapeError, UsageError
from foveal.files import explain, locked, write_atomic
from foveal.graph import Graph
from foveal.networks import read_network
from foveal.report.card import training_card
from foveal.report.pictures import enlarged, thumbnails_of_findings
from foveal.report.training_page import render_training
from foveal.runlog import Observer, Run, RunLog, results_folder
from foveal.shapes import Shape, text
from foveal.text import plural, printable
from foveal.training.account import Account, record
from foveal.training.alarms import Alarms
from foveal.training.callbacks import Callback
from foveal.training.checkpoint import Checkpointing
from foveal.training.config import Config
from foveal.training.distributed import World
from foveal.training.history import History
from foveal.training.loop import fit
from foveal.training.progress import Progress
from foveal.training.state import Training
from foveal.weights import serialize

CHECKPOINT, RECORD, RESULT = "checkpoint.safetensors", "run.json", "result.json"
PAGE, BUNDLE, WEIGHTS = "report.html", "bundle", "weights.safetensors"


def train_from_scratch(
    data: str | Path | PictureSet,
    network: Any,
    out: str | Path | None = None,
    *,
    config: Config | None = None,
    input_shape: Shape | None = None,
    test: float = 0.2,
    validation: float = 0.1,
    group_by: str | None = None,
    resume: bool = False,
    budget: float | None = None,
    cache: bool = True,
    threads: int | None = None,
    command: str | None = None,
    observer: Observer | None = None,
) -> Run:
    """Train a network whose weights are drawn at random, and account for it.

    What `out` holds stays as it was until data, network and config are found to fit together, and into memory. A
    finished run is then removed, so that a folder is always of one run.

    Parameters
    ----------
    data : a name of `foveal.datasets.DATASETS`, photos as `foveal.train` takes them, or pictures at hand.
    network : a name of the zoo, which gets the classes of the data and, of a known dataset, its size; or whatever else
        `foveal.inspect` reads, as it stands. Its structure is taken, not weights that it may have.
    out : where the results go; ``runs/NAME`` of the data by default.
    config : how it is trained; its seed also draws the parts of the data.
    input_shape : of the network, (1 or 3, size, size).
    test, group_by, cache : of photos, as for `foveal.train`; known datasets have test parts of their own.
    validation : share of the rest that is not trained on, to see how it goes; 0 for none.
    resume : go on from the checkpoint in `out`, to the weights that the run would have reached undisturbed.
    budget : seconds of training; no epoch is begun that would end after them, but the first.
    observer : called with each event (`foveal.runlog`).

    Raises
    ------
    DataError : the pictures cannot be used.
    UsageError, UnknownName : an option that makes no sense; a network and data that do not fit; without `resume`, a run
        in `out` that was interrupted, and with it, none.
    OutputError : `out` cannot be written, or another run is writing it.
    TrainingError : a loss that is no number.
    WeightsError : a checkpoint that is damaged, or of another training.
    """
    config = config or Config()
    if budget is not None and not budget > 0:
        raise UsageError(f"--budget {budget}: expected seconds above 0")
    torch.set_num_threads(threads or min(torch.get_num_threads(), machine.cpu_threads()))
    named = data.name if isinstance(data, PictureSet) else data
    folder = results_folder(Path(named), out)
    graph = network_for(network, data, input_shape)
    given = {
        "data": os.fspath(named), "network": str(network) if isinstance(network, (str, Path)) else graph.name,
        "input_shape": input_shape, "test": test, "validation": validation, "group_by": group_by, "budget": budget,
    }  # fmt: skip
    world = World.here(config.device)
    with locked(folder) if world.rank == 0 else contextlib.nullcontext():
        if resume and (result := _finished(folder, given, config, data, graph)):
            if observer:
                observer("note", {"text": f"the run in {printable(folder)} is finished; nothing was changed"})
            return Run(folder, result)
        resume = _goes_on(folder, resume, world)
        path = folder / "log.jsonl" if world.rank == 0 else Path(os.devnull)
        with RunLog(path, observer, goes_on=resume, held=True) as log:
            with log.stage("data"):
                pictures = pictures_for(
                    data, graph.input_shape, test=test, validation=validation, group_by=group_by, seed=config.seed,
                    cache=cache, threads=threads, observer=_tell(log),
                )  # fmt: skip
            counts = {part: len(getattr(pictures, part)) for part in PARTS}
            log("data", name=pictures.name, **counts, classes=len(pictures.classes), shape=text(pictures.shape))
            for note in pictures.notes:
                log("note", text=note)
            graph = _with_classes(network, graph, pictures)
            kept = _Kept(folder, graph, pictures, given, command or f"foveal train {printable(named)}", resume, log)
            with log.stage("training"):
                history = fit(
                    graph, pictures, config, resume=folder / CHECKPOINT if resume else None, world=world,
                    callbacks=[Budget(budget), Alarms(log), Checkpointing(folder / CHECKPOINT), Progress(log), kept],
                )  # fmt: skip
            return kept.finish(history)


class Budget(Callback):
    """Stops after the epoch after which the next one would go beyond `seconds` of training; None for never.

    A run that another budget stopped goes on.
    """

    _SPENT = "the budget of"

    def __init__(self, seconds: float | None) -> None:
        self._seconds = math.inf if seconds is None else seconds

    def begin(self, training: Training) -> None:
        if training.stop and training.stop.startswith(self._SPENT):
            training.stop = None
            self.after_epoch(training)

    def after_epoch(self, training: Training) -> None:
        epochs = training.history.epochs
        needed = torch.tensor(sum(epoch.seconds for epoch in epochs) + epochs[-1].seconds, device=training.device)
        if float(training.world.total(needed)) > self._seconds * training.world.size:  # the mean, so that all stop
            training.stop = training.stop or f"{self._SPENT} {self._seconds:g} s has no room for another epoch"


class _Kept(Callback):
    """What a run leaves in its folder: run.json before the first step, everything else after the last."""

    def __init__(
        self, folder: Path, graph: Graph, data: PictureSet, given: Mapping[str, Any], command: str, goes_on: bool,
        log: RunLog,
    ) -> None:  # fmt: skip
        self._folder, self._graph, self._data, self._given, self._command = folder, graph, data, given, command
        self._goes_on, self._log = goes_on, log

    def begin(self, training: Training) -> None:
        self._writes = training.world.rank == 0
        self._log.start()  # only now: what is refused must not cost an earlier run
        if self._writes and not self._goes_on:
            _clear(self._folder)
        self._record = record(training, self._graph, self._given, self._folder, self._command)
        before = content_of(self._folder / RECORD) if self._goes_on else {}
        if all(before.get(key) == _plain(self._record[key]) for key in ("config", "given")):
            self._record = before
        elif self._writes:
            write_atomic(self._folder / RECORD, json.dumps(self._record, indent=1))
        if self._goes_on and (opened := content_of(self._folder / RESULT).get("training")):
            note = f"the test part had been opened before, after {plural(opened['epochs'], 'epoch')}"
            training.history.notes += [note] if note not in training.history.notes else []

    def end(self, training: Training) -> None:
        self._val_logits, self._test_logits = training.logits(self._data.val), training.logits(self._data.test)

    def finish(self, history: History) -> Run:
        """Open the test part, and write what is to be said."""
        module, log = history.module, self._log
        assert isinstance(module, fx.GraphModule)
        with log.stage("test"):
            account = Account(
                self._record, self._data, graph_of(module), weights_of(module), history, self._val_logits,
                self._test_logits,
            )  # fmt: skip
            result = account.to_json(log.seconds, log.total)
        if self._writes:
            with log.stage("write"):
                write_atomic(self._folder / PAGE, render_training(result, self._pictures(account)))
                if result["bundle"]:
                    account.bundle(result).save(self._folder / BUNDLE, training_card(result))
                else:
                    write_atomic(self._folder / WEIGHTS, serialize(account.weights))
                write_atomic(self._folder / RESULT, json.dumps(result, indent=1))
            log("done", accuracy=result["test"]["accuracy"], report=str(self._folder / PAGE))
        return Run(self._folder, result)

    def _pictures(self, account: Account) -> dict[str, bytes]:
        """Small pictures of what the report shows, by path."""
        wrong = account.mistakes[:PICTURED]
        few = self._data.test.x[[row["row"] for row in wrong]]
        return thumbnails_of_findings(self._data.report.get("findings", [])) | dict(
            zip((row["path"] for row in wrong), map(enlarged, few), strict=True)
        )


def _finished(
    folder: Path, given: Mapping[str, Any], config: Config, data: str | Path | PictureSet, graph: Graph
) -> dict[str, Any] | None:
    """The result in `folder`, if it is that of the run that is asked for."""
    result, run = (content_of(folder / name) for name in (RESULT, RECORD))
    if not config.batch_size:
        config = config.with_values({"batch_size": run.get("config", {}).get("batch_size", 0)})
    asked = {"given": _plain(given), "config": config.to_json()}
    if not is_of_zoo(given["network"]):
        asked["graph"] = _plain(graph.to_json())
    same = all(run.get(key) == value for key, value in asked.items()) and result.get("config") == asked["config"]
    if isinstance(data, PictureSet):
        same = same and run["data"]["digest"] == data.digest
    return result if same else None


def _goes_on(folder: Path, resume: bool, world: World) -> bool:
    """Whether there is something to go on with.

    Raises
    ------
    UsageError : to go on where nothing was begun, or to begin where something was interrupted.
    """
    name = printable(folder)
    begun, finished = (folder / CHECKPOINT).exists(), (folder / RESULT).exists()
    if resume and not begun and not finished:
        raise UsageError(
            f"--resume: no checkpoint in {name} to go on from (the first is written after an epoch, or half a minute); "
            "run without --resume"
        )
    resume = resume or (world.restarted and begun and not finished)
    if begun and not finished and not resume:
        raise UsageError(
            f"{name}: holds a run that was interrupted; --resume goes on with it. To begin anew, remove the folder or "
            "choose another --out"
        )
    world.wait()
    return resume


def _clear(folder: Path) -> None:
    """Remove what a finished run left, and nothing else that lies there; last what tells that there was one."""
    if not (folder / RESULT).exists():
        return
    try:
        remove_bundle(folder / BUNDLE)
        for left in (CHECKPOINT, RECORD, PAGE, WEIGHTS, RESULT):
            (folder / left).unlink(missing_ok=True)
    except OSError as error:
        raise OutputError(explain(folder, error)) from error


def network_and_pictures(
    network: Any, data: str | Path | PictureSet, input_shape: Shape | None = None, **options: Any
) -> tuple[Graph, PictureSet]:
    """`network` and `data` as `train_from_scratch` takes them, made to fit; `options` of `foveal.datasets.load`."""
    graph = network_for(network, data, input_shape)
    pictures = pictures_for(data, graph.input_shape, **options)
    return _with_classes(network, graph, pictures), pictures


def network_for(network: Any, data: str | Path | PictureSet, input_shape: Shape | None) -> Graph:
    """The network, its classes aside; one of the zoo for the data's own size, where it can take that."""
    if not is_of_zoo(network):
        return read_network(network, input_shape).graph
    if input_shape:
        return _of_zoo(network, input_shape)
    own = data.shape if isinstance(data, PictureSet) else DATASETS[str(data)].shape if data in DATASETS else None
    if own is None:
        return zoo.create_graph(network)
    try:
        return _of_zoo(network, own)
    except ShapeError:
        return zoo.create_graph(network, in_channels=own[0])


def pictures_for(data: str | Path | PictureSet, shape: Shape, **options: Any) -> PictureSet:
    """The data in the `shape` that the network takes."""
    if not isinstance(data, PictureSet):
        return load(data, shape, **options)
    return data if data.shape == shape else shaped(data, shape)


def _with_classes(network: Any, graph: Graph, pictures: PictureSet) -> Graph:
    """A network of the zoo with as many outputs as there are classes; any other as it is."""
    return _of_zoo(network, graph.input_shape, len(pictures.classes)) if is_of_zoo(network) else graph


def is_of_zoo(network: Any) -> bool:
    """Whether `network` is a name of the zoo."""
    return isinstance(network, str) and network in zoo.MODELS


def _of_zoo(name: str, shape: Shape, num_classes: int | None = None) -> Graph:
    return zoo.create_graph(name, num_classes=num_classes, in_channels=shape[0], input_shape=shape)


def _tell(log: RunLog) -> Observer:
    """`log` for those who read the data; bytes that are fetched are the dataset's."""

    def tell(event: str, fields: dict[str, Any]) -> None:
        log(event, **fields, **({"what": "the dataset"} if event == "fetch" else {}))

    return tell


def _plain(data: Any) -> Any:
    """As JSON gives it back."""
    return json.loads(json.dumps(data))


def content_of(path: Path) -> dict[str, Any]:
    """Of a JSON file; nothing where there is none."""
    try:
        data = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return data if isinstance(data, dict) else {}
