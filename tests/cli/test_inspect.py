"""`foveal inspect`, `foveal layer` and `foveal code` as processes of their own."""

from __future__ import annotations

import csv
import io
import json
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest
from PIL import Image

from small_photos import on_terminal, run

SMALL = "32x32x3 > conv 8 3x3 same relu > conv 16 5x5 /2 same relu > flatten > dense 512 relu > dense 4 softmax"


def said(*words: str | Path) -> str:
    done = run(*words)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_table_with_its_totals_and_remarks() -> None:
    text = said("inspect", SMALL)
    assert "2,103,156" in text and "holds 2,097,664 of 2,103,156 parameters (99.7 %)" in text
    assert "\x1b" not in text  # not a terminal


def test_formats() -> None:
    data = json.loads(said("inspect", "lenet5", "--format", "json"))
    assert data["totals"]["parameters"] == 61_706 and len(data["rows"]) == 12
    rows = list(csv.DictReader(io.StringIO(said("inspect", "lenet5", "--format", "csv"))))
    assert sum(int(row["macs"]) for row in rows) == 416_520
    assert said("inspect", "lenet5", "--format", "markdown").startswith("| name | op |")
    assert ElementTree.fromstring(said("inspect", "lenet5", "--format", "svg")).tag.endswith("svg")
    assert "<html" in said("inspect", "lenet5", "--format", "html")


def test_depth_sort_explain_and_another_input() -> None:
    lines = said("inspect", "resnet18", "--depth", "1").splitlines()
    assert [line.split()[0] for line in lines[2:8]] == ["stem", "stage1", "stage2", "stage3", "stage4", "head"]
    rows = json.loads(said("inspect", "lenet5", "--sort", "parameters", "--format", "json"))["rows"]
    assert rows[0]["name"] == "c5"
    assert "16 filters x (5 x 5 x 6 weights + 1 bias) = 2,416" in said("inspect", "lenet5", "--explain")
    formulas = json.loads(said("inspect", "lenet5", "--explain", "--format", "json"))["formulas"]
    assert formulas["c1"][0] == "height and width: (32 - 5)/1 + 1 = 28"
    for shape in ("3x64x64", "64x64x3"):
        assert json.loads(said("inspect", "resnet18", "--input", shape, "--format", "json"))["input_shape"] == [
            3,
            64,
            64,
        ]


def test_memory() -> None:
    words = ("inspect", "resnet18", "--batch", "8", "--optimizer", "sgd", "--fit", "2GiB")
    memory = json.loads(said(*words, "--format", "json"))["memory"]
    assert memory["training"]["bytes"]["optimizer"] == 0 and memory["fit"]["batch"] > 8
    assert "largest batch in 2 GiB (sgd, float32)" in said(*words)


def test_one_unit_and_its_drawings(tmp_path: Path) -> None:
    assert said("inspect", "lenet5", "--at", "c3[0,1]") == "height: 0..13\nwidth: 2..15\n"
    axes = json.loads(said("inspect", "resnet18", "--at", "stem.conv[0, 5]", "--format", "json"))["axes"]
    assert axes[0] == {"first": 0, "last": 3, "before": 3, "after": 0}
    Image.new("RGB", (300, 200), "teal").save(tmp_path / "photo.png")
    target = tmp_path / "seen.png"
    said("inspect", "resnet18", "--at", "stage1.block1.conv1[10,20]", "--on", tmp_path / "photo.png", "--out", target)
    with Image.open(target) as seen:
        assert seen.size == (224, 224)
    assert ElementTree.fromstring(said("inspect", "lenet5", "--lattice", "c5")).tag.endswith("svg")


def test_two_networks() -> None:
    text = said("inspect", "resnet50_paper", "--vs", "resnet50")
    assert text.startswith("resnet50_paper against resnet50:") and "parameters: 25,557,032 | 25,557,032" in text
    assert json.loads(said("inspect", "lenet5", "--vs", "lenet5", "--format", "json"))["different"] == []
    lines = said("inspect", "8x8x3 > conv 8 3", "--vs", "8x8x3 > conv 8 3 relu").splitlines()
    assert lines[:2] == [
        "network (first) against network (second): 1 of 2 rows differ",
        "relu1 (Relu, 0 parameters): only in network (second)",
    ]


MODEL = """
import torch

class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        print("building")
        self.conv = torch.nn.Conv2d(3, 4, 3)

    def forward(self, x):
        print("running")
        return self.conv(x).sort().values
"""


def test_a_model_of_ones_own(tmp_path: Path) -> None:
    """What it prints stays out of the answer; what was not recovered is said once, and is no zero."""
    (tmp_path / "nets.py").write_text(MODEL)
    words = ("inspect", f"{tmp_path / 'nets.py'}:Net", "--input", "3x8x8")
    done = run(*words, "--format", "json")
    assert json.loads(done.stdout)["totals"]["opaque"] == 1 and done.stderr == "building\nrunning\n"
    text = said(*words)
    assert "; not counted: the work of 1 opaque step" in text and text.count("seen from outside only") == 1


def test_in_a_narrow_terminal() -> None:
    code, text = on_terminal("inspect", "resnet50", env={"COLUMNS": "80"})
    shown = text.splitlines()
    assert code == 0 and max(map(len, shown)) <= 80
    assert "(no room for op, other, activation, share of MACs: widen the window" in text


