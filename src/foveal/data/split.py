"""Dividing photos into training and test parts and into folds: seeded, by class, and never through a group."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from foveal.data.groups import Grouping
from foveal.errors import DataError, UsageError
from foveal.text import plural, printable

Indices = NDArray[np.int64]


@dataclass(frozen=True)
class Split:
    """The photos of each part, as ascending indices.

    Attributes
    ----------
    train, test : disjoint; no duplicate of a test photo is in train.
    set_aside : photos in neither: training copies of test photos, and test photos of a class without training photos.
    notes : sentences about what was done.
    """

    train: Indices
    test: Indices
    set_aside: Indices
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Folds:
    """Folds for cross-validation.

    Attributes
    ----------
    fold : (n,) the fold of each training photo, 0 .. k - 1.
    k : how many.
    notes : sentences about what was done.
    """

    fold: Indices
    k: int
    notes: tuple[str, ...]


def allocate(labels: Indices, groups: Indices, shares: Sequence[float], seed: int = 0) -> Indices:
    """Deal groups out to parts so that every class comes near its share in each part.

    Groups of several photos go first, the largest ahead, each to the part that brings the squared deviations from the
    shares down most (every class counted relative to its size); ties are settled by `seed`. Single photos then fill
    what is missing, class by class.

    Parameters
    ----------
    labels, groups : (n,) class and group of each photo, integers from 0.
    shares : what each part should get, positive; scaled to sum 1.
    seed : for shuffling.

    Returns
    -------
    (n,) the part of each photo.
    """
    if not len(labels):
        return np.zeros(0, np.int64)
    random = np.random.default_rng(seed)
    _, group, size = np.unique(groups, return_inverse=True, return_counts=True)
    totals = np.bincount(labels)
    share = np.asarray(shares, np.float64) / np.sum(shares)
    missing = share[:, None] * totals  # parts x classes: what is still to come
    chosen = np.full(len(size), -1, np.int64)
    members = _members(group)
    several = random.permutation(np.flatnonzero(size > 1))
    for one in several[np.argsort(-size[several], kind="stable")]:
        classes, counts = np.unique(labels[members[one]], return_counts=True)
        gain = missing[:, classes] @ (counts / totals[classes] ** 2)
        chosen[one] = _best(gain, missing)
        missing[chosen[one], classes] -= counts
    part = chosen[group]
    for label in np.flatnonzero(totals):
        single = random.permutation(np.flatnonzero((part < 0) & (labels == label)))
        counts = _quotas(missing, int(label), len(single))
        part[single] = np.repeat(np.arange(len(share)), counts)
        missing[:, label] -= counts
    return part


def _members(group: Indices) -> list[Indices]:
    order = np.argsort(group, kind="stable")
    return np.split(order, np.flatnonzero(np.diff(group[order])) + 1)


def _best(gain: NDArray[np.float64], missing: NDArray[np.float64]) -> int:
    """The part with the largest gain; among equals the one that lacks most photos overall."""
    equal = np.flatnonzero(gain >= gain.max() - 1e-9)
    return int(equal[np.argmax(missing[equal].sum(axis=1))])


def _quotas(missing: NDArray[np.float64], label: int, count: int) -> Indices:
    """How many single photos of a class each part gets: in proportion to what it lacks, `count` in all."""
    lacking = np.maximum(missing[:, label], 0)
    if not lacking.sum():
        lacking = np.ones(len(lacking))
    exact = lacking * count / lacking.sum()
    quotas: Indices = np.floor(exact + 1e-9).astype(np.int64)
    rest = count - int(quotas.sum())
    first = np.lexsort((-missing.sum(axis=1), -np.round(exact - quotas, 9)))
    quotas[first[:rest]] += 1
    return quotas


def split(
    labels: Indices,
    grouping: Grouping,
    classes: Sequence[str],
    *,
    given: Sequence[str | None] | None = None,
    test: float = 0.2,
    seed: int = 0,
) -> Split:
    """Divide photos into a training and a test part.

    Splits that the data gives are kept: val joins train (or is the test part where there is no other), and the
    training copy of a test photo is set aside. Otherwise a test part is made: whole groups, stratified by class; every
    class keeps a training photo, and a class of at least two groups gets a test photo where that can be.

    Parameters
    ----------
    labels : (n,) index into `classes`.
    grouping : of the same photos.
    classes : names, for the notes.
    given : ``"train"``, ``"val"``, ``"test"`` for each photo, or None.
    test : share of the test part, between 0 and 1; ignored where the data has one.
    seed : for shuffling.

    Raises
    ------
    UsageError : `test` is not between 0 and 1.
    DataError : no photo can be trained on, or none can be held out.
    """
    if not 0 < test < 1:
        raise UsageError(f"--test: the share is {test}; expected a number between 0 and 1, such as 0.2")
    if given is not None and {"test", "val"} & set(given):
        return _given(labels, grouping, classes, np.array([part or "" for part in given]))
    part = allocate(labels, grouping.ids, (1 - test, test), seed)
    _keep_training(labels, grouping.ids, part)
    _test_each_class(labels, grouping.ids, part)
    if not (part == 1).any():
        raise DataError(
            f"nothing can be held out for testing: the {plural(len(labels), 'photo')} form "
            f"{plural(grouping.count, 'group')}, and every class needs two; add photos, or choose another --group-by"
        )
    train, held_out, none = (np.flatnonzero(part == one) for one in range(3))
    return Split(train, held_out, none, _untested(labels, part == 1, classes))


def _keep_training(labels: Indices, groups: Indices, part: Indices) -> None:
    """Move the smallest group of each class that has no training photo back to training, in place."""
    for label in np.setdiff1d(labels, labels[part == 0]):
        part[groups == _smallest(groups, np.unique(groups[labels == label]))] = 0


def _test_each_class(labels: Indices, groups: Indices, part: Indices) -> None:
    """Give each class without a test photo its smallest group, where no class loses its training so; in place."""
    for label in np.setdiff1d(labels, labels[part == 1]):
        candidates = np.unique(groups[labels == label])
        while len(candidates) > 1:
            one = _smallest(groups, candidates)
            moved = groups == one
            left = labels[(part == 0) & ~moved]
            if np.isin(labels[moved], left).all() and 2 * np.sum(labels[moved] == label) <= np.sum(labels == label):
                part[moved] = 1
                break
            candidates = candidates[candidates != one]


def _smallest(groups: Indices, candidates: Indices) -> int:
    sizes = np.bincount(groups)[candidates]
    return int(candidates[np.argmin(sizes)])


def _given(labels: Indices, grouping: Grouping, classes: Sequence[str], given: NDArray[np.str_]) -> Split:
    notes = []
    is_test = given == "test"
    validation = int(np.sum(given == "val"))
    if not is_test.any():
        is_test = given == "val"
        notes.append("the validation part is kept sealed and serves as the test part, since there is no other")
    elif validation:
        notes.append(
            f"{plural(validation, 'validation photo')} joined the training part, since cross-validation does their work"
        )
    train = ~is_test
    shared = train & np.isin(grouping.copies, grouping.copies[is_test])
    if shared.any():
        notes.append(f"{plural(int(shared.sum()), 'training photo')} set aside, since the test part has a copy")
    train &= ~shared
    straddling = np.intersect1d(grouping.ids[train], grouping.ids[is_test])
    if len(straddling):
        notes.append(
            f"{plural(len(straddling), 'group')} of photos are in both training and test, as the data gives "
            "them; so the score may flatter"
        )
    unlearnt = is_test & ~np.isin(labels, labels[train])
    for label in np.unique(labels[unlearnt]):
        count = plural(int(np.sum(labels[unlearnt] == label)), "test photo")
        notes.append(f"{count} of {printable(classes[label])} set aside, since the class has no training photos")
    is_test &= ~unlearnt
    for name, chosen in (("training", train), ("test", is_test)):
        if not chosen.any():
            raise DataError(f"the given split leaves no photo in the {name} part; check the split, or leave it out")
    notes += _untested(labels[train | is_test], is_test[train | is_test], classes)
    set_aside = np.flatnonzero(shared | unlearnt)
    return Split(np.flatnonzero(train), np.flatnonzero(is_test), set_aside, tuple(notes))


def _untested(labels: Indices, is_test: NDArray[np.bool_], classes: Sequence[str]) -> tuple[str, ...]:
    missing = np.setdiff1d(labels, labels[is_test])
    if not len(missing):
        return ()
    names = ", ".join(printable(classes[label]) for label in missing)
    return (f"untested, since no photo could be held out: {names}",)


def folds(labels: Indices, groups: Indices, classes: Sequence[str], k: int = 5, seed: int = 0) -> Folds:
    """Deal the training photos out to `k` folds, as `allocate` does.

    Where the typical (median) class has fewer groups than `k`, there are as many folds as it has groups, at least two.

    Parameters
    ----------
    labels, groups : (n,) of the training photos.
    classes : names, for the notes.
    k : folds wanted, at least 2.
    seed : for shuffling.

    Raises
    ------
    DataError : all photos are one group.
    """
    pairs = np.unique(np.stack((labels, groups), axis=1), axis=0)
    present, count = np.unique(pairs[:, 0], return_counts=True)
    distinct = len(np.unique(groups))
    if distinct < 2:
        raise DataError(
            f"cross-validation needs two groups, and the {plural(len(labels), 'training photo')} are one; "
            "add photos, or choose another --group-by"
        )
    notes = []
    fitting = min(k, distinct, max(2, int(np.median(count))))
    if fitting < k:
        notes.append(f"{fitting} folds instead of {k}, since the classes have few groups of photos")
    alone = [printable(classes[label]) for label in present[count == 1]]
    if alone:
        notes.append(f"not cross-validated, since all training photos are one group: {', '.join(alone)}")
    return Folds(allocate(labels, groups, [1.0] * fitting, seed), fitting, tuple(notes))
