"""From nothing to the authors' faces: a name of the registry is fetched, imported, drawn."""

from __future__ import annotations

import io
import json
import logging
import shutil
import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from faulty_server import Answer, Handler, honest, send
from published_site import PublishedSite, place_of, running_site
from released_files import write_released

from stylefacev_cli import load_model
from stylefacev_cli.cli import downloads
from stylefacev_cli.cli.app import run
from stylefacev_cli.errors import MissingWeightsError
from stylefacev_cli.weights import bundle
from stylefacev_cli.weights.convert.released_models import released_models
from stylefacev_cli.weights.downloads.cache import accepted_licences, assets_folder, path_of
from stylefacev_cli.weights.downloads.registry import find_entry
from stylefacev_cli.weights.locate import find_bundle, imported_models
from stylefacev_cli.weights.manifest import read_manifest

NAME, GENERATOR = "stylefacev-256", "stylegan3-t-ffhqu-256"
ENTRY = find_entry(NAME)
GENERATE = ["generate", "--model", NAME, "--seeds", "0-1", "--frames", "3"]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The authors' files, and NVIDIA's generator."""
    folder = write_released(tmp_path_factory.mktemp("published"))
    shutil.copy(
        folder / "network-snapshot-005000.pkl", folder / find_entry(GENERATOR).files[0].name
    )
    return folder


@pytest.fixture
def site(
    home: Path, files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[PublishedSite]:
    monkeypatch.chdir(tmp_path)
    for name in ("STYLEFACEV_OFFLINE", "STYLEFACEV_MIRROR", "STYLEFACEV_MODEL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("STYLEFACEV_DEVICE", "cpu")
    with running_site(tmp_path, monkeypatch) as running:
        running.publish(NAME, files)
        running.publish(GENERATOR, files)
        yield running


def press_ctrl_c() -> None:
    main = threading.main_thread().ident
    assert main is not None
    signal.pthread_kill(main, signal.SIGINT)


def interrupted_after(body: bytes, num_bytes: int, site: PublishedSite) -> Handler:
    """Sends so much of a file, then nothing: meanwhile somebody presses Ctrl-C."""

    def answer(request: Answer) -> None:
        if num_bytes:
            send(request, body, num_bytes)
        parts = assets_folder() / ".parts"
        while sum(part.stat().st_size for part in parts.glob("*/*.part")) < num_bytes // 2:
            site.server.open_end.wait(0.01)
        press_ctrl_c()
        site.server.open_end.wait(30)

    return answer


def test_one_command_interrupted_everywhere_ends_in_videos(
    site: PublishedSite,
    files: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    first, second, third = ENTRY.files[:3]
    handlers, body = site.server.handlers, (files / second.name).read_bytes()
    command = [*GENERATE, "--accept-licence"]

    def stopped() -> str:
        assert run(command) == 130
        streams = capsys.readouterr()
        assert streams.out == "" and imported_models() == []
        assert "interrupted; run the same command again to go on" in streams.err.splitlines()[-1]
        return streams.err

    handlers[place_of(second)] = interrupted_after(body, len(body) // 2, site)  # within a file
    told = stopped()
    assert "stylefacev-256: licence MIT, NVIDIA, CC BY-NC; it allows: research" in told
    assert f"downloading {first.name}" in told and path_of(first).is_file()
    handlers[place_of(second)] = honest(body)
    handlers[place_of(third)] = interrupted_after(b"", 0, site)  # between two files
    assert "licence" not in stopped()  # asked, and shown, once
    start = site.server.ranges[2] or ""
    assert site.server.ranges == [None, None, start, None]
    assert len(body) // 4 <= int(start.removeprefix("bytes=").removesuffix("-")) <= len(body) // 2
    handlers[place_of(third)] = honest((files / third.name).read_bytes())

    write, written = bundle.write_atomic, []

    def interrupted_write(path: Path, data: bytes, *, synced: bool) -> None:
        written.append(path)
        if len(written) == 3:
            press_ctrl_c()
        write(path, data, synced=synced)

    with monkeypatch.context() as patch:
        patch.setattr(bundle, "write_atomic", interrupted_write)
        stopped()  # in the import
    assert len(written) == 3
    num_requests = len(site.server.requests)

    assert run([*command, "--json"]) == 0
    streams = capsys.readouterr()
    assert len(site.server.requests) == num_requests  # all files were there
    assert "importing stylefacev-256" in streams.err and "NVIDIA" in streams.err
    videos = [Path(video["path"]) for video in json.loads(streams.out)["videos"]]
    assert [video.name for video in videos] == ["0.mp4", "1.mp4"]
    assert all(video.stat().st_size > 500 for video in videos)
    manifest = read_manifest(NAME)
    assert manifest.missing == () and "detector" in manifest.files
    assert manifest.normalisation == "per_image" and manifest.default_frames == 60
    assert manifest.provenance["imported_by"].startswith("stylefacev 0")
    assert not list((manifest.folder.parent).glob(".*.part"))

    num_connections = site.num_connections
    site.server.handlers.clear()
    shutil.rmtree(assets_folder())  # the model is all that it takes
    before = [video.read_bytes() for video in videos]
    assert run([*GENERATE, "--force"]) == 0
    assert "licence" not in capsys.readouterr().err
    assert [video.read_bytes() for video in videos] == before
    assert site.num_connections == num_connections


@pytest.mark.parametrize(
    "command",
    [
        ["generate", "--model", NAME, "--seeds", "0-9"],
        ["reenact", "--model", NAME, "--source", "3", "--driving", "x.mp4", "-o", "y.mp4"],
        ["invert", "photo.png", "--model", NAME, "-o", "x.safetensors"],
        ["track", "x.mp4", "--model", NAME, "-o", "x.safetensors"],
        ["train", "joint", "--config", "tiny", "--start-from", NAME],
        ["weights", "export", NAME, "--to", "out"],
    ],
)
def test_without_a_terminal_the_licence_has_to_be_accepted_by_a_flag(
    site: PublishedSite, capsys: pytest.CaptureFixture[str], command: list[str]
) -> None:
    assert run(command) == 3
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1 and "add --accept-licence" in err
    assert f"{NAME} comes under a licence to accept first" in err
    assert run([*command, "--offline", "--accept-licence"]) == 3
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1
    assert "latest_net_FE.pth is not there and downloads are off: put latest_net_FE.pth at" in err
    assert site.num_connections == 0 and accepted_licences() == []


@pytest.mark.parametrize(("answer", "code"), [("y\n", 0), ("n\n", 3)])
def test_a_terminal_is_asked(
    site: PublishedSite,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    answer: str,
    code: int,
) -> None:
    monkeypatch.setattr(downloads, "is_terminal", lambda stream: True)
    monkeypatch.setattr(sys, "stdin", io.StringIO(answer))
    assert run(["generate", "--model", GENERATOR, "--frames", "1", "--format", "png"]) == code
    told = capsys.readouterr().err
    assert "it allows: research and evaluation, nothing commercial\naccept it? [y/N]" in told
    assert (accepted_licences() == [GENERATOR]) == (code == 0)


def test_a_generator_gives_single_images(
    site: PublishedSite, capsys: pytest.CaptureFixture[str]
) -> None:
    for more in ([], ["--frames", "2"]):  # known before anything is fetched
        assert run(["generate", "--model", GENERATOR, "--accept-licence", *more]) == 3
        out, err = capsys.readouterr()
        assert out == "" and err.count("\n") == 1 and site.num_connections == 0
        assert (
            f"{GENERATOR} cannot make videos: it lacks landmarks, pose, appearance, motion" in err
        )
        assert "give --frames 1 --format png" in err
    command = ["generate", "--model", GENERATOR, "--frames", "1", "--format", "png"]
    assert run([*command, "--seeds", "0-1", "--accept-licence"]) == 0
    folders = capsys.readouterr().out.split()
    assert [len(list(Path(folder).glob("*.png"))) for folder in folders] == [1, 1]
    assert read_manifest(GENERATOR).missing == ("landmarks", "pose", "appearance", "motion")
    assert run(["generate", "--model", GENERATOR]) == 3
    assert "it lacks landmarks" in capsys.readouterr().err


def test_from_python_and_under_its_name_afterwards(
    site: PublishedSite, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(MissingWeightsError, match=r"accept_licence=True"):
        load_model(NAME, device="cpu")
    assert site.num_connections == 0
    with caplog.at_level(logging.INFO, "stylefacev_cli"):
        model = load_model(NAME, device="cpu", accept_licence=True)
    assert "downloading wing.ckpt from https://huggingface.co/spaces/MoonQiu" in caplog.text
    assert capsys.readouterr() == ("", "")
    (frame,) = model.sample(0, 1)
    assert frame.shape == (32, 32, 3) and frame.dtype == np.uint8
    num_connections = site.num_connections
    assert load_model(NAME, device="cpu").manifest == model.manifest
    assert site.num_connections == num_connections

    for command in (["show"], ["verify"], ["path"]):
        assert run(["weights", *command, NAME]) == 0
        assert str(path_of(ENTRY.files[0])) in capsys.readouterr().out
    for path in [path_of(file) for file in ENTRY.files]:
        path.unlink()
    for command in (["show"], ["verify"], ["path"]):
        assert run(["weights", *command, NAME]) == 0
        assert str(model.manifest.folder) in capsys.readouterr().out
    assert run(["weights", "remove", NAME]) == 0
    assert capsys.readouterr().out == f"{model.manifest.folder}\n" and imported_models() == []


def test_files_placed_by_hand_count(
    site: PublishedSite, files: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for file in ENTRY.files[1:]:
        path_of(file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(files / file.name, path_of(file))
    assert run([*GENERATE, "--accept-licence"]) == 0
    assert site.asked_for == [ENTRY.files[0].name]
    assert run(["weights", "remove", NAME]) == 0
    for file in ENTRY.files:
        path_of(file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(files / file.name, path_of(file))
    assert run([*GENERATE, "--force", "--offline"]) == 0  # nothing to accept: nothing is fetched
    assert len(site.asked_for) == 1


def test_two_runs_at_once_import_once(site: PublishedSite) -> None:
    found: list[Any] = []

    def load() -> None:
        found.append(load_model(GENERATOR, device="cpu", accept_licence=True).manifest)

    threads = [threading.Thread(target=load) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 2 and found[0] == found[1] and len(site.asked_for) == 1


def test_what_is_no_model(site: PublishedSite, tiny_model: Path, tmp_path: Path) -> None:
    assert released_models() == [
        NAME,
        *("stylegan3-r-ffhqu-256", "stylegan3-r-ffhqu-1024", "stylegan3-t-ffhqu-256"),
        *("stylegan3-t-ffhqu-1024", "stylegan3-r-ffhq-1024"),
    ]
    with pytest.raises(MissingWeightsError, match=r"stylefacev-256-pre is not a whole model .*--"):
        find_bundle("stylefacev-256-pre")
    with pytest.raises(MissingWeightsError, match="released ones, which are fetched, are stylefa"):
        find_bundle("nobody")
    shutil.copytree(tiny_model, tmp_path / GENERATOR)  # a folder of somebody's goes first
    assert read_manifest(GENERATOR).name == "tiny"
    assert site.num_connections == 0
