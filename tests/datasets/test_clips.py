from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from stylefacev_cli.cli.app import run
from stylefacev_cli.datasets.clips import ClipEntry, ClipSet, write_clip
from stylefacev_cli.errors import DataError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    with (tmp_path / "index.jsonl").open("w") as index:
        for i in range(3):
            frames = rng.integers(0, 256, (4, 8, 8, 3), np.uint8)
            entry = ClipEntry(f"{i}", f"clips/{i}.png", f"clips/{i}.npz", 4, 8, 25.0, i, "clip")
            write_clip(tmp_path, entry, frames, {"landmarks": np.full((4, 98, 2), i / 10)})
            index.write(entry.to_line())
    return tmp_path


def rewrite(folder: Path, **changes: object) -> None:
    index = folder / "index.jsonl"
    values = json.loads(index.read_text().splitlines()[0])
    index.write_text(json.dumps({**values, **changes}) + "\n")


def test_round_trip(folder: Path) -> None:
    clips = ClipSet(folder)
    rng = np.random.default_rng(0)
    assert len(clips) == 3
    for i, clip in enumerate(clips):
        np.testing.assert_array_equal(clip.frames(), rng.integers(0, 256, (4, 8, 8, 3), np.uint8))
        assert clip.labels()["landmarks"][0, 0, 0] == i / 10
        assert clip.entry.identity == i
    clips.check()
    assert clips.manifest() == {}
    assert not list(folder.rglob("*.part"))


def test_a_folder_that_is_no_set(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no set of clips"):
        ClipSet(tmp_path)
    (tmp_path / "index.jsonl").write_text("\n")
    with pytest.raises(DataError, match="lists no clips"):
        ClipSet(tmp_path)


@pytest.mark.parametrize(
    "line",
    ["{", "[]", '{"id": "0"}', '"text"', "null"],
    ids=["torn", "list", "few", "text", "null"],
)
def test_a_damaged_index_names_the_line(folder: Path, line: str) -> None:
    index = folder / "index.jsonl"
    index.write_text(index.read_text() + line + "\n")
    with pytest.raises(DataError, match=r"index\.jsonl:4"):
        ClipSet(folder)


@pytest.mark.parametrize(
    "changes",
    [
        {"num_frames": 0},
        {"size_px": "8"},
        {"kind": "film"},
        {"file": "../secret.png"},
        {"labels": "/etc/passwd"},
        {"file": None},
    ],
)
def test_entries_that_make_no_sense(folder: Path, changes: dict[str, object]) -> None:
    rewrite(folder, **changes)
    with pytest.raises(DataError, match="index.jsonl:1"):
        ClipSet(folder)


def test_a_strip_of_another_size(folder: Path) -> None:
    rewrite(folder, num_frames=5)
    with pytest.raises(DataError, match="8×32 pixels"):
        ClipSet(folder).clip(0).frames()


def test_damaged_files_are_named(folder: Path) -> None:
    clip = ClipSet(folder).clip(1)
    (folder / "clips/1.png").write_bytes((folder / "clips/1.png").read_bytes()[:100])
    (folder / "clips/1.npz").write_bytes(b"PK\x03\x04 torn")
    with pytest.raises(DataError, match=r"1\.png"):
        clip.frames()
    with pytest.raises(DataError, match=r"1\.npz"):
        clip.labels()
    (folder / "clips/1.png").unlink()
    with pytest.raises(DataError, match=r"1\.png"):
        clip.frames()


def test_labels_are_optional_and_checked(folder: Path) -> None:
    rewrite(folder, labels=None)
    assert ClipSet(folder).clip(0).labels() == {}
    rewrite(folder, labels="clips/0.npz")
    np.savez(folder / "clips/0.npz", landmarks=np.zeros((3, 98, 2)))
    with pytest.raises(DataError, match="3 rows for 4 frames"):
        ClipSet(folder).check()


def test_doubles_are_found(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    index = folder / "index.jsonl"
    lines = index.read_text().splitlines(keepends=True)
    index.write_text("".join([*lines, lines[1]]))  # as two writers at once leave it
    for more in ([], ["--check"]):
        assert run(["data", "inspect", str(folder), *more]) == 5
        assert "index.jsonl lists" in capsys.readouterr().err
    other = json.loads(lines[0]) | {"id": "9"}  # another clip of the same file
    index.write_text("".join([*lines, json.dumps(other) + "\n"]))
    with pytest.raises(DataError, match=r"clips/0.* twice"):
        ClipSet(folder).check()
