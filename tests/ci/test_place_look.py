"""`.ci/place_look.py`, which gives CI's tests the photographic look."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from small_look import NAME, NUM_FILES, write_registry

from stylefacev_cli.weights.download.cache import assets_folder

ROOT = Path(__file__).parents[2]
# As the script is run, but with the registry of a dozen small files.
SCRIPT = """
import runpy, sys
from pathlib import Path
from stylefacev_cli.weights.download import registry
registry.shipped_folder = lambda: Path(sys.argv[2])
runpy.run_path(sys.argv[3], run_name="__main__")
"""


def place(source: Path, shipped: Path) -> str:
    script = str(ROOT / ".ci" / "place_look.py")
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(source), str(shipped), script],
        check=True,
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    return done.stdout + done.stderr


def test_good_files_are_left_alone(home: Path, tmp_path: Path) -> None:
    source, shipped = tmp_path / "source", tmp_path / "registry"
    bodies = write_registry(shipped)
    for path, body in bodies.items():
        found = source / path.removeprefix(f"{NAME}/")
        found.parent.mkdir(parents=True, exist_ok=True)
        found.write_bytes(body)
    places = {path: assets_folder() / path for path in bodies}
    (good, good_body), (bad, _), *_ = bodies.items()
    for path, content in ((good, good_body), (bad, b"bad")):
        places[path].parent.mkdir(parents=True, exist_ok=True)
        places[path].write_bytes(content)
    os.utime(places[good], (5, 5))
    assert f"{NUM_FILES - 1} of {NUM_FILES} files placed" in place(source, shipped)
    assert all(places[path].read_bytes() == body for path, body in bodies.items())
    assert places[good].stat().st_mtime == 5
    assert f"0 of {NUM_FILES} files placed" in place(source, shipped)
    (source / good.removeprefix(f"{NAME}/")).write_bytes(b"other")
    places[good].unlink()
    assert "is not the registry's: left out" in place(source, shipped)
    assert not places[good].exists()
