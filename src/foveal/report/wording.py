"""Numbers as text, and headings that say the finding: small pure functions of `result.json`.

Everything returned is plain text. Names inside are `printable` already; escaping for HTML or Markdown is the caller's.
A `noun` is what the data are: photos, or pictures of another kind.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from foveal.metrics import wilson
from foveal.text import plural, printable

Result = Mapping[str, Any]
SMALL = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
FAR_OFF, NEAR_ENOUGH = 0.05, 0.03  # calibration: an error worth a heading; a one-sided gap worth calling a lean


def percent(value: float | None) -> str:
    """``87.3 %``; what is not quite 0 or 100 % never rounds to it; a dash for None or NaN.

    >>> percent(0.9999)
    '> 99.9 %'
    """
    if value is None or value != value:
        return "–"
    if 0 < value < 0.0005:
        return "< 0.1 %"
    if 0.9995 <= value < 1:
        return "> 99.9 %"
    return f"{100 * value:.1f} %"


def share(count: int, total: int) -> str:
    """``87.3 % (412/472)``."""
    return f"{percent(count / total if total else None)} ({count:,}/{total:,})"


def number(value: float | None) -> str:
    """Four significant digits, a dash for None.

    >>> number(0.123456), number(1234.5), number(12)
    ('0.1235', '1,234', '12')
    """
    if value is None or value != value:
        return "–"
    if isinstance(value, int) or abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.4g}"


def accuracy_text(score: Result) -> str:
    """``87.3 % (412/472; 95 %: 84.0-90.0)``, from a mapping with accuracy, correct, total and interval."""
    low, high = score["interval"]
    counts = f"{score['correct']:,}/{score['total']:,}"
    return f"{percent(score['accuracy'])} ({counts}; 95 %: {100 * low:.1f}-{100 * high:.1f})"


def short(name: str) -> str:
    """A class or file name inside a sentence, in quotation marks."""
    return f"“{printable(name, limit=40)}”"


def counted(count: int, noun: str, many: str | None = None) -> str:
    """Like `plural`, small numbers as words: ``Two classes``, ``12 photos``."""
    if count < len(SMALL):
        return f"{SMALL[count]} {noun if count == 1 else many or noun + 's'}".capitalize()
    return plural(count, noun, many)


def first_sentence(text: str) -> tuple[str, str]:
    """A text cut after its first sentence (without the full stop): heading and rest."""
    head, _, rest = text.strip().partition(". ")
    return head.removesuffix("."), rest.strip()


def _hidden(match: re.Match[str]) -> str:
    char = match[0]
    if printable(char) == char:
        return "\\" + char if char in "\\'" else char
    return "".join(f"\\x{byte:02x}" for byte in char.encode("utf-8", "surrogateescape"))


def shell_word(name: str) -> str:
    r"""`name` as one word of bash or zsh, complete and copyable, with nothing invisible in it.

    >>> shell_word("my photos"), shell_word("a\x1bb")
    ("'my photos'", "$'a\\x1bb'")
    """
    if printable(name, limit=len(name) + 1) == name:
        word = shlex.quote(name)
        return f"./{word}" if name.startswith("-") else word
    prefix = "./" if name.startswith("-") else ""
    return f"$'{prefix}{re.sub('.', _hidden, name, flags=re.DOTALL)}'"


def bundle_path(result: Result) -> str:
    """Where the bundle is: the run's folder (`result["out"]`, or its default) and ``bundle``."""
    return f"{run_folder(result)}/bundle"


def run_folder(result: Result) -> str:
    return str(result.get("out") or f"runs/{result['name']}")


# --- findings -------------------------------------------------------------------------------------------------------


def meaning(test: Result, noun: str = "photo") -> str:
    """The headline in one plain sentence."""
    if not test["total"]:
        return f"There was no {noun} to test on, so nothing is known about how good this classifier is."
    low, high = test["interval"]
    return (
        f"Of 100 new {noun}s like these, expect about {100 * test['accuracy']:.0f} to be named right; "
        f"with {plural(test['total'], f'test {noun}')}, anything from {100 * low:.0f} to {100 * high:.0f} is plausible."
    )


