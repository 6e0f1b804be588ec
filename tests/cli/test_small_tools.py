"""`foveal filter`, `pool`, `shift`, `race` and `layer --as-matrix`: what they print, write and refuse."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from foveal.cli import app
from foveal.errors import FovealError
from foveal.features import Backbone
from small_photos import pieces, refused, run

EXERCISE = "[[1, 1, 2, 5], [5, 7, 7, 8], [3, 1, 1, 0], [1, 2, 3, 4]]"


Said = Callable[..., str]


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    pieces("cat", 1)[0].crop((0, 0, 90, 60)).save(tmp_path / "photo.png")
    return tmp_path / "photo.png"


@pytest.fixture
def said(capsys: pytest.CaptureFixture[str]) -> Said:
    """What a command prints on stdout."""

    def call(*words: str | Path) -> str:
        assert not app([str(word) for word in words], standalone_mode=False)
        return capsys.readouterr().out

    return call


def picture(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        assert image.format == "PNG"
        return np.asarray(image)


def test_filter(said: Said, photo: Path, tmp_path: Path) -> None:
    target = tmp_path / "seen.png"
    text = said("filter", photo, "--kernel", "vertical", "--out", target)
    assert text.splitlines()[:4] == [
        "kernel, sum 0, slid over each channel without being turned (cross-correlation):",
        "  -3 0 3",
        "  -6 0 6",
        "  -3 0 3",
    ]
    assert "90 x 60 pixels, colour -> 88 x 58 pixels, colour, values from " in text
    assert "shown about middle grey: 0 is the grey 128, " in text
    both = picture(target)
    assert both.shape == (60, 90 + 12 + 88, 3) and np.array_equal(both[:, :90], picture(photo))
    assert abs(float(np.median(both[:58, 102:])) - 128) < 10


def test_filter_of_a_grey_picture_with_stride_and_padding(said: Said, photo: Path, tmp_path: Path) -> None:
    grey, kernel, target = tmp_path / "grey.png", tmp_path / "mine.csv", tmp_path / "out.png"
    Image.open(photo).convert("L").save(grey)
    kernel.write_text("0,0,0\n0,1,0\n0,0,0\n")
    text = said("filter", grey, "--kernel", kernel, "--stride", "2x3", "--padding", "same", "--out", target)
    assert "90 x 60 pixels, grey -> 30 x 30 pixels, grey" in text and "0 % of them clipped to 0..255" in text
    assert "the picture after is enlarged 2 times" in text
    expected = np.asarray(Image.open(grey))[1::2, 1::3]
    assert np.array_equal(picture(target)[:60:2, 102::2], expected)


def test_pool_of_a_matrix_and_back(said: Said, tmp_path: Path) -> None:
    text = said("pool", EXERCISE, "--size", "3", "--stride", "1", "--backward")
    assert "  y[1,1] = max of 7 7 8 | 1 1 0 | 2 3 4 = 8" in text
    assert text.endswith("its sum is 4 at y and 4 at x\n")
    file = tmp_path / "exercise.csv"
    file.write_text("1,1,2,5\n5,7,7,8\n3,1,1,0\n1,2,3,4\n")
    assert said("pool", file, "--op", "mean").endswith("y =\n   3.5 5.5\n  1.75   2\n")
    back = said("pool", EXERCISE, "--backward", "--gradient", "[[1, 2], [3, 4]]")
    assert "comes to x as\n  0 0 0 0\n  0 1 0 2\n  3 0 0 0\n  0 0 0 4\n" in back


def test_pool_of_a_picture(said: Said, photo: Path, tmp_path: Path) -> None:
    target = tmp_path / "pooled.png"
    text = said("pool", photo, "--size", "3", "--out", target)
    assert text.splitlines()[0] == "max of 3 x 3 windows, stride 3 x 3: 60 x 90 -> 20 x 30"
    after = picture(target)[::3, 102::3]
    assert np.array_equal(after, picture(photo).reshape(20, 3, 30, 3, 3).max((1, 3)))


def test_layer_as_a_matrix(said: Said, tmp_path: Path) -> None:
    words = ("layer", "conv", "--as-matrix", "--input", "4x4x1", "--filters", "1")
    assert "  y[0,1,1]  . . . .  . a b c  . d e f  . g h i" in said(*words)
    said(*words, "--out", tmp_path / "matrix.svg")
    assert ElementTree.parse(tmp_path / "matrix.svg").getroot().tag == "{http://www.w3.org/2000/svg}svg"


def test_shift(said: Said, photo: Path, tmp_path: Path, backbone: Backbone) -> None:
    target = tmp_path / "shift.png"
    text = said("shift", photo, "--at", "stem.conv", "--by", "2", "--format", "json", "--out", target)
    first, second = json.loads(text)["rows"]
    assert first["along"] > 0.01 and second["along"] < 1e-5 and second["cells"] == 1
    assert picture(target).shape == (576, 960, 4)


def test_race(said: Said, tmp_path: Path) -> None:
    data = json.loads(said("race", "saddle", "--steps", "5", "--format", "json", "--lr", "sgd=0.5,adam=0.25"))
    assert [lane["lr"] for lane in data["lanes"]] == [0.5, 0.02, 0.02, 0.2, 0.02, 0.25]
    assert data["track"] == "saddle" and all(len(lane["points"]) == 6 for lane in data["lanes"])
    text = said("race", "--rules", "sgd, adam", "--steps", "5", "--lr", "0.01", "--out", tmp_path / "race.svg")
    assert [line.split()[:2] for line in text.splitlines()[2:]] == [["sgd", "0.01"], ["adam", "0.01"]]
    assert ElementTree.parse(tmp_path / "race.svg").getroot().tag.endswith("svg")


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["filter", "gone.png"], 3, "gone.png: the file cannot be read (No such file"),
        (["filter", "PHOTO", "--kernel", "blurr"], 2, "unknown kernel 'blurr'; did you mean blur"),
        (["filter", "PHOTO", "--kernel", "[[1, 2], [3]]"], 2, "its rows have 1 to 2 numbers"),
        (["filter", "PHOTO", "--kernel", "[[open('x')]]"], 2, "is no list of rows of numbers"),
        (["filter", "PHOTO", "--stride", "0"], 2, "--stride '0'; expected whole numbers of at least 1"),
        (["filter", "PHOTO", "--padding", "-1"], 2, "--padding '-1'; expected whole numbers of at least 0"),
        (["filter", "PHOTO", "--stride", "1x2x3"], 4, "(1, 2, 3) has 3 numbers, but the input has 2 spatial axes"),
        (["filter", "PHOTO", "--out", "x.jpg"], 2, "--out x.jpg: expected a name that ends with .png"),
        (["filter", "PHOTO", "--out", "gone/x.png"], 5, "x.png: cannot be written"),
        (["filter", "README.txt"], 3, "README.txt: not a picture in a format that Foveal reads"),
        (["pool", "PHOTO", "--size", "200"], 4, "a kernel of 200 does not fit an input of 60"),
        (["pool", "PHOTO", "--op", "min"], 2, "unknown pooling 'min'"),
        (["pool", "PHOTO", "--backward"], 2, "--backward is for a matrix, whose gradient can be written down"),
        (["pool", EXERCISE, "--gradient", "[[1]]"], 2, "--gradient is what --backward starts from"),
        (["pool", EXERCISE, "--backward", "--gradient", "[[1]]"], 4, "a gradient of (1, 1, 1, 1) for an activation"),
        (["pool", EXERCISE, "--out", "x.png"], 2, "--out is for a picture; a matrix is written as text"),
        (["pool", "gone.csv"], 3, "gone.csv: cannot be read"),
        (["layer", "--as-matrix"], 2, "the matrix of this layer has 14,400 x 3,072 entries"),
        (["layer", "maxpool", "--as-matrix"], 2, "MaxPool is no product with a matrix"),
        (["layer", "--as-matrix", "--common"], 2, "ask for one at a time"),
        (["layer", "--out", "x.svg"], 2, "--out is where --as-matrix draws"),
        (["layer", "--as-matrix", "--out", "x.png"], 2, "expected a name that ends with .svg"),
        (["shift", "PHOTO", "--at", "x", "--format", "csv"], 2, "--format 'csv'; expected one of text, json"),
        (["shift", "PHOTO", "--at", "stem.conf"], 2, "unknown node 'stem.conf'; did you mean stem.conv"),
        (["shift", "PHOTO", "--at", "stem.conv", "--by", "500"], 2, "a shift by 500; expected 1 to 64 pixels"),
        (["shift", "PHOTO", "--at", "stem.conv", "--out", "x.gif"], 2, "ends with .png or .svg or .pdf"),
        (["race", "circle"], 2, "unknown track 'circle'; known: bowl, digits"),
        (["race", "--rules", "sgd,adma"], 2, "unknown update rule 'adma'; did you mean adam"),
        (["race", "--lr", "fast"], 2, "--lr 'fast'; expected a number, or one by rule"),
        (["race", "--lr", "sgd=1=2"], 2, "--lr 'sgd=1=2'; expected a number"),
        (["race", "--lr", "0"], 2, "learning rate 0 of sgd; expected a number above 0"),
        (["race", "--steps", "100000"], 2, "steps 100000; expected a whole number from 1 to 10,000"),
        (["race", "--seed", "-1"], 2, "--seed -1; expected a whole number from 0"),
        (["race", "--format", "csv"], 2, "--format 'csv'; expected one of text, json"),
    ],
)
def test_refusals(
    words: list[str],
    code: int,
    message: str,
    photo: Path,
    backbone: Backbone,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(photo.parent)
    Path("README.txt").write_text("words")
    with pytest.raises(FovealError) as caught:
        app([str(photo) if word == "PHOTO" else word for word in words], standalone_mode=False)
    assert caught.value.exit_code == code and message in str(caught.value)


def test_as_a_process(photo: Path) -> None:
    assert "unknown kernel 'x'" in refused(run("filter", photo, "--kernel", "x"), 2)
    assert "[[0, 1], [2, 3]]" in " ".join(run("pool", "--help").stdout.replace("│", " ").split())
