"""The end of a run in the terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from foveal.report import training_page, wording
from foveal.text import plural, printable

if TYPE_CHECKING:
    from rich.table import Table


def summary_lines(result: Mapping[str, Any]) -> list[str]:
    """At most ten lines of plain text: the headline, what was found, where the report and the bundle are.

    They hold no control characters, but may hold ``[``: print them with ``markup=False``.
    """
    test, folder = result["test"], printable(wording.run_folder(result), limit=1000)
    lines = [f"{wording.accuracy_text(test)} of the sealed test photos named right" if test["total"] else "not tested"]
    if wording.caveat(result["split"]):
        lines.append("  no groups were given, so this may flatter (--group-by; the report says why)")
    return [
        *lines,
        *(f"  {finding}" for finding in findings(result)),
        f"report  {folder}/report.html",
        f"bundle  {folder}/bundle",
        f"next    foveal predict {wording.shell_word(wording.bundle_path(result))} PHOTO...",
    ]


def training_lines(result: Mapping[str, Any]) -> list[str]:
    """The end of a training in the terminal: plain text; see `summary_lines`."""
    test, noun = result["test"], training_page.noun_of(result)
    folder = printable(wording.run_folder(result), limit=1000)
    score = f"{wording.accuracy_text(test)} of the sealed test {noun}s named right" if test["total"] else "not tested"
    serious = [finding for finding in training_page.findings(result) if finding["severity"] == "warning"]
    lines = [
        score,
        f"  {training_page.curves_heading(result['history'])}",
        *(f"  {printable(each['title'])}" for each in serious),
    ]
    if test["total"]:
        lines.append(f"  {wording.confusion_heading(result['data']['classes'], test['confusion'], noun)}")
    lines.append(f"report  {folder}/report.html")
    if not result["bundle"]:
        return [*lines, f"weights {folder}/weights.safetensors"]
    word = wording.shell_word(wording.bundle_path(result))
    return [*lines, f"bundle  {folder}/bundle", f"next    foveal predict {word} {noun.upper()}..."]


def findings(result: Mapping[str, Any]) -> list[str]:
    """One to four sentences, the most pressing first."""
    doubted, curve = result["doubts"]["total"], result["learning_curve"]
    serious = [f for f in result["preflight"]["findings"] if f["severity"] != "note"]
    said = [wording.preflight_heading(serious)] if serious else []
    said.append(wording.confusion_heading(result["data"]["classes"], result["test"]["confusion"]))
    if doubted:
        said.append(wording.doubts_heading(doubted))
    if curve:
        said.append(wording.curve_heading(curve))
    return said


def class_table(result: Mapping[str, Any], *, most: int = 12, noun: str = "photo") -> Table:
    """The weakest classes as a rich table with a bar for recall; at most `most` rows."""
    from rich.progress_bar import ProgressBar
    from rich.table import Table
    from rich.text import Text

    rows = sorted(result["test"]["per_class"], key=lambda row: 2.0 if row["recall"] is None else row["recall"])
    left = f"{plural(len(rows) - most, 'more class', 'more classes')} in the report" if len(rows) > most else None
    table = Table(box=None, pad_edge=False, caption=left, caption_justify="left")
    table.add_column("class")
    table.add_column("recall", justify="right")
    table.add_column("")
    table.add_column("precision", justify="right")
    table.add_column(f"{noun}s", justify="right")
    for row in rows[:most]:
        bar = ProgressBar(total=1, completed=row["recall"] or 0, width=20)
        name = Text(printable(row["label"], limit=40))
        table.add_row(name, wording.percent(row["recall"]), bar, wording.percent(row["precision"]), str(row["support"]))
    return table
