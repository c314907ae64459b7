"""What each metric shows on a report's page: its table, its curves, its worst and best examples."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from stylefacev_cli.cli import (
    eval_diversity,
    eval_fid,
    eval_fvd,
    eval_identity,
    eval_motion,
    eval_recomposition,
    eval_reconstruction,
)
from stylefacev_cli.cli.report_page import Chart, Section, Strip
from stylefacev_cli.cli.reports import Report
from stylefacev_cli.cli.sources import model_of, open_source

NUM_SHOWN = 8  # frames of a video
NUM_EACH = 2  # of the worst, and of the best

_TABLES: dict[str, Callable[[Report], Iterator[str]]] = {
    "fvd": eval_fvd.table,
    "fid": eval_fid.table,
    "identity": eval_identity.table,
    "motion": eval_motion.table,
    "diversity": eval_diversity.table,
    "recomposition": eval_recomposition.table,
    "reconstruction": eval_reconstruction.table,
}
_TITLES = {"fvd": "Fréchet video distance", "fid": "Fréchet and kernel distances of images"}


def section_of(name: str, report: Report, fake: str, num_frames: int) -> Section:
    """The section of a metric.

    Args:
        name: of the metric, without that of its network.
        report: of the metric.
        fake: the made side, read again for its pictures.
        num_frames: of the videos of identity and motion.
    """
    return Section(
        _TITLES.get(name, name.capitalize()),
        list(_TABLES[name](report)),
        report.get("warnings", ()),
        charts=_identity_charts(report) if name == "identity" else (),
        strips=_strips(name, report, fake, num_frames),
    )


def _identity_charts(report: Report) -> list[Chart]:
    titles = {
        "to_first": "Cosine of each frame to the first one, mean over videos",
        "to_previous": "Cosine of each frame to the one before",
    }
    return [
        Chart(
            title, "frames after the second",
            {side: facts["curve"][key] for side, facts in report["sides"].items()},
        )
        for key, title in titles.items()
    ]  # fmt: skip


def _strips(name: str, report: Report, fake: str, num_frames: int) -> list[Strip]:
    if name in ("identity", "motion"):
        key = {"identity": "mean_to_first", "motion": "speed"}[name]
        chosen = lowest_and_highest(report["sides"]["fake"]["per_video"], key)
        return list(_strips_of_videos(fake, num_frames, chosen))
    if name == "recomposition":
        return list(_strips_of_pairs(report, fake))
    return []


def lowest_and_highest(per_video: list[dict[str, Any]], key: str) -> list[tuple[str, str]]:
    """The videos with the lowest and with the highest number: (what it is, name) of each."""
    ordered = sorted(per_video, key=lambda one: (one[key], one["video"]))
    words, label = ["lowest"] * NUM_EACH + ["highest"] * NUM_EACH, key.replace("_", " ")
    if len(ordered) > 2 * NUM_EACH:
        ordered = ordered[:NUM_EACH] + ordered[-NUM_EACH:]
    return [
        (f"{word} {label}, {one[key]:.3g}", one["video"])
        for word, one in zip(words, ordered, strict=False)
    ]


def _strips_of_videos(
    place: str, num_frames: int, chosen: list[tuple[str, str]]
) -> Iterator[Strip]:
    """Frames of some videos of a source, evenly spread over the first `num_frames`."""
    by_name = {video.name: video for video in open_source(place, num_frames).videos}
    step = max(1, (num_frames - 1) // (NUM_SHOWN - 1))
    for what, name in chosen:
        yield Strip(f"{what}: {name}", list(by_name[name].read(0, step, NUM_SHOWN)))


def _strips_of_pairs(report: Report, fake: str) -> Iterator[Strip]:
    from stylefacev_cli.cli import rendered
    from stylefacev_cli.pipeline import load_model

    name = model_of(fake)
    assert name is not None
    rule = rendered.PairRule(report["num_pairs"], report["seed"], report["framing"], report["look"])
    pairs = rendered.RenderedPairs(rule, report["resolution"])
    recompose = rendered.recomposer(load_model(name))
    worst, best = eval_recomposition.worst_and_best(report, NUM_EACH)
    for word, numbers in (("worst", worst), ("best", best)):
        for number in numbers:
            shown = rendered.pair_pictures(pairs, number, recompose)
            yield Strip(
                f"{word}: pair {number}: A, B, the render of A in B's pose, what the model makes",
                [shown.a, shown.b, shown.truth, shown.made],
            )
