"""FID and KID: Fréchet and kernel distances of images, with precision and recall."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass

from stylefacev_cli.common.options import MAX_COUNT, group, option
from stylefacev_cli.common.seed_ranges import MAX_SEED
from stylefacev_cli.errors import MissingWeightsError, UsageError
from stylefacev_cli.evaluation.session import (
    EvalSession,
    Report,
    StoredReading,
    side_facts,
    side_line,
)
from stylefacev_cli.evaluation.video_sources import FAKE_HELP, open_source

AUTO = "auto"
PAPERS_NETWORK, OFFLINE_NETWORK = "inception-2015", "efficientnet-lite0"
FEATURES_HELP = (
    f"{PAPERS_NETWORK}, {OFFLINE_NETWORK}, or {AUTO}: Inception if its weights are there. Numbers "
    "of different networks are not comparable."
)


@dataclass(frozen=True)
class FidRequest:
    """Fréchet distance of images (FID), with KID, precision and recall, and the floor.

    FID as papers give it takes features of Inception, whose weights are a download for
    non-commercial use: `stylefacev weights download inception-2015`. Other numbers bear the name
    of their network.
    """

    fake: str = option(FAKE_HELP.replace("videos: a folder of", "images or videos: a folder of", 1))
    real: tuple[str, ...] = option(
        "Real ones, in the same forms; given twice, an even mix of both."
    )
    images: int = option("Images of each side.", default=10_000, minimum=4, maximum=MAX_COUNT)
    per_video: int = option(
        "Frames taken of each video, evenly spread.", default=1, minimum=1, maximum=MAX_COUNT
    )
    features: str = option(FEATURES_HELP, default=AUTO)
    resize: str = option("clean or tensorflow1.", default="clean")
    seed: int = option(
        "Of the order of the real images, and of the subsets.",
        default=0,
        minimum=0,
        maximum=MAX_SEED,
    )
    compute: StoredReading = group(StoredReading)


def measure_fid(session: EvalSession, request: FidRequest) -> Report:
    """The report of FID, KID, precision and recall.

    Raises:
        UsageError: a name out of range.
        DataError: there are too few images, or one cannot be read.
        MissingWeightsError: the network's weights are not there and cannot be fetched.
    """
    from stylefacev_cli.datasets.videos import ItemRule
    from stylefacev_cli.metrics import fid as metric
    from stylefacev_cli.metrics.feature_networks import image_network

    resize, images = request.resize, request.images
    if resize not in metric.RESIZES:
        raise UsageError(f"no resize rule {resize!r}; there are {', '.join(metric.RESIZES)}")
    features = choose_features(session, request.features)
    try:
        network = image_network(features)
    except MissingWeightsError as error:
        if features == OFFLINE_NETWORK:
            raise
        raise MissingWeightsError(f"{error}; or give --features {OFFLINE_NETWORK}") from error
    facts = {"name": network.name, "sha256": network.sha256, "resize": resize}
    mixed, sides = {}, {}
    for side, sources in {"fake": (request.fake,), "real": request.real}.items():
        # Twice as many real images, if there are: their two halves are the floor.
        count = images * (2 if side == "real" else 1)
        rule = ItemRule(per_video=request.per_video, seed=request.seed if side == "real" else None)
        sets = [open_source(source, request.per_video) for source in sources]
        parts = [
            session.gather(
                one, rule, -(-count // len(sets)),
                lambda some: metric.feature_rows(network, some, resize),
                facts, label=side, unit="images",
            )
            for one in sets
        ]  # fmt: skip
        mixed[side] = metric.even_mix([part.rows for part in parts])
        sides[side] = [side_facts(one, part) for one, part in zip(sets, parts, strict=True)]
    with session.listener.doing("comparing features"):
        result = metric.compare_images(mixed["fake"], mixed["real"], images, request.seed)
    return {
        "metric": "fid" if features == PAPERS_NETWORK else f"fid-{features}",
        "protocol": f"{features}_{resize}_{images}",
        "network": network.name,
        "network_sha256": network.sha256,
        "resize": f"{metric.RESIZES[resize]}, {network.size_px} px",
        "per_video": request.per_video,
        "seed": request.seed,
        "sides": sides,
        **asdict(result),
    }


def choose_features(session: EvalSession, name: str) -> str:
    """The name of the network that `auto` stands for here, which a note tells; others as they are.

    Inception is taken where its weights are; it is never fetched unless it is asked for by name.
    """
    if name != AUTO:
        return name
    from stylefacev_cli.weights.downloads.cache import path_of
    from stylefacev_cli.weights.downloads.registry import find_entry

    if all(path_of(file).is_file() for file in find_entry(PAPERS_NETWORK).files):
        session.listener.note(f"features are those of {PAPERS_NETWORK}, whose weights are here")
        return PAPERS_NETWORK
    session.listener.note(
        f"features are those of {OFFLINE_NETWORK}, so this is not the FID of papers: the weights "
        f"of {PAPERS_NETWORK} are not here (`stylefacev weights download {PAPERS_NETWORK}`)"
    )
    return OFFLINE_NETWORK


def fid_table(report: Report) -> Iterator[str]:
    """The report as lines."""
    kid, floor, coverage = report["kid"], report["kid_floor"], report["coverage"]
    halves = f"real images, {report['floor_images']} each"
    yield f"{report['metric'].upper()}   {report['fid']:.3f}   ({report['protocol']})"
    yield f"  floor   {report['floor']:.3f}   ({halves})"
    yield f"KID       {kid['mean']:.5f} ± {kid['sd']:.5f}"
    yield f"  floor   {floor['mean']:.5f} ± {floor['sd']:.5f}   ({halves})"
    yield f"precision {coverage['precision']:.3f}   recall {coverage['recall']:.3f}"
    for side, parts in report["sides"].items():
        for facts in parts:
            yield side_line(side, facts, "images")
