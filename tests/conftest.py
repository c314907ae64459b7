"""What several rooms' tests share: a tiny model with random weights; a server for downloads."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from faulty_server import FaultyServer

# Before torch is loaded: threads that spin while they wait make tests of small networks ten times
# slower on a busy machine.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

# Beside other workers of `pytest -n` each has its share of the cores.
workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
if workers > 1:
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // workers)))

# Triton, which torch.optim imports where it is installed, crashes if Mesa has loaded its own LLVM
# for the rendering tests before: so it goes first.
with contextlib.suppress(ImportError):
    import triton  # noqa: F401

import hypothesis  # noqa: E402
from tiny import TINY_FPS, tiny_networks  # noqa: E402

# How long an example takes depends on what else the machine does.
hypothesis.settings.register_profile("without deadlines", deadline=None)
hypothesis.settings.load_profile("without deadlines")

pytest_plugins = ["command_fixtures", "footage_fixtures"]


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a tiny model; not to be written to."""
    from stylefacev_cli.weights.bundle import save_bundle

    folder = tmp_path_factory.mktemp("models") / "tiny"
    save_bundle(
        folder,
        tiny_networks(),
        name="tiny",
        fps=TINY_FPS,
        licence="CC0-1.0",
        provenance={"made": "for tests, from random numbers"},
    )
    return folder


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of fetched assets; nothing of this machine's settings."""
    folder = tmp_path / "home"
    monkeypatch.setenv("STYLEFACEV_HOME", str(folder))
    for name in ("STYLEFACEV_OFFLINE", "STYLEFACEV_MIRROR"):
        monkeypatch.delenv(name, raising=False)
    return folder


@pytest.fixture
def server(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultyServer]:
    """An https server that is trusted, while nothing but this machine can be reached."""
    from faulty_server import running_server

    with running_server(tmp_path) as running:
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(running.ca_path))
        for name in ("HTTPS_PROXY", "https_proxy"):
            monkeypatch.setenv(name, "http://127.0.0.1:9")
        for name in ("NO_PROXY", "no_proxy"):
            monkeypatch.setenv(name, "localhost")
        yield running


@pytest.fixture(scope="session")
def look() -> Path:
    """The folder of the photographic look's files, for tests of it; skipped where they are not."""
    from stylefacev_cli.faces.assets import LOOK_ENTRY
    from stylefacev_cli.weights.downloads.cache import folder_of, read_records, state_of
    from stylefacev_cli.weights.downloads.registry import find_entry

    entry, records = find_entry(LOOK_ENTRY), read_records()
    folder = folder_of(entry)
    states = [state_of(file, records) for file in entry.files]
    if set(states) != {"present"}:
        pytest.skip(
            f"{len(states) - states.count('present')} of {len(states)} files of the photographic "
            f"look are not in {folder}: `stylefacev weights download {LOOK_ENTRY}`"
        )
    return folder


@pytest.fixture(scope="session")
def studio() -> Iterator[object]:
    """For the tests that render; they are skipped where no picture can be made."""
    yield open_studio("procedural")


@pytest.fixture(scope="session")
def photographic_studio(look: Path) -> Iterator[object]:
    """As `studio`, of the look whose files are a download."""
    yield open_studio("photographic")


def open_studio(look: str) -> object:
    pytest.importorskip("moderngl")
    from stylefacev_cli.errors import StyleFaceVError
    from stylefacev_cli.faces.latent_renderer import LatentRenderer

    try:
        return LatentRenderer(size_px=64, look=look)
    except StyleFaceVError as error:
        pytest.skip(f"no rendering here: {error}")
