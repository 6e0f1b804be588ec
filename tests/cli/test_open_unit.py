"""``foveal open``: what it prints, what it refuses."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from foveal.cli import app
from foveal.errors import FovealError, UnknownName, UsageError, WeightsError
from small_photos import pieces, save


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    save(pieces("cat", 1, seed=2)[0], tmp_path / "cat.jpg")
    return tmp_path / "cat.jpg"


def test_json_has_receipt_gradient_step_and_path(photo: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["open", "efficientnet_lite0", str(photo), "--at", "head.dense[3]", "--weight", "head.dense[3,7]"]
    app([*words, "--step", "sgd", "--lr", "0.5", "--follow", "--format", "json"], standalone_mode=False)
    data = json.loads(capsys.readouterr().out)
    assert (data["node"], data["index"]) == ("head.dense", [3])
    assert data["value"] == pytest.approx(data["torch"], abs=1e-4)
    step = data["step"]
    assert step["after"] == pytest.approx(step["before"] - 0.5 * step["gradient"])
    assert data["path"]["steps"][0]["unit"] == "head.dense[3]"
    assert data["gradient"]["goal"].startswith("the loss for the label")


@pytest.mark.parametrize(
    ("options", "kind", "message"),
    [
        (["--format", "svg"], UsageError, "expected one of text, json, html"),
        (["--step", "sgd"], UsageError, "--step moves one weight: give --weight"),
        (["--backward", "--weight", "stem.conv[0,0,0,0]"], UsageError, "ask for one at a time"),
        (["--lr", "0.1"], UsageError, "--lr is the learning rate of --step"),
        (["--loss"], UsageError, "--loss is for gradients"),
        (["--weight", "stem.conv[0,0,0,0]", "--follow"], UsageError, "say which with --at"),
        (["--code", "--format", "json"], UsageError, "--code is an answer of its own"),
        (["--at", ""], UsageError, "expected a node and an index"),
        (["--weights", "no.pth"], WeightsError, r"no\.pth: no such file"),
        (["--at", "stem.conv"], UsageError, "expected a node and an index, such as conv1"),
        (["--at", "stem.cov[1,2,3]"], UnknownName, "unknown node 'stem.cov'; did you mean stem.conv"),
    ],
)
def test_what_it_refuses(photo: Path, options: list[str], kind: type[FovealError], message: str) -> None:
    with pytest.raises(kind, match=message):
        app(["open", "efficientnet_lite0", str(photo), *options], standalone_mode=False)


def test_a_name_that_is_no_network(photo: Path) -> None:
    with pytest.raises(UnknownName, match="unknown pretrained network"):
        app(["open", "efficientnet_lite9", str(photo)], standalone_mode=False)
    with pytest.raises(UsageError, match="no folder of a bundle"):
        app(["open", str(photo), str(photo)], standalone_mode=False)


def test_a_weight_has_a_page_and_a_script_of_its_own(photo: Path, tmp_path: Path) -> None:
    words = ["open", "efficientnet_lite0", str(photo), "--weight", "head.dense[3,7]"]
    app([*words, "--format", "html", "--out", str(tmp_path / "w.html")], standalone_mode=False)
    page = (tmp_path / "w.html").read_text("utf-8")
    assert "head.dense.weight[3,7]</h1>" in page
    assert "The receipt" not in page
    app([*words, "--code", "--out", str(tmp_path / "w.py")], standalone_mode=False)
    assert "gradients = torch.tensor(" in (tmp_path / "w.py").read_text("utf-8")


def test_a_pixel_has_a_gradient(photo: Path, capsys: pytest.CaptureFixture[str]) -> None:
    app(["open", "efficientnet_lite0", str(photo), "--at", "input[0,100,100]", "--backward"], standalone_mode=False)
    assert capsys.readouterr().out.startswith("gradient of the logit of ")
