"""Choosing the head, on the training photos alone and by group.

1. Ridge with exact leave-group-out chooses the features and a penalty.
2. The view race: do mirrored copies help, on a sample of the photos?
3. Logistic regression along a path of penalties, and ridge, by fold; one of them is fitted to all photos.

The log loss after temperature decides. A difference within one standard error (paired by photo, photos of a group
counted as dependent) is noise: within it the plain view and ridge win, as the simpler ones, and among penalties the
most accurate. Sets of features all come from one pass of the network, so simpler ones save nothing there, and the least
loss wins outright (on the photographs we measured, preferring fewer features within noise cost half a point).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray

from foveal.errors import FovealError
from foveal.heads import logistic, ridge
from foveal.heads.basis import Basis, basis
from foveal.heads.calibration import fit_temperature, softmax
from foveal.heads.diagnosis import doubtful_labels, learning_curve
from foveal.heads.rejection import Rejection, choose_threshold, class_blocks, novelty_score
from foveal.heads.results import Candidate, Head, Selection, Validation, all_finite
from foveal.heads.sampling import beginning, blocks, judged, mean_and_error, stratified_order
from foveal.metrics import calibration_error, log_losses, reliability, wilson
from foveal.text import plural, printable

Array = NDArray[Any]
Features = Mapping[str, Array]

RIDGE_PENALTIES = (0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0)
LOGISTIC_PENALTIES = (3.0, 1.0, 0.3, 0.1, 0.03, 0.01)  # a path: each fit starts at the one before
IMBALANCE = 2.0  # classes this many times apart in size get weights
RACE_ROWS = 600  # features are chosen on at most so many photos
WORTH = 2.0  # standard errors that mirrored copies must gain, since they double the inference
VIEW_ROWS = 128  # and the view on at most so many, because each costs an inference
ONE_THREAD_ROWS = (
    3000  # the many small products of fewer rows lose more to waiting threads on a busy machine than they win
)
_TOLERANCE = 3e-3  # of the logistic fits that are only compared; the last one is finer


def select_head(
    features: Features,
    target: Array,
    groups: Array,
    classes: int,
    folds: Array,
    *,
    candidates: Sequence[tuple[str, ...]],
    flip: Callable[[Array], Features] | None = None,
    seed: int = 0,
) -> Selection:
    """Choose, fit, calibrate and diagnose a head.

    Parameters
    ----------
    features : ``{tap: (n, d) float}``, rows in one order.
    target : (n,) class indices below `classes`.
    groups : (n,) any values; rows with equal values are never on both sides of a comparison.
    classes : the number of classes; a class may have no row.
    folds : (n,) any values; no group may be in two folds.
    candidates : sets of taps to try, e.g. ``[("head",), ("stage7", "head")]``. With a tie the earlier wins.
    flip : gives the features of the mirrored photos of some rows; None: mirrored copies are not tried.
    seed : of the samples; equal input and seed give an equal result.

    Raises
    ------
    FovealError : shapes that do not fit, a NaN or infinity (its row is named), fewer than two classes with photos.
    """
    _check(features, target, groups, classes, folds, candidates)
    threadpool_limits = import_module("threadpoolctl").threadpool_limits  # without types; scikit-learn brings it

    threads = 1 if len(target) <= ONE_THREAD_ROWS else None
    with threadpool_limits(threads, user_api="blas"):
        return _Choice(features, target, np.asarray(groups), classes, np.asarray(folds), seed).run(candidates, flip)


def _check(
    features: Features, target: Array, groups: Array, classes: int, folds: Array, candidates: Sequence[tuple[str, ...]]
) -> None:
    n = len(target)
    used = {tap for taps in candidates for tap in taps}
    if not candidates or not all(candidates) or used - set(features):
        raise FovealError(f"candidates are sets of taps among {sorted(features)}, received {list(candidates)}")
    lengths = {"groups": len(groups), "folds": len(folds)} | {tap: len(features[tap]) for tap in sorted(used)}
    wrong = [f"{name} has {size}" for name, size in lengths.items() if size != n]
    if wrong:
        raise FovealError(f"the target has {plural(n, 'row')}, but {', '.join(wrong)}")
    if len(np.unique(target)) < 2:
        raise FovealError("a head needs photos of two classes at least; add a second class")
    if target.min() < 0 or target.max() >= classes:
        raise FovealError(
            f"target: class indices from 0 to {classes - 1} expected, received {target.min()} to {target.max()}"
        )
    for part in blocks(groups):
        if len(np.unique(folds[part])) > 1:
            name = printable(str(groups[part[0]]))
            raise FovealError(f"group {name!r} is in more than one fold; keep the rows of a group together")
    all_finite({tap: features[tap] for tap in sorted(used)})


@dataclass(frozen=True, eq=False)
class _Trial:
    """One set of out-of-sample scores, judged. `scores` and `losses` are of the rows that can be judged."""

    candidate: Candidate
    scores: Array
    losses: Array


@dataclass
class _Choice:
    """The state that the steps share; `select_head` documents the fields."""

    features: Features
    target: Array
    groups: Array
    classes: int
    folds: Array
    seed: int
    notes: list[str] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)
    tried: list[Candidate] = field(default_factory=list)

    def run(self, candidates: Sequence[tuple[str, ...]], flip: Callable[[Array], Features] | None) -> Selection:
        self.valid = judged(self.target, self.folds)
        self.weights = self._class_weights()
        self._note_limits()
        with self._timed("features"):
            taps, rows = self._choose_taps(candidates)
        with self._timed("view"):
            mirrored = self._choose_view(taps, flip)
        with self._timed("basis"):
            self.base = rows if rows is not None and mirrored is None else self._basis(taps, mirrored=mirrored)
            self.copies = 1 if mirrored is None else 2
            self.rows = self.base.rows[: len(self.target)]
        view = "plain" if mirrored is None else "flip"
        with self._timed("ridge"):
            by_ridge = self._ridge_by_fold(taps, view)
        with self._timed("logistic"):
            path, fold_fits = self._logistic_path(taps, view)
        best = self._settle(by_ridge, path)
        scores = np.full((len(self.target), self.classes), np.nan)
        scores[self.valid] = best.scores
        temperature = fit_temperature(best.scores, self.target[self.valid])
        with self._timed("fit"):
            start = self._mean_fit(fold_fits[path.index(best)]) if best in path else None
            head, rejection = self._fit(best.candidate, temperature, scores, start)
        probabilities = softmax(scores, temperature)
        with self._timed("diagnosis"):
            doubts = doubtful_labels(probabilities, self.target)
            v = slice(None) if self.valid.all() else self.valid  # no copy of the rows where none is left out
            curve = learning_curve(
                self.rows[v], self.base.weights[v], self.target[v], self.groups[v], self.folds[v], self.classes,
                by_ridge.candidate.penalty, seed=self.seed,
            )  # fmt: skip
        why, validation = self._why(best.candidate), self._validation(best, temperature)
        return Selection(
            head, tuple(self.tried), why, scores, probabilities, validation,
            rejection, doubts, curve, tuple(self.notes), self.seconds,
        )  # fmt: skip

    # --- step 1: features

    def _choose_taps(self, candidates: Sequence[tuple[str, ...]]) -> tuple[tuple[str, ...], Basis | None]:
        n = len(self.target)
        part = np.arange(n)
        if n > RACE_ROWS:
            part = np.sort(beginning(*self._order(), RACE_ROWS))
        note = f"each group left out, {plural(len(part), 'photo')}"
        bases = [self._basis(taps, part) for taps in candidates]
        trials = [self._judge_ridge(b, part, taps, "plain", note) for b, taps in zip(bases, candidates, strict=True)]
        chosen = min(range(len(trials)), key=lambda i: (trials[i].candidate.log_loss, bases[i].mean.size))
        self.tried += [replace(t.candidate, chosen=i == chosen) for i, t in enumerate(trials)]
        return candidates[chosen], bases[chosen] if len(part) == n else None

    def _judge_ridge(self, base: Basis, part: Array, taps: tuple[str, ...], view: str, note: str) -> _Trial:
        """Ridge on the photos `part` at its best penalty, each group left out in turn; mirrored rows come last."""
        copies = len(base.rows) // len(part)
        groups = np.tile(self.groups[part], copies)
        valid = self._lone(part)
        targets = ridge.one_hot(np.tile(self.target[part], copies), self.classes)
        held = [b for b in blocks(groups) if len(b) < len(groups)]
        scores = ridge.leave_out(base, targets, RIDGE_PENALTIES, held)[:, : len(part)][:, valid]
        rows = part[valid]
        return self._best_ridge(taps, view, scores, rows, note)

    def _lone(self, part: Array) -> Array:
        return judged(self.target[part], self.groups[part])

    # --- step 2: view

    def _choose_view(self, taps: tuple[str, ...], flip: Callable[[Array], Features] | None) -> Features | None:
        """Features of all mirrored photos if they are worth it, else None."""
        n = len(self.target)
        if flip is None:
            return None
        part = np.arange(n)
        if n > VIEW_ROWS:  # photos of as many groups as there are: a few whole groups would be too few to leave out
            spread = stratified_order(self.target, part, np.random.default_rng(self.seed))
            part = np.sort(beginning(*spread, VIEW_ROWS)[:VIEW_ROWS])
        if not self._lone(part).any():
            return None
        note = f"view race, each group left out, {plural(len(part), 'photo')}"
        first = flip(part)
        all_finite({tap: first[tap] for tap in taps})
        plain = self._judge_ridge(self._basis(taps, part), part, taps, "plain", note)
        both = self._judge_ridge(self._basis(taps, part, first), part, taps, "flip", note)
        gain, error = mean_and_error(plain.losses - both.losses, self.groups[part][self._lone(part)])
        better = gain > WORTH * error
        self.tried += [replace(plain.candidate, chosen=not better), replace(both.candidate, chosen=better)]
        if not better:
            return None
        rest = np.setdiff1d(np.arange(n), part)
        mirrored = {tap: np.empty((n, first[tap].shape[1]), first[tap].dtype) for tap in taps}
        second = flip(rest) if len(rest) else {}
        for tap in taps:
            mirrored[tap][part] = first[tap]
            if len(rest):
                mirrored[tap][rest] = second[tap]
        all_finite(mirrored)
        return mirrored

    # --- step 3: the kind of head

    def _ridge_by_fold(self, taps: tuple[str, ...], view: str) -> _Trial:
        copied = np.tile(self.folds, self.copies)
        targets = ridge.one_hot(np.tile(self.target, self.copies), self.classes)
        rows = np.flatnonzero(self.valid)
        held = [b for b in blocks(copied) if len(b) < len(copied)]
        scores = ridge.leave_out(self.base, targets, RIDGE_PENALTIES, held)[:, rows]
        note = plural(len(held), "fold")
        return self._best_ridge(taps, view, scores, rows, note)

    def _logistic_path(self, taps: tuple[str, ...], view: str) -> tuple[list[_Trial], list[logistic.Fit]]:
        """Fits of all folds from strong to weak penalty, until the log loss has risen twice in a row."""
        names, fold = np.unique(self.folds, return_inverse=True)
        rows = np.flatnonzero(self.valid)
        if not len(rows):
            return [], []
        tasks = logistic.Tasks(
            np.tile(fold, self.copies) != np.arange(len(names))[:, None], np.ones((len(names), self.classes), bool)
        )
        target = np.tile(self.target, self.copies)
        note = plural(len(names), "fold")
        fit = logistic.zero(self.base, tasks)
        path: list[_Trial] = []
        fits: list[logistic.Fit] = []
        for penalty in LOGISTIC_PENALTIES:
            fit = logistic.fit(self.base, target, tasks, penalty, fit, tolerance=_TOLERANCE)
            scores = fit.logits(self.rows)[:, fold, np.arange(len(fold))].T[rows]
            path.append(self._trial("logistic", taps, view, penalty, scores, rows, note))
            fits.append(fit)
            losses = [t.candidate.log_loss for t in path[-3:]]
            if len(losses) == 3 and losses[0] < losses[1] < losses[2]:
                break
        return path, fits

    def _settle(self, by_ridge: _Trial, path: list[_Trial]) -> _Trial:
        rows = np.flatnonzero(self.valid)
        best = by_ridge
        if path:
            rival = self._best(path, rows)
            if not _within_noise(by_ridge, rival, self.groups[rows]):
                best = rival
        for trial in [by_ridge, *path]:
            self.tried.append(replace(trial.candidate, chosen=trial is best))
        return best

    # --- the last fit

    def _fit(
        self, winner: Candidate, temperature: float, oof: Array, start: logistic.Fit | None
    ) -> tuple[Head, Rejection]:
        """The head on all rows, and its threshold from heads that never saw some classes."""
        left = class_blocks(np.unique(self.target), self.seed)
        target = np.tile(self.target, self.copies)
        if start is None:
            targets = ridge.one_hot(target, self.classes)
            coefficients, intercept = ridge.fit(self.base, targets, winner.penalty)
            away = [np.flatnonzero(np.isin(target, block)) for block in left]
            unseen = ridge.leave_out(self.base, targets, [winner.penalty], away)[0][: len(self.target)]
        else:
            whole = logistic.Tasks(np.ones((1, len(target)), bool), np.ones((1, self.classes), bool))
            fit = logistic.fit(self.base, target, whole, winner.penalty, start, tolerance=_TOLERANCE / 3)
            coefficients, intercept = fit.coefficients[:, 0].T, fit.intercepts[:, 0]
            unseen = self._unseen_by_logistic(left, winner.penalty, fit)
        known = novelty_score(oof[self.valid], temperature)
        for block in left:
            strange = np.isin(self.target, block)
            unseen[np.ix_(strange, block)] = -np.inf
        rejection = choose_threshold(
            known, novelty_score(unseen, temperature) if left else known[:0], self.target, len(left)
        )
        weight, bias = self.base.to_features(coefficients, intercept)
        head = Head(
            winner.kind, winner.taps, winner.view, winner.penalty, weight, bias, temperature, rejection.threshold
        )
        return head, rejection

    def _unseen_by_logistic(self, left: list[Array], penalty: float, start: logistic.Fit) -> Array:
        """(n, classes) scores of each photo from the fit that had none of its class."""
        unseen = np.zeros((len(self.target), self.classes), np.float64)
        if not left:
            return unseen
        gone = np.array([np.isin(np.arange(self.classes), block) for block in left])
        target = np.tile(self.target, self.copies)
        tasks = logistic.Tasks(~gone[:, target], ~gone)
        blank = logistic.zero(self.base, tasks)
        keep = tasks.classes.T[:, :, None]
        warm = logistic.Fit(
            np.where(keep, start.coefficients, 0).astype(self.rows.dtype),
            np.where(keep[:, :, 0], start.intercepts, blank.intercepts).astype(self.rows.dtype),
        )
        fit = logistic.fit(self.base, target, tasks, penalty, warm, tolerance=_TOLERANCE)
        for task, block in enumerate(left):
            strange = np.isin(self.target, block)
            one = logistic.Fit(fit.coefficients[:, task : task + 1], fit.intercepts[:, task : task + 1])
            unseen[strange] = one.logits(self.rows[strange])[:, 0].T
        return unseen

    def _mean_fit(self, fit: logistic.Fit) -> logistic.Fit:
        return logistic.Fit(fit.coefficients.mean(axis=1, keepdims=True), fit.intercepts.mean(axis=1, keepdims=True))

    # --- shared

    def _basis(self, taps: tuple[str, ...], part: Array | None = None, mirrored: Features | None = None) -> Basis:
        arrays = [self.features[tap] if part is None else self.features[tap][part] for tap in taps]
        weights = self.weights if part is None else self.weights[part]
        if mirrored is not None:
            arrays = [np.concatenate([x, mirrored[tap]]) for x, tap in zip(arrays, taps, strict=True)]
            weights = np.tile(weights, 2)
        return basis(arrays, weights)

    def _trial(
        self, kind: str, taps: tuple[str, ...], view: str, penalty: float, scores: Array, rows: Array, note: str
    ) -> _Trial:
        target = self.target[rows]
        losses = log_losses(softmax(scores, fit_temperature(scores, target)), target)
        correct, total = int((scores.argmax(axis=1) == target).sum()), len(rows)
        share, loss = (correct / total, float(losses.mean())) if total else (0.0, 0.0)
        return _Trial(Candidate(kind, taps, view, penalty, share, correct, total, loss, False, note), scores, losses)

    def _best(self, trials: list[_Trial], rows: Array) -> _Trial:
        """Of several penalties: the most accurate whose log loss is within noise of the least; then the least loss."""
        if not len(rows):
            return next((t for t in trials if t.candidate.penalty == 1.0), trials[0])
        least = min(trials, key=lambda t: t.candidate.log_loss)
        equal = [t for t in trials if _within_noise(t, least, self.groups[rows])]
        return max(equal, key=lambda t: (t.candidate.correct, -t.candidate.log_loss))

    def _best_ridge(self, taps: tuple[str, ...], view: str, scores: Array, rows: Array, note: str) -> _Trial:
        pairs = zip(RIDGE_PENALTIES, scores, strict=True)
        return self._best([self._trial("ridge", taps, view, penalty, s, rows, note) for penalty, s in pairs], rows)

    def _order(self) -> tuple[Array, Array]:
        return stratified_order(self.target, self.groups, np.random.default_rng(self.seed))

    def _class_weights(self) -> Array:
        """Square roots of balanced weights where sizes differ much: full ones trade too much of the large classes."""
        counts = np.bincount(self.target, minlength=self.classes)
        present = counts[counts > 0]
        if present.max() <= IMBALANCE * present.min():
            return np.ones(len(self.target))
        self.notes.append(
            f"Class sizes differ ({present.min():,} to {present.max():,} photos), so photos are weighted by "
            "1/sqrt(size of their class)."
        )
        return np.asarray(np.sqrt(len(self.target) / (len(present) * counts[self.target])))

    def _note_limits(self) -> None:
        missing = len(self.target) - int(self.valid.sum())
        if missing:
            alone = len(np.unique(self.target[~self.valid]))
            self.notes.append(
                f"{plural(missing, 'photo')} of {plural(alone, 'class', 'classes')} could not be judged out of fold: "
                "no other photo of the class is outside their fold. Add photos of other objects to these classes."
            )
        if not self.valid.any():
            self.notes.append("No photo could be judged out of fold, so nothing was compared, calibrated or rejected.")

    def _validation(self, best: _Trial, temperature: float) -> Validation | None:
        c = best.candidate
        if not c.total:
            return None
        bins = reliability(softmax(best.scores, temperature), self.target[self.valid])
        interval = wilson(c.correct, c.total)
        folds = len(np.unique(self.folds))
        return Validation(folds, c.correct, c.total, c.accuracy, interval, c.log_loss, calibration_error(bins))

    def _why(self, winner: Candidate) -> str:
        features = " + ".join(winner.taps)
        if not winner.total:
            return f"Ridge on {features} at a usual penalty: there are too few photos to compare anything."
        rivals = [t for t in self.tried if t.kind != winner.kind and t.note == winner.note]
        other = min(rivals, key=lambda t: t.log_loss, default=None)
        against = (
            f"; {other.kind}'s best was {other.log_loss:.3f}"
            + (", within one standard error, and ridge is simpler" if winner.kind == "ridge" else "")
            if (other and other.log_loss < winner.log_loss) or (other and winner.kind == "logistic")
            else ""
        )
        sets = len({t.taps for t in self.tried})
        chosen = f" (the best of {sets} sets of features)" if sets > 1 else ""
        return (
            f"{winner.kind.capitalize()} on {features}{chosen}"
            f"{' with mirrored copies' if winner.view == 'flip' else ''}, penalty {winner.penalty:g}: log loss "
            f"{winner.log_loss:.3f}, {winner.correct:,} of {winner.total:,} right out of fold{against}."
        )

    @contextmanager
    def _timed(self, step: str) -> Iterator[None]:
        start = time.perf_counter()
        yield
        self.seconds[step] = time.perf_counter() - start


def _within_noise(trial: _Trial, best: _Trial, groups: Array) -> bool:
    if trial is best or not len(trial.losses):
        return True
    excess, error = mean_and_error(trial.losses - best.losses, groups)
    return excess <= error
