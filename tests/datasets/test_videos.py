from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from stylefacev_cli.datasets import movie_frames, videos
from stylefacev_cli.datasets.clips import INDEX_NAME, ClipEntry, write_clip
from stylefacev_cli.datasets.videos import (
    U8,
    ClipRule,
    ItemRule,
    Taken,
    Video,
    VideoSet,
    items_of,
    open_videos,
    resampled,
    run_of,
)
from stylefacev_cli.errors import DataError
from stylefacev_cli.media import VideoSettings, video_writer

NUM_FRAMES = 12


def numbered(num_frames: int = NUM_FRAMES, size: int = 16, first: int = 0) -> U8:
    """Frames whose grey value is ten times their number."""
    levels = 10 * (first + np.arange(num_frames, dtype=np.uint8))
    return np.broadcast_to(levels[:, None, None, None], (num_frames, size, size, 3)).copy()


def numbers(frames: U8) -> list[int]:
    return [round(float(frame.mean()) / 10) for frame in frames]


def clips_of(
    videos: VideoSet,
    rule: ClipRule,
    *,
    seed: int | None = None,
    skip_damaged: bool = False,
    taken: Taken | None = None,
) -> list[U8]:
    """Clips of all videos."""
    items = items_of(
        videos,
        ItemRule(rule, seed=seed),
        range(len(videos)),
        skip_damaged=skip_damaged,
        taken=Taken() if taken is None else taken,
    )
    return [item.frames for item in items]


def write_movie(path: Path, frames: U8) -> None:
    settings = VideoSettings(16, 16, 10.0)
    with video_writer(path, "mp4", settings) as writer:
        for frame in frames:
            writer.write(frame)


