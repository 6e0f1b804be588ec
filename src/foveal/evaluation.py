"""Measuring a bundle on labelled photos that it has not seen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from foveal.classifier import Classifier, Prediction
from foveal.data.dataset import Dataset, Item
from foveal.data.decode import read_file
from foveal.data.hashing import content_hash
from foveal.errors import DataError, ImageError
from foveal.parallel import in_order
from foveal.scoring import score
from foveal.text import printable


def measure(classifier: Classifier, dataset: Dataset) -> dict[str, Any]:
    """The account that `foveal.evaluate` documents.

    Raises
    ------
    DataError : no readable photo of a class that the bundle knows.
    """
    items = [item for item in dataset.items if item.split == "test"] or list(dataset.items)
    index = {label: i for i, label in enumerate(classifier.classes)}
    read: list[tuple[Item, np.ndarray]] = []
    refused = [{"path": str(one.path), "reason": one.reason} for one in dataset.refused]
    for item, answer in zip(items, classifier.logits_each([item.path for item in items]), strict=True):
        if isinstance(answer, ImageError):
            refused.append({"path": str(item.path), "reason": answer.reason})
        else:
            read.append((item, answer))
    known = [(item, logits) for item, logits in read if item.label in index]
    if not known:
        raise DataError(_nothing_known(dataset, classifier))
    logits = np.stack([logits for _, logits in known])
    target = np.array([index[item.label] for item, _ in known])
    bundle = classifier.bundle
    return score(logits, target, bundle.classes, bundle.temperature, bundle.threshold) | {
        "classes": list(bundle.classes),
        "mistakes": _mistakes([item for item, _ in known], classifier.decide(logits)),
        "refused": refused,
        "other_classes": _other_classes(classifier, [pair for pair in read if pair[0].label not in index]),
        "seen_in_training": _seen(
            bundle.provenance.get("training", ()), [item for item, _ in known], classifier.threads
        ),
    }


def _mistakes(items: Sequence[Item], predictions: Sequence[Prediction]) -> list[dict[str, Any]]:
    """Wrong answers, the surest first."""
    wrong = [(item, said) for item, said in zip(items, predictions, strict=True) if said.label != item.label]
    wrong.sort(key=lambda pair: -pair[1].probability)
    return [
        {"path": str(item.path), "label": item.label, "predicted": said.label, "probability": said.probability}
        for item, said in wrong
    ]


def _other_classes(classifier: Classifier, read: Sequence[tuple[Item, np.ndarray]]) -> dict[str, dict[str, int]]:
    """For each class that the bundle does not know: its photos, and how many of them were called unknown."""
    counts: dict[str, dict[str, int]] = {}
    for item, logits in read:
        count = counts.setdefault(item.label, {"photos": 0, "unknown": 0})
        count["photos"] += 1
        count["unknown"] += classifier.decide(logits[None])[0].unknown
    return counts


def _seen(training: Sequence[str], items: Sequence[Item], threads: int) -> int:
    """How many of the photos were trained on, told by their content."""
    hashes = frozenset(training)
    work = in_order(
        lambda part: [content_hash(read_file(item.path)) in hashes for item in part], items, batch=64, threads=threads
    )
    return sum(sum(part) for part in work)


def _nothing_known(dataset: Dataset, classifier: Classifier) -> str:
    theirs = ", ".join(printable(label, limit=40) for label in dataset.classes[:5])
    mine = ", ".join(printable(label, limit=40) for label in classifier.classes[:5])
    return f"{printable(dataset.root)}: no readable photo of the bundle's classes ({mine}); its classes are {theirs}"
