"""Fetching a published file: it goes on where it stopped, is checked against its SHA-256, and appears when whole."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import foveal
from foveal.errors import OutputError, WeightsError
from foveal.files import explain
from foveal.text import printable

if TYPE_CHECKING:
    from http.client import HTTPResponse

Progress = Callable[[int, int], None]
"""Called with bytes done and bytes in all (0 where the publisher does not say)."""

REMEDY = "set FOVEAL_CACHE to a folder that can be written"
_TIMEOUT = 30.0  # seconds without a byte
_CHUNK = 1 << 18


def download(url: str, target: Path, sha256: str, progress: Progress | None = None) -> None:
    """Fetch `url` to `target` by way of ``NAME.part``, from whose end an interrupted fetch goes on.

    Call it while holding the lock of `target`'s folder (`foveal.files.locked`). A `target` put there by hand is kept.

    Parameters
    ----------
    url : http or https.
    sha256 : of the file, or its first digits.

    Raises
    ------
    WeightsError : the address cannot be reached or has no such file, the transfer stopped, another SHA-256.
    OutputError : `target` cannot be written.
    """
    if not url.startswith(("https://", "http://")):
        raise WeightsError(f"{url!r:.200}: not an address of the web; expected http:// or https://")
    part = target.with_name(f"{target.name}.part")
    try:
        if _is(target, sha256):
            return
        if not _is(part, sha256):
            place = printable(target, limit=4096)
            _fetch(url, part, progress, by_hand=f"fetch it by hand to {place}")
            if not _is(part, sha256):
                found = sha256_of(part)
                part.unlink()
                raise WeightsError(
                    f"{url}: its SHA-256 begins with {found[: len(sha256)]:.16}, expected {sha256:.16}; what was "
                    "fetched is deleted. Run again; should it stay so, the publisher has another file there"
                )
        part.replace(target)
    except OSError as error:
        raise OutputError(explain(target, error, REMEDY)) from error


def sha256_of(path: Path) -> str:
    """SHA-256 of a file's content."""
    total = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            total.update(chunk)
    return total.hexdigest()


def _is(path: Path, sha256: str) -> bool:
    return path.is_file() and sha256_of(path).startswith(sha256)


def _fetch(url: str, part: Path, progress: Progress | None, by_hand: str) -> None:
    """Append to `part` what it lacks of `url`, or begin it anew where the publisher does not go on."""
    have = part.stat().st_size if part.exists() else 0
    with _ask(url, have, by_hand) as answer, part.open("r+b" if have else "wb") as file:
        done, total = _extent(answer, have, url)
        file.truncate(done)
        file.seek(done)
        for chunk in _chunks(answer, url):
            file.write(chunk)
            done += len(chunk)
            if progress:
                progress(done, total)
        file.flush()
        os.fsync(file.fileno())
    if done < total:
        raise WeightsError(
            f"{url}: the transfer stopped after {done:,} of {total:,} bytes; run again to go on from where it stopped"
        )


def _ask(url: str, start: int, by_hand: str) -> HTTPResponse:
    """The publisher's answer, redirects followed; from byte `start` on, if it gives that."""
    from http.client import HTTPException
    from urllib.error import HTTPError, URLError
    from urllib.request import Request

    headers = {"User-Agent": f"foveal/{foveal.__version__}"} | ({"Range": f"bytes={start}-"} if start else {})
    try:
        answer: HTTPResponse = _opener().open(Request(url, headers=headers), timeout=_TIMEOUT)
        return answer
    except HTTPError as error:
        error.close()
        if error.code == 416:  # what we have is no beginning of this file
            return _ask(url, 0, by_hand)
        raise WeightsError(
            f"{url}: the publisher answers {error.code} ({printable(error.reason)}); {by_hand}"
        ) from error
    except (OSError, HTTPException) as error:
        reason = error.reason if isinstance(error, URLError) else error
        raise WeightsError(f"{url}: cannot be reached ({printable(str(reason))}); {by_hand}") from error


def _opener() -> Any:
    """What opens http and https, and nothing else: no local file, and from https no redirect to plain http."""
    from urllib import request
    from urllib.error import HTTPError

    class SafeRedirect(request.HTTPRedirectHandler):
        def redirect_request(
            self, req: request.Request, fp: Any, code: int, msg: str, headers: Any, newurl: str
        ) -> Any:
            if req.type == "https" and not newurl.startswith("https:"):
                raise HTTPError(req.full_url, code, "redirects to what is not https", headers, fp)
            return super().redirect_request(req, fp, code, msg, headers, newurl)

    opener = request.OpenerDirector()
    for handler in (
        request.ProxyHandler, request.UnknownHandler, request.HTTPHandler, request.HTTPSHandler,
        request.HTTPDefaultErrorHandler, SafeRedirect, request.HTTPErrorProcessor,
    ):  # fmt: skip
        opener.add_handler(handler())
    return opener


def _extent(answer: HTTPResponse, asked: int, url: str) -> tuple[int, int]:
    """At which byte the answer begins (the one `asked` for, or 0), and how long the whole file is (0: not said)."""
    if answer.status == 206:
        given = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", answer.headers.get("Content-Range", ""))
        if not given or int(given[1]) != asked:
            raise WeightsError(f"{url}: the publisher sends another part of the file than was asked for; run again")
        return asked, int(given[2]) if given[2] != "*" else 0
    length = answer.headers.get("Content-Length", "")
    return 0, int(length) if length.isdigit() else 0


def _chunks(answer: HTTPResponse, url: str) -> Iterator[bytes]:
    from http.client import HTTPException

    while True:
        try:
            chunk = answer.read(_CHUNK)
        except (OSError, HTTPException) as error:
            why = printable(str(error) or type(error).__name__)
            raise WeightsError(
                f"{url}: the transfer stopped ({why}); run again to go on from where it stopped"
            ) from error
        if not chunk:
            return
        yield chunk
