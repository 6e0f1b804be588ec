from __future__ import annotations

import csv
import io

from foveal.anatomy.rows import count, fold
from foveal.anatomy.table import aligned, bar, csv_table, four_digits, markdown_table, size_text, sort_rows, table_lines
from foveal.graph import Builder
from foveal.ops import Opaque
from foveal.zoo import create_graph

ANATOMY = count(create_graph("lenet5"))


def test_numbers() -> None:
    assert [four_digits(n) for n in (0, 9_999, 10_000, 4_089_184_256, 10**12, 10**20)] == [
        "0", "9,999", "10 K", "4.089 G", "1 T", "100,000,000 T",
    ]  # fmt: skip
    assert [size_text(n) for n in (0, 1023, 1024, 602_112, 2**31, 2**60)] == [
        "0 B", "1023 B", "1 KiB", "588 KiB", "2 GiB", "1,048,576 TiB",
    ]  # fmt: skip
    assert [bar(share) for share in (0, 0.005, 0.5, 1)] == ["", "", "█████", "██████████"]


def test_the_lines() -> None:
    lines = table_lines(ANATOMY, ANATOMY.rows)
    assert len(lines) == 1 + 12 + 1 and len({len(line) for line in lines}) == 1
    assert lines[1][0] == "c1" and lines[1][2:4] == ["28x28x6", "156"]
    assert lines[-1][0] == "total" and lines[-1][3] == "61,706"
    text, left_out = aligned(lines)
    assert left_out == []
    assert {line.index("28x28x6") for line in text if "28x28x6" in line} == {text[0].index("output")}


def test_a_narrow_terminal_does_without_columns() -> None:
    anatomy = count(create_graph("efficientnet_b0"))
    lines = table_lines(anatomy, anatomy.rows)
    for width, missing in ((80, "op other activation share of MACs"), (120, "other activation"), (200, "")):
        text, left_out = aligned(lines, width)
        assert max(map(len, text)) <= width and " ".join(left_out) == missing
        assert all(line[0] in said for line, said in zip(lines, text, strict=True))


def test_what_is_not_known_is_no_zero() -> None:
    net = Builder("traced")
    net(Opaque("sort", (3, 4, 4)), net.input(3, 4, 4), name="it")
    anatomy = count(net.graph())
    assert table_lines(anatomy, anatomy.rows)[1][3:6] == ["", "?", "?"]


def test_sorting() -> None:
    assert [row.name for row in sort_rows(ANATOMY.rows, "parameters")[:3]] == ["c5", "f6", "c3"]
    assert [row.name for row in sort_rows(ANATOMY.rows, "name")[:3]] == ["c1", "c3", "c5"]


def test_csv_reads_back() -> None:
    rows = list(csv.DictReader(io.StringIO(csv_table(ANATOMY.rows))))
    assert [int(row["parameters"]) for row in rows] == [row.parameters for row in ANATOMY.rows]
    assert (rows[0]["field_size"], rows[0]["field_start"], rows[-1]["field_size"]) == ("5x5", "0x0", "globalxglobal")


def test_markdown_is_a_table() -> None:
    lines = markdown_table(ANATOMY, fold(ANATOMY, 1)).splitlines()
    assert lines[0].startswith("| name | op | output |") and set(lines[1]) <= set("| -:")
    assert len({line.replace("\\|", "").count("|") for line in lines}) == 1


def test_hostile_labels() -> None:
    net = Builder("hostile")
    net.input(3, 4, 4)
    net(Opaque("=cmd|'/c calc'!A0 | [x](http://y) \N{BOMB}", (3, 4, 4)), "input", name="it")
    anatomy = count(net.graph())
    assert "=cmd" not in csv_table(anatomy.rows).replace("'=cmd", "")
    (warning,) = anatomy.warnings
    assert warning.text.startswith("=cmd|'/c calc'")
