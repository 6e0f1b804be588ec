from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from foveal import files
from foveal.errors import OutputError
from foveal.files import check_writable, locked, make_folder, remove_partials, write_atomic

HOLDER = """
import sys, time
from pathlib import Path
from foveal.files import locked
with locked(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def hold(folder: Path) -> subprocess.Popen[str]:
    """Another process that holds the lock on `folder`."""
    process = subprocess.Popen([sys.executable, "-c", HOLDER, str(folder)], stdout=subprocess.PIPE, text=True)
    assert process.stdout and process.stdout.readline() == "held\n"
    return process


def end(process: subprocess.Popen[str]) -> None:
    process.send_signal(signal.SIGKILL)
    process.communicate()


def fail_with(code: int) -> Any:
    def fail(*_: object) -> None:
        raise OSError(code, os.strerror(code))

    return fail


def test_writes_text_and_bytes_and_replaces_them(tmp_path: Path) -> None:
    path = tmp_path / "result.json"
    write_atomic(path, "été\n")
    assert path.read_bytes() == "été\n".encode()
    write_atomic(path, b"\x00\xff")
    assert path.read_bytes() == b"\x00\xff"
    assert list(tmp_path.iterdir()) == [path]


def test_a_lone_surrogate_is_written_as_an_escape(tmp_path: Path) -> None:
    write_atomic(tmp_path / "a", "x\udcff\ud800")
    assert (tmp_path / "a").read_bytes() == rb"x\udcff\ud800"


@pytest.mark.parametrize("broken", ["os.fsync", "os.open", "pathlib.Path.replace"])
@pytest.mark.parametrize(
    ("code", "message"),
    [
        (errno.ENOSPC, "the disk is full; free some space or choose another --out"),
        (errno.EACCES, "no permission to write here; choose another --out"),
        (errno.EROFS, "no permission to write here; choose another --out"),
        (errno.EIO, "cannot be written (Input/output error); choose another --out"),
    ],
)
def test_a_failed_write_leaves_the_old_content_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: str, code: int, message: str
) -> None:
    path = tmp_path / "result.json"
    write_atomic(path, "old")
    if broken == "os.open":
        monkeypatch.setattr(Path, "open", fail_with(code))
    else:
        monkeypatch.setattr(broken, fail_with(code))
    with pytest.raises(OutputError) as caught:
        write_atomic(path, "new")
    monkeypatch.undo()
    assert str(caught.value) == f"{path}: {message}"
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full on this system")
def test_a_disk_that_is_really_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a"
    path.write_text("old")
    original = Path.open
    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", lambda self, *mode: original(Path("/dev/full"), *mode))
        with pytest.raises(OutputError, match="the disk is full"):
            write_atomic(path, "new" * 10_000)
    assert path.read_text() == "old"


def test_whether_a_folder_could_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    check_writable(tmp_path / "new" / "there")
    check_writable(tmp_path)
    assert not list(tmp_path.iterdir())
    (tmp_path / "file").write_text("mine")
    for path, message in (
        (tmp_path / "file" / "run", "cannot be written (Not a directory); choose another --out"),
        (tmp_path / ("x" * 300), "cannot be written (File name too long); choose another --out"),
    ):
        with pytest.raises(OutputError) as caught:
            check_writable(path)
        assert message in str(caught.value)
    monkeypatch.setattr("tempfile.TemporaryFile", lambda **_: fail_with(errno.EROFS)())
    with pytest.raises(OutputError, match="no permission to write here; choose another --out"):
        check_writable(tmp_path)


def test_a_hostile_name_is_shown_as_escapes(tmp_path: Path) -> None:
    with pytest.raises(OutputError) as caught:
        write_atomic(tmp_path / "\x1b[31m\u202e" / "a", "x")
    assert str(caught.value).isprintable() and r"\x1b[31m\u202e" in str(caught.value)


def test_a_folder_below_a_file_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match=r"file/x: cannot be written \(Not a directory\); choose another --out"):
        make_folder(tmp_path / "file" / "x")


def test_an_interrupted_write_leaves_the_old_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a"
    write_atomic(path, "old")

    def interrupt(_: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_atomic(path, "new")
    assert [p.name for p in tmp_path.iterdir()] == ["a"]
    assert path.read_text() == "old"


def test_only_what_a_killed_writer_left_is_removed(tmp_path: Path) -> None:
    mine = [tmp_path / name for name in (".hidden", "photo.foveal-partial", ".foveal-partial.txt")]
    left = tmp_path / ".bundle.json.123.foveal-partial"
    for path in (*mine, left):
        path.write_text("")
    remove_partials(tmp_path)
    assert sorted(tmp_path.iterdir()) == sorted(mine)


def test_taking_the_lock_makes_the_folder_cleans_it_and_leaves_no_trace(tmp_path: Path) -> None:
    folder = tmp_path / "runs" / "a"
    folder.mkdir(parents=True)
    (folder / ".model.1.foveal-partial").write_text("")
    with locked(folder):
        assert [path.name for path in folder.iterdir()] == [".lock"]
    assert list(folder.iterdir()) == []


def test_a_second_process_is_refused_until_the_first_is_killed(tmp_path: Path) -> None:
    process = hold(tmp_path)
    partial = tmp_path / ".a.1.foveal-partial"
    partial.write_text("")
    try:
        with pytest.raises(OutputError) as caught, locked(tmp_path):
            pass
        assert str(caught.value) == (
            f"{tmp_path}: another Foveal run is writing here; wait for it, or choose another --out"
        )
        assert partial.exists()  # it is the first one's
    finally:
        end(process)
    assert (tmp_path / ".lock").exists()  # killed processes tidy nothing away
    with locked(tmp_path):
        assert not partial.exists()
    assert list(tmp_path.iterdir()) == []


COUNT = """
import sys
from pathlib import Path
from foveal.files import locked
count = Path(sys.argv[1]).parent / "count"
for _ in range(50):
    with locked(Path(sys.argv[1]), wait=True):
        count.write_text(str(int(count.read_text()) + 1))
