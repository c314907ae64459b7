"""The files of the photographic look: fetched, placed by hand, missing, damaged; and manifests."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from faulty_server import Answer, FaultyServer, honest
from small_look import NAME, NUM_FILES, write_registry

from stylefacev_cli.cli.app import run
from stylefacev_cli.cli.downloads import DEFAULT_LOOK
from stylefacev_cli.errors import IntegrityError, UsageError
from stylefacev_cli.faces import assets, dataset, looks
from stylefacev_cli.faces.dataset import RenderSettings, render_set
from stylefacev_cli.faces.studio import Studio
from stylefacev_cli.weights import cache, registry
from stylefacev_cli.weights.cache import assets_folder

SETTINGS = RenderSettings(num_identities=2, num_frames=2, size_px=16, seed=3)
Run = Callable[..., tuple[int, list[str], list[str]]]


@pytest.fixture
def files(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, bytes]:
    """Contents of a look of a dozen small files, by path; none is there."""
    folder = tmp_path / "registry"
    bodies = write_registry(folder)
    monkeypatch.setattr(registry, "shipped_folder", lambda: folder)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    return bodies


@pytest.fixture
def placed(files: dict[str, bytes]) -> dict[str, bytes]:
    """The same, put into their places by hand."""
    for path, body in files.items():
        place = assets_folder() / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(body)
    return files


@pytest.fixture
def mirror(
    server: FaultyServer, files: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> FaultyServer:
    """A server that has them, and keeps connections open."""
    monkeypatch.setenv("STYLEFACEV_MIRROR", server.url)
    for path, body in files.items():
        server.handlers[path] = honest(body, Connection="keep-alive")
    return server


@pytest.fixture
def drawing(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Stands for the renderer; holds the looks that it was opened in."""
    opened: list[str] = []

    def studio(size_px: int, framing: object, look: str) -> str:
        opened.append(look)
        return look

    def clip(studio: str, latents: np.ndarray) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        return np.zeros((len(latents), 16, 16, 3), np.uint8), {"factors": latents}

    monkeypatch.setattr(dataset, "Studio", studio)
    monkeypatch.setattr(dataset, "render_clip", clip)
    monkeypatch.setattr(looks, "has_mesh", lambda: True)
    return opened


@pytest.fixture
def shell(capsys: pytest.CaptureFixture[str]) -> Run:
    def call(*arguments: str) -> tuple[int, list[str], list[str]]:
        code = run(list(arguments))
        out, err = capsys.readouterr()
        return code, out.splitlines(), err.splitlines()

    return call


def render(out: Path, *more: str) -> list[str]:
    sizes = ("--identities", "2", "--frames", "2", "--size", "16")
    return ["data", "render", *sizes, "--out", str(out), *more]


# --- the files -------------------------------------------------------------------------------


def test_the_hash_needs_no_files(home: Path) -> None:
    assert re.fullmatch("[0-9a-f]{64}", assets.look_hash())
    assert assets.look_hash() == assets.look_hash() and not home.exists()


def test_the_hash_is_of_names_and_contents(files: dict[str, bytes]) -> None:
    before = assets.look_hash()
    path = registry.shipped_folder() / "registry.yaml"
    text = path.read_text()
    path.write_text(text.replace("hair/0.bin", "hair/00.bin"))
    assert assets.look_hash() != before
    (digit,) = re.findall(r"hair/0\.bin 1000 ([0-9a-f])", text)
    path.write_text(
        text.replace(f"hair/0.bin 1000 {digit}", f"hair/0.bin 1000 {'01'[digit == '0']}")
    )
    assert assets.look_hash() != before


