"""The public verbs: train, load, evaluate, check."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from foveal import machine
from foveal.account import Account
from foveal.backbones import choose_precision, engine_class, make_extractor
from foveal.bundle import MAIN, load_bundle
from foveal.classifier import Classifier
from foveal.data.dataset import Dataset, Item
from foveal.data.groups import group_photos
from foveal.data.hashing import find_duplicates
from foveal.data.parts import Parts, divide
from foveal.data.preflight import Finding, preflight, require_trainable
from foveal.data.scan import scan
from foveal.data.split import allocate
from foveal.errors import BundleError, DataError, UnknownName, UsageError
from foveal.evaluation import measure
from foveal.features import Extraction, Extractor
from foveal.files import locked, write_atomic
from foveal.heads.calibration import softmax
from foveal.heads.results import Head, Selection
from foveal.heads.selection import select_head
from foveal.published import PRETRAINED, find_pretrained
from foveal.report.card import model_card
from foveal.report.pictures import Gallery, collect
from foveal.report.render import render_report
from foveal.runlog import Observer, Run, RunLog, results_folder
from foveal.text import plural, printable
from foveal.zoo import LISTED, MODELS

BACKBONE = "efficientnet_lite0"
CHECKED = 32  # photos recomputed in float32
WARM_UP, TIMED = 16, 48  # photos of the sample that tells how long a run will take
OVERHEAD, HEADS_EACH = 2.0, 1e-3  # seconds: of a run whatever its size, and of its heads for each photo
FEWEST = 4  # photos that a budget leaves of each class


def train(
    data: str | Path,
    out: str | Path | None = None,
    *,
    test: float = 0.2,
    group_by: str | None = None,
    seed: int = 0,
    backbone: str = BACKBONE,
    weights: str | Path | None = None,
    precision: str = "auto",
    budget: float | None = None,
    cache: bool = True,
    threads: int | None = None,
    command: str | None = None,
    observer: Observer | None = None,
) -> Run:
    """Train a classifier on labelled photos and account for it.

    Parameters
    ----------
    data : a folder per class, such folders under ``train/`` and ``test/``, or a manifest (.csv, .tsv, .jsonl).
    out : where the results go; ``runs/NAME`` of the data by default.
    test : share of the photos that are sealed until the end; ignored where the data brings its own test part.
    group_by : what keeps photos of one object together (`foveal.data.groups.group_photos`).
    backbone : a network of the zoo with published weights, or any that takes square colour pictures with `weights`.
    weights : a .pth or .safetensors file of the backbone's weights; the published ones by default.
    budget : seconds that the run may take; training photos are left out evenly where it would take longer.
    observer : called with each event (`foveal.runlog`).

    Raises
    ------
    DataError : the photos cannot be used; the message lists every reason.
    OutputError : `out` cannot be written, or another run is writing it.
    UsageError, UnknownName : an option that makes no sense.
    WeightsError : the backbone's weights cannot be had, or do not fit.
    """
    _check_options(test, budget, threads, backbone, weights, precision)
    dataset = scan(Path(data), group_by)
    folder = results_folder(Path(data), out)
    with locked(folder), RunLog(folder / "log.jsonl", observer) as log:
        log("scan", photos=len(dataset.items), classes=len(dataset.classes), kind=dataset.kind)
        with log.stage("start"):
            extractor = make_extractor(
                backbone, precision, cache=cache, threads=threads, weights=weights, progress=log.fetched
            )
            estimate = _estimate(dataset.items, extractor)
            log("estimate", run=round(estimate.seconds, 1))
            items = _affordable(dataset.items, estimate.seconds, budget, seed, log)
        with log.stage("features"):
            extraction = extractor(items, progress=log.progress)
            if extractor.store.note:
                log("note", text=extractor.store.note)
        with log.stage("preflight"):
            photos = extraction.photos
            duplicates = find_duplicates(photos)
            grouping = group_photos(photos, dataset.root, group_by, duplicates)
            findings = preflight(
                dataset, photos, extraction.refused, duplicates=duplicates, grouped=grouping.by is not None
            )
            for finding in findings:
                log("finding", kind=finding.kind, severity=finding.severity, title=finding.title)
            require_trainable(findings)
            parts = divide(photos, grouping, test=test, seed=seed)
        with log.stage("heads"):
            selection = _select(extractor, extraction, parts, seed, log)
        with log.stage("test"):
            logits = selection.head.logits(parts.of(extraction.features, parts.test))
            precision_check = _check_precision(extractor, extraction, selection.head)
        account = Account(
            dataset, extractor, extraction, estimate.computed, findings, grouping, parts, selection, logits,
            precision_check, folder, command or f"foveal train {printable(data)}", group_by, seed,
        )  # fmt: skip
        with log.stage("report"):
            gallery = _pictures(account)
        with log.stage("write"):
            result = account.to_json(log.seconds, log.total)
            page = render_report(result, gallery.thumbnails, gallery.maps)
            account.bundle(result).save(folder / "bundle", model_card(result))
            write_atomic(folder / "result.json", json.dumps(result, indent=1))
            write_atomic(folder / "report.html", page)
        log("done", accuracy=result["test"]["accuracy"], report=str(folder / "report.html"))
    return Run(folder, result)


def load(bundle: str | Path, *, precision: str | None = None, threads: int | None = None) -> Classifier:
    """A trained classifier, ready to predict.

    Parameters
    ----------
    bundle : the folder ``bundle`` of a run, or the run's own folder.
    precision : ``"f32"`` or ``"bf16"``; the one it was trained in (or f32 on a CPU without bfloat16) by default.

    Raises
    ------
    BundleError : no bundle, or a damaged, edited, newer or malicious one. Nothing in it is executed.
    """
    folder = Path(bundle)
    inner = folder / "bundle"
    try:
        found = load_bundle(inner if inner.is_dir() and not (folder / MAIN).exists() else folder)
    except OSError as error:
        raise BundleError(
            f"{printable(folder)}: no bundle can be read here ({error.strerror}); check the path"
        ) from error
    if precision is None:
        precision = "auto" if found.precision == "bf16" else "f32"
    threads = threads or machine.cpu_threads()
    engine = engine_class()(found.graph, found.weights, precision=choose_precision(precision), threads=threads)
    return Classifier(found, engine, threads)


def evaluate(bundle: str | Path, data: str | Path, *, precision: str | None = None) -> dict[str, Any]:
    """Measure a bundle on labelled photos that it has not seen.

    Where `data` has a test part, only that is used. Photos of classes that the bundle does not know are counted
    apart, as a test of "none of these".

    Returns
    -------
    dict
        The keys of ``result.json``'s ``test``, and ``classes``, ``mistakes``, ``refused``, ``other_classes``,
        ``seen_in_training`` (how many photos were trained on, which flatters).

    Raises
    ------
    BundleError, DataError : a bundle or photos that cannot be used.
    """
    return measure(load(bundle, precision=precision), scan(Path(data)))


@dataclass(frozen=True)
class Check:
    """What `check` found.

    Attributes
    ----------
    dataset : what the scan found.
    photos : how many could be read.
    findings : errors first.
    seconds : about how long training would take on this machine now, or None where nothing can be trained.
    """

    dataset: Dataset
    photos: int
    findings: list[Finding]
    seconds: float | None

    def to_json(self) -> dict[str, Any]:
        return {
            "root": str(self.dataset.root),
            "kind": self.dataset.kind,
            "classes": list(self.dataset.classes),
            "photos": self.photos,
            "findings": [finding.to_json() for finding in self.findings],
            "seconds": self.seconds,
        }


def check(
    data: str | Path, *, group_by: str | None = None, cache: bool = True, observer: Observer | None = None
) -> Check:
    """Look labelled photos over without training: what `train` would say of them before it begins.

    Raises
    ------
    DataError : there are no labelled photos at all.
    """
    dataset = scan(Path(data), group_by)
    extractor = make_extractor(BACKBONE, "auto", cache=cache)
    seconds = _estimate(dataset.items, extractor).seconds

    def progress(done: int, total: int, cached: int) -> None:
        if observer:
            observer("progress", {"done": done, "total": total, "cached": cached})

    extraction = extractor.look(dataset.items, progress=progress)
    duplicates = find_duplicates(extraction.photos)
    grouping = group_photos(extraction.photos, dataset.root, group_by, duplicates)
    findings = preflight(
        dataset, extraction.photos, extraction.refused, duplicates=duplicates, grouped=grouping.by is not None
    )
    trainable = all(finding.severity != "error" for finding in findings)
    return Check(dataset, len(extraction.photos), findings, seconds if trainable else None)


def _check_options(
    test: float,
    budget: float | None,
    threads: int | None,
    backbone: str,
    weights: str | Path | None,
    precision: str,
) -> None:
    if not 0 < test < 1:
        raise UsageError(f"--test {test}: expected a share between 0 and 1, such as 0.2")
    if budget is not None and not budget > 0:
        raise UsageError(f"--budget {budget}: expected seconds above 0")
    if threads is not None and threads < 1:
        raise UsageError(f"--threads {threads}: expected at least 1")
    if backbone not in MODELS:
        known = MODELS if weights else (model for model, _ in PRETRAINED)
        raise UnknownName("backbone", backbone, known, LISTED)
    if weights is None:
        find_pretrained(backbone)
    if precision != "auto":
        choose_precision(precision)


@dataclass(frozen=True)
class _Estimate:
    """Seconds that a run will take, and how many photos were computed to tell."""

    seconds: float
    computed: int


def _estimate(items: Sequence[Item], extractor: Extractor) -> _Estimate:
    """How long a run on `items` will take, from a timed sample of them (whose features are kept)."""
    passes = [extractor(_sample(items, WARM_UP)), extractor(_sample(items, TIMED))]
    if passes[0].cached == len(passes[0].photos):  # the network was compiled while the clock ran, if at all
        passes.append(extractor(_sample(items, TIMED)))
    each = passes[-1].seconds / max(1, min(len(items), TIMED))
    computed = sum(len(one.photos) - one.cached for one in passes)
    return _Estimate((each + HEADS_EACH) * len(items) + OVERHEAD, computed)


def _sample(items: Sequence[Item], count: int) -> list[Item]:
    """`count` random items. Drawn anew each time: those of an earlier, killed run are in the cache and tell nothing."""
    rows = np.random.default_rng().choice(len(items), min(count, len(items)), replace=False)
    return [items[i] for i in np.sort(rows)]


def _affordable(items: Sequence[Item], seconds: float, budget: float | None, seed: int, log: RunLog) -> Sequence[Item]:
    """All items, or as many as `budget` seconds allow: all that are held out, of the others each class alike."""
    kept = np.array([item.split in ("val", "test") for item in items])
    rest = [item for item in items if item.split not in ("val", "test")]
    if budget is None or seconds <= budget or not rest:
        return items
    affordable = len(items) * (budget - OVERHEAD) / (seconds - OVERHEAD) - kept.sum()
    share = max(affordable / len(rest), 1e-9)
    labels = np.unique([item.label for item in rest], return_inverse=True)[1]
    chosen = allocate(labels, np.arange(len(rest)), (share, 1 - share), seed) == 0
    for label in range(labels.max() + 1):
        mine = np.flatnonzero(labels == label)
        chosen[mine[~chosen[mine]][: max(0, FEWEST - chosen[mine].sum())]] = True
    kept[~kept] = chosen
    few = "" if affordable > 0 else "; fewer would not do, so it takes longer"
    log("note", text=f"the budget of {budget:g} s leaves {int(kept.sum()):,} of {plural(len(items), 'photo')}{few}")
    return [item for item, keep in zip(items, kept, strict=True) if keep]


def _select(extractor: Extractor, extraction: Extraction, parts: Parts, seed: int, log: RunLog) -> Selection:
    """Choose and fit the head on the training part; the mirrored photos are computed only if they are asked for."""
    train = parts.train

    def mirrored(rows: np.ndarray) -> dict[str, np.ndarray]:
        begin = time.perf_counter()
        again = extractor([extraction.photos[i].item for i in train[rows]], mirrored=True)
        if len(again.photos) < len(rows):
            raise DataError(f"{plural(len(again.refused), 'photo')} changed or vanished during the run; run again")
        log.moved("heads", "mirrored", time.perf_counter() - begin)
        return again.features

    return select_head(
        parts.of(extraction.features, train),
        parts.labels[train],
        parts.groups[train],
        len(parts.classes),
        parts.folds.fold,
        candidates=_candidates(tuple(extractor.backbone.levels)),
        flip=mirrored,
        seed=seed,
    )


def _candidates(levels: tuple[str, ...]) -> list[tuple[str, ...]]:
    """Sets of levels that compete, simplest first: the coarsest, it and the next, ..., and two without the coarsest."""
    coarsest = [levels[-count:] for count in range(1, len(levels) + 1)]
    return coarsest + ([levels[-3:-1]] if len(levels) > 2 else [])


def _check_precision(extractor: Extractor, extraction: Extraction, head: Head) -> dict[str, Any] | None:
    """How far the answers move on a few photos when everything is computed in float32; None where it is."""
    if extractor.precision == "f32":
        return None
    by_content = sorted(range(len(extraction.photos)), key=lambda i: extraction.photos[i].sha256)
    rows = np.sort(by_content[:CHECKED])  # mostly the same photos, and so cached, when a few are added
    exact = extractor.at("f32")([extraction.photos[i].item for i in rows])
    if len(exact.photos) < len(rows):
        raise DataError(f"{plural(len(exact.refused), 'photo')} changed or vanished during the run; run again")
    quick = {level: x[rows] for level, x in extraction.features.items()}
    p, q = (softmax(head.logits(x), head.temperature) for x in (quick, exact.features))
    return {
        "photos": len(rows),
        "flips": int((p.argmax(axis=1) != q.argmax(axis=1)).sum()),
        "largest_change": float(np.abs(p - q).max()),
    }


def _pictures(account: Account) -> Gallery:
    """Thumbnails of every photo the report shows, and class activation maps of the mistakes and least sure ones."""
    extractor, head = account.extractor, account.selection.head
    backbone = extractor.backbone
    maps = backbone.graph.up_to(*(backbone.levels[level] for level in head.taps))
    weights = {key: backbone.weights[key] for key in (*maps.parameters(), *maps.buffers())}
    paths, explained = account.shown()
    engine = extractor.make_engine(maps, weights, precision=extractor.precision, threads=extractor.threads)
    return collect(paths, explained, head.weight, engine, backbone.preprocessing, extractor.threads)
