"""Time limits of whole steps of a connection, which time-outs of single reads do not keep.

A server that sends a byte now and then – of headers, of the size of a chunk, of a trailer – keeps
each read short and never comes to an end. When a step's time is over the connection is cut.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections import deque
from collections.abc import Iterator
from typing import Any

import requests
import urllib3
from requests.adapters import HTTPAdapter

_POLLS = 8  # looks at the clock in the time of a step
_LONGEST_POLL_S = 0.5


class Watchdog:
    """Cuts the connections of a session when a step takes longer than it may."""

    def __init__(self) -> None:
        self.has_cut = False
        self._connections: deque[Any] = deque(maxlen=8)  # the latest; a step uses one of them
        self._end_s: float | None = None
        self._poll_s = _LONGEST_POLL_S
        self._closed = threading.Event()
        self._thread: threading.Thread | None = None

    def watch(self, connection: Any) -> None:
        """Add a connection that is being opened."""
        self._connections.append(connection)

    @contextlib.contextmanager
    def limit(self, seconds: float) -> Iterator[None]:
        """Cut the connection if the block takes longer; `has_cut` then says so."""
        self.has_cut = False
        self._poll_s = min(seconds / _POLLS, _LONGEST_POLL_S)
        self._end_s = time.monotonic() + seconds
        if self._thread is None:
            self._thread = threading.Thread(target=self._look, daemon=True)
            self._thread.start()
        try:
            yield
        finally:
            self._end_s = None

    def close(self) -> None:
        """End the thread."""
        self._closed.set()

    def _look(self) -> None:
        while not self._closed.wait(self._poll_s):
            end_s = self._end_s
            if end_s is not None and time.monotonic() > end_s:
                self._end_s = None
                self.has_cut = True
                for connection in list(self._connections):
                    _cut(connection)


def _cut(connection: Any) -> None:
    for sock in (getattr(connection, "sock", None), getattr(connection, "kept_sock", None)):
        if isinstance(sock, socket.socket):  # None once it is closed
            with contextlib.suppress(OSError):
                socket.socket.shutdown(sock, socket.SHUT_RDWR)  # below TLS, whose state stays


def watched(session: requests.Session) -> Watchdog:
    """A watchdog over the https connections that a session opens from now on."""
    watchdog = Watchdog()

    class Connection(urllib3.connection.HTTPSConnection):
        def connect(self) -> None:
            watchdog.watch(self)
            super().connect()
            self.kept_sock = self.sock  # an answer that is the last takes it over

    class Pool(urllib3.HTTPSConnectionPool):
        ConnectionCls = Connection

    class Adapter(HTTPAdapter):
        def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
            super().init_poolmanager(*args, **kwargs)
            self.poolmanager.pool_classes_by_scheme = {
                **self.poolmanager.pool_classes_by_scheme, "https": Pool,
            }  # fmt: skip

        def proxy_manager_for(self, *args: Any, **kwargs: Any) -> Any:
            manager: Any = super().proxy_manager_for(*args, **kwargs)
            manager.pool_classes_by_scheme = {**manager.pool_classes_by_scheme, "https": Pool}
            return manager

    session.mount("https://", Adapter())
    return watchdog
