"""Mutated files of every untrusted kind end in an error of ours, in time, in little memory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.fuzz.weights_fuzz import SHARES

ROOT = Path(__file__).parents[2]


def found_by(folder: Path, count: int, seed: int, module: str = "weights_fuzz") -> dict[str, Any]:
    paths = os.pathsep.join([str(ROOT), str(ROOT / "tests" / "support")])
    done = subprocess.run(
        [sys.executable, "-m", f"tests.fuzz.{module}", str(folder)]
        + ["--count", str(count), "--seed", str(seed)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def check(found: dict[str, Any], count: int) -> None:
    assert not found["faults"], "\n".join(found["faults"][:5])
    assert found["files"] >= count
    assert found["slowest_s"] < 20 and found["most_bytes"] < 2**30
    for name in SHARES:  # whole files are read, and damaged ones are not
        assert found["accepted"][name] > 0 and found["refused"][name] > 0, name


def test_a_few_files(tmp_path: Path) -> None:
    check(found_by(tmp_path, 300, 0), 300)


@pytest.mark.slow  # four minutes
def test_many_files(tmp_path: Path) -> None:
    check(found_by(tmp_path, 12_000, 1), 12_000)


@pytest.mark.slow  # some minutes: each file is a process
def test_files_given_to_commands(tmp_path: Path) -> None:
    found = found_by(tmp_path, 110, 0, "weights_commands")
    assert not found["faults"], "\n".join(found["faults"][:5])
    assert sum(found["exits"].values()) >= 110
