"""The command line in processes of its own: start-up, pipes, signals, full disks, terminals.

Most run `light_main.py`, which is the real thing but for torch; the first few are real to the end.
"""

from __future__ import annotations

import os
import pty
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tiny import TINY_RESOLUTION_PX

from stylefacev_cli.generation.outputs.claims import CLAIMS_NAME
from stylefacev_cli.media import read_frames

REAL = [sys.executable, "-m", "stylefacev_cli"]
LIGHT = [sys.executable, str(Path(__file__).parents[1] / "support" / "light_main.py")]
ENDLESS = "9999999"


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


def test_help_and_version_come_without_torch(environment: dict[str, str]) -> None:
    script = (
        "import sys; from stylefacev_cli.cli.app import run\n"
        "commands = ['generate -h', 'train --help', 'weights download -h', '--version']\n"
        "commands += ['eval recomposition -h', 'eval reconstruction -h']\n"
        "code = max(run(command.split()) for command in commands)\n"
        "heavy = {'torch', 'numba', 'scipy', 'numpy', 'yaml', 'requests'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
        "sys.exit(code)"
    )
    subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, env=environment)


@pytest.mark.slow  # a measurement; that nothing heavy is imported is tested above
def test_help_is_fast(environment: dict[str, str]) -> None:
    def seconds(command: list[str]) -> float:
        begin_s = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True, env=environment)
        return time.perf_counter() - begin_s

    help_s = min(seconds([*REAL, "--help"]) for _ in range(3))
    torch_s = min(seconds([sys.executable, "-c", "import torch"]) for _ in range(2))
    assert help_s < 0.35 * torch_s


def interrupt(
    command: list[str], number: int, environment: dict[str, str], folder: Path
) -> subprocess.CompletedProcess[str]:
    """Run until the first video is being written, then send a signal."""
    arguments = ["generate", "--seeds", "1-9", "--frames", ENDLESS]
    with subprocess.Popen(
        [*command, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=folder,
        env=environment,
        # Tests under `nohup` or in the background inherit ignored signals.
        preexec_fn=lambda: number == signal.SIGKILL or signal.signal(number, signal.SIG_DFL),
    ) as process:
        deadline_s = time.monotonic() + 120
        while not list(folder.glob("videos/.1.mp4.*.part")) and process.poll() is None:
            if time.monotonic() > deadline_s:
                process.kill()
            time.sleep(0.01)
        process.send_signal(number)
        try:
            out, err = process.communicate(timeout=60)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
    return subprocess.CompletedProcess(arguments, process.returncode, out, err)


@pytest.mark.parametrize(
    ("command", "number", "code"),
    [
        (REAL, signal.SIGINT, 130),
        (LIGHT, signal.SIGINT, 130),
        (LIGHT, signal.SIGTERM, 143),
        (LIGHT, signal.SIGHUP, 129),
    ],
)
def test_signals_leave_no_half_video(
    command: list[str], number: int, code: int, environment: dict[str, str], folder: Path
) -> None:
    done = interrupt(command, number, environment, folder)
    assert (done.returncode, done.stdout) == (code, ""), done.stderr
    assert done.stderr.count("\n") == 1
    assert done.stderr.endswith("--skip-existing goes on from here\n")
    assert not (folder / "videos").exists()


def test_what_a_killed_process_left_goes_with_the_next(
    environment: dict[str, str], folder: Path
) -> None:
    assert interrupt(LIGHT, signal.SIGKILL, environment, folder).returncode == -signal.SIGKILL
    left = sorted(path.name[:7] for path in (folder / "videos").iterdir())
    assert left == [".1.mp4.", CLAIMS_NAME[:7]]
    command = [*LIGHT, "generate", "--seeds", "1-2", "--skip-existing", "--frames", "5"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder, env=environment)
    assert (done.returncode, done.stdout) == (0, "videos/1.mp4\nvideos/2.mp4\n")
    assert sorted(os.listdir(folder / "videos")) == sorted(
        f"{seed}.mp4{suffix}" for seed in (1, 2) for suffix in ("", ".json")
    )


def shell(
    command: list[str], environment: dict[str, str], folder: Path, script: str
) -> subprocess.CompletedProcess[bytes]:
    """Run a line of bash in which `stylefacev` stands for the command."""
    return subprocess.run(
        ["bash", "-c", script.replace("stylefacev", " ".join(command), 1)],
        capture_output=True,
        cwd=folder,
        env=environment,
    )


def test_streams(environment: dict[str, str], folder: Path) -> None:
    done = shell(REAL, environment, folder, "stylefacev generate --frames 7 -o - > a.mp4")
    assert done.returncode == 0 and done.stdout == b"" and b"1 video, 7 frames" in done.stderr
    assert len(list(read_frames(folder / "a.mp4"))) == 7
    script = "stylefacev generate --frames 7 -o - --format raw -q | cat"
    done = shell(LIGHT, environment, folder, script)
    assert len(done.stdout) == 7 * TINY_RESOLUTION_PX**2 * 3 and done.stderr == b""
    assert [path.name for path in folder.iterdir()] == ["a.mp4"]


@pytest.mark.parametrize("format_name", ["mp4", "raw"])
def test_closed_pipe_is_quiet(environment: dict[str, str], folder: Path, format_name: str) -> None:
    line = f"stylefacev generate --frames {ENDLESS} -o - --format {format_name} | head -c 99"
    done = shell(LIGHT, environment, folder, f"{line} >/dev/null; exit ${{PIPESTATUS[0]}}")
    assert (done.returncode, done.stderr) == (141, b"")


def test_reader_of_the_paths_goes_away(environment: dict[str, str], folder: Path) -> None:
    script = "stylefacev generate --seeds 0-999 --frames 2 -q | true; exit ${PIPESTATUS[0]}"
    done = shell(LIGHT, environment, folder, script)
    assert (done.returncode, done.stderr) == (141, b"")
    assert not list(folder.glob("videos/.*"))


@pytest.mark.parametrize("arguments", ["-o - --format raw", "-o -", "-o v"])
def test_stdout_on_a_full_disk(environment: dict[str, str], folder: Path, arguments: str) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full here")
    script = f"stylefacev generate --frames 500 {arguments} > /dev/full"
    done = shell(LIGHT, environment, folder, script)
    assert done.returncode == 1 and done.stderr.count(b"\n") == 1
    assert b"No space left on device" in done.stderr


@pytest.mark.parametrize("format_name", ["mp4", "png"])
def test_file_on_a_full_disk(environment: dict[str, str], folder: Path, format_name: str) -> None:
    """A limit on the size of files stands for the disk: it stops the writer in the same way."""
    most = 20_000 if format_name == "mp4" else 300
    process = subprocess.run(
        [*LIGHT, "generate", "--frames", "3000", "--format", format_name],
        capture_output=True,
        text=True,
        cwd=folder,
        env=environment,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (most, most)),
    )
    assert process.returncode == 1 and process.stderr.count("\n") == 1
    assert process.stderr.startswith("error: cannot write videos/0")
    assert not (folder / "videos").exists()


def test_terminal(environment: dict[str, str], folder: Path) -> None:
    """With a terminal: progress on it, paths beside it, and no video on it."""
    main_end, terminal = pty.openpty()
    environment = environment | {"TERM": "xterm"}
    command = [*LIGHT, "generate", "--frames", "40"]
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
