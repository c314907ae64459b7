"""Limits of the layout: sizes of rooms, files and README; each test file names its module."""

from __future__ import annotations

from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "stylefacev_cli"
TESTS = ROOT / "tests"

MAX_FILES = 16  # Python files in a room, with its __init__.py
MAX_LINES = 400  # of a file of the package
MAX_README_BYTES = 8000
LARGE_ROOMS = {PACKAGE / "faces"}  # one small file a part of the face
# Folders of tests that mirror no room: whole commands; helpers; data; other folders of the project.
UNMIRRORED = {"end_to_end", "support", "data", "examples", "ci", "docs", "fuzz"}


def rooms() -> list[Path]:
    return sorted({path.parent for path in PACKAGE.rglob("*.py")})


def test_rooms_are_small() -> None:
    counts = {room.relative_to(ROOT): len(list(room.glob("*.py"))) for room in rooms()}
    large = {
        str(room): count
        for room, count in counts.items()
        if count > MAX_FILES and ROOT / room not in LARGE_ROOMS
    }
    assert not large, f"rooms of more than {MAX_FILES} files: {large}"


def test_files_are_short() -> None:
    lengths = {
        str(path.relative_to(ROOT)): len(path.read_text(encoding="utf-8").splitlines())
        for path in PACKAGE.rglob("*.py")
    }
    long = {path: length for path, length in lengths.items() if length > MAX_LINES}
    assert not long, f"files of more than {MAX_LINES} lines: {long}"


def test_readme_is_short() -> None:
    size_bytes = (ROOT / "README.md").stat().st_size
    assert size_bytes <= MAX_README_BYTES, f"README.md: {size_bytes} bytes"


@pytest.mark.parametrize(
    "test_file",
    [
        path.relative_to(TESTS)
        for path in sorted(TESTS.rglob("test_*.py"))
        if path != Path(__file__) and path.relative_to(TESTS).parts[0] not in UNMIRRORED
    ],
    ids=str,
)
def test_tests_mirror_the_modules(test_file: Path) -> None:
    """`tests/ROOM/test_MODULE.py`, `test_MODULE_ASPECT.py` or, of the whole room, `test_ROOM_…`."""
    room = PACKAGE / test_file.parent
    assert room.is_dir(), f"there is no room {room.relative_to(ROOT)}"
    subject = test_file.stem.removeprefix("test_")
    modules = {path.stem for path in room.iterdir() if path.suffix == ".py" or path.is_dir()}
    if room == PACKAGE:
        modules |= {"api"}  # of the package itself
    names = [*(modules - {"__init__", "__pycache__"}), room.name]
    assert any(subject == name or subject.startswith(f"{name}_") for name in names), (
        f"tests/{test_file} names no module of {room.relative_to(ROOT)}"
    )
