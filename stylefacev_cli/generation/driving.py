"""A driving video → poses: one window for the face, landmarks, poses, a batch at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stylefacev_cli.errors import DataError
from stylefacev_cli.generation.motion_plan import open_track
from stylefacev_cli.generation.photo_crop import as_frame, fills, finder_for, room_of, whole_window
from stylefacev_cli.weights.manifest import Manifest

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray

    from stylefacev_cli.detection.crop_window import Window
    from stylefacev_cli.motion.pose_tracks import PoseTrack
    from stylefacev_cli.pipeline import Model

_SEARCH_EVERY = 24  # frames from one search of the whole picture to the next
_BATCH = 16


@dataclass(frozen=True)
class MotionSource:
    """A video or a track, checked before any network is loaded.

    Attributes:
        path: of the file.
        fps: its frames a second.
        num_frames: how many it has; of a video about.
        track: if it is one; None for a video.
        about: what records say of it.
    """

    path: Path
    fps: float
    num_frames: int
    track: PoseTrack | None
    about: dict[str, Any]


def open_motion(path: Path, manifest: Manifest) -> MotionSource:
    """Look at a video or a track.

    Raises:
        UsageError: there is no such track, or it is of another model.
        IntegrityError: the track is damaged.
        DataError: there is no such video, or it does not say how many frames a second it has.
    """
    from stylefacev_cli.common.hashing import sha256_of
    from stylefacev_cli.media import frame_rate
    from stylefacev_cli.media.reader import claimed_frames
    from stylefacev_cli.motion.pose_tracks import SUFFIX

    if path.suffix.lower() == SUFFIX:
        track, about = open_track(path, manifest)
        return MotionSource(path, track.fps, len(track), track, about)
    fps = frame_rate(path)
    if fps is None:
        raise DataError(f"{path} is no video, or does not say how many frames a second it has")
    about = {"file": path.name, "sha256": sha256_of(path)}
    return MotionSource(path, fps, claimed_frames(path), None, about)


def poses_of(
    source: MotionSource,
    model: Model,
    crop: bool | None,
    detector: str | None,
    advance: Callable[[str], None],
) -> tuple[torch.Tensor, dict[str, Any]]:
    """The poses [T, 1, 8, 8] of a source, on the CPU, and what records say of it.

    Args:
        source: a video or a track.
        model: whose networks read the faces.
        crop: cut a window out; None: unless the face fills a square video.
        detector: that finds the face (`finder_for`).
        advance: is told of every frame.

    Raises:
        DataError: the video cannot be read, there is not one face in all of its frames, or it
            moves further than one window can hold.
    """
    import torch

    from stylefacev_cli.weights.bundle import needed

    if source.track is not None:
        for _ in range(len(source.track)):
            advance(source.path.name)
        return torch.from_numpy(source.track.poses), source.about
    window = _window(source.path, model, crop, detector)
    detects = needed(model.networks.landmarks, "landmarks")
    size_px = min(window.side, detects.config.input_size)  # it takes any, and shrinks larger ones
    poses, pictures = [], _pictures(source.path)
    while some := list(islice(pictures, _BATCH)):
        frames = torch.cat([as_frame(picture, window, size_px) for picture in some])
        poses.append(model.extract_pose(frames.to(model.device)).cpu())
        for _ in some:
            advance(source.path.name)
    return torch.cat(poses).clone(), {**source.about, "window": list(window)}


def _pictures(path: Path) -> Iterator[NDArray[np.uint8]]:
    from stylefacev_cli.media import read_frames
    from stylefacev_cli.motion.pose_tracks import MAX_TRACK_FRAMES

    return read_frames(path, max_frames=MAX_TRACK_FRAMES)


def _window(path: Path, model: Model, crop: bool | None, detector: str | None) -> Window:
    """The part of the picture that is looked at in every frame."""
    import numpy as np

    from stylefacev_cli.detection.crop_window import face_squares, steady_window
    from stylefacev_cli.detection.face_finders import follow_face

    first = next(_pictures(path))
    height, width = first.shape[:2]
    if crop is False:
        return whole_window(first, str(path))
    finder, room = finder_for(model, detector), room_of(model)
    if crop is None and height == width:
        faces = finder.find(first)
        if len(faces) == 1 and fills(faces[0], first, room):
            return whole_window(first, str(path))
    found = follow_face(finder, _pictures(path), _SEARCH_EVERY, str(path))
    for number, reason in enumerate(found.reasons):
        if reason is not None:
            hint = "; --no-crop takes the frames as they are" if height == width else ""
            raise DataError(f"{path}: {reason} in frame {number}; cut the video to its face{hint}")
    squares = face_squares(found.landmarks, room)
    window = steady_window(np.asarray(squares), found.landmarks, width, height)
    if isinstance(window, str):
        raise DataError(f"{path}: {window}; give a video with more room around the face")
    return window
