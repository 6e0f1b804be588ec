"""The main job on real photographs: what comes out, that it agrees with itself, and what each way of asking does."""

from __future__ import annotations

import base64
import csv
import hashlib
import json
import re
import sqlite3
import subprocess
import sys
from collections.abc import Iterator, Mapping
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from scipy.stats import binomtest
from sklearn.metrics import log_loss, precision_recall_fscore_support

import foveal
from foveal.api import Run
from foveal.errors import DataError, UnknownName, UsageError
from small_photos import partials, pieces, save, write_folder

CLASSES = ("brick", "cat", "grass", "gravel")
GPS = b"Somewhere-51.4779N"


def exif() -> Image.Exif:
    found = Image.Exif()
    found[0x010E] = GPS.decode()
    found.get_ifd(0x8825)[1] = "N"
    return found


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four classes of 14 with EXIF; a brick is filed as grass, and one photo under two classes; one is a text."""
    root = tmp_path_factory.mktemp("end-to-end") / "photos"
    for label in CLASSES:
        for number, piece in enumerate(pieces(label, 14)):
            save(piece, root / label / f"{number:02}.jpg", exif=exif())
    save(pieces("cat", 1, seed=5)[0], root / "grass" / "strayed.jpg", exif=exif())
    (root / "gravel" / "copy.jpg").write_bytes((root / "brick" / "03.jpg").read_bytes())
    (root / "cat" / "notes.jpg").write_text("not a picture")
    return root


@pytest.fixture(scope="module")
def run(photos: Path) -> Run:
    return foveal.train(photos, photos.parent / "run")


@pytest.fixture(scope="module")
def result(run: Run) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((run.folder / "result.json").read_text("utf-8"))
    return found


def predictions(run: Run) -> list[foveal.classifier.Prediction]:
    return foveal.load(run.folder).predict([row["path"] for row in run.result["split"]["test"]])


def test_result_file_is_what_train_returned(run: Run, result: dict[str, Any]) -> None:
    assert result == json.loads(json.dumps(run.result))
    assert run.accuracy == result["test"]["accuracy"]
    assert run.report.is_file() and run.bundle.is_dir()
    assert sorted(p.name for p in run.folder.iterdir()) == ["bundle", "log.jsonl", "report.html", "result.json"]


def test_result_has_what_the_documentation_names(result: dict[str, Any]) -> None:
    test = {"accuracy", "correct", "total", "interval", "log_loss", "per_class", "confusion", "calibration_error"}
    assert test <= result["test"].keys()
    assert {"head", "split", "seconds", "versions", "seed", "threads", "precision", "preflight"} <= result.keys()
    assert {"precision", "recall", "f1", "support", "label"} <= result["test"]["per_class"][0].keys()
    assert {"kind", "candidates", "why", "taps", "view", "penalty"} <= result["head"].keys()
    assert {"threshold", "known_rejected", "unknown_accepted"} <= result["rejection"].keys()
    assert {"start", "features", "preflight", "heads", "test", "report", "total"} <= result["seconds"].keys()
    assert {"python", "foveal", "numpy"} <= result["versions"].keys()
    assert result["seed"] == 0 and result["threads"] >= 1 and result["precision"] in ("f32", "bf16")
    assert result["seconds"]["total"] >= result["seconds"]["features"] > 0


def test_scores_follow_from_the_confusion_matrix(result: dict[str, Any]) -> None:
    test = result["test"]
    confusion = np.array(test["confusion"])
    assert test["correct"] == np.trace(confusion)
    assert test["total"] == confusion.sum() == len(result["split"]["test"])
    assert test["accuracy"] == test["correct"] / test["total"]
    interval = binomtest(test["correct"], test["total"]).proportion_ci(0.95, method="wilson")
    assert test["interval"] == pytest.approx([interval.low, interval.high], abs=1e-9)
    supports = [sum(row["label"] == label for row in result["split"]["test"]) for label in CLASSES]
    assert confusion.sum(axis=1).tolist() == supports  # rows are the true classes
    assert sum(one["count"] for one in test["reliability"]) == test["total"]


def test_scores_follow_from_predicting_the_sealed_photos(run: Run, result: dict[str, Any]) -> None:
    said, test = predictions(run), result["test"]
    true = [row["label"] for row in result["split"]["test"]]
    labels = [one.label for one in said]
    assert sum(a == b for a, b in zip(true, labels, strict=True)) == test["correct"]
    scores = [[one.scores[label] for label in CLASSES] for one in said]
    assert log_loss(true, scores, labels=CLASSES) == pytest.approx(test["log_loss"], abs=2e-3)
    precision, recall, f1, support = precision_recall_fscore_support(
        true, labels, labels=CLASSES, average=None, zero_division=0
    )
    for i, row in enumerate(test["per_class"]):
        assert row["label"] == CLASSES[i] and row["support"] == support[i]
        found = [row["precision"] or 0.0, row["recall"] or 0.0, row["f1"] or 0.0]
        assert found == pytest.approx([precision[i], recall[i], f1[i]])
    assert sum(one.unknown for one in said) == test["unknown"]["count"]
    wrong = {row["path"] for row, label in zip(result["split"]["test"], labels, strict=True) if row["label"] != label}
    assert {row["path"] for row in result["mistakes"]} == wrong


def test_evaluate_gives_the_same_numbers(run: Run, result: dict[str, Any], tmp_path: Path) -> None:
    manifest = tmp_path / "sealed.jsonl"
    rows = [{"path": row["path"], "label": row["label"]} for row in result["split"]["test"]]
    manifest.write_text("\n".join(map(json.dumps, rows)))
    again = foveal.evaluate(run.bundle, manifest)
    for key in ("correct", "total", "accuracy", "interval", "confusion", "unknown"):
        assert again[key] == result["test"][key], key
    assert again["log_loss"] == pytest.approx(result["test"]["log_loss"], abs=2e-3)
    assert again["seen_in_training"] == 0 and again["refused"] == [] and again["other_classes"] == {}
    trained = [{"path": row["path"], "label": row["label"]} for row in result["split"]["train"]]
    manifest.write_text("\n".join(map(json.dumps, trained)))
    assert foveal.evaluate(run.bundle, manifest)["seen_in_training"] == len(trained)


def test_evaluate_counts_strange_classes_apart(run: Run, tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "new", ("cat", "temple"), each=3, seed=3)
    (folder / "cat" / "empty.jpg").touch()
    found = foveal.evaluate(run.folder, folder)
    assert found["total"] == 3
    assert found["other_classes"]["temple"]["photos"] == 3
    assert [(Path(row["path"]).name, row["reason"]) for row in found["refused"]] == [("empty.jpg", "the file is empty")]
    with pytest.raises(DataError, match="no readable photo of the bundle's classes"):
        foveal.evaluate(run.folder, write_folder(tmp_path / "strange", ("temple", "coins"), each=2))


def test_splits_are_disjoint_and_name_content(photos: Path, result: dict[str, Any]) -> None:
    rows = [row for part in ("train", "test", "set_aside") for row in result["split"][part]]
    assert sorted(row["path"] for row in rows) == sorted(str(p) for p in photos.rglob("*.jpg") if p.name != "notes.jpg")
    for row in rows:
        assert row["sha256"] == hashlib.sha256(Path(row["path"]).read_bytes()).hexdigest()
        assert row["label"] == Path(row["path"]).parent.name
    train, test = ({row["sha256"] for row in result["split"][part]} for part in ("train", "test"))
    assert not train & test
    assert {row["label"] for row in result["split"]["test"]} == set(CLASSES)
    counts = {label: sum(row["label"] == label for row in result["split"]["train"]) for label in CLASSES}
    assert counts == {label: each["train"] for label, each in result["data"]["counts"].items()}


def test_planted_trouble_is_found(photos: Path, result: dict[str, Any]) -> None:
    findings = {one["kind"]: one for one in result["preflight"]["findings"]}
    assert findings["unreadable"]["rows"][0]["paths"] == [str(photos / "cat" / "notes.jpg")]
    assert "not a picture" in findings["unreadable"]["rows"][0]["text"]
    both = {str(photos / "brick" / "03.jpg"), str(photos / "gravel" / "copy.jpg")}
    assert set(findings["two_classes"]["rows"][0]["paths"]) == both
    assert "no_groups" in findings
    suspects = [*result["doubts"]["rows"], *result["mistakes"]]  # wherever the split put it
    assert str(photos / "grass" / "strayed.jpg") in {row["path"] for row in suspects}
    assert (photos / "cat" / "notes.jpg").exists()


def test_the_chosen_head_is_among_the_candidates(result: dict[str, Any]) -> None:
    head = result["head"]
    chosen = [c for c in head["candidates"] if c["chosen"]]
    assert (head["kind"], head["taps"], head["view"]) in [(c["kind"], c["taps"], c["view"]) for c in chosen]
    assert len(head["candidates"]) > len(chosen) >= 1
    assert len({(c["kind"], tuple(c["taps"])) for c in head["candidates"]}) >= 3
    assert result["features"]["computed"] + result["features"]["from_cache"] == result["data"]["photos"]


class _Page(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.sources: list[str] = []
        self.links: list[str] = []
        self.handlers: list[str] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        for name, value in attrs:
            if name in ("src", "srcset", "data", "poster", "action", "background"):
                self.sources.append(value or "")
            elif name in ("href", "xlink:href"):
                self.links.append(value or "")
            elif name.startswith("on"):
                self.handlers.append(name)

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def page_of(report: Path) -> _Page:
    page = _Page()
    page.feed(report.read_text("utf-8"))
    return page


def test_report_is_one_file_without_scripts_or_links_out(run: Run, result: dict[str, Any]) -> None:
    page = page_of(run.report)
    assert not page.tags & {"script", "iframe", "object", "embed", "link", "form", "base"}
    assert page.handlers == []
    assert page.sources and all(source.startswith("data:image/jpeg;base64,") for source in page.sources)
    assert all(link.startswith("#") for link in page.links), page.links
    source = run.report.read_text("utf-8")
    assert "@import" not in source and not re.search(r"url\(\s*['\"]?(?!#|data:)", source)
    text = " ".join(page.text)
    assert f"{100 * result['test']['accuracy']:.1f} %" in text
    assert f"{result['test']['correct']}/{result['test']['total']}" in text
    assert "strayed.jpg" in run.report.read_text("utf-8")


def test_no_metadata_of_the_photos_leaves_in_pictures(run: Run, photos: Path) -> None:
    assert GPS in (photos / "cat" / "00.jpg").read_bytes()
    pictures = [base64.b64decode(source.partition(",")[2]) for source in page_of(run.report).sources]
    assert len(pictures) >= 12
    for picture in pictures:
        assert picture.startswith(b"\xff\xd8") and b"Exif" not in picture and GPS not in picture
        assert b"http://ns.adobe.com" not in picture and b"Photoshop" not in picture
    assert GPS.decode() not in run.report.read_text("utf-8")


def test_log_tells_the_stages_in_order(run: Run) -> None:
    events = [json.loads(line) for line in (run.folder / "log.jsonl").read_text("utf-8").splitlines()]
    begun = [event["stage"] for event in events if event["event"] == "begin"]
    assert begun == ["start", "features", "preflight", "heads", "test", "report", "write"]
    assert [event["stage"] for event in events if event["event"] == "end"] == begun
    assert events[0]["event"] == "scan" and events[-1]["event"] == "done"
    times = [event["seconds"] for event in events]
    assert times == sorted(times)
    assert {"unreadable", "two_classes"} <= {event["kind"] for event in events if event["event"] == "finding"}


def test_model_card_says_the_score_and_the_classes(run: Run, result: dict[str, Any]) -> None:
    card = (run.bundle / "README.md").read_text("utf-8")
    assert f"{100 * result['test']['accuracy']:.1f} %" in card
    assert all(label in card for label in CLASSES)


def test_another_process_predicts_the_same(run: Run) -> None:
    here = [(one.label, one.probability) for one in predictions(run)]
    paths = [row["path"] for row in run.result["split"]["test"]]
    program = (
        "import foveal, json, sys; m = foveal.load(sys.argv[1]);"
        "print(json.dumps([(p.label, p.probability) for p in m.predict(sys.argv[2:])]))"
    )
    done = subprocess.run([sys.executable, "-c", program, run.bundle, *paths], capture_output=True, check=True)
    assert [tuple(one) for one in json.loads(done.stdout)] == here


def test_a_bundle_that_was_moved_predicts_the_same(run: Run, tmp_path: Path) -> None:
    moved = tmp_path / "elsewhere"
    moved.mkdir()
    for file in run.bundle.iterdir():
        (moved / file.name).write_bytes(file.read_bytes())
    paths = [row["path"] for row in run.result["split"]["test"]]
    assert foveal.load(moved).predict(paths) == predictions(run)


def settled(result: Mapping[str, Any]) -> dict[str, Any]:
    """A result without what may differ between two runs of the same: clock, place and cache."""
    found: dict[str, Any] = json.loads(json.dumps(result))
    for key in ("created", "seconds", "name", "out", "command"):
        del found[key]
    for key in ("from_cache", "computed", "images_per_second"):
        del found["features"][key]
    del found["head"]["seconds"]
    return found


def weights_of(run: Run) -> list[str]:
    return [hashlib.sha256(path.read_bytes()).hexdigest() for path in run.bundle.glob("model-*")]


def test_the_second_run_is_the_same_and_computes_nothing(run: Run, photos: Path, tmp_path: Path) -> None:
    again = foveal.train(photos, tmp_path / "again")
    assert settled(again.result) == settled(run.result)
    assert weights_of(again) == weights_of(run)
    features = again.result["features"]
    assert (features["computed"], features["from_cache"]) == (0, again.result["data"]["photos"])


def test_without_the_cache_it_is_the_same_and_leaves_nothing(
    run: Run, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, foveal_cache: Path
) -> None:
    monkeypatch.setenv("FOVEAL_CACHE", str(tmp_path / "cache"))
    weights = next((foveal_cache / "weights").iterdir())
    save_to = tmp_path / "cache" / "weights" / weights.name
    save_to.parent.mkdir(parents=True)
    save_to.symlink_to(weights)
    before = sorted((tmp_path / "cache").rglob("*"))
    again = foveal.train(photos, tmp_path / "again", cache=False)
    assert sorted((tmp_path / "cache").rglob("*")) == before
    assert settled(again.result) == settled(run.result)
    assert again.result["features"]["from_cache"] <= 1  # the copy of a photo
    assert again.result["features"]["computed"] >= again.result["data"]["photos"] - 1


def test_another_seed_splits_otherwise(run: Run, photos: Path, tmp_path: Path) -> None:
    other = foveal.train(photos, tmp_path / "other", seed=7).result
    assert other["seed"] == other["split"]["seed"] == 7
    assert {row["path"] for row in other["split"]["test"]} != {row["path"] for row in run.result["split"]["test"]}


def test_added_photos_alone_are_computed(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "photos", ("cat", "coins"), each=36, seed=41)
    first = foveal.train(folder, tmp_path / "run").result["features"]
    assert (first["computed"], first["from_cache"]) == (72, 0)
    for number, piece in enumerate(pieces("cat", 5, seed=42)):
        save(piece, folder / "cat" / f"new-{number}.jpg")
    second = foveal.train(folder, tmp_path / "run").result["features"]
    assert (second["computed"], second["from_cache"]) == (5, 72)


def test_a_damaged_cache_is_begun_anew(tmp_path: Path, photo_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FOVEAL_CACHE", str(tmp_path / "cache"))
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "features.sqlite").write_bytes(b"SQLite format 3\0" + b"rubbish" * 4000)
    said: list[str] = []
    result = foveal.train(
        photo_folder, tmp_path / "run", observer=lambda event, fields: said.append(str(fields.get("text")))
    ).result
    assert "damaged" in result["features"]["cache_note"]
    assert any("cache was damaged" in text for text in said)
    with sqlite3.connect(tmp_path / "cache" / "features.sqlite") as database:
        (count,) = database.execute("SELECT COUNT(DISTINCT sha256) FROM features").fetchone()
    database.close()
    assert count == 36


# Layouts


def test_train_and_test_folders_are_taken_as_they_are(tmp_path: Path) -> None:
    write_folder(tmp_path / "d" / "train", ("cat", "coffee", "temple"), each=8)
    write_folder(tmp_path / "d" / "test", ("cat", "coffee", "coins"), each=3, seed=1)
    write_folder(tmp_path / "d" / "val", ("cat",), each=2, seed=2)
    result = foveal.train(tmp_path / "d", tmp_path / "run").result
    assert result["data"]["kind"] == "splits"
    assert result["data"]["classes"] == ["cat", "coffee", "temple"]  # by name, whatever their order in a part
    assert {Path(row["path"]).parts[-3] for row in result["split"]["test"]} == {"test"}
    assert {Path(row["path"]).parts[-3] for row in result["split"]["train"]} == {"train", "val"}
    assert result["test"]["total"] == 6
    supports = {row["label"]: row["support"] for row in result["test"]["per_class"]}
    assert supports == {"cat": 3, "coffee": 3, "temple": 0}
    (missing,) = (one for one in result["preflight"]["findings"] if one["kind"] == "missing_in_split")
    assert {row["text"] for row in missing["rows"]} == {
        "coins: only in the test part",
        "temple: only in the training part",
    }
    assert any("validation" in note for note in result["split"]["notes"])
    assert {row["label"] for row in result["split"]["set_aside"]} == {"coins"}
    again = foveal.evaluate(tmp_path / "run", tmp_path / "d")
    assert (again["correct"], again["total"]) == (result["test"]["correct"], 6)
    assert again["other_classes"]["coins"]["photos"] == 3


def test_photos_shared_by_train_and_test_leave_training(tmp_path: Path) -> None:
    write_folder(tmp_path / "d" / "train", ("cat", "coffee"), each=6)
    write_folder(tmp_path / "d" / "test", ("cat", "coffee"), each=2, seed=1)
    shared = tmp_path / "d" / "test" / "cat" / "shared.jpg"
    shared.write_bytes((tmp_path / "d" / "train" / "cat" / "cat-0-002.jpg").read_bytes())
    result = foveal.train(tmp_path / "d", tmp_path / "run").result
    assert [Path(row["path"]).name for row in result["split"]["set_aside"]] == ["cat-0-002.jpg"]
    assert "shared_by_splits" in {one["kind"] for one in result["preflight"]["findings"]}


@pytest.mark.parametrize("kind", ["csv", "tsv", "jsonl"])
def test_manifests(tmp_path: Path, photo_files: list[Path], kind: str) -> None:
    rows = [
        {"path": str(path), "label": path.parent.name, "camera": f"c{i // 3}"}
        for i, path in enumerate(photo_files)
        if path.parent.name != "temple"
    ]
    manifest = tmp_path / f"photos.{kind}"
    if kind == "jsonl":
        manifest.write_text("\n".join(map(json.dumps, rows)))
    else:
        with manifest.open("w", newline="") as file:
            writer = csv.DictWriter(file, ["path", "label", "camera"], delimiter="," if kind == "csv" else "\t")
            writer.writeheader()
            writer.writerows(rows)
    result = foveal.train(manifest, tmp_path / "run", group_by="camera").result
    assert result["data"]["kind"] == "manifest" and result["data"]["photos"] == 24
    assert result["split"]["groups"] == 8
    assert_whole(result, {row["path"]: row["camera"] for row in rows})


def assert_whole(result: dict[str, Any], group: Mapping[str, object]) -> None:
    """No group is in training and in test."""
    train, test = ({group[row["path"]] for row in result["split"][part]} for part in ("train", "test"))
    assert train and test and not train & test
    assert "no_groups" not in {one["kind"] for one in result["preflight"]["findings"]}


def objects(root: Path) -> Iterator[tuple[Path, str]]:
    """Two classes of four objects with three photos each, in a folder per object; and the object of each photo."""
    for label in ("cat", "coffee"):
        for number, piece in enumerate(pieces(label, 12)):
            what = f"{label}{number // 3}"
            found = Image.Exif()
            found[0x0110] = "Camera"
            found[0x0132] = f"2024:01:0{1 + number // 3} 10:00:0{number % 3}"
            path = root / label / what / f"{what}_{number}.jpg"
            yield save(piece, path, exif=found), f"{number // 3}"


@pytest.mark.parametrize("group_by", ["parent", "exif", r"([a-z]+\d)_"])
def test_groups_never_straddle(tmp_path: Path, group_by: str) -> None:
    known = {str(path): (path.parent.name if group_by != "exif" else day) for path, day in objects(tmp_path / "photos")}
    result = foveal.train(tmp_path / "photos", tmp_path / "run", group_by=group_by).result
    assert_whole(result, known)
    assert result["split"]["group_by"]
    assert result["split"]["groups"] == len(set(known.values()))


# Few photos, and a budget


@pytest.mark.parametrize("each", [2, 3])
def test_the_least_that_can_be_trained_on(tmp_path: Path, each: int) -> None:
    run = foveal.train(write_folder(tmp_path / "few", ("cat", "coffee"), each=each), tmp_path / "run")
    assert run.result["test"]["total"] == 2
    assert {one["kind"] for one in run.result["preflight"]["findings"]} >= {"small_class"}
    assert run.report.is_file() and len(foveal.load(run.bundle).classes) == 2


def test_a_budget_leaves_photos_out_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(foveal.api, "OVERHEAD", 5.0)
    monkeypatch.setattr(foveal.api, "HEADS_EACH", 1.0)
    folder = tmp_path / "photos"
    write_folder(folder / "train", ("cat", "coffee"), each=20)
    write_folder(folder / "test", ("cat", "coffee"), each=5, seed=1)
    said: list[str] = []

    def listen(event: str, fields: dict[str, Any]) -> None:
        if event == "note":
            said.append(fields["text"])

    result = foveal.train(folder, tmp_path / "run", budget=30.0, observer=listen).result
    counts = result["data"]["counts"]
    assert all(count["test"] == 5 for count in counts.values())
    assert counts["cat"]["train"] == counts["coffee"]["train"]
    assert 4 <= counts["cat"]["train"] <= 8  # (30 - 5) s for 25 photos at most, 10 of them held out
    assert said == [f"the budget of 30 s leaves {result['data']['photos']} of 50 photos"]
    least = foveal.train(folder, tmp_path / "run", budget=1.0, observer=listen).result
    assert {label: count["train"] for label, count in least["data"]["counts"].items()} == {"cat": 4, "coffee": 4}
    assert said[-1] == "the budget of 1 s leaves 18 of 50 photos; fewer would not do, so it takes longer"
    plenty = foveal.train(folder, tmp_path / "run", budget=1000.0).result
    assert plenty["data"]["photos"] == 50


def test_an_estimate_after_an_interrupted_run_counts_what_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What an earlier estimate computed must not make a later one believe that everything is cached."""
    folder = write_folder(tmp_path / "photos", ("grass", "gravel"), each=200, seed=77)
    assert foveal.check(folder).seconds is not None
    second = foveal.check(folder).seconds
    assert second is not None
    fresh = next(fields for event, fields in _events(folder, tmp_path) if event == "estimate")["run"]
    assert fresh > foveal.api.OVERHEAD + 400 * foveal.api.HEADS_EACH + 0.05


