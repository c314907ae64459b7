"""How much damage is noticed: files with one changed byte, and files that are cut off, by format.

    python -m tests.fuzz.damage_rates FOLDER --count 50

Prints rows of the table in docs/media.md: of the damaged files of a format those that are refused,
those that are read as before, and those that are read as other pictures without a word.
"""

from __future__ import annotations

import argparse
import hashlib
from collections import Counter
from pathlib import Path

import numpy as np

from stylefacev_cli.errors import DataError
from stylefacev_cli.media import read_frames
from tests.fuzz.media_seeds import SEEDS, make_seeds
from tests.fuzz.mutations import cut_off, flipped


def digest(path: Path) -> str:
    """A hash of all frames; `refused` where there are none."""
    total = hashlib.sha256()
    try:
        for frame in read_frames(path):
            total.update(frame.tobytes())
    except DataError:
        return "refused"
    return total.hexdigest()


def rates(path: Path, count: int, folder: Path) -> list[Counter[str]]:
    """Outcomes of changed and of cut files: refused, same, other."""
    whole, data = digest(path), path.read_bytes()
    outcomes = []
    for damage in (flipped, cut_off):
        random, outcome = np.random.default_rng(1), Counter[str]()
        for _ in range(count):
            damaged = folder / f"damaged{path.suffix}"
            damaged.write_bytes(damage(data, random))
            found = digest(damaged)
            outcome[{"refused": "refused", whole: "same"}.get(found, "other")] += 1
        outcomes.append(outcome)
    return outcomes


def main() -> None:
    """Print a row for each format."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--count", type=int, default=50)
    parser.add_argument("--size", default="256x256")
    parser.add_argument("--frames", type=int, default=24)
    parser.add_argument("--formats", nargs="*", default=list(SEEDS))
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    seeds = make_seeds(given.folder, given.formats, given.size, given.frames)
    for name, path in seeds.items():
        changed, cut = rates(path, given.count, given.folder)
        told = [f"{one['refused']} · {one['same']} · {one['other']}" for one in (changed, cut)]
        print(f"| {name} | {told[0]} | {told[1]} |", flush=True)


if __name__ == "__main__":
    main()
