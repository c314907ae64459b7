"""`stylefacev eval identity`: whether people stay who they are."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from stylefacev_cli.cli.charts import curve_line
from stylefacev_cli.cli.gathering import Laboratory
from stylefacev_cli.cli.options import AsJson, NoCache, SkipDamaged, Threads
from stylefacev_cli.cli.reports import Report, facts_of, laboratory, side_line, tell
from stylefacev_cli.cli.sources import open_sides
from stylefacev_cli.errors import DataError

if TYPE_CHECKING:
    from stylefacev_cli.datasets.videos import VideoSet
    from stylefacev_cli.evaluation.feature_store import Gathered

ROWS = {
    "mean_to_first": "to the first frame",
    "last_to_first": "  its last quarter",
    "neighbours": "between neighbours",
    "acd": "ACD",
}


def identity(
    ctx: typer.Context,
    fake: Annotated[str, typer.Option("--fake", help="Made videos, as for `eval fvd`.")],
    real: Annotated[
        str | None, typer.Option("--real", help="Real videos, to compare with.")
    ] = None,
    clips: Annotated[int, typer.Option("--clips", min=1, help="Videos of each side.")] = 50,
    frames: Annotated[int, typer.Option("--frames", min=2, help="Frames of each video.")] = 64,
    features: Annotated[
        str,
        typer.Option(
            "--features",
            help="arcface-iresnet50, dlib-face, or auto: ArcFace if its weights are there.",
        ),
    ] = "auto",
    skip_damaged: SkipDamaged = False,
    no_cache: NoCache = False,
    threads: Threads = None,
    as_json: AsJson = False,
) -> None:
    """Whether a person stays the same: cosines of face features over time, and ACD.

    Read them beside the cosine of other people: 1 is the same picture, that one is somebody else.
    Videos that hardly move keep their identity best: see `eval motion` as well.
    """
    with laboratory(ctx.obj, threads, skip_damaged=skip_damaged, use_store=not no_cache) as lab:
        report = measure_identity(lab, fake, real, clips=clips, frames=frames, features=features)
        tell(lab, report, table, as_json)


def measure_identity(
    lab: Laboratory,
    fake: str,
    real: str | None,
    *,
    clips: int = 50,
    frames: int = 64,
    features: str = "auto",
) -> Report:
    """The report of `eval identity`; arguments are its options."""
    from stylefacev_cli.datasets.videos import ClipRule, ItemRule
    from stylefacev_cli.metrics.face_networks import face_network

    sets = open_sides(fake, real, frames)
    network = face_network(features)
    sides: Report = {}
    for name, videos in sets.items():
        gathered = lab.gather(
            videos, ItemRule(ClipRule(frames)), clips,
            lambda some: (network.embed(clip) for clip in some),
            {"name": network.name, "sha256": network.sha256},
            label=name, unit="videos",
        )  # fmt: skip
        if not len(gathered.rows):
            raise DataError(f"{videos.name}: no video has {frames} frames")
        sides[name] = {
            **facts_of(videos, gathered), "fps": videos.fps, **_summary(videos, gathered),
        }  # fmt: skip
    report: Report = {
        "metric": f"identity-{network.name}",
        "protocol": f"identity{clips}_{frames}f",
        "network": network.name,
        "network_sha256": network.sha256,
        "num_frames": frames,
        "sides": sides,
    }
    if real is not None:
        means = {name: facts["identity"] for name, facts in sides.items()}
        report["ratio"] = {
            name: means["fake"][name]["mean"] / means["real"][name]["mean"]
            if means["real"][name]["mean"]
            else None
            for name in ROWS
        }
    return report | {"warnings": list(_warnings(report))}


def _summary(videos: VideoSet, gathered: Gathered) -> Report:
    from stylefacev_cli.metrics import identity as metric

    found = [metric.measure_identity(embeddings) for embeddings in gathered.rows]
    mean, numbers = metric.mean_identity(found), metric.spread(found)
    names = gathered.videos
    who = {video.name: video.person for video in videos.videos}
    # Who is in a video is not always known: each is then taken for somebody else.
    people = [who[name] or name for name in names]
    others = metric.other_people([embeddings[0] for embeddings in gathered.rows], people)
    ranked = sorted(zip(names, found, strict=True), key=lambda pair: pair[1].mean_to_first)
    extremes = [{"video": name, "mean_to_first": one.mean_to_first} for name, one in ranked]
    return {
        "identity": {name: asdict(number) for name, number in numbers.items()},
        "curve": {"to_first": mean.to_first, "to_previous": mean.to_previous},
        "other_people": None if others is None else asdict(others),
        "kept": None if others is None else others.kept(mean.mean_to_first),
        "people_known": all(who[name] is not None for name in names),
        "worst": extremes[: metric.NUM_EXTREMES],
        "best": extremes[::-1][: metric.NUM_EXTREMES],
        "per_video": [
            {"video": name, **asdict(one)} for name, one in zip(names, found, strict=True)
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


def table(report: Report) -> Iterator[str]:
    """The lines that a person reads."""
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
    curves = {
        f"{side} {what}": facts["curve"][key]
        for key, what in (("to_first", "to first"), ("to_previous", "neighbours"))
        for side, facts in sides.items()
    }
    low = min(*(one["mean"] for one in others if one), *(min(c) for c in curves.values()))
    yield f"over time, from {low:.4f} to 1:"
    for label, curve in curves.items():
        yield f"  {label:17} {curve_line(curve, low, 1.0)}"
    for side, facts in sides.items():
        for what in ("worst", "best"):
            shown = (f"{one['video']} ({one['mean_to_first']:.4f})" for one in facts[what])
            yield f"{side} {what:6} {', '.join(shown)}"
    for name, facts in sides.items():
        yield side_line(name, facts, f"videos of {report['num_frames']} frames")
