"""Servers that never come to an end: each step has its time, and each file its size."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest
from faulty_server import Answer, FaultyServer

from stylefacev_cli.weights.downloads import transfer
from stylefacev_cli.weights.downloads.connection import Limits, remote
from stylefacev_cli.weights.downloads.failures import SourceError
from stylefacev_cli.weights.downloads.transfer import Expected, fetch_to

LIMITS = Limits(connect_timeout_s=0.5, stall_timeout_s=0.3, retries=1, first_wait_s=0.01)


def endlessly(request: Answer, piece: bytes) -> None:
    """A bit at a time, each well within the time-out of a read."""
    while not request.server.open_end.wait(0.05):
        request.write(piece)


def trickled_headers(request: Answer) -> None:
    request.write(b"HTTP/1.1 200 OK\r\n")
    endlessly(request, b"X")


def continues(request: Answer) -> None:
    endlessly(request, b"HTTP/1.1 100 Continue\r\n\r\n")


def chunk_sizes(request: Answer) -> None:
    request.head(200, Transfer_Encoding="chunked")
    request.write(b"5\r\nhello\r\n")
    endlessly(request, b"0")


def trailers(request: Answer) -> None:
    request.head(200, Transfer_Encoding="chunked")
    request.write(b"5\r\nhello\r\n0\r\n")
    endlessly(request, b"X: y\r\n")


def fetch(server: FaultyServer, folder: Path, wanted: Expected) -> None:
    place = remote(f"{server.url}/a", verify=str(server.ca_path))
    fetch_to(folder / "x", place, wanted, LIMITS, lambda *_: None, lambda _: None)


@pytest.mark.parametrize(
    ("handler", "told"),
    [
        (trickled_headers, "does not come to an answer"),
        (continues, "does not come to an answer"),
        (chunk_sizes, "sent nothing"),
        (trailers, "sent nothing"),
    ],
)
def test_what_trickles_is_cut(
    server: FaultyServer, tmp_path: Path, handler: Callable[[Answer], None], told: str
) -> None:
    server.handlers["a"] = handler
    began_s = time.monotonic()
    with pytest.raises(SourceError, match=told):
        fetch(server, tmp_path, Expected(None, 2**20, True))
    assert time.monotonic() - began_s < 10 and len(server.requests) == 2


def test_an_endless_body_has_a_most_size(
    server: FaultyServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def body(request: Answer) -> None:
        request.head(200, Transfer_Encoding="chunked")
        while not request.server.open_end.is_set():
            request.write(b"10000\r\n" + bytes(2**16) + b"\r\n")

    monkeypatch.setattr(transfer, "_MAX_UNTOLD_BYTES", 2**20)
    server.handlers["a"] = body
    with pytest.raises(SourceError, match="sends more than 1048576 bytes"):
        fetch(server, tmp_path, Expected(None, 2**33, True))
    assert (tmp_path / "x").stat().st_size <= 2**20


def test_a_file_has_its_time(
    server: FaultyServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fast enough not to stall, and yet for ever."""

    def body(request: Answer) -> None:
        request.head(200, Content_Length=2**20)
        endlessly(request, bytes(100))

    monkeypatch.setattr(transfer, "_MIN_OVERALL_BYTES_PER_S", 2**22)
    monkeypatch.setattr(transfer, "_STALLS", 1)
    server.handlers["a"] = body
    with pytest.raises(SourceError, match="has not sent the file in"):
        fetch(server, tmp_path, Expected(2**20, 2**20, True))
