"""foveal preview: the picture shows the batch, and says what it cannot do before it begins."""

from __future__ import annotations

from itertools import groupby
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from foveal.cli import app
from foveal.datasets.registry import load_dataset
from foveal.training.batches import order
from foveal.training.preview import preview


def test_the_first_column_is_the_batch_and_the_others_are_changed() -> None:
    digits = load_dataset("digits")
    sheet = preview(digits, "cutout 3", count=2, epochs=2)
    first = digits.train.x[int(order(len(digits.train), 0, 0)[0]), 0]
    cell = sheet[22 : 22 + 96 : 12, 8 : 8 + 96 : 12, 0]  # eight pixels enlarged twelvefold
    np.testing.assert_array_equal(cell, first)
    later = sheet[22 : 22 + 96 : 12, 8 + 104 : 8 + 104 + 96 : 12, 0]
    assert 0 < (later != first).sum() <= 9
    assert np.array_equal(sheet, preview(digits, "cutout 3", count=2, epochs=2))


def test_spaces_of_the_heads_are_seen() -> None:
    """Between the words of "as it is" the paper is wider than between letters: two gaps that a reader sees."""
    ink = (preview(load_dataset("digits"), "flip", count=1, epochs=1)[:15, 8:100].min((0, 2)) < 200).tolist()
    runs = [len(list(run)) for dark, run in groupby(ink[ink.index(True) : 92 - ink[::-1].index(True)]) if not dark]
    assert sorted(runs)[-2] >= 4 and sum(run >= 4 for run in runs) == 2


def test_writes_a_png_of_photos(photo_folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "batch.png"
    done = CliRunner().invoke(
        app, ["preview", str(photo_folder), "--augment", "flip, colour 0.2", "--input", "32x32x3", "--out", str(out)]
    )
    assert done.exit_code == 0, done.output
    assert "done to them: flip, colour 0.2" in done.output
    with Image.open(out) as picture:
        assert picture.size == (8 + 7 * 104, 22 + 8 * 132)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--augment", "flop"], "unknown augmentation 'flop'"),
        (["--out", "batch.gif"], "--out batch.gif: expected a name that ends with .png"),
        (["--augment", "crop 9"], "crop 9 moves pictures of 8x8 out of sight"),
    ],
)
def test_refusals(words: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(app, ["preview", "digits", *words])
    assert message in str(done.exception)
    assert not list(tmp_path.iterdir())
