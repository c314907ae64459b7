from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from stylefacev_cli.datasets.footage_sources import find_sources
from stylefacev_cli.datasets.videos import open_videos
from stylefacev_cli.errors import DataError
from stylefacev_cli.media.ffmpeg import find_ffmpeg
from stylefacev_cli.media.folders import (
    IMAGE_SUFFIXES,
    NOT_REGULAR,
    NOT_UTF8,
    VIDEO_SUFFIXES,
    find_media,
    natural_key,
    passed_over_line,
)

LEAVINGS = (
    *(".ipynb_checkpoints/a-checkpoint.png", "@eaDir/a.png", ".Trash-1000/files/a.png"),
    *("__MACOSX/a.png", "__MACOSX/._a.png", ".DS_Store", "Thumbs.db", "._a.png", ".hidden.png"),
    *("desktop.ini", "p/@eaDir/SYNOFILE.png", "$RECYCLE.BIN/a.png"),
)


def touch(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


def names_of(folder: Path, suffixes: tuple[str, ...]) -> list[str]:
    return [path.relative_to(folder).as_posix() for path in find_media(folder, suffixes).paths]


def test_natural_order(tmp_path: Path) -> None:
    names = ["frame1.png", "frame2.png", "frame10.png", "frame010.png", "frame100.PNG"]
    assert sorted(reversed(names), key=natural_key)[:3] == ["frame1.png", "frame2.png", names[3]]
    touch(tmp_path, "p10/a.png", "p2/b.png", "p2/a2.png", "p2/a10.png", "top.png")
    assert names_of(tmp_path, IMAGE_SUFFIXES) == [
        "p2/a2.png", "p2/a10.png", "p2/b.png", "p10/a.png", "top.png"
    ]  # fmt: skip
    long = "9" * 10_000  # longer than Python makes numbers of
    assert natural_key(f"a{long}") > natural_key("a8")


def test_leavings_are_never_read_and_others_are_listed(tmp_path: Path) -> None:
    touch(tmp_path, *LEAVINGS, "a.png", "b.TIFF", "a.png.json", "notes.json")
    (tmp_path / "gone.png").symlink_to(tmp_path / "nowhere")
    media = find_media(tmp_path, IMAGE_SUFFIXES)
    assert [path.name for path in media.paths] == ["a.png"]
    assert [(one.name, one.reason) for one in media.passed_over] == [
        ("b.TIFF", "not a picture that is read here: PNG, JPEG or WebP"),
        ("gone.png", NOT_REGULAR),
        ("notes.json", "not a picture that is read here: PNG, JPEG or WebP"),
    ]
    line = passed_over_line("x", media.passed_over * 2)
    assert line.startswith("x: 6 files not read: b.TIFF (not a picture") and "3 more" in line


@pytest.mark.parametrize("suffix", [".mp4", ".m4v", ".wmv", ".3gp", ".mpg", ".flv", ".MTS", ".GIF"])
def test_videos_of_every_kind_are_found(tmp_path: Path, suffix: str) -> None:
    touch(tmp_path, f"a{suffix}", "b.mp4")
    assert names_of(tmp_path, VIDEO_SUFFIXES) == [f"a{suffix}", "b.mp4"]


@pytest.mark.skipif(sys.platform != "linux", reason="names are bytes on Linux only")
def test_names_that_are_not_utf8(tmp_path: Path) -> None:
    touch(tmp_path, "a.png", "ü.png")
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/b\xff.png")).touch()
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/c\x1b[31m.txt")).touch()
    assert names_of(tmp_path, IMAGE_SUFFIXES) == ["a.png", "ü.png"]
    first, second = find_media(tmp_path, IMAGE_SUFFIXES).passed_over
    assert (first.name, first.reason) == ("b\\xff.png", NOT_UTF8)
    assert second.name == "c\\x1b[31m.txt"
    sources = find_sources("images", tmp_path, vocal="both", person_from="file")
    assert [(s.name, s.skip is None) for s in sources][1:3] == [
        ("ü.png", True),
        (first.name, False),
    ]
    assert [video.name[-5:] for video in open_videos(tmp_path).videos] == ["a.png", "ü.png"]
    assert len(open_videos(tmp_path).passed_over) == 2


def test_folders_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such folder"):
        find_media(tmp_path / "no", IMAGE_SUFFIXES)
    touch(tmp_path, "a.png", "shut/b.png")
    (tmp_path / "shut").chmod(0)
    try:
        media = find_media(tmp_path, IMAGE_SUFFIXES)
        if os.getuid():  # root reads everything
            assert [one.name for one in media.passed_over] == ["shut"]
    finally:
        (tmp_path / "shut").chmod(0o700)


def test_no_other_file_walks_folders_of_media() -> None:
    package = Path(__file__).parents[2] / "stylefacev_cli"
    for room in ("datasets", "evaluation", "generation", "detection", "metrics"):
        for path in (package / room).rglob("*.py"):
            assert "rglob(" not in path.read_text() and "os.walk(" not in path.read_text(), path


@pytest.mark.parametrize("suffix", ["wmv", "asf", "3gp", "mpg", "vob", "flv", "m4v", "mts", "ogg"])
def test_what_is_found_is_read(tmp_path: Path, suffix: str) -> None:
    source = ["-f", "lavfi", "-i", "testsrc=d=0.4:r=25:s=176x144"]
    codec = ["-c:v", "h263"] if suffix == "3gp" else []
    path = tmp_path / f"a.{suffix}"
    made = subprocess.run(
        [find_ffmpeg(), "-v", "error", "-nostdin", *source, *codec, str(path)], check=False
    )
    if made.returncode:
        pytest.skip(f"this ffmpeg does not write {suffix}")
    (video,) = open_videos(tmp_path).videos
    assert len(video.read(0, 1, 100)) in (9, 10)
