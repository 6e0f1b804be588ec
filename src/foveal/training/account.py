"""What a training from scratch has to say, as plain data: run.json before it, result.json after it."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

import foveal
from foveal import anatomy, machine
from foveal.account import LISTED, now
from foveal.anatomy.table import op_text
from foveal.bundle import Bundle
from foveal.datasets.pictures import PARTS, PictureSet
from foveal.datasets.shaping import check_input
from foveal.errors import UsageError
from foveal.graph import Graph
from foveal.heads.calibration import fit_temperature, softmax
from foveal.scoring import score
from foveal.shapes import text
from foveal.training.environment import environment
from foveal.training.history import History
from foveal.training.optimizers import OPTIMIZERS
from foveal.training.state import Training
from foveal.weights import Weights

FEWEST = 30  # validation pictures that a temperature is fitted on
FORMAT = 1
_ROWS = 40  # nodes of a network that are listed one by one; a larger one is folded into its levels


def record(training: Training, graph: Graph, given: Mapping[str, Any], folder: Path, command: str) -> dict[str, Any]:
    """The content of ``run.json``: all that is needed to repeat the run.

    Parameters
    ----------
    graph : the network as it was asked for.
    given : the arguments that name it and the data.
    """
    config, data = training.config, training.data
    kind = OPTIMIZERS[config.optimizer]
    return {
        "format": FORMAT,
        "foveal": foveal.__version__,
        "created": now(),
        "name": folder.name,
        "out": str(folder),
        "command": command,
        "given": dict(given),
        "data": {
            "name": data.name,
            "source": data.source,
            "shape": list(data.shape),
            "classes": list(data.classes),
            "digest": data.digest,
        },
        "graph": graph.to_json(),
        "config": config.to_json(),
        "choices": asdict(training.choices)
        | {
            "lr": kind.lr if config.lr is None else config.lr,
            "weight_decay": kind.weight_decay if config.weight_decay is None else config.weight_decay,
        },
        "environment": environment(training.world),
    }


@dataclass(frozen=True)
class Account:
    """The parts of a finished training; `to_json` joins them.

    Attributes
    ----------
    run : the content of ``run.json``.
    graph, weights : the network and what it learnt.
    val_logits, test_logits : (n, classes), of these weights.
    """

    run: Mapping[str, Any]
    data: PictureSet
    graph: Graph
    weights: Weights
    history: History
    val_logits: np.ndarray
    test_logits: np.ndarray

    @cached_property
    def temperature(self) -> float:
        """Fitted on the validation part; 1 where that is too small to say."""
        return fit_temperature(self.val_logits, self.data.val.y) if len(self.data.val) >= FEWEST else 1.0

    def to_json(self, seconds: Mapping[str, float], total: float) -> dict[str, Any]:
        """The content of ``result.json``; `seconds` by stage of this process, and `total` so far."""
        run = {key: value for key, value in self.run.items() if key not in ("graph", "data")}
        return run | {
            "created": now(),
            "data": self.run["data"] | self._data(),
            "split": self._split(),
            "preflight": {"findings": self.data.report.get("findings", [])},
            "network": self._network(),
            "history": self.history.to_json(),
            "training": self._training(),
            "temperature": self.temperature,
            "validation": self._score(self.val_logits, self.data.val.y) if len(self.data.val) else None,
            "test": self._score(self.test_logits, self.data.test.y),
            "mistakes": self.mistakes[:LISTED],
            "bundle": self._is_picture(),
            "seconds": {name: round(value, 4) for name, value in (*seconds.items(), ("total", total))},
            "versions": machine.versions(),
        }

    def bundle(self, result: Mapping[str, Any]) -> Bundle:
        """The classifier at rest."""
        photos = self.data.report.get("photos")
        provenance = {
            "created": result["created"],
            "command": result["command"],
            "network": self.graph.name,
            "data": result["data"]["source"],
            "training": [photo["sha256"] for photo in photos["train"]] if photos else [],
            "test": {key: result["test"][key] for key in ("accuracy", "correct", "total", "interval", "log_loss")},
            "versions": result["versions"],
            "config": result["config"],
        }
        return Bundle(
            graph=self.graph,
            weights=self.weights,
            classes=self.data.classes,
            preprocessing=self.data.preprocessing,
            temperature=self.temperature,
            threshold=None,
            precision=result["choices"]["precision"],
            provenance=provenance,
        )

    def _is_picture(self) -> bool:
        """Whether any photo can become an input, so that the network makes a bundle."""
        try:
            check_input(self.graph.input_shape)
        except UsageError:
            return False
        return True

    @cached_property
    def mistakes(self) -> list[dict[str, Any]]:
        """Wrong answers on the test part, the surest first; `row` is the picture's in that part."""
        if not len(self.test_logits):
            return []
        probabilities = softmax(self.test_logits, self.temperature)
        ordered, named = np.sort(probabilities, axis=1), probabilities.argmax(axis=1)
        wrong = np.flatnonzero(named != self.data.test.y)
        return [
            {
                "path": self._path(row),
                "row": int(row),
                "label": self.data.classes[self.data.test.y[row]],
                "predicted": self.data.classes[named[row]],
                "probability": float(ordered[row, -1]),
                "margin": float(ordered[row, -1] - ordered[row, -2]),
            }
            for row in wrong[np.argsort(-ordered[wrong, -1], kind="stable")]
        ]

    def _path(self, row: int) -> str:
        """The photo's file, or the number of a picture that has none."""
        photos = self.data.report.get("photos")
        return str(photos["test"][row]["path"]) if photos else f"{self.data.name}, test picture {row}"

    def _score(self, logits: np.ndarray, target: np.ndarray) -> dict[str, Any]:
        return score(logits, target, self.data.classes, self.temperature, None)

    def _data(self) -> dict[str, Any]:
        counts = {part: np.bincount(getattr(self.data, part).y, minlength=len(self.data.classes)) for part in PARTS}
        return {
            "root": self.data.report.get("root"),
            "kind": self.data.report.get("kind", "known"),
            "notes": list(self.data.notes),
            "counts": {
                label: {part: int(count[i]) for part, count in counts.items()}
                for i, label in enumerate(self.data.classes)
            },
        }

    def _split(self) -> dict[str, Any]:
        return {
            **{part: len(getattr(self.data, part)) for part in PARTS},
            "group_by": self.data.report.get("grouped_by"),
            "photos": self.data.report.get("photos"),
            "set_aside": self.data.report.get("set_aside", []),
        }

    def _network(self) -> dict[str, Any]:
        counted = anatomy.count(self.graph)
        rows = counted.rows if len(counted.rows) <= _ROWS else anatomy.fold(counted, 1)
        return {
            "name": self.graph.name,
            "input": list(self.graph.input_shape),
            "parameters": counted.totals.parameters,
            "macs": counted.totals.macs,
            "rows": [
                {
                    "name": row.name,
                    "op": op_text(self.graph, row),
                    "output": text(row.output_shape),
                    "parameters": row.parameters,
                    "macs": row.macs,
                }
                for row in rows
            ],
        }

    def _training(self) -> dict[str, Any]:
        """Seconds of all steps, also of those before a resumption, and how quick they were."""
        epochs = self.history.epochs
        return {
            "epochs": len(epochs),
            "seconds": sum(epoch.seconds for epoch in epochs),
            "images_per_second": statistics.median(epoch.images_per_second for epoch in epochs) if epochs else None,
        }
