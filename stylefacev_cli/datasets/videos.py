"""Videos for evaluation, in any form on disk; one at a time in memory.

folder of videos · folder of folders of frames · folder of images · a set of clips
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path

import numpy as np

from stylefacev_cli.common.hashing import sha256_of
from stylefacev_cli.datasets.clips import INDEX_NAME, ClipSet, rates_of
from stylefacev_cli.datasets.movie_frames import (
    MAX_FRAMES,
    U8,
    measured,
    of_movie,
    of_stream,
    stream_of,
)
from stylefacev_cli.errors import DataError
from stylefacev_cli.media.folders import (
    IMAGE_SUFFIXES,
    LOSSY_SUFFIXES,
    VIDEO_SUFFIXES,
    MediaFiles,
    PassedOver,
    find_media,
)
from stylefacev_cli.media.images import read_image
from stylefacev_cli.media.reader import notes_on

_MAX_HELD_BYTES = 2**28  # of a video that is kept while its frames are counted


@dataclass(frozen=True)
class Video:
    """One video; frames are read when they are asked for.

    Attributes:
        name: for messages.
        num_frames: how many there are; None if only reading it shows.
        read: (first, step, count) → uint8 [≤ count, H, W, 3], the frames that there are of
            first, first + step, …
        stream: all frames one after the other, where only that tells how many there are.
        person: who is in it, where that is known; the same text is the same person.
        fps: frames a second, where the set says it of each video.
        notes: what was done to it when it was read, such as tone-mapping: a phrase each.
    """

    name: str
    num_frames: int | None
    read: Callable[[int, int, int], U8]
    person: str | None = None
    fps: float | None = None
    stream: Callable[[], Iterator[U8]] | None = None
    notes: Callable[[], list[str]] = list


@dataclass(frozen=True)
class VideoSet:
    """A set of videos or, if each has one frame, of images.

    Attributes:
        name: where it is from.
        fps: frames a second, where it is known.
        codec: what the frames went through: the suffix of lossy files, else `lossless`.
        videos: in a fixed order.
        files: what they are kept in; none if they are made on the fly.
        passed_over: files of the folder that are not read.
        resampled_fps: frames a second that videos of more were brought down to; None: none was.
    """

    name: str
    fps: float | None
    codec: str
    videos: list[Video]
    files: tuple[Path, ...] = ()
    passed_over: tuple[PassedOver, ...] = ()
    resampled_fps: float | None = None

    def __len__(self) -> int:
        return len(self.videos)

    @cached_property
    def rates(self) -> dict[str, float]:
        """Frames a second by name, of the videos that the set says it of."""
        return {video.name: video.fps for video in self.videos if video.fps}

    @cached_property
    def digest(self) -> str | None:
        """SHA-256 of the names and contents of all files, read once; None if there are none.

        Raises:
            DataError: a file cannot be read.
        """
        if not self.files:
            return None
        digest = hashlib.sha256()
        for path in self.files:
            try:
                record = f"{path.relative_to(self.name)}\0{sha256_of(path)}\0"
            except OSError as error:
                raise DataError(f"cannot read {path}: {error.strerror}") from error
            digest.update(record.encode())
        return digest.hexdigest()


def open_videos(folder: Path) -> VideoSet:
    """The videos, frames or clips that a folder holds.

    Raises:
        DataError: it is not there, or holds no videos, frames or clips.
    """
    if not folder.is_dir():
        raise DataError(f"no such folder: {folder}")
    if (folder / INDEX_NAME).is_file():
        clips = ClipSet(folder)
        videos = [
            Video(
                clip.entry.id, clip.entry.num_frames, _of_array(clip.frames),
                person=str(clip.entry.identity), fps=clip.entry.fps or None,
            )
            for clip in clips
        ]  # fmt: skip
        used = [folder / entry.file for entry in clips.entries]
        rates = rates_of(clips.entries)
        fps = (rates[0] or None) if len(rates) == 1 else None
        return VideoSet(str(folder), fps, "lossless", videos, tuple(used))
    media = find_media(folder, VIDEO_SUFFIXES)
    if media.paths:
        return _of_movies(folder, media)
    media = find_media(folder, IMAGE_SUFFIXES)
    if not media.paths:
        raise DataError(
            f"{folder} holds no videos ({', '.join(VIDEO_SUFFIXES)}), images "
            f"({', '.join(IMAGE_SUFFIXES)}) or set of clips ({INDEX_NAME})"
        )
    return _of_pictures(folder, media)


def _of_movies(folder: Path, media: MediaFiles) -> VideoSet:
    suffixes = {path.suffix.lower() for path in media.paths}
    codec = "+".join(sorted(suffix[1:] for suffix in suffixes if suffix in LOSSY_SUFFIXES))

    def video(path: Path) -> Video:
        stream, notes = partial(stream_of, path), partial(notes_on, path)
        return Video(str(path), None, of_movie(path), stream=stream, notes=notes)

    return VideoSet(
        str(folder), None, codec or "lossless", [video(path) for path in media.paths],
        tuple(media.paths), tuple(media.passed_over),
    )  # fmt: skip


def _of_pictures(folder: Path, media: MediaFiles) -> VideoSet:
    """Each folder's pictures are the frames of a video; in the top folder alone, each is one."""
    lossy = any(path.suffix.lower() not in (".png", ".webp") for path in media.paths)
    groups: dict[Path, list[Path]] = {}
    for path in media.paths:
        groups.setdefault(path.parent, []).append(path)
    if list(groups) == [folder]:
        videos = [Video(str(path), 1, _of_images([path])) for path in media.paths]
    else:
        videos = [
            Video(str(place), len(group), _of_images(group)) for place, group in groups.items()
        ]
    return VideoSet(
        str(folder), None, "jpeg" if lossy else "lossless", videos, tuple(media.paths),
        tuple(media.passed_over),
    )  # fmt: skip


