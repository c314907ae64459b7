"""`stylefacev eval fid`: Fréchet and kernel distances of images."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import Annotated

import typer

from stylefacev_cli.cli.gathering import Laboratory
from stylefacev_cli.cli.options import AsJson, NoCache, SkipDamaged, Threads
from stylefacev_cli.cli.reports import Report, facts_of, laboratory, side_line, tell
from stylefacev_cli.cli.sources import open_source
from stylefacev_cli.errors import UsageError

Fake = Annotated[str, typer.Option("--fake", help="Made images or videos, as for `eval fvd`.")]
Real = Annotated[
    list[str], typer.Option("--real", help="Real ones; given twice, an even mix of both.")
]
Images = Annotated[int, typer.Option("--images", min=2, help="Images of each side.")]
PerVideo = Annotated[
    int, typer.Option("--per-video", min=1, help="Frames taken of each video, evenly spread.")
]
Features = Annotated[str, typer.Option("--features", help="inception-2015 or efficientnet-lite0.")]
Resize = Annotated[str, typer.Option("--resize", help="clean or tensorflow1.")]
Seed = Annotated[
    int, typer.Option("--seed", min=0, help="Of the order of real images and the subsets.")
]


def fid(
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
    """Fréchet distance of images (FID), with KID, precision and recall, and the floor.

    With --features efficientnet-lite0 it works offline, and the numbers bear that name.
    """
    with laboratory(ctx.obj, threads, skip_damaged=skip_damaged, use_store=not no_cache) as lab:
        report = measure_fid(lab, fake, real, images, per_video, features, resize, seed)
        tell(lab, report, table, as_json)


def measure_fid(
    lab: Laboratory,
    fake: str,
    real: list[str],
    images: int,
    per_video: int,
    features: str,
    resize: str,
    seed: int,
) -> Report:
    """Measure FID, KID, precision and recall; arguments and results as those of the command."""
    from stylefacev_cli.datasets.videos import ItemRule
    from stylefacev_cli.metrics import fid as metric
    from stylefacev_cli.metrics.feature_networks import image_network

    if resize not in metric.RESIZES:
        raise UsageError(f"no resize rule {resize!r}; there are {', '.join(metric.RESIZES)}")
    network = image_network(features)
    facts = {"name": network.name, "sha256": network.sha256, "resize": resize}
    found, sides = {}, {}
    for name, places in {"fake": [fake], "real": real}.items():
        # Twice as many real images, if there are: their two halves are the floor.
        count = images * (2 if name == "real" else 1)
        rule = ItemRule(per_video=per_video, seed=seed if name == "real" else None)
        sets = [open_source(place, per_video) for place in places]
        parts = [
            lab.gather(
                one, rule, -(-count // len(sets)),
                lambda some: metric.feature_rows(network, some, resize),
                facts, label=name, unit="images",
            )
            for one in sets
        ]  # fmt: skip
        found[name] = metric.even_mix([part.rows for part in parts])
        sides[name] = [facts_of(one, part) for one, part in zip(sets, parts, strict=True)]
    result = metric.compare_images(found["fake"], found["real"], images, seed)
    return {
        "metric": "fid" if features == "inception-2015" else f"fid-{features}",
        "protocol": f"{features}_{resize}_{images}",
        "network": network.name,
        "network_sha256": network.sha256,
        "resize": f"{metric.RESIZES[resize]}, {network.size_px} px",
        "per_video": per_video,
        "seed": seed,
        "sides": sides,
        **asdict(result),
    }


def table(report: Report) -> Iterator[str]:
    """The report as lines."""
    kid, coverage = report["kid"], report["coverage"]
    yield f"{report['metric'].upper()}   {report['fid']:.3f}   ({report['protocol']})"
    yield f"  floor   {report['floor']:.3f}   (real images, {report['floor_images']} each)"
    yield f"KID       {kid['mean']:.5f} ± {kid['sd']:.5f}"
    yield f"precision {coverage['precision']:.3f}   recall {coverage['recall']:.3f}"
    for name, parts in report["sides"].items():
        for facts in parts:
            yield side_line(name, facts, "images")
