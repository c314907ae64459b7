"""The real entry point in processes of its own: start-up, pipes, signals, full disks, terminals."""

from __future__ import annotations

import os
import pty
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tiny import TINY_RESOLUTION_PX

from stylefacev_cli.video import read_frames

COMMAND = [sys.executable, "-m", "stylefacev_cli"]


@pytest.fixture
def environment(tiny_model: Path, tmp_path: Path) -> dict[str, str]:
    named = {
        "STYLEFACEV_MODEL": str(tiny_model),
        "STYLEFACEV_DEVICE": "cpu",
        "STYLEFACEV_THREADS": "1",
        "XDG_CONFIG_HOME": str(tmp_path / "config"),
        "PYTHONPATH": os.pathsep.join(sys.path),
    }
    return os.environ | named


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "work"
    path.mkdir()
    return path


def start(environment: dict[str, str], folder: Path, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*COMMAND, "generate", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=folder,
        env=environment,
    )


def test_help_and_version_come_without_torch(environment: dict[str, str]) -> None:
    script = (
        "import sys; from stylefacev_cli.cli.app import run\n"
        "code = run(['generate', '--help']) or run(['train', '-h']) or run(['--version'])\n"
        "heavy = {'torch', 'numba', 'scipy', 'numpy', 'yaml', 'requests'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
        "sys.exit(code)"
    )
    subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, env=environment)


def test_help_is_fast(environment: dict[str, str]) -> None:
    def seconds(command: list[str]) -> float:
        begin_s = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True, env=environment)
        return time.perf_counter() - begin_s

    help_s = min(seconds([*COMMAND, "--help"]) for _ in range(3))
    torch_s = min(seconds([sys.executable, "-c", "import torch"]) for _ in range(2))
    assert help_s < 0.35 * torch_s


@pytest.fixture(params=[signal.SIGINT, signal.SIGTERM, signal.SIGKILL], ids=lambda s: s.name)
def stopped(
    request: pytest.FixtureRequest, environment: dict[str, str], folder: Path
) -> Iterator[tuple[signal.Signals, subprocess.Popen[str]]]:
    """A process that got a signal in the middle of its second video."""
    process = start(environment, folder, "--seeds", "0", "--frames", "5", "-o", "videos")
    process.communicate()
    process = start(environment, folder, "--seeds", "0-9", "--skip-existing", "--frames", "9999999")
    deadline_s = time.monotonic() + 60
    while not list(folder.glob("videos/.1.mp4.*.part")):
        assert time.monotonic() < deadline_s and process.poll() is None
        time.sleep(0.02)
    process.send_signal(request.param)
    yield request.param, process
    process.kill()


def test_signals_leave_no_half_video(
    stopped: tuple[signal.Signals, subprocess.Popen[str]],
    environment: dict[str, str],
    folder: Path,
) -> None:
    number, process = stopped
    out, err = process.communicate(timeout=60)
    if number is signal.SIGKILL:
        assert process.returncode == -signal.SIGKILL
    else:
        assert process.returncode == 128 + number
        assert err.splitlines()[-1].endswith("--skip-existing goes on from here")
        assert "Traceback" not in err
    names = sorted(path.name for path in folder.glob("videos/*"))
    finished = [name for name in names if not name.startswith(".")]
    assert out == "" and finished == ["0.mp4", "0.mp4.json"]
    if number is not signal.SIGKILL:
        assert names == finished
        return
    # A killed process can clean up nothing; the next one does.
    process = start(environment, folder, "--seeds", "0-1", "--skip-existing", "--frames", "5")
    out, _ = process.communicate()
    assert (process.returncode, out) == (0, "videos/1.mp4\n")
    assert sorted(os.listdir(folder / "videos")) == sorted(
        f"{seed}.mp4{suffix}" for seed in (0, 1) for suffix in ("", ".json")
    )


def shell(
    environment: dict[str, str], folder: Path, script: str
) -> subprocess.CompletedProcess[bytes]:
    stylefacev = " ".join(["PYTHONWARNINGS=", *COMMAND])
    return subprocess.run(
        ["bash", "-c", script.replace("stylefacev", stylefacev, 1)],
        capture_output=True,
        cwd=folder,
        env=environment,
    )


def test_streams(environment: dict[str, str], folder: Path) -> None:
    done = shell(environment, folder, "stylefacev generate --frames 7 -o - > a.mp4")
    assert done.returncode == 0 and done.stdout == b"" and b"1 video, 7 frames" in done.stderr
    assert len(list(read_frames(folder / "a.mp4"))) == 7
    done = shell(environment, folder, "stylefacev generate --frames 7 -o - --format raw -q | cat")
    assert len(done.stdout) == 7 * TINY_RESOLUTION_PX**2 * 3 and done.stderr == b""


@pytest.mark.parametrize("format_name", ["mp4", "raw"])
def test_closed_pipe_is_quiet(environment: dict[str, str], folder: Path, format_name: str) -> None:
    script = (
        f"stylefacev generate --frames 99999 -o - --format {format_name} | head -c 100 >/dev/null"
    )
    done = shell(environment, folder, script + "; exit ${PIPESTATUS[0]}")
    assert (done.returncode, done.stderr) == (141, b"")


def test_reader_of_the_paths_goes_away(environment: dict[str, str], folder: Path) -> None:
    script = "stylefacev generate --seeds 0-99 --frames 2 -q | true; exit ${PIPESTATUS[0]}"
    done = shell(environment, folder, script)
    assert (done.returncode, done.stderr) == (141, b"")
    assert not list(folder.glob("videos/.*"))


@pytest.mark.parametrize("arguments", ["-o - --format raw", "-o -", "-o v"])
def test_stdout_on_a_full_disk(environment: dict[str, str], folder: Path, arguments: str) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full here")
    script = f"stylefacev generate --frames 500 {arguments} > /dev/full"
    done = shell(environment, folder, script)
    assert done.returncode == 1 and done.stderr.count(b"\n") == 1
    assert b"No space left on device" in done.stderr


def test_file_on_a_full_disk(environment: dict[str, str], folder: Path) -> None:
    """A limit on the size of files stands for the disk: it stops the encoder in the same way."""
    process = subprocess.run(
        [*COMMAND, "generate", "--frames", "3000"],
        capture_output=True,
        text=True,
        cwd=folder,
        env=environment,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000)),
    )
    assert process.returncode == 1 and process.stderr.count("\n") == 1
    assert (
        "cannot write videos/0.mp4" in process.stderr or "cannot write videos/.0" in process.stderr
    )
    assert list((folder / "videos").iterdir()) == []


def test_terminal(environment: dict[str, str], folder: Path) -> None:
    """With a terminal: progress on it, paths beside it, and no video on it."""
    main_end, terminal = pty.openpty()
    environment = environment | {"TERM": "xterm"}
    command = [*COMMAND, "generate", "--frames", "40"]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=terminal, text=True, cwd=folder, env=environment
    )
    out, _ = process.communicate()
    assert (process.returncode, out) == (0, "videos/0.mp4\n")
    shown = os.read(main_end, 100_000).decode()
    assert "frames/s" in shown and "1 video, 40 frames" in shown

    process = subprocess.Popen(
        [*command, "-o", "-"], stdout=terminal, stderr=subprocess.PIPE, text=True, env=environment
    )
    _, err = process.communicate()
    assert process.returncode == 2 and "to the terminal" in err
    os.close(main_end)
    os.close(terminal)
