"""What evaluation compares: folders, or a model whose frames are handed over in memory."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from stylefacev_cli.errors import UsageError

if TYPE_CHECKING:
    from stylefacev_cli.data.videos import VideoSet


def open_source(place: str, num_frames: int) -> VideoSet:
    """A set of videos from a folder, or from a model that makes them on the fly.

    Args:
        place: a folder, or `model:NAME[?seeds=0-9&truncation=1]`.
        num_frames: how many each video of a model has.

    Raises:
        DataError: the folder holds no videos.
        UsageError: a setting of the model makes no sense.
        MissingWeightsError: there is no such model.
    """
    from stylefacev_cli.data.videos import Video, VideoSet, open_videos

    if not place.startswith("model:"):
        return open_videos(Path(place))
    from urllib.parse import parse_qsl

    from stylefacev_cli.cli.seeds import parse_seeds
    from stylefacev_cli.pipeline import load_model

    name, _, query = place.removeprefix("model:").partition("?")
    wishes = dict(parse_qsl(query, keep_blank_values=True))
    unknown = set(wishes) - {"seeds", "truncation"}
    if unknown:
        raise UsageError(f"{place}: no setting {sorted(unknown)[0]!r}; seeds, truncation")
    try:
        truncation = float(wishes.get("truncation", "1"))
    except ValueError as error:
        raise UsageError(f"{place}: truncation is a number") from error
    model = load_model(*([name] if name else []))

    def made(seed: int) -> Video:
        def read(first: int, step: int, count: int) -> Any:
            import numpy as np

            last = first + step * (count - 1) + 1
            frames = model.sample(seed, last, truncation=truncation)
            return np.stack(list(frames)[first::step])

        return Video(f"seed {seed}", num_frames, read)

    seeds = parse_seeds(wishes.get("seeds", "0-2047"))
    return VideoSet(place, model.manifest.fps, "none", [made(seed) for seed in seeds])
