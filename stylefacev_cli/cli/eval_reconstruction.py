"""`stylefacev eval reconstruction`: whether recomposed faces stay who they are."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from itertools import islice
from typing import TYPE_CHECKING, Annotated

import typer

from stylefacev_cli.cli.downloads import fetch_render_assets
from stylefacev_cli.cli.eval_recomposition import Framing, Look, Model
from stylefacev_cli.cli.gathering import Laboratory
from stylefacev_cli.cli.options import AsJson, SkipDamaged, Threads
from stylefacev_cli.cli.reports import Report, laboratory, tell
from stylefacev_cli.cli.sources import open_source
from stylefacev_cli.errors import DataError
from stylefacev_cli.weights.locate import DEFAULT_MODEL

if TYPE_CHECKING:
    from stylefacev_cli.metrics.identity_similarity import IdentityPair
    from stylefacev_cli.metrics.recomposition import Images

MEANINGS = {
    "reconstruction": "A and A's appearance in A's pose",
    "kept": "A and A's appearance in B's pose",
    "leaked": "B and A's appearance in B's pose",
    "strangers": "A and B: what different people have",
    "same_person": "A and the true render of A in B's pose: what the pose alone costs",
}


def reconstruction(
    ctx: typer.Context,
    model: Model = DEFAULT_MODEL,
    real: Annotated[
        str | None,
        typer.Option("--real", help="Square face images or videos; rendered people by default."),
    ] = None,
    pairs: Annotated[int, typer.Option("--pairs", help="Pairs of people, at least 2.")] = 64,
    seed: Annotated[
        int, typer.Option("--seed", help="Says who is rendered, or the order of real ones.")
    ] = 0,
    framing: Framing = None,
    look: Look = None,
    identity: Annotated[
        str, typer.Option("--identity", help="The network that tells people apart.")
    ] = "auto",
    skip_damaged: SkipDamaged = False,
    threads: Threads = None,
    as_json: AsJson = False,
) -> None:
    """Cosine similarity of faces and their recompositions, in an identity network.

    Beside the paper's number (an image and its reconstruction) stands what A in B's pose keeps of
    A and takes from B, and how alike different people are to that network.
    """
    with laboratory(ctx.obj, threads, skip_damaged=skip_damaged) as lab:
        report = measure_reconstruction(
            lab,
            model,
            real=real,
            num_pairs=pairs,
            seed=seed,
            framing=framing,
            look=look,
            identity=identity,
        )
        tell(lab, report, table, as_json)


def measure_reconstruction(
    lab: Laboratory,
    model_name: str = DEFAULT_MODEL,
    *,
    real: str | None = None,
    num_pairs: int = 64,
    seed: int = 0,
    framing: str | None = None,
    look: str | None = None,
    identity: str = "auto",
) -> Report:
    """Measure a model.

    Args:
        lab: shows how far it is, and says whether images that cannot be read are skipped.
        model_name: name or folder.
        real: a source of images as for `open_source`, one of each video; None: rendered people.
        num_pairs: of people; at most as many as there are real images.
        seed: who is rendered, or the order of real images.
        framing: of the renders; None: as the model was trained, see `rendered.framing_of`.
        look: of the renders; None: as the model was trained, see `rendered.look_of`.
        identity: name of the identity network.

    Returns:
        The report, plain values; `per_pair` has the numbers of each pair.

    Raises:
        UsageError: a number or a name out of range.
        MissingWeightsError: a network or the render assets are not there.
        IntegrityError: a render asset is damaged.
        DataError: the real images cannot be used.
        StyleFaceVError: nothing can be rendered on this machine.
    """
    from stylefacev_cli.cli import rendered
    from stylefacev_cli.datasets.videos import ItemRule, Taken, items_of
    from stylefacev_cli.metrics.face_networks import face_network
    from stylefacev_cli.metrics.identity_similarity import (
        IdentityPair,
        mean_similarities,
        measure_similarity,
    )
    from stylefacev_cli.pipeline import load_model

    rule = rendered.rule_for(model_name, num_pairs, seed, framing, look)
    model = load_model(model_name)
    manifest, recompose = model.manifest, rendered.recomposer(model)
    network = face_network(identity)
    taken, source, total = Taken(), None, num_pairs
    if real is None:
        fetch_render_assets(lab.terminal, rule.look)
        people = rendered.RenderedPairs(rule, manifest.resolution)
        couples: Iterator[IdentityPair] = (IdentityPair(p.a, p.b, p.truth) for p in people.pairs())
    else:
        source = open_source(real, 1)
        total = min(num_pairs, len(source))
        items = items_of(
            source, ItemRule(seed=seed), range(len(source)),
            skip_damaged=lab.skip_damaged, taken=taken,
        )  # fmt: skip
        images = (item.frames for item in islice(items, num_pairs))
        couples = _neighbours(_sized(image, manifest.resolution, real) for image in images)
    found = []
    with lab.terminal.progress(total, "pairs") as advance:
        for one in measure_similarity(couples, recompose, network.embed, batch=model.default_batch):
            found.append(one)
            advance(manifest.name)
    if len(found) < 2:
        raise DataError(f"{real}: {taken.used} images; at least 2 are needed")
    where = f"{rule.name}_seed{seed}" if source is None else "real"
    return {
        "metric": f"reconstruction-{network.name}",
        "protocol": f"reconstruction_{where}_{manifest.resolution}px_{len(found)}",
        "model": {"name": manifest.name, "sha256": manifest.sha256},
        "network": network.name,
        "network_sha256": network.sha256,
        "num_pairs": len(found),
        "seed": seed,
        "seed_rule": rendered.SEED_RULE if source is None else "order of the images",
        "resolution": manifest.resolution,
        "source": (
            {"from": "rendered people", "framing": rule.framing, "look": rule.look}
            if source is None
            else {"from": source.name, "codec": source.codec, **asdict(taken)}
        ),
        "similarities": {name: asdict(v) for name, v in mean_similarities(found).items()},
        "warnings": _warnings(len(found), num_pairs, is_real=source is not None),
        "per_pair": [{"pair": i, **asdict(one)} for i, one in enumerate(found)],
    }


def table(report: Report) -> Iterator[str]:
    """The report as lines."""
    model = report["model"]
    yield (
        f"RECONSTRUCTION   {model['name']} {model['sha256'][:12]}, {report['num_pairs']} pairs "
        f"({report['protocol']})"
    )
    for name, number in report["similarities"].items():
        yield f"{name:16}{number['mean']:.3f} ± {number['sd']:.3f}   {MEANINGS[name]}"
    yield f"{'from':16}{report['source']['from']}"
    yield f"{'identity':16}{report['network']} {report['network_sha256'][:12]}, cosine; mean ± sd"


def _neighbours(images: Iterator[Images]) -> Iterator[IdentityPair]:
    """Each image with the next one, and the last with the first: as many couples as images."""
    from stylefacev_cli.metrics.identity_similarity import IdentityPair

    first = next(images, None)
    if first is None:
        return
    last = first
    for image in images:
        yield IdentityPair(last, image)
        last = image
    if last is not first:
        yield IdentityPair(last, first)


def _sized(image: Images, size_px: int, source: str) -> Images:
    """A square image [H, H, 3] at the model's size, as its networks shrink and enlarge.

    Raises:
        DataError: it is not square.
    """
    import torch

    from stylefacev_cli.networks.resize import resize_square

    height, width = image.shape[:2]
    if height != width:
        raise DataError(
            f"{source}: an image is {width} × {height} px; crop the faces to squares first"
        )
    planes = torch.tensor(image).permute(2, 0, 1)[None].float()
    sized: Images = resize_square(planes, size_px)[0].round().byte().permute(1, 2, 0).numpy()
    return sized


def _warnings(num_pairs: int, num_wanted: int, *, is_real: bool) -> list[str]:
    found = []
    if num_pairs < num_wanted:
        found.append(f"{num_pairs} pairs instead of {num_wanted}: there are no more images")
    if is_real:
        found.append("strangers are neighbours in a random order: one may meet himself")
    return found
