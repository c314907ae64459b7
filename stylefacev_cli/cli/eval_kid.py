"""`stylefacev eval kid`: what `eval fid` measures, the kernel distance first."""

from __future__ import annotations

from collections.abc import Iterator

import typer

from stylefacev_cli.cli.eval_fid import (
    Fake,
    Features,
    Images,
    PerVideo,
    Real,
    Resize,
    Seed,
    measure_fid,
)
from stylefacev_cli.cli.options import AsJson, NoCache, SkipDamaged, Threads
from stylefacev_cli.cli.reports import Report, laboratory, side_line, tell


def kid(
    ctx: typer.Context,
    fake: Fake,
    real: Real,
    images: Images = 10_000,
    per_video: PerVideo = 1,
    features: Features = "inception-2015",
    resize: Resize = "clean",
    seed: Seed = 0,
    skip_damaged: SkipDamaged = False,
    no_cache: NoCache = False,
    threads: Threads = None,
    as_json: AsJson = False,
) -> None:
    """Kernel distance of images (KID), which few images do not bias, with FID beside it.

    With --features efficientnet-lite0 it works offline, and the numbers bear that name.
    """
    with laboratory(ctx.obj, threads, skip_damaged=skip_damaged, use_store=not no_cache) as lab:
        report = measure_fid(lab, fake, real, images, per_video, features, resize, seed)
        tell(lab, report | {"metric": report["metric"].replace("fid", "kid", 1)}, table, as_json)


def table(report: Report) -> Iterator[str]:
    """The lines that a person reads."""
    kid, floor, coverage = report["kid"], report["kid_floor"], report["coverage"]
    label = report["metric"].upper()
    yield f"{label}   {kid['mean']:.5f} ± {kid['sd']:.5f}   ({report['protocol']})"
    yield (
        f"  floor   {floor['mean']:.5f} ± {floor['sd']:.5f}   "
        f"(real images, {report['floor_images']} each)"
    )
    yield f"FID       {report['fid']:.3f}   (floor {report['floor']:.3f})"
    yield f"precision {coverage['precision']:.3f}   recall {coverage['recall']:.3f}"
    for name, parts in report["sides"].items():
        for facts in parts:
            yield side_line(name, facts, "images")
