"""Commands with limits, which end with their parent."""

from __future__ import annotations

import subprocess
import sys
import time
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


def test_no_such_program() -> None:
    with pytest.raises(FileNotFoundError):
        limited_command(["/nowhere/ffmpeg"], 2**30, 1)


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
