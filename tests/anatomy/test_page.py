"""The page and the notebook's table, read back with an HTML parser."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest
from hypothesis import given, settings
from scoped_graphs import graphs, unet

from foveal.anatomy import Anatomy, count
from foveal.anatomy.page import COLUMNS, nested, page, table_html
from foveal.graph import Builder, Graph
from foveal.ops import Conv, Opaque, Relu
from foveal.text import printable
from foveal.zoo import create_graph

VOID = {"meta", "input", "br", "link", "img"}


class Page(HTMLParser):
    """What a page holds: rows of table cells, attributes by element, text; fails on elements that do not nest."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.rows: list[list[str]] = []
        self.said: list[str] = []
        self.feed(html)
        assert not self.open, f"not closed: {self.open}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("th", "td"):
            self.rows[-1].append("")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" in self.open or "script" in self.open:
            return
        self.said.append(data)
        if self.open and {"th", "td"} & {*self.open}:
            self.rows[-1][-1] += data.replace("\xa0", " ").strip("\n")

    def values(self, attribute: str) -> list[str]:
        return [found for _, attrs in self.elements if (found := attrs.get(attribute)) is not None]

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.said).split())


def rows_of(anatomy: Anatomy) -> list[str]:
    return [row.name for row in anatomy.rows]


@pytest.mark.parametrize("name", ["lenet5", "googlenet_paper_aux", "resnet50", "mobilenet_v2"])
def test_page_has_every_row_and_a_box_for_each(name: str) -> None:
    anatomy = count(create_graph(name))
    html = page(anatomy)
    read = Page(html)
    assert read.values("data-node")[-len(anatomy.rows) :] == rows_of(anatomy)
    boxed = [node for held in read.values("data-nodes") for node in held.split()]
    assert sorted(boxed) == sorted(rows_of(anatomy))
    assert len(read.values("id")) == len({*read.values("id")})
    assert page(anatomy) == html


@settings(max_examples=40, deadline=None)
@given(graphs())
def test_pages_of_random_networks(graph: Graph) -> None:
    anatomy = count(graph)
    html = page(anatomy)
    read = Page(html)
    rows = [attrs["data-node"] for tag, attrs in read.elements if tag == "tr" and "data-node" in attrs]
    assert sorted(map(str, rows)) == sorted(rows_of(anatomy))


@settings(max_examples=40, deadline=None)
@given(graphs())
def test_levels_hold_the_sums_of_the_rows_inside(graph: Graph) -> None:
    lines = list(nested(count(graph)))
    for line in lines:
        if line.level is not None:
            inside = [other.row for other in lines if line.level in other.inside and other.level is None]
            assert line.row.macs == sum(row.macs for row in inside)
            assert all(row.name.startswith(f"{line.row.name}.") for row in inside)
            assert line.row.nodes == len(inside) > 1


def test_levels_nest_and_only_styles_for_the_screen_close_them() -> None:
    html = page(count(create_graph("resnet50")))
    read = Page(html)
    rows = {attrs["id"]: attrs["class"] for tag, attrs in read.elements if tag == "tr" and "id" in attrs}
    stage, block = (rows["row-stage3.block2.conv1"] or "").split()
    assert rows["row-stage3.block2"] == f"level {stage}" and rows["row-stage3"] == "level"
    start = html.index("@media screen {\ntable")
    for level in (stage, block):
        number = level.removeprefix("in-")
        closed = f"table:has(#level-{number}:not(:checked)):not(:has(#every-level:checked)) .{level}:not(:target)"
        assert f"{closed} {{ display: none; }}" in html[start : html.index("</style>", start)]


def test_small_networks_start_open_and_large_ones_closed() -> None:
    for graph, is_open in ((unet(), True), (create_graph("resnet18"), False)):
        ticks = [attrs for tag, attrs in Page(page(count(graph))).elements if tag == "input"][
            1:
        ]  # after the one for all
        assert ticks and all(("checked" in attrs) == is_open for attrs in ticks)


