"""The reader: untrusted, damaged and disguised files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from stylefacev_cli.errors import DataError
from stylefacev_cli.media import VideoSettings, read_frames, video_writer


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("video") / "noise.mp4"
    random = np.random.default_rng(0)
    with video_writer(path, "mp4", VideoSettings(64, 64, 25)) as writer:
        for _ in range(60):
            writer.write(random.integers(0, 255, (64, 64, 3), np.uint8))
    return path


def test_frame_limit(video: Path) -> None:
    assert len(list(read_frames(video, max_frames=7))) == 7


def test_reader_can_stop_early(video: Path) -> None:
    frames = read_frames(video)
    assert next(frames).shape == (64, 64, 3)
    frames.close()  # type: ignore[attr-defined]


def test_truncated_file(video: Path, tmp_path: Path) -> None:
    short = tmp_path / "short.mp4"
    short.write_bytes(video.read_bytes()[: video.stat().st_size // 2])
    with pytest.raises(DataError, match=r"short\.mp4"):
        list(read_frames(short))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"not a video",
        b"#EXTM3U\n#EXTINF:1,\nnoise.mp4\n",
        b"ffconcat version 1.0\nfile noise.mp4\n",
    ],
)
def test_disguised_files_are_refused(video: Path, content: bytes) -> None:
    fake = video.parent / "fake.mp4"
    fake.write_bytes(content)
    with pytest.raises(DataError, match=r"fake\.mp4"):
        list(read_frames(fake))


@pytest.mark.parametrize(
    ("name", "told"),
    [
        *((name, "no such video file") for name in ("http://localhost/a.mp4", "nowhere.mp4", "-i")),
        ("/dev/zero", "no such video file"),
        ("/tmp", "is a folder"),
    ],
)
def test_only_regular_files(name: str, told: str) -> None:
    with pytest.raises(DataError, match=told):
        list(read_frames(Path(name)))


def test_a_picture_is_no_video(tmp_path: Path) -> None:
    Image.new("RGB", (64, 64)).save(tmp_path / "a.bmp")
    with pytest.raises(DataError, match="no video, or of a format that is not read"):
        list(read_frames(tmp_path / "a.bmp"))
