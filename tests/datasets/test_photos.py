"""Photos in folders and manifests: the same pre-flight and parts as in the main job, decoded once and kept."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from foveal.data.decode import decode_image
from foveal.datasets import PictureSet, load, reading
from foveal.datasets.photos import read_photos
from foveal.datasets.pictures import PARTS
from foveal.errors import DataError, OutputError, UsageError
from small_photos import partials, pieces, save, write_folder

SHAPE = (3, 32, 32)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FOVEAL_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def mapped(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if any set were too large for the memory."""
    monkeypatch.setattr(reading, "_IN_MEMORY", 0)


def rows(data: PictureSet) -> dict[str, np.ndarray]:
    """Path -> picture, over all parts."""
    return {
        photo["path"]: pixels
        for part in PARTS
        for photo, pixels in zip(data.report["photos"][part], getattr(data, part).x, strict=True)
    }


def paths(data: PictureSet, part: str) -> set[str]:
    return {Path(photo["path"]).name for photo in data.report["photos"][part]}


def test_every_row_is_its_photos_central_square(photo_folder: Path) -> None:
    told: list[tuple[str, dict[str, Any]]] = []
    data = load(photo_folder, SHAPE, seed=3, observer=lambda *event: told.append(event))
    found = rows(data)
    assert sorted(found) == sorted(map(str, photo_folder.glob("*/*.jpg")))
    for path, pixels in list(found.items())[::5]:
        whole = decode_image(path, at_least=32)
        side, (height, width) = min(whole.shape[:2]), whole.shape[:2]
        left, top = (width - side) / 2, (height - side) / 2
        box = (left, top, left + side, top + side)
        cut = Image.fromarray(whole).resize((32, 32), Image.Resampling.BICUBIC, box=box)
        assert np.array_equal(pixels, np.asarray(cut).transpose(2, 0, 1)), path
    for part in PARTS:
        listed = data.report["photos"][part]
        labels = [Path(photo["path"]).parent.name for photo in listed]
        assert [data.classes[label] for label in getattr(data, part).y] == labels
        assert data.report["counts"][part] == {label: labels.count(label) for label in data.classes}
        assert all(hashlib.sha256(Path(one["path"]).read_bytes()).hexdigest() == one["sha256"] for one in listed)
    assert json.loads(json.dumps(data.report)) == data.report
    assert [fields["done"] for event, fields in told if event == "progress"][-1] == 36
    assert {fields["kind"] for event, fields in told if event == "finding"} == {"no_groups"}


def test_the_test_part_does_not_follow_the_validation_share(photo_folder: Path) -> None:
    some, none = (read_photos(photo_folder, SHAPE, validation=share) for share in (0.2, 0))
    assert paths(some, "test") == paths(none, "test") and len(none.val) == 0 < len(some.val)


def test_groups_and_copies_stay_together(tmp_path: Path) -> None:
    root = write_folder(tmp_path / "photos", each=10)
    for photo in root.glob("*/*-00[0-5].jpg"):
        shutil.copy(photo, photo.with_name(f"copy-of-{photo.name}"))
    data = read_photos(root, SHAPE, test=0.3, validation=0.3, group_by=r"(\d)\.jpg")
    numbers = [{name[-5] for name in paths(data, part)} for part in PARTS]
    assert all(numbers) and not (numbers[0] & numbers[1] or numbers[0] & numbers[2] or numbers[1] & numbers[2])
    assert data.report["grouped_by"] == r"the pattern '(\\d)\\.jpg'"
    assert "exact_duplicates" in {finding["kind"] for finding in data.report["findings"]}


def test_given_parts_are_kept_and_their_copies_not_trained_on(tmp_path: Path) -> None:
    for seed, part in enumerate(("train", "val", "test")):
        write_folder(tmp_path / "photos" / part, each=10, seed=seed)
    for part in ("val", "test"):
        photo = min((tmp_path / "photos" / part / "cat").iterdir())
        shutil.copy(photo, tmp_path / "photos" / "train" / "cat" / f"copy-{part}.jpg")
    data = read_photos(tmp_path / "photos", SHAPE)
    for part in PARTS:
        assert len(getattr(data, part)) == 30
        assert all(f"photos/{part}/" in photo["path"] for photo in data.report["photos"][part])
    assert sorted(Path(path).name for path in data.report["set_aside"]) == ["copy-test.jpg", "copy-val.jpg"]
    assert data.notes == (
        "4 photos with exact or near duplicates stay together with them",
        "1 training photo set aside, since the test part has a copy",
        "1 training photo set aside, since the validation part has a copy",
    )


def test_a_manifest_is_read(photo_folder: Path, tmp_path: Path) -> None:
    photos = sorted(photo_folder.glob("*/*.jpg"))
    lines = [f"{photo},{photo.parent.name},{i % 6}" for i, photo in enumerate(photos)]
    (tmp_path / "list.csv").write_text("path,label,group\n" + "\n".join(lines))
    data = load(tmp_path / "list.csv", (1, 16, 16))
    assert data.shape == (1, 16, 16) and data.report["kind"] == "manifest" and len(rows(data)) == 36


