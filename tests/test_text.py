"""Markdown is checked with markdown-it-py, CSV with the csv module; nothing here trusts our own escaping."""

from __future__ import annotations

import html
import re
import unicodedata
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from foveal.text import csv_cell, markdown, plural, printable

HOSTILE = [
    "red\x1b[31m\x1b]8;;http://evil\x07",
    "gpj.\u202eexe",
    "nul\x00byte",
    "two\nlines\r\n# heading",
    "bytes\udcff\udc80",
    "lone\ud800half",
    "\u2028\u2029\u200b\ufeff\ue000\U000e0041",
    "photo[/].jpg",
    "<script>alert(1)</script>",
    "",
    " ",
    "x" * 4000,
    "\x1b" * 4000,
]


@pytest.mark.parametrize("name", HOSTILE, ids=ascii)
def test_printable_leaves_nothing_that_acts(name: str) -> None:
    text = printable(name)
    assert len(text) <= 200
    assert not {unicodedata.category(c) for c in text} & {"Cc", "Cf", "Cs", "Co", "Zl", "Zp"}
    text.encode("utf-8")  # a surrogate would raise
    assert len(text.splitlines()) <= 1


def test_printable_shows_what_it_replaced() -> None:
    assert printable("a\x1bb\x00\n\u202e\udcff\ud800\U000e0041") == r"a\x1bb\x00\x0a\u202e\xff\ud800\U000e0041"
    assert printable(Path("été/日本 🐱.jpg")) == "été/日本 🐱.jpg"


def test_printable_shortens_in_the_middle() -> None:
    assert printable("a" * 10 + "b" * 10, limit=9) == "aaaa…bbbb"
    assert printable("a" * 200) == "a" * 200


CONTEXTS = {
    "paragraph": ("before {} after", {"p"}),
    "first on a line": ("before\n{}", {"p"}),
    "list": ("- x {}", {"ul", "li"}),
    "heading": ("# {}", {"h1"}),
    "table": ("| a | b |\n|---|---|\n| x {} | y |", {"table", "thead", "tbody", "tr", "th", "td"}),
}
MARKDOWN = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])


def shown(source: str) -> tuple[str, set[str]]:
    page = MARKDOWN.render(source)
    return " ".join(html.unescape(re.sub(r"</?\w+[^>]*>", " ", page)).split()), set(re.findall(r"<(\w+)", page))


@pytest.mark.parametrize("context", CONTEXTS)
@given(st.text(st.characters() | st.sampled_from("\\`*_{}[]()#+-=.!|<>~&:@$\n 1a"), min_size=1, max_size=30))
@example("[x](javascript:alert(1))")
@example("![x](http://evil/pixel.png)")
@example("<img src=x onerror=alert(1)>")
@example("</td></table><script>")
@example("a|b||c")
@example("===")
@example("---")
@example("1. one")
@example("&lt;b&gt; &amp;")
@example("\\<b\\>")
@example("~~gone~~ __bold__ `code`")
@example("$x^2$")
def test_markdown_shows_the_name_and_nothing_else(context: str, name: str) -> None:
    template, tags = CONTEXTS[context]
    text, found = shown(template.format(markdown(name)))
    assert found == tags
    assert "".join(printable(name).split()) in "".join(text.split())


def test_markdown_escapes_the_mathematics_that_some_readers_add() -> None:
    assert markdown("$x$") == r"\$x\$"


@pytest.mark.parametrize("head", ["=", "+", "-", "@", " =", "\u00a0@"])
def test_no_cell_begins_a_formula(head: str) -> None:
    assert csv_cell(head + "HYPERLINK(1)") == f"'{head}HYPERLINK(1)"


@pytest.mark.parametrize("name", ["\t=1+1", "\r=1+1", "\n=1"])
def test_no_cell_begins_with_white_space_that_spreadsheets_skip(name: str) -> None:
    assert csv_cell(name)[0] == "\\"


def test_an_ordinary_cell_stays_as_it_is() -> None:
    assert [csv_cell(name) for name in ("cat.jpg", "a=b", "")] == ["cat.jpg", "a=b", ""]
    assert csv_cell("x" * 3000) == "x" * 3000  # a path must stay usable


def test_plural() -> None:
    assert [plural(n, "photo") for n in (0, 1, 2, 1024)] == ["0 photos", "1 photo", "2 photos", "1,024 photos"]
    assert plural(2, "class", "classes") == "2 classes"
