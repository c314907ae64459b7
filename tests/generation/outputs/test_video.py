"""A video in memory: its frames, files and what a notebook shows."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from stylefacev_cli.errors import UsageError
from stylefacev_cli.generation.outputs import video as video_module
from stylefacev_cli.generation.outputs.video import Video
from stylefacev_cli.media import read_frames

FRAMES = np.random.default_rng(0).integers(0, 255, (10, 16, 32, 3), np.uint8)


class Source:
    """Counts how often frames are rendered."""

    def __init__(self, frames: np.ndarray = FRAMES) -> None:
        self.frames, self.renders = frames, 0

    def __call__(self) -> Iterator[Any]:
        self.renders += 1
        yield from self.frames

    def video(self, **more: Any) -> Video:
        about = {"seed": 3, "frames": len(self.frames), "fps": 10.0, "width": 32, "height": 16}
        about |= {"format": "mp4", "lossless": False}
        return Video(
            self, num_frames=len(self.frames), name="seed 3", about=about, device="cpu", **more
        )


def test_frames_are_rendered_when_they_are_asked_for_and_kept() -> None:
    source = Source()
    video = source.video()
    assert len(video) == 10 and video.fps == 10 and source.renders == 0
    next(iter(video))
    for _ in range(3):
        assert np.array_equal(video.numpy(), FRAMES)
    assert source.renders == 2  # the first look broke off


def test_long_videos_are_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(video_module, "_MAX_KEPT_BYTES", 1000)
    source = Source()
    video = source.video()
    assert np.array_equal(video.numpy(), video.numpy()) and source.renders == 2


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "webm", "gif"])
def test_encoded_files(tmp_path: Path, suffix: str) -> None:
    path = Source().video().save(tmp_path / "new" / f"x.{suffix}", lossless=suffix == "mkv")
    frames = np.stack(list(read_frames(path)))
    assert frames.shape == FRAMES.shape
    assert np.array_equal(frames, FRAMES) == (suffix == "mkv")
    assert json.loads((path.parent / f"x.{suffix}.json").read_text())["seed"] == 3


def test_arrays_folders_and_sheets(tmp_path: Path) -> None:
    video = Source().video()
    for _ in range(2):  # what is there is replaced
        assert np.array_equal(np.load(video.save(tmp_path / "x.npy")), FRAMES)
        folder = video.save(tmp_path / "x", format="png")
    pictures = np.stack([np.asarray(Image.open(path)) for path in sorted(folder.iterdir())])
    assert np.array_equal(pictures, FRAMES)
    sheet = video.save(tmp_path / "s.png", format="sheet", sheet_frames=4, sheet_columns=2)
    tiles = np.asarray(Image.open(sheet)).reshape(2, 16, 2, 32, 3).swapaxes(1, 2)
    assert np.array_equal(tiles.reshape(4, 16, 32, 3), FRAMES[[0, 3, 6, 9]])
    (folder / "thesis.txt").touch()
    for wrong, told in (("x", "other things"), ("x.txt", "cannot write .txt"), ("y", "ends in")):
        with pytest.raises(UsageError, match=told):
            video.save(tmp_path / wrong, format="png" if wrong == "x" else None)


def test_a_notebook_plays_it(tmp_path: Path) -> None:
    source = Source()
    video = source.video()
    html = video._repr_html_()
    assert html.startswith("<video controls") and source.renders == 1
    (tmp_path / "x.mp4").write_bytes(base64.b64decode(html.split("base64,")[1].split('"')[0]))
    assert len(list(read_frames(tmp_path / "x.mp4"))) == 10
    assert Source(FRAMES[:1]).video()._repr_html_().startswith("<img ")
    written = Source().video(path=video.save(tmp_path / "y.mp4"))
    assert base64.b64encode((tmp_path / "y.mp4").read_bytes()).decode() in written._repr_html_()
    assert "y.mp4" in repr(written)


def test_a_sheet_is_saved_as_one_and_odd_formats_are_refused(tmp_path: Path) -> None:
    video = Source(FRAMES[:1]).video()
    video.about["format"] = "sheet"
    with Image.open(video.save(tmp_path / "sheet.png")) as picture:
        assert picture.size == (32, 16)
    for odd in ("xyz", "raw"):
        with pytest.raises(UsageError, match=f"format '{odd}': give one of mp4"):
            video.save(tmp_path / f"x.{odd}", format=odd)
