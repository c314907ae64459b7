"""The videos of an evaluation: folders, or a model whose frames are handed over in memory.

What a file and the JSON beside it say counts: frames a second, and who is in a video.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stylefacev_cli.common.options import option
from stylefacev_cli.errors import DataError, StyleFaceVWarning, UsageError
from stylefacev_cli.weights.locate import DEFAULT_MODEL

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from stylefacev_cli.datasets.videos import ClipRule, Taken, Video, VideoSet
    from stylefacev_cli.evaluation.session import EvalSession

FAKE_HELP = (
    "Generated videos: a folder of videos, of folders of frames, a set of clips, or "
    "model:NAME[?seeds=0-2047]."
)
REAL_HELP = "Real videos, in the same forms."
MODEL_PREFIX = "model:"
MODEL_SETTINGS = ("seeds", "motion_seeds", "frames", "truncation")
MAX_RATES_SEEN = 256  # videos of a side whose rates are looked at before the work
MAX_RATE_RATIO = 1000.0  # of rates that are brought to one
MAX_RECORD_BYTES = 2**20  # of the JSON beside a video


@dataclass(frozen=True)
class RateOptions:
    """Options of the frames a second of both sides."""

    fps: float | None = option(
        "Frames a second, where neither the file nor the JSON beside it says.",
        default=None,
        minimum=1,
        maximum=1000,
    )
    resample: bool = option(
        "Where the sides have unlike numbers of frames a second, measure all at the lowest; else "
        "they are refused.",
        default=False,
    )


def model_of(source: str) -> str | None:
    """The name or folder of the model that a source is; None if it is a folder of videos."""
    if not source.startswith(MODEL_PREFIX):
        return None
    return source.removeprefix(MODEL_PREFIX).partition("?")[0] or DEFAULT_MODEL


def open_source(source: str, num_frames: int, motion_seeds: str | None = None) -> VideoSet:
    """The videos of a folder, or of a model that renders them when they are read.

    Args:
        source: a folder, or `model:NAME[?seeds=0-9&motion_seeds=0-3&frames=64&truncation=1]`. With
            motion seeds there is a video of each seed with each of them; without, one of each seed.
        num_frames: of the videos of a model, unless its setting `frames` says another number.
        motion_seeds: those of a model, where `source` does not say.

    Raises:
        DataError: the folder holds no videos.
        UsageError: a setting of the model makes no sense.
        MissingWeightsError: there is no such model.
    """
    name = model_of(source)
    if name is not None:
        return _videos_of_model(source, name, num_frames, motion_seeds)
    from stylefacev_cli.datasets.videos import open_videos
    from stylefacev_cli.media.folders import passed_over_line

    if Path(source).is_file():
        raise DataError(f"{source} is a file: give the folder that it is in")
    videos = open_videos(Path(source))
    if videos.passed_over:
        warnings.warn(
            passed_over_line(source, list(videos.passed_over)), StyleFaceVWarning, stacklevel=2
        )
    known = [
        video if video.person else replace(video, person=_person_of(_record_beside(video.name)))
        for video in videos.videos
    ]
    return replace(videos, videos=known)


def _videos_of_model(source: str, name: str, num_frames: int, motion_seeds: str | None) -> VideoSet:
    from urllib.parse import parse_qsl

    from stylefacev_cli.common.seed_ranges import parse_seeds
    from stylefacev_cli.datasets.videos import Video, VideoSet
    from stylefacev_cli.pipeline import load_model

    settings = dict(parse_qsl(source.partition("?")[2], keep_blank_values=True))
    unknown = set(settings) - set(MODEL_SETTINGS)
    if unknown:
        raise UsageError(
            f"{source}: no setting {sorted(unknown)[0]!r}; there are {', '.join(MODEL_SETTINGS)}"
        )
    try:
        truncation = float(settings.get("truncation", "1"))
        length = int(settings.get("frames", num_frames))
    except ValueError as error:
        raise UsageError(f"{source}: truncation and frames are numbers") from error
    seeds = parse_seeds(settings.get("seeds", "0-2047"))
    motions = settings.get("motion_seeds", motion_seeds)
    chosen_motions = [None] if motions is None else [*parse_seeds(motions, "motion_seeds")]
    model = load_model(name)

    def video_of(seed: int, motion_seed: int | None) -> Video:
        def read(first: int, step: int, count: int) -> Any:
            import numpy as np

            last = first + step * (count - 1) + 1
            frames = model.sample(seed, last, motion_seed=motion_seed, truncation=truncation)
            return np.stack(list(frames)[first::step])

        motion = "" if motion_seed is None else f" motion {motion_seed}"
        return Video(f"seed {seed}{motion}", length, read, person=f"seed {seed}")

    videos = [video_of(seed, motion) for seed in seeds for motion in chosen_motions]
    return VideoSet(source, model.manifest.fps, "none", videos)


def open_sides(
    fake: str, real: str | None, num_frames: int, motion_seeds: str | None = None
) -> dict[str, VideoSet]:
    """The generated side and, if it is given, the real one; arguments and errors: `open_source`."""
    sources = {"fake": fake} if real is None else {"fake": fake, "real": real}
    return {side: open_source(one, num_frames, motion_seeds) for side, one in sources.items()}


# --- how many frames -------------------------------------------------------------------------


def frames_in_common(
    session: EvalSession,
    sides: dict[str, VideoSet],
    requested: int | None,
    *,
    default: int,
    minimum: int,
    num_videos: int,
) -> int:
    """How many frames of each video are measured: the same number on all sides.

    The default counts where at least half of the videos of each side are that long; else it is the
    number that all of them have, and a note says so.

    Args:
        session: its listener gets the note.
        sides: the sets.
        requested: the number that was asked for, which always counts; None: none was.
        default: without one.
        minimum: shorter videos are left out rather than all others cut to their length.
        num_videos: how many of each side are measured, and looked at here.

    Raises:
        DataError: a video cannot be read.
    """
    if requested is not None:
        return requested
    common, short = default, dict[str, None]()
    with session.listener.doing("counting frames"):
        for videos in sides.values():
            lengths = _lengths(session, videos, default, num_videos)
            if 2 * sum(length >= default for length in lengths) < len(lengths):
                usable = [length for length in lengths if length >= minimum]
                common = min([common, *usable])
                short[videos.name] = None
    if common < default:
        session.listener.note(
            f"{' and '.join(short)}: videos are shorter than {default} frames, so the first "
            f"{common} frames of each are measured, as many as all have (or give --frames)"
        )
    return common


def _lengths(session: EvalSession, videos: VideoSet, enough: int, num_videos: int) -> list[int]:
    """Numbers of frames, none above `enough`, until half of the videos are known to be as long."""
    looked_at = videos.videos[:num_videos]
    lengths: list[int] = []
    for video in looked_at:
        try:
            lengths.append(_length(video, enough))
        except DataError:
            if not session.skip_damaged:
                raise
        if 2 * lengths.count(enough) >= len(looked_at):
            return [enough]
    return lengths


def _length(video: Video, enough: int) -> int:
    num_frames = video.num_frames
    if num_frames is None:
        num_frames = len(video.read(0, 1, enough))
    return min(num_frames, enough)


def too_short(videos: VideoSet, num_frames: int) -> DataError:
    """The error of a set without any video of so many frames."""
    lengths = list[int]()
    for video in videos.videos[:16]:
        try:
            lengths.append(_length(video, num_frames))
        except DataError:
            continue
    most = max(lengths, default=0)
    advice = f"; they have {most}: give --frames {most} or fewer" if most else ""
    return DataError(f"{videos.name}: no video has {num_frames} frames{advice}")


def each_video(
    session: EvalSession,
    side: str,
    videos: VideoSet,
    rule: ClipRule,
    num_clips: int,
    taken: Taken,
) -> Iterator[tuple[Video, NDArray[np.uint8]]]:
    """The first clip of each of a set's first videos.

    Args:
        session: shows how far it is, and says whether unreadable videos are passed over.
        side: what is said beside the bar, such as `fake`.
        videos: from which.
        rule: of the clips.
        num_clips: how many, at most.
        taken: is kept up to date.

    Yields:
        Videos with their clips, uint8 [T, H, W, 3].

    Raises:
        DataError: a video cannot be read, or none is long enough.
    """
    from stylefacev_cli.datasets.videos import ItemRule, items_of

    items = items_of(
        videos, ItemRule(rule), range(len(videos)), skip_damaged=session.skip_damaged, taken=taken
    )
    with session.listener.progress(min(num_clips, len(videos)), "videos") as advance:
        for item in islice(items, num_clips):
            yield item.video, item.frames
            advance(side)
    session.note_reading(videos, taken.notes)
    if not taken.used:
        raise too_short(videos, rule.span)


# --- what is known of a file -----------------------------------------------------------------


def frame_rates(videos: VideoSet, names: list[str], otherwise: float | None) -> list[float]:
    """Frames a second of some videos of a set.

    The set says it, or the JSON beside each video, or the video's own header, or the caller.

    Args:
        videos: the set.
        names: of the videos.
        otherwise: of videos that do not say; None: not known.

    Raises:
        UsageError: a rate is not known.
        DataError: no such file.
    """
    if videos.fps:
        return [videos.fps] * len(names)
    of_set = videos.rates
    rates = []
    for name in names:
        rate = of_set.get(name) or _rate_of_file(Path(name)) or otherwise
        if rate is None:
            raise UsageError(f"{name} does not say how many frames a second it has: give --fps")
        rates.append(rate)
    return rates


def at_one_rate(
    sets: dict[str, VideoSet], num_videos: int, options: RateOptions
) -> dict[str, VideoSet]:
    """The sides at one number of frames a second; videos that do not say theirs stay as they are.

    Args:
        sets: the sides; of one side alone the videos may differ.
        num_videos: that are measured of each side; up to 256 of them are looked at.
        options: the rate of videos that do not say, and whether others are brought down.

    Raises:
        UsageError: they differ, and are not to be resampled.
    """
    from stylefacev_cli.datasets.clips import same_rate

    rates = {side: _rates_seen(videos, num_videos, options.fps) for side, videos in sets.items()}
    known = [rate for of_side in rates.values() for rate in of_side]
    if not known or same_rate(min(known), max(known)) or not (options.resample or len(sets) > 1):
        return sets
    if not options.resample:
        shown = ", ".join(
            f"{side} has {' and '.join(f'{rate:g}' for rate in of_side)} frames a second"
            for side, of_side in rates.items()
            if of_side
        )
        raise UsageError(
            f"{shown}: as many frames are not as many seconds; give --resample to measure all at "
            f"{min(known):g}"
        )
    if max(known) > MAX_RATE_RATIO * min(known):
        raise UsageError(
            f"{max(known):g} and {min(known):g} frames a second are too unlike to be measured at "
            "one rate: check what the sides say of theirs"
        )
    return {side: _resampled_set(videos, min(known), options.fps) for side, videos in sets.items()}


def rate_facts(sets: dict[str, VideoSet]) -> dict[str, Any]:
    """What a report says of resampled sides; nothing where none was."""
    rates = {videos.resampled_fps for videos in sets.values()} - {None}
    return {"resampled_fps": rates.pop()} if rates else {}


def rate_suffix(sets: dict[str, VideoSet]) -> str:
    """What the name of a protocol says of resampled sides, such as `_20fps`."""
    return "".join(f"_{rate:g}fps" for rate in rate_facts(sets).values())


def _rates_seen(videos: VideoSet, num_videos: int, fps: float | None) -> list[float]:
    """The unlike rates of some videos of a set, the lowest first; without those not known."""
    names = [video.name for video in videos.videos[:num_videos]]
    names = names[:: -(-len(names) // MAX_RATES_SEEN) or 1]
    return sorted({rate for name in names if (rate := _rate_of(videos, name, fps))})


def _rate_of(videos: VideoSet, name: str, fps: float | None) -> float:
    """The rate of a video; 0 if it is not known, or if it cannot be read, which is told later."""
    try:
        return frame_rates(videos, [name], fps or 0.0)[0]
    except DataError:
        return 0.0


def _resampled_set(videos: VideoSet, to_fps: float, fps: float | None) -> VideoSet:
    from stylefacev_cli.datasets.clips import same_rate
    from stylefacev_cli.datasets.videos import resampled

    rates = [_rate_of(videos, video.name, fps) for video in videos.videos]
    brought_down = [
        resampled(video, rate, to_fps, endless=model_of(videos.name) is not None)
        if rate > to_fps and not same_rate(rate, to_fps)
        else replace(video, fps=rate or None)
        for video, rate in zip(videos.videos, rates, strict=True)
    ]
    return replace(videos, fps=None, videos=brought_down, resampled_fps=to_fps)


def _rate_of_file(path: Path) -> float | None:
    from stylefacev_cli.media import frame_rate
    from stylefacev_cli.media.folders import VIDEO_SUFFIXES

    rate = _record_beside(str(path)).get("fps")
    if isinstance(rate, (int, float)) and not isinstance(rate, bool) and 0 < rate < 1e4:
        return float(rate)
    is_movie = path.suffix.lower() in VIDEO_SUFFIXES and path.is_file()
    return frame_rate(path) if is_movie else None


def _record_beside(video: str) -> dict[str, Any]:
    """The JSON file that `generate` and `reenact` write beside a video; {} where there is none."""
    path = Path(f"{video}.json")
    try:
        if path.stat().st_size > MAX_RECORD_BYTES:
            return {}
        record = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    ours = isinstance(record, dict) and record.get("software") == "stylefacev"
    return record if ours else {}


def _person_of(record: dict[str, Any]) -> str | None:
    """Who is in a video: the seed, or the file of the person; None where one becomes another."""
    seed, latent = record.get("seed"), record.get("latent")
    if "interpolate" in record:
        return None
    if isinstance(latent, dict) and isinstance(latent.get("sha256"), str):
        return f"person {latent['sha256'][:12]}"
    return f"seed {seed}" if isinstance(seed, int) else None
