"""What is shown while the network's weights are fetched; the rest of the progress is tested by the real commands."""

from __future__ import annotations

import io
import sys

import pytest

from foveal.cli import show
from foveal.cli.show import Watcher

SIZES = [(done, 46_800_000) for done in range(0, 46_800_001, 7_800_000)]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def watch(sizes: list[tuple[int, int]], *, quiet: bool = False) -> None:
    with Watcher(quiet) as watcher:
        for done, total in sizes:
            watcher("fetch", {"done": done, "total": total})
        watcher("note", {"text": "afterwards"})


def test_on_a_terminal_a_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    for sizes, size in ((SIZES, "46.8/46.8 MB"), ([(done, 0) for done, _ in SIZES], "46.8/? MB")):
        monkeypatch.setattr(sys, "stderr", Terminal())
        watch(sizes)
        shown = sys.stderr.getvalue()
        assert "fetching the network's weights" in shown and size in shown
        assert shown.endswith("note    afterwards\n")


def test_elsewhere_a_line_now_and_then(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    watch(SIZES)
    assert capsys.readouterr().err == "note    afterwards\n"
    monkeypatch.setattr(show, "_EVERY", 0.0)
    watch(SIZES[1:3])
    watch([(5_000_000, 0)])
    assert capsys.readouterr().err == (
        "8 of 47 MB of the network's weights fetched\n"
        "16 of 47 MB of the network's weights fetched\n"
        "note    afterwards\n"
        "5 MB of the network's weights fetched\n"
        "note    afterwards\n"
    )


def test_quiet_is_quiet(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(show, "_EVERY", 0.0)
    watch(SIZES, quiet=True)
    assert capsys.readouterr() == ("", "")
