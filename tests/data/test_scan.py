import os
import time
from pathlib import Path

import pytest

from foveal.data.scan import NOT_A_PHOTO, scan
from foveal.errors import DataError


def put(root: Path, *names: str) -> Path:
    """Empty files: a scan opens none of them."""
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return root


def found(dataset):
    base = dataset.root if dataset.root.is_dir() else dataset.root.parent
    return [(item.path.relative_to(base).as_posix(), item.label, item.split) for item in dataset.items]


def reasons(dataset):
    return {refusal.path.name: refusal.reason for refusal in dataset.refused}


def test_a_folder_per_class_is_read_at_any_depth_in_order(tmp_path):
    put(tmp_path, "dog/b.JPG", "cat/object1/z.png", "cat/a.jpeg", "cat/object1/deep/er/x.webp")
    dataset = scan(tmp_path)
    assert (dataset.kind, dataset.classes, dataset.refused) == ("folders", ("cat", "dog"), ())
    assert found(dataset) == [
        ("cat/a.jpeg", "cat", None),
        ("cat/object1/deep/er/x.webp", "cat", None),
        ("cat/object1/z.png", "cat", None),
        ("dog/b.JPG", "dog", None),
    ]


@pytest.mark.parametrize("val", ["val", "valid", "validation", "Val"])
def test_train_val_test_above_class_folders(tmp_path, val):
    put(
        tmp_path,
        "train/cat/1.jpg",
        "train/dog/2.jpg",
        f"{val}/cat/3.jpg",
        "test/fox/4.jpg",
        "old/cat/5.jpg",
        "test/6.jpg",
    )
    dataset = scan(tmp_path)
    assert (dataset.kind, dataset.classes) == ("splits", ("cat", "dog", "fox"))
    assert {(label, split) for _, label, split in found(dataset)} == {
        ("cat", "train"),
        ("dog", "train"),
        ("cat", "val"),
        ("fox", "test"),
    }
    assert reasons(dataset) == {
        "old": "a folder beside train/ and test/, so it belongs to no split",
        "6.jpg": "a photo beside the class folders, so it has no class",
    }


@pytest.mark.parametrize("names", [("train/1.jpg", "test/2.jpg"), ("train/a/1.jpg", "plane/2.jpg")])
def test_a_class_may_be_called_train(tmp_path, names):
    dataset = scan(put(tmp_path, *names))
    assert dataset.kind == "folders"
    assert len(dataset.classes) == len(dataset.items) == 2


def test_clutter_is_no_class_and_no_item(tmp_path):
    put(tmp_path, "cat/1.jpg", "dog/2.jpg", ".git/3.jpg", ".ipynb_checkpoints/4.jpg", "__pycache__/5.jpg")
    put(tmp_path, "__MACOSX/cat/6.jpg", "cat/.hidden.jpg", "cat/Thumbs.db", "cat/.ipynb_checkpoints/7.jpg")
    dataset = scan(tmp_path)
    assert dataset.classes == ("cat", "dog")
    assert [item.path.name for item in dataset.items] == ["1.jpg", "2.jpg"]
    assert dataset.refused == ()


def test_what_is_set_aside_has_a_reason(tmp_path):
    put(tmp_path, "cat/1.jpg", "cat/notes.txt", "cat/README", "stray.png", "labels.xml", "cat/no.jpg/2.jpg")
    (tmp_path / "cat.jpg").mkdir()
    (tmp_path / "empty").mkdir()
    (tmp_path / "cat" / "gone.jpg").symlink_to("nowhere")
    os.mkfifo(tmp_path / "cat" / "pipe.jpg")
    (tmp_path / "cat" / "self.jpg").symlink_to("self.jpg")
    dataset = scan(tmp_path)
    assert dataset.classes == ("cat", "empty")
    assert [item.path.name for item in dataset.items] == ["1.jpg", "2.jpg"]
    got = reasons(dataset)
    assert got.pop("self.jpg").startswith(("cannot be looked at", "a link to nothing"))
    assert got == {
        "notes.txt": f"{NOT_A_PHOTO} (.txt)",
        "README": f"{NOT_A_PHOTO} (no suffix)",
        "labels.xml": f"{NOT_A_PHOTO} (.xml)",
        "stray.png": "a photo beside the class folders, so it has no class",
        "no.jpg": "a folder, not a photo (photos inside it are used)",
        "cat.jpg": "a folder, not a photo",
        "gone.jpg": "a link to nothing",
        "pipe.jpg": "not a regular file",
    }


