"""A realistic result, with names that would like to be something else."""

from __future__ import annotations

import random
from typing import Any

from foveal.metrics import wilson

HOSTILE = (
    "<script>alert(1)</script>",
    "red\x1b[31m",
    "\u202egpj.exe",
    "bytes\udcff\udcfe",
    "`|`[x](javascript:alert(1))",
    '"><img src=x onerror=alert(1)>',
    "# heading\n---\n* item",
    "{{ 7 * 7 }}{% raw %}",
)
PLAIN = ("apple", "banana", "cherry", "fig", "grape", "lemon", "mango", "pear")


def example(classes: tuple[str, ...] = PLAIN, *, seed: int = 0, per_class: int = 40) -> dict[str, Any]:
    """A result as `foveal train` writes it, with a mistake here and there."""
    rng = random.Random(seed)
    c = len(classes)
    confusion = [[0] * c for _ in classes]
    for i in range(c):
        for _ in range(per_class):
            wrong = rng.random() < (0.3 if i < 2 else 0.05)
            confusion[i][(i ^ 1 if rng.random() < 0.8 and i ^ 1 < c else rng.randrange(c)) if wrong else i] += 1
    correct, total = sum(confusion[i][i] for i in range(c)), c * per_class
    columns = [sum(row[j] for row in confusion) for j in range(c)]
    rows = []
    for i, label in enumerate(classes):
        hit, predicted = confusion[i][i], columns[i]
        precision = hit / predicted if predicted else None
        rows.append({"label": label, "precision": precision, "recall": hit / per_class,
                     "f1": 2 * hit / (predicted + per_class), "support": per_class})  # fmt: skip
    photos = [f"photos/{label}/IMG_{k:04d}.jpg" for label in classes for k in range(6)]
    guesses = [
        {"path": path, "label": classes[k // 6], "predicted": classes[(k // 6 + 1) % c], "probability": 0.99 - k / 100}
        for k, path in enumerate(photos[:16])
    ]
    sentence = "The lowest log loss in cross-validation, by group; ties go to the simpler head."
    candidates = [
        {"kind": kind, "taps": taps, "view": view, "penalty": 0.1, "accuracy": 0.9 - k / 50, "correct": 900 - 20 * k,
         "total": 1000, "log_loss": 0.31 + k / 40, "chosen": k == 0, "note": "" if k else "warm-started path"}
        for k, (kind, taps, view) in enumerate(
            [("logistic", ["head"], "plain"), ("ridge", ["head"], "plain"), ("ridge", ["head"], "flip"),
             ("ridge", ["stage5", "head"], "plain"), ("ridge", ["stage5"], "plain")])
    ]  # fmt: skip
    low, high = wilson(correct, total)
    return {
        "format": 1, "foveal": "0.1.0", "name": "photos", "created": "2026-11-21T02:38:58Z",
        "command": "foveal train photos", "out": "runs/photos",
        "data": {"root": "photos", "kind": "folders", "classes": list(classes), "photos": 1000,
                 "counts": {label: {"train": 85, "test": per_class} for label in classes}},
        "preflight": {"findings": [
            {"kind": "imbalance", "severity": "note", "title": "The classes differ in size by 3 to 1",
             "advice": "Nothing to do: rare classes count more in training.", "rows": []},
            {"kind": "unreadable", "severity": "error", "title": "3 files cannot be read and were set aside",
             "advice": "Open them; save them again or remove them.",
             "rows": [{"paths": [p], "text": "truncated JPEG"} for p in photos[:3]]},
            {"kind": "near", "severity": "warning", "title": "12 groups of photos are nearly the same",
             "advice": "They stay on one side of the split.",
             "rows": [{"paths": photos[k : k + 2], "text": "resized copy"} for k in range(0, 24, 2)]},
        ]},
        "split": {"how": "Stratified by class, groups kept together, 20 % for the test.", "seed": 0, "group_by": None,
                  "groups": 200, "notes": ["“fig” has few groups."],
                  "train": [{"path": p, "label": classes[0], "sha256": "00"} for p in photos],
                  "test": [{"path": p, "label": classes[0], "sha256": "11"} for p in photos[:9]]},
        "features": {"backbone": "efficientnet_lite0", "weights": "imagenet", "weights_sha256": "57934424" * 8,
                     "source": "ML Illustrated (2020)", "licence": "Apache-2.0",
                     "engine": "openvino 2026.4.1", "precision": "bf16",
                     "precision_check": {"photos": 32, "flips": 1, "largest_change": 0.0134567}, "from_cache": 10,
                     "computed": 990, "images_per_second": 150.21234, "input": [3, 224, 224]},
        "head": {"kind": "logistic", "taps": ["head"], "view": "plain", "penalty": 0.1, "temperature": 1.2345678,
                 "why": sentence, "candidates": candidates, "notes": ["Class weights were used."],
                 "validation": {"how": "5-fold by group", "accuracy": 0.9, "correct": 900, "total": 1000,
                                "interval": [0.88, 0.917], "log_loss": 0.31}},
        "rejection": {"threshold": 0.4321987, "known_rejected": {"rate": 0.05, "count": 50, "total": 1000},
                      "unknown_accepted": {"rate": 0.221, "count": 221, "total": 1000},
                      "how": "Each class left out in turn.",
                      "per_class": [{"label": label, "rate": 0.2, "count": 25, "total": 125} for label in classes]},
        "test": {"accuracy": correct / total, "correct": correct, "total": total, "interval": [low, high],
                 "log_loss": 0.3512345, "calibration_error": 0.034, "unknown": {"count": 12, "total": total},
                 "reliability": [{"low": k / 10, "high": (k + 1) / 10, "confidence": k / 10 + 0.06,
                                  "accuracy": k / 10 + 0.02, "count": 32} for k in range(4, 10)],
                 "per_class": rows, "confusion": confusion},
        "doubts": {"total": 14, "rows": [
            {"path": p, "label": classes[0], "suggested": classes[1], "probability": 0.93, "label_probability": 0.02}
            for p in photos[:14]]},
        "learning_curve": {"verdict": "More photos would probably help. Twice as many should gain 1 to 3 points.",
                           "points": [{"photos": 85 * 2**k, "accuracy": 0.7 + 0.05 * k, "low": 0.66 + 0.055 * k,
                                       "high": 0.74 + 0.045 * k} for k in range(4)]},
        "mistakes": guesses, "least_sure": [{**g, "predicted": g["label"], "probability": 0.3} for g in guesses[:6]],
        "seconds": {"scan": 0.1, "features": 7.0, "heads": 1.0, "test": 0.1, "report": 0.4, "total": 9.1},
        "versions": {"python": "3.11.7", "numpy": "2.4.6"}, "seed": 0, "threads": 2, "precision": "bf16",
    }  # fmt: skip


def hostile() -> dict[str, Any]:
    """The example with hostile classes, and hostile text in every string a stranger could choose."""
    result = example(HOSTILE)
    evil = HOSTILE[0] + "x" * 4000
    result.update(name=evil, command=f"foveal train {HOSTILE[5]}", out=f"runs/{HOSTILE[3]} {HOSTILE[5]}")
    result["data"]["root"] = HOSTILE[1] + HOSTILE[2]
    result["split"].update(how=evil, notes=[HOSTILE[5]])
    result["preflight"]["findings"][1].update(title=HOSTILE[5], advice=HOSTILE[1] + HOSTILE[0])
    result["head"].update(why=HOSTILE[5], notes=[HOSTILE[0]])
    result["rejection"]["how"] = HOSTILE[4] + HOSTILE[5]
    result["learning_curve"]["verdict"] = f"{HOSTILE[0]} {HOSTILE[2]}. {HOSTILE[5]}"
    return result


def empty(classes: tuple[str, ...] = ("cat", "dog")) -> dict[str, Any]:
    """Nothing to say: no test photo, no mistake, no doubt, no curve, no threshold."""
    result = example(classes)
    nothing = [{"label": label, "precision": None, "recall": None, "f1": None, "support": 0} for label in classes]
    result["test"].update(accuracy=None, correct=0, total=0, interval=[0.0, 1.0], log_loss=None, calibration_error=None,
                          unknown={"count": 0, "total": 0}, reliability=[], per_class=nothing,
                          confusion=[[0] * len(classes) for _ in classes])  # fmt: skip
    result["data"]["counts"] = {label: {"train": 2, "test": 0} for label in classes}
    result["rejection"].update(threshold=None, known_rejected=None, unknown_accepted=None, per_class=[])
    result["preflight"]["findings"] = []
    result["head"].update(candidates=[], notes=[])
    result["doubts"] = {"total": 0, "rows": []}
    result.update(mistakes=[], least_sure=[], learning_curve=None)
    result["features"]["precision_check"] = None
    return result