def _of_array(load: Callable[[], U8]) -> Callable[[int, int, int], U8]:
    def read(first: int, step: int, count: int) -> U8:
        return load()[first::step][:count]

    return read


def _counted(video: Video) -> Video:
    """A video whose number of frames is known; a small one is kept in memory by that."""
    if video.num_frames is not None:
        return video
    if video.stream is None:
        frames = video.read(0, 1, MAX_FRAMES)
        return replace(video, num_frames=len(frames), read=_of_array(lambda: frames))
    kept, num_bytes, num_frames = list[U8](), 0, 0
    for frame in video.stream():
        num_frames, num_bytes = num_frames + 1, num_bytes + frame.nbytes
        if num_bytes <= _MAX_HELD_BYTES:
            kept.append(frame)
        else:
            kept.clear()
    if len(kept) < num_frames:
        return replace(video, num_frames=num_frames)
    whole = np.stack(kept)
    return replace(video, num_frames=num_frames, read=_of_array(lambda: whole))


def _of_images(paths: list[Path]) -> Callable[[int, int, int], U8]:
    def read(first: int, step: int, count: int) -> U8:
        frames = [
            measured(read_image(path, said_of=path.parent)) for path in paths[first::step][:count]
        ]
        if len({frame.shape for frame in frames}) > 1:
            raise DataError(f"{paths[0].parent}: frames of one video must be of one size")
        return np.stack(frames)

    return read


def resampled(video: Video, fps: float, to_fps: float, *, endless: bool = False) -> Video:
    """A video at a lower rate: of its frames those that are shown at each of the fewer times.

    Args:
        video: of any number of frames.
        fps: that it has.
        to_fps: that it gets; not above.
        endless: it has as many frames as are asked for, so its number stays.
    """
    ratio = fps / to_fps

    def stream(all_frames: Callable[[], Iterator[U8]]) -> Iterator[U8]:
        place = 0
        for number, frame in enumerate(all_frames()):
            while int(place * ratio + 0.5) == number:
                yield frame
                place += 1

    if video.stream is not None:
        thinned = partial(stream, video.stream)
        return replace(video, read=of_stream(video.name, thinned), fps=to_fps, stream=thinned)

    def read(first: int, step: int, count: int) -> U8:
        places = [int((first + i * step) * ratio + 0.5) for i in range(count)]
        frames = video.read(places[0], 1, places[-1] - places[0] + 1)
        there = [place - places[0] for place in places if place - places[0] < len(frames)]
        return frames[there]

    num_frames = video.num_frames
    if num_frames is not None and not endless:
        num_frames = max(0, int((num_frames - 0.5 - 1e-9) / ratio) + 1) if num_frames else 0
    return replace(video, num_frames=num_frames, read=read, fps=to_fps)


