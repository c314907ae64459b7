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
from tests.fuzz.weights_seeds import make_kinds, with_fitting_hash

MAX_S = 20  # of the processor
MAX_BYTES = 2**31  # torch alone takes half a gigabyte
_EXITS = (0, 2, 3, 4, 5)


@dataclass
class Found:
    """What a run showed; `faults` is empty where all is well."""

    exits: Counter[str] = field(default_factory=Counter)  # by command and code
    slowest_s: float = 0.0
    most_bytes: int = 0
    faults: list[str] = field(default_factory=list)


def fuzz(folder: Path, count: int, seed: int) -> Found:
    """Give mutated files to commands, in turn."""
    model = folder / "model"
    save_bundle(model, tiny_networks(), name="tiny", fps=TINY_FPS, licence="x", provenance={})
    kinds, rng, found = make_kinds(folder / "seeds", model), np.random.default_rng(seed), Found()
    manifest = (model / "bundle.yaml").read_bytes()
    home = folder / "home"
    shutil.copytree(model, home / "models" / "tiny")
    turns = ("torch", "legacy", "snapshot", "safetensors", "archive", "manifest", "weights")
    turns += ("track", "yaml", "set", "verify")
    number = -(-count // len(turns))
    for name in turns:
        kind = kinds[{"set": "yaml", "verify": "manifest"}.get(name, name)]
        for data in list(kind.mutants(number + len(kind.seeds), rng))[len(kind.seeds) :]:
            path = folder / f"a{kind.suffix}"
            path.write_bytes(data)
            command = ["weights", "import", "new", "--generator", str(path)]
            place = folder / "here"
            place.mkdir(exist_ok=True)
            if name == "archive":
                command = ["weights", "import", "new", "--archive", str(path)]
            elif name in ("manifest", "weights"):
                command = ["generate", "--model", str(model), "--seeds", "0", "--frames", "2"]
                command += ["--out", str(folder / "out.png"), "--force", "--format", "png"]
                told = data if name == "manifest" else manifest
                if name == "weights":
                    (model / "motion.safetensors").write_bytes(data)
                    told = with_fitting_hash(manifest, "motion.safetensors", data)
                (model / "bundle.yaml").write_bytes(told)
            elif name == "verify":
                (home / "models" / "tiny" / "bundle.yaml").write_bytes(data)
                command = ["weights", "verify", "tiny"]
            elif name == "track":
                command = ["track", str(path), "--out", str(folder / "t.safetensors")]
                command += ["--force", "--fps", "240"]
            elif name == "yaml":
                (place / "stylefacev.yaml").write_bytes(data)
                command = ["generate", "--dry-run", "--seeds", "0"]
            elif name == "set":
                value = data.replace(b"\0", b"").decode("utf-8", "replace")[:200]
                command = ["train", "--config", "default-64", "--data", str(place)]
                command += ["--out", str(folder / "run"), "--dry-run", "--set", f"seed={value}"]
            _one(command, name, home, place, found)
            (place / "stylefacev.yaml").unlink(missing_ok=True)
    return found


def _one(command: list[str], name: str, home: Path, place: Path, found: Found) -> None:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    environment = {**os.environ, "STYLEFACEV_HOME": str(home), "STYLEFACEV_OFFLINE": "1"}
    begin = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "stylefacev_cli", *command],
        cwd=place, env=environment, capture_output=True, check=False,
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
