"""The writers: every format, exact counts, tags, metadata, and what a failing ffmpeg leads to."""

from __future__ import annotations

import json
import os
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from stylefacev_cli.errors import StyleFaceVError, UsageError
from stylefacev_cli.media import (
    Frame,
    VideoSettings,
    is_frame_folder,
    read_frames,
    replacing,
    stream_writer,
    video_writer,
    write_json,
)
from stylefacev_cli.media.ffmpeg import find_ffmpeg

PROVENANCE = json.dumps({"ai_generated": True, "seed": 3, "odd": "a=b;c\\ 'q' é"})


def waves(num_frames: int, height_px: int = 32, width_px: int = 32) -> Iterator[Frame]:
    y, x = np.mgrid[:height_px, :width_px]
    for t in range(num_frames):
        red, green = np.sin(x / 9 + t / 5), np.cos(y / 7 + t / 6)
        yield (128 + 100 * np.stack([red, green, 0.3 * red], axis=-1)).astype(np.uint8)


def write(path: Path, format_name: str, settings: VideoSettings, num_frames: int = 10) -> None:
    with replacing(path) as part, video_writer(part, format_name, settings) as video:
        for frame in waves(num_frames, settings.height_px, settings.width_px):
            video.write(frame)


def describe(path: Path) -> str:
    command = [find_ffmpeg(), "-hide_banner", "-i", f"file:{path}"]
    return subprocess.run(command, capture_output=True, text=True).stderr


@pytest.mark.parametrize("format_name", ["mp4", "webm", "mkv", "gif"])
@pytest.mark.parametrize("size", [(32, 32), (31, 33)])
def test_file_holds_the_frames(tmp_path: Path, format_name: str, size: tuple[int, int]) -> None:
    path = tmp_path / f"-odd name%d.{format_name}"
    write(path, format_name, VideoSettings(size[1], size[0], 25, PROVENANCE))
    frames = list(read_frames(path))
    assert [frame.shape for frame in frames] == [(*size, 3)] * 10
    errors = [
        np.abs(a.astype(int) - b).mean() for a, b in zip(frames, waves(10, *size), strict=True)
    ]
    assert max(errors) < (12 if format_name == "gif" else 6)
    text = describe(path)
    assert PROVENANCE in text
    if format_name != "gif":
        assert "bt709" in text and "25 fps" in text
    assert os.listdir(tmp_path) == [path.name]


def test_colours_are_those_of_the_tag(tmp_path: Path) -> None:
    path = tmp_path / "red.mp4"
    with video_writer(path, "mp4", VideoSettings(32, 32, 25)) as video:
        for _ in range(3):
            video.write(np.full((32, 32, 3), (200, 30, 60), np.uint8))
    frame = next(iter(read_frames(path)))
    assert np.abs(frame.astype(int) - (200, 30, 60)).max() <= 3


def test_bytes_are_identical_from_run_to_run(tmp_path: Path) -> None:
    for name in ("a.mp4", "b.mp4"):
        write(tmp_path / name, "mp4", VideoSettings(300, 260, 15.5, PROVENANCE))
    assert (tmp_path / "a.mp4").read_bytes() == (tmp_path / "b.mp4").read_bytes()


def test_png_folder(tmp_path: Path) -> None:
    folder = tmp_path / "3"
    write(folder, "png", VideoSettings(20, 10, 25, PROVENANCE), num_frames=12)
    assert sorted(os.listdir(folder)) == [f"{index:06d}.png" for index in range(12)]
    with Image.open(folder / "000011.png") as picture:
        assert picture.text["Comment"] == PROVENANCE  # type: ignore[attr-defined]
        assert (np.asarray(picture) == list(waves(12, 10, 20))[11]).all()
    write(folder, "png", VideoSettings(20, 10, 25), num_frames=2)  # replaces the folder whole
    assert sorted(os.listdir(folder)) == ["000000.png", "000001.png"]
    assert is_frame_folder(folder)
    (folder / "notes.txt").touch()
    assert not is_frame_folder(folder)
    assert os.listdir(tmp_path) == ["3"]


@pytest.mark.parametrize("format_name", ["mp4", "webm", "mkv", "gif"])
def test_stream_into_a_pipe(tmp_path: Path, format_name: str) -> None:
    path = tmp_path / f"piped.{format_name}"
    with path.open("wb") as file:
        cat = subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=file)
        assert cat.stdin is not None
        with stream_writer(cat.stdin, format_name, VideoSettings(32, 32, 25, PROVENANCE)) as video:
            for frame in waves(10):
                video.write(frame)
        cat.stdin.close()
        assert cat.wait() == 0
    assert len(list(read_frames(path))) == 10
    assert format_name == "gif" or PROVENANCE in describe(path)