def test_links_are_followed_but_no_folder_twice(tmp_path):
    data = put(tmp_path / "data", "cat/1.jpg", "dog/2.jpg")
    put(tmp_path / "elsewhere", "3.jpg")
    (data / "bird").symlink_to(tmp_path / "elsewhere")
    (data / "cat" / "file.jpg").symlink_to(tmp_path / "elsewhere" / "3.jpg")
    (data / "cat" / "loop").symlink_to(data)
    (data / "aaa").symlink_to("dog")  # sorts first; the real folder must win all the same
    dataset = scan(data)
    assert found(dataset) == [
        ("bird/3.jpg", "bird", None),
        ("cat/1.jpg", "cat", None),
        ("cat/file.jpg", "cat", None),
        ("dog/2.jpg", "dog", None),
    ]
    assert reasons(dataset) == dict.fromkeys(["aaa", "loop"], "a link to a folder that is read already")


def test_hostile_names(tmp_path):
    classes = [
        os.fsdecode(b"not-utf8-\xff"),
        "\u05e9\u05dc\u05d5\u05dd\u202e",
        "<script>alert(1)<",
        "x" * 200,
        "a[b] *?",
    ]
    files = [os.fsdecode(b"\xfe.jpg"), "y" * 250 + ".jpg", "photo[/].jpg"]  # the last in a folder called photo[
    put(tmp_path, *(f"{label}/{file}" for label in classes for file in files))
    dataset = scan(tmp_path)
    assert set(dataset.classes) == set(classes)
    assert len(dataset.items) == 15
    assert all(item.path.exists() for item in dataset.items)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ([], "the folder is empty; put the photos in one folder per class"),
        (["1.jpg", "2.png", "a.txt"], "2 photos but no class folders; put the photos in one folder per class"),
        (["a.txt"], "no photos and no class folders in it"),
        (["cat/a.txt", "dog/b.txt"], "no photos in its 2 folders (2 other entries)"),
    ],
)
def test_folders_that_cannot_be_used(tmp_path, names, message):
    put(tmp_path, *names)
    with pytest.raises(DataError) as error:
        scan(tmp_path)
    assert message in str(error.value)
    assert "or give a manifest (.csv, .tsv, .jsonl)" in str(error.value)


@pytest.mark.parametrize("path", ["nowhere", "nowhere\udcff", "x" * 300])
def test_no_such_path(tmp_path, path):
    with pytest.raises(DataError, match=r"no such folder or manifest|cannot be looked at"):
        scan(tmp_path / path)


def test_a_folder_without_permission_is_set_aside(tmp_path, monkeypatch):
    put(tmp_path, "cat/1.jpg", "dog/2.jpg", "cat/locked/3.jpg")
    real = os.scandir

    def scandir(path):  # root may read anything, so the refusal is played
        if str(path).endswith("locked"):
            raise PermissionError(13, "Permission denied")
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    dataset = scan(tmp_path)
    assert len(dataset.items) == 2
    assert reasons(dataset) == {"locked": "a folder that cannot be read (Permission denied)"}


def test_many_files_are_listed_fast(tmp_path):
    for label in range(10):
        folder = tmp_path / str(label)
        folder.mkdir()
        for number in range(500):
            (folder / f"{number}.png").touch()
    start = time.process_time()
    assert len(scan(tmp_path).items) == 5000
    assert time.process_time() - start < 1.0  # about 0.05 s; 70,000 files take about 0.7 s
