import time

import numpy as np
import pytest
from hypothesis import assume, settings
from hypothesis import given as generated
from hypothesis import strategies as st
from sklearn.model_selection import StratifiedGroupKFold

from foveal.data.groups import Grouping
from foveal.data.split import allocate, folds, split
from foveal.errors import DataError, UsageError

CLASSES = [f"class{i}" for i in range(10)]


def grouping(ids, copies=None):
    ids = np.asarray(ids)
    return Grouping(ids, np.arange(len(ids)) if copies is None else np.asarray(copies), None, ())


@st.composite
def photos(draw, *, singles=False, classes=4):
    n = draw(st.integers(classes * 2, 120))
    labels = np.array(draw(st.lists(st.integers(0, classes - 1), min_size=n, max_size=n)))
    ids = np.arange(n) if singles else np.array(draw(st.lists(st.integers(0, 40), min_size=n, max_size=n)))
    return labels, ids, draw(st.integers(0, 2**32 - 1))


def straddling(groups, part):
    return [group for group in np.unique(groups) if len(np.unique(part[groups == group])) > 1]


@settings(deadline=None)
@generated(photos(), st.lists(st.floats(0.05, 1), min_size=1, max_size=6))
def test_allocation_keeps_groups_whole_and_is_deterministic(case, shares):
    labels, groups, seed = case
    part = allocate(labels, groups, shares, seed)
    assert part.shape == labels.shape
    assert set(part) <= set(range(len(shares)))
    assert straddling(groups, part) == []
    assert np.array_equal(part, allocate(labels, groups, shares, seed))


@settings(deadline=None)
@generated(photos(singles=True), st.floats(0.1, 0.5))
def test_single_photos_come_within_one_of_their_share(case, share):
    labels, groups, seed = case
    part = allocate(labels, groups, (1 - share, share), seed)
    for label in np.unique(labels):
        total = np.sum(labels == label)
        assert abs(np.sum(part[labels == label]) - share * total) < 1


@settings(deadline=None)
@generated(photos(), st.floats(0.1, 0.5))
def test_a_made_split_is_whole(case, share):
    labels, groups, seed = case
    try:
        made = split(labels, grouping(groups), CLASSES, test=share, seed=seed)
    except DataError as error:
        assert "nothing can be held out for testing" in str(error)
        return
    both = np.concatenate((made.train, made.test))
    assert sorted(both) == list(range(len(labels)))
    assert len(made.set_aside) == 0
    assert not set(groups[made.train]) & set(groups[made.test])
    assert set(labels[made.train]) == set(labels)
    missing = set(labels) - set(labels[made.test])
    assert all(CLASSES[label] in made.notes[0] for label in missing)
    assert bool(made.notes) == bool(missing)


def test_seeds_give_different_splits():
    labels = np.repeat(np.arange(4), 25)
    parts = {tuple(split(labels, grouping(np.arange(100)), CLASSES, seed=seed).test) for seed in range(5)}
    assert len(parts) == 5


def spread(labels, fold, k):
    counts = np.zeros((k, labels.max() + 1))
    np.add.at(counts, (fold, labels), 1)
    return float(np.sum((counts - counts.mean(0)) ** 2 / counts.sum(0) ** 2))


def test_folds_are_as_even_as_scikit_learns():
    ours, theirs = [], []
    for seed in range(20):
        random = np.random.default_rng(seed)
        groups = random.integers(0, 60, 600)
        labels = random.integers(0, 5, 60)[groups]
        ours.append(spread(labels, folds(labels, groups, CLASSES, seed=seed).fold, 5))
        peer = np.zeros(600, np.int64)
        splitter = StratifiedGroupKFold(5, shuffle=True, random_state=seed)
        for number, (_, held_out) in enumerate(splitter.split(labels, labels, groups)):
            peer[held_out] = number
        theirs.append(spread(labels, peer, 5))
    assert np.mean(ours) <= np.mean(theirs) * 1.05


def test_a_class_of_one_group_is_untested_and_named():
    labels = np.array([0] * 20 + [1] * 20)
    made = split(labels, grouping([0] * 20 + list(range(1, 21))), ["only\x1b", "many"], test=0.25)
    assert set(labels[made.test]) == {1}
    assert len(made.test) == 5
    assert made.notes == ("untested, since no photo could be held out: only\\x1b",)


