"""The demo's photos, checked against the files on disk with Pillow and NumPy alone."""

from __future__ import annotations

import hashlib
import importlib.util
import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from foveal import demo
from foveal.errors import DataError, MissingExtra, OutputError

CLASSES = {
    *("astronaut", "bricks", "cat", "coffee", "coins", "flower"),
    *("grass", "gravel", "moon", "motorcycle", "rocket", "temple"),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("demo") / "not yet" / "photos"
    demo.write_demo(path)
    return path


def record(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / ".crops.json").read_text("utf-8"))
    return found


def photos_of(folder: Path) -> list[Path]:
    """All photos on disk but the planted ones."""
    planted = {folder / file for file in record(folder)["planted"]}
    return sorted(path for path in folder.glob("*/*/*") if path not in planted)


def hashes(folder: Path) -> dict[str, str]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_every_class_has_its_training_and_test_photos(folder: Path) -> None:
    counts = Counter(path.parent.relative_to(folder).as_posix() for path in photos_of(folder))
    assert counts == {f"{split}/{name}": n for split, n in (("train", 18), ("test", 8)) for name in CLASSES}
    assert {path.name for path in folder.iterdir()} == {"train", "test", ".crops.json"}
    assert record(folder)["complete"] is True


def test_record_names_exactly_what_is_on_disk(folder: Path) -> None:
    listed = sorted(folder / photo["file"] for photo in record(folder)["photos"])
    assert listed == photos_of(folder)


def test_photos_decode_at_the_recorded_size(folder: Path) -> None:
    formats = Counter()
    for photo in record(folder)["photos"]:
        with Image.open(folder / photo["file"]) as image:
            image.load()
            assert image.mode == "RGB"
            assert list(image.size) == photo["size"]
            assert min(image.size) >= 160 and 220 <= max(image.size) <= 300
            formats[image.format] += 1
            assert (image.format == "PNG") == photo["file"].endswith(".png")
    assert formats["PNG"] >= 50 and formats["JPEG"] >= 200


def test_training_and_test_pixels_of_a_photograph_never_meet(folder: Path) -> None:
    claimed: dict[str, dict[str, np.ndarray]] = {}
    for photo in record(folder)["photos"]:
        split = photo["file"].split("/")[0]
        mask = claimed.setdefault(photo["source"], {}).setdefault(split, np.zeros((1500, 1500), bool))
        left, top, right, bottom = photo["box"]
        assert 0 <= left < right and 0 <= top < bottom
        mask[top:bottom, left:right] = True
    assert len(claimed) == len(CLASSES)
    for source, masks in claimed.items():
        assert masks["train"].sum() > 10_000 and masks["test"].sum() > 10_000
        gap = 8  # pixels: the two must stay apart even when one is grown by it
        for axis in (0, 1):
            for shift in range(-gap, gap + 1):
                assert not (np.roll(masks["train"], shift, axis) & masks["test"]).any(), source


def test_photos_are_the_recorded_pieces_of_the_photograph(folder: Path) -> None:
    """Not of another place: the piece at the recorded box correlates with the photo, up to light and noise."""
    by_name = {path.name: path for source in demo._SOURCES.values() for path in [demo._find(source)]}
    for photo in record(folder)["photos"][::7]:
        with Image.open(by_name[photo["source"]]) as source, Image.open(folder / photo["file"]) as image:
            left, top, right, bottom = photo["box"]
            assert right <= source.width and bottom <= source.height
            expected = np.asarray(source.convert("L").crop((left, top, right, bottom)).resize((40, 40)), float)
            received = np.asarray(image.convert("L").resize((40, 40)), float)
        if expected.std() > 8:  # an empty sky correlates with nothing
            assert np.corrcoef(expected.ravel(), received.ravel())[0, 1] > 0.9, photo["file"]


