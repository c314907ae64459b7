"""`stylefacev eval diversity`: how different videos are from each other."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stylefacev_cli.cli.detectors import DetectorOption, choose_detector
from stylefacev_cli.cli.gathering import Laboratory
from stylefacev_cli.cli.options import AsJson, SkipDamaged, Threads
from stylefacev_cli.cli.reports import Report, laboratory, tell
from stylefacev_cli.cli.sources import each_video, open_sides
from stylefacev_cli.errors import DataError
from stylefacev_cli.weights.locate import DEFAULT_MODEL

if TYPE_CHECKING:
    from stylefacev_cli.datasets.videos import Video
    from stylefacev_cli.metrics.diversity import VideoPairs

MOTION_SEEDS = "0-1"  # of a model that is given without: two motions of each person
ROWS = {
    "people_first_frames": "people, first frames",
    "people_same_index": "people, same index",
    "motions_same_index": "motions, same index",
    "motions_key_points": "motions, key points",
}


def diversity(
    ctx: typer.Context,
    fake: Annotated[
        str,
        typer.Option(
            "--fake",
            help="Made videos, as for `eval fvd`; of a model, two motions of each seed, or "
            "model:NAME?seeds=0-15&motion_seeds=0-3.",
        ),
    ],
    real: Annotated[
        str | None, typer.Option("--real", help="Real videos, to compare with.")
    ] = None,
    clips: Annotated[int, typer.Option("--clips", min=2, help="Videos of each side.")] = 64,
    frames: Annotated[int, typer.Option("--frames", min=1, help="Frames of each video.")] = 16,
    pairs: Annotated[int, typer.Option("--pairs", min=1, help="Pairs of each kind.")] = 200,
    features: Annotated[
        str,
        typer.Option(
            "--features",
            help="lpips-alex, lpips-vgg, efficientnet-lite0, or auto: LPIPS if its weights are "
            "there.",
        ),
    ] = "auto",
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of the choice of pairs.")] = 0,
    detector: DetectorOption = DEFAULT_MODEL,
    skip_damaged: SkipDamaged = False,
    threads: Threads = None,
    as_json: AsJson = False,
) -> None:
    """How different people are from each other, and the motions of one person.

    Perceptual distances of first frames and of frames of the same index, and, between motions,
    distances of key points, in distances between the eyes. All clips are kept in memory.
    """
    with laboratory(ctx.obj, threads, skip_damaged=skip_damaged) as lab:
        report = measure_diversity(
            lab, fake, real, clips=clips, frames=frames, pairs=pairs, features=features,
            seed=seed, detector=detector,
        )  # fmt: skip
        tell(lab, report, table, as_json)


def measure_diversity(
    lab: Laboratory,
    fake: str,
    real: str | None,
    *,
    clips: int = 64,
    frames: int = 16,
    pairs: int = 200,
    features: str = "auto",
    seed: int = 0,
    detector: str = DEFAULT_MODEL,
) -> Report:
    """The report of `eval diversity`; arguments are its options."""
    from stylefacev_cli.datasets.videos import ClipRule, Taken
    from stylefacev_cli.metrics import diversity as metric
    from stylefacev_cli.metrics.image_distances import image_distance
    from stylefacev_cli.metrics.key_point_tracks import key_point_track

    rule, finder = ClipRule(frames), choose_detector(detector)
    sets = open_sides(fake, real, frames, MOTION_SEEDS)
    distance = image_distance(features)
    sides: dict[str, Any] = {}
    warnings: list[str] = []
    for side, videos in sets.items():
        taken, shown, kept = Taken(), [], []
        for video, clip in each_video(lab, side, videos, rule, clips, taken):
            shown.append(video)
            kept.append(clip)
        if len({clip.shape for clip in kept}) > 1:
            raise DataError(f"{videos.name}: videos of several sizes cannot be compared")
        chosen = metric.draw_pairs([v.person or v.name for v in shown], pairs, seed)
        apart = {}
        with lab.terminal.progress(len(chosen.people) + len(chosen.motions), "pairs") as advance:
            for a, b in chosen.people + chosen.motions:
                apart[a, b] = distance.between(kept[a], kept[b])  # [T]
                advance(side)
        moving = sorted({number for pair in chosen.motions for number in pair})
        tracks = {number: key_point_track(finder.network, kept[number]) for number in moving}
        numbers = {
            "people_first_frames": (apart[pair][0] for pair in chosen.people),
            "people_same_index": (apart[pair].mean() for pair in chosen.people),
            "motions_same_index": (apart[pair].mean() for pair in chosen.motions),
            "motions_key_points": (
                metric.key_point_distance(tracks[a], tracks[b]) for a, b in chosen.motions
            ),
        }
        found = {name: metric.pair_statistics(values) for name, values in numbers.items()}
        facts = {"from": videos.name, "codec": videos.codec, "fps": videos.fps, **asdict(taken)}
        sides[side] = facts | {
            "diversity": {name: one and asdict(one) for name, one in found.items()},
            "per_video": list(_per_video(shown, chosen, apart)),
        }
        warnings += _warnings(side, shown, chosen)
    return {
        "metric": f"diversity-{distance.name}",
        "protocol": f"diversity{clips}_{frames}f_{pairs}pairs",
        "network": distance.name,
        "network_sha256": distance.sha256,
        "detector": finder.name,
        "detector_sha256": finder.sha256,
        "num_frames": frames,
        "seed": seed,
        "sides": sides,
        "warnings": warnings,
    }


def _per_video(
    videos: list[Video], chosen: VideoPairs, apart: dict[tuple[int, int], Any]
) -> Iterator[dict[str, Any]]:
    """The mean distance of each video to those it was paired with."""
    for number, video in enumerate(videos):
        means: dict[str, float | None] = {}
        for kind, pairs in (("people", chosen.people), ("motions", chosen.motions)):
            of_it = [float(apart[pair].mean()) for pair in pairs if number in pair]
            means[f"{kind}_same_index"] = sum(of_it) / len(of_it) if of_it else None
        yield {"video": video.name, **means}


def _warnings(side: str, videos: list[Video], chosen: VideoPairs) -> Iterator[str]:
    if any(video.person is None for video in videos):
        yield f"{side}: who is in a video is not known; each was taken for somebody else"
    if not chosen.people:
        yield f"{side}: there are no two people to compare"
    if not chosen.motions:
        yield f"{side}: nobody is there twice, so no motions of one person were compared"


def table(report: Report) -> Iterator[str]:
    """The lines that a person reads."""
    sides = report["sides"]
    yield report["metric"]
    yield f"{'':22}" + "".join(f"{f'{side} (pairs)':>26}" for side in sides)
    for name, label in ROWS.items():
        cells = [facts["diversity"][name] for facts in sides.values()]
        shown = (
            f"{one['mean']:.5f} ± {one['sd']:.5f} ({one['num_pairs']})" if one else "–"
            for one in cells
        )
        unit = "   eye distances" if name == "motions_key_points" else ""
        yield f"{label:22}" + "".join(f"{cell:>26}" for cell in shown) + unit
    for side, facts in sides.items():
        yield f"{side:9}{facts['used']} videos of {facts['from']}, {report['num_frames']} frames"
