"""`stylefacev eval motion`: how faces move."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import Annotated, Any

import typer

from stylefacev_cli.cli.detectors import DetectorOption, choose_detector
from stylefacev_cli.cli.options import AsJson, SkipDamaged, Threads
from stylefacev_cli.cli.reports import prepare, tell
from stylefacev_cli.cli.sources import each_video, open_source
from stylefacev_cli.cli.terminal import Terminal
from stylefacev_cli.errors import UsageError
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
    threads: Threads = None,
    as_json: AsJson = False,
) -> None:
    """How faces move: speed, jitter, range, mouth, blinks and drift of their key points.

    Lengths are in distances between the eyes. Jitter without speed beside it says nothing:
    smoothing lowers both.
    """
    terminal: Terminal = ctx.obj
    prepare(threads)
    report = measure_motion(
        terminal, fake, real, clips=clips, frames=frames, fps=fps, detector=detector,
        skip_damaged=skip_damaged,
    )  # fmt: skip
    tell(terminal, report, table(report), as_json)


def measure_motion(
    terminal: Terminal,
    fake: str,
    real: str | None,
    *,
    clips: int = 100,
    frames: int = 64,
    fps: float | None = None,
    detector: str = DEFAULT_MODEL,
    skip_damaged: bool = False,
) -> dict[str, Any]:
    """The report of `eval motion`; arguments are its options."""
    from stylefacev_cli.data.videos import ClipRule, Taken
    from stylefacev_cli.metrics import motion as metric
    from stylefacev_cli.metrics.tracks import key_point_track

    chosen, rule = choose_detector(detector), ClipRule(frames)
    report: dict[str, Any] = {
        "metric": "motion",
        "protocol": f"motion_{frames}f",
        "network": f"landmarks of {chosen.name}",
        "network_sha256": chosen.sha256,
        "detector": chosen.name,
        "num_frames": frames,
        "sides": {},
        "warnings": [],
    }
    for side, place in (("fake", fake), ("real", real)):
        if place is None:
            continue
        videos, taken = open_source(place, frames), Taken()
        rate = videos.fps or fps
        if rate is None:
            raise UsageError(f"{place} does not say how many frames a second it has: give --fps")
        found = {}
        for video, clip in each_video(terminal, side, videos, rule, clips, skip_damaged, taken):
            found[video.name] = metric.measure_motion(key_point_track(chosen.network, clip), rate)
        facts = {"from": videos.name, "codec": videos.codec, "fps": rate, **asdict(taken)}
        report["sides"][side] = facts | {
            "motion": asdict(metric.mean_motion(list(found.values()))),
            "per_video": [{"video": name, **asdict(one)} for name, one in found.items()],
        }
    return report


def table(report: dict[str, Any]) -> Iterator[str]:
    """The lines that a person reads."""
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
