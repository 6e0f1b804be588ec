import json
from pathlib import Path

import numpy as np
import pytest

from foveal.data.dataset import Dataset, Item, Photo, Refusal
from foveal.data.preflight import preflight, require_trainable
from foveal.errors import DataError

ROOT = Path("photos")


def noise(seed, change=0):
    return (np.random.default_rng(seed).integers(20, 230, 768) + change).astype(np.uint8).tobytes()


def photo(label, number, *, split=None, sha=None, change=0, size=(64, 64), seed=None):
    path = ROOT / (split or "") / label / f"{number}.jpg"
    seed = sum(f"{label}/{number}".encode()) * 1009 + number if seed is None else seed
    return Photo(Item(path, label, split), sha or str(path), *size, noise(seed, change))


def look(photos, refused=(), **options):
    classes = tuple(sorted({one.item.label for one in photos} | set(options.pop("classes", ()))))
    items = tuple(one.item for one in photos)
    return preflight(Dataset(ROOT, "folders", items, classes, options.pop("set_aside", ())), photos, refused, **options)


def of(findings, kind):
    (finding,) = [one for one in findings if one.kind == kind]
    return finding


def kinds(findings):
    return {finding.kind for finding in findings}


GOOD = [photo(label, number) for label in ("cat", "dog") for number in range(12)]


def test_good_photos_give_one_note_or_none():
    (finding,) = look(GOOD)
    assert (finding.kind, finding.severity) == ("no_groups", "note")
    assert finding.title == "Nothing says which photos show the same object, so the score may flatter"
    assert "--group-by parent, exif, a manifest column or a pattern" in finding.advice
    assert look(GOOD, grouped=True) == []
    require_trainable(look(GOOD))


def test_refusals_are_counted_once_and_told_apart():
    text = Refusal(ROOT / "cat" / "a.txt", "not a photo (.txt)")
    gone = Refusal(ROOT / "cat" / "gone.jpg", "a link to nothing")
    broken = Refusal(ROOT / "cat" / "broken\udcff.jpg", "truncated")
    findings = look(GOOD, [broken, gone], set_aside=(text, gone))
    assert of(findings, "unreadable").title == "2 files cannot be used and were set aside"
    assert [row.text for row in of(findings, "unreadable").rows] == ["a link to nothing", "truncated"]
    assert of(findings, "ignored").title == "1 file is not a photo and was passed over"
    assert [finding.severity for finding in findings] == ["warning", "note", "note"]
    plain = of(findings, "unreadable").to_json()
    assert json.loads(json.dumps(plain))["rows"][1] == {"paths": ["photos/cat/broken\udcff.jpg"], "text": "truncated"}
    assert list(plain) == ["kind", "severity", "title", "advice", "rows"]


def test_duplicates_and_two_classes():
    photos = [
        *GOOD,
        photo("cat", 20, sha="photos/cat/1.jpg", seed=sum(b"cat/1") * 1009 + 1),
        photo("dog", 21, change=1, seed=sum(b"cat/2") * 1009 + 2),
    ]
    findings = look(photos)
    exact, near, mixed = (of(findings, kind) for kind in ("exact_duplicates", "near_duplicates", "two_classes"))
    assert exact.title == "2 photos are exact copies of one another, in 1 group"
    assert [path.name for path in exact.rows[0].paths] == ["1.jpg", "20.jpg"]
    assert near.title.startswith("2 photos are near copies")
    assert [path.name for path in near.rows[0].paths] == ["2.jpg", "21.jpg"]
    assert (mixed.title, mixed.rows[0].text) == ("1 photo is filed under two classes or more", "cat, dog")
    assert mixed.severity == "warning"
    same = look([*GOOD, photo("dog", 30, sha="photos/cat/1.jpg", seed=sum(b"cat/1") * 1009 + 1)])
    assert len(of(same, "two_classes").rows) == 1


def test_splits_are_compared():
    photos = [photo(label, n, split=part) for label in ("cat", "dog") for n in range(12) for part in ("train",)]
    photos += [photo("cat", 40 + n, split="test") for n in range(12)] + [
        photo("fox", n, split="test") for n in range(12)
    ]
    photos.append(photo("cat", 80, split="test", change=1, seed=sum(b"cat/3") * 1009 + 3))
    findings = look(photos)
    assert of(findings, "missing_in_split").title == "2 classes are missing in training or in test"
    assert [row.text for row in of(findings, "missing_in_split").rows] == [
        "dog: only in the training part",
        "fox: only in the test part",
    ]
    shared = of(findings, "shared_by_splits")
    assert shared.title == "1 photo is in both training and test"
    assert {path.parent.parent.name for path in shared.rows[0].paths} == {"train", "test"}
    assert "set aside" in shared.advice


