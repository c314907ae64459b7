"""`sf.weights`: the functions behind `stylefacev weights`, called from Python."""

from __future__ import annotations

import contextlib
import logging
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from faulty_server import FaultyServer, honest

from stylefacev_cli import weights
from stylefacev_cli.common.listener import Advance
from stylefacev_cli.errors import IntegrityError, MissingWeightsError, UsageError
from stylefacev_cli.weights.downloads.interaction import as_transfers
from stylefacev_cli.weights.model_inventory import check_rows

NAME = "stylegan3-t-ffhqu-256"
FILE = f"{NAME}/stylegan3-t-ffhqu-256x256.pkl"


class Told:
    """A listener that remembers."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.counted: list[tuple[str, int, int]] = []  # unit, total, done

    def note(self, text: str) -> None:
        self.notes.append(text)

    def detail(self, text: str) -> None:
        self.notes.append(text)

    def doing(self, what: str) -> contextlib.AbstractContextManager[None]:
        return contextlib.nullcontext()

    @contextlib.contextmanager
    def progress(self, total: int, unit: str) -> Iterator[Advance]:
        done = 0

        def advance(what: str) -> None:
            nonlocal done
            done += 1

        yield advance
        self.counted.append((unit, total, done))


def test_life_of_a_file(server: FaultyServer, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    body = random.Random(3).randbytes(2_400_000)
    monkeypatch.setenv("STYLEFACEV_MIRROR", server.url)
    server.handlers[FILE] = honest(body)
    with pytest.raises(UsageError, match="accept_licence=True"):
        weights.download(NAME, retries=0)
    told = Told()
    mirror = server.url
    (path,) = weights.download(NAME, retries=0, mirror=mirror, accept_licence=True, listener=told)
    assert path.read_bytes() == body
    assert told.counted == [("MB", 3, 3)] and any("downloading" in note for note in told.notes)
    assert weights.paths(NAME) == [path]
    assert weights.show(NAME)["state"] == "present"
    (row,) = weights.verify(NAME)
    assert row == {"name": NAME, "path": str(path), "state": "present"}
    path.write_bytes(body[:-1])
    told = Told()
    rows = weights.verify(name=NAME, listener=told)
    assert rows[0]["state"] == "damaged" and "SHA-256" in told.notes[0]
    with pytest.raises(IntegrityError, match="damaged"):
        check_rows(rows)
    assert weights.remove(NAME) == [path]
    with pytest.raises(MissingWeightsError):
        weights.paths(NAME)


def test_lists(home: Path) -> None:
    assert {"default-128", "default-64"} <= {facts["name"] for facts in weights.list_models()}
    assert all(facts["state"] == "present" for facts in weights.list_models())
    assert {facts["kind"] for facts in weights.list_entries()} == {"weights"}


def test_there_and_back(tiny_model: Path, home: Path, tmp_path: Path) -> None:
    files = weights.export_model(str(tiny_model), to=tmp_path / "out")
    assert files[-1].name == "export.yaml"
    imported = weights.import_model("mine", archive=str(tmp_path / "out"), fps=9)
    assert imported.manifest.fps == 9 and weights.paths("mine") == [imported.manifest.folder]
    assert weights.remove("mine") == [imported.manifest.folder]


def test_bytes_become_megabytes() -> None:
    told = Told()
    with as_transfers(told) as transfers:
        transfers.bytes("nobody knows", 5, None)
        for done in (1_500_000, 400_000, 2_500_000):  # a download may begin again
            transfers.bytes("a", done, 2_500_000)
        transfers.bytes("b", 0, 10)
    assert told.counted == [("MB", 3, 3), ("MB", 1, 0)]


def test_asking_for_the_functions_brings_neither_torch_nor_typer() -> None:
    code = (
        "import stylefacev_cli.weights as w, stylefacev_cli.data as d, sys; "
        "w.list_entries(); dir(w); d.render; "
        "print([m for m in ('torch', 'numpy', 'typer', 'rich') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_without_a_listener_the_log_is_told(home: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "stylefacev_cli"):
        assert weights.verify("default-64")[0]["state"] == "present"
    assert caplog.records == []