"""


def test_those_who_wait_take_turns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "count").write_text("0")
    code = f"import foveal.files; foveal.files._PATIENCE = 0.001{COUNT}"
    command = [sys.executable, "-c", code, str(tmp_path / "folder")]
    processes = [subprocess.Popen(command) for _ in range(3)]
    assert [process.wait(60) for process in processes] == [0, 0, 0]
    assert (tmp_path / "count").read_text() == "150"


def test_where_the_remedy_is_another_it_is_told(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("")
    message = r"cannot be written \(Not a directory\); move house"
    with pytest.raises(OutputError, match=message), locked(tmp_path / "a" / "b", remedy="move house"):
        pass


def test_the_lock_is_free_after_an_error(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), locked(tmp_path):
        raise ZeroDivisionError
    with locked(tmp_path):
        pass


def test_a_lock_file_removed_under_us_is_not_mistaken_for_the_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run before ours may unlink the file between our opening and our locking it."""
    try_lock, tries = files._try_lock, []

    def late(handle: int) -> bool:
        tries.append(handle)
        if len(tries) == 1:
            (tmp_path / ".lock").unlink()
        return try_lock(handle)

    monkeypatch.setattr(files, "_try_lock", late)
    with locked(tmp_path):
        assert len(tries) == 2
        monkeypatch.undo()
        with pytest.raises(OutputError, match="another Foveal run"), locked(tmp_path):
            pass


def test_a_folder_that_cannot_hold_a_lock_is_an_output_error(tmp_path: Path) -> None:
    (tmp_path / ".lock").mkdir()
    with pytest.raises(OutputError, match=r"cannot be written \(Is a directory\)"), locked(tmp_path):
        pass


def test_a_link_stays_and_what_is_no_file_is_written_to(tmp_path: Path) -> None:
    """As root, replacing ``/dev/null`` by a file would break the machine."""
    (tmp_path / "link").symlink_to("real.txt")
    write_atomic(tmp_path / "link", "through")
    assert (tmp_path / "link").is_symlink() and (tmp_path / "real.txt").read_text() == "through"
    os.mkfifo(tmp_path / "pipe")
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    try:
        write_atomic(tmp_path / "pipe", "down the pipe")
        assert os.read(reader, 100) == b"down the pipe"
    finally:
        os.close(reader)
    assert (tmp_path / "pipe").is_fifo() and sorted(p.name for p in tmp_path.iterdir()) == ["link", "pipe", "real.txt"]