def test_validation_counts_as_training_beside_a_test_part_and_as_test_without_one():
    def parts(*names):
        return [photo("cat", 90, split=name, sha="s", seed=5) for name in names] + GOOD

    assert "shared_by_splits" not in kinds(look([*parts("train", "val"), photo("cat", 91, split="test")]))
    assert "shared_by_splits" in kinds(look(parts("val", "test")))
    assert "shared_by_splits" in kinds(look(parts("train", "val")))


def test_small_empty_and_uneven_classes():
    photos = [*GOOD, photo("owl", 1), *(photo("fox", n) for n in range(2)), *(photo("many", n) for n in range(61))]
    photos += [photo("twin", n, sha="t", seed=3) for n in range(2)]
    findings = look(photos, classes=["<script>", "yak"])
    small = [finding for finding in findings if finding.kind == "small_class"]
    assert [(one.severity, one.title) for one in small] == [
        ("error", "2 classes have fewer than two different photos"),
        ("warning", "1 class has fewer than 10 photos"),
    ]
    assert [row.text for row in small[0].rows] == ["owl: 1 photo", "twin: 2 photos"]
    empty = of(findings, "empty_class")
    assert empty.title == "2 classes have no photos and are left out"
    assert [row.text for row in empty.rows] == ["<script>: no photos", "yak: no photos"]
    uneven = of(findings, "imbalance")
    assert uneven.title == "The largest class has 61.0 times the photos of the smallest"
    assert uneven.rows[0].text == "many has 61, owl has 1"
    assert [finding.severity for finding in findings] == sorted(
        (finding.severity for finding in findings), key=["error", "warning", "note"].index
    )
    assert "imbalance" not in kinds(look([*GOOD, *(photo("many", n) for n in range(60))]))


def test_a_class_whose_photos_all_fail_is_empty_and_says_why():
    dataset = Dataset(
        ROOT, "folders", (*(one.item for one in GOOD), Item(ROOT / "fox/1.jpg", "fox")), ("cat", "dog", "fox")
    )
    findings = preflight(dataset, GOOD, [Refusal(ROOT / "fox/1.jpg", "truncated")])
    assert of(findings, "empty_class").rows[0].text == "fox: none can be read"


def test_tiny_pictures():
    tiny = of(look([*GOOD, photo("cat", 50, size=(31, 400)), photo("cat", 51, size=(32, 32))]), "tiny")
    assert (tiny.title, tiny.rows[0].text) == ("1 photo is smaller than 32 pixels", "31 x 400")


def test_every_error_is_raised_at_once():
    photos = [photo("cat\x1b", n, sha="s", seed=4) for n in range(3)]
    findings = look(photos)
    assert {finding.kind for finding in findings if finding.severity == "error"} == {
        "identical",
        "one_class",
        "small_class",
    }
    with pytest.raises(DataError) as error:
        require_trainable(findings)
    assert str(error.value).splitlines() == [
        "All 3 photos are the same file: add photos that differ",
        "All photos are of one class, cat\\x1b: a classifier needs two classes or more; put the photos in one folder "
        "per class",
        "1 class has fewer than two different photos: cat\\x1b: 3 photos. add photos, or remove the class",
    ]


def test_nothing_readable():
    findings = preflight(Dataset(ROOT, "folders", (), ("cat",)), [], [Refusal(ROOT / "cat/1.jpg", "empty file")])
    with pytest.raises(DataError, match="No photo could be read: add photos that open in an image viewer"):
        require_trainable(findings)


def test_one_folder_around_the_classes_is_recognised():
    photos = [
        Photo(Item(ROOT / "all" / c / f"{n}.jpg", "all"), f"{c}{n}", 64, 64, noise(n)) for c in "ab" for n in range(9)
    ]
    with pytest.raises(DataError, match="if the folders inside it are the classes, give photos/all"):
        require_trainable(look(photos))
