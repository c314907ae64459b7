"""How different people are from each other, and the motions of one person."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from stylefacev_cli.common.options import MAX_COUNT, group, option
from stylefacev_cli.common.seed_ranges import MAX_SEED
from stylefacev_cli.errors import DataError
from stylefacev_cli.evaluation.landmark_detector import (
    DETECTOR_HELP,
    ChosenDetector,
    choose_detector,
)
from stylefacev_cli.evaluation.session import EvalSession, Reading, Report
from stylefacev_cli.evaluation.video_sources import (
    FAKE_HELP,
    REAL_HELP,
    RateOptions,
    at_one_rate,
    each_video,
    frames_in_common,
    open_sides,
    rate_facts,
    rate_suffix,
)
from stylefacev_cli.weights.locate import DEFAULT_MODEL

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from stylefacev_cli.datasets.videos import Video, VideoSet
    from stylefacev_cli.metrics.diversity import VideoPairs
    from stylefacev_cli.metrics.image_distances import ImageDistance

DEFAULT_FRAMES = 16
MOTION_SEEDS = "0-1"  # of a model that is given without: two motions of each person
ROWS = {
    "people_first_frames": "people, first frames",
    "people_same_index": "people, same index",
    "motions_same_index": "motions, same index",
    "motions_key_points": "motions, key points",
}


@dataclass(frozen=True)
class DiversityRequest:
    """How different people are from each other, and the motions of one person.

    Perceptual distances of first frames and of frames of the same index, and, between motions,
    distances of key points, in distances between the eyes. All clips are kept in memory.
    """

    fake: str = option(
        f"{FAKE_HELP} Of a model, two motions of each seed, or "
        "model:NAME?seeds=0-15&motion_seeds=0-3."
    )
    real: str | None = option(REAL_HELP, default=None)
    clips: int = option("Videos of each side.", default=64, minimum=2, maximum=MAX_COUNT)
    frames: int | None = option(
        "Frames of each video.",
        default=None,
        shown_default=f"{DEFAULT_FRAMES}; of shorter videos as many as all have",
        minimum=1,
        maximum=MAX_COUNT,
    )
    pairs: int = option("Pairs of each kind.", default=200, minimum=1, maximum=MAX_COUNT)
    features: str = option(
        "lpips-alex, lpips-vgg, efficientnet-lite0, or auto: LPIPS if its weights are there.",
        default="auto",
    )
    seed: int = option("Of the choice of pairs.", default=0, minimum=0, maximum=MAX_SEED)
    detector: str = option(DETECTOR_HELP, default=DEFAULT_MODEL)
    rates: RateOptions = group(RateOptions)
    compute: Reading = group(Reading)


@dataclass(frozen=True)
class _Measures:
    """What videos are compared by."""

    distance: ImageDistance
    detector: ChosenDetector
    num_frames: int


def measure_diversity(session: EvalSession, request: DiversityRequest) -> Report:
    """The report of the distances of each side, over pairs of people and pairs of motions.

    Raises:
        UsageError: no such network, or the model has no detector.
        DataError: no video is long enough, or one cannot be read.
        MissingWeightsError: a network's weights are not there and cannot be fetched.
    """
    from stylefacev_cli.metrics.image_distances import image_distance

    detector = choose_detector(request.detector)
    num_needed = request.frames or DEFAULT_FRAMES
    sets = open_sides(request.fake, request.real, num_needed, MOTION_SEEDS)
    sets = at_one_rate(sets, request.clips, request.rates)
    distance = image_distance(request.features)
    num_frames = frames_in_common(
        session, sets, request.frames,
        default=DEFAULT_FRAMES, minimum=1, num_videos=request.clips,
    )  # fmt: skip
    measures = _Measures(distance, detector, num_frames)
    sides: Report = {}
    warnings: list[str] = []
    for side, videos in sets.items():
        sides[side], more = _measure_side(session, request, measures, side, videos)
        warnings += more
    return {
        "metric": f"diversity-{distance.name}",
        "protocol": f"diversity{request.clips}_{num_frames}f_{request.pairs}pairs"
        + rate_suffix(sets),
        "network": distance.name,
        "network_sha256": distance.sha256,
        "detector": detector.name,
        "detector_sha256": detector.sha256,
        "num_frames": num_frames,
        **rate_facts(sets),
        "seed": request.seed,
        "sides": sides,
        "warnings": warnings,
    }


def _measure_side(
    session: EvalSession,
    request: DiversityRequest,
    measures: _Measures,
    side: str,
    videos: VideoSet,
) -> tuple[Report, list[str]]:
    """The numbers of one side, and its warnings."""
    from stylefacev_cli.datasets.videos import ClipRule, Taken
    from stylefacev_cli.metrics import diversity as metric

    taken, used, clips = Taken(), list[Any](), list[Any]()
    rule = ClipRule(measures.num_frames)
    for video, clip in each_video(session, side, videos, rule, request.clips, taken):
        used.append(video)
        clips.append(clip)
    if len({clip.shape for clip in clips}) > 1:
        raise DataError(f"{videos.name}: videos of several sizes cannot be compared")
    people = [video.person or video.name for video in used]
    chosen = metric.draw_pairs(people, request.pairs, request.seed)
    distances = {}
    with session.listener.progress(len(chosen.people) + len(chosen.motions), "pairs") as advance:
        for a, b in chosen.people + chosen.motions:
            distances[a, b] = measures.distance.between(clips[a], clips[b])  # [T]
            advance(side)
    numbers = {
        "people_first_frames": [distances[pair][0] for pair in chosen.people],
        "people_same_index": [distances[pair].mean() for pair in chosen.people],
        "motions_same_index": [distances[pair].mean() for pair in chosen.motions],
        "motions_key_points": _key_point_distances(measures.detector, clips, chosen),
    }
    over_pairs = {name: metric.pair_statistics(values) for name, values in numbers.items()}
    facts = {
        "from": videos.name,
        "codec": videos.codec,
        "fps": videos.fps,
        **asdict(taken),
        "diversity": {name: one and asdict(one) for name, one in over_pairs.items()},
        "per_video": list(_per_video(used, chosen, distances)),
    }
    return facts, list(_warnings(side, used, chosen))


def _key_point_distances(
    detector: ChosenDetector, clips: list[NDArray[np.uint8]], chosen: VideoPairs
) -> list[float]:
    """Distances of the key points of each pair of motions, in distances between the eyes."""
    from stylefacev_cli.metrics.diversity import key_point_distance
    from stylefacev_cli.metrics.key_point_tracks import key_point_track

    moving = sorted({number for pair in chosen.motions for number in pair})
    tracks = {number: key_point_track(detector.network, clips[number]) for number in moving}
    return [key_point_distance(tracks[a], tracks[b]) for a, b in chosen.motions]


def _per_video(
    videos: list[Video], chosen: VideoPairs, distances: dict[tuple[int, int], Any]
) -> Iterator[dict[str, Any]]:
    """The mean distance of each video to those it was paired with."""
    for number, video in enumerate(videos):
        means: dict[str, float | None] = {}
        for kind, pairs in (("people", chosen.people), ("motions", chosen.motions)):
            of_it = [float(distances[pair].mean()) for pair in pairs if number in pair]
            means[f"{kind}_same_index"] = sum(of_it) / len(of_it) if of_it else None
        yield {"video": video.name, **means}


def _warnings(side: str, videos: list[Video], chosen: VideoPairs) -> Iterator[str]:
    if any(video.person is None for video in videos):
        yield f"{side}: who is in a video is not known; each was taken for somebody else"
    if not chosen.people:
        yield f"{side}: there are no two people to compare"
    if not chosen.motions:
        yield f"{side}: nobody is there twice, so no motions of one person were compared"


def diversity_table(report: Report) -> Iterator[str]:
    """The report as lines."""
    sides = report["sides"]
    yield report["metric"]
    yield f"{'':22}" + "".join(f"{f'{side} (pairs)':>26}" for side in sides)
    for name, label in ROWS.items():
        cells = [facts["diversity"][name] for facts in sides.values()]
        shown = (
            f"{one['mean']:.5f} ± {one['sd']:.5f} ({one['num_pairs']})" if one else "–"
            for one in cells
        )
        unit = "   eye distances" if name == "motions_key_points" else ""
        yield f"{label:22}" + "".join(f"{cell:>26}" for cell in shown) + unit
    for side, facts in sides.items():
        yield f"{side:9}{facts['used']} videos of {facts['from']}, {report['num_frames']} frames"
