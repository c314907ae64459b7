"""Reconstruction: whether recomposed faces stay who they are."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import islice
from typing import TYPE_CHECKING

from stylefacev_cli.common.options import MAX_COUNT, group, option
from stylefacev_cli.common.seed_ranges import MAX_SEED
from stylefacev_cli.errors import DataError
from stylefacev_cli.evaluation.recomposition import (
    FRAMING_HELP,
    LOOK_HELP,
    MODEL_HELP,
)
from stylefacev_cli.evaluation.session import EvalSession, Reading, Report
from stylefacev_cli.evaluation.video_sources import open_source
from stylefacev_cli.weights.locate import DEFAULT_MODEL

if TYPE_CHECKING:
    from stylefacev_cli.datasets.videos import Taken, VideoSet
    from stylefacev_cli.evaluation.rendered_pairs import PairRule
    from stylefacev_cli.metrics.identity_similarity import IdentityPair
    from stylefacev_cli.metrics.recomposition import Images

MEANINGS = {
    "reconstruction": "A and A's appearance in A's pose",
    "kept": "A and A's appearance in B's pose",
    "leaked": "B and A's appearance in B's pose",
    "strangers": "A and B: what different people have",
    "same_person": "A and the true render of A in B's pose: what the pose alone costs",
}


@dataclass(frozen=True)
class ReconstructionRequest:
    """Cosine similarity of faces and their recompositions, in an identity network.

    Beside the paper's number (an image and its reconstruction) stands what A in B's pose keeps of
    A and takes from B, and how alike different people are to that network.
    """

    model: str = option(
        MODEL_HELP, default=DEFAULT_MODEL, flags=("--model", "-m"), metavar="NAME|FOLDER"
    )
    real: str | None = option(
        "Square face images or videos; rendered people by default.", default=None
    )
    pairs: int = option("Pairs of people, at least 2.", default=64, minimum=2, maximum=MAX_COUNT)
    seed: int = option(
        "Of the rendered people, or of the order of real ones.",
        default=0,
        minimum=0,
        maximum=MAX_SEED,
    )
    framing: str | None = option(FRAMING_HELP, default=None)
    look: str | None = option(LOOK_HELP, default=None)
    identity: str = option(
        "arcface-iresnet50, dlib-face, or auto: ArcFace if its weights are there.", default="auto"
    )
    compute: Reading = group(Reading)


@dataclass(frozen=True)
class _RealImages:
    """A set of real images, and what became of them."""

    videos: VideoSet
    taken: Taken


def measure_reconstruction(session: EvalSession, request: ReconstructionRequest) -> Report:
    """The report of similarities of faces and what a model makes of them.

    `per_pair` has the numbers of each pair.

    Raises:
        UsageError: a number or a name out of range.
        MissingWeightsError: a network or the render assets are not there.
        IntegrityError: a render asset is damaged.
        DataError: the real images cannot be used.
        StyleFaceVError: nothing can be rendered on this machine.
    """
    from stylefacev_cli.datasets.videos import Taken
    from stylefacev_cli.evaluation import rendered_pairs
    from stylefacev_cli.metrics.face_networks import face_network
    from stylefacev_cli.metrics.identity_similarity import mean_similarities, measure_similarity
    from stylefacev_cli.pipeline import load_own_model

    num_pairs, seed = request.pairs, request.seed
    rule = rendered_pairs.rule_for(request.model, num_pairs, seed, request.framing, request.look)
    model = load_own_model(request.model, "eval reconstruction")
    manifest, recompose = model.manifest, rendered_pairs.recomposer(model)
    network = face_network(request.identity)
    real = None if request.real is None else _RealImages(open_source(request.real, 1), Taken())
    if real is None:
        pairs = _rendered_pairs(rule, manifest.resolution)
    else:
        pairs = _real_pairs(session, request, real, manifest.resolution)
    total = num_pairs if real is None else min(num_pairs, len(real.videos))
    measured = []
    with session.listener.progress(total, "pairs") as advance:
        for one in measure_similarity(pairs, recompose, network.embed, batch=model.default_batch):
            measured.append(one)
            advance(manifest.name)
    if real is not None and len(measured) < 2:
        raise DataError(f"{request.real}: {real.taken.used} images; at least 2 are needed")
    where = "real" if real is not None else f"{rule.name}_seed{seed}"
    return {
        "metric": f"reconstruction-{network.name}",
        "protocol": f"reconstruction_{where}_{manifest.resolution}px_{len(measured)}",
        "model": {"name": manifest.name, "sha256": manifest.sha256},
        "network": network.name,
        "network_sha256": network.sha256,
        "num_pairs": len(measured),
        "seed": seed,
        "seed_rule": rendered_pairs.SEED_RULE if real is None else "order of the images",
        "resolution": manifest.resolution,
        "source": (
            {"from": "rendered people", "framing": rule.framing, "look": rule.look}
            if real is None
            else {"from": real.videos.name, "codec": real.videos.codec, **asdict(real.taken)}
        ),
        "similarities": {name: asdict(v) for name, v in mean_similarities(measured).items()},
        "warnings": _warnings(len(measured), num_pairs, is_real=real is not None),
        "per_pair": [{"pair": i, **asdict(one)} for i, one in enumerate(measured)],
    }


def _rendered_pairs(rule: PairRule, size_px: int) -> Iterator[IdentityPair]:
    """A and B of each rendered pair, with the truth."""
    from stylefacev_cli.evaluation.rendered_pairs import RenderedPairs
    from stylefacev_cli.faces.looks import obtain_assets
    from stylefacev_cli.metrics.identity_similarity import IdentityPair

    obtain_assets(rule.look)
    people = RenderedPairs(rule, size_px)
    return (IdentityPair(pair.a, pair.b, pair.truth) for pair in people.pairs())


def _real_pairs(
    session: EvalSession, request: ReconstructionRequest, real: _RealImages, size_px: int
) -> Iterator[IdentityPair]:
    """Real images, each with its neighbour in a random order."""
    from stylefacev_cli.datasets.videos import ItemRule, items_of

    items = items_of(
        real.videos, ItemRule(seed=request.seed), range(len(real.videos)),
        skip_damaged=session.skip_damaged, taken=real.taken,
    )  # fmt: skip
    images = (item.frames for item in islice(items, request.pairs))
    return _neighbours(_sized(image, size_px, real.videos.name) for image in images)


def reconstruction_table(report: Report) -> Iterator[str]:
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
    """Each image with the next one, and the last with the first: as many pairs as images."""
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


def _warnings(num_pairs: int, num_requested: int, *, is_real: bool) -> list[str]:
    warnings = []
    if num_pairs < num_requested:
        warnings.append(f"{num_pairs} pairs instead of {num_requested}: there are no more images")
    if is_real:
        warnings.append("strangers are neighbours in a random order: one may meet himself")
    return warnings
