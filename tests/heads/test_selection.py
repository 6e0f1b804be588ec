"""The whole selection: on scikit-learn's digits against its LogisticRegression, on planted problems, on bad input."""

from __future__ import annotations

import json

import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression

from foveal.errors import FovealError
from foveal.heads import Selection, novelty_score, select_head, selection, softmax
from foveal.heads.sampling import beginning, blocks, judged, mean_and_error, stratified_order
from foveal.metrics import accuracy, log_loss


def planted(
    n: int = 120, classes: int = 4, apart: float = 2.0, seed: int = 0
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Two taps: `good` tells the classes apart, `noise` does not."""
    rng = np.random.default_rng(seed)
    target = np.arange(n) % classes
    centres = np.random.default_rng(7).normal(size=(classes, 12))
    good = centres[target] * apart + rng.normal(size=(n, 12))
    return {"good": good.astype("f"), "noise": rng.normal(size=(n, 200)).astype("f")}, target


def choose(features: dict[str, np.ndarray], target: np.ndarray, classes: int = 4, **options) -> Selection:
    n = len(target)
    settings = {"groups": np.arange(n), "folds": np.arange(n) // classes % 5, "candidates": [("good",)]} | options
    groups, folds = settings.pop("groups"), settings.pop("folds")
    return select_head(features, target, groups, classes, folds, **settings)


@pytest.fixture(scope="module")
def digits() -> tuple[Selection, dict[str, np.ndarray], np.ndarray]:
    x, y = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(x))
    x, y = x[order].astype("f"), y[order]
    taps = {"left": x[:, :32], "right": x[:, 32:]}
    train = {tap: values[:900] for tap, values in taps.items()}
    candidates = [("left",), ("right",), ("left", "right")]
    chosen = select_head(train, y[:900], np.arange(900), 10, np.arange(900) % 5, candidates=candidates)
    return chosen, {tap: values[900:] for tap, values in taps.items()}, y[900:]


def test_digits_are_read_as_well_as_by_scikit_learn(digits) -> None:
    chosen, test, y = digits
    assert chosen.head.taps == ("left", "right")
    x, target = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(x))
    x, target = x[order] / 16, target[order]
    oracles = [LogisticRegression(C=c, max_iter=2000).fit(x[:900], target[:900]) for c in (0.1, 1, 10)]
    logits = chosen.head.logits(test)
    p = softmax(logits, chosen.head.temperature)
    assert accuracy(p.argmax(axis=1), y) >= max(o.score(x[900:], y) for o in oracles) - 0.012
    assert log_loss(p, y) <= min(log_loss(o.predict_proba(x[900:]), y) for o in oracles) + 0.02
    assert chosen.validation is not None
    lo, hi = chosen.validation.interval
    assert lo - 0.01 <= accuracy(p.argmax(axis=1), y) <= hi + 0.01


def test_the_threshold_holds_on_new_photos(digits) -> None:
    chosen, test, _ = digits
    score = novelty_score(chosen.head.logits(test), chosen.head.temperature)
    assert 0.02 < np.mean(score < chosen.head.threshold) < 0.08
    assert chosen.rejection.known_rejected == 45 and chosen.rejection.unknown_total == 900
    assert chosen.rejection.unknown_accepted == sum(c.accepted for c in chosen.rejection.per_class)
    assert len(chosen.rejection.per_class) == 10
    strange = np.random.default_rng(0).choice(16, (200, 64)).astype("f")
    scores = novelty_score(chosen.head.logits({"left": strange[:, :32], "right": strange[:, 32:]}), 1.0)
    assert np.isfinite(scores).all()


def test_the_account_is_complete(digits) -> None:
    chosen, _, _ = digits
    data = json.loads(json.dumps(chosen.to_json()))
    assert data["chosen"]["taps"] == ["left", "right"]
    ridge = [c for c in chosen.candidates if c.note == f"each group left out, {selection.RACE_ROWS} photos"]
    assert [c.taps for c in ridge] == [("left",), ("right",), ("left", "right")]
    assert [c.chosen for c in ridge] == [False, False, True]
    last = [c for c in chosen.candidates if c.note == "5 folds"]
    (won,) = [c for c in last if c.chosen]
    assert (won.kind, won.penalty, won.correct) == (chosen.head.kind, chosen.head.penalty, chosen.validation.correct)
    assert won.log_loss <= min(c.log_loss for c in last) + 0.05
    assert chosen.why.startswith(f"{won.kind.capitalize()} on left + right (the best of 3 sets of features), penalty")
    assert set(chosen.seconds) == {"features", "view", "basis", "ridge", "logistic", "fit", "diagnosis"}
    assert log_loss(chosen.oof_probabilities, chosen.oof_logits.argmax(axis=1)) < 0.2


@pytest.mark.parametrize("n", [120, 800], ids=["few-rows", "many-rows"])
def test_out_of_fold_means_unseen(n: int) -> None:
    """Labels without meaning: what is judged out of fold must be near chance."""
    features, target = planted(n)
    target = np.random.default_rng(1).permutation(target)
    chosen = choose(features, target, candidates=[("noise",)])
    assert chosen.validation is not None and 0.1 < chosen.validation.accuracy < 0.4
    assert 1.2 < chosen.validation.log_loss < 1.5  # log 4 = 1.386
    assert chosen.learning_curve.points[-1].accuracy < 0.4


def test_groups_are_left_out_whole() -> None:
    """Three copies of each meaningless row: only by groups is the score honest."""
    features, target = planted(100)
    target = np.repeat(np.random.default_rng(1).permutation(target), 3)
    copies = {"noise": np.repeat(features["noise"], 3, axis=0)}
    object_ = np.repeat(np.arange(100), 3)
    honest = choose(copies, target, groups=object_, folds=object_ % 5, candidates=[("noise",)])
    flattered = choose(copies, target, folds=np.arange(300) % 5, candidates=[("noise",)])
    assert all(c.accuracy < 0.45 for c in honest.candidates)
    assert flattered.candidates[0].accuracy > 0.9


def test_the_better_features_win_and_the_head_speaks_their_units() -> None:
    features, target = planted()
    features["good"] = features["good"] * 1000 + 5e4
    chosen = choose(features, target, candidates=[("noise",), ("noise", "good"), ("good",)])
    assert chosen.head.taps == ("good",)
    assert chosen.head.weight.shape == (4, 12) and chosen.head.weight.dtype == chosen.head.bias.dtype == np.float32
    fresh, truth = planted(400, seed=5)
    fresh["good"] = fresh["good"] * 1000 + 5e4
    assert accuracy(chosen.head.logits(fresh).argmax(axis=1), truth) > 0.95


def test_equal_input_and_seed_give_equal_results() -> None:
    features, target = planted()
    one, two = (choose(features, target, candidates=[("noise",), ("good",)], seed=3) for _ in range(2))
    np.testing.assert_array_equal(one.head.weight, two.head.weight)
    first, second = one.to_json(), two.to_json()
    del first["seconds"], second["seconds"]
    assert first == second


def mirror_race(helpful: bool) -> tuple[Selection, list[np.ndarray]]:
    n = 300
    rng = np.random.default_rng(0)
    target = np.arange(n) % 2
    side = rng.choice([-1.0, 1.0], n)
    # half of what tells the classes apart changes its sign with the side that the object faces
    x = np.column_stack([rng.normal(size=(n, 40)), target - 0.5 + rng.normal(0, 0.6, n)]).astype("f")
    x[:, :40] *= 3
    mirrored = x.copy()
    if helpful:
        mirrored[:, :40] *= -1
    else:
        mirrored = rng.normal(size=x.shape).astype("f") * side[:, None].astype("f")
    asked: list[np.ndarray] = []

    def flip(rows: np.ndarray) -> dict[str, np.ndarray]:
        asked.append(rows)
        return {"good": mirrored[rows]}

    return choose({"good": x}, target, classes=2, flip=flip), asked


def test_mirrored_copies_are_used_where_they_help() -> None:
    chosen, asked = mirror_race(helpful=True)
    assert chosen.head.view == "flip" and "with mirrored copies" in chosen.why
    assert [len(rows) for rows in asked] == [selection.VIEW_ROWS, 300 - selection.VIEW_ROWS]
    assert sorted(np.concatenate(asked).tolist()) == list(range(300))
    race = [c for c in chosen.candidates if c.note.startswith("view race")]
    assert [(c.view, c.chosen) for c in race] == [("plain", False), ("flip", True)]
    assert chosen.oof_logits.shape == (300, 2) and chosen.validation.total == 300


def test_mirrored_copies_are_not_computed_where_they_do_not() -> None:
    chosen, asked = mirror_race(helpful=False)
    assert chosen.head.view == "plain" and [len(rows) for rows in asked] == [selection.VIEW_ROWS]


def test_two_classes_have_no_threshold() -> None:
    features, target = planted(classes=2)
    chosen = choose(features, target, classes=2)
    assert chosen.head.threshold is None and "three classes or more" in chosen.rejection.why


def test_more_than_sixteen_classes_are_left_out_in_blocks() -> None:
    features, target = planted(200, classes=20, apart=3)
    chosen = choose(features, target, classes=20)
    assert chosen.rejection.left_out == 8 and "8 blocks of classes were left out" in chosen.rejection.why
    assert chosen.rejection.unknown_total == 200 and chosen.head.threshold is not None


def test_imbalance_weights_and_says_so() -> None:
    features, target = planted(200)
    keep = np.flatnonzero((target != 3) | (np.arange(200) % 5 == 0))
    part = {tap: x[keep] for tap, x in features.items()}
    chosen = choose(part, target[keep], folds=np.arange(len(keep)) % 5)
    assert chosen.notes[0].startswith("Class sizes differ (10 to 50 photos)")
    assert choose(features, target).notes == ()


def test_four_photos() -> None:
    features, target = planted(4, classes=2, apart=5)
    chosen = choose(features, target, classes=2, folds=np.array([0, 0, 1, 1]), candidates=[("noise",), ("good",)])
    assert chosen.validation.total == 4 and chosen.learning_curve.gain is None
    assert np.isfinite(chosen.head.weight).all()
    json.dumps(chosen.to_json())


def test_nothing_can_be_judged() -> None:
    features, target = planted(4)
    chosen = choose(features, target, folds=np.arange(4), flip=lambda rows: {"good": features["good"][rows]})
    assert chosen.validation is None and chosen.head.threshold is None and chosen.head.temperature == 1.0
    assert chosen.notes[-1].startswith("No photo could be judged out of fold")
    assert "too few photos" in chosen.why and np.isfinite(chosen.head.logits(features)).all()
    one_fold = choose(*planted(8), folds=np.zeros(8), groups=np.zeros(8))
    assert one_fold.validation is None
    json.dumps([chosen.to_json(), one_fold.to_json()], allow_nan=False)


def test_a_class_with_one_group_is_named() -> None:
    features, target = planted(90, classes=3)
    groups = np.where(target == 2, -1, np.arange(90))
    folds = np.where(target == 2, 0, np.arange(90) % 5)
    chosen = choose(features, target, classes=3, groups=groups, folds=folds)
    assert chosen.notes[0].startswith("30 photos of 1 class could not be judged out of fold")
    assert chosen.validation.total == 60 and np.isnan(chosen.oof_logits[target == 2]).all()
    assert accuracy(chosen.head.logits(features).argmax(axis=1), target) > 0.95


def test_a_class_without_photos_is_never_predicted() -> None:
    features, target = planted()
    chosen = choose(features, target, classes=6, folds=np.arange(120) // 4 % 5)
    assert chosen.head.weight.shape == (6, 12)
    assert chosen.head.logits(features).argmax(axis=1).max() == 3
    assert np.isfinite(chosen.head.bias).all() and chosen.rejection.left_out == 4


@pytest.mark.parametrize("kind", ["constant", "zeros", "duplicates", "separable", "one-feature"])
def test_odd_features(kind: str) -> None:
    features, target = planted(60, classes=3)
    good = features["good"]
    if kind == "constant":
        good[:, :11] = 3.3
    elif kind == "zeros":
        good[:] = 0
    elif kind == "duplicates":
        good[:] = good[target]
    elif kind == "separable":
        good[:] = np.eye(12, dtype="f")[target] * 1e4
    else:
        features["good"] = good[:, :1]
    chosen = choose(features, target, classes=3, candidates=[("good",), ("good", "noise")])
    assert np.isfinite(chosen.head.weight).all() and np.isfinite(chosen.oof_probabilities).all()
    assert chosen.head.temperature > 0
    if kind in ("duplicates", "separable"):
        assert chosen.validation.accuracy == 1 and 0 < chosen.validation.log_loss < 0.1
    json.dumps(chosen.to_json(), allow_nan=False)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_number_that_is_not_finite_is_named(bad: float) -> None:
    features, target = planted()
    features["good"][17, 3] = bad
    with pytest.raises(FovealError, match=r"features 'good', row 17: not a finite number"):
        choose(features, target)
    choose(features, target, candidates=[("noise",)])  # a tap that is not used does not matter


def test_input_that_does_not_fit() -> None:
    features, target = planted()
    with pytest.raises(FovealError, match="two classes"):
        choose(features, np.zeros(120, int))
    with pytest.raises(FovealError, match="0 to 2 expected, received 0 to 3"):
        choose(features, target, classes=3)
    with pytest.raises(FovealError, match="the target has 119 rows, but groups has 120, good has 120"):
        choose(features, target[1:], groups=np.arange(120), folds=np.arange(119))
    with pytest.raises(FovealError, match=r"taps among \['good', 'noise'\], received \[\('stem',\)\]"):
        choose(features, target, candidates=[("stem",)])
    with pytest.raises(FovealError, match="group '0' is in more than one fold"):
        choose(features, target, groups=np.arange(120) // 60)
    chosen = choose(features, target)
    with pytest.raises(FovealError, match="reads the features good; good not given"):
        chosen.head.logits({"noise": features["noise"]})
    with pytest.raises(FovealError, match="reads 12 features a photo, received 200"):
        chosen.head.logits({"good": features["noise"]})


def test_large_sets_are_raced_on_a_part(monkeypatch: pytest.MonkeyPatch) -> None:
    from foveal.heads import selection

    monkeypatch.setattr(selection, "RACE_ROWS", 100)
    features, target = planted(300)
    chosen = choose(features, target, candidates=[("noise",), ("good",)])
    assert chosen.candidates[0].note == "each group left out, 100 photos" and chosen.candidates[0].total == 100
    assert chosen.head.taps == ("good",) and chosen.validation.total == 300


def test_stratified_order_keeps_groups_and_proportions() -> None:
    rng = np.random.default_rng(0)
    target = np.repeat([0, 1, 2], [600, 300, 100])
    groups = np.arange(1000) // 2
    rows, ends = stratified_order(target, groups, rng)
    assert sorted(rows.tolist()) == list(range(1000)) and ends.tolist() == list(range(2, 1001, 2))
    for size in (20, 100, 500):
        part = beginning(rows, ends, size)
        assert len(part) == size and len(np.unique(groups[part])) == size // 2
        np.testing.assert_allclose(np.bincount(target[part], minlength=3) / size, [0.6, 0.3, 0.1], atol=2.1 * 2 / size)
    assert len(beginning(rows, ends, 5000)) == 1000


def test_blocks_and_judged() -> None:
    assert [b.tolist() for b in blocks(np.array(["b", "a", "b", "c"]))] == [[1], [0, 2], [3]]
    np.testing.assert_array_equal(
        judged(np.array([0, 0, 1, 1, 2]), np.array([0, 1, 1, 1, 2])), [True, True, False, False, False]
    )


def test_the_error_counts_groups() -> None:
    values = np.random.default_rng(0).normal(size=400)
    mean, error = mean_and_error(values, np.arange(400))
    assert (mean, error) == pytest.approx((values.mean(), values.std(ddof=1) / 20))
    copied = mean_and_error(np.repeat(values, 9), np.repeat(np.arange(400), 9))
    assert copied == pytest.approx((mean, error))
    assert mean_and_error(values, np.zeros(400))[1] == np.inf


def test_no_curve_where_nothing_can_be_judged() -> None:
    """Each class lies in one fold, so no held-out photo has a photo of its class to learn from."""
    features, target = planted(40, classes=4)
    chosen = choose(features, target, candidates=[("good",)], groups=target, folds=target % 2)
    assert chosen.validation is None
    assert chosen.learning_curve.points == ()
