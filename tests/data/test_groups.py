import hashlib
from pathlib import Path

import numpy as np
import pytest

from foveal.data.dataset import Item, Photo
from foveal.data.groups import group_photos
from foveal.errors import DataError, UsageError

ROOT = Path("photos")


def photo(path, *, sha=None, mark=None, taken=None, group=None, split=None, root=ROOT):
    seed = int.from_bytes(hashlib.sha256(str(path).encode()).digest()[:4], "big")
    mark = mark or np.random.default_rng(seed).integers(0, 255, 768, np.uint8).tobytes()
    parts = Path(path).parts
    label = parts[1] if split else parts[0]
    return Photo(Item(root / path, label, split, group), sha or str(path), 64, 64, mark, taken)


def test_copies_are_together_and_nothing_else():
    base = np.random.default_rng(0).integers(20, 230, 768)
    a, near = base.astype(np.uint8).tobytes(), (base + 1).astype(np.uint8).tobytes()
    photos = [
        photo("x/0"),
        photo("x/1", mark=a),
        photo("y/2", sha="s"),
        photo("y/3", mark=near),
        photo("x/4", sha="s", mark=a),
    ]
    photos[2] = photo("y/2", sha="s", mark=a)
    grouping = group_photos(photos, ROOT)
    assert grouping.ids.tolist() == grouping.copies.tolist() == [0, 1, 1, 1, 1]
    assert (grouping.count, grouping.by) == (2, None)
    assert grouping.notes == ("4 photos with exact or near duplicates stay together with them",)


def test_no_photos():
    assert group_photos([], ROOT, "exif").count == 0  # pre-flight says what is wrong


def test_by_parent_folder_joined_by_a_copy():
    paths = ["cat/o1/1", "cat/o1/2", "cat/o2/1", "dog/o1/1", "dog/o2/1"]
    photos = [photo(path) for path in paths]
    assert group_photos(photos, ROOT, "parent").ids.tolist() == [0, 0, 1, 2, 3]
    photos[4] = photo("dog/o2/1", sha="cat/o1/2", mark=photos[1].fingerprint)
    grouping = group_photos(photos, ROOT, "parent")
    assert grouping.ids.tolist() == [0, 0, 1, 2, 0]
    assert grouping.copies.tolist() == [0, 1, 2, 3, 1]
    assert grouping.notes[0] == "photos are grouped by the parent folder: 3 groups of 5 photos"


@pytest.mark.parametrize(("path", "split"), [("cat/1.jpg", None), ("train/cat/1.jpg", "train")])
def test_by_parent_needs_a_folder_per_object(path, split):
    with pytest.raises(DataError) as error:
        group_photos([photo("dog/o1/1.jpg"), photo(path, split=split)], ROOT, "parent")
    assert f"photos/{path} lies directly in its class folder, so all of cat would be one group" in str(error.value)
    assert "use a folder per object" in str(error.value)


def test_exif_bursts():
    def at(second, camera="Canon"):
        return f"{camera}|2020:05:17 10:00:{second:02d}"

    taken = [at(30), at(0), at(10), at(41), at(5, "Nikon"), None, at(20), None, "Canon|0000:00:00 00:00:00"]
    grouping = group_photos([photo(f"x/{i}", taken=when) for i, when in enumerate(taken)], ROOT, "exif")
    # 0, 10, 20, 30 chain in steps of ten seconds; 41 is eleven later; another camera is another burst
    assert grouping.ids.tolist() == [0, 0, 0, 1, 2, 3, 0, 4, 5]
    assert "3 photos without a key for EXIF time count as groups of their own" in grouping.notes
    with pytest.raises(DataError, match="no photo carries a camera time; group by parent or by a pattern"):
        group_photos([photo("x/0")], ROOT, "exif")


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        (r"obj(\d+)", [0, 1, 0, 2, 3]),
        (r"obj\d+", [0, 1, 0, 2, 3]),
        (r"(\w+)/obj(\d+)", [0, 1, 2, 3, 4]),
        (r"^cat/", [0, 0, 1, 2, 3]),
        (r"obj1(x)?", [0, 1, 0, 2, 3]),
    ],
)
def test_a_pattern_is_searched_in_the_path_below_the_root(pattern, expected):
    photos = [photo(path) for path in ("cat/obj1-1", "cat/obj2-1", "dog/obj1-2", "dog/obj3-1", "dog/none")]
    assert group_photos(photos, ROOT, pattern).ids.tolist() == expected


def test_patterns_that_cannot_be_used():
    photos = [photo("cat/1"), photo("dog/2")]
    with pytest.raises(DataError) as nothing:
        group_photos(photos, ROOT, "object(.)")
    assert "--group-by: the pattern 'object(.)' gives no photo a group" in str(nothing.value)
    with pytest.raises(DataError, match="gives no photo a group"):
        group_photos(photos, ROOT, "x*")  # matches nothing at the start of each path
    with pytest.raises(
        UsageError, match=r"'a\(b' is not a regular expression: .* at position 1; expected parent, exif"
    ):
        group_photos(photos, ROOT, "a(b")


def test_the_manifests_group_column_is_used_unasked(tmp_path):
    manifest = tmp_path / "m.csv"
    manifest.write_text("path,label,group,patient\na,cat,g,p\n")
    photos = [photo(f"x/{i}", group=group, root=tmp_path) for i, group in enumerate(["g", None, "h", "g", None])]
    for group_by, name in ((None, "group"), ("patient", "patient")):
        grouping = group_photos(photos, manifest, group_by)
        assert grouping.ids.tolist() == [0, 1, 2, 0, 3]
        assert grouping.by == f"the manifest's column '{name}'"
        assert grouping.notes[1].startswith("2 photos without a key for the manifest's column")
    with pytest.raises(DataError, match="the manifest's columns: group, label, path, patient"):
        group_photos(photos, manifest, "patients")
    with pytest.raises(DataError, match="column 'patient' gives no photo a group; fill it in"):
        group_photos([photo("x/1")], manifest, "patient")