def test_they_are_decoded_once(photo_folder: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = load(photo_folder, SHAPE)
    assert partials(cache) == []
    monkeypatch.setattr(reading, "decode", lambda *_, **__: pytest.fail("decoded again"))
    assert load(photo_folder, SHAPE).digest == first.digest
    assert load(photo_folder, SHAPE, seed=1, validation=0).digest != first.digest


def test_a_new_photo_alone_is_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = write_folder(tmp_path / "photos", each=5)
    load(root, SHAPE)
    decoded: list[str] = []
    decode = reading.decode
    monkeypatch.setattr(reading, "decode", lambda *a, **k: [decoded.append(k["name"]), decode(*a, **k)][1])
    save(pieces("cat", 1, seed=9)[0], root / "cat" / "new.jpg")
    (root / "coffee" / "coffee-0-001.jpg").unlink()
    data = load(root, SHAPE)
    assert decoded == [str(root / "cat" / "new.jpg")]
    assert data.digest == load(root, SHAPE, cache=False).digest


@pytest.mark.usefixtures("mapped")
def test_a_large_set_is_a_map_of_a_file(photo_folder: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected, reordered = (load(photo_folder, SHAPE, seed=seed, cache=False) for seed in (0, 5))
    data = load(photo_folder, SHAPE)
    (file,) = cache.glob("photos/*/*.npy")
    assert data.digest == expected.digest and data.train.x.base is not None and not data.train.x.flags.writeable
    np.testing.assert_array_equal(np.load(file), np.concatenate([expected.train.x, expected.val.x, expected.test.x]))
    monkeypatch.setattr(reading, "decode", lambda *_, **__: pytest.fail("decoded again"))
    written = file.stat().st_mtime_ns
    assert load(photo_folder, SHAPE).digest == expected.digest and file.stat().st_mtime_ns == written
    other = load(photo_folder, SHAPE, seed=5)  # another order: the file is written anew from the old one
    assert other.digest == reordered.digest != expected.digest
    assert np.array_equal(data.train.x, expected.train.x), "who has the old file open goes on reading it"
    assert len(list(cache.glob("photos/*/*.npy"))) == 1 and partials(cache) == []


@pytest.mark.parametrize("limit", [0, 1 << 30], ids=["mapped", "in memory"])
@pytest.mark.parametrize("damage", ["cut short", "a value", "empty", "rows", "pickle"])
def test_a_damaged_cache_is_redone(
    photo_folder: Path, cache: Path, monkeypatch: pytest.MonkeyPatch, damage: str, limit: int
) -> None:
    monkeypatch.setattr(reading, "_IN_MEMORY", limit)
    expected = load(photo_folder, SHAPE)
    digest = expected.digest
    (file,) = cache.glob("photos/*/*.npy")
    content = bytearray(file.read_bytes())
    file.unlink()  # not written into: a map of it is open here
    if damage == "rows":
        (file.parent / "rows.json").write_text("[]")
    elif damage == "pickle":
        np.save(file, np.array([{}], object), allow_pickle=True)
    elif damage == "a value":
        content[-1] ^= 1
        file.write_bytes(content)
    else:
        file.write_bytes(content[: -100 if damage == "cut short" else 0])
    assert load(photo_folder, SHAPE).digest == digest
    assert len(np.load(next(cache.glob("photos/*/*.npy")))) == 36


def test_without_a_place_for_the_cache_small_sets_go_on(photo_folder: Path, cache: Path) -> None:
    cache.write_text("a file where the folder should be")
    data = load(photo_folder, SHAPE)
    assert len(rows(data)) == 36
    assert any(note.startswith("decoded photos are not kept for the next time: ") for note in data.notes)


@pytest.mark.usefixtures("mapped")
def test_without_a_place_for_the_cache_large_sets_stop(photo_folder: Path, cache: Path) -> None:
    cache.write_text("a file where the folder should be")
    with pytest.raises(OutputError, match="set FOVEAL_CACHE to a folder that can be written"):
        load(photo_folder, SHAPE)


@pytest.mark.usefixtures("mapped")
def test_a_full_disk_loses_nothing(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = write_folder(tmp_path / "photos", each=5)
    before = load(root, SHAPE).digest
    kept = {path: path.read_bytes() for path in cache.glob("photos/*/*")}

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OutputError, match="the disk is full; free some space or set FOVEAL_CACHE"):
        load(root, SHAPE, seed=1)
    monkeypatch.undo()
    monkeypatch.setenv("FOVEAL_CACHE", str(cache))
    assert {path: path.read_bytes() for path in cache.glob("photos/*/*")} == kept
    assert load(root, SHAPE).digest == before


def test_what_cannot_be_trained_on(tmp_path: Path) -> None:
    root = write_folder(tmp_path / "photos", ("cat",), each=5)
    with pytest.raises(DataError, match="All photos are of one class, cat: a classifier needs two classes or more"):
        load(root, SHAPE)
    write_folder(root, ("coffee",), each=5)
    (root / "cat" / "broken.jpg").write_bytes(b"nothing")
    assert load(root, SHAPE).report["findings"][0]["title"] == "1 file cannot be used and was set aside"
    with pytest.raises(UsageError, match="--test 0: expected a share between 0 and 1"):
        load(root, SHAPE, test=0)
    with pytest.raises(UsageError, match=r"--validation -0.1: expected a share from 0 to below 1"):
        load(root, SHAPE, validation=-0.1)
