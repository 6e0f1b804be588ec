"""A publisher of one file: a real HTTP server in a thread, which misbehaves as it is told."""

from __future__ import annotations

import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Publisher(ThreadingHTTPServer):
    """Gives `body`; `asked` lists the Range headers it saw, `mode` is how it behaves.

    As a context manager it answers in a thread.
    """

    mode = "good"

    def __init__(self, body: bytes) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.body = body
        self.asked: list[str | None] = []

    def __enter__(self) -> Publisher:
        self._thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.shutdown()
        self._thread.join()
        self.server_close()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """The reader may go away: that is what is tested."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/model.pth"


class Answer(BaseHTTPRequestHandler):
    server: Publisher

    def do_GET(self) -> None:
        mode, asked, whole = self.server.mode, self.headers.get("Range"), self.server.body
        self.server.asked.append(asked)
        start = int(asked[6:-1]) if asked and mode != "ignores ranges" else 0
        if self.path == "/moved.pth":
            return self.head(302, Location=self.server.url)
        if mode == "elsewhere":
            return self.head(302, Location="file:///etc/passwd")
        if mode == "ftp":
            return self.head(302, Location="ftp://127.0.0.1/model.pth")
        if mode == "circle":
            return self.head(302, Location=self.path)
        if mode == "absent":
            return self.head(404)
        if start >= len(whole):
            return self.head(416)
        body = {"wrong": whole[:-1] + b"x", "longer": whole + b"x"}.get(mode, whole)[start:]
        fields = {} if mode == "says no length" else {"Content-Length": len(body)}
        if start:
            first = start - 1 if mode == "another part" else start
            self.head(206, **fields, **{"Content-Range": f"bytes {first}-{len(whole) - 1}/{len(whole)}"})
        else:
            self.head(200, **fields)
        if mode == "breaks":
            body = body[: len(body) // 2]
        if mode == "slow":
            time.sleep(0.5)
        self.wfile.write(body)
        return None

    def head(self, status: int, **fields: Any) -> None:
        self.send_response(status)
        for name, value in fields.items():
            self.send_header(name, str(value))
        self.end_headers()

    def log_message(self, *args: Any) -> None:
        pass
