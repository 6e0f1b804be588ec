from __future__ import annotations

import sqlite3
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from foveal import store as module
from foveal.store import Picture, Store

HASHES = [f"{i:064x}" for i in range(40)]
rng = np.random.default_rng(0)
VECTORS = {sha: rng.standard_normal(300).astype(np.float32) for sha in HASHES}
PICTURES = {sha: Picture(640 + i, 480, rng.bytes(768), "Canon|2020" if i % 2 else None) for i, sha in enumerate(HASHES)}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "cache" / "features.sqlite"


def fill(path: Path | None) -> Store:
    store = Store(path)
    store.add(PICTURES, "decoder", VECTORS, "recipe")
    return store


def same(found: dict[str, np.ndarray], expected: dict[str, np.ndarray]) -> bool:
    return found.keys() == expected.keys() and all(np.array_equal(found[sha], expected[sha]) for sha in expected)


def is_whole(store: Store) -> bool:
    return store.pictures(HASHES, "decoder") == PICTURES and same(store.vectors(HASHES, "recipe"), VECTORS)


def test_what_is_put_in_comes_out_exactly_also_from_another_connection(path: Path) -> None:
    store = fill(path)
    assert is_whole(store) and is_whole(Store(path)) and store.note is None
    store.close()
    assert is_whole(Store(path))
    vector = Store(path).vectors(HASHES[:1], "recipe")[HASHES[0]]
    assert vector.dtype == np.float32


def test_only_what_was_asked_for_and_made_so(path: Path) -> None:
    store = fill(path)
    assert store.vectors(HASHES[:2], "recipe").keys() == set(HASHES[:2])
    assert store.vectors(["f" * 64], "recipe") == {}
    assert store.vectors(HASHES, "another recipe") == {} == store.pictures(HASHES, "another decoder")
    store.add({}, "decoder", {HASHES[0]: VECTORS[HASHES[1]]}, "another recipe")
    assert np.array_equal(store.vectors(HASHES, "another recipe")[HASHES[0]], VECTORS[HASHES[1]])
    assert is_whole(store)


def test_more_hashes_than_a_query_may_hold(path: Path) -> None:
    many = {f"{i:064x}": np.full(1, i, np.float32) for i in range(2000)}
    store = Store(path)
    store.add({}, "d", many, "r")
    assert same(store.vectors(many, "r"), many)


def test_no_path_leaves_nothing_on_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    store = fill(None)
    assert is_whole(store) and store.note is None
    assert list(tmp_path.iterdir()) == []
    assert Store(None).vectors(HASHES, "recipe") == {}


def damage(content: bytes, how: str) -> bytes:
    half = len(content) // 2
    return {
        "noise": np.random.default_rng(1).bytes(50_000),
        "text": b"not a database, but long enough to look like one, " * 100,
        "truncated": content[:half],
        "zeros": content[:4096] + bytes(half) + content[4096 + half :],
        "old columns": content.replace(b", seal INTEGER", b"              "),
    }[how]


@pytest.mark.parametrize("how", ["noise", "text", "truncated", "zeros", "old columns"])
def test_a_damaged_file_is_begun_anew_and_says_so(path: Path, how: str) -> None:
    fill(path).close()
    path.write_bytes(damage(path.read_bytes(), how))
    store = Store(path)
    store.vectors(HASHES, "recipe")  # some damage shows only here
    store.add(PICTURES, "decoder", VECTORS, "recipe")
    assert store.note and store.note.startswith("the cache was damaged (") and store.note.endswith("was begun anew")
    store.add(PICTURES, "decoder", VECTORS, "recipe")
    assert is_whole(store)
    store.close()
    again = Store(path)
    assert is_whole(again) and again.note is None


def test_damage_during_a_run_is_survived(path: Path, content: bytes) -> None:
    path.parent.mkdir()
    path.write_bytes(content)
    store = Store(path)
    path.write_bytes(content[:4096] + b"x" * (len(content) - 4096))  # all but the first page, which it has read
    assert store.vectors(HASHES, "recipe") == {}
    assert store.note and "was begun anew" in store.note
    store.add(PICTURES, "decoder", VECTORS, "recipe")
    assert is_whole(store) and is_whole(Store(path))


