"""Mutated videos through the reader and `data prepare`; what went wrong, as JSON.

    python -m tests.fuzz.media_fuzz FOLDER --count 2400 --seed 0

A process of its own: crashes, time and memory of one run are those of the files it made. Files that
showed a fault stay in FOLDER.
"""

from __future__ import annotations

import itertools
import json
import resource
import shutil
import subprocess
import sys
import time
import traceback
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from stylefacev_cli import data
from stylefacev_cli.datasets.source_report import read_sources
from stylefacev_cli.errors import DataError, StyleFaceVError
from stylefacev_cli.media import read_frames
from stylefacev_cli.media.limited import limited_command
from tests.fuzz.command import keep_fault, run_command
from tests.fuzz.media_seeds import SEEDS, make_seeds
from tests.fuzz.mutations import mutants

MAX_S = 20
MAX_BYTES = 2**30  # above the size of the file
_BATCH = 60  # files that `data prepare` gets at once


@dataclass
class Found:
    """What a run showed; `faults` is empty where all is well."""

    accepted: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    prepared: int = 0
    slowest_s: float = 0.0
    most_bytes: int = 0
    faults: list[str] = field(default_factory=list)


def fuzz(folder: Path, count: int, seed: int, names: list[str]) -> Found:
    """Read mutated videos.

    Args:
        folder: for them.
        count: how many.
        seed: of the mutations.
        names: of formats, see `media_seeds.SEEDS`.
    """
    (folder / "seeds").mkdir(parents=True, exist_ok=True)
    seeds = make_seeds(folder / "seeds", names)
    random = np.random.default_rng(seed)
    sources = [
        mutants([path.read_bytes()], -(-count // len(seeds)), random) for path in seeds.values()
    ]
    found, batch = Found(), dict[str, bool]()
    place = folder / "mutants"
    for number, (of_kind, name) in enumerate(
        itertools.islice(itertools.cycle(zip(sources, seeds, strict=True)), count)
    ):
        place.mkdir(exist_ok=True)
        path = place / f"{number}{seeds[name].suffix}"
        path.write_bytes(next(of_kind))
        batch[path.name] = _read(path, name, found, folder)
        if len(batch) == _BATCH or number == count - 1:
            _prepare(place, folder, batch, found)
            print(f"{number + 1} of {count}", file=sys.stderr, flush=True)
            batch.clear()
            shutil.rmtree(place)
    return found


def _read(path: Path, name: str, found: Found, folder: Path) -> bool:
    """Whether the reader takes a file."""
    begin, is_read = time.monotonic(), False
    try:
        for _ in read_frames(path):
            pass
        is_read = True
    except DataError as error:
        if "\n" in str(error) or str(path) not in str(error):
            _note(found, path, folder, f"not one line that names the file: {error}")
    except Exception:
        _note(found, path, folder, traceback.format_exc())
    seconds = time.monotonic() - begin
    found.slowest_s = max(found.slowest_s, seconds)
    (found.accepted if is_read else found.refused)[name] += 1
    if seconds > MAX_S:
        _note(found, path, folder, f"it took {seconds:.0f} s")
    _check_memory(found, path, folder)
    if is_read and (reports := _reports(path)):
        _note(found, path, folder, f"read, though another reader says: {reports[:3]}")
    return is_read


def _reports(path: Path) -> list[str]:
    script = Path(__file__).with_name("strict_decode.py")
    command = limited_command([sys.executable, str(script), str(path)], 2**31, 60)
    done = subprocess.run(command, capture_output=True, check=False)
    return json.loads(done.stdout) if done.returncode == 0 else [f"exit code {done.returncode}"]


def _check_memory(found: Found, path: Path, folder: Path) -> None:
    """Note a file for which this process, or one that it started, grew too large."""
    peak = max(_own_peak_kb(), resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss) * 1024
    if peak > max(found.most_bytes, MAX_BYTES + path.stat().st_size):
        _note(found, path, folder, f"it took {peak / 2**20:.0f} MiB")
    found.most_bytes = max(found.most_bytes, peak)


def _own_peak_kb() -> int:
    """Of this process since it began; `RUSAGE_SELF` counts that of the one that started it, too."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))


def _prepare(place: Path, folder: Path, batch: dict[str, bool], found: Found) -> None:
    """Prepare a set of some files; none that the reader refuses may get into it."""
    out = folder / "set"
    shutil.rmtree(out, ignore_errors=True)
    begin = time.monotonic()
    try:
        data.prepare_videos(
            src=place, dst=out, keep_frames=True, size_px=64, min_frames=1, workers=1
        )
    except DataError as error:
        if "no clip" not in str(error):
            found.faults.append(f"data prepare: {error}")
    except StyleFaceVError as error:
        found.faults.append(f"data prepare: {error}")
    except Exception:
        found.faults.append(f"data prepare: {traceback.format_exc()}")
    seconds = time.monotonic() - begin
    if seconds > MAX_S * len(batch):
        found.faults.append(f"data prepare: {len(batch)} files took {seconds:.0f} s")
    for source in read_sources(out) if out.exists() else ():
        found.prepared += bool(source.clips)
        if source.clips and not batch[source.source]:
            _note(found, place / source.source, folder, "prepared, though the reader refuses it")


def _note(found: Found, path: Path, folder: Path, fault: str) -> None:
    keep_fault(found.faults, path, folder, path.name, fault)


if __name__ == "__main__":
    run_command(fuzz, __doc__, 2400, "formats", list(SEEDS))
