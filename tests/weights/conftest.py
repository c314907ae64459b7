"""A server that fails in every way, and a cache of its own, for the tests of downloads."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from faulty_server import FaultyServer, running_server


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache; nothing of this machine's settings."""
    folder = tmp_path / "home"
    monkeypatch.setenv("STYLEFACEV_HOME", str(folder))
    for name in ("STYLEFACEV_OFFLINE", "STYLEFACEV_MIRROR"):
        monkeypatch.delenv(name, raising=False)
    return folder


@pytest.fixture
def server(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultyServer]:
    """The server; its authority is trusted, and nothing but this machine can be reached."""
    with running_server(tmp_path) as running:
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(running.ca_path))
        for name in ("HTTPS_PROXY", "https_proxy"):
            monkeypatch.setenv(name, "http://127.0.0.1:9")
        for name in ("NO_PROXY", "no_proxy"):
            monkeypatch.setenv(name, "localhost")
        yield running
