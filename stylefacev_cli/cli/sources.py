"""What evaluation compares: folders, or a model whose frames are handed over in memory."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stylefacev_cli.cli.gathering import Laboratory
from stylefacev_cli.errors import DataError, UsageError
from stylefacev_cli.weights.locate import DEFAULT_MODEL

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from stylefacev_cli.datasets.videos import ClipRule, Taken, Video, VideoSet

_MODEL = "model:"
SETTINGS = ("seeds", "motion_seeds", "frames", "truncation")  # of a model


def model_of(place: str) -> str | None:
    """The name or folder of the model that a source is; None if it is a folder of videos."""
    if not place.startswith(_MODEL):
        return None
    return place.removeprefix(_MODEL).partition("?")[0] or DEFAULT_MODEL


def open_source(place: str, num_frames: int, motion_seeds: str | None = None) -> VideoSet:
    """A set of videos from a folder, or from a model that makes them on the fly.

    Args:
        place: a folder, or `model:NAME[?seeds=0-9&motion_seeds=0-3&frames=64&truncation=1]`. With
            motion seeds there is a video of each seed with each of them; without, one of each seed.
        num_frames: how many are needed of each video; a model makes as many, unless `frames` says
            that its videos are longer.
        motion_seeds: those of a model, where `place` does not say.

    Raises:
        DataError: the folder holds no videos.
        UsageError: a setting of the model makes no sense.
        MissingWeightsError: there is no such model.
    """
    from stylefacev_cli.datasets.videos import Video, VideoSet, open_videos

    name = model_of(place)
    if name is None:
        return open_videos(Path(place))
    from urllib.parse import parse_qsl

    from stylefacev_cli.common.seed_ranges import parse_seeds
    from stylefacev_cli.pipeline import load_model

    wishes = dict(parse_qsl(place.partition("?")[2], keep_blank_values=True))
    unknown = set(wishes) - set(SETTINGS)
    if unknown:
        raise UsageError(f"{place}: no setting {sorted(unknown)[0]!r}; {', '.join(SETTINGS)}")
    try:
        truncation = float(wishes.get("truncation", "1"))
        length = int(wishes.get("frames", num_frames))
    except ValueError as error:
        raise UsageError(f"{place}: truncation and frames are numbers") from error
    if length < num_frames:
        raise UsageError(f"{place}: {length} frames a video, but {num_frames} are needed")
    seeds = parse_seeds(wishes.get("seeds", "0-2047"))
    motions = wishes.get("motion_seeds", motion_seeds)
    chosen_motions: list[int | None] = [None]
    if motions is not None:
        chosen_motions = list(parse_seeds(motions, "motion_seeds"))
    model = load_model(name)

    def made(seed: int, motion_seed: int | None) -> Video:
        def read(first: int, step: int, count: int) -> Any:
            import numpy as np

            last = first + step * (count - 1) + 1
            frames = model.sample(seed, last, motion_seed=motion_seed, truncation=truncation)
            return np.stack(list(frames)[first::step])

        motion = "" if motion_seed is None else f" motion {motion_seed}"
        return Video(f"seed {seed}{motion}", length, read, person=f"seed {seed}")

    videos = [made(seed, motion) for seed in seeds for motion in chosen_motions]
    return VideoSet(place, model.manifest.fps, "none", videos)


def open_sides(
    fake: str, real: str | None, num_frames: int, motion_seeds: str | None = None
) -> dict[str, VideoSet]:
    """The made side and, if it was given, the real one (arguments and errors as `open_source`)."""
    places = {"fake": fake} if real is None else {"fake": fake, "real": real}
    return {side: open_source(place, num_frames, motion_seeds) for side, place in places.items()}


def each_video(
    lab: Laboratory, side: str, videos: VideoSet, rule: ClipRule, num_clips: int, taken: Taken
) -> Iterator[tuple[Video, NDArray[np.uint8]]]:
    """The first clip of each of a set's first videos, while a bar shows how far it is.

    Args:
        lab: shows the bar, and says whether videos that cannot be read are passed over.
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
        videos, ItemRule(rule), range(len(videos)), skip_damaged=lab.skip_damaged, taken=taken
    )
    with lab.terminal.progress(min(num_clips, len(videos)), "videos") as advance:
        for item in islice(items, num_clips):
            yield item.video, item.frames
            advance(side)
    if not taken.used:
        raise DataError(f"{videos.name}: no video has {rule.span} frames that can be read")
