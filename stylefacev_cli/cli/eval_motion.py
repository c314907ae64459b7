"""`stylefacev eval motion`: how faces move."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

import typer

from stylefacev_cli.cli.detectors import DetectorOption
from stylefacev_cli.cli.figures import MOTION_UNITS
from stylefacev_cli.cli.gathering import Laboratory
from stylefacev_cli.cli.options import AsJson, NoCache, SkipDamaged, Threads
from stylefacev_cli.cli.reports import Report, facts_of, laboratory, plain, side_line, tell
from stylefacev_cli.cli.tracking import gather_tracks
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
    from stylefacev_cli.metrics import motion as metric

    found = gather_tracks(lab, fake, real, clips, frames, fps, detector)
    report: Report = {
        "metric": "motion",
        "protocol": f"motion{clips}_{frames}f",
        "network": f"landmarks of {found.detector.name}",
        "network_sha256": found.detector.sha256,
        "num_frames": frames,
        "sides": {},
        "warnings": [],
    }
    for name, tracked in found.sides.items():
        motions = [metric.measure_motion(track, tracked.fps) for track in tracked.tracks.rows]
        report["sides"][name] = {
            **facts_of(tracked.videos, tracked.tracks),
            "fps": tracked.fps,
            "motion": plain(metric.mean_motion(motions)),
            "per_video": [
                {"video": video, **plain(one)}
                for video, one in zip(tracked.tracks.videos, motions, strict=True)
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
