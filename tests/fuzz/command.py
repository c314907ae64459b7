"""What the long fuzz runs share: their command line, and the files that showed a fault."""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any


def keep_fault(faults: list[str], path: Path, folder: Path, name: str, fault: str) -> None:
    """Keep the file that showed a fault, and tell of it.

    Args:
        faults: that were found; this one is added.
        path: of the file.
        folder: of the run; the copy goes into `faults` in it.
        name: of the copy.
        fault: what was wrong.
    """
    kept = folder / "faults" / name
    kept.parent.mkdir(exist_ok=True)
    shutil.copy(path, kept)
    faults.append(f"{kept}: {fault}")
    print(faults[-1], file=sys.stderr, flush=True)


def run_command(
    fuzz: Callable[[Path, int, int, list[str]], Any],
    description: str | None,
    count: int,
    choice: str,
    kinds: Sequence[str],
) -> None:
    """Run as the command line says, and print what was found.

    Args:
        fuzz: (folder, count, seed, kinds) → an object whose fields are printed.
        description: for `--help`.
        count: files, by default.
        choice: the option that names kinds, such as `formats`.
        kinds: all of them.
    """
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--count", type=int, default=count)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(f"--{choice}", nargs="*", dest="kinds", default=list(kinds))
    given = parser.parse_args()
    print(json.dumps(vars(fuzz(given.folder, given.count, given.seed, given.kinds)), indent=1))
