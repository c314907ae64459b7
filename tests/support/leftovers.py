"""What a process that was killed leaves beside a file that it was writing."""

from __future__ import annotations

import subprocess
from pathlib import Path

from stylefacev_cli.common import files


def gone_process() -> int:
    """The number of a process that has ended."""
    process = subprocess.Popen(["true"])
    process.wait()
    return process.pid


def left_by(target: Path, pid: int, *, start: int = 0, machine: str | None = None) -> Path:
    """The temporary path that a process would write a target to; `start` 0: not known."""
    machine = machine or files._machine()
    return target.with_name(f".{target.name}.{machine}-{pid}-{start}-0123456789ab.part")
