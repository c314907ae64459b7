"""A registry whose photographic look has a dozen small files, so that tests can serve them."""

from __future__ import annotations

import hashlib
import random
from pathlib import Path

import yaml

from stylefacev_cli.common.paths import shipped_folder

NUM_FILES = 12
NAME = "makehuman-look"


def write_registry(folder: Path) -> dict[str, bytes]:
    """Write `registry.yaml`: the shipped one, with other files in that entry; path → content."""
    content = yaml.safe_load((shipped_folder() / "registry.yaml").read_text(encoding="utf-8"))
    bodies = {
        f"{NAME}/{('hair', 'skins')[i % 2]}/{i}.bin": random.Random(i).randbytes(1000 + i)
        for i in range(NUM_FILES)
    }
    entry = content["entries"][NAME]
    entry["addresses"] = {"gone": "https://localhost:9"}
    entry["files"] = "".join(
        f"{path} {len(body)} {hashlib.sha256(body).hexdigest()} gone x/{path}\n"
        for path, body in bodies.items()
    )
    folder.mkdir(exist_ok=True)
    (folder / "registry.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")
    return bodies