@pytest.fixture(params=["movies", "frames", "clips"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Three videos, of 12, 12 and 5 frames."""
    for i, length in enumerate((NUM_FRAMES, NUM_FRAMES, 5)):
        frames = numbered(length)
        if request.param == "movies":
            write_movie(tmp_path / f"{i}.mp4", frames)
        elif request.param == "frames":
            (tmp_path / str(i)).mkdir()
            for k, frame in enumerate(frames):
                Image.fromarray(frame).save(tmp_path / str(i) / f"{k:03}.png")
        else:
            entry = ClipEntry(str(i), f"clips/{i}.png", None, length, 16, 10.0, i, "clip")
            write_clip(tmp_path, entry, frames, {})
            with (tmp_path / INDEX_NAME).open("a") as index:
                index.write(entry.to_line())
    return tmp_path


def test_every_form_gives_the_same_clips(folder: Path) -> None:
    videos = open_videos(folder)
    assert len(videos) == 3 and videos.digest is not None
    taken = Taken()
    clips = clips_of(videos, ClipRule(4, stride=2), taken=taken)
    assert [numbers(clip) for clip in clips] == [[0, 2, 4, 6]] * 2
    assert (taken.used, taken.too_short, taken.damaged) == (2, 1, [])


def test_places_are_random_but_repeatable(folder: Path) -> None:
    videos, rule = open_videos(folder), ClipRule(3)

    def taken_with(seed: int) -> list[list[int]]:
        return [numbers(clip) for clip in clips_of(videos, rule, seed=seed)]

    runs = [taken_with(seed) for seed in range(8)]
    assert runs[3] == taken_with(3)
    assert len({str(run) for run in runs}) > 3
    for clip in (clip for run in runs for clip in run):
        assert clip == [clip[0], clip[0] + 1, clip[0] + 2]


def test_content_changes_the_digest(folder: Path) -> None:
    before = open_videos(folder).digest
    assert open_videos(folder).digest == before
    changed = next(path for path in sorted(folder.rglob("*")) if path.suffix in (".png", ".mp4"))
    changed.write_bytes(changed.read_bytes() + b"\0")
    assert open_videos(folder).digest != before


def test_damaged_videos_are_never_skipped_in_silence(folder: Path) -> None:
    videos, rule = open_videos(folder), ClipRule(4)
    victim = next(path for path in sorted(folder.rglob("*")) if path.suffix in (".png", ".mp4"))
    victim.write_bytes(victim.read_bytes()[:40])
    with pytest.raises(DataError, match="cannot be read|cannot read"):
        clips_of(videos, rule)
    taken = Taken()
    assert len(clips_of(videos, rule, skip_damaged=True, taken=taken)) == 2
    assert len(taken.damaged) == 1


def test_images_are_videos_of_one_frame(tmp_path: Path) -> None:
    for i in range(3):
        Image.fromarray(numbered(1, first=i)[0]).save(tmp_path / f"{i}.png")
    videos = open_videos(tmp_path)
    assert [video.num_frames for video in videos.videos] == [1, 1, 1]
    assert [numbers(video.read(0, 1, 1)) for video in videos.videos] == [[0], [1], [2]]


def test_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such folder"):
        open_videos(tmp_path / "no")
    with pytest.raises(DataError, match="holds no videos"):
        open_videos(tmp_path)
    lying = Video("lying", 9, lambda first, step, count: numbered(2))
    with pytest.raises(DataError, match="2 frames where 4"):
        run_of(lying, ClipRule(4), None)


def movie(path: Path, num_frames: int, side: int) -> None:
    settings = VideoSettings(side, side, 25, lossless=True)
    with video_writer(path, "mkv", settings) as video:
        for i in range(num_frames):
            video.write(np.full((side, side, 3), 10 * i, np.uint8))


def test_large_frames_shrink_as_they_stream_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    movie(tmp_path / "a.mkv", 8, 60)
    monkeypatch.setattr(movie_frames, "MAX_FRAME_PIXELS", 30 * 30)
    (video,) = open_videos(tmp_path).videos
    clip = video.read(1, 2, 3)
    assert clip.shape == (3, 30, 30, 3)
    assert clip[:, 0, 0, 0].tolist() == [10, 30, 50]
    Image.new("RGB", (61, 60)).save((tmp_path / "b").with_suffix(".png"))
    (tmp_path / "a.mkv").unlink()
    assert open_videos(tmp_path).videos[0].read(0, 1, 1).shape == (1, 20, 21, 3)


@pytest.mark.parametrize("max_held", [0, 10**9])
def test_long_videos_are_counted_without_being_held(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, max_held: int
) -> None:
    movie(tmp_path / "a.mkv", 20, 16)
    monkeypatch.setattr(videos, "_MAX_HELD_BYTES", max_held)
    (video,) = open_videos(tmp_path).videos
    clip = run_of(video, ClipRule(4, 2), np.random.default_rng(0))
    first = int(np.random.default_rng(0).integers(0, 20 - 7 + 1))
    assert clip is not None
    assert clip[:, 0, 0, 0].tolist() == [10 * (first + 2 * i) for i in range(4)]
    assert run_of(video, ClipRule(21), np.random.default_rng(0)) is None
    taken = Taken()
    images = items_of(open_videos(tmp_path), ItemRule(per_video=3), range(1), skip_damaged=False,
                      taken=taken)  # fmt: skip
    assert [int(one.frames[0, 0, 0]) for one in images] == [0, 100, 190]


def test_a_movie_at_a_lower_rate_streams(tmp_path: Path) -> None:
    movie(tmp_path / "a.mkv", 20, 16)
    (video,) = open_videos(tmp_path).videos
    thin = resampled(video, 25, 10)
    assert thin.stream is not None
    there = [0, 3, 5, 8, 10, 13, 15, 18]
    assert [int(frame[0, 0, 0]) // 10 for frame in thin.stream()] == there
    assert (thin.read(1, 2, 3)[:, 0, 0, 0] // 10).tolist() == there[1:7:2]
    assert (thin.read(6, 1, 99)[:, 0, 0, 0] // 10).tolist() == there[6:]