def baseline(result: Result) -> tuple[str, float] | None:
    """The class that is most frequent in training, and what always answering it would score; None without a test."""
    counts = result["data"]["counts"]
    tested = sum(count.get("test", 0) for count in counts.values())
    if not tested:
        return None
    largest = max(counts, key=lambda label: counts[label].get("train", 0))
    return largest, counts[largest].get("test", 0) / tested


def caveat(split: Result) -> str | None:
    """What a score without groups cannot know; None where there are groups."""
    if split.get("group_by"):
        return None
    return (
        "This score may flatter. No groups were given, so photos of one object, place or moment can be in both the "
        "training and the test part, and the test is then easier than real life. Near-duplicates were kept together; "
        "if your photos come in series, run again with --group-by."
    )


def preflight_heading(findings: Sequence[Result], what: str = "the photos") -> str:
    if not findings:
        return f"Nothing wrong was found in {what}"
    if len(findings) == 1:
        return str(printable(findings[0]["title"]).rstrip("."))
    counts = [(sum(f["severity"] == kind for f in findings), kind) for kind in ("error", "warning", "note")]
    found = [plural(count, kind) for count, kind in counts if count]
    return f"{what.capitalize()} gave {', '.join(found[:-1])}{' and ' if found[:-1] else ''}{found[-1]}"


def confused_pairs(classes: Sequence[str], confusion: Sequence[Sequence[int]]) -> list[tuple[str, str, int, int]]:
    """All mistakes by kind: (true, predicted, how many, photos of the true class), most frequent first."""
    rows = [sum(row) for row in confusion]
    pairs = [
        (classes[i], classes[j], count, rows[i])
        for i, row in enumerate(confusion)
        for j, count in enumerate(row)
        if i != j and count
    ]
    return sorted(pairs, key=lambda pair: -pair[2])


