"""How faces move: speed, jitter, range, mouth, blinks and drift of their key points."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stylefacev_cli.common.options import MAX_COUNT, group, option
from stylefacev_cli.errors import DataError
from stylefacev_cli.evaluation.landmark_detector import DETECTOR_HELP, choose_detector
from stylefacev_cli.evaluation.reports.headline_figures import MOTION_UNITS
from stylefacev_cli.evaluation.session import (
    EvalSession,
    Report,
    StoredReading,
    side_facts,
    side_line,
)
from stylefacev_cli.evaluation.video_sources import (
    FAKE_HELP,
    REAL_HELP,
    RateOptions,
    at_one_rate,
    frame_rates,
    frames_in_common,
    open_sides,
    rate_facts,
    rate_suffix,
    too_short,
)
from stylefacev_cli.weights.locate import DEFAULT_MODEL

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from stylefacev_cli.datasets.videos import VideoSet
    from stylefacev_cli.evaluation.feature_store import Gathered

DEFAULT_FRAMES = 64
DEFAULT_FPS = 25.0  # of a driver that does not say
MAX_DRIVER_FRAMES = 10_000


@dataclass(frozen=True)
class MotionRequest:
    """How faces move: speed, jitter, range, mouth, blinks and drift of their key points.

    Lengths are in distances between the eyes. Jitter without speed beside it says nothing:
    smoothing lowers both.
    """

    fake: str = option(FAKE_HELP)
    real: str | None = option(REAL_HELP, default=None)
    clips: int = option("Videos of each side.", default=100, minimum=1, maximum=MAX_COUNT)
    frames: int | None = option(
        "Frames of each video.",
        default=None,
        shown_default=f"{DEFAULT_FRAMES}; of shorter videos as many as all have",
        minimum=8,
        maximum=MAX_COUNT,
    )
    driver: str | None = option(
        "A video that the generated ones follow frame by frame: how well turns, mouth, smile, "
        "brows, eyes and gaze do, by the face mesh.",
        default=None,
        metavar="VIDEO",
    )
    rates: RateOptions = group(RateOptions)
    detector: str = option(DETECTOR_HELP, default=DEFAULT_MODEL)
    compute: StoredReading = group(StoredReading)


def measure_motion(session: EvalSession, request: MotionRequest) -> Report:
    """The report of how the faces of each side move, on the mean and video by video.

    Raises:
        UsageError: the model has no detector, or a frame rate is not known.
        DataError: no video is long enough, or one cannot be read.
        MissingWeightsError: there is no such model.
    """
    from stylefacev_cli.datasets.videos import ClipRule, ItemRule
    from stylefacev_cli.metrics.key_point_tracks import key_point_track
    from stylefacev_cli.metrics.motion import MIN_FRAMES

    chosen = choose_detector(request.detector)
    sets = open_sides(request.fake, request.real, request.frames or DEFAULT_FRAMES)
    sets = at_one_rate(sets, request.clips, request.rates)
    for videos in sets.values():  # an unknown rate is refused before the work, not after it
        frame_rates(videos, [videos.videos[0].name], request.rates.fps)
    num_frames = frames_in_common(
        session, sets, request.frames,
        default=DEFAULT_FRAMES, minimum=MIN_FRAMES, num_videos=request.clips,
    )  # fmt: skip
    sides = {}
    for side, videos in sets.items():
        tracks = session.gather(
            videos, ItemRule(ClipRule(num_frames)), request.clips,
            lambda clips: (key_point_track(chosen.network, clip) for clip in clips),
            {"name": "key points", "sha256": chosen.sha256},
            label=side, unit="videos",
        )  # fmt: skip
        if not len(tracks.rows):
            raise too_short(videos, num_frames)
        sides[side] = {**side_facts(videos, tracks), **_summary(videos, tracks, request.rates.fps)}
    followed = {}
    if request.driver is not None:
        followed = {"follow_through": _follow_through(session, request.driver, sets["fake"])}
    return {
        "metric": "motion",
        "protocol": f"motion{request.clips}_{num_frames}f" + rate_suffix(sets),
        "network": f"landmarks of {chosen.name}",
        "network_sha256": chosen.sha256,
        "num_frames": num_frames,
        **rate_facts(sets),
        "sides": sides,
        **followed,
        "warnings": list(_warnings(sides)),
    }


def _summary(videos: VideoSet, tracks: Gathered, fps: float | None) -> Report:
    """The numbers of one side; each video is measured at its own frame rate."""
    from stylefacev_cli.metrics import motion as metric

    rates = frame_rates(videos, tracks.videos, fps)
    motions = [
        metric.measure_motion(track, rate) for track, rate in zip(tracks.rows, rates, strict=True)
    ]
    return {
        "fps": rates[0] if len(set(rates)) == 1 else None,
        "motion": asdict(metric.mean_motion(motions)),
        "per_video": [
            {"video": video, **asdict(one)}
            for video, one in zip(tracks.videos, motions, strict=True)
        ],
    }


def _follow_through(session: EvalSession, driver: str, videos: VideoSet) -> Report:
    """How the faces of videos follow that of the driver, video by video and in the median."""
    import numpy as np

    from stylefacev_cli.detection.face_finders import TrackRule
    from stylefacev_cli.detection.mesh_finder import MeshFinder
    from stylefacev_cli.media import frame_rate, read_frames
    from stylefacev_cli.motion import follow_through as metric
    from stylefacev_cli.motion.face_signals import SIGNAL_NAMES

    path = Path(driver)
    finder = MeshFinder.load("cpu")
    rule = TrackRule(frame_rate(path) or DEFAULT_FPS)

    def points(frames: Iterator[NDArray[np.uint8]], name: str) -> NDArray[np.float32]:
        track = finder.track(frames, rule, name)
        track.check_whole(name)
        return track.points

    def figures(values: NDArray[Any]) -> dict[str, float]:
        return dict(zip(SIGNAL_NAMES, map(float, values), strict=True))

    with session.listener.doing(f"following the face of {path.name}"):
        of_driver = points(islice(read_frames(path), MAX_DRIVER_FRAMES), driver)
    per_video, kept = [], []
    for video in videos.videos:
        with session.listener.doing(f"following the face of {video.name}"):
            of_video = points(iter(video.read(0, 1, len(of_driver))), video.name)
        num = min(len(of_driver), len(of_video))
        if num < metric.MIN_FRAMES:
            raise DataError(f"{video.name}: {num} frames beside the driver's are too few")
        one = metric.follow_through(of_driver[:num], of_video[:num])
        kept.append(one)
        clear = figures(one.is_clear)
        per_video.append({
            "video": video.name, "frames": num, "correlation": figures(one.correlation),
            "gain": figures(one.gain), "clear": [name for name in clear if clear[name]],
        })  # fmt: skip
    medians = {
        name: figures(np.median([getattr(one, name) for one in kept], axis=0))
        for name in ("correlation", "gain", "driver_range", "driver_jitter")
    }
    return {"driver": driver, **medians, "per_video": per_video}


def _warnings(sides: dict[str, Report]) -> Iterator[str]:
    rates = {side: facts["fps"] for side, facts in sides.items()}
    for side, rate in rates.items():
        if rate is None:
            yield f"{side}: videos of several frame rates; each was measured at its own"
    known = [rate for rate in rates.values() if rate is not None]
    if len(set(known)) > 1:
        yield (
            f"the sides have {known[0]:g} and {known[1]:g} frames a second: as many frames are "
            "not as many seconds"
        )


def motion_table(report: Report) -> Iterator[str]:
    """The report as lines."""
    sides = report["sides"]
    yield f"{'':9}" + "".join(f"{side:>10}" for side in sides)
    for name, unit in MOTION_UNITS.items():
        values = "".join(f"{facts['motion'][name]:10.3f}" for facts in sides.values())
        yield f"{name:9}{values}   {unit}"
    for side, facts in sides.items():
        yield side_line(side, facts, f"videos of {report['num_frames']} frames")
    if "follow_through" in report:
        yield from _follow_through_table(report["follow_through"])


def _follow_through_table(followed: Report) -> Iterator[str]:
    from stylefacev_cli.motion.follow_through import CLEAR

    yield f"{'follows':9}{'correlation':>12}{'gain':>8}   the driver {followed['driver']}, median"
    for name, correlation in followed["correlation"].items():
        is_clear = followed["driver_range"][name] > CLEAR * followed["driver_jitter"][name]
        note = "" if is_clear else "   (the driver hardly moves it)"
        yield f"{name:9}{correlation:12.2f}{followed['gain'][name]:8.2f}{note}"
