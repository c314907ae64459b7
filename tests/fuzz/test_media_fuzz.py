"""Mutated videos: none stops the product, hangs it, fills the memory, or is read though damaged."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="limits of Linux")

ROOT = Path(__file__).parents[2]
EIGHT = ["H.264 in MP4", "VP8 in WebM", "MJPEG in AVI", "GIF", "H.264 in MPEG-TS"]
EIGHT += ["MPEG-2 in MPEG-PS", "WMV", "Theora in Ogg"]


def _run(folder: Path, *arguments: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "tests.fuzz.media_fuzz", str(folder), *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, check=False, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_few_mutated_videos(tmp_path: Path) -> None:
    found = _run(tmp_path, "--count", "12", "--seed", "3", "--formats", *EIGHT)
    assert found["faults"] == []
    assert sum(found["refused"].values()) >= 6


@pytest.mark.slow
def test_many_mutated_videos(tmp_path: Path) -> None:
    found = _run(tmp_path, "--count", "2448")
    assert found["faults"] == []
    assert len(found["refused"]) >= 8 and found["prepared"] > 100
