"""Commands with limits, which end with their parent."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from stylefacev_cli.media.limited import limited_command

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="limits of Linux")


def _run(code: str, memory_mb: int = 512, cpu_s: int = 20) -> subprocess.CompletedProcess[bytes]:
    command = limited_command([sys.executable, "-c", code], memory_mb * 2**20, cpu_s)
    return subprocess.run(command, capture_output=True, check=False)


def test_result_is_that_of_the_command() -> None:
    done = _run("import sys; print('here'); sys.exit(3)")
    assert done.returncode == 3 and done.stdout == b"here\n"


def test_memory_and_time_are_limited() -> None:
    assert b"MemoryError" in _run("bytearray(2**30)").stderr
    assert _run("while True: pass", cpu_s=1).returncode < 0


def test_files_are_limited(tmp_path: Path) -> None:
    large = tmp_path / "large"
    code = f"open({str(large)!r}, 'wb').write(bytes(10000))"
    command = limited_command([sys.executable, "-c", code], 2**30, 20, 5000)
    done = subprocess.run(command, capture_output=True, check=False)
    assert done.returncode != 0 and large.stat().st_size <= 5000


def test_no_such_program() -> None:
    with pytest.raises(FileNotFoundError):
        limited_command(["/nowhere/ffmpeg"], 2**30, 1)


_JOBS = {
    "reads": "for frame in read_frames(Path('a.mkv')): time.sleep(60)",
    "writes": (
        "with video_writer(Path('b.mp4'), 'mp4', VideoSettings(64, 64, 25)) as video:\n"
        "    while True: video.write(frame); time.sleep(0.01)"
    ),
}


@pytest.mark.parametrize("job", ["reads", "writes"])
def test_ffmpeg_ends_with_its_parent(tmp_path: Path, job: str) -> None:
    """Killed, a process leaves none of those that it started."""
    script = (
        "import time\nfrom pathlib import Path\nimport numpy as np\n"
        "from stylefacev_cli.media import VideoSettings, read_frames, video_writer\n"
        "frame = np.zeros((64, 64, 3), np.uint8)\n"
        "with video_writer(Path('a.mkv'), 'mkv', VideoSettings(64, 64, 25)) as video:\n"
        "    for _ in range(3000): video.write(frame)\n"
        "print('ready', flush=True)\n" + _JOBS[job]
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(
        [sys.executable, "-c", script], cwd=tmp_path, stdout=subprocess.PIPE, env=environment
    ) as process:
        assert process.stdout is not None and process.stdout.readline() == b"ready\n"
        assert _within(20, lambda: _working_in(tmp_path) - {process.pid})
        process.kill()
    assert _within(5, lambda: not _working_in(tmp_path)), _working_in(tmp_path)


def _within(seconds: float, is_so: Callable[[], object]) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if is_so():
            return True
        time.sleep(0.05)
    return False


def _working_in(folder: Path) -> set[int]:
    """Processes whose working folder it is."""
    found = set()
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if (process / "cwd").resolve() == folder:
                found.add(int(process.name))
    return found


def test_ends_with_its_parent(tmp_path: Path) -> None:
    alive = tmp_path / "alive"
    child = (
        f"import time, pathlib\nwhile True: pathlib.Path({str(alive)!r}).touch(); time.sleep(.05)"
    )
    parent = (
        "import subprocess, sys, time; from stylefacev_cli.media.limited import limited_command\n"
        f"subprocess.Popen(limited_command([sys.executable, '-c', {child!r}], 2**30, 60))\n"
        "time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", parent]) as process:
        deadline = time.monotonic() + 30
        while not alive.exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        process.kill()
    time.sleep(0.3)
    alive.unlink()
    time.sleep(0.5)
    assert not alive.exists()
