"""What files say of themselves, and how many frames are measured."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from evaluation_fixtures import Evaluate
from other_kinds import install_toy, write_model

from stylefacev_cli.common.processes import Processes
from stylefacev_cli.datasets.videos import Video, VideoSet, resampled
from stylefacev_cli.errors import DataError, UsageError
from stylefacev_cli.evaluation.session import EvalSession
from stylefacev_cli.evaluation.video_sources import (
    RateOptions,
    at_one_rate,
    frame_rates,
    frames_in_common,
    open_sides,
    open_source,
    rate_facts,
    rate_suffix,
    too_short,
)
from stylefacev_cli.media import VideoSettings, video_writer


class Notes:
    """A listener that keeps what it is told."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)

    def __getattr__(self, name: str) -> Any:
        from stylefacev_cli.common.listener import LogListener

        return getattr(LogListener(), name)


def write_movie(path: Path, num_frames: int, fps: float = 20.0, **record: Any) -> None:
    path.parent.mkdir(exist_ok=True)
    random = np.random.default_rng(num_frames)
    with video_writer(path, "mp4", VideoSettings(32, 32, fps)) as video:
        for _ in range(num_frames):
            video.write(random.integers(0, 256, (32, 32, 3), dtype=np.uint8))
    if record:
        record = {"software": "stylefacev", **record}
        path.with_name(f"{path.name}.json").write_text(json.dumps(record))


def set_of(*lengths: int) -> VideoSet:
    def read(first: int, step: int, count: int) -> Any:
        raise AssertionError("known lengths are not read")

    return VideoSet("here", None, "none", [Video(f"{n}", n, read) for n in lengths])


def common(requested: int | None, *sides: VideoSet, minimum: int = 2) -> tuple[int, list[str]]:
    notes = Notes()
    session = EvalSession(notes, Processes())
    sets = {str(number): side for number, side in enumerate(sides)}
    number = frames_in_common(session, sets, requested, default=64, minimum=minimum, num_videos=100)
    return number, notes.notes


def test_the_default_counts_where_half_of_the_videos_are_long_enough() -> None:
    assert common(None, set_of(64, 99, 24), set_of(64, 10)) == (64, [])


def test_of_shorter_videos_as_many_frames_as_all_have() -> None:
    number, notes = common(None, set_of(24, 30, 99), set_of(100))
    assert number == 24 and len(notes) == 1 and "first 24 frames" in notes[0]
    number, notes = common(None, set_of(24, 4, 30), set_of(40, 40), minimum=8)
    assert number == 24  # the one of four is left out


def test_a_number_that_was_asked_for_counts() -> None:
    assert common(48, set_of(24)) == (48, [])
    assert "they have 24: give --frames 24 or fewer" in str(too_short(set_of(20, 24), 48))


def test_movies_say_their_rate_and_who_is_in_them(tmp_path: Path) -> None:
    folder = tmp_path / "videos"
    write_movie(folder / "a.mp4", 3, seed=7, fps=12.5)
    write_movie(folder / "b.mp4", 3, latent={"file": "me", "sha256": "0123456789abcdef"})
    write_movie(folder / "c.mp4", 3, seed=0, interpolate=[0, 3])
    write_movie(folder / "d.mp4", 3)
    (folder / "d.mp4.json").write_text("{")
    videos = open_source(str(folder), 3)
    people = ["seed 7", "person 0123456789ab", None, None]
    assert [video.person for video in videos.videos] == people
    assert frame_rates(videos, [video.name for video in videos.videos], None) == [12.5, 20, 20, 20]


def test_frames_without_a_rate_need_one(frames: Path) -> None:
    videos = open_source(str(frames), 3)
    assert frame_rates(videos, [videos.videos[0].name], 9.0) == [9.0]
    with pytest.raises(UsageError, match="give --fps"):
        frame_rates(videos, [videos.videos[0].name], None)


