"""The end of a run, as text."""

from __future__ import annotations

import io

from report_example import HOSTILE, empty, example, hostile
from rich.console import Console

from foveal.report import class_table, summary_lines
from foveal.text import printable


def test_summary_says_the_score_the_findings_and_the_places() -> None:
    assert summary_lines(example()) == [
        "89.1 % (285/320; 95 %: 85.2-92.0) of the sealed test photos named right",
        "  no groups were given, so this may flatter (--group-by; the report says why)",
        "  The photos gave 1 error and 1 warning",
        "  The 35 mistakes are spread over all 8 classes",
        "  14 photos may carry the wrong label",
        "  More photos would probably help",
        "report  runs/photos/report.html",
        "bundle  runs/photos/bundle",
        "next    foveal predict runs/photos/bundle PHOTO...",
    ]


def test_summary_of_nothing_and_of_hostile_names() -> None:
    assert summary_lines(empty())[0] == "not tested"
    for result in (hostile(), empty()):
        lines = summary_lines(result)
        assert len(lines) <= 10
        assert all(printable(line, limit=10_000) == line for line in lines)


def show(result: dict[str, object]) -> str:
    out = io.StringIO()
    Console(file=out, width=100, force_terminal=False).print(class_table(result))
    return out.getvalue()


def test_class_table_starts_with_the_weakest_and_says_what_it_leaves_out() -> None:
    lines = show(example()).splitlines()
    assert lines[0].split() == ["class", "recall", "precision", "photos"]
    assert lines[1].split()[:3] == ["apple", "80.0", "%"]
    many = show(example(tuple(f"c{i}" for i in range(30))))
    assert "18 more classes in the report" in many and len(many.splitlines()) == 14


def test_class_table_shows_hostile_names_as_written() -> None:
    shown = show(hostile())
    assert "\x1b" not in shown
    assert all(printable(name, limit=40) in shown for name in HOSTILE)
    assert "[bold]x" in show(example(("[bold]x", "[/]")))
