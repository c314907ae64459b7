"""The sections of a report, one for each metric: table, curves, worst and best examples."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from stylefacev_cli.evaluation.metric_list import METRICS
from stylefacev_cli.evaluation.recomposition import worst_and_best
from stylefacev_cli.evaluation.reports.html_report import Chart, Section, Strip
from stylefacev_cli.evaluation.session import Report
from stylefacev_cli.evaluation.video_sources import model_of, open_source

NUM_SHOWN = 8  # frames of a video
NUM_EACH = 2  # of the worst, and of the best

_TITLES = {"fvd": "Fréchet video distance", "fid": "Fréchet and kernel distances of images"}


def section_of(name: str, report: Report, fake: str) -> Section:
    """The section of a metric.

    Args:
        name: of the metric, without that of its network.
        report: of the metric.
        fake: the generated side, read again for its pictures.
    """
    return Section(
        _TITLES.get(name, name.capitalize()),
        list(METRICS[name].table(report)),
        report.get("warnings", ()),
        charts=_identity_charts(report) if name == "identity" else (),
        strips=_strips(name, report, fake),
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


def _strips(name: str, report: Report, fake: str) -> list[Strip]:
    if name in ("identity", "motion"):
        key = {"identity": "mean_to_first", "motion": "speed"}[name]
        chosen = lowest_and_highest(report["sides"]["fake"]["per_video"], key)
        return list(_strips_of_videos(fake, report["num_frames"], chosen))
    if name == "recomposition":
        return list(_strips_of_pairs(report, fake))
    return []


def lowest_and_highest(per_video: list[dict[str, Any]], key: str) -> list[tuple[str, str]]:
    """The videos with the lowest and with the highest number: (caption, name) of each."""
    ordered = sorted(per_video, key=lambda one: (one[key], one["video"]))
    words, label = ["lowest"] * NUM_EACH + ["highest"] * NUM_EACH, key.replace("_", " ")
    if len(ordered) > 2 * NUM_EACH:
        ordered = ordered[:NUM_EACH] + ordered[-NUM_EACH:]
    return [
        (f"{word} {label}, {one[key]:.3g}", one["video"])
        for word, one in zip(words, ordered, strict=False)
    ]


def _strips_of_videos(
    source: str, num_frames: int, chosen: list[tuple[str, str]]
) -> Iterator[Strip]:
    """Frames of some videos of a source, evenly spread over the first `num_frames`."""
    by_name = {video.name: video for video in open_source(source, num_frames).videos}
    step = max(1, (num_frames - 1) // (NUM_SHOWN - 1))
    for what, name in chosen:
        yield Strip(f"{what}: {name}", list(by_name[name].read(0, step, NUM_SHOWN)))


def _strips_of_pairs(report: Report, fake: str) -> Iterator[Strip]:
    from stylefacev_cli.evaluation import rendered_pairs
    from stylefacev_cli.pipeline import load_own_model

    name = model_of(fake)
    assert name is not None
    rule = rendered_pairs.PairRule(
        report["num_pairs"], report["seed"], report["framing"], report["look"]
    )
    pairs = rendered_pairs.RenderedPairs(rule, report["resolution"])
    recompose = rendered_pairs.recomposer(load_own_model(name))
    worst, best = worst_and_best(report, NUM_EACH)
    for word, numbers in (("worst", worst), ("best", best)):
        for number in numbers:
            shown = rendered_pairs.pair_pictures(pairs, number, recompose)
            yield Strip(
                f"{word}: pair {number}: A, B, the render of A in B's pose, the model's image",
                [shown.a, shown.b, shown.truth, shown.recomposed],
            )
