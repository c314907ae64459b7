from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
from footage import background, face_template, write_movie
from odd_videos import grey_source, of_unlike_frames
from PIL import Image

from stylefacev_cli.cli.app import run
from stylefacev_cli.datasets.clips import ClipSet
from stylefacev_cli.datasets.source_report import parse_prepared, read_sources
from stylefacev_cli.errors import DataError

OPTIONS = ["--keep-frames", "--min-frames", "2", "--size", "32"]


def movie(path: Path, number: int, num_frames: int) -> None:
    write_movie(path, [background(number)[:96, :96]] * num_frames)


def prepare(folder: Path) -> dict[str, list[int]]:
    """Numbers of frames of the clips of each source."""
    assert run(["data", "prepare", "videos", str(folder / "v"), str(folder / "set"), *OPTIONS]) == 0
    ClipSet(folder / "set").check()
    return {
        done.source: [entry.num_frames for entry in done.clips]
        for done in read_sources(folder / "set")
    }


def test_sources_that_changed_or_were_damaged_are_looked_at_again(tmp_path: Path) -> None:
    videos = tmp_path / "v"
    videos.mkdir()
    for number in range(3):
        movie(videos / f"{number}.mp4", number, 4)
    whole = (videos / "2.mp4").read_bytes()
    (videos / "2.mp4").write_bytes(whole[:700])
    (videos / "notes.txt").touch()
    assert prepare(tmp_path) == {"0.mp4": [4], "1.mp4": [4], "2.mp4": [], "notes.txt": []}
    untouched = (tmp_path / "set" / ClipSet(tmp_path / "set").entries[0].file).stat().st_mtime_ns
    movie(videos / "1.mp4", 5, 6)
    (videos / "2.mp4").write_bytes(whole)
    os.utime(videos / "0.mp4")  # another time, the same content
    assert prepare(tmp_path) == {"0.mp4": [4], "1.mp4": [6], "2.mp4": [4], "notes.txt": []}
    clips = ClipSet(tmp_path / "set")
    assert (tmp_path / "set" / clips.entries[0].file).stat().st_mtime_ns == untouched
    (videos / "1.mp4").write_bytes(whole[:700])  # now it gives no clip: none of the old ones stays
    assert prepare(tmp_path)["1.mp4"] == []
    clips = ClipSet(tmp_path / "set")
    assert len(list((tmp_path / "set").rglob("*.png"))) == len(clips) == 2
    assert clips.content_hash() == clips.manifest()["content_sha256"]


def test_transparent_pictures_are_noted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "wild").mkdir()
    entries = {}
    for i in range(2):
        pixels = np.full((200, 240, 4), 200, np.uint8)
        pixels[..., 3] = 0 if i else 255
        Image.fromarray(pixels).save(tmp_path / "wild" / f"{i:05}.png")
        points = (face_template() * 100 + [70, 50]).tolist()
        entry = {"file_path": f"x/{i:05}.png", "face_landmarks": points}
        entries[str(i)] = {"category": "training", "in_the_wild": entry}
    (tmp_path / "ffhq.json").write_text(json.dumps(entries))
    options = ["--size", "64", "--landmarks", str(tmp_path / "ffhq.json"), "--min-window", "90"]
    out = tmp_path / "set"
    assert run(["data", "prepare", "ffhq", str(tmp_path / "wild"), str(out), *options]) == 0
    assert "1 file: transparent parts are put on neutral grey" in capsys.readouterr().err
    assert [len(done.notes) for done in read_sources(out)] == [0, 1]
    assert np.ptp(ClipSet(out).clip(1).frames()) == 0


def test_what_was_done_to_videos_is_noted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = grey_source(tmp_path / "source.mkv", size=(64, 64))
    (tmp_path / "v").mkdir()
    for number in range(2):
        of_unlike_frames(source, tmp_path / "v" / f"{number}.mp4")
    movie(tmp_path / "v" / "2.mp4", 0, 4)
    prepare(tmp_path)
    assert "2 files: its frame rate varies: frames are taken at its" in capsys.readouterr().err
    assert [len(done.notes) for done in read_sources(tmp_path / "set")] == [1, 1, 0]


@pytest.mark.parametrize(
    "line",
    ["", "[]", '{"source": 1, "clips": [], "sha256": [], "skipped": []}',
     '{"source": "a", "clips": [], "sha256": [], "skipped": [], "file": 3}',
     '{"source": "a", "clips": [], "sha256": [], "skipped": [], "notes": "x"}',
     '{"source": "a", "clips": [], "sha256": [], "skipped": [{}]}', "[" * 100_000],
)  # fmt: skip
def test_damaged_lines(line: str) -> None:
    with pytest.raises(DataError, match="here: damaged"):
        parse_prepared(line, "here")