def _events(folder: Path, tmp_path: Path) -> list[tuple[str, dict[str, Any]]]:
    found: list[tuple[str, dict[str, Any]]] = []
    foveal.train(folder, tmp_path / "run", observer=lambda event, fields: found.append((event, fields)))
    return found


# Options


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"test": 0}, UsageError, "--test 0: expected a share between 0 and 1"),
        ({"test": 1.0}, UsageError, "--test 1.0"),
        ({"test": float("nan")}, UsageError, "--test nan"),
        ({"budget": -1}, UsageError, "--budget -1: expected seconds above 0"),
        ({"threads": 0}, UsageError, "--threads 0: expected at least 1"),
        ({"precision": "x"}, UsageError, "--precision 'x'; expected one of auto, bf16, f32"),
        ({"backbone": "efficientnet_lite9"}, UnknownName, "unknown backbone .* did you mean efficientnet_lite"),
        ({"backbone": "zzz"}, UnknownName, "unknown backbone 'zzz'; none of the .* foveal zoo"),
        ({"backbone": "lenet5"}, UsageError, "lenet5 has no published weights; foveal zoo says which"),
        ({"backbone": "zzz", "weights": "w.pth"}, UnknownName, "unknown backbone 'zzz'; none of the .* foveal zoo"),
        ({"group_by": "["}, UsageError, "not a regular expression"),
        ({"group_by": "parent"}, DataError, "lies directly in its class folder"),
        ({"group_by": "exif"}, DataError, "no photo carries a camera time"),
        ({"group_by": "zzz"}, DataError, "gives no photo a group"),
    ],
)
def test_options_that_make_no_sense(
    photo_folder: Path, tmp_path: Path, options: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        foveal.train(photo_folder, tmp_path / "run", **options)
    if error is not DataError and "group_by" not in options:
        assert not (tmp_path / "run").exists()


def test_results_never_land_among_the_photos(photo_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(photo_folder)
    for out in (None, photo_folder, "results", photo_folder / "cat" / "x"):
        with pytest.raises(UsageError, match="lies in the folder of the photos"):
            foveal.train(".", out)
    assert sorted(p.name for p in photo_folder.iterdir()) == ["cat", "coffee", "temple"]


def test_the_default_place_is_named_after_the_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_folder(tmp_path / "birds.v2", ("cat", "coffee"), each=3)
    assert foveal.train("birds.v2").folder == Path("runs/birds.v2")
    assert partials(tmp_path / "runs" / "birds.v2") == []
