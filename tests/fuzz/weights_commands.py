"""Mutated files through the commands that a user gives them to; what went wrong, as JSON.

    PYTHONPATH=tests/support python -m tests.fuzz.weights_commands FOLDER --count 100 --seed 0

Each file is a process: an exit code of ours, one line that is no "bug", and neither hours nor
gigabytes.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from tiny import TINY_FPS, tiny_networks

from stylefacev_cli.weights.bundle import save_bundle
from tests.fuzz.weights_seeds import Kind, make_kinds, with_fitting_hash

MAX_S = 20  # of the processor
MAX_BYTES = 2**31  # torch alone takes half a gigabyte
_EXITS = (0, 2, 3, 4, 5)
_EXIT_OF_WHOLE = {  # the examples hold other networks than models have, and there is no footage
    **{"torch": 4, "legacy": 4, "snapshot": 4, "safetensors": 4, "archive": 4, "track": 2},
    **{"manifest": 0, "weights": 0, "verify": 0, "settings": 0, "set": 5},
}


@dataclass
class Found:
    """What a run showed; `faults` is empty where all is well."""

    exits: Counter[str] = field(default_factory=Counter)  # by command and code
    slowest_s: float = 0.0
    most_bytes: int = 0
    faults: list[str] = field(default_factory=list)


def fuzz(folder: Path, count: int, seed: int) -> Found:
    """Give mutated files to commands; of each kind a whole one first, which has to be taken."""
    case, rng, found = _Case(folder), np.random.default_rng(seed), Found()
    number = -(-count // len(_EXIT_OF_WHOLE))
    for name, expected in _EXIT_OF_WHOLE.items():
        kind = case.kinds[name]
        mutants = list(kind.mutants(number + len(kind.seeds), rng))[len(kind.seeds) :]
        for data in [kind.seeds[0], *mutants]:
            code = _one(case.command(name, data), name, case, found)
            if data == kind.seeds[0] and code != expected:
                found.faults.append(f"{name}: a whole file ends with {code}, not {expected}")
    return found


class _Case:
    """A folder with a small model, and where commands look for a file of each kind."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.model, self.home = folder, folder / "model", folder / "home"
        networks = tiny_networks()
        save_bundle(self.model, networks, name="tiny", fps=TINY_FPS, licence="x", provenance={})
        shutil.copytree(self.model, self.home / "models" / "tiny")
        self.manifest = (self.model / "bundle.yaml").read_bytes()
        self.place = folder / "here"
        self.place.mkdir()
        kinds = make_kinds(folder / "seeds", self.model)
        settings = Kind(
            ".yaml", (b"generate:\n  seeds: 0-1\n  frames: 2\n",), kinds["yaml"].mutations
        )
        value = Kind(".txt", (b"3",), kinds["yaml"].mutations)
        self.kinds = {**kinds, "settings": settings, "set": value, "verify": kinds["manifest"]}

    def command(self, name: str, data: bytes) -> list[str]:
        """Put a file into its place; the command that reads it."""
        path = self.folder / f"a{self.kinds[name].suffix}"
        path.write_bytes(data)
        (self.place / "stylefacev.yaml").unlink(missing_ok=True)
        if name == "archive":
            return ["weights", "import", "new", "--archive", str(path)]
        if name == "manifest":
            (self.model / "bundle.yaml").write_bytes(data)
        elif name == "weights":
            (self.model / "motion.safetensors").write_bytes(data)
            fitting = with_fitting_hash(self.manifest, "motion.safetensors", data)
            (self.model / "bundle.yaml").write_bytes(fitting)
        if name in ("manifest", "weights"):
            out = ["--out", str(self.folder / "out.gif"), "--force"]
            return ["generate", "--model", str(self.model), "--seeds", "0", "--frames", "2", *out]
        if name == "verify":
            (self.home / "models" / "tiny" / "bundle.yaml").write_bytes(data)
            return ["weights", "verify", "tiny"]
        if name == "track":
            out = ["--out", str(self.folder / "t.safetensors"), "--force"]
            return ["track", str(path), "--fps", "240", *out]
        if name == "settings":
            (self.place / "stylefacev.yaml").write_bytes(data)
            return ["weights", "path", "default-64"]
        if name == "set":
            value = data.replace(b"\0", b"").decode("utf-8", "replace")[:200]
            command = ["train", "--config", "default-64", "--data", str(self.place)]
            return [
                *command,
                "--out",
                str(self.folder / "run"),
                "--dry-run",
                "--set",
                f"seed={value}",
            ]
        return ["weights", "import", "new", "--generator", str(path)]


def _one(command: list[str], name: str, case: _Case, found: Found) -> int:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    environment = {**os.environ, "STYLEFACEV_HOME": str(case.home), "STYLEFACEV_OFFLINE": "1"}
    begin = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "stylefacev_cli", *command],
        cwd=case.place, env=environment, capture_output=True, check=False,
    )  # fmt: skip
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
    found.slowest_s = max(found.slowest_s, seconds)
    found.most_bytes = max(found.most_bytes, after.ru_maxrss * 1024)
    found.exits[f"{name} {done.returncode}"] += 1
    text = done.stderr.decode("utf-8", "replace")
    last = text.strip().split("\n")[-1]
    what = f"{name} ({done.returncode}, {seconds:.0f} s, {time.monotonic() - begin:.0f} s)"
    if done.returncode not in _EXITS or "Traceback" in text or "this is a bug" in text.lower():
        found.faults.append(f"{what}: {text[-600:]}")
    elif done.returncode and ": " not in last:
        found.faults.append(f"{what}: no reason is told: {text[-300:]}")
    if seconds > MAX_S or after.ru_maxrss * 1024 > MAX_BYTES:
        found.faults.append(f"{what}: too slow or too large, {after.ru_maxrss >> 10} MiB")
    if found.faults:
        print(found.faults[-1], file=sys.stderr, flush=True)
    return done.returncode


def main() -> None:
    """Run, and print what was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    print(json.dumps(vars(fuzz(given.folder, given.count, given.seed)), indent=1))


if __name__ == "__main__":
    main()
