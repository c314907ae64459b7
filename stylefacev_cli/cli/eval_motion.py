"""`stylefacev eval motion`: how faces move."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import Annotated, Any

import typer

from stylefacev_cli.cli.options import AsJson, SkipDamaged, Threads
from stylefacev_cli.cli.reports import prepare, tell
from stylefacev_cli.cli.sources import open_source
from stylefacev_cli.cli.terminal import Terminal
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
    detector: Annotated[
        str, typer.Option("--detector", help="Model whose landmark detector finds the key points.")
    ] = DEFAULT_MODEL,
    skip_damaged: SkipDamaged = False,
    threads: Threads = None,
    as_json: AsJson = False,
) -> None:
    """How faces move: speed, jitter, range, mouth, blinks and drift of their key points.

    Lengths are in distances between the eyes. Jitter without speed beside it says nothing:
    smoothing lowers both.
    """
    from stylefacev_cli.data.videos import ClipRule, Taken, clips_of
    from stylefacev_cli.metrics.motion import mean_motion, measure_motion
    from stylefacev_cli.metrics.tracks import key_point_tracks
    from stylefacev_cli.weights.bundle import load_bundle

    terminal: Terminal = ctx.obj
    prepare(threads)
    bundle, rule = load_bundle(detector), ClipRule(frames)
    landmark_detector = bundle.networks.landmarks
    if landmark_detector is None:
        raise UsageError(f"--detector {detector}: this model has no landmark detector")
    report: dict[str, Any] = {
        "metric": "motion",
        "detector": f"{bundle.manifest.name} {bundle.manifest.sha256[:12]}",
        "num_frames": frames,
        "sides": {},
    }
    for side, place in (("fake", fake), ("real", real)):
        if place is None:
            continue
        videos, taken = open_source(place, frames), Taken()
        rate = videos.fps or fps
        if rate is None:
            raise UsageError(f"{place} does not say how many frames a second it has: give --fps")
        chosen = clips_of(videos, rule, clips, seed=None, skip_damaged=skip_damaged, taken=taken)
        found = []
        with terminal.progress(min(clips, len(videos)), "videos") as advance:
            for track in key_point_tracks(landmark_detector, chosen):
                found.append(measure_motion(track, rate))
                advance(side)
        if not found:
            raise DataError(f"{place}: no video has {frames} frames")
        facts = {"from": videos.name, "codec": videos.codec, "fps": rate, **asdict(taken)}
        report["sides"][side] = facts | {"motion": asdict(mean_motion(found))}
    tell(terminal, report, _motion_table(report), as_json)


def _motion_table(report: dict[str, Any]) -> Iterator[str]:
    units = {
        "speed": "eye distances / s",
        "jitter": "eye distances / s²",
        "range": "eye distances",
        "mouth": "eye distances",
        "blinks": "a minute",
        "drift": "eye distances",
    }
    sides = report["sides"]
    yield f"{'':9}" + "".join(f"{side:>10}" for side in sides)
    for name, unit in units.items():
        values = "".join(f"{facts['motion'][name]:10.3f}" for facts in sides.values())
        yield f"{name:9}{values}   {unit}"
    for side, facts in sides.items():
        yield f"{side:9}{facts['used']} videos of {facts['from']}, {report['num_frames']} frames"
