"""Whether people stay who they are: cosines of face features over time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from stylefacev_cli.common.options import MAX_COUNT, group, option
from stylefacev_cli.evaluation.reports.headline_figures import curve_line
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

if TYPE_CHECKING:
    from stylefacev_cli.datasets.videos import VideoSet
    from stylefacev_cli.evaluation.feature_store import Gathered

DEFAULT_FRAMES = 64
ROWS = {
    "mean_to_first": "to the first frame",
    "last_to_first": "  its last quarter",
    "neighbours": "between neighbours",
    "acd": "ACD",
}


@dataclass(frozen=True)
class IdentityRequest:
    """Whether a person stays the same: cosines of face features over time, and ACD.

    Read them beside the cosine of other people: 1 is the same picture, that one is somebody else.
    Videos that hardly move keep their identity best: see `eval motion` as well.
    """

    fake: str = option(FAKE_HELP)
    real: str | None = option(REAL_HELP, default=None)
    clips: int = option("Videos of each side.", default=50, minimum=1, maximum=MAX_COUNT)
    frames: int | None = option(
        "Frames of each video.",
        default=None,
        shown_default=f"{DEFAULT_FRAMES}; of shorter videos as many as all have",
        minimum=2,
        maximum=MAX_COUNT,
    )
    features: str = option(
        "arcface-iresnet50, dlib-face, or auto: ArcFace if its weights are there.", default="auto"
    )
    rates: RateOptions = group(RateOptions)
    compute: StoredReading = group(StoredReading)


def measure_identity(session: EvalSession, request: IdentityRequest) -> Report:
    """The report of the cosines of each side, their curves over time, and ACD.

    Raises:
        UsageError: no such network.
        DataError: no video is long enough, or one cannot be read.
        MissingWeightsError: the network's weights are not there and cannot be fetched.
    """
    from stylefacev_cli.datasets.videos import ClipRule, ItemRule
    from stylefacev_cli.metrics.face_networks import face_network
    from stylefacev_cli.metrics.identity import MIN_FRAMES

    sets = open_sides(request.fake, request.real, request.frames or DEFAULT_FRAMES)
    sets = at_one_rate(sets, request.clips, request.rates)
    network = face_network(request.features)
    num_frames = frames_in_common(
        session, sets, request.frames,
        default=DEFAULT_FRAMES, minimum=MIN_FRAMES, num_videos=request.clips,
    )  # fmt: skip
    sides: Report = {}
    for side, videos in sets.items():
        gathered = session.gather(
            videos, ItemRule(ClipRule(num_frames)), request.clips,
            lambda clips: (network.embed(clip) for clip in clips),
            {"name": network.name, "sha256": network.sha256},
            label=side, unit="videos",
        )  # fmt: skip
        if not len(gathered.rows):
            raise too_short(videos, num_frames)
        sides[side] = {
            **side_facts(videos, gathered),
            "fps": _common_rate(videos, gathered.videos),
            **_summary(videos, gathered),
        }
    report: Report = {
        "metric": f"identity-{network.name}",
        "protocol": f"identity{request.clips}_{num_frames}f" + rate_suffix(sets),
        "network": network.name,
        "network_sha256": network.sha256,
        "num_frames": num_frames,
        **rate_facts(sets),
        "sides": sides,
    }
    if request.real is not None:
        report["ratio"] = _ratios(sides["fake"]["identity"], sides["real"]["identity"])
    return report | {"warnings": list(_warnings(report))}


def _common_rate(videos: VideoSet, names: list[str]) -> float | None:
    """Frames a second of all videos; None if they differ, or if it is not known."""
    rates = set(frame_rates(videos, names, otherwise=0.0))
    return rates.pop() or None if len(rates) == 1 else None


def _ratios(fake: dict[str, Any], real: dict[str, Any]) -> dict[str, float | None]:
    """Each mean of the generated side, divided by that of the real one."""
    return {
        name: fake[name]["mean"] / real[name]["mean"] if real[name]["mean"] else None
        for name in ROWS
    }


def _summary(videos: VideoSet, gathered: Gathered) -> Report:
    """The numbers of one side."""
    from stylefacev_cli.metrics import identity as metric

    measured = [metric.measure_identity(embeddings) for embeddings in gathered.rows]
    mean, numbers = metric.mean_identity(measured), metric.spread(measured)
    names = gathered.videos
    person_of = {video.name: video.person for video in videos.videos}
    # Who is in a video is not always known: each is then taken for somebody else.
    people = [person_of[name] or name for name in names]
    others = metric.other_people([embeddings[0] for embeddings in gathered.rows], people)
    ranked = sorted(zip(names, measured, strict=True), key=lambda pair: pair[1].mean_to_first)
    extremes = [{"video": name, "mean_to_first": one.mean_to_first} for name, one in ranked]
    return {
        "identity": {name: asdict(number) for name, number in numbers.items()},
        "curve": {"to_first": mean.to_first, "to_previous": mean.to_previous},
        "other_people": None if others is None else asdict(others),
        "kept": None if others is None else others.kept(mean.mean_to_first),
        "people_known": all(person_of[name] is not None for name in names),
        "worst": extremes[: metric.NUM_EXTREMES],
        "best": extremes[::-1][: metric.NUM_EXTREMES],
        "per_video": [
            {"video": name, **asdict(one)} for name, one in zip(names, measured, strict=True)
        ],
    }


def _warnings(report: Report) -> Iterator[str]:
    sides = report["sides"]
    rates = {facts["fps"] for facts in sides.values() if facts["fps"]}
    if len(rates) > 1:
        yield "the sides have different frames a second: their curves cover different times"
    for side, facts in sides.items():
        if facts["other_people"] is None:
            yield f"{side}: fewer than two people, so there is no cosine of other people"
        elif not facts["people_known"]:
            yield f"{side}: who is in a video is not known; each was taken for somebody else"


def identity_table(report: Report) -> Iterator[str]:
    """The report as lines."""
    sides, ratio = report["sides"], report.get("ratio")
    yield (
        f"{report['metric']:20}"
        + "".join(f"{side:>18}" for side in sides)
        + (f"{'ratio':>8}" if ratio else "")
    )
    for name, label in ROWS.items():
        cells = [facts["identity"][name] for facts in sides.values()]
        line = f"{label:20}" + "".join(f"{c['mean']:9.4f} ± {c['sd']:.4f}" for c in cells)
        last = ratio and ratio[name]
        yield line + (f"{last:8.3f}" if last is not None else "")
    others = [facts["other_people"] for facts in sides.values()]
    yield f"{'other people':20}" + "".join(
        f"{one['mean']:9.4f} ± {one['sd']:.4f}" if one else f"{'–':>18}" for one in others
    )
    kept = [facts["kept"] for facts in sides.values()]
    yield f"{'identity kept':20}" + "".join(
        f"{'–':>18}" if share is None else f"{share:9.1%}{'':9}" for share in kept
    )
    yield from _curve_lines(sides)
    for side, facts in sides.items():
        for what in ("worst", "best"):
            shown = (f"{one['video']} ({one['mean_to_first']:.4f})" for one in facts[what])
            yield f"{side} {what:6} {', '.join(shown)}"
    for side, facts in sides.items():
        yield side_line(side, facts, f"videos of {report['num_frames']} frames")


def _curve_lines(sides: Report) -> Iterator[str]:
    """Curves over time, one a line."""
    curves = {
        f"{side} {what}": facts["curve"][key]
        for key, what in (("to_first", "to first"), ("to_previous", "neighbours"))
        for side, facts in sides.items()
    }
    others = [facts["other_people"] for facts in sides.values() if facts["other_people"]]
    low = min(*(one["mean"] for one in others), *(min(curve) for curve in curves.values()))
    yield f"over time, from {low:.4f} to 1:"
    for label, curve in curves.items():
        yield f"  {label:17} {curve_line(curve, low, 1.0)}"
