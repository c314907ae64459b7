"""The publishers' hosts, on this machine: their addresses, reached as through a proxy.

Nothing of the registry is changed: the package asks for `https://huggingface.co/spaces/…`, and a
proxy that it is told to use leads to a local server whose certificate is good for those hosts.
"""

from __future__ import annotations

import contextlib
import socket
import socketserver
import threading
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from faulty_server import FaultyServer, honest, running_server

from stylefacev_cli.weights.download.registry import WeightFile, find_entry

HOSTS = ("huggingface.co", "api.ngc.nvidia.com")


class _Proxy(socketserver.ThreadingTCPServer):
    """Answers CONNECT with a way to one local port, whatever the host."""

    daemon_threads = True
    block_on_close = False

    def __init__(self, port: int) -> None:
        super().__init__(("127.0.0.1", 0), _Tunnel)
        self.port = port
        self.asked: list[str] = []  # hosts, in order


class _Tunnel(socketserver.StreamRequestHandler):
    server: _Proxy

    def handle(self) -> None:
        self.server.asked.append(self.rfile.readline().split()[1].decode())
        while self.rfile.readline().strip():
            pass
        with socket.create_connection(("127.0.0.1", self.server.port)) as beyond:
            self.connection.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            back = threading.Thread(target=_pump, args=(beyond, self.connection), daemon=True)
            back.start()
            _pump(self.connection, beyond)
            back.join()


def _pump(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while block := source.recv(2**16):
            target.sendall(block)
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_WR)


class PublishedSite:
    """What the publishers offer, and what was asked of them."""

    def __init__(self, server: FaultyServer, proxy: _Proxy) -> None:
        self.server, self.proxy = server, proxy

    def publish(self, entry_name: str, folder: Path) -> None:
        """Offer the files of an entry, which lie in a folder, at the registry's first addresses."""
        for file in find_entry(entry_name).files:
            self.server.handlers[place_of(file)] = honest((folder / file.name).read_bytes())

    @property
    def num_connections(self) -> int:
        return len(self.proxy.asked)

    @property
    def asked_for(self) -> list[str]:
        """The names of the files that were asked for, in order."""
        return [path.rpartition("/")[2] for path, _ in self.server.requests]


def place_of(file: WeightFile) -> str:
    """Where a file of the registry lies on its first host."""
    return urlsplit(file.sources[0].address).path.lstrip("/")


@contextlib.contextmanager
def running_site(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[PublishedSite]:
    with running_server(folder, *HOSTS) as server, _Proxy(server.server_address[1]) as proxy:
        thread = threading.Thread(target=proxy.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        address = f"http://127.0.0.1:{proxy.server_address[1]}"
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(server.ca_path))
        for name in ("HTTPS_PROXY", "https_proxy"):
            monkeypatch.setenv(name, address)
        for name in ("NO_PROXY", "no_proxy"):
            monkeypatch.setenv(name, "")
        try:
            yield PublishedSite(server, proxy)
        finally:
            proxy.shutdown()
            thread.join()
