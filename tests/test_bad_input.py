"""Whatever is wrong with what is given: one clear message, the documented exit code, no traceback, nothing lost."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import pytest
from PIL import Image

import foveal
from foveal.errors import BundleError
from small_photos import command, partials, pieces, refused, run, save, write_folder

SCRIPT = "<script>alert(1)<"
ANSI = "\x1b[31mred\x07.jpg"
RIGHT_TO_LEFT = "\u202egpj.exe.jpg"
LONG = "n" * 240 + ".jpg"
ROOT = os.geteuid() == 0
LINUX = os.uname().sysname == "Linux"


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three classes, and everything in "Bad input" that can lie in a folder."""
    root = tmp_path_factory.mktemp("hostile") / "photos"
    write_folder(root, ("cat", "coffee"), each=8)
    for number, piece in enumerate(pieces("temple", 8)):
        save(piece, root / SCRIPT / f"{number}.jpg")
    cat = root / "cat"
    whole = (cat / "cat-0-000.jpg").read_bytes()
    (cat / "zero.jpg").touch()
    (cat / "text.jpg").write_text("hello")
    (cat / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    (cat / "folder.jpg").mkdir()
    os.mkfifo(cat / "pipe.jpg")
    (cat / "dangling.jpg").symlink_to("nowhere.jpg")
    (cat / "circle.jpg").symlink_to("circle.jpg")
    (cat / "loop").symlink_to("..")
    (cat / ".hidden.jpg").write_bytes(b"")
    (root / ".ipynb_checkpoints").mkdir()
    Image.new("1", (20_000, 20_000)).save(cat / "bomb.png")
    extra = iter(pieces("cat", 6, seed=9))
    for name in (LONG, "photo[/].jpg", RIGHT_TO_LEFT, ANSI, "=cmd().jpg", "new\nline.jpg"):
        save(next(extra), cat / name)
    (cat / os.fsdecode(b"\xff\xfe.jpg")).write_bytes(save(pieces("cat", 1, seed=10)[0], cat / "x.jpg").read_bytes())
    (cat / "x.jpg").unlink()
    return root


@pytest.fixture(scope="module")
def trained(hostile: Path) -> Path:
    done = run("train", hostile, "--out", hostile.parent / "run")
    assert done.returncode == 0, done.stderr
    assert "warning 9 files cannot be used and were set aside" in done.stderr
    (hostile.parent / "said.txt").write_bytes((done.stdout + done.stderr).encode("utf-8", "surrogateescape"))
    return hostile.parent / "run"


REASONS = {
    "zero.jpg": "the file is empty",
    "text.jpg": "not a picture in a format that Foveal reads",
    "cut.jpg": "damaged, cut short",
    "folder.jpg": "a folder, not a photo",
    "pipe.jpg": "not a regular file",
    "dangling.jpg": "a link to nothing",
    "circle.jpg": "cannot be looked at|a link to nothing",
    "bomb.png": "more than 178,956,970 pixels",
    "loop": "a link to a folder that is read already",
}


def test_unusable_files_are_named_with_the_reason_and_kept(trained: Path, hostile: Path) -> None:
    result = json.loads((trained / "result.json").read_text("utf-8"))
    (finding,) = (one for one in result["preflight"]["findings"] if one["kind"] == "unreadable")
    found = {Path(row["paths"][0]).name: row["text"] for row in finding["rows"]}
    assert found.keys() == REASONS.keys()
    for name, reason in REASONS.items():
        assert any(part in found[name] for part in reason.split("|")), (name, found[name])
        assert os.path.lexists(hostile / "cat" / name)
    assert result["data"]["classes"] == sorted([SCRIPT, "cat", "coffee"])
    assert result["data"]["photos"] == 8 * 3 + 7


def test_check_names_them_too(hostile: Path) -> None:
    done = run("check", hostile, "--format", "json", "--quiet")
    assert done.returncode == 0 and done.stderr == ""
    (finding,) = (one for one in json.loads(done.stdout)["findings"] if one["kind"] == "unreadable")
    assert {Path(row["paths"][0]).name for row in finding["rows"]} == set(REASONS)
    text = run("check", hostile)
    assert "9 files cannot be used" in text.stdout and "and 4 more" in text.stdout
    assert "\x1b" not in text.stdout + text.stderr and "Traceback" not in text.stderr


class _Scripts(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += tag == "script"


def test_hostile_names_are_only_text_wherever_they_are_shown(trained: Path) -> None:
    page = (trained / "report.html").read_text("utf-8")
    parser = _Scripts()
    parser.feed(page)
    assert parser.found == 0 and "alert(1)" in page
    card = (trained / "bundle" / "README.md").read_text("utf-8")
    prose = "".join(card.split("```")[::2])  # outside of what is code
    assert "<script" not in prose and "alert" in prose
    for text in (page, card, (trained.parent / "said.txt").read_bytes().decode("utf-8")):
        assert not set(text) & {"\x1b", "\x07", "\u202e"}


def test_predictions_name_hostile_files(trained: Path, hostile: Path) -> None:
    done = run("predict", trained, hostile / "cat")
    assert done.returncode == 3 and done.stderr == ""  # some cannot be read
    assert not set(done.stdout) & {"\x1b", "\x07", "\u202e"}
    assert len(done.stdout.splitlines()) == 8 + 7 + 4  # a name with a line break takes one line
    for shown in (r"\x1b[31mred\x07.jpg", r"\u202egpj.exe.jpg", "photo[/].jpg", r"\xff\xfe.jpg", r"new\x0aline.jpg"):
        assert shown + "\tcat\t" in done.stdout
    assert "zero.jpg\terror\tthe file is empty" in done.stdout


def test_predictions_as_csv_hold_no_formula(trained: Path, hostile: Path) -> None:
    done = run("predict", "../run", "=cmd().jpg", "zero.jpg", ANSI, "--format", "csv", cwd=hostile / "cat")
    assert done.returncode == 4  # ../run is not there: relative to the photos it is two up
    done = run("predict", "../../run", "=cmd().jpg", "zero.jpg", ANSI, "--format", "csv", cwd=hostile / "cat")
    rows = list(csv.DictReader(io.StringIO(done.stdout)))
    assert [row["path"] for row in rows] == ["'=cmd().jpg", "zero.jpg", r"\x1b[31mred\x07.jpg"]
    assert rows[0]["label"] == "cat" and rows[1]["error"] == "the file is empty"


def test_predictions_as_json_keep_every_name(trained: Path, hostile: Path) -> None:
    done = run("predict", trained, hostile / "cat", "--format", "json")
    assert done.returncode == 3
    rows = {os.fsencode(Path(row["path"]).name): row for row in map(json.loads, done.stdout.splitlines())}
    for name in (LONG, RIGHT_TO_LEFT, ANSI, "new\nline.jpg", os.fsdecode(b"\xff\xfe.jpg")):
        assert rows[os.fsencode(name)]["label"] == "cat"
        assert rows[os.fsencode(name)]["scores"].keys() == {SCRIPT, "cat", "coffee"}
    assert "178,956,970" in rows[b"bomb.png"]["error"] and "label" not in rows[b"bomb.png"]


def test_each_unusable_photo_is_an_answer_of_its_own(trained: Path, hostile: Path) -> None:
    names = ["zero.jpg", "text.jpg", "cut.jpg", "folder.jpg", "pipe.jpg", "dangling.jpg", "circle.jpg", "n" * 300]
    names += ["cat-0-000.jpg"]
    done = run("predict", trained, *names, "--format", "json", cwd=hostile / "cat", timeout=60)
    assert done.returncode == 3 and "Traceback" not in done.stderr
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    given = [name for name in names if name != "folder.jpg"]  # a folder without pictures
    assert [row["path"] for row in rows] == given
    assert ["error" in row for row in rows] == [True] * (len(given) - 1) + [False]


def test_evaluation_goes_on_without_them(trained: Path, hostile: Path) -> None:
    done = run("evaluate", trained, hostile)
    assert done.returncode == 0 and "9 files set aside:" in done.stdout
    assert "were trained on, so this flatters" in done.stdout
    assert "\x1b" not in done.stdout


# Folders that cannot be trained on


@pytest.mark.parametrize(
    ("make", "message"),
    [
        ("nothing", "no such folder or manifest; check the path"),
        ("empty", "the folder is empty; put the photos in one folder per class"),
        ("bare", "1 photo but no class folders"),
        ("text", "not a folder and not a manifest; expected a folder of class folders, .csv, .tsv or .jsonl"),
        ("hollow", "no photos in its 2 folders"),
        ("one class", "All photos are of one class, cat: a classifier needs two classes or more"),
        ("lonely", "1 class has fewer than two different photos: temple: 1 photo"),
        ("identical", "All 10 photos are the same file: add photos that differ"),
        ("unreadable", "No photo could be read"),
        ("n" * 300, "cannot be looked at"),
    ],
)
@pytest.mark.parametrize("verb", ["train", "check"])
def test_folders_that_cannot_be_trained_on(tmp_path: Path, make: str, message: str, verb: str) -> None:
    data = tmp_path / make
    if make in ("empty", "hollow", "bare"):
        data.mkdir()
    if make == "hollow":
        (data / "a").mkdir()
        (data / "b").mkdir()
    if make == "bare":
        save(pieces("cat", 1)[0], data / "1.jpg")
    if make == "text":
        data.write_text("hello")
    if make in ("one class", "lonely"):
        write_folder(data, ("cat",) if make == "one class" else ("cat", "coffee"), each=4)
    if make == "lonely":
        save(pieces("temple", 1)[0], data / "temple" / "1.jpg")
    if make == "identical":
        for i in range(10):
            save(pieces("cat", 1)[0], data / f"class{i % 2}" / f"{i}.jpg")
    if make == "unreadable":
        for label in "ab":
            (data / label).mkdir(parents=True)
            (data / label / "1.jpg").touch()
    options = ["--out", tmp_path / "run"] if verb == "train" else []
    done = run(verb, data, *options)
    if verb == "check" and done.stdout:  # it looked, and says what it found
        assert done.returncode == 3 and message.split(":")[0] in done.stdout
        assert "Traceback" not in done.stderr
        return
    assert message in refused(done, 3)
    assert done.stdout == ""
    assert not (tmp_path / "run" / "bundle").exists() and partials(tmp_path) == []


def test_every_reason_is_told_at_once(tmp_path: Path) -> None:
    for label in "ab":
        save(pieces("cat", 1)[0], tmp_path / "d" / label / "1.jpg")
    message = refused(run("train", tmp_path / "d", "--out", tmp_path / "run"), 3)
    assert "All 2 photos are the same file" in message
    assert "2 classes have fewer than two different photos: a: 1 photo; b: 1 photo" in message


def as_ordinary_user(*arguments: str | os.PathLike[str]) -> subprocess.CompletedProcess[str]:
    """The command line without root's right to read and write everything."""
    prefix = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"] if ROOT else []
    if ROOT and subprocess.run([*prefix, "true"], capture_output=True, check=False).returncode:
        pytest.skip("root can open every file, and setpriv cannot take that right away here")
    return subprocess.run(
        [*prefix, *command(*arguments)], capture_output=True, text=True, timeout=120, cwd="/", check=False
    )


def test_files_and_folders_without_permission(tmp_path: Path) -> None:
    data = write_folder(tmp_path / "photos", ("cat", "coffee"), each=4)
    (data / "cat" / "secret.jpg").write_bytes(b"x")
    (tmp_path / "full").mkdir()
    shut = [data / "cat" / "secret.jpg", data / "closed", data / "coffee" / "closed", tmp_path / "full"]
    for folder in shut[1:3]:
        folder.mkdir()
    try:
        for path in shut:
            path.chmod(0o555 if path.name == "full" else 0)
        done = as_ordinary_user("train", data, "--out", tmp_path / "run")
        assert done.returncode == 0, done.stderr
        result = json.loads((tmp_path / "run" / "result.json").read_text())
        (finding,) = (one for one in result["preflight"]["findings"] if one["kind"] == "unreadable")
        found = {row["paths"][0]: row["text"] for row in finding["rows"]}
        assert found == {
            str(shut[0]): "the file cannot be read (Permission denied)",
            str(shut[1]): "a folder that cannot be read (Permission denied)",
            str(shut[2]): "a folder that cannot be read (Permission denied)",
        }
        done = as_ordinary_user("train", data, "--out", tmp_path / "full" / "run")
        assert "no permission to write here; choose another --out" in refused(done, 5)
        done = as_ordinary_user("predict", tmp_path / "run", data / "cat")
        assert done.returncode == 3
        assert "secret.jpg\terror\tthe file cannot be read (Permission denied)" in done.stdout
        shut.append(tmp_path / "run" / "bundle")
        shut[-1].chmod(0)
        done = as_ordinary_user("predict", tmp_path / "run", data)
        assert "Permission denied" in refused(done, 4)
    finally:
        for path in shut:
            path.chmod(0o755)


# Places that cannot be written


@pytest.fixture
def good(tmp_path: Path, photo_folder: Path) -> Path:
    """A finished run to lose."""
    return foveal.train(photo_folder, tmp_path / "run").folder


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    place = tmp_path / "disk"
    place.mkdir()
    options = ["mount", "-t", "tmpfs", "-o", "size=6m", "none", str(place)]
    if not (ROOT and LINUX) or subprocess.run(options, capture_output=True, check=False).returncode:
        pytest.skip("mounting a small disk needs more rights than these tests have")
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


def test_full_disk(small_disk: Path, photo_folder: Path) -> None:
    message = refused(run("train", photo_folder, "--out", small_disk / "run"), 5)
    assert "the disk is full; free some space or choose another --out" in message
    assert partials(small_disk / "run") == []
    with pytest.raises(BundleError, match="no bundle here"):
        foveal.load(small_disk / "run")


def test_full_disk_for_the_cache_alone(small_disk: Path, tmp_path: Path, photo_folder: Path) -> None:
    (small_disk / "fill").write_bytes(bytes(6 * 1024**2 - 64 * 1024))
    done = run("train", photo_folder, "--out", tmp_path / "run", env={"FOVEAL_CACHE": str(small_disk)})
    assert done.returncode == 0, done.stderr
    assert "the cache cannot be used" in done.stderr or "no cache at" in done.stderr


def limited(size: int, *arguments: str | os.PathLike[str]) -> subprocess.CompletedProcess[str]:
    """The command line where no file can grow beyond `size` bytes."""
    program = (
        "import resource, runpy, signal, sys; signal.signal(signal.SIGXFSZ, signal.SIG_IGN);"
        f"resource.setrlimit(resource.RLIMIT_FSIZE, ({size}, {size}));"
        "sys.argv[0] = 'foveal'; runpy.run_module('foveal', run_name='__main__')"
    )
    return subprocess.run(
        command(*arguments, program=("-c", program)), capture_output=True, text=True, timeout=120, check=False
    )


def test_a_failed_write_leaves_the_old_bundle(good: Path, photo_folder: Path) -> None:
    before = {path: path.read_bytes() for path in good.rglob("*") if path.is_file() and path.name != "log.jsonl"}
    message = refused(limited(1_000_000, "train", photo_folder, "--seed", "3", "--out", good), 5)
    assert "model-" in message and "cannot be written (File too large)" in message
    after = {path: path.read_bytes() for path in good.rglob("*") if path.is_file() and path.name != "log.jsonl"}
    assert after == before and partials(good) == []
    last = json.loads((good / "log.jsonl").read_text().splitlines()[-1])
    assert last["event"] == "stopped" and "File too large" in last["error"]


def test_places_that_cannot_be(tmp_path: Path, photo_folder: Path) -> None:
    (tmp_path / "file").write_text("mine")
    message = refused(run("train", photo_folder, "--out", tmp_path / "file" / "run"), 5)
    assert "cannot be written (Not a directory); choose another --out" in message
    message = refused(run("train", photo_folder, "--out", tmp_path / "file"), 5)
    assert "cannot be written (File exists)" in message
    assert (tmp_path / "file").read_text() == "mine"


def test_a_read_only_disk(small_disk: Path, photo_folder: Path) -> None:
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    message = refused(run("train", photo_folder, "--out", small_disk / "run"), 5)
    assert "no permission to write here; choose another --out" in message


def test_a_full_disk_behind_stdout(good: Path, photo_folder: Path) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full here")
    for options in (["--format", "json"], []):
        with Path("/dev/full").open("w") as full:
            done = subprocess.run(
                command("predict", good, photo_folder, *options), stdout=full, stderr=-1, text=True, check=False
            )
        assert "standard output: cannot be written" in refused(done, 5)


# Bundles


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("nothing here", None, "no bundle here"),
        ("n" * 300, None, "File name too long"),
        ("cut", b'{"format": 1', "is damaged"),
        ("newer", b'{"format": 99}', "made by a newer Foveal"),
        ("list", b"[]", "is not a bundle's"),
        ("pickle", b"\x80\x04\x95cposix\nsystem\n.", "is damaged"),
    ],
)
def test_bundles_that_are_none(
    tmp_path: Path, photo_folder: Path, name: str, content: bytes | None, message: str
) -> None:
    if content is not None:
        (tmp_path / name).mkdir()
        (tmp_path / name / "bundle.json").write_bytes(content)
    with pytest.raises(BundleError, match=message):
        foveal.load(tmp_path / name)
    if name in ("n" * 300, "pickle"):
        assert message in refused(run("predict", tmp_path / name, photo_folder), 4)


def test_a_damaged_or_edited_bundle(good: Path) -> None:
    main, (weights,) = good / "bundle" / "bundle.json", (good / "bundle").glob("model-*")
    content, numbers = main.read_text(), weights.read_bytes()
    main.write_text(content.replace('"cat"', '"dog"'))
    with pytest.raises(BundleError, match="was changed after it was written"):
        foveal.load(good)
    main.write_text(content)
    weights.write_bytes(numbers[:-1] + bytes([numbers[-1] ^ 1]))
    with pytest.raises(BundleError):
        foveal.load(good)
    weights.unlink()
    with pytest.raises(BundleError):
        foveal.load(good)
    weights.write_bytes(numbers)
    assert foveal.load(good).classes == ("cat", "coffee", "temple")
