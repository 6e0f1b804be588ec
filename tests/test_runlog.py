from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from foveal.errors import OutputError
from foveal.runlog import RunLog


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def test_every_event_is_a_line_at_once_and_told(tmp_path: Path) -> None:
    path, told = tmp_path / "log.jsonl", []
    with RunLog(path, lambda event, fields: told.append((event, fields))) as log:
        log("scan", photos=3, root="\udcff\u202e\n")
        assert lines(path)[0] | {"seconds": 0} == {
            "seconds": 0, "event": "scan", "photos": 3, "root": "\udcff\u202e\n",
        }  # fmt: skip
        log("done", accuracy=0.5)
    assert told == [("scan", {"photos": 3, "root": "\udcff\u202e\n"}), ("done", {"accuracy": 0.5})]
    assert [line["event"] for line in lines(path)] == ["scan", "done"]
    assert 0 <= lines(path)[0]["seconds"] <= lines(path)[1]["seconds"] < 5


def test_without_an_observer_the_log_is_the_same(tmp_path: Path) -> None:
    with RunLog(tmp_path / "a", None) as log:
        log("scan", photos=3)
    assert [line["event"] for line in lines(tmp_path / "a")] == ["scan"]


def test_a_new_run_begins_a_new_log(tmp_path: Path) -> None:
    for photos in (1, 2):
        with RunLog(tmp_path / "a", None) as log:
            log("scan", photos=photos)
    assert [line["photos"] for line in lines(tmp_path / "a")] == [2]


def test_a_log_that_is_held_leaves_the_one_before_until_it_starts(tmp_path: Path) -> None:
    def photos(*, goes_on: bool) -> tuple[list[int], list[int]]:
        (tmp_path / "a").write_text('{"event": "scan", "photos": 1}\n{"ev')
        with RunLog(tmp_path / "a", None, goes_on=goes_on, held=True) as log:
            log("scan", photos=2)
            before = (tmp_path / "a").read_text()
            log.start()
            told = [line["photos"] for line in lines(tmp_path / "a")]
            log("scan", photos=3)
        assert before.endswith('{"ev')
        return told, [line["photos"] for line in lines(tmp_path / "a")]

    assert photos(goes_on=False) == ([2], [2, 3])
    assert photos(goes_on=True) == ([1, 2], [1, 2, 3])


def test_stages_are_timed_and_add_up(tmp_path: Path) -> None:
    with RunLog(tmp_path / "a", None) as log:
        for _ in range(2):
            with log.stage("heads"):
                time.sleep(0.02)
        with log.stage("test"):
            pass
    assert list(log.seconds) == ["heads", "test"]
    assert log.seconds["heads"] >= 0.04 and log.seconds["test"] < log.seconds["heads"]
    assert log.total >= sum(log.seconds.values())
    assert [(line["event"], line["stage"]) for line in lines(tmp_path / "a")] == [
        ("begin", "heads"), ("end", "heads"), ("begin", "heads"), ("end", "heads"), ("begin", "test"), ("end", "test"),
    ]  # fmt: skip
    assert lines(tmp_path / "a")[3]["took"] == pytest.approx(log.seconds["heads"], abs=1e-3)


@pytest.mark.parametrize(
    ("error", "said"), [(ValueError("bad \x1b[31m"), r"bad \x1b[31m"), (KeyboardInterrupt(), "KeyboardInterrupt")]
)
def test_a_run_that_stops_says_why(tmp_path: Path, error: BaseException, said: str) -> None:
    told: list[str] = []
    with (
        pytest.raises(type(error)),
        RunLog(tmp_path / "a", lambda event, fields: told.append(event)) as log,
        log.stage("heads"),
    ):
        raise error
    assert lines(tmp_path / "a")[-1]["error"] == said
    assert told == ["begin", "stopped"] and "heads" in log.seconds


def test_progress_is_told_always_and_written_now_and_then(tmp_path: Path) -> None:
    told = []
    with RunLog(tmp_path / "a", lambda event, fields: told.append(fields["done"])) as log:
        for done in range(1, 501):
            log.progress(done, 500, 7)
    assert told == list(range(1, 501))
    written = lines(tmp_path / "a")
    assert [written[0]["done"], written[-1]["done"]] == [1, 500] and len(written) <= 4
    assert written[-1]["total"] == 500 and written[-1]["cached"] == 7


@pytest.mark.parametrize("total", [500, 0])
def test_fetching_is_told_and_written_likewise(tmp_path: Path, total: int) -> None:
    told = []
    with RunLog(tmp_path / "a", lambda event, fields: told.append((event, fields))) as log:
        for done in range(1, 501):
            log.fetched(done, total)
    assert told == [("fetch", {"done": done, "total": total}) for done in range(1, 501)]
    assert 1 <= len(lines(tmp_path / "a")) <= 4


def test_a_log_that_cannot_be_written_is_an_output_error(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"gone/\\x1b/a: cannot be written \(No such file or directory\); choose"):
        RunLog(tmp_path / "gone" / "\x1b" / "a", None)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full on this system")
def test_a_full_disk_does_not_end_a_run_by_its_log() -> None:
    told = []
    with RunLog(Path("/dev/full"), lambda event, fields: told.append(event)) as log:
        for _ in range(1000):
            log("note", text="x" * 100)
    assert len(told) == 1000