def test_headline_and_numbers_with_their_full_value() -> None:
    html = page(count(create_graph("resnet50")))
    read = Page(html)
    assert "25.56 M parameters , 4.089 G MACs for one 224x224x3 image" in read.text
    for full, short in (("25,557,032", "25.56 M"), ("4,089,184,256", "4.089 G"), ("8,178,368,512", "8.178 G")):
        assert f'title="{full}">{short}</data>' in html
    values = 25_557_032 + 53_120  # parameters and the running statistics of the norms
    for precision, size in (("float32", 4 * values), ("float16", 2 * values), ("int8", values), ("int4", values // 2)):
        assert re.search(rf'<dt>on disk, {precision}</dt><dd><data value="{size}"', html)


def test_each_column_leads_to_its_definition() -> None:
    html = page(count(create_graph("lenet5")))
    read = Page(html)
    for key, (heading, meaning) in COLUMNS.items():
        assert f'<a href="#what-{key}">{heading}</a>' in html
        assert f"what-{key}" in read.values("id") and meaning in read.text
    for target in read.values("href"):
        assert target.removeprefix("#") in read.values("id")


def test_a_row_reads_as_the_terminal_does() -> None:
    rows = Page(page(count(create_graph("lenet5")))).rows
    assert rows[1][:9] == ["c1", "conv 6 5x5", "28x28x6", "156", "117.6 K", "4,704", "18.38 KiB", "5", "28.2 %"]
    assert rows[-1][:7] == ["total", "12 nodes", "", "61.71 K", "416.5 K", "19.33 K", "57.51 KiB"]


def test_warnings_and_notes_are_said_and_lead_to_their_rows() -> None:
    net = Builder("heavy")
    net(Conv(4, 4, padding="same"), net.input(3, 8, 8), name="even")
    anatomy = count(net.graph(), notes=["one step could not be read"])
    assert anatomy.warnings
    read = Page(page(anatomy))
    for warning in anatomy.warnings:
        assert warning.text in read.text and f"#row-{warning.node}" in read.values("href")
        assert warning.text in Page(table_html(anatomy)).text
    assert "one step could not be read" in read.text


def test_frozen_and_opaque_are_told_apart() -> None:
    net = Builder("partial")
    x = net(Conv(4, 1), net.input(3, 2, 2), name="conv")
    net(Opaque("custom", (4, 2, 2)), x, name="step")
    read = Page(page(count(net.graph(), frozen=["conv.weight"])))
    assert "( 12 frozen)" in read.text
    assert "1 step was seen from outside only. These totals leave out its work." in read.text


@pytest.mark.parametrize("text", ["</script><script>alert(1)</script>", "{{ 7*7 }}{% raw %}", "\x1b[31m\u202egnp.exe"])
def test_foreign_text_is_text(text: str) -> None:
    net = Builder("hostile")
    net(Opaque(text if text.isprintable() else "x", (3, 2, 2)), net.input(3, 2, 2))
    anatomy = count(net.graph(), notes=[text])
    for html in (page(anatomy), table_html(anatomy)):
        assert printable(text) in Page(html).text
        assert "<script>alert" not in html and "\x1b" not in html and "\u202e" not in html
        assert html.count("<script") == html.count("</script") <= 1


def test_it_needs_no_network_and_one_script() -> None:
    html = page(count(create_graph("googlenet")))
    assert re.findall(r"https?://[^\"<\s]*", html) == ["http://www.w3.org/2000/svg"]
    assert html.count("<script>") == 1 and not re.search(r"src=|@import|url\((?!#)", html)
    assert "prefers-color-scheme: dark" in html and "@media print" in html


def test_every_style_the_page_names_is_defined_and_used() -> None:
    html = page(count(create_graph("resnet50")))
    used = {name for held in Page(html).values("class") for name in held.split()}
    styles = " ".join(re.findall(r"<style>(.*?)</style>", html, re.DOTALL))
    defined = {*re.findall(r"\.([a-z][a-z-]+)(?=[ {>,:])", styles)}
    assert defined - used == {"lit", "caveat", "remarks"}  # set by the script, and for what this network has not


def test_the_notebooks_table() -> None:
    anatomy = count(create_graph("resnet50"))
    read = Page(table_html(anatomy))
    assert len(read.rows) == 175 + 2
    assert [row[0] for row in Page(table_html(anatomy, depth=1)).rows[1:]] == [
        "stem", "stage1", "stage2", "stage3", "stage4", "head", "total",
    ]  # fmt: skip
    assert anatomy._repr_html_() == table_html(anatomy)
    assert read.elements[0] == ("div", {"class": "foveal-anatomy"})
    (style,) = re.findall(r"<style>(.*?)</style>", table_html(anatomy), re.DOTALL)
    selectors = re.findall(r"^([^{}@]+){", style, re.M)
    assert selectors and all(
        part.strip().startswith(".foveal-anatomy") for line in selectors for part in line.split(",")
    )


def test_a_network_that_counts_nothing() -> None:
    net = Builder("none")
    net(Relu(), net.input(1, 2, 2))
    read = Page(page(count(net.graph())))
    assert "0 parameters , 0 MACs for one 2x2x1 image" in read.text
    assert read.rows[1][:5] == ["relu", "relu", "2x2x1", "", ""]