def test_raw_stream(tmp_path: Path) -> None:
    path = tmp_path / "frames.rgb"
    with path.open("wb") as file, stream_writer(file, "raw", VideoSettings(32, 32, 25)) as video:
        for frame in waves(3):
            video.write(frame)
    assert path.read_bytes() == b"".join(frame.tobytes() for frame in waves(3))


@pytest.mark.parametrize("format_name", ["mp4", "raw"])
def test_reader_of_the_pipe_goes_away(format_name: str) -> None:
    head = subprocess.Popen(["head", "-c", "100"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
    assert head.stdin is not None
    settings = VideoSettings(256, 256, 25)
    with (
        pytest.raises(BrokenPipeError),
        stream_writer(head.stdin, format_name, settings) as video,
    ):
        for frame in waves(3000, 256, 256):
            video.write(frame)
    head.wait()
    try:
        head.stdin.close()
    except BrokenPipeError:
        pass


@pytest.mark.parametrize("format_name", ["mp4", "png"])
def test_interrupted_video_leaves_nothing(tmp_path: Path, format_name: str) -> None:
    with pytest.raises(KeyboardInterrupt):
        with (
            replacing(tmp_path / "3") as part,
            video_writer(part, format_name, VideoSettings(32, 32, 25)) as video,
        ):
            for frame in waves(10):
                video.write(frame)
            raise KeyboardInterrupt
    assert os.listdir(tmp_path) == []


@pytest.fixture
def fake_ffmpeg(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    script = tmp_path / "bin" / "ffmpeg"
    script.parent.mkdir()
    script.touch()
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("IMAGEIO_FFMPEG_EXE", str(script))
    return script


@pytest.mark.parametrize(
    ("script", "told"),
    [
        ("echo 'x: No space left on device' >&2; exit 228", "No space left on device; free some"),
        ("kill -9 $$", "ffmpeg was stopped by SIGKILL"),
        ("echo 'Unknown encoder' >&2; cat >/dev/null; exit 8", "code 8 (Unknown encoder)"),
        ("cat >/dev/null; echo frame=3", "ffmpeg wrote 3 of 40 frames"),
    ],
)
def test_failing_encoder_is_one_line(fake_ffmpeg: Path, script: str, told: str) -> None:
    fake_ffmpeg.write_text(f"#!/bin/sh\n{script}\n")
    out = fake_ffmpeg.parent / "3.mp4"
    with pytest.raises(StyleFaceVError) as caught:
        write(out, "mp4", VideoSettings(256, 256, 25), num_frames=40)
    assert told in str(caught.value) and "\n" not in str(caught.value)
    assert os.listdir(out.parent) == ["ffmpeg"]


def test_no_encoder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IMAGEIO_FFMPEG_EXE", str(tmp_path / "nowhere"))
    with pytest.raises(StyleFaceVError, match="IMAGEIO_FFMPEG_EXE"):
        write(tmp_path / "3.mp4", "mp4", VideoSettings(32, 32, 25))


def test_json_beside(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"name": "é", "seed": 3})
    assert json.loads((tmp_path / "a.json").read_text()) == {"name": "é", "seed": 3}
    with pytest.raises(StyleFaceVError, match="cannot write .*nowhere"):
        write_json(tmp_path / "nowhere" / "a.json", {})


@pytest.mark.parametrize(
    "numbers", [(0, 10, 25), (10, 10, 0), (10, 10, -1), (10, 10, float("nan"))]
)
def test_absurd_settings(numbers: tuple[int, int, float]) -> None:
    with pytest.raises(UsageError):
        VideoSettings(*numbers)


@pytest.mark.parametrize("format_name", ["mp4", "webm", "mkv", "gif"])
def test_provenance_of_any_length(
    tmp_path: Path, format_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """6,101 seeds of ten digits are longer than an argument of a program may be."""
    frames = np.zeros((3, 16, 16, 3), np.uint8)

    def write(name: str, text: str) -> Path:
        path = tmp_path / name
        with video_writer(path, format_name, VideoSettings(16, 16, 25, text)) as video:
            for frame in frames:
                video.write(frame)
        return path

    text = json.dumps({"seeds": list(range(4_000_000_000, 4_000_020_000)), "odd": "a=b;#\\\n é"})
    with av.open(str(write(f"long.{format_name}", text))) as container:
        told = {name.lower(): value for name, value in container.metadata.items()}
        assert told["comment"] == text
        assert len(list(container.decode(video=0))) == 3
    by_argument = write(f"a.{format_name}", text[:1000]).read_bytes()
    monkeypatch.setattr("stylefacev_cli.media.formats._MAX_ARGUMENT_BYTES", 0)
    assert write(f"b.{format_name}", text[:1000]).read_bytes() == by_argument
