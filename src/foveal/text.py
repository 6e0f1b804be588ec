"""Making foreign text (file names, class names) safe to show.

A file may be called ``photo[/].jpg``, carry ANSI codes, bytes that are not UTF-8 or a right-to-left override. Every
name that Foveal shows passes through one of these functions; HTML is escaped by the template engine after `printable`.
"""

from __future__ import annotations

import os
import re
import unicodedata

_HIDDEN = {"Cc", "Cf", "Cs", "Co", "Zl", "Zp"}  # control, format (bidi overrides), surrogate, private, separators


def printable(name: str | os.PathLike[str], *, limit: int = 200) -> str:
    r"""`name` with every invisible, control or undecodable character written as an escape, shortened in the middle.

    >>> printable("a\x1b[31mb")
    'a\\x1b[31mb'
    """
    text = "".join(_escape(c) if unicodedata.category(c) in _HIDDEN else c for c in os.fspath(name))
    if len(text) > limit:
        half = (limit - 1) // 2
        text = f"{text[:half]}…{text[-half:]}"
    return text


def _escape(char: str) -> str:
    code = ord(char)
    if 0xDC80 <= code <= 0xDCFF:  # a byte that is not UTF-8, as os.fsdecode keeps it
        return f"\\x{code - 0xDC00:02x}"
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def markdown(name: str | os.PathLike[str]) -> str:
    """`name` as literal text inside Markdown: nothing in it becomes a link, HTML, a heading or a table cell."""
    return (
        re.sub(r"([\\`*_{}\[\]()#+\-=.!|<>~&:@$])", r"\\\1", printable(name))
        .replace("\\<", "&lt;")
        .replace("\\>", "&gt;")
    )


def csv_cell(name: str | os.PathLike[str]) -> str:
    """`name` as a spreadsheet cell that is never run as a formula (``= + - @`` at its head gets an apostrophe)."""
    text = printable(name, limit=4096)
    return f"'{text}" if text.lstrip().startswith(("=", "+", "-", "@")) else text


def plural(count: int, noun: str, many: str | None = None) -> str:
    """``1 photo``, ``2 photos``, ``1,024 photos``."""
    return f"{count:,} {noun if count == 1 else many or noun + 's'}"
