"""Ctrl-C, SIGKILL, and two runs at once: nothing half-written, nothing lost, and the next run goes on."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import foveal
from small_photos import command, partials, refused, run, write_folder

COUNT = 180


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Enough photos that a run without a cache can be stopped while it reads them."""
    return write_folder(
        tmp_path_factory.mktemp("many") / "photos", ("grass", "gravel", "brick"), each=COUNT // 3, seed=21
    )


@pytest.fixture
def cache(tmp_path: Path, foveal_cache: Path) -> dict[str, str]:
    """The environment with a cache of its own, which holds the converted weights but no features."""
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "weights").symlink_to(foveal_cache / "weights")
    return {**os.environ, "FOVEAL_CACHE": str(tmp_path / "cache")}


@contextlib.contextmanager
def started(*arguments: str | Path, env: dict[str, str] | None = None) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        command(*arguments),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=env,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def wait_for(log: Path, stage: str) -> None:
    """Until the run's log says that `stage` has begun."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError):
            if f'"stage": "{stage}"' in log.read_text():
                return
        time.sleep(0.005)
    raise AssertionError(f"{stage} never began")


def features(cache: dict[str, str]) -> int:
    """Photos in the cache; the file is whole."""
    with contextlib.closing(sqlite3.connect(Path(cache["FOVEAL_CACHE"], "features.sqlite"))) as database:
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        return int(database.execute("SELECT COUNT(*) FROM features").fetchone()[0])


@pytest.mark.parametrize("stage", ["start", "features", "heads"])
def test_ctrl_c_stops_cleanly_and_the_next_run_goes_on(
    photos: Path, tmp_path: Path, cache: dict[str, str], stage: str
) -> None:
    out = tmp_path / "run"
    with started("train", photos, "--out", out, env=cache) as process:
        wait_for(out / "log.jsonl", stage)
        process.send_signal(signal.SIGINT)
        said, complaint = process.communicate(timeout=30)
    assert process.returncode == 130, complaint
    assert complaint.splitlines()[-1].startswith("error: stopped; what was computed is kept, and the same command goes")
    assert "Traceback" not in complaint and said == ""
    assert partials(out) == [] and [path.name for path in out.iterdir()] == ["log.jsonl"]
    last = json.loads((out / "log.jsonl").read_text().splitlines()[-1])
    assert last["event"] == "stopped"
    if stage != "start":
        kept = features(cache)
        assert kept >= 16
        done = run("train", photos, "--out", out, env=cache)
        assert done.returncode == 0, done.stderr
        found = json.loads((out / "result.json").read_text())["features"]
        assert found["computed"] + found["from_cache"] == COUNT
        assert found["from_cache"] == min(kept, COUNT)  # vectors of mirrored photos are made after all plain ones


def test_ctrl_c_keeps_the_results_of_the_run_before(photos: Path, photo_folder: Path, tmp_path: Path) -> None:
    good = foveal.train(photo_folder, tmp_path / "run")
    before = (good.report.read_bytes(), (good.folder / "result.json").read_bytes())
    (good.folder / "log.jsonl").unlink()
    with started("train", photos, "--out", good.folder, "--no-cache") as process:
        wait_for(good.folder / "log.jsonl", "features")
        process.send_signal(signal.SIGINT)
        _, complaint = process.communicate(timeout=30)
    assert process.returncode == 130
    assert complaint.splitlines()[-1] == "error: stopped"  # without a cache nothing is kept
    assert (good.report.read_bytes(), (good.folder / "result.json").read_bytes()) == before
    assert foveal.load(good.folder).classes == ("cat", "coffee", "temple")


@pytest.mark.parametrize("verb", ["predict", "evaluate"])
def test_ctrl_c_while_libraries_are_loaded(photos: Path, photo_folder: Path, tmp_path: Path, verb: str) -> None:
    """Inside an import, KeyboardInterrupt can become an ImportError, or leave a lock behind that hangs the process."""
    good = foveal.train(photo_folder, tmp_path / "run")
    began = time.monotonic()
    run("--version")
    begun = time.monotonic() - began  # what it takes until the command itself begins, on a machine this busy
    for moment in (1.0, 1.3, 1.6, 1.9):
        with started(verb, good.folder, photos) as process:
            time.sleep(moment * begun)
            process.send_signal(signal.SIGINT)
            _, complaint = process.communicate(timeout=30)
        assert process.returncode == 130, complaint
        assert complaint == "error: stopped\n"


DEAF = """
import os, signal, sys, time
import foveal.cli

class Deaf:
    def __del__(self):  # like a callback from C, it can only report what is raised in it
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.1)

def app(*arguments, **options):
    Deaf()
    time.sleep(20)