def test_crops_of_one_photograph_are_not_near_copies(folder: Path) -> None:
    boxes: dict[str, list[tuple[int, int, int, int]]] = {}
    for photo in record(folder)["photos"]:
        boxes.setdefault(photo["file"].rsplit("/", 1)[0], []).append(tuple(photo["box"]))
    for name, of_class in boxes.items():
        masks = np.zeros((len(of_class), 150, 150), bool)  # at a tenth of the photograph's size
        for mask, (left, top, right, bottom) in zip(masks, of_class, strict=True):
            mask[top // 10 : bottom // 10, left // 10 : right // 10] = True
        flat = masks.reshape(len(masks), -1).astype(float)
        shared = flat @ flat.T
        areas = shared.diagonal()
        iou = shared / (areas[:, None] + areas[None, :] - shared)
        assert (iou - np.eye(len(iou))).max() < 0.8, name


def test_the_four_planted_troubles_are_there(folder: Path) -> None:
    planted = record(folder)["planted"]
    assert set(planted) == {
        "train/cat/half-copied.jpg",
        "train/coffee/coffee-again.jpg",
        "train/grass/strayed.jpg",
        "train/rocket/notes.jpg",
    }
    whole = (folder / planted["train/cat/half-copied.jpg"]).read_bytes()
    half = (folder / "train/cat/half-copied.jpg").read_bytes()
    assert whole.startswith(half) and len(half) < len(whole) / 2
    with Image.open(folder / "train/cat/half-copied.jpg") as image, pytest.raises(OSError, match="truncated"):
        image.load()
    for copy, label in (("train/coffee/coffee-again.jpg", "coffee"), ("train/grass/strayed.jpg", "gravel")):
        assert planted[copy].startswith(f"train/{label}/")
        assert (folder / copy).read_bytes() == (folder / planted[copy]).read_bytes()
    assert (folder / "train/rocket/notes.jpg").read_text("ascii").startswith("Photos of the rocket")
    assert all(Path(file).name in demo.ABOUT for file in planted)


def test_no_other_photo_is_twice_in_the_demo(folder: Path) -> None:
    contents = Counter(path.read_bytes() for path in photos_of(folder))
    assert contents.most_common(1)[0][1] == 1


def test_the_same_seed_writes_the_same_bytes_and_another_seed_others(folder: Path, tmp_path: Path) -> None:
    demo.write_demo(tmp_path / "again")
    assert hashes(tmp_path / "again") == hashes(folder)
    demo.write_demo(tmp_path / "other", seed=1)
    first, other = hashes(folder), hashes(tmp_path / "other")
    assert first.keys() == other.keys()
    same = {name for name in first if first[name] == other[name]}
    assert same == {"train/rocket/notes.jpg"}


def test_a_complete_demo_is_left_as_it_is(folder: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    demo.write_demo(folder)
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before


def test_an_interrupted_demo_goes_on_and_keeps_the_users_files(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, written, really = tmp_path / "photos", [], demo.write_atomic

    def stop_after_forty(target: Path, content: bytes | str) -> None:
        if len(written) >= 40:
            raise KeyboardInterrupt
        written.append(target)
        really(target, content)

    with monkeypatch.context() as patch:
        patch.setattr(demo, "write_atomic", stop_after_forty)
        with pytest.raises(KeyboardInterrupt):
            demo.write_demo(path)
    assert record(path)["complete"] is False
    (path / "train/cat/mine.jpg").write_bytes(b"the user's own")
    demo.write_demo(path)
    assert hashes(path) == hashes(folder) | {"train/cat/mine.jpg": hashlib.sha256(b"the user's own").hexdigest()}


def test_a_lost_photo_is_written_again(folder: Path) -> None:
    before = hashes(folder)
    (folder / "test/moon/moon_001.jpg").unlink()
    demo.write_demo(folder)
    assert hashes(folder) == before


@pytest.mark.parametrize(
    "content", ["{", "[]", '{"version": 1, "seed": 0}', '{"version": 0, "seed": 0, "complete": true}']
)
def test_a_folder_with_something_else_is_refused_untouched(tmp_path: Path, content: str) -> None:
    (tmp_path / ".crops.json").write_text(content)
    with pytest.raises(OutputError, match="is not empty and holds no demo of this version and seed; remove it, or"):
        demo.write_demo(tmp_path)
    assert hashes(tmp_path).keys() == {".crops.json"}


def test_hidden_files_alone_are_no_obstacle(folder: Path, tmp_path: Path) -> None:
    (tmp_path / ".DS_Store").write_bytes(b"")  # a file browser's, or what a killed writer left
    demo.write_demo(tmp_path)
    assert hashes(tmp_path).items() > hashes(folder).items()


def test_a_demo_of_another_seed_is_refused(folder: Path) -> None:
    with pytest.raises(OutputError, match="this version and seed"):
        demo.write_demo(folder, seed=5)


def test_a_file_in_the_folders_place_is_refused(tmp_path: Path) -> None:
    (tmp_path / "photos").write_text("a letter")
    with pytest.raises(OutputError, match="choose another folder"):
        demo.write_demo(tmp_path / "photos")
    assert (tmp_path / "photos").read_text() == "a letter"


def test_without_scikit_image_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    really = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "skimage" else really(name))
    with pytest.raises(MissingExtra, match=r"the demo needs an optional package; .*foveal\[demo\]"):
        demo.write_demo(tmp_path / "photos")
    assert not (tmp_path / "photos").exists()


def test_a_photograph_missing_from_the_package_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = demo._Source(("skimage", "data"), "zebra.png", 0, 0.5)
    monkeypatch.setitem(demo._SOURCES, "moon", source)
    with pytest.raises(DataError, match=r"zebra\.png: this photograph is not in the installed skimage; reinstall"):
        demo.write_demo(tmp_path / "photos")
    assert not (tmp_path / "photos").exists()
