"""Choosing on the wrong pictures: votes and intervals against scikit-learn's and SciPy's, and what the lectures say."""

from __future__ import annotations

import io
import json

import numpy as np
import pytest
from scipy.stats import t
from sklearn.neighbors import KNeighborsClassifier

from foveal.errors import UsageError
from foveal.experiments.estimates import percents, student
from foveal.experiments.fooling import CANDIDATES, DISTANCES, NEIGHBOURS, Fooling, distances_between, fooling, votes


@pytest.fixture(scope="module")
def found() -> Fooling:
    return fooling(repetitions=12)


@pytest.mark.parametrize("distance", DISTANCES)
def test_votes_are_scikit_learns(distance: str) -> None:
    random = np.random.default_rng(3)
    labels = random.integers(0, 4, 70)
    x = random.normal(size=(70, 5)) + labels[:, None]
    near = distances_between(x, DISTANCES[distance])
    said = votes(near[40:, :40], labels[:40], NEIGHBOURS)
    for k in NEIGHBOURS:
        theirs = KNeighborsClassifier(k, metric=DISTANCES[distance]).fit(x[:40], labels[:40])
        assert np.array_equal(said[k], theirs.predict(x[40:])), k


def test_what_is_always_right_and_what_flatters(found: Fooling) -> None:
    train, test, validation = found.ways
    assert {k for k, _ in train.chosen} == {1} and set(train.claimed) == {1.0}
    assert np.mean(train.true) < np.mean(validation.true), "one neighbour should not be the best on noisy digits"
    assert test.optimism.low is not None and test.optimism.low > 0.01
    assert validation.optimism.low is not None and validation.optimism.high is not None
    assert validation.optimism.low < 0 < validation.optimism.high
    assert np.multiply(test.claimed, 50) == pytest.approx(np.rint(np.multiply(test.claimed, 50))), "of 50 test pictures"


def test_the_best_on_the_test_pictures_is_claimed(found: Fooling) -> None:
    """No candidate is above what choosing on the test pictures claims: it is their largest accuracy."""
    assert found.candidates == len(CANDIDATES) == 36
    assert all(a >= b for a, b in zip(found.ways[1].claimed, found.ways[2].claimed, strict=True))


def test_it_is_told_and_drawn(found: Fooling) -> None:
    lines = str(found).splitlines()
    assert lines[1].startswith("12 random splits: 100 digits to train on, 50 to validate, 50 to test, and 1,597 that")
    assert lines[3].split()[:4] == ["train", "1", "(12x)", "100.00"]
    assert json.loads(json.dumps(found.to_json()))["ways"][0]["chosen"][0] == [1, "L1"]
    figure = found.plot()
    figure.savefig(io.BytesIO())
    (ax,) = figure.axes
    assert [label.get_text() for label in ax.get_legend().get_texts()] == ["claimed", "true"]
    assert fooling(repetitions=2, seed=4) == fooling(repetitions=2, seed=4) != fooling(repetitions=2, seed=5)


def test_student_is_scipys() -> None:
    values = [0.91, 0.87, 0.9, 0.93]
    found = student(values)
    expected = t.interval(0.95, 3, np.mean(values), np.std(values, ddof=1) / 2)
    assert (found.low, found.high) == pytest.approx(expected)
    assert student([0.99, 1.0], most=1).high == 1
    assert percents(student([0.5])) == "50.00 %" and percents(student([0.01, 0.01]), signed=True).startswith("+1.00 po")


def test_refusals() -> None:
    with pytest.raises(UsageError, match="1 repetitions; expected a whole number from 2 to 10,000"):
        fooling(repetitions=1)
    with pytest.raises(UsageError, match="seed -1; expected a whole number from 0"):
        fooling(seed=-1)
