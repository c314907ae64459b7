"""The poses of a driving video: one window around the face, landmarks, poses, in batches."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stylefacev_cli.errors import DataError, UsageError
from stylefacev_cli.generation.face_following import (
    AUTO,
    follows_faces,
    poses_of_nobody,
    poses_of_person,
    read_driving_face,
)
from stylefacev_cli.generation.motion_plan import open_track
from stylefacev_cli.generation.photo_crop import (
    as_frame,
    face_finder,
    fills_frame,
    whole_window,
    window_scale,
)

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray

    from stylefacev_cli.common.listener import Listener
    from stylefacev_cli.detection.crop_window import Window
    from stylefacev_cli.generation.face_following import DrivingFace
    from stylefacev_cli.generation.requests import DriverSearchOptions, MotionInMemory
    from stylefacev_cli.motion.pose_tracks import PoseTrack
    from stylefacev_cli.pipeline import Model, Person
    from stylefacev_cli.weights.manifest import Manifest

_BATCH = 16


@dataclass(frozen=True, eq=False)
class DrivingMotion:
    """A video or a track, checked before any network is loaded.

    Attributes:
        name: for messages and records.
        path: of the file; None for a track in memory.
        fps: its frames a second.
        num_frames: how many it has; of a video about.
        track: if it is one; None for a video.
        record: what records say of it.
    """

    name: str
    path: Path | None
    fps: float
    num_frames: int
    track: PoseTrack | None
    record: dict[str, Any]


def open_driving(source: str | MotionInMemory, manifest: Manifest) -> DrivingMotion:
    """Open a video, a track, or a track of `sf.track`.

    Raises:
        UsageError: the track is of another model.
        IntegrityError: the track is damaged.
        DataError: there is no such file, or the video does not say how many frames a second it has.
    """
    from stylefacev_cli.common.hashing import sha256_of
    from stylefacev_cli.media import frame_rate
    from stylefacev_cli.media.reader import claimed_frames
    from stylefacev_cli.motion.pose_tracks import SUFFIX

    path = Path(source) if isinstance(source, str) else None
    if path is None or path.suffix.lower() == SUFFIX:
        track, record = open_track(source, manifest)
        name = path.name if path else "track"
        return DrivingMotion(name, path, track.fps, len(track), track, record)
    fps = frame_rate(path)
    if fps is None:
        raise DataError(f"{path} does not say how many frames a second it has")
    record = {"file": path.name, "sha256": sha256_of(path)}
    return DrivingMotion(path.name, path, fps, claimed_frames(path), None, record)


def read_motion_of(
    source: DrivingMotion,
    person: Person,
    search: DriverSearchOptions,
    listener: Listener,
    *,
    relative: bool,
) -> tuple[torch.Tensor, dict[str, Any]]:
    """The poses [T, 1, 8, 8] in which a person follows a driving motion, and what records say.

    Args:
        source: a video or a track.
        person: who follows.
        search: how the face is found and read.
        listener: receives notes and progress.
        relative: as in `Model.reenact`.

    Raises:
        DataError, UsageError: as `read_poses`.
    """
    model = person.model
    if source.track is None and follows_faces(model.manifest, search):
        face = _read_face(source, model, search, listener)
        with listener.doing(f"{source.name}: aiming at the driver's movements"):
            poses = poses_of_person(face, person, relative=relative)
        return poses, {**source.record, **face.record}
    poses, record = read_poses(source, model, search, listener)
    return person.following(poses.to(model.device), relative).cpu(), record


def read_poses(
    source: DrivingMotion, model: Model, search: DriverSearchOptions, listener: Listener
) -> tuple[torch.Tensor, dict[str, Any]]:
    """The poses [T, 1, 8, 8] of a driving motion, on the CPU, and what records say of it.

    A model with a pose follower reads them from the face mesh, on its mean person.

    Args:
        source: a video or a track.
        model: whose networks read the faces.
        search: whether one window is cut out of the video, and which finder looks for the face.
        listener: receives notes and progress.

    Raises:
        DataError: the video cannot be read, there is not one face in all of its frames, or it
            moves further than one window can hold.
    """
    import torch

    from stylefacev_cli.media.reader import notes_on
    from stylefacev_cli.weights.bundle import needed

    if source.track is not None:
        return torch.from_numpy(source.track.poses), source.record
    if follows_faces(model.manifest, search):
        face = _read_face(source, model, search, listener)
        return poses_of_nobody(face, model), {**source.record, **face.record}
    assert source.path is not None
    if search.rest != AUTO:
        raise UsageError("--rest is of models with a pose follower, and of the face mesh")
    for note in notes_on(source.path):
        listener.note(f"{source.path}: {note}")
    window = _window(source, model, search, listener)
    detector = needed(model.networks.landmarks, "landmarks")
    size_px = min(window.side, detector.config.input_size)  # it takes any, and shrinks larger ones
    poses, pictures = [], _pictures(source.path)
    with listener.progress(source.num_frames, "frames") as advance:
        while batch := list(islice(pictures, _BATCH)):
            frames = torch.cat([as_frame(picture, window, size_px) for picture in batch])
            poses.append(model.extract_pose(frames.to(model.device)).cpu())
            for _ in batch:
                advance(source.path.name)
    return torch.cat(poses).clone(), {**source.record, "window": list(window)}


def _read_face(
    source: DrivingMotion, model: Model, search: DriverSearchOptions, listener: Listener
) -> DrivingFace:
    from stylefacev_cli.media.reader import notes_on

    assert source.path is not None
    for note in notes_on(source.path):
        listener.note(f"{source.path}: {note}")
    pictures = _pictures(source.path)
    return read_driving_face(source.path, pictures, source.fps, model.device.type, search, listener)


def _pictures(path: Path) -> Iterator[NDArray[np.uint8]]:
    from stylefacev_cli.media import read_frames
    from stylefacev_cli.motion.pose_tracks import MAX_TRACK_FRAMES

    return read_frames(path, max_frames=MAX_TRACK_FRAMES)


def _window(
    source: DrivingMotion, model: Model, search: DriverSearchOptions, listener: Listener
) -> Window:
    """The part of the picture that is cut out of every frame."""
    import numpy as np

    from stylefacev_cli.detection.crop_window import face_squares, steady_window
    from stylefacev_cli.detection.face_finders import TrackRule, find_in_picture

    path = source.path
    assert path is not None
    first = next(_pictures(path))
    height, width = first.shape[:2]
    if search.crop is False:
        return whole_window(first, str(path))
    with listener.doing(f"{path.name}: loading the finder of faces"):
        finder, scale = face_finder(model, search.detector), window_scale(model)
    with listener.doing(f"{path.name}: looking for the face with {finder.facts['name']}"):
        if search.crop is None and height == width:
            faces = find_in_picture(finder, first)
            if len(faces) == 1 and fills_frame(faces[0], first, scale):
                return whole_window(first, str(path))
        rule = TrackRule(source.fps, face_number=search.face)
        face_track = finder.track(_pictures(path), rule, str(path))
    for note in face_track.notes:
        listener.note(f"{path}: {note}")
    hint = "; --no-crop takes the frames as they are" if height == width else ""
    face_track.check_whole(str(path), hint)
    squares = face_squares(face_track.landmarks, scale)
    window = steady_window(np.asarray(squares), face_track.landmarks, width, height)
    if isinstance(window, str):
        raise DataError(f"{path}: {window}; give a video with more room around the face")
    return window
