"""Fetching, against a real server that stands in for the publisher."""

from __future__ import annotations

import hashlib
import os
import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from foveal import fetching
from foveal.errors import FovealError, OutputError, WeightsError
from foveal.fetching import download, sha256_of
from publisher import Answer, Publisher

BODY = np.random.default_rng(0).bytes(700_001)
SHA256 = hashlib.sha256(BODY).hexdigest()


@pytest.fixture
def publisher(monkeypatch: pytest.MonkeyPatch) -> Iterator[Publisher]:
    monkeypatch.setenv("no_proxy", "*")
    with Publisher(BODY) as server:
        yield server


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "model.pth"


def part_of(target: Path) -> Path:
    return target.with_name("model.pth.part")


def test_a_file_arrives_whole_with_progress(publisher: Publisher, target: Path) -> None:
    told: list[tuple[int, int]] = []
    download(publisher.url, target, SHA256, lambda *numbers: told.append(numbers))
    assert target.read_bytes() == BODY and sha256_of(target) == SHA256
    assert list(target.parent.iterdir()) == [target]
    assert told[-1] == (len(BODY), len(BODY)) and [done for done, _ in told] == sorted({done for done, _ in told})
    assert len(told) > 1


def test_what_lies_there_already_is_not_fetched_again(publisher: Publisher, target: Path) -> None:
    target.write_bytes(BODY)
    download(publisher.url, target, SHA256[:8])
    part_of(target).write_bytes(BODY)  # killed between the last byte and the rename
    target.unlink()
    download(publisher.url, target, SHA256[:8])
    assert publisher.asked == [] and target.read_bytes() == BODY and not part_of(target).exists()


def test_an_interrupted_fetch_goes_on_where_it_stopped(publisher: Publisher, target: Path) -> None:
    def interrupt(done: int, total: int) -> None:
        if done > 300_000:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        download(publisher.url, target, SHA256, interrupt)
    have = part_of(target).stat().st_size
    assert 300_000 < have < len(BODY) and not target.exists()
    told: list[tuple[int, int]] = []
    download(publisher.url, target, SHA256, lambda *numbers: told.append(numbers))
    assert target.read_bytes() == BODY
    assert publisher.asked == [None, f"bytes={have}-"]
    assert told[0][0] > have and told[-1] == (len(BODY), len(BODY))


def test_a_broken_transfer_says_how_to_go_on_and_does(publisher: Publisher, target: Path) -> None:
    publisher.mode = "breaks"
    with pytest.raises(WeightsError) as caught:
        download(publisher.url, target, SHA256)
    assert str(caught.value) == (
        f"{publisher.url}: the transfer stopped after 350,000 of 700,001 bytes; "
        "run again to go on from where it stopped"
    )
    with pytest.raises(WeightsError, match=r"stopped after 525,000 of 700,001 bytes"):
        download(publisher.url, target, SHA256)
    publisher.mode = "good"
    download(publisher.url, target, SHA256)
    assert target.read_bytes() == BODY and publisher.asked == [None, "bytes=350000-", "bytes=525000-"]


@pytest.mark.parametrize("mode", ["ignores ranges", "says no length"])
def test_servers_that_know_less(publisher: Publisher, target: Path, mode: str) -> None:
    publisher.mode = mode
    part_of(target).write_bytes(b"old" * 1000)
    if mode == "says no length":
        part_of(target).unlink()
    told: list[tuple[int, int]] = []
    download(publisher.url, target, SHA256, lambda *numbers: told.append(numbers))
    assert target.read_bytes() == BODY
    assert told[-1] == (len(BODY), len(BODY) if mode == "ignores ranges" else 0)


def test_a_part_longer_than_the_file_is_begun_anew(publisher: Publisher, target: Path) -> None:
    part_of(target).write_bytes(BODY + b"more")
    download(publisher.url, target, SHA256)
    assert target.read_bytes() == BODY and publisher.asked == [f"bytes={len(BODY) + 4}-", None]


@pytest.mark.parametrize("mode", ["wrong", "longer"])
@pytest.mark.parametrize("begun", [b"", BODY[:1000], b"other" * 100])
def test_a_wrong_file_is_deleted(publisher: Publisher, target: Path, mode: str, begun: bytes) -> None:
    publisher.mode = mode
    if begun:
        part_of(target).write_bytes(begun)
    with pytest.raises(WeightsError) as caught:
        download(publisher.url, target, SHA256[:8])
    found = re.fullmatch(
        rf"{publisher.url}: its SHA-256 begins with (\w{{8}}), expected {SHA256[:8]}; what was fetched is deleted. "
        "Run again; should it stay so, the publisher has another file there",
        str(caught.value),
    )
    assert found and found[1] != SHA256[:8]
    assert list(target.parent.iterdir()) == []
    publisher.mode = "good"
    download(publisher.url, target, SHA256)
    assert target.read_bytes() == BODY


