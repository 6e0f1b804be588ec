"""The photos of a run as arrays: labels, groups, the training and test parts, the folds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from foveal.data.dataset import Photo
from foveal.data.groups import Grouping
from foveal.data.split import Folds, folds, split


@dataclass(frozen=True)
class Parts:
    """Photos divided.

    Attributes
    ----------
    classes : names of the classes that have training photos; `labels` index it.
    labels : (n,) of each photo; -1 where the class has no training photo.
    groups : (n,) photos with equal numbers stay together.
    train, test, set_aside : disjoint ascending indices.
    folds : of the training photos, in the order of `train`.
    notes : sentences about what was done.
    """

    classes: tuple[str, ...]
    labels: np.ndarray
    groups: np.ndarray
    train: np.ndarray
    test: np.ndarray
    set_aside: np.ndarray
    folds: Folds
    notes: tuple[str, ...]

    @staticmethod
    def of(features: Mapping[str, np.ndarray], rows: np.ndarray) -> dict[str, np.ndarray]:
        """The rows of each feature level."""
        return {level: x[rows] for level, x in features.items()}


def divide(photos: Sequence[Photo], grouping: Grouping, *, test: float, seed: int) -> Parts:
    """Training and test parts and folds of `photos`; whole groups, stratified, by `seed`.

    Raises
    ------
    DataError : nothing can be held out, or there is nothing to cross-validate.
    """
    names, labels = np.unique([photo.item.label for photo in photos], return_inverse=True)
    given = [photo.item.split for photo in photos]
    parts = split(labels, grouping, names.tolist(), given=given, test=test, seed=seed)
    learnt = np.unique(labels[parts.train])
    index = np.full(len(names), -1)
    index[learnt] = np.arange(len(learnt))
    classes = tuple(str(name) for name in names[learnt])
    labels = index[labels]
    dealt = folds(labels[parts.train], grouping.ids[parts.train], classes, seed=seed)
    notes = (*grouping.notes, *parts.notes, *dealt.notes)
    return Parts(classes, labels, grouping.ids, parts.train, parts.test, parts.set_aside, dealt, notes)
