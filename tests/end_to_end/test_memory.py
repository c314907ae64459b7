"""Memory does not grow with the length of a video."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.slow
def test_peak_memory_of_long_and_short(tiny_model: Path, tmp_path: Path) -> None:
    def peak_kb(num_frames: int) -> int:
        script = (
            "import resource, sys\n"
            "from stylefacev_cli.cli.app import run\n"
            "code = run(sys.argv[1:])\n"
            "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)\n"
            "sys.exit(code)"
        )
        arguments = ["generate", "-q", "-m", str(tiny_model), "--frames", str(num_frames)]
        done = subprocess.run(
            [sys.executable, "-c", script, *arguments, "-o", str(tmp_path / f"{num_frames}.mp4")],
            check=True,
            capture_output=True,
            text=True,
            env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)},
        )
        return int(done.stdout.splitlines()[-1])

    assert peak_kb(2000) < 1.1 * peak_kb(64)
