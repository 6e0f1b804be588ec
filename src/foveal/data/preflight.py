"""What is wrong with the photos, said before anything is trained on them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from foveal.data.dataset import Dataset, Photo, Refusal
from foveal.data.hashing import Duplicates, find_duplicates
from foveal.data.scan import NOT_A_PHOTO
from foveal.errors import DataError
from foveal.text import plural, printable

_FEW = 10  # photos a class
_IMBALANCE = 5.0
_TINY = 32  # pixels
_ORDER = ("error", "warning", "note")


@dataclass(frozen=True)
class FindingRow:
    """One instance of a finding: the files it is about, and what is to be said about them."""

    paths: tuple[Path, ...]
    text: str


@dataclass(frozen=True)
class Finding:
    """One thing the pre-flight found.

    Attributes
    ----------
    kind : a fixed name, e.g. ``"near_duplicates"``.
    severity : ``"error"`` (nothing can be trained so), ``"warning"`` or ``"note"``.
    title : the finding as a sentence, with counts.
    advice : the next step.
    rows : the instances.
    """

    kind: str
    severity: Literal["error", "warning", "note"]
    title: str
    advice: str
    rows: tuple[FindingRow, ...] = field(default=())

    def to_json(self) -> dict[str, object]:
        """As plain data; paths become text."""
        rows = [{"paths": [str(path) for path in row.paths], "text": row.text} for row in self.rows]
        fields: dict[str, object] = {"kind": self.kind, "severity": self.severity, "title": self.title}
        return {**fields, "advice": self.advice, "rows": rows}


def preflight(
    dataset: Dataset,
    photos: Sequence[Photo],
    refused: Sequence[Refusal] = (),
    *,
    duplicates: Duplicates | None = None,
    grouped: bool = False,
) -> list[Finding]:
    """Look the photos over.

    Parameters
    ----------
    dataset : what the scan found.
    photos : those that could be read.
    refused : those that could not; what the scan refused is in `dataset` and is counted once.
    duplicates : as `find_duplicates` gives them; found here if absent.
    grouped : whether photos of one object are known to belong together (`Grouping.by`).

    Returns
    -------
    Findings, errors first, then warnings, then notes.
    """
    duplicates = find_duplicates(photos) if duplicates is None else duplicates
    findings = [
        *_refusals(tuple(dict.fromkeys((*dataset.refused, *refused)))),
        *_counts(dataset, photos),
        *_sizes(photos),
        *_duplicates(photos, duplicates),
        *_splits(photos),
    ]
    if not grouped and photos:
        findings.append(
            Finding(
                "no_groups",
                "note",
                "Nothing says which photos show the same object, so the score may flatter",
                "photos of one object, one person or one moment resemble each other; where some are in training and "
                "some in the test part, new objects will do worse than the score. Give --group-by parent, exif, a "
                "manifest column or a pattern",
            )
        )
    return sorted(findings, key=lambda finding: _ORDER.index(finding.severity))


def require_trainable(findings: Sequence[Finding]) -> None:
    """Raise one DataError that names every finding of severity ``"error"``."""
    errors = [finding for finding in findings if finding.severity == "error"]
    if errors:
        raise DataError("\n".join(f"{error.title}: {_named(error)}{error.advice}" for error in errors))


def _named(finding: Finding) -> str:
    shown = "; ".join(row.text for row in finding.rows[:5])
    more = f"; and {len(finding.rows) - 5:,} more" if len(finding.rows) > 5 else ""
    return f"{shown}{more}. " if shown else ""


def _refusals(refused: tuple[Refusal, ...]) -> list[Finding]:
    findings = []
    ignored = [one for one in refused if one.reason.startswith(NOT_A_PHOTO)]
    unreadable = [one for one in refused if not one.reason.startswith(NOT_A_PHOTO)]
    if unreadable:
        verb = "was" if len(unreadable) == 1 else "were"
        findings.append(
            Finding(
                "unreadable",
                "warning",
                f"{plural(len(unreadable), 'file')} cannot be used and {verb} set aside",
                "replace or remove them; nothing was deleted and the rest is used",
                tuple(FindingRow((one.path,), one.reason) for one in unreadable),
            )
        )
    if ignored:
        verb = "is not a photo and was" if len(ignored) == 1 else "are not photos and were"
        findings.append(
            Finding(
                "ignored",
                "note",
                f"{plural(len(ignored), 'file')} {verb} passed over",
                "nothing needs doing, unless they should be photos: then give them the right file ending",
                tuple(FindingRow((one.path,), one.reason) for one in ignored),
            )
        )
    return findings


def _counts(dataset: Dataset, photos: Sequence[Photo]) -> list[Finding]:
    counts = Counter(photo.item.label for photo in photos)
    if not counts:
        advice = "add photos that open in an image viewer, in one folder per class"
        return [Finding("no_photos", "error", "No photo could be read", advice)]
    findings = []
    different = {label: set[str]() for label in counts}
    for photo in photos:
        different[photo.item.label].add(photo.sha256)
    if len(set().union(*different.values())) == 1 and len(photos) > 1:
        title = f"All {len(photos):,} photos are the same file"
        findings.append(Finding("identical", "error", title, "add photos that differ"))
    if len(counts) == 1:
        findings.append(_one_class(dataset, next(iter(counts))))
    few = {label: len(different[label]) for label in sorted(counts) if len(different[label]) < _FEW}
    one = [label for label, count in few.items() if count < 2]
    if one:
        title = _classes(len(one), "has fewer than two different photos", "have fewer than two different photos")
        findings.append(Finding("small_class", "error", title, "add photos, or remove the class", _rows(photos, one)))
    some = [label for label in few if label not in one]
    if some:
        title = _classes(len(some), f"has fewer than {_FEW} photos", f"have fewer than {_FEW} photos")
        advice = "add photos: what is measured on so few says little"
        findings.append(Finding("small_class", "warning", title, advice, _rows(photos, some)))
    empty = [label for label in dataset.classes if label not in counts]
    if empty:
        listed = Counter(item.label for item in dataset.items)
        rows = tuple(
            FindingRow((), f"{printable(label)}: {'none can be read' if listed[label] else 'no photos'}")
            for label in empty
        )
        title = _classes(len(empty), "has no photos and is left out", "have no photos and are left out")
        findings.append(Finding("empty_class", "warning", title, "add photos, or remove the class", rows))
    large, small = max(sorted(counts), key=counts.__getitem__), min(sorted(counts), key=counts.__getitem__)
    if counts[large] > _IMBALANCE * counts[small]:
        title = f"The largest class has {counts[large] / counts[small]:.1f} times the photos of the smallest"
        text = f"{printable(large)} has {counts[large]:,}, {printable(small)} has {counts[small]:,}"
        advice = "add photos to the small classes; class weights make up for a part of it"
        findings.append(Finding("imbalance", "warning", title, advice, (FindingRow((), text),)))
    return findings


def _one_class(dataset: Dataset, label: str) -> Finding:
    advice = "a classifier needs two classes or more; put the photos in one folder per class"
    inside = dataset.root / label
    if dataset.kind == "folders" and any(item.path.parent != inside for item in dataset.items):
        advice += f" (or, if the folders inside it are the classes, give {printable(inside)})"
    return Finding("one_class", "error", f"All photos are of one class, {printable(label)}", advice)


def _sizes(photos: Sequence[Photo]) -> list[Finding]:
    tiny = [photo for photo in photos if min(photo.width, photo.height) < _TINY]
    if not tiny:
        return []
    title = f"{plural(len(tiny), 'photo')} {'is' if len(tiny) == 1 else 'are'} smaller than {_TINY} pixels"
    rows = tuple(FindingRow((photo.item.path,), f"{photo.width} x {photo.height}") for photo in tiny)
    return [
        Finding("tiny", "warning", title, "use larger pictures where there are any: little can be seen in these", rows)
    ]


def _duplicates(photos: Sequence[Photo], duplicates: Duplicates) -> list[Finding]:
    findings: list[Finding] = []
    for kind, what, found in (
        ("exact_duplicates", "exact copies", duplicates.exact),
        ("near_duplicates", "near copies (another size, compression or brightness)", duplicates.near),
    ):
        if found:
            count = sum(map(len, found))
            title = f"{plural(count, 'photo')} are {what} of one another, in {plural(len(found), 'group')}"
            advice = "keep one of each; until then they stay in the same part, so the score is not flattered"
            rows = tuple(_row(photos, group, plural(len(group), "copy", "copies")) for group in found)
            findings.append(Finding(kind, "note", title, advice, rows))
    groups = _merged(duplicates, len(photos))
    mixed = [group for group in groups if len({photos[index].item.label for index in group}) > 1]
    if mixed:
        title = f"{plural(len(mixed), 'photo')} {'is' if len(mixed) == 1 else 'are'} filed under two classes or more"
        rows = tuple(_row(photos, group, _distinct(photos, group)) for group in mixed)
        advice = "keep each in the class it belongs to; a wrong label teaches the wrong thing"
        findings.append(Finding("two_classes", "warning", title, advice, rows))
    has_test = _has_test(photos)
    shared = [group for group in groups if len(_parts([photos[index] for index in group], has_test)) > 1]
    if shared:
        title = f"{plural(len(shared), 'photo')} {'is' if len(shared) == 1 else 'are'} in both training and test"
        rows = tuple(_row(photos, group, "the training copy is set aside") for group in shared)
        advice = "remove the training copies; until then they are set aside, so the test part stays clean"
        findings.append(Finding("shared_by_splits", "warning", title, advice, rows))
    return findings


def _merged(duplicates: Duplicates, count: int) -> list[tuple[int, ...]]:
    """Groups of copies of either kind."""
    covered = {index for group in duplicates.near for index in group}
    return sorted([*duplicates.near, *(group for group in duplicates.exact if group[0] not in covered)])


def _has_test(photos: Sequence[Photo]) -> bool:
    return any(photo.item.split == "test" for photo in photos)


def _parts(photos: Sequence[Photo], has_test: bool) -> set[str]:
    """The parts that photos are in, as `foveal.data.split.split` will read the given split."""
    held_out = "test" if has_test else "val"
    return {"test" if photo.item.split == held_out else "train" for photo in photos if photo.item.split}


def _splits(photos: Sequence[Photo]) -> list[Finding]:
    has_test = _has_test(photos)
    parts: dict[str, set[str]] = {}
    for photo in photos:
        parts.setdefault(photo.item.label, set()).update(_parts([photo], has_test))
    if not {"train", "test"} <= set().union(*parts.values()):
        return []
    lacking = {label: found for label, found in sorted(parts.items()) if len(found) == 1}
    if not lacking:
        return []
    rows = tuple(
        FindingRow((), f"{printable(label)}: only in the {'test' if 'test' in found else 'training'} part")
        for label, found in lacking.items()
    )
    title = _classes(len(lacking), "is missing in training or in test", "are missing in training or in test")
    advice = (
        "a class without training photos cannot be learnt, one without test photos is not measured; check the names"
    )
    return [Finding("missing_in_split", "warning", title, advice, rows)]


def _rows(photos: Sequence[Photo], labels: Sequence[str]) -> tuple[FindingRow, ...]:
    paths: dict[str, list[Path]] = {label: [] for label in labels}
    for photo in photos:
        if photo.item.label in paths:
            paths[photo.item.label].append(photo.item.path)
    return tuple(
        FindingRow(tuple(found), f"{printable(label)}: {plural(len(found), 'photo')}") for label, found in paths.items()
    )


def _row(photos: Sequence[Photo], group: Sequence[int], text: str) -> FindingRow:
    return FindingRow(tuple(photos[index].item.path for index in group), text)


def _distinct(photos: Sequence[Photo], group: Sequence[int]) -> str:
    return ", ".join(printable(label) for label in sorted({photos[index].item.label for index in group}))


def _classes(count: int, one: str, many: str) -> str:
    return f"{plural(count, 'class', 'classes')} {one if count == 1 else many}"