def run_of(video: Video, rule: ClipRule, random: np.random.Generator | None) -> U8 | None:
    """The clip that a rule takes from a video, uint8 [T, H, W, 3]; None if the video is too short.

    Args:
        video: from which.
        rule: how many frames, how far apart.
        random: says where the clip begins; None: at the first frame.
    """
    if video.num_frames is None and random is None:
        clip = video.read(0, rule.stride, rule.num_frames)
        return clip if len(clip) == rule.num_frames else None
    video = _counted(video)
    assert video.num_frames is not None
    spare = video.num_frames - rule.span
    if spare < 0:
        return None
    first = 0 if random is None else int(random.integers(0, spare + 1))
    clip = video.read(first, rule.stride, rule.num_frames)
    if len(clip) < rule.num_frames:
        raise DataError(f"{video.name}: {len(clip)} frames where {rule.num_frames} were promised")
    return clip


@dataclass(frozen=True)
class ClipRule:
    """Which frames of a video make a clip."""

    num_frames: int
    stride: int = 1

    @property
    def span(self) -> int:
        """Frames of the video that a clip reaches over."""
        return (self.num_frames - 1) * self.stride + 1


@dataclass
class Taken:
    """Counts of used, too short and damaged videos of a set.

    Attributes:
        used: how many items, clips or images, were taken.
        too_short: how many videos have too few frames.
        damaged: names of the videos that cannot be read.
        notes: what was done to videos when they were read, and to how many.
    """

    used: int = 0
    too_short: int = 0
    damaged: list[str] = field(default_factory=list)
    notes: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True)
class Item:
    """A clip [T, H, W, 3] or an image [H, W, 3], and where it is from."""

    frames: U8
    video: Video
    place: int  # of the video in the order in which videos are taken


@dataclass(frozen=True)
class ItemRule:
    """What is taken of each video: a clip, or images evenly spread over it.

    Attributes:
        clip: which frames make the clip; None takes images.
        per_video: how many images.
        seed: of the places where clips begin, and of the order in which videos are taken; None:
            one after the other, from their first frames.
    """

    clip: ClipRule | None = None
    per_video: int = 1
    seed: int | None = None

    @property
    def most(self) -> int:
        """Items that a video gives at most."""
        return 1 if self.clip else self.per_video


def items_of(
    videos: VideoSet,
    rule: ItemRule,
    places: range,
    *,
    skip_damaged: bool,
    taken: Taken,
) -> Iterator[Item]:
    """Items of the videos that stand at some places of the order.

    Args:
        videos: from which.
        rule: what is taken of each.
        places: in the order; those beyond its end are nothing.
        skip_damaged: go on after a video that cannot be read, and remember its name.
        taken: is kept up to date.

    Raises:
        DataError: a video cannot be read.
    """
    order = np.arange(len(videos))
    if rule.seed is not None:
        order = np.random.default_rng(rule.seed).permutation(order)
    for place in places:
        if place >= len(order):
            return
        number = int(order[place])
        random = None if rule.seed is None else np.random.default_rng([rule.seed, number])
        video = videos.videos[number]
        try:
            frames = _taken_of(video, rule, random)
            taken.notes.update(video.notes())
        except DataError:
            if not skip_damaged:
                raise
            taken.damaged.append(video.name)
            continue
        if frames is None:
            taken.too_short += 1
            continue
        for one in frames:
            taken.used += 1
            yield Item(one, video, place)


def _taken_of(video: Video, rule: ItemRule, random: np.random.Generator | None) -> list[U8] | None:
    """The items of a video; None if it is too short."""
    if rule.clip is None:
        return list(_spread(video, rule.per_video))
    clip = run_of(video, rule.clip, random)
    return None if clip is None else [clip]


def _spread(video: Video, count: int) -> U8:
    if count == 1:
        return video.read(0, 1, 1)
    video = _counted(video)
    num_frames = video.num_frames or 0
    chosen = np.linspace(0, num_frames - 1, min(count, num_frames)).round().astype(int)
    if video.stream is None or not len(chosen):
        return np.asarray(video.read(0, 1, num_frames)[chosen])
    there = set(chosen.tolist())
    return np.stack([frame for i, frame in enumerate(video.stream()) if i in there])
