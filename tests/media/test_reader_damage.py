"""Damage within frames: what a decoder reports is an error, though ffmpeg goes on and ends well."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
from odd_videos import ffmpeg
from PIL import Image

from stylefacev_cli.errors import DataError
from stylefacev_cli.media import VideoSettings, read_frames, video_writer
from stylefacev_cli.media.ffmpeg import faults_told


def _damaged(path: Path, times: int, mask: int = 0x55) -> Path:
    """Some bytes of the middle are others."""
    data, chance = bytearray(path.read_bytes()), random.Random(1)
    for _ in range(times):
        data[chance.randrange(int(len(data) * 0.3), int(len(data) * 0.8))] ^= mask
    path.write_bytes(data)
    return path


@pytest.mark.parametrize(
    ("suffix", "how"),
    [
        ("avi", ("-c:v", "mjpeg", "-q:v", "3", "-pix_fmt", "yuvj420p")),
        ("mov", ("-c:v", "mjpeg", "-q:v", "3", "-pix_fmt", "yuvj420p")),
        ("wmv", ("-c:v", "wmv2", "-q:v", "3", "-pix_fmt", "yuv420p")),
        ("mp4", ("-c:v", "libx264", "-pix_fmt", "yuv420p")),
        ("gif", ()),
        ("png", ("-f", "apng")),
        ("ogv", ("-c:v", "libtheora", "-q:v", "7", "-pix_fmt", "yuv420p")),
    ],
)
def test_damaged_frames_are_refused(tmp_path: Path, suffix: str, how: tuple[str, ...]) -> None:
    path = tmp_path / f"a.{suffix}"
    ffmpeg("-f", "lavfi", "-i", "testsrc2=s=192x144:r=25:d=1", *how, path)
    assert len(list(read_frames(path))) == 25
    with pytest.raises(DataError, match=rf"a\.{suffix}"):
        list(read_frames(_damaged(path, 6)))


@pytest.mark.parametrize("format_name", ["mkv", "gif"])
def test_damaged_files_of_ours(tmp_path: Path, format_name: str) -> None:
    """A lossless mkv has checksums of every slice; one changed byte is enough."""
    path, noise = tmp_path / f"a.{format_name}", np.random.default_rng(0)
    lossless = format_name == "mkv"
    with video_writer(path, format_name, VideoSettings(64, 64, 25, lossless=lossless)) as writer:
        for _ in range(9):
            writer.write(noise.integers(0, 255, (64, 64, 3), np.uint8))
    with pytest.raises(DataError, match=rf"a\.{format_name} is damaged"):
        list(read_frames(_damaged(path, 1)))


def test_pictures_that_are_missing_in_an_avi(tmp_path: Path) -> None:
    path = tmp_path / "a.avi"
    ffmpeg("-f", "lavfi", "-i", "testsrc2=s=64x48:r=25:d=2", "-c:v", "mjpeg", path)
    data = path.read_bytes()
    first = data.index(b"00dc", data.index(b"movi"))
    size = 8 + int.from_bytes(data[first + 4 : first + 8], "little")
    path.write_bytes(data[:first] + b"JUNK" + data[first + 4 : first + size] + data[first + size :])
    with pytest.raises(DataError, match="index"):
        list(read_frames(path))


def test_gif_with_too_few_pixels(tmp_path: Path) -> None:
    path = tmp_path / "a.gif"
    Image.fromarray(np.zeros((40, 40), np.uint8)).save(path)
    data = bytearray(path.read_bytes())
    at = data.index(b"\x2c\0\0\0\0") + 5
    data[at + 2 : at + 4] = (50).to_bytes(2, "little")
    path.write_bytes(data)
    with pytest.raises(DataError, match="more or fewer pixels"):
        list(read_frames(path))


def test_which_messages_are_faults() -> None:
    messages = [
        "[mjpeg @ 0x55d6] error y=3 x=5",
        "[vist#0:0/mjpeg @ 0x1] [dec:mjpeg @ 0x2] corrupt decoded frame",
        "[in#0/ogg @ 0x3] CRC mismatch!",
        "[in#0/flv @ 0x3] AMF_DATA_TYPE_STRING parsing failed",
        "[image2pipe @ 0x4] Application provided invalid, non monotonically increasing dts",
        "    Last message repeated 3 times",
    ]
    found = faults_told("\n".join(messages), "mjpeg")
    assert found == [
        "mjpeg: error y=3 x=5", "mjpeg: corrupt decoded frame", "mjpeg: CRC mismatch!"
    ]  # fmt: skip
