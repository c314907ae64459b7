"""Put the files of the photographic look, from a folder that has them, where renders look for them.

    python .ci/place_look.py FOLDER     the folder has them under the names of the registry

Files that are right already are left alone; files that are missing in the folder are not placed.
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

from stylefacev_cli.common.files import move_synced
from stylefacev_cli.common.hashing import sha256_of
from stylefacev_cli.faces.assets import LOOK_ENTRY
from stylefacev_cli.weights.downloads.cache import folder_of, path_of, read_records, state_of
from stylefacev_cli.weights.downloads.registry import find_entry


def place(source: Path) -> int:
    """Copy what is missing or damaged; returns how many files were placed."""
    entry, records = find_entry(LOOK_ENTRY), read_records()
    num_placed = 0
    for file in entry.files:
        found = source / file.path.removeprefix(f"{LOOK_ENTRY}/")
        if state_of(file, records) == "present" or not found.is_file():
            continue
        if sha256_of(found) != file.sha256:
            print(f".ci/place_look.py: {found} is not the registry's: left out", file=sys.stderr)
            continue
        path = path_of(file)
        part = path.with_name(f"{path.name}.part-{os.getpid()}")
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(found, part)
        move_synced(part, path)
        num_placed += 1
    print(f"{LOOK_ENTRY}: {num_placed} of {len(entry.files)} files placed in {folder_of(entry)}")
    return num_placed


if __name__ == "__main__":
    place(Path(sys.argv[1]))