def test_missing_files_end_with_3_and_name_their_place_and_the_other_look(
    home: Path, tmp_path: Path, shell: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STYLEFACEV_OFFLINE", "1")
    code, out, err = shell(*render(tmp_path / "set"))
    assert (code, out, len(err)) == (3, [], 1)
    assert str(assets_folder() / NAME) in err[0] and "all 111 files" in err[0]
    assert err[0].endswith("; or render with --look procedural")
    assert not (tmp_path / "set").exists()  # so that the other look can be rendered there
    for command in (["recomposition", "--perceptual", "none"], ["reconstruction"]):
        monkeypatch.setattr("stylefacev_cli.metrics.face_networks.face_network", lambda name: None)
        code, out, err = shell("eval", *command, "--pairs", "2")
        assert (code, out, len(err)) == (3, [], 1) and err[0].endswith("--look procedural")


def test_wrong_looks_are_named(home: Path, tmp_path: Path, shell: Run) -> None:
    for command in (render(tmp_path / "set"), ["eval", "recomposition"]):
        code, out, err = shell(*command, "--look", "painted")
        assert (code, out) == (2, [])
        assert err == ["error: --look painted: choose photographic or procedural"]
    with pytest.raises(UsageError, match="--look"):
        Studio(16, look="")
    assert DEFAULT_LOOK == looks.PHOTOGRAPHIC == SETTINGS.look


def test_rendering_fetches_them_once_and_says_so(
    mirror: FaultyServer, drawing: list[str], tmp_path: Path, shell: Run
) -> None:
    code, out, err = shell(*render(tmp_path / "set"))
    assert (code, out, drawing) == (0, [str(tmp_path / "set" / "index.jsonl")], [DEFAULT_LOOK])
    where = mirror.url.removeprefix("https://")
    assert err == [f"downloading {NUM_FILES} files of {NAME} (0.0 MB) from {where}"]
    assert len(mirror.requests) == NUM_FILES
    assert shell(*render(tmp_path / "set", "--identities", "3"))[0::2] == (0, [])
    assert len(mirror.requests) == NUM_FILES


def test_one_connection_brings_all(
    mirror: FaultyServer, files: dict[str, bytes], shell: Run
) -> None:
    callers = set()

    def noting(answer: Callable[[Answer], None]) -> Callable[[Answer], None]:
        def note(request: Answer) -> None:
            callers.add(request.client_address)
            answer(request)

        return note

    for path in files:
        mirror.handlers[path] = noting(mirror.handlers[path])
    assert shell("weights", "download", NAME)[0] == 0
    assert len(callers) == 1
    assert all((assets_folder() / path).read_bytes() == body for path, body in files.items())


def test_an_entry_of_many_files_is_one_line(
    mirror: FaultyServer, files: dict[str, bytes], shell: Run
) -> None:
    folder = str(assets_folder() / NAME)

    def row(command: str) -> list[str]:
        return next(line.split() for line in shell("weights", command)[1] if line.startswith(NAME))

    assert row("list")[1:4] == ["missing", "0.0", "MB"]
    code, out, err = shell("weights", "verify", NAME)
    assert (code, len(out)) == (3, 1) and out[0].split()[1:3] == ["missing", folder]
    assert shell("weights", "download", NAME)[:2] == (0, [folder])
    assert shell("weights", "path", NAME)[:2] == (0, [folder])
    assert json.loads(shell("weights", "path", NAME, "--json")[1][0]) == [
        str(assets_folder() / path) for path in files
    ]
    assert row("list")[1] == "present"
    assert row("verify") == [
        NAME,
        "present",
        folder,
        f"({NUM_FILES}",
        "of",
        f"{NUM_FILES}",
        "files)",
    ]
    bad = assets_folder() / next(iter(files))
    bad.write_bytes(bytes(len(bad.read_bytes())))
    code, out, err = shell("weights", "verify", NAME)
    assert code == 4 and [line.split()[1:3] for line in out] == [
        ["damaged", str(bad)],
        ["present", folder],
    ]
    assert f"({NUM_FILES - 1} of {NUM_FILES} files)" in out[1]
    assert row("list")[1] == "damaged"
    assert shell("weights", "remove", NAME)[:2] == (0, [folder])
    assert not (assets_folder() / NAME).exists()


def test_offline_download(placed: dict[str, bytes], shell: Run) -> None:
    folder = assets_folder() / NAME
    assert shell("weights", "download", NAME, "--offline") == (0, [str(folder)], [])
    gone = assets_folder() / next(iter(placed))
    gone.unlink()
    code, out, err = shell("weights", "download", NAME, "--offline")
    assert (code, out) == (3, []) and f"put {gone.name} at {gone} by hand" in err[-1]


def test_files_placed_by_hand_are_used_and_read_once(
    placed: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STYLEFACEV_OFFLINE", "1")
    assert assets.look_folder() == assets_folder() / NAME
    assert set(cache.read_records()) == set(placed)
    read: list[Path] = []
    real = cache.sha256_of
    monkeypatch.setattr(cache, "sha256_of", lambda path: (read.append(path), real(path))[1])
    assets.look_folder()
    assert read == []
    touched = assets_folder() / next(iter(placed))
    os.utime(touched, (1, 1))
    assets.look_folder()
    assert read == [touched]
    (assets_folder() / "index.json").write_text("{")  # damaged: no reason not to render
    assets.look_folder()
    assert len(read) == 1 + NUM_FILES


@pytest.mark.parametrize("content", [b"short", None])
def test_a_damaged_file_ends_with_4(
    placed: dict[str, bytes], drawing: list[str], tmp_path: Path, shell: Run, content: bytes | None
) -> None:
    assets.look_folder()
    path, body = next(iter(placed.items()))
    (assets_folder() / path).write_bytes(body[::-1] if content is None else content)
    code, out, err = shell(*render(tmp_path / "set"))
    assert (code, out, drawing, len(err)) == (4, [], [], 1)
    assert str(assets_folder() / path) in err[0] and "delete it" in err[0]
    assert not (tmp_path / "set").exists()


def test_a_wrong_file_of_a_mirror_ends_with_4(
    mirror: FaultyServer,
    files: dict[str, bytes],
    tmp_path: Path,
    shell: Run,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("stylefacev_cli.weights.transfer.time.sleep", lambda s: None)
    path, body = list(files.items())[3]
    mirror.handlers[path] = honest(body[::-1])
    code, out, err = shell(*render(tmp_path / "set"))
    assert (code, out) == (4, []) and path.rpartition("/")[2] in err[-1]
    assert not (assets_folder() / path).exists()


# --- sets ------------------------------------------------------------------------------------


def manifest(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((folder / "manifest.yaml").read_text(encoding="utf-8"))
    return found


def test_the_manifest_names_look_and_files(
    placed: dict[str, bytes], drawing: list[str], tmp_path: Path, shell: Run
) -> None:
    assert shell(*render(tmp_path / "a"))[0] == 0
    told = manifest(tmp_path / "a")
    assert told["settings"]["look"] == "photographic"
    assert told["assets"]["look"] == {"entry": NAME, "sha256": assets.look_hash()}
    assert "MakeHuman's artists painted from photographs" in told["content"]
    assert "they show no real person" not in told["content"]
    assert shell(*render(tmp_path / "b", "--look", "procedural"))[0] == 0
    told = manifest(tmp_path / "b")
    assert told["settings"]["look"] == "procedural" and "look" not in told["assets"]
    assert "they show no real person" in told["content"]
    assert drawing == ["photographic", "procedural"]
    for name, look in (("a", "photographic"), ("b", "procedural")):
        assert f"look: {look}" in shell("data", "inspect", str(tmp_path / name))[1]


def test_a_set_of_another_look_is_another_set(
    placed: dict[str, bytes],
    drawing: list[str],
    tmp_path: Path,
    shell: Run,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert shell(*render(tmp_path / "set"))[0] == 0
    before = manifest(tmp_path / "set")
    code, out, err = shell(*render(tmp_path / "set", "--look", "procedural"))
    assert (code, out) == (2, []) and "other settings or assets; choose another --out" in err[0]
    monkeypatch.setattr(assets, "look_hash", lambda: "0" * 64)
    code, out, err = shell(*render(tmp_path / "set"))
    assert (code, out) == (2, []) and "other settings or assets" in err[0]
    assert manifest(tmp_path / "set") == before


def test_a_library_call_checks_the_files_first(
    placed: dict[str, bytes], drawing: list[str], tmp_path: Path
) -> None:
    (assets_folder() / next(iter(placed))).write_bytes(b"short")
    with pytest.raises(IntegrityError):
        render_set(SETTINGS, tmp_path / "set")
    assert not (tmp_path / "set").exists() and drawing == []


# --- where the files are ---------------------------------------------------------------------


def test_the_files_are_here(look: Path) -> None:
    assert look == assets.look_folder()
    for path in look.rglob("*.mhclo"):
        assert "released as CC0 in september 2020" in path.read_text(encoding="utf-8")


@pytest.mark.render
def test_a_studio_of_either_look(photographic_studio: Studio, studio: Studio, look: Path) -> None:
    assert (photographic_studio.look, photographic_studio.look_folder) == ("photographic", look)
    assert (studio.look, studio.look_folder) == ("procedural", None)
