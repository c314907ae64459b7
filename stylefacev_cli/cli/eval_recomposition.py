"""`stylefacev eval recomposition`: A in the pose of B, against the render of A in that pose."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stylefacev_cli.cli.downloads import fetch_render_assets
from stylefacev_cli.cli.gathering import Laboratory
from stylefacev_cli.cli.options import AsJson, Threads
from stylefacev_cli.cli.reports import Report, laboratory, tell
from stylefacev_cli.weights.locate import DEFAULT_MODEL

if TYPE_CHECKING:
    from torch import Tensor

Model = Annotated[
    str, typer.Option("--model", "-m", metavar="NAME|FOLDER", help="The model to be measured.")
]
Framing = Annotated[
    str | None,
    typer.Option(
        "--framing",
        help="Of renders: canonical, unaligned or wide; else what the bundle says, or canonical.",
    ),
]
Look = Annotated[
    str | None,
    typer.Option(
        "--look",
        help="Of renders: photographic (a download) or procedural; else what the bundle says, "
        "or procedural.",
    ),
]
TRUSTED_CORRELATION = 0.7  # of the detector on true renders
FEW_PAIRS = 32  # below, worst and best pairs decide the mean


def recomposition(
    ctx: typer.Context,
    model: Model = DEFAULT_MODEL,
    pairs: Annotated[int, typer.Option("--pairs", help="Pairs of people, at least 2.")] = 64,
    seed: Annotated[int, typer.Option("--seed", help="Says who they are.")] = 0,
    framing: Framing = None,
    look: Look = None,
    perceptual: Annotated[
        str,
        typer.Option("--perceptual", help="efficientnet-lite0, vgg16, auto or none (no download)."),
    ] = "efficientnet-lite0",
    threads: Threads = None,
    as_json: AsJson = False,
) -> None:
    """How near A in the pose of B comes to the truth, on people rendered on the spot.

    Errors of image and key points, beside those of copies, of the mean image, of the generator and
    of the truth itself.
    """
    with laboratory(ctx.obj, threads, skip_damaged=False) as lab:
        report = measure_recomposition(
            lab,
            model,
            num_pairs=pairs,
            seed=seed,
            framing=framing,
            look=look,
            perceptual=perceptual,
        )
        tell(lab, report, table, as_json)


def measure_recomposition(
    lab: Laboratory,
    model_name: str = DEFAULT_MODEL,
    *,
    num_pairs: int = 64,
    seed: int = 0,
    framing: str | None = None,
    look: str | None = None,
    perceptual: str = "efficientnet-lite0",
) -> Report:
    """Measure a model.

    Args:
        lab: shows how far it is.
        model_name: name or folder.
        num_pairs: of people.
        seed: who they are.
        framing: of the renders; None: as the model was trained, see `rendered.framing_of`.
        look: of the renders; None: as the model was trained, see `rendered.look_of`.
        perceptual: network of the perceptual distance; `none` leaves it out.

    Returns:
        The report, plain values; `per_pair` has the scores of each row by the pair's number.

    Raises:
        UsageError: a number or a name out of range.
        MissingWeightsError: a network or the render assets are not there.
        IntegrityError: a render asset is damaged.
        StyleFaceVError: nothing can be rendered on this machine.
    """
    from functools import partial

    from stylefacev_cli.cli import rendered
    from stylefacev_cli.metrics import recomposition as metric
    from stylefacev_cli.metrics.key_point_tracks import detect_landmarks
    from stylefacev_cli.pipeline import load_model
    from stylefacev_cli.weights.bundle import needed

    rule = rendered.rule_for(model_name, num_pairs, seed, framing, look)
    model = load_model(model_name)
    manifest, recompose = model.manifest, rendered.recomposer(model)
    eye = (
        model.networks.landmark_detector_name
    )  # the fixed one, if it is kept, never learnt to please the generator
    detector = needed(model.networks.landmark_detector, eye)
    distance, perceptual_facts = _perceptual_distance(perceptual)
    instruments = metric.ImageMeasures(partial(detect_landmarks, detector), distance)
    no_ceiling = rendered.why_no_ceiling(manifest)
    fetch_render_assets(lab.terminal, rule.look)
    people = rendered.RenderedPairs(rule, manifest.resolution)
    stream = people.pairs(model if no_ceiling is None else None)
    found: dict[str, list[metric.Scores]] = {}
    with lab.terminal.progress(num_pairs, "pairs") as advance:
        constant = people.mean_truth()
        for scores in metric.measure_pairs(
            stream, recompose, instruments, constant, batch=model.default_batch
        ):
            for row, one in scores.items():
                found.setdefault(row, []).append(one)
            advance(manifest.name)
    rows = {row: metric.summary(scores) for row, scores in found.items()}
    return {
        "metric": "recomposition",
        "protocol": f"recomposition_{rule.name}_{manifest.resolution}px_{num_pairs}_seed{seed}",
        "model": {"name": manifest.name, "sha256": manifest.sha256},
        "networks": {
            "detector": {
                "name": f"{eye} of {manifest.name}",
                "sha256": manifest.files[eye].sha256,
            },
            "perceptual": perceptual_facts,
        },
        "num_pairs": num_pairs,
        "seed": seed,
        "seed_rule": rendered.SEED_RULE,
        "framing": rule.framing,
        "look": rule.look,
        "resolution": manifest.resolution,
        "unit": "landmarks and all after it: distances between the outer corners of the true eyes",
        "rows": rows,
        "points_to_detector": rows["recomposed"]["points"]["mean"]
        / rows["truth"]["points"]["mean"],
        "left_out": {} if no_ceiling is None else {"generator": no_ceiling},
        "warnings": [
            *_warnings(num_pairs, rows["truth"]["correlation"]),
            *([] if no_ceiling is None else [no_ceiling]),
        ],
        "per_pair": [
            {"pair": i, **{row: asdict(scores[i]) for row, scores in found.items()}}
            for i in range(num_pairs)
        ],
    }


def worst_and_best(
    report: Report, count: int = 4, by: str = "face_ssim"
) -> tuple[list[int], list[int]]:
    """Numbers of the pairs recomposed worst (worst first) and best (best first)."""
    order = sorted(report["per_pair"], key=lambda pair: float(pair["recomposed"][by]))
    numbers = [int(pair["pair"]) for pair in order]
    if by not in ("psnr", "ssim", "face_psnr", "face_ssim"):  # a distance: the largest is worst
        numbers.reverse()
    return numbers[:count], numbers[::-1][:count]


def table(report: Report) -> Iterator[str]:
    """The report as lines."""
    from stylefacev_cli.metrics.recomposition import GESTURES, ROWS

    model, rows = report["model"], report["rows"]
    yield (
        f"RECOMPOSITION   {model['name']} {model['sha256'][:12]}, {report['num_pairs']} pairs "
        f"({report['protocol']})"
    )
    columns = {"psnr": 2, "face_psnr": 2, "ssim": 3, "face_ssim": 3, "perceptual": 4}
    there = {name: digits for name, digits in columns.items() if name in rows["truth"]}
    yield from _block("images", rows, lambda row: {n: _cell(row[n], d) for n, d in there.items()})
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
    found = []
    if num_pairs < FEW_PAIRS:
        found.append(f"{num_pairs} pairs are few: read each mean with its spread")
    for gesture, correlation in detected.items():
        if correlation is not None and correlation < TRUSTED_CORRELATION:
            found.append(
                f"{gesture}: even on true renders the detector's values go with the true ones at "
                f"only {correlation:.2f}, so that column says little of the model"
            )
    return found


def _perceptual_distance(
    name: str,
) -> tuple[Callable[[Tensor, Tensor], Tensor] | None, dict[str, str] | None]:
    """The distance of two images, and the name and hash of the network it looks through."""
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