def confusion_heading(classes: Sequence[str], confusion: Sequence[Sequence[int]], noun: str = "photo") -> str:
    """Where the mistakes are: one pair of classes, a few classes, or everywhere."""
    pairs = confused_pairs(classes, confusion)
    mistakes = sum(count for _, _, count, _ in pairs)
    if not sum(map(sum, confusion)):
        return f"There was no {noun} to test on"
    if not mistakes:
        return f"No {noun} of the test part was named wrong"
    if mistakes == 1:
        return f"One mistake: {short(pairs[0][0])} was taken for {short(pairs[0][1])}"
    if len(pairs) == 1 or len(classes) == 2:
        return "; ".join(f"{short(a)} was taken for {short(b)} {_times(count)}" for a, b, count, _ in pairs[:2])
    mixed: dict[frozenset[str], int] = {}
    missed: dict[str, int] = {}
    for true, predicted, count, _ in pairs:
        key = frozenset((true, predicted))
        mixed[key] = mixed.get(key, 0) + count
        missed[true] = missed.get(true, 0) + count
    pair, worst = max(mixed.items(), key=lambda item: item[1])
    if 2 * worst > mistakes:
        a, b = sorted(pair)
        return f"{short(a)} and {short(b)}, taken for each other, make {worst} of {mistakes} mistakes"
    heavy, reached = 0, 0
    for count in sorted(missed.values(), reverse=True):
        heavy, reached = heavy + 1, reached + count
        if 2 * reached > mistakes:
            break
    if heavy <= max(1, min(3, len(classes) // 3)):
        return f"{counted(heavy, 'class', 'classes')} cause{'s' if heavy == 1 else ''} most errors"
    spread = f"all {len(classes)}" if len(missed) == len(classes) else f"{len(missed)} of {len(classes)}"
    return f"The {mistakes} mistakes are spread over {spread} classes"


def _times(count: int) -> str:
    return ("once", "twice")[count - 1] if count <= 2 else f"{count} times"


def class_heading(rows: Sequence[Result], accuracy: float, noun: str = "photo") -> str:
    """Whether a class is clearly weaker (the whole interval of its recall lies below the accuracy)."""
    seen = [(row["recall"], row["support"], row["label"]) for row in rows if row["support"]]
    if not seen:
        return f"No class had a {noun} to test on"
    if all(recall == 1 for recall, _, _ in seen):
        return f"Every test {noun} of every class was recognised"
    weak = [(r, n, label) for r, n, label in seen if wilson(round(r * n), n)[1] < accuracy]
    if not weak:
        return "No class is clearly weaker than the others"
    recall, support, label = min(weak)
    found = f"{short(label)} is found only {round(recall * support)} times out of {support}"
    return found if len(weak) == 1 else f"{counted(len(weak), 'class', 'classes')} are clearly weaker; {found}"


def reliability_heading(test: Result) -> str:
    """Whether its confidence can be believed, and which way it leans."""
    bins = [b for b in test["reliability"] if b["count"]]
    total = sum(b["count"] for b in bins)
    if not total:
        return "How far its confidence can be trusted is not known"
    said = sum(b["confidence"] * b["count"] for b in bins) / total
    right = sum(b["accuracy"] * b["count"] for b in bins) / total
    if test["calibration_error"] <= FAR_OFF:
        return "Its confidence can be taken at its word"
    if said - right > NEAR_ENOUGH:
        return f"It is surer than it should be: it says {100 * said:.0f} % and is right {100 * right:.0f} % of the time"
    if right - said > NEAR_ENOUGH:
        return f"It is better than it thinks: it says {100 * said:.0f} % and is right {100 * right:.0f} % of the time"
    return f"Its confidence is off by {100 * test['calibration_error']:.0f} points on average, to both sides"


def curve_heading(curve: Result | None) -> str:
    if not curve or not curve["points"]:
        return "Too few photos to say whether more would help"
    return printable(first_sentence(curve["verdict"])[0])


def doubts_heading(total: int) -> str:
    return f"{counted(total, 'photo')} may carry the wrong label" if total else "No label is in doubt"


def mistakes_heading(mistakes: Sequence[Result], noun: str = "photo") -> str:
    if not mistakes:
        return "There is no mistake to show"
    worst = max(mistakes, key=lambda row: float(row["probability"]))
    sure, photo = percent(worst["probability"]), f"a {noun} of {short(worst['label'])}"
    return f"The worst mistake: {sure} sure of {short(worst['predicted'])} for {photo}"


def rejection_heading(rejection: Result, tested: Result | None = None) -> str:
    """`tested` counts the sealed test photos called unknown, which says more than the training part does."""
    if rejection["threshold"] is None:
        return "It always names one of its classes, whatever the photo shows"
    known, unknown = rejection["known_rejected"], rejection["unknown_accepted"]
    if not known or not unknown:
        return "It can answer “none of these”, but how well is not known"
    strangers = f"and lets {percent(unknown['rate'])} of strangers in"
    if tested and tested["total"]:
        share = percent(tested["count"] / tested["total"])
        return f"“None of these” turned away {share} of the sealed test photos {strangers}"
    return f"“None of these” turns away {percent(known['rate'])} of its own classes {strangers}"


def method_heading(result: Result) -> str:
    head, features, tried = result["head"], result["features"], len(result["head"]["candidates"])
    what = f"A {printable(head['kind'])} head on {printable(features['backbone'])} features"
    best = f", the best of {counted(tried, 'candidate').lower()}" if tried > 1 else ""
    return f"{what}{best}, in {seconds(result['seconds']['total'])}"


def seconds(value: float) -> str:
    return f"{value:.1f} s" if value < 60 else f"{int(value // 60)} min {value % 60:.0f} s"