foveal.cli.app = app
foveal.cli.main()
"""


def test_ctrl_c_where_nothing_can_be_raised() -> None:
    done = subprocess.run([sys.executable, "-c", DEAF], capture_output=True, text=True, timeout=15)
    assert (done.returncode, done.stderr) == (130, "error: stopped\n")


def test_sigkill_at_any_moment(photos: Path, photo_folder: Path, tmp_path: Path, cache: dict[str, str]) -> None:
    """The old bundle stays readable through every kill, the cache whole, and the run after the last succeeds."""
    good = foveal.train(photo_folder, tmp_path / "run")
    picture = next(photo_folder.rglob("*.jpg"))
    old = foveal.load(good.folder).predict(picture)
    kept = 0
    stages = ["start", "features", "preflight", "heads", "test", "report", "write"]
    for stage in stages:
        with started("train", photos, "--out", good.folder, env=cache) as process:
            (good.folder / "log.jsonl").unlink(missing_ok=True)
            wait_for(good.folder / "log.jsonl", stage)
            time.sleep(0.03 * stages.index(stage) % 0.1)
            process.kill()
            process.wait()
        now = foveal.load(good.folder)
        assert process.returncode == -signal.SIGKILL or stage in ("report", "write")
        if now.classes == good_classes:
            assert now.predict(picture) == old
        else:  # the kill came after the new bundle was whole
            assert now.classes == ("brick", "grass", "gravel") and stage == "write"
        if Path(cache["FOVEAL_CACHE"], "features.sqlite").exists():
            assert features(cache) >= kept
            kept = features(cache)
    assert kept >= COUNT
    done = run("train", photos, "--out", good.folder, env=cache)
    assert done.returncode == 0, done.stderr
    assert partials(good.folder) == []
    assert sorted(path.name for path in good.folder.iterdir()) == ["bundle", "log.jsonl", "report.html", "result.json"]
    assert foveal.load(good.folder).classes == ("brick", "grass", "gravel")
    assert json.loads((good.folder / "result.json").read_text())["features"]["computed"] == 0


good_classes = ("cat", "coffee", "temple")


def test_sigkill_between_the_writes(photo_folder: Path, tmp_path: Path) -> None:
    """Killed after each write in turn: a whole bundle every time, the old or the new one."""
    good = foveal.train(photo_folder, tmp_path / "run")
    picture = next(photo_folder.rglob("*.jpg"))
    program = (
        "import os, sys, pathlib; from foveal import files; left = int(sys.argv.pop(1)); real = os.fsync\n"
        "def fsync(handle):\n"
        "    global left\n"
        "    left -= 1\n"
        "    if left < 0: os.kill(os.getpid(), 9)\n"
        "    real(handle)\n"
        "os.fsync = fsync\n"
        "from foveal.cli import main; sys.argv[0] = 'foveal'; main()"
    )
    codes = []
    for write in range(8):
        options = ["train", photo_folder, "--out", good.folder, "--seed", str(write + 1)]
        done = subprocess.run(
            command(str(write), *options, program=("-c", program)), capture_output=True, text=True, check=False
        )
        codes.append(done.returncode)
        assert foveal.load(good.folder).predict(picture)[0].scores.keys() == set(good_classes)
        if done.returncode == 0:
            break
    assert codes[-1] == 0 and set(codes[:-1]) == {-signal.SIGKILL} and len(codes) >= 5  # four files of a run or more
    assert partials(good.folder) == []


def test_two_runs_into_one_place(photos: Path, photo_folder: Path, tmp_path: Path, cache: dict[str, str]) -> None:
    out = tmp_path / "run"
    with started("train", photos, "--out", out, env=cache) as first:
        wait_for(out / "log.jsonl", "start")
        message = refused(run("train", photo_folder, "--out", out), 5)
        assert "another Foveal run is writing here; wait for it, or choose another --out" in message
        _, complaint = first.communicate(timeout=60)
        assert first.returncode == 0, complaint
    assert foveal.load(out).classes == ("brick", "grass", "gravel")
    events: list[dict[str, Any]] = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    assert events[-1]["event"] == "done"
    assert partials(out) == []


def test_a_lock_that_a_killed_run_left_is_no_obstacle(photo_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / ".lock").touch()
    (tmp_path / "run" / ".report.html.123.foveal-partial").write_text("half")
    assert foveal.train(photo_folder, tmp_path / "run").report.is_file()
    assert partials(tmp_path / "run") == []


def test_the_lock_is_held_by_the_process_and_not_by_the_file(photo_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    with (tmp_path / "run" / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(foveal.FovealError, match="another Foveal run"):
            foveal.train(photo_folder, tmp_path / "run")
    assert foveal.train(photo_folder, tmp_path / "run").report.is_file()


def test_two_runs_share_the_cache(photos: Path, tmp_path: Path, cache: dict[str, str]) -> None:
    with (
        started("train", photos, "--out", tmp_path / "a", env=cache) as first,
        started("train", photos, "--out", tmp_path / "b", env=cache) as second,
    ):
        for process in (first, second):
            _, complaint = process.communicate(timeout=90)
            assert process.returncode == 0, complaint
            assert "cache cannot be used" not in complaint
    results = [json.loads((tmp_path / name / "result.json").read_text()) for name in "ab"]
    assert results[0]["test"] == results[1]["test"]
    assert features(cache) >= COUNT