def test_help_shows_what_is_in_brackets() -> None:
    assert "NODE[y,x]" in said("inspect", "--help") and "for pooling" in said("layer", "--help")


def test_into_a_file(tmp_path: Path) -> None:
    target = tmp_path / "net.html"
    done = run("inspect", "lenet5", "--format", "html", "--out", target)
    assert done.returncode == 0 and done.stdout == "" and target.read_text().startswith("<!doctype html>")


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["inspect", "resnet51"], 2, "unknown network 'resnet51'; did you mean resnet"),
        (["inspect", "lenet5", "--format", "yaml"], 2, "--format 'yaml'; expected one of table, json"),
        (["inspect", "lenet5", "--input", "3xx4"], 2, "'3xx4' is no shape; expected one to four whole numbers"),
        (["inspect", "lenet5", "--input", "1x3x3"], 4, "c1: a kernel of 5 does not fit an input of 3"),
        (["inspect", "lenet5", "--sort", "weight"], 2, "unknown column 'weight'"),
        (["inspect", "lenet5", "--at", "c1"], 2, "--at 'c1'; expected a node and a position, such as conv1[4,7]"),
        (["inspect", "lenet5", "--at", "c9[0,0]"], 2, "unknown node 'c9'; did you mean c"),
        (["inspect", "lenet5", "--on", "x.jpg"], 2, "--on draws one unit's field on a photo"),
        (["inspect", "lenet5", "--fit", "much"], 2, "'much' is no size of memory"),
        (
            ["inspect", "lenet5", "--batch", "1", "--optimizer", "adma"],
            2,
            "unknown optimizer 'adma'; did you mean adam",
        ),
        (["inspect", "8x8x3 > convv 3"], 4, "convv"),
        (["inspect", "8x8x3 conv 3"], 4, "column 7: read 'conv', expected '>'"),
        (["inspect", ""], 2, "no network was named; expected a zoo name"),
        (["inspect", "lenet5", "--input", "32x32"], 4, "lenet5 takes 3 sizes, channels first, as in (1, 32"),
        (["inspect", "lenet5", "--vs", "vgg11", "--at", "c1[0,0]"], 2, "--vs and --at: each gives an answer of its"),
        (
            ["inspect", "lenet5", "--at", "c1[0,0]", "--format", "csv"],
            2,
            "--at does not go with --format csv; take table or json",
        ),
        (["inspect", "lenet5", "--explain", "--format", "csv"], 2, "--explain does not go with --format csv"),
        (["inspect", "lenet5", "--depth", "1", "--format", "html"], 2, "--depth does not go with --format html"),
        (["inspect", "784 > dense 10", "--lattice", "dense1"], 4, "takes 784 values in a row: there are no axes"),
        (["layer", "--common", "--input", "784"], 4, "Conv takes a map such as 32x32x3, not 784"),
        (["inspect", "gone.json"], 3, "gone.json: cannot be read"),
        (["code", "lenet5", "--framework", "caffe"], 2, "unknown framework 'caffe'"),
        (["layer", "cnv"], 2, "unknown layer 'cnv'; did you mean conv"),
        (["layer", "conv", "--kernel", "x"], 2, "--kernel 'x'; expected whole numbers of at least 1, such as 3 or 3x5"),
        (["layer", "--input", "7x7x3", "--stride", "3", "--strict"], 4, "(7 - 3)/3 + 1 = 2.33 does not fit"),
        (["layer", "--input", "2x2x3"], 4, "a kernel of 3 does not fit an input of 2"),
    ],
)
def test_refusals(words: list[str], code: int, message: str) -> None:
    done = run(*words)
    assert done.returncode == code and message in done.stderr
    assert "Traceback" not in done.stderr and done.stdout == ""


def test_a_hostile_graph_file(tmp_path: Path) -> None:
    (tmp_path / "bad.json").write_text('{"name": "x", "input_shape": [3, 8, 8], "nodes": 5, "outputs": []}')
    assert "a graph's nodes are a list" in run("inspect", tmp_path / "bad.json").stderr


def test_one_layer() -> None:
    lines = said(
        "layer", "conv", "--input", "32x32x3", "--filters", "10", "--kernel", "5", "--padding", "2"
    ).splitlines()
    assert lines[0] == "32x32x3 -> 32x32x10"
    assert "  parameters: 10 filters x (5 x 5 x 3 weights + 1 bias) = 760" in lines
    assert "  parameters: 10240 units x (3072 weights + 1 bias) = 31,467,520" in lines
    assert "1x1" not in said("layer", "--common").splitlines()[0] and len(said("layer", "--common").splitlines()) == 6
    for kind in ("deconv", "maxpool", "avgpool", "lppool", "medianpool"):
        assert said("layer", kind, "--kernel", "2").startswith("32x32x3 -> ")
    assert said("layer", "maxpool", "--kernel", "2", "--stride", "1", "--dilation", "3").startswith(
        "32x32x3 -> 29x29x3"
    )
    assert said("layer", "dense", "--input", "100", "--filters", "5").startswith("100 -> 5")


def test_code_runs_by_itself(tmp_path: Path) -> None:
    target = tmp_path / "net.py"
    run("code", "lenet5", "--out", target)
    assert "import torch" in target.read_text() and "foveal" not in target.read_text().lower().replace("foveal ", "")
    assert "keras" in said("code", "lenet5", "--framework", "keras")
