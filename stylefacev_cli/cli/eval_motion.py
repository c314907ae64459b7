"""`stylefacev eval motion`: how faces move."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import Annotated

import typer

from stylefacev_cli.cli.detectors import DetectorOption, choose_detector
from stylefacev_cli.cli.figures import MOTION_UNITS
from stylefacev_cli.cli.gathering import Laboratory
from stylefacev_cli.cli.options import AsJson, NoCache, SkipDamaged, Threads
from stylefacev_cli.cli.reports import Report, facts_of, laboratory, side_line, tell
from stylefacev_cli.cli.sources import open_sides
from stylefacev_cli.errors import DataError, UsageError
from stylefacev_cli.weights.locate import DEFAULT_MODEL


def motion(
    ctx: typer.Context,
    fake: Annotated[str, typer.Option("--fake", help="Made videos, as for `eval fvd`.")],
    real: Annotated[
        str | None, typer.Option("--real", help="Real videos, to compare with.")
    ] = None,
    clips: Annotated[int, typer.Option("--clips", min=1, help="Videos of each side.")] = 100,
    frames: Annotated[int, typer.Option("--frames", help="Frames of each video.")] = 64,
    fps: Annotated[
        float | None,
        typer.Option("--fps", min=1, help="Frames a second, where the source does not say."),
    ] = None,
    detector: DetectorOption = DEFAULT_MODEL,
    skip_damaged: SkipDamaged = False,
    no_cache: NoCache = False,
    threads: Threads = None,
    as_json: AsJson = False,
) -> None:
    """How faces move: speed, jitter, range, mouth, blinks and drift of their key points.

    Lengths are in distances between the eyes. Jitter without speed beside it says nothing:
    smoothing lowers both.
    """
    with laboratory(ctx.obj, threads, skip_damaged=skip_damaged, use_store=not no_cache) as lab:
        report = measure_motion(lab, fake, real, clips, frames, fps, detector)
        tell(lab, report, table, as_json)


def measure_motion(
    lab: Laboratory,
    fake: str,
    real: str | None,
    clips: int,
    frames: int,
    fps: float | None,
    detector: str,
) -> Report:
    """Measure how faces move; arguments and results as those of the command."""
    from stylefacev_cli.datasets.videos import ClipRule, ItemRule
    from stylefacev_cli.metrics import motion as metric
    from stylefacev_cli.metrics.key_point_tracks import key_point_track

    chosen = choose_detector(detector)
    report: Report = {
        "metric": "motion",
        "protocol": f"motion{clips}_{frames}f",
        "network": f"landmarks of {chosen.name}",
        "network_sha256": chosen.sha256,
        "num_frames": frames,
        "sides": {},
        "warnings": [],
    }
    for name, videos in open_sides(fake, real, frames).items():
        rate = videos.fps or fps
        if rate is None:
            raise UsageError(
                f"{videos.name} does not say how many frames a second it has: give --fps"
            )
        tracks = lab.gather(
            videos, ItemRule(ClipRule(frames)), clips,
            lambda some: (key_point_track(chosen.network, clip) for clip in some),
            {"name": "key points", "sha256": chosen.sha256},
            label=name, unit="videos",
        )  # fmt: skip
        if not len(tracks.rows):
            raise DataError(f"{videos.name}: no video has {frames} frames")
        motions = [metric.measure_motion(track, rate) for track in tracks.rows]
        report["sides"][name] = {
            **facts_of(videos, tracks),
            "fps": rate,
            "motion": asdict(metric.mean_motion(motions)),
            "per_video": [
                {"video": video, **asdict(one)}
                for video, one in zip(tracks.videos, motions, strict=True)
            ],
        }
    rates = {name: facts["fps"] for name, facts in report["sides"].items()}
    if len(set(rates.values())) > 1:
        report["warnings"].append(
            f"the sides have {rates['fake']:g} and {rates['real']:g} frames a second: as many "
            "frames are not as many seconds"
        )
    return report


def table(report: Report) -> Iterator[str]:
    """The report as lines."""
    sides = report["sides"]
    yield f"{'':9}" + "".join(f"{side:>10}" for side in sides)
    for name, unit in MOTION_UNITS.items():
        values = "".join(f"{facts['motion'][name]:10.3f}" for facts in sides.values())
        yield f"{name:9}{values}   {unit}"
    for name, facts in sides.items():
        yield side_line(name, facts, f"videos of {report['num_frames']} frames")
