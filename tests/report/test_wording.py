"""Numbers and headings from small data; the expected sentences are written by hand."""

from __future__ import annotations

from typing import Any

import pytest
from report_example import example

from foveal.report import wording


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.8728, "87.3 %"), (0, "0.0 %"), (1, "100.0 %"), (0.9996, "> 99.9 %"), (0.0004, "< 0.1 %"), (None, "–")],
)
def test_percent(value: float | None, text: str) -> None:
    assert wording.percent(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.123456, "0.1235"), (1234.5, "1,234"), (0.1, "0.1"), (7, "7"), (None, "–"), (float("nan"), "–")],
)
def test_number_has_four_digits(value: float | None, text: str) -> None:
    assert wording.number(value) == text


def test_accuracy_as_the_design_writes_it() -> None:
    score = {"accuracy": 412 / 472, "correct": 412, "total": 472, "interval": [0.8396, 0.9003]}
    assert wording.accuracy_text(score) == "87.3 % (412/472; 95 %: 84.0-90.0)"


@pytest.mark.parametrize(
    ("classes", "confusion", "heading"),
    [
        ("ab", [[5, 0], [0, 5]], "No photo of the test part was named wrong"),
        ("ab", [[0, 0], [0, 0]], "There was no photo to test on"),
        ("ab", [[5, 1], [0, 5]], "One mistake: “a” was taken for “b”"),
        ("ab", [[5, 2], [3, 5]], "“b” was taken for “a” 3 times; “a” was taken for “b” twice"),
        ("abc", [[5, 3, 0], [3, 5, 1], [0, 1, 9]], "“a” and “b”, taken for each other, make 6 of 8 mistakes"),
        ("abcdef", [[5, 2, 2, 1, 0, 0], [2, 5, 0, 2, 1, 0], [0, 0, 5, 1, 0, 0], [0, 0, 0, 5, 1, 0],
                    [0, 0, 0, 0, 5, 0], [0, 0, 0, 0, 0, 5]], "Two classes cause most errors"),
        ("abc", [[5, 2, 2], [1, 5, 0], [0, 0, 9]], "“a” and “b”, taken for each other, make 3 of 5 mistakes"),
        ("abc", [[5, 1, 0], [1, 5, 1], [0, 1, 5]], "The 4 mistakes are spread over all 3 classes"),
        ("abcd", [[5, 1, 1, 1], [0, 5, 1, 0], [0, 0, 5, 0], [0, 0, 0, 5]], "One class causes most errors"),
        ("abcd", [[5, 1, 0, 0], [0, 5, 1, 0], [0, 0, 5, 1], [1, 0, 0, 5]],
         "The 4 mistakes are spread over all 4 classes"),
    ],
)  # fmt: skip
def test_confusion_heading(classes: str, confusion: list[list[int]], heading: str) -> None:
    assert wording.confusion_heading(list(classes), confusion) == heading


def row(label: str, recall: float | None, support: int) -> dict[str, Any]:
    return {"label": label, "recall": recall, "support": support}


@pytest.mark.parametrize(
    ("rows", "heading"),
    [
        ([row("a", None, 0)], "No class had a photo to test on"),
        ([row("a", 1.0, 3), row("b", 1.0, 2)], "Every test photo of every class was recognised"),
        ([row("a", 0.9, 10), row("b", 1.0, 10)], "No class is clearly weaker than the others"),
        ([row("a", 0.3, 100), row("b", 1.0, 100)], "“a” is found only 30 times out of 100"),
        ([row("a", 0.3, 100), row("b", 0.4, 100), row("c", 1.0, 900)],
         "Two classes are clearly weaker; “a” is found only 30 times out of 100"),
    ],
)  # fmt: skip
def test_class_heading(rows: list[dict[str, Any]], heading: str) -> None:
    right = sum((r["recall"] or 0) * r["support"] for r in rows)
    assert wording.class_heading(rows, right / (sum(r["support"] for r in rows) or 1)) == heading


@pytest.mark.parametrize(
    ("said", "right", "error", "heading"),
    [
        (0.9, 0.89, 0.01, "Its confidence can be taken at its word"),
        (0.95, 0.8, 0.15, "It is surer than it should be: it says 95 % and is right 80 % of the time"),
        (0.7, 0.9, 0.2, "It is better than it thinks: it says 70 % and is right 90 % of the time"),
        (0.8, 0.8, 0.12, "Its confidence is off by 12 points on average, to both sides"),
    ],
)
def test_reliability_heading(said: float, right: float, error: float, heading: str) -> None:
    bins = [{"confidence": said, "accuracy": right, "count": 50}, {"confidence": 0.0, "accuracy": 1.0, "count": 0}]
    assert wording.reliability_heading({"reliability": bins, "calibration_error": error}) == heading


def test_headings_of_nothing() -> None:
    nothing = {"reliability": [], "calibration_error": None}
    assert wording.reliability_heading(nothing) == "How far its confidence can be trusted is not known"
    assert wording.curve_heading(None) == "Too few photos to say whether more would help"
    assert wording.doubts_heading(0) == "No label is in doubt"
    assert wording.preflight_heading([]) == "Nothing wrong was found in the photos"
    assert wording.caveat({"group_by": "parent"}) is None


def test_one_finding_is_the_heading_and_several_are_counted() -> None:
    def finding(kind: str) -> dict[str, str]:
        return {"severity": kind, "title": "3 files cannot be read."}

    assert wording.preflight_heading([finding("error")]) == "3 files cannot be read"
    assert wording.preflight_heading([finding("error")] * 2) == "The photos gave 2 errors"
    assert wording.preflight_heading([finding("note"), finding("warning")]) == "The photos gave 1 warning and 1 note"


def test_small_counts_are_words() -> None:
    assert wording.doubts_heading(1) == "One photo may carry the wrong label"
    assert wording.doubts_heading(9) == "Nine photos may carry the wrong label"
    assert wording.doubts_heading(1234) == "1,234 photos may carry the wrong label"


def test_the_worst_mistake_is_the_surest() -> None:
    rows = [
        {"label": "cat", "predicted": "dog", "probability": 0.7},
        {"label": "fox", "predicted": "cat", "probability": 0.991},
    ]
    assert wording.mistakes_heading(rows) == "The worst mistake: 99.1 % sure of “cat” for a photo of “fox”"


def test_rejection_heading_gives_both_error_rates() -> None:
    rejection = example()["rejection"]
    said = "“None of these” turns away 5.0 % of its own classes and lets 22.1 % of strangers in"
    assert wording.rejection_heading(rejection) == said
    unknown = wording.rejection_heading({**rejection, "unknown_accepted": None})
    assert unknown == "It can answer “none of these”, but how well is not known"


def test_baseline_is_the_class_most_frequent_in_training() -> None:
    counts = {"a": {"train": 5, "test": 3}, "b": {"train": 9, "test": 1}}
    assert wording.baseline({"data": {"counts": counts}}) == ("b", 0.25)
    assert wording.baseline({"data": {"counts": {"a": {"train": 5, "test": 0}}}}) is None


def test_method_heading() -> None:
    assert wording.method_heading(example()) == (
        "A logistic head on efficientnet_lite0 features, the best of five candidates, in 9.1 s"
    )


def test_seconds() -> None:
    assert [wording.seconds(t) for t in (0.04, 59.9, 125)] == ["0.0 s", "59.9 s", "2 min 5 s"]
