"""Everything a run has to say, as plain data: result.json, and the bundle it comes with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

import foveal
from foveal import machine
from foveal.bundle import Bundle
from foveal.data.dataset import Dataset, Photo
from foveal.data.groups import Grouping
from foveal.data.parts import Parts
from foveal.data.preflight import Finding
from foveal.features import Extraction, Extractor, with_head
from foveal.heads.calibration import softmax
from foveal.heads.rejection import Rejection, novelty_score
from foveal.heads.results import Selection
from foveal.scoring import score

FORMAT = 1
LISTED = 1000  # rows of a kind in result.json
PICTURED = 12  # photos of a kind that the report shows as pictures
FINDING_ROWS, FINDING_PATHS = 6, 4  # likewise for what pre-flight found


def now() -> str:
    """UTC to the second: ``2026-01-31T12:00:00Z``."""
    return datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


@dataclass(frozen=True)
class Account:
    """The parts of a finished run; `to_json` joins them."""

    dataset: Dataset
    extractor: Extractor
    extraction: Extraction
    sampled: int  # photos computed for the estimate, before the extraction
    findings: list[Finding]
    grouping: Grouping
    parts: Parts
    selection: Selection
    test_logits: np.ndarray
    precision_check: dict[str, Any] | None
    folder: Path
    command: str
    group_by: str | None
    seed: int

    def to_json(self, seconds: Mapping[str, float], total: float) -> dict[str, Any]:
        """The content of ``result.json``; `seconds` by stage, and `total` so far."""
        head = self.selection.head
        return {
            "format": FORMAT,
            "foveal": foveal.__version__,
            "name": self.folder.name,
            "out": str(self.folder),
            "created": now(),
            "command": self.command,
            "data": self._data(),
            "preflight": {"findings": [finding.to_json() for finding in self.findings]},
            "split": self._split(),
            "features": self._features(),
            "head": self._head(),
            "rejection": self._rejection(self.selection.rejection),
            "test": score(self.test_logits, self._test_labels, self.parts.classes, head.temperature, head.threshold),
            "doubts": self._doubts(),
            "learning_curve": self._learning_curve(),
            "mistakes": self._mistakes[:LISTED],
            "least_sure": self._least_sure[:PICTURED],
            "seconds": {name: round(value, 4) for name, value in (*seconds.items(), ("total", total))},
            "versions": machine.versions(),
            "seed": self.seed,
            "threads": self.extractor.threads,
            "precision": self.extractor.precision,
        }

    def bundle(self, result: Mapping[str, Any]) -> Bundle:
        """The classifier at rest: the backbone up to the chosen levels, and the head as a dense layer."""
        backbone, head = self.extractor.backbone, self.selection.head
        graph = with_head(backbone, head.taps, len(self.parts.classes))
        dense = {"head.dense.weight": head.weight, "head.dense.bias": head.bias}
        weights = {
            name: dense[name] if name in dense else backbone.weights[name]
            for name in (*graph.parameters(), *graph.buffers())
        }
        provenance = {
            "created": result["created"],
            "command": self.command,
            "backbone": backbone.name,
            "source": backbone.source,
            "licence": backbone.licence,
            "backbone_sha256": backbone.sha256,
            "training": [self._photo(i).sha256 for i in self.parts.train],
            "test": {key: result["test"][key] for key in ("accuracy", "correct", "total", "interval", "log_loss")},
            "rejection": {key: result["rejection"][key] for key in ("known_rejected", "unknown_accepted")},
            "versions": result["versions"],
            "seed": self.seed,
            "precision_check": self.precision_check,
        }
        return Bundle(
            graph=graph,
            weights=weights,
            classes=self.parts.classes,
            preprocessing=backbone.preprocessing,
            temperature=head.temperature,
            threshold=head.threshold,
            precision=self.extractor.precision,
            provenance=provenance,
        )

    def shown(self) -> tuple[list[str], dict[str, int]]:
        """Paths of the photos that the report shows, and for those it explains the class that was predicted."""
        index = {label: i for i, label in enumerate(self.parts.classes)}
        looked_at = [*self._mistakes[:PICTURED], *self._least_sure[:PICTURED]]
        explained = {row["path"]: index[row["predicted"]] for row in looked_at}
        doubted = [row["path"] for row in self._doubts()["rows"][:PICTURED]]
        found = [
            str(path)
            for finding in self.findings
            for row in finding.rows[:FINDING_ROWS]
            for path in row.paths[:FINDING_PATHS]
        ]
        return list(dict.fromkeys([*explained, *doubted, *found])), explained

    def _photo(self, index: int) -> Photo:
        return self.extraction.photos[index]

    def _path(self, index: int) -> str:
        return str(self._photo(index).item.path)

    @cached_property
    def _test_labels(self) -> np.ndarray:
        return np.asarray(self.parts.labels[self.parts.test])

    def _data(self) -> dict[str, Any]:
        parts = self.parts
        counts = {
            label: {
                "train": int((parts.labels[parts.train] == i).sum()),
                "test": int((self._test_labels == i).sum()),
            }
            for i, label in enumerate(parts.classes)
        }
        return {
            "root": str(self.dataset.root),
            "kind": self.dataset.kind,
            "classes": list(parts.classes),
            "photos": len(self.extraction.photos),
            "refused": len(self.extraction.refused) + len(self.dataset.refused),
            "counts": counts,
        }

    def _split(self) -> dict[str, Any]:
        parts = self.parts
        sizes = f"{len(parts.train):,} photos to train on and {len(parts.test):,} sealed until the end"
        given = self.dataset.kind != "folders" and any(photo.item.split for photo in self.extraction.photos)
        rows = {
            name: [
                {"path": self._path(i), "label": self._photo(i).item.label, "sha256": self._photo(i).sha256}
                for i in part
            ]
            for name, part in (("train", parts.train), ("test", parts.test), ("set_aside", parts.set_aside))
        }
        return {
            "how": f"{sizes}, {'as the data gives them' if given else 'stratified by class, whole groups together'}",
            "seed": self.seed,
            "group_by": self.grouping.by,
            "groups": self.grouping.count,
            "notes": list(parts.notes),
            **rows,
        }

    def _features(self) -> dict[str, Any]:
        extractor, extraction = self.extractor, self.extraction
        backbone, count = extractor.backbone, len(extraction.photos)
        rest = count - extraction.cached
        computed = min(count, self.sampled + rest)
        return {
            "backbone": backbone.name,
            "weights": backbone.weights_name,
            "weights_sha256": backbone.sha256,
            "source": backbone.source,
            "licence": backbone.licence,
            "engine": extractor.engine_name,
            "precision": extractor.precision,
            "precision_check": self.precision_check,
            "from_cache": count - computed,
            "computed": computed,
            "images_per_second": rest / extraction.seconds if rest else None,
            "cache_note": extractor.store.note,
            "input": list(backbone.graph.input_shape),
            "preprocessing": backbone.preprocessing.to_json(),
        }

    def _head(self) -> dict[str, Any]:
        selection, head = self.selection, self.selection.head
        validation = selection.validation
        folds = f"{self.parts.folds.k}-fold on the training part, whole groups together"
        return {
            "kind": head.kind,
            "taps": list(head.taps),
            "view": head.view,
            "penalty": head.penalty,
            "temperature": head.temperature,
            "why": selection.why,
            "candidates": [candidate.to_json() for candidate in selection.candidates],
            "validation": {"how": folds} | validation.to_json() if validation else None,
            "notes": list(selection.notes),
            "seconds": selection.seconds,
        }

    def _rejection(self, rejection: Rejection) -> dict[str, Any]:
        known = _rate(rejection.known_rejected, rejection.known_total)
        unknown = _rate(rejection.unknown_accepted, rejection.unknown_total)
        return {
            "threshold": rejection.threshold,
            "known_rejected": known if rejection.threshold is not None else None,
            "unknown_accepted": unknown if rejection.threshold is not None else None,
            "per_class": [
                {"label": self.parts.classes[row.index]} | _rate(row.accepted, row.total) for row in rejection.per_class
            ],
            "how": rejection.why,
        }

    def _doubts(self) -> dict[str, Any]:
        classes, train = self.parts.classes, self.parts.train
        rows = [
            {
                "path": self._path(train[doubt.row]),
                "label": classes[doubt.label],
                "suggested": classes[doubt.suggested],
                "probability": doubt.suggested_probability,
                "label_probability": doubt.label_probability,
            }
            for doubt in self.selection.doubts
        ]
        return {"total": len(rows), "rows": rows[:LISTED]}

    def _learning_curve(self) -> dict[str, Any] | None:
        curve = self.selection.learning_curve
        if not curve.points:
            return None
        points = [
            {"photos": point.size, "accuracy": point.accuracy, "low": point.interval[0], "high": point.interval[1]}
            for point in curve.points
        ]
        return {"points": points, "gain": curve.gain, "gain_interval": curve.gain_interval, "verdict": curve.verdict}

    @cached_property
    def _predictions(self) -> list[dict[str, Any]]:
        head, classes = self.selection.head, self.parts.classes
        if not len(self.test_logits):
            return []
        probabilities = softmax(self.test_logits, head.temperature)
        ordered = np.sort(probabilities, axis=1)
        novelty = novelty_score(self.test_logits, head.temperature)
        return [
            {
                "path": self._path(index),
                "label": classes[self.parts.labels[index]],
                "predicted": classes[int(row.argmax())],
                "probability": float(row.max()),
                "margin": float(ranked[-1] - ranked[-2]),
                "unknown": head.threshold is not None and bool(strangeness < head.threshold),
            }
            for index, row, ranked, strangeness in zip(self.parts.test, probabilities, ordered, novelty, strict=True)
        ]

    @cached_property
    def _mistakes(self) -> list[dict[str, Any]]:
        """Wrong answers on the test part, the surest first."""
        wrong = [row for row in self._predictions if row["label"] != row["predicted"]]
        return sorted(wrong, key=lambda row: -row["probability"])

    @cached_property
    def _least_sure(self) -> list[dict[str, Any]]:
        return sorted(self._predictions, key=lambda row: row["margin"])


def _rate(count: int, total: int) -> dict[str, Any]:
    return {"rate": count / total if total else None, "count": count, "total": total}
