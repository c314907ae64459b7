"""An https server on this machine that does what servers and networks do when they fail."""

from __future__ import annotations

import contextlib
import http.server
import re
import ssl
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import trustme

Handler = Callable[["Answer"], None]


class Answer(http.server.BaseHTTPRequestHandler):
    """One request; handlers write what they like."""

    server: FaultyServer
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.close_connection = True
        name = self.path.partition("?")[0].lstrip("/")
        self.server.requests.append((self.path, dict(self.headers)))
        self.server.handlers.get(name, Answer.nothing)(self)

    def head(self, status: int, **headers: object) -> None:
        self.send_response(status)
        for name, value in {"Connection": "close", **headers}.items():
            self.send_header(name.replace("_", "-"), str(value))
        self.end_headers()

    def nothing(self) -> None:
        self.head(404, Content_Length=0)

    def write(self, data: bytes) -> None:
        self.wfile.write(data)
        self.wfile.flush()

    @property
    def start(self) -> int:
        """Where the request wants to begin."""
        match = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        return int(match[1]) if match else 0

    def log_message(self, format: str, *args: Any) -> None:
        pass


class FaultyServer(http.server.ThreadingHTTPServer):
    """Answers https on a port of its own, by handlers that tests set."""

    daemon_threads = True
    block_on_close = False

    def __init__(self, folder: Path, *hosts: str) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.handlers: dict[str, Handler] = {}
        self.requests: list[tuple[str, dict[str, str]]] = []
        self.open_end = threading.Event()  # set when the test is over: stalled handlers end
        authority = trustme.CA()
        self.ca_path = folder / "ca.pem"
        authority.cert_pem.write_to_path(str(self.ca_path))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("localhost", "127.0.0.1", *hosts).configure_cert(context)
        self.socket = context.wrap_socket(
            self.socket, server_side=True, do_handshake_on_connect=False
        )

    @property
    def url(self) -> str:
        return f"https://localhost:{self.server_address[1]}"

    @property
    def ranges(self) -> list[str | None]:
        """What the requests asked for, in order."""
        return [headers.get("Range") for _, headers in self.requests]

    def handle_error(self, request: object, client_address: object) -> None:
        pass  # clients that go away, and handlers that break off, are what this server is for


@contextlib.contextmanager
def running_server(folder: Path, *hosts: str) -> Iterator[FaultyServer]:
    """A server whose certificate is also good for the names of other hosts."""
    with FaultyServer(folder, *hosts) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield server
        finally:
            server.open_end.set()
            server.shutdown()
            thread.join()


def honest(body: bytes, etag: str | None = '"1"', **more: object) -> Handler:
    """A server as it should be: ranges, ETag, If-Range."""

    def answer(request: Answer) -> None:
        send(request, body, len(body), etag, **more)

    return answer


def send(request: Answer, body: bytes, stop: int, etag: str | None = '"1"', **more: object) -> None:
    """Answer honestly, but break off at byte `stop` of the file."""
    headers: dict[str, object] = {"ETag": etag} if etag else {}
    headers |= more
    condition = request.headers.get("If-Range")
    start = request.start if condition in (None, etag) else 0
    if start >= len(body) > 0 and start:
        request.head(416, Content_Range=f"bytes */{len(body)}", Content_Length=0)
        return
    length = len(body) - start
    if start:
        headers["Content_Range"] = f"bytes {start}-{len(body) - 1}/{len(body)}"
    request.head(206 if start else 200, Content_Length=length, **headers)
    request.write(body[start:stop])


def in_turn(*handlers: Handler) -> Handler:
    """The first request gets the first handler, and so on; the last stays."""
    left = list(handlers)

    def answer(request: Answer) -> None:
        (left.pop(0) if len(left) > 1 else left[0])(request)

    return answer