@pytest.mark.parametrize("groups", [[0, 1, 2, 3], [0, 0, 1, 1]])
def test_two_groups_a_class_give_one_to_each_part(groups):
    labels = np.array([0, 0, 0, 0, 1, 1, 1, 1])
    ids = np.array([*groups, *(group + 4 for group in groups)])
    made = split(labels, grouping(ids), CLASSES, test=0.2)
    assert set(labels[made.test]) == set(labels[made.train]) == {0, 1}
    assert not set(ids[made.test]) & set(ids[made.train])
    assert made.notes == ()


def test_nothing_to_hold_out():
    with pytest.raises(DataError, match="the 6 photos form 2 groups, and every class needs two; add photos, or choose"):
        split(np.array([0, 0, 0, 1, 1, 1]), grouping([0, 0, 0, 1, 1, 1]), CLASSES)


@pytest.mark.parametrize("share", [0, 1, -0.1, 20, float("nan")])
def test_a_share_that_is_none(share):
    with pytest.raises(UsageError, match=r"--test: the share is .*; expected a number between 0 and 1"):
        split(np.array([0, 1]), grouping([0, 1]), CLASSES, test=share)


def test_given_splits_are_kept_clean_and_explained():
    given = ["train", "train", "val", "train", "test", "test", "test", "train"]
    labels = np.array([0, 1, 0, 1, 0, 1, 2, 0])
    made = split(labels, grouping([0, 1, 2, 3, 3, 4, 5, 4], [0, 1, 2, 3, 3, 4, 5, 6]), ["a", "b", "c"], given=given)
    assert made.train.tolist() == [0, 1, 2, 7]
    assert made.test.tolist() == [4, 5]
    assert made.set_aside.tolist() == [3, 6]
    assert made.notes == (
        "1 validation photo joined the training part, since cross-validation does their work",
        "1 training photo set aside, since the test part has a copy",
        "1 group of photos are in both training and test, as the data gives them; so the score may flatter",
        "1 test photo of c set aside, since the class has no training photos",
    )


def test_validation_is_the_test_part_where_there_is_no_other():
    labels = np.array([0, 1, 0, 1, 1])
    made = split(labels, grouping(range(5)), ["a", "b"], given=["train", "train", "val", "train", "train"])
    assert (made.train.tolist(), made.test.tolist()) == ([0, 1, 3, 4], [2])
    assert made.notes[0].startswith("the validation part is kept sealed and serves as the test part")
    assert made.notes[1] == "untested, since no photo could be held out: b"


def test_only_training_photos_given_means_a_test_part_is_made():
    labels = np.array([0, 1] * 10)
    assert len(split(labels, grouping(range(20)), CLASSES, given=["train"] * 20).test) == 4


def test_a_given_split_that_leaves_nothing():
    with pytest.raises(DataError, match="the given split leaves no photo in the training part; check the split"):
        split(np.array([0, 1]), grouping([0, 1]), CLASSES, given=["test", "test"])


@settings(deadline=None)
@generated(photos())
def test_folds_are_whole_and_every_class_is_learnt(case):
    labels, groups, seed = case
    assume(len(np.unique(groups)) > 1)
    made = folds(labels, groups, CLASSES, seed=seed)
    assert straddling(groups, made.fold) == []
    assert 2 <= made.k <= 5
    assert made.fold.max() < made.k
    note = [note for note in made.notes if note.startswith("not cross-validated")]
    for label in np.unique(labels):
        if len(np.unique(groups[labels == label])) == 1:
            assert CLASSES[label] in note[0]


def test_folds_shrink_with_a_note():
    labels, groups = np.repeat([0, 1, 2], 6), np.repeat(np.arange(6), 3)
    made = folds(labels, groups, CLASSES)
    assert made.k == 2
    assert made.notes == ("2 folds instead of 5, since the classes have few groups of photos",)
    assert all(set(labels[made.fold == fold]) == {0, 1, 2} for fold in range(2))
    assert folds(np.array([0, 0, 1]), np.array([0, 1, 2]), CLASSES).notes[1].endswith("one group: class1")
    with pytest.raises(DataError, match="cross-validation needs two groups, and the 3 training photos are one"):
        folds(np.array([0, 1, 1]), np.array([4, 4, 4]), CLASSES)


@pytest.mark.parametrize("per_group", [1, 3])
def test_sixty_thousand_photos_take_under_two_seconds(per_group):
    labels = np.arange(60_000) // 6000
    groups = np.arange(60_000) // per_group
    start = time.process_time()
    made = split(labels, grouping(groups), CLASSES, test=1 / 6)
    fold = folds(labels[made.train], groups[made.train], CLASSES).fold
    assert time.process_time() - start < 2
    assert np.abs(np.bincount(labels[made.test]) - 1000).max() <= per_group
    assert np.abs(np.bincount(fold) - 10_000).max() <= 10 * per_group
