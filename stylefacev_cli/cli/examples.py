"""The pictures of a report: frames of the videos that did worst and best."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from stylefacev_cli.cli.report_page import Strip
from stylefacev_cli.cli.sources import open_source

if TYPE_CHECKING:
    from stylefacev_cli.data.videos import VideoSet

NUM_SHOWN = 8
NUM_EACH = 2  # of the worst, and of the best


def worst_and_best(per_video: Iterable[dict[str, Any]], key: str) -> list[tuple[str, str]]:
    """The videos with the lowest and with the highest number: (what it is, name) of each."""
    ordered = sorted(per_video, key=lambda one: (one[key], one["video"]))
    chosen = ordered[:NUM_EACH] + ordered[max(NUM_EACH, len(ordered) - NUM_EACH) :]
    return [
        (f"{'lowest' if place < NUM_EACH else 'highest'} {key}, {one[key]:.3g}", one["video"])
        for place, one in enumerate(chosen)
    ]


def strips_of(place: str, num_frames: int, chosen: list[tuple[str, str]]) -> list[Strip]:
    """Frames of some videos of a source, evenly spread over the first `num_frames`."""
    videos: VideoSet = open_source(place, num_frames)
    by_name = {video.name: video for video in videos.videos}
    step = max(1, (num_frames - 1) // (NUM_SHOWN - 1))
    return [
        Strip(f"{what}: {name}", list(by_name[name].read(0, step, NUM_SHOWN)))
        for what, name in chosen
        if name in by_name
    ]
