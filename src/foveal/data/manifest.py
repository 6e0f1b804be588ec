"""Manifest files: CSV, TSV or JSON lines that name each photo and its class.

Columns ``path`` and ``label``, and where wanted ``split`` (train, val or test) and ``group``; any others are allowed.
Relative paths start at the manifest's folder.
"""

from __future__ import annotations

import csv
import io
import json
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

from foveal.data.dataset import Dataset, Item, Refusal
from foveal.errors import DataError
from foveal.text import printable

SPLITS = {"train": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}
"""The names a split may have, and the one it gets."""

_DELIMITERS = {".csv": ",", ".tsv": "\t"}
_JSON_LINES = {".jsonl", ".ndjson"}


def read_manifest(path: Path, group_column: str | None = None) -> Dataset:
    """Read a manifest. Files that are missing, or are folders, are refused and not fatal.

    Parameters
    ----------
    path : a file that ends in .csv, .tsv, .jsonl or .ndjson; UTF-8, with or without a byte order mark.
    group_column : the column that becomes `Item.group`; where the manifest has none of that name, ``group``.

    Raises
    ------
    DataError : with the line number: a missing column or value, bad JSON, a split that is none, or that only some
        lines have.
    """
    rows = list(_rows(path))
    if not rows:
        raise DataError(f"{printable(path)}: the manifest lists no photos; expected columns path,label[,split][,group]")
    names = {name for _, row in rows for name in row}
    column = group_column if group_column in names else "group"
    items, refused = [], []
    for line, row in rows:
        file = path.parent / _text(path, line, row, "path", required=True)
        label = _text(path, line, row, "label", required=True)
        item = Item(file, label, _split(path, line, row), _text(path, line, row, column) or None)
        reason = _problem(file)
        if reason:
            refused.append(Refusal(file, reason))
        else:
            items.append(item)
        if (item.split is None) != (_split(path, *rows[0]) is None):
            _fail(path, line, "split is given on some lines only", "give every line train, val or test, or none")
    classes = sorted({_text(path, line, row, "label") for line, row in rows})
    items.sort(key=lambda item: (str(item.path), item.label))
    if not items:
        raise DataError(
            f"{printable(path)}: none of its {len(refused)} files can be used, the first is "
            f"{printable(refused[0].path)} ({refused[0].reason}); relative paths start at the manifest's folder"
        )
    return Dataset(path, "manifest", tuple(items), tuple(classes), tuple(sorted(refused, key=lambda r: str(r.path))))


def columns(path: Path) -> frozenset[str]:
    """The names of a manifest's columns (for JSON lines: all keys)."""
    return frozenset(name for _, row in _rows(path) for name in row)


def _rows(path: Path) -> Iterator[tuple[int, dict[str, object]]]:
    """Line number and values of each line that is not blank."""
    suffix = path.suffix.lower()
    if suffix in _JSON_LINES:
        return _json_rows(path, _read(path))
    if suffix in _DELIMITERS:
        return _table_rows(path, _read(path), _DELIMITERS[suffix])
    raise DataError(
        f"{printable(path)}: not a folder and not a manifest; expected a folder of class folders, .csv, .tsv or .jsonl"
    )


def _read(path: Path) -> str:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DataError(f"{printable(path)}: cannot be read ({error.strerror}); expected a manifest file") from error
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        _fail(path, line, "not UTF-8 text", "save the manifest as UTF-8")


def _table_rows(path: Path, text: str, delimiter: str) -> Iterator[tuple[int, dict[str, object]]]:
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    header: list[str] = []
    try:
        for cells in reader:
            if not any(cell.strip() for cell in cells):
                continue
            if not header:
                header = _header(path, reader.line_num, cells)
                continue
            if len(cells) > len(header):
                _fail(
                    path,
                    reader.line_num,
                    f"{len(cells)} values under {len(header)} columns",
                    "put values that hold the separator in double quotes",
                )
            yield reader.line_num, dict(zip(header, cells, strict=False))
    except csv.Error as error:
        _fail(path, reader.line_num, f"cannot be parsed ({error})", "a table with one photo a line")


def _header(path: Path, line: int, cells: list[str]) -> list[str]:
    header = [cell.strip() for cell in cells]
    header = [name.lower() if name.lower() in ("path", "label", "split", "group") else name for name in header]
    missing = [name for name in ("path", "label") if header.count(name) != 1]
    if missing:
        received = printable(", ".join(header))
        _fail(
            path,
            line,
            f"the columns are {received}",
            f"a header line with exactly one column {' and one '.join(missing)}",
        )
    return header


def _json_rows(path: Path, text: str) -> Iterator[tuple[int, dict[str, object]]]:
    for line, content in enumerate(text.split("\n"), start=1):
        if not content.strip():
            continue
        try:
            row = json.loads(content)
        except (ValueError, RecursionError) as error:
            reason = getattr(error, "msg", "too deep")
            _fail(path, line, f"bad JSON ({reason})", '{"path": "a.jpg", "label": "cat"} on each line')
        if not isinstance(row, dict):
            _fail(path, line, "not a JSON object", '{"path": "a.jpg", "label": "cat"} on each line')
        yield line, row


def _text(path: Path, line: int, row: dict[str, object], name: str, *, required: bool = False) -> str:
    value = row.get(name)
    if isinstance(value, int) and not isinstance(value, bool) and name != "path":
        value = str(value)
    if value is None:
        value = ""
    if not isinstance(value, str):
        _fail(path, line, f"{printable(name)} is {printable(str(value))}", "text")
    if name != "path":
        value = value.strip()
    if "\0" in value:
        _fail(path, line, f"{printable(name)} holds a NUL character", "text")
    if required and not value.strip():
        _fail(path, line, f"no {name}", "a path and a label on every line")
    return value


def _split(path: Path, line: int, row: dict[str, object]) -> str | None:
    value = _text(path, line, row, "split")
    if not value:
        return None
    if value.lower() not in SPLITS:
        _fail(path, line, f"split is {printable(value)!r}", "train, val or test")
    return SPLITS[value.lower()]


def _problem(file: Path) -> str | None:
    """Why a listed file cannot be a photo, as far as can be said without opening it."""
    try:
        mode = file.stat().st_mode
    except FileNotFoundError:
        return "no such file"
    except OSError as error:
        return f"cannot be looked at ({error.strerror})"
    if stat.S_ISDIR(mode):
        return "a folder, not a photo"
    return None if stat.S_ISREG(mode) else "not a regular file"


def _fail(path: Path, line: int, what: str, expected: str) -> NoReturn:
    raise DataError(f"{printable(path)}, line {line}: {what}; expected {expected}")