def test_damaged_movies_are_told(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(b"no video")
    with pytest.raises(DataError, match="a.mp4"):
        common(None, open_source(str(tmp_path), 3))


def test_our_own_short_videos_are_measured_at_the_first_call(
    evaluate: Evaluate, straw: None, tiny_model: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "videos"
    for number in range(3):
        write_movie(folder / f"{number}.mp4", 12, seed=number, fps=20.0)
    code, out, err = evaluate(
        "motion", "--fake", str(folder), "--detector", str(tiny_model), "--json"
    )
    report = json.loads(out)
    assert code == 0 and report["protocol"] == "motion100_12f"
    assert report["sides"]["fake"]["fps"] == 20 and "first 12 frames" in err
    code, out, err = evaluate("identity", "--fake", str(folder), "--json")
    side = json.loads(out)["sides"]["fake"]
    assert code == 0 and side["people_known"] and side["fps"] == 20
    code, out, err = evaluate("identity", "--fake", str(folder), "--frames", "13")
    assert (code, out) == (5, "") and "give --frames 12 or fewer" in err


PLACES = [0, 3, 5, 8, 10, 13, 15, 18, 20, 23]  # of 25 frames a second, at 10


def test_unlike_rates_are_refused_or_resampled(tmp_path: Path) -> None:
    write_movie(tmp_path / "slow" / "a.mp4", 10, fps=10)
    write_movie(tmp_path / "fast" / "a.mp4", 25, fps=25)
    write_movie(tmp_path / "fast" / "b.mp4", 10, fps=10)
    (tmp_path / "fast" / "torn.mp4").write_bytes(b"no video")
    sets = open_sides(str(tmp_path / "fast"), str(tmp_path / "slow"), 4)
    with pytest.raises(UsageError, match="fake has 10 and 25 frames a second, real has 10"):
        at_one_rate(sets, 9, RateOptions())
    assert at_one_rate({"fake": sets["fake"]}, 9, RateOptions())["fake"] is sets["fake"]
    changed = at_one_rate(sets, 9, RateOptions(resample=True))
    assert rate_facts(changed) == {"resampled_fps": 10} and rate_suffix(changed) == "_10fps"
    fast, same, torn = changed["fake"].videos
    assert frame_rates(changed["fake"], [fast.name, same.name], None) == [10, 10]
    all_frames = sets["fake"].videos[0].read(0, 1, 25)
    np.testing.assert_array_equal(fast.read(0, 1, 99), all_frames[PLACES])
    np.testing.assert_array_equal(fast.read(1, 2, 3), all_frames[[3, 8, 13]])
    assert len(same.read(0, 1, 99)) == 10
    with pytest.raises(DataError, match="torn"):
        torn.read(0, 1, 1)
    alike = dict.fromkeys(sets, sets["real"])
    assert at_one_rate(alike, 9, RateOptions(resample=True)) is alike
    assert rate_suffix(sets) == ""


@pytest.mark.parametrize(
    ("num_frames", "fps"), [(1, 25), (7, 25), (24, 23.976), (25, 59.94), (0, 30)]
)
def test_a_resampled_video_has_as_many_frames_as_it_says(num_frames: int, fps: float) -> None:
    frames = np.zeros((num_frames, 2, 2, 3), np.uint8)
    video = resampled(Video("a", num_frames, lambda i, k, n: frames[i::k][:n]), fps, 12.5)
    assert video.num_frames == len(video.read(0, 1, 100))


def test_rates_of_ages_are_not_resampled(tmp_path: Path) -> None:
    write_movie(tmp_path / "fake" / "a.mp4", 4)
    write_movie(tmp_path / "real" / "a.mp4", 4, fps=20.0)
    (tmp_path / "real" / "a.mp4.json").write_text('{"software": "stylefacev", "fps": 1e-10}')
    sets = open_sides(str(tmp_path / "fake"), str(tmp_path / "real"), 4)
    with pytest.raises(UsageError, match="too unlike"):
        at_one_rate(sets, 9, RateOptions(resample=True))


def test_videos_of_models_of_other_kinds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A rival of Table 1 and a plug-in are measured as folders and models of our own are."""
    write_model(tmp_path / "rival", "stylegan-v", fps=30)
    toy = install_toy(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    for folder, fps, size in ((tmp_path / "rival", 30, 16), (toy, 25, 64)):
        videos = open_source(f"model:{folder}?seeds=0-2&motion_seeds=0-1&frames=9", 16)
        assert (len(videos), videos.fps) == (6, fps)
        clip = videos.videos[1].read(1, 2, 3)
        assert clip.shape == (3, size, size, 3)
        assert (clip[1:] == videos.videos[1].read(3, 2, 2)).all()
    write_model(tmp_path / "mhd", "mocogan-hd")
    videos = open_source(f"model:{tmp_path / 'mhd'}?seeds=0&truncation=0.7", 4)
    with pytest.raises(UsageError, match="truncation"):
        videos.videos[0].read(0, 1, 2)
