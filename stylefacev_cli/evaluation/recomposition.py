"""Recomposition: A in the pose of B, against the render of A in that pose."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from stylefacev_cli.common.options import MAX_COUNT, group, option
from stylefacev_cli.common.seed_ranges import MAX_SEED
from stylefacev_cli.evaluation.session import Compute, EvalSession, Report
from stylefacev_cli.weights.locate import DEFAULT_MODEL

if TYPE_CHECKING:
    from torch import Tensor

    from stylefacev_cli.evaluation.rendered_pairs import PairRule
    from stylefacev_cli.pipeline import Model

MODEL_HELP = "The model to be measured."
FRAMING_HELP = "Of renders: canonical, unaligned or wide; else what the bundle says, or canonical."
LOOK_HELP = (
    "Of renders: photographic (a download) or procedural; else what the bundle says, or procedural."
)
TRUSTED_CORRELATION = 0.7  # of the detector on true renders
FEW_PAIRS = 32  # below, worst and best pairs decide the mean


@dataclass(frozen=True)
class RecompositionRequest:
    """How near A in the pose of B comes to the truth, on people rendered on the spot.

    Errors of image and key points, beside those of copies, of the mean image, of the generator and
    of the truth itself.
    """

    model: str = option(
        MODEL_HELP, default=DEFAULT_MODEL, flags=("--model", "-m"), metavar="NAME|FOLDER"
    )
    pairs: int = option("Pairs of people, at least 2.", default=64, minimum=2, maximum=MAX_COUNT)
    seed: int = option("Of the people.", default=0, minimum=0, maximum=MAX_SEED)
    framing: str | None = option(FRAMING_HELP, default=None)
    look: str | None = option(LOOK_HELP, default=None)
    perceptual: str = option(
        "efficientnet-lite0, vgg16, auto or none (no download).", default="efficientnet-lite0"
    )
    compute: Compute = group(Compute)


def measure_recomposition(session: EvalSession, request: RecompositionRequest) -> Report:
    """The report of a model's errors on rendered pairs.

    `per_pair` has the scores of each row by the pair's number.

    Raises:
        UsageError: a number or a name out of range.
        MissingWeightsError: a network or the render assets are not there.
        IntegrityError: a render asset is damaged.
        StyleFaceVError: nothing can be rendered on this machine.
    """
    from stylefacev_cli.evaluation import rendered_pairs
    from stylefacev_cli.metrics import recomposition as metric
    from stylefacev_cli.pipeline import load_own_model

    num_pairs, seed = request.pairs, request.seed
    rule = rendered_pairs.rule_for(request.model, num_pairs, seed, request.framing, request.look)
    model = load_own_model(request.model, "eval recomposition")
    manifest, detector = model.manifest, model.networks.landmark_detector_name
    no_generator = rendered_pairs.why_no_generator_row(manifest)
    scores, perceptual_facts = _scores(session, request, rule, model, no_generator is None)
    rows = {row: metric.summary(ones) for row, ones in scores.items()}
    return {
        "metric": "recomposition",
        "protocol": f"recomposition_{rule.name}_{manifest.resolution}px_{num_pairs}_seed{seed}",
        "model": {"name": manifest.name, "sha256": manifest.sha256},
        "networks": {
            "detector": {
                "name": f"{detector} of {manifest.name}",
                "sha256": manifest.files[detector].sha256,
            },
            "perceptual": perceptual_facts,
        },
        "num_pairs": num_pairs,
        "seed": seed,
        "seed_rule": rendered_pairs.SEED_RULE,
        "framing": rule.framing,
        "look": rule.look,
        "resolution": manifest.resolution,
        "unit": "landmarks and all after it: distances between the outer corners of the true eyes",
        "rows": rows,
        "points_to_detector": rows["recomposed"]["points"]["mean"]
        / rows["truth"]["points"]["mean"],
        "left_out": {} if no_generator is None else {"generator": no_generator},
        "warnings": [
            *_warnings(num_pairs, rows["truth"]["correlation"]),
            *([] if no_generator is None else [no_generator]),
        ],
        "per_pair": [
            {"pair": i, **{row: asdict(ones[i]) for row, ones in scores.items()}}
            for i in range(num_pairs)
        ],
    }


def _scores(
    session: EvalSession,
    request: RecompositionRequest,
    rule: PairRule,
    model: Model,
    with_generator: bool,
) -> tuple[dict[str, list[Any]], dict[str, str] | None]:
    """Scores of all pairs in each row, and name and hash of the perceptual network."""
    from functools import partial

    from stylefacev_cli.evaluation import rendered_pairs
    from stylefacev_cli.faces.looks import obtain_assets
    from stylefacev_cli.metrics import recomposition as metric
    from stylefacev_cli.metrics.key_point_tracks import detect_landmarks
    from stylefacev_cli.weights.bundle import needed

    recompose, name = rendered_pairs.recomposer(model), model.manifest.name
    # The fixed detector, if it is kept: never trained to please the generator.
    detector = needed(model.networks.landmark_detector, model.networks.landmark_detector_name)
    distance, perceptual_facts = _perceptual_distance(request.perceptual)
    measures = metric.ImageMeasures(partial(detect_landmarks, detector), distance)
    obtain_assets(rule.look)
    people = rendered_pairs.RenderedPairs(rule, model.manifest.resolution)
    stream = people.pairs(model if with_generator else None)
    scores: dict[str, list[metric.Scores]] = {}
    with session.listener.doing("rendering the true images"):
        constant = people.mean_truth()
    with session.listener.progress(rule.num_pairs, "pairs") as advance:
        for one in metric.measure_pairs(
            stream, recompose, measures, constant, batch=model.default_batch
        ):
            for row, score in one.items():
                scores.setdefault(row, []).append(score)
            advance(name)
    return scores, perceptual_facts


def worst_and_best(
    report: Report, count: int = 4, by: str = "face_ssim"
) -> tuple[list[int], list[int]]:
    """Numbers of the pairs recomposed worst (worst first) and best (best first)."""
    order = sorted(report["per_pair"], key=lambda pair: float(pair["recomposed"][by]))
    numbers = [int(pair["pair"]) for pair in order]
    if by not in ("psnr", "ssim", "face_psnr", "face_ssim"):  # a distance: the largest is worst
        numbers.reverse()
    return numbers[:count], numbers[::-1][:count]


def recomposition_table(report: Report) -> Iterator[str]:
    """The report as lines."""
    from stylefacev_cli.metrics.recomposition import GESTURES, ROWS

    model, rows = report["model"], report["rows"]
    yield (
        f"RECOMPOSITION   {model['name']} {model['sha256'][:12]}, {report['num_pairs']} pairs "
        f"({report['protocol']})"
    )
    columns = {"psnr": 2, "face_psnr": 2, "ssim": 3, "face_ssim": 3, "perceptual": 4}
    shown = {name: digits for name, digits in columns.items() if name in rows["truth"]}
    yield from _block("images", rows, lambda row: {n: _cell(row[n], d) for n, d in shown.items()})
    errors = ("landmarks", "outline", "points", "position", *GESTURES)
    yield from _block(
        "key points, %", rows, lambda row: {name: _cell(row[name], 1, 100) for name in errors}
    )
    yield from _block(
        "correlation", rows,
        lambda row: {
            name: "–" if value is None else f"{value:.2f}"
            for name, value in row["correlation"].items()
        },
    )  # fmt: skip
    yield f"key points: {report['points_to_detector']:.1f} times the detector's own error"
    yield "mean ± sd over pairs; key points in % of the distance between the outer eye corners"
    yield ""
    yield from (f"{row:14}{meaning}" for row, meaning in ROWS.items() if row in rows)
    yield from (f"{row:14}left out: {reason}" for row, reason in report["left_out"].items())
    for what, facts in report["networks"].items():
        if facts is not None:
            yield f"{what:14}{facts['name']} {facts['sha256'][:12]}"


def _block(
    title: str, rows: dict[str, Any], cells: Callable[[dict[str, Any]], dict[str, str]]
) -> Iterator[str]:
    """A line for each row, below their heads."""
    lines = {row: cells(values) for row, values in rows.items()}
    widths = {
        name: 2 + max(len(name), *(len(line[name]) for line in lines.values()))
        for name in lines["truth"]
    }
    yield f"{title:14}" + "".join(f"{name:>{width}}" for name, width in widths.items())
    for row, line in lines.items():
        yield f"{row:14}" + "".join(f"{line[name]:>{width}}" for name, width in widths.items())
    yield ""


def _cell(number: dict[str, float], digits: int, times: float = 1) -> str:
    return f"{times * number['mean']:.{digits}f} ± {times * number['sd']:.{digits}f}"


def _warnings(num_pairs: int, detected: dict[str, float | None]) -> list[str]:
    warnings = []
    if num_pairs < FEW_PAIRS:
        warnings.append(f"{num_pairs} pairs are few: read each mean with its spread")
    for gesture, correlation in detected.items():
        if correlation is not None and correlation < TRUSTED_CORRELATION:
            warnings.append(
                f"{gesture}: even on true renders the detector's values go with the true ones at "
                f"only {correlation:.2f}, so that column says little of the model"
            )
    return warnings


def _perceptual_distance(
    name: str,
) -> tuple[Callable[[Tensor, Tensor], Tensor] | None, dict[str, str] | None]:
    """The distance of images [N, 3, S, S] → [N], and name and hash of its network; or None."""
    from stylefacev_cli.common.hashing import sha256_of
    from stylefacev_cli.metrics import perceptual
    from stylefacev_cli.weights.convert.efficientnet_weights import ENTRY
    from stylefacev_cli.weights.convert.vgg16_weights import vgg16_file
    from stylefacev_cli.weights.downloads.registry import find_entry

    distance = perceptual.load_perceptual(name)
    if distance is None:
        return None, None
    if distance.name == ENTRY:
        sha256 = find_entry(ENTRY).files[0].sha256 or ""
    else:
        sha256 = sha256_of(vgg16_file())
    return distance, {"name": distance.name, "sha256": sha256}
