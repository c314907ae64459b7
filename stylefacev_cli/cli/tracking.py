"""Key points over time of the videos of both sides, found by a model's landmark detector."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from stylefacev_cli.cli.detectors import ChosenDetector, choose_detector
from stylefacev_cli.cli.gathering import Laboratory
from stylefacev_cli.cli.sources import open_source
from stylefacev_cli.errors import DataError, UsageError

if TYPE_CHECKING:
    from stylefacev_cli.data.feature_store import Gathered
    from stylefacev_cli.data.videos import VideoSet


@dataclass(frozen=True)
class Tracked:
    """Tracks [N, T, 14, 2] of a set of videos."""

    videos: VideoSet
    fps: float
    tracks: Gathered


@dataclass(frozen=True)
class Tracks:
    """Tracks of each side that was given, and who found them."""

    detector: ChosenDetector
    sides: dict[str, Tracked]


def gather_tracks(
    lab: Laboratory,
    fake: str,
    real: str | None,
    clips: int,
    frames: int,
    fps: float | None,
    detector: str,
) -> Tracks:
    """Find the key points of the first frames of the first videos of either side.

    Args:
        lab: where.
        fake: made videos.
        real: others, if any.
        clips: how many videos of each side.
        frames: how many of each video.
        fps: frames a second of videos that do not say it.
        detector: the model whose detector is taken.

    Raises:
        UsageError: the model has no detector; nobody says how many frames a second there are.
        DataError: no video is long enough.
    """
    from stylefacev_cli.data.videos import ClipRule, ItemRule
    from stylefacev_cli.metrics.tracks import key_point_track

    chosen, rule = choose_detector(detector), ItemRule(ClipRule(frames))
    sides: dict[str, Tracked] = {}
    for side, place in (("fake", fake), ("real", real)):
        if place is None:
            continue
        videos = open_source(place, frames)
        rate = videos.fps or fps
        if rate is None:
            raise UsageError(f"{place} does not say how many frames a second it has: give --fps")
        gathered = lab.gather(
            videos, rule, clips,
            lambda clips: (key_point_track(chosen.network, clip) for clip in clips),
            {"name": "key points", "sha256": chosen.sha256},
            label=side, unit="videos",
        )  # fmt: skip
        if not len(gathered.rows):
            raise DataError(f"{place}: no video has {frames} frames")
        sides[side] = Tracked(videos, rate, gathered)
    return Tracks(chosen, sides)
