"""`stylefacev eval fid`: Fréchet and kernel distances of images."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from functools import partial
from typing import Annotated, Any

import typer

from stylefacev_cli.cli.options import AsJson, SkipDamaged, Threads
from stylefacev_cli.cli.reports import prepare, tell
from stylefacev_cli.cli.sources import open_source
from stylefacev_cli.cli.terminal import Terminal
from stylefacev_cli.errors import UsageError


def fid(
    ctx: typer.Context,
    fake: Annotated[
        str,
        typer.Option("--fake", help="Made images or videos, as for `eval fvd`."),
    ],
    real: Annotated[
        list[str], typer.Option("--real", help="Real ones; given twice, an even mix of both.")
    ],
    images: Annotated[int, typer.Option("--images", min=2, help="Images of each side.")] = 10_000,
    per_video: Annotated[
        int, typer.Option("--per-video", min=1, help="Frames taken of each video, evenly spread.")
    ] = 1,
    features: Annotated[
        str, typer.Option("--features", help="inception-2015 or efficientnet-lite0.")
    ] = "inception-2015",
    resize: Annotated[str, typer.Option("--resize", help="clean or tensorflow1.")] = "clean",
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of the order of real images.")] = 0,
    skip_damaged: SkipDamaged = False,
    threads: Threads = None,
    as_json: AsJson = False,
) -> None:
    """Fréchet distance of images (FID), with KID, precision and recall, and the floor.

    With --features efficientnet-lite0 it works offline, and the numbers bear that name.
    """
    report = measure_fid(
        ctx.obj, fake, real, images, per_video, features, resize, seed, skip_damaged, threads
    )
    tell(ctx.obj, report, table(report), as_json)


def measure_fid(
    terminal: Terminal,
    fake: str,
    real: list[str],
    images: int = 10_000,
    per_video: int = 1,
    features: str = "inception-2015",
    resize: str = "clean",
    seed: int = 0,
    skip_damaged: bool = False,
    threads: int | None = None,
) -> dict[str, Any]:
    """The report of `eval fid`; arguments are its options."""
    from stylefacev_cli.data.videos import Taken, images_of, mixed
    from stylefacev_cli.metrics import fid as metric
    from stylefacev_cli.metrics.feature_networks import image_network

    if resize not in metric.RESIZES:
        raise UsageError(f"no resize rule {resize!r}; there are {', '.join(metric.RESIZES)}")
    prepare(threads)
    network = image_network(features)
    sets = {
        "fake": [open_source(fake, per_video)],
        "real": [open_source(place, per_video) for place in real],
    }
    found, sides = {}, {}
    for side, parts in sets.items():
        # Twice as many real images, if there are: their two halves are the floor.
        number = images * (2 if side == "real" else 1)
        share = -(-number // len(parts))
        taken = [Taken() for _ in parts]
        streams = [
            images_of(
                part, per_video, share,
                seed=seed if side == "real" else None, skip_damaged=skip_damaged, taken=one,
            )
            for part, one in zip(parts, taken, strict=True)
        ]  # fmt: skip
        total = sum(min(share, len(part) * per_video) for part in parts)
        with terminal.progress(total, "images") as advance:
            found[side] = metric.image_features(
                network, mixed(streams), resize, each=partial(advance, side)
            )
        sides[side] = [
            {"from": part.name, "codec": part.codec, **asdict(one)}
            for part, one in zip(parts, taken, strict=True)
        ]
    result = metric.compare_images(found["fake"], found["real"], images, seed)
    report: dict[str, Any] = {
        "metric": "fid" if features == "inception-2015" else f"fid-{features}",
        "protocol": f"{features}_{resize}_{images}",
        "network": network.name,
        "resize": f"{metric.RESIZES[resize]}, {network.size_px} px",
        "seed": seed,
        "sides": sides,
        **asdict(result),
    }
    return report


def table(report: dict[str, Any]) -> Iterator[str]:
    """The lines that a person reads."""
    kid, coverage = report["kid"], report["coverage"]
    yield f"{report['metric'].upper()}   {report['fid']:.3f}   ({report['protocol']})"
    yield f"  floor   {report['floor']:.3f}   (real images, {report['floor_images']} each)"
    yield f"KID       {kid['mean']:.5f} ± {kid['sd']:.5f}"
    yield f"precision {coverage['precision']:.3f}   recall {coverage['recall']:.3f}"
    for side, parts in report["sides"].items():
        for facts in parts:
            yield (
                f"{side:9} {facts['used']} images of {facts['from']} ({facts['codec']}), "
                f"{len(facts['damaged'])} damaged"
            )