@pytest.mark.parametrize("seed", range(150))
def test_flipped_bytes_never_give_wrong_values(path: Path, seed: int, content: bytes) -> None:
    """SQLite reads changed values without noticing; the rows' own checksums do."""
    rng = np.random.default_rng(seed)
    broken = bytearray(content)
    for at in rng.integers(0, 100 if seed % 5 == 0 else len(content), 3):
        broken[at] ^= int(rng.integers(1, 256))
    path.parent.mkdir()
    path.write_bytes(broken)
    store = Store(path)
    vectors, pictures = store.vectors(HASHES, "recipe"), store.pictures(HASHES, "decoder")
    assert same(vectors, {sha: VECTORS[sha] for sha in vectors})
    assert pictures == {sha: PICTURES[sha] for sha in pictures}
    store.add(PICTURES, "decoder", VECTORS, "recipe")
    store.close()


@pytest.fixture(scope="module")
def content(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("store") / "a.sqlite"
    fill(path).close()
    return path.read_bytes()


def test_a_changed_value_counts_as_unknown(path: Path) -> None:
    fill(path).close()
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE features SET vector = zeroblob(1200) WHERE sha256 = ?", HASHES[:1])
        connection.execute("UPDATE pictures SET width = 1 WHERE sha256 = ?", HASHES[1:2])
        connection.execute("UPDATE features SET vector = 7 WHERE sha256 = ?", HASHES[2:3])
    connection.close()
    store = Store(path)
    assert store.vectors(HASHES, "recipe").keys() == set(HASHES) - {HASHES[0], HASHES[2]}
    assert store.pictures(HASHES, "decoder").keys() == set(HASHES) - {HASHES[1]}
    store.add(PICTURES, "decoder", VECTORS, "recipe")
    assert is_whole(store) and store.note is None


def test_a_place_that_cannot_be_written_is_done_without(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    store = fill(tmp_path / "file" / "\x1b[31m" / "a.sqlite")
    assert is_whole(store)
    assert store.note == (
        f"no cache at {tmp_path}/file/\\x1b[31m/a.sqlite (Not a directory); this run keeps its features in memory"
    )


def test_a_folder_in_the_files_place(tmp_path: Path) -> None:
    store = fill(tmp_path)
    assert is_whole(store)
    assert store.note and "(unable to open database file); this run keeps its features in memory" in store.note


LOCK = """
import sqlite3, sys, time
connection = sqlite3.connect(sys.argv[1])
connection.execute("BEGIN EXCLUSIVE")
print("held", flush=True)
time.sleep(60)
"""


@pytest.mark.parametrize("begun", [False, True], ids=["before it is opened", "while it is in use"])
def test_another_process_that_never_lets_go(path: Path, monkeypatch: pytest.MonkeyPatch, begun: bool) -> None:
    monkeypatch.setattr(module, "_PATIENCE", 0.2)
    fill(path).close()
    store = Store(path) if begun else None
    process = subprocess.Popen([sys.executable, "-c", LOCK, str(path)], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout and process.stdout.readline() == "held\n"
        store = store or Store(path)
        store.add(PICTURES, "decoder", VECTORS, "recipe")
        store.add(PICTURES, "decoder", VECTORS, "recipe")
        assert is_whole(store)
        assert store.note and "(database is locked); this run keeps its features in memory" in store.note
    finally:
        process.kill()
        process.communicate()
    assert is_whole(Store(path))


WRITER = """
import sys, numpy as np
from pathlib import Path
from foveal.store import Picture, Store
path, who = Path(sys.argv[1]), int(sys.argv[2])
store = Store(path)
for i in range(60):
    sha = f"{2 * i + who:064x}"
    picture = Picture(i, who, bytes(768), None)
    store.add({sha: picture}, "d", {sha: np.full(1000, 2 * i + who, np.float32)}, "r")
    assert store.vectors([sha], "r").keys() == {sha}
assert store.note is None, store.note
"""


def test_two_processes_write_at_once(path: Path) -> None:
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITER, str(path), str(who)], stderr=subprocess.PIPE, text=True)
        for who in (0, 1)
    ]
    for writer in writers:
        errors = writer.communicate(timeout=60)[1]
        assert writer.returncode == 0, errors
    expected = {f"{i:064x}": np.full(1000, i, np.float32) for i in range(120)}
    store = Store(path)
    assert same(store.vectors(expected, "r"), expected)
    assert len(store.pictures(expected, "d")) == 120


def test_a_closed_store_is_a_mistake_and_not_damage(path: Path) -> None:
    store = fill(path)
    store.close()
    with pytest.raises(sqlite3.ProgrammingError):
        store.vectors(HASHES, "recipe")
    assert is_whole(Store(path))