def test_redirects_are_followed(publisher: Publisher, target: Path) -> None:
    part_of(target).write_bytes(BODY[:10])
    download(publisher.url.replace("model", "moved"), target, SHA256)
    assert target.read_bytes() == BODY and publisher.asked == ["bytes=10-", "bytes=10-"]


@pytest.mark.parametrize(
    ("mode", "message"),
    [
        ("absent", r"the publisher answers 404 \(Not Found\)"),
        ("elsewhere", r"the publisher answers 302 \(.*Redirection to url 'file:///etc/passwd' is not allowed\)"),
        ("ftp", r"cannot be reached \(unknown url type: ftp\)"),
        ("circle", r"the publisher answers 302 \(.*infinite loop"),
    ],
)
def test_an_answer_that_is_no_file(publisher: Publisher, target: Path, mode: str, message: str) -> None:
    publisher.mode = mode
    with pytest.raises(WeightsError, match=message) as caught:
        download(publisher.url, target, SHA256)
    assert str(caught.value).startswith(f"{publisher.url}: ") and str(caught.value).isprintable()
    assert f"fetch it by hand to {target}" in str(caught.value)
    assert list(target.parent.iterdir()) == []


def test_another_part_than_was_asked_for_is_refused(publisher: Publisher, target: Path) -> None:
    publisher.mode = "another part"
    part_of(target).write_bytes(BODY[:10])
    with pytest.raises(
        WeightsError, match="the publisher sends another part of the file than was asked for; run again"
    ):
        download(publisher.url, target, SHA256)
    assert part_of(target).read_bytes() == BODY[:10]


def test_https_is_never_left_for_http() -> None:
    from urllib.error import HTTPError
    from urllib.request import HTTPRedirectHandler, Request

    (handler,) = [each for each in fetching._opener().handlers if isinstance(each, HTTPRedirectHandler)]
    args: tuple[Any, ...] = (None, 302, "Found", {})
    there = handler.redirect_request(Request("https://a.org/x"), *args, "https://b.org/x")
    assert there and there.full_url == "https://b.org/x"
    assert handler.redirect_request(Request("http://a.org/x"), *args, "http://b.org/x")
    with pytest.raises(HTTPError, match="redirects to what is not https"):
        handler.redirect_request(Request("https://a.org/x"), *args, "http://b.org/x")


def test_offline(target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "*")
    with pytest.raises(WeightsError) as caught:
        download("http://127.0.0.1:9/model.pth", target, SHA256)
    assert str(caught.value) == (
        "http://127.0.0.1:9/model.pth: cannot be reached ([Errno 111] Connection refused); "
        f"fetch it by hand to {target}"
    )


def test_a_publisher_that_falls_silent(publisher: Publisher, target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetching, "_TIMEOUT", 0.1)
    silence = threading.Event()

    def wait(self: Answer) -> None:
        self.head(200, **{"Content-Length": len(BODY)})
        self.wfile.write(BODY[:1000])
        silence.wait(5)

    monkeypatch.setattr(Answer, "do_GET", wait)
    with pytest.raises(WeightsError, match=r"the transfer stopped \(.*timed out\); run again to go on"):
        download(publisher.url, target, SHA256)
    silence.set()


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://a.org/x", "data:,x", "/etc/passwd", ""])
def test_only_the_web_is_read(target: Path, url: str) -> None:
    with pytest.raises(WeightsError, match="not an address of the web; expected http:// or https://"):
        download(url, target, SHA256)


def test_a_folder_that_cannot_be_written(publisher: Publisher, tmp_path: Path) -> None:
    part_of(tmp_path / "model.pth").mkdir()
    with pytest.raises(OutputError) as caught:
        download(publisher.url, tmp_path / "model.pth", SHA256)
    assert str(caught.value) == (
        f"{tmp_path / 'model.pth'}: cannot be written (Is a directory); "
        "set FOVEAL_CACHE to a folder that can be written"
    )


def test_a_full_disk_is_no_broken_transfer(publisher: Publisher, target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(handle: int) -> None:
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(fetching.os, "fsync", full)
    with pytest.raises(FovealError) as caught:
        download(publisher.url, target, SHA256)
    assert isinstance(caught.value, OutputError)
    assert str(caught.value) == (
        f"{target}: the disk is full; free some space or set FOVEAL_CACHE to a folder that can be written"
    )
