"""Pose tracks: the motion of a video without its person, as a file.

A track is a safetensors file with `poses` [T, 1, 8, 8] and, if wanted, `key_points` [T, 14, 2],
both float32; its metadata holds one JSON text under `stylefacev_track` with the format's version,
frames a second, the pose space (`Manifest.pose_space`), whether it is a loop, and where it is from.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
from numpy.typing import NDArray
from safetensors.numpy import save

from stylefacev_cli.errors import IntegrityError, UsageError
from stylefacev_cli.video.files import write_file, writing
from stylefacev_cli.weights.manifest import Manifest

FORMAT = 1
SUFFIX = ".safetensors"
MAX_TRACK_FRAMES = 200_000  # two hours at 25 frames a second
MAX_FPS = 1000.0
_KEY = "stylefacev_track"
_SHAPES: dict[str, tuple[int, ...]] = {"poses": (1, 8, 8), "key_points": (14, 2)}
_MAX_METADATA = 2**20
_MAX_BYTES = MAX_TRACK_FRAMES * 4 * (64 + 28) + 2 * _MAX_METADATA
_MAX_NUMBER = 1e4  # poses are of the order of 1

F32 = NDArray[np.float32]


@dataclass(frozen=True)
class PoseTrack:
    """The motion of a face.

    Attributes:
        poses: float32 [T, 1, 8, 8].
        fps: frames a second.
        pose_space: of the model that the poses are from.
        key_points: float32 [T, 14, 2], fractions of the frame, as the model reads them off the
            poses; None if nobody has.
        loops: the first frame may follow the last.
        origin: where the track is from, and what was done to it; plain values.
    """

    poses: F32
    fps: float
    pose_space: str
    key_points: F32 | None = None
    loops: bool = False
    origin: Mapping[str, Any] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.poses)


def write_track(path: Path, track: PoseTrack) -> None:
    """Write a track; it bears its name only when it is whole, and equal tracks are equal files.

    Raises:
        StyleFaceVError: the file cannot be written.
    """
    tensors = {"poses": np.ascontiguousarray(track.poses, np.float32)}
    if track.key_points is not None:
        tensors["key_points"] = np.ascontiguousarray(track.key_points, np.float32)
    about = {
        "format": FORMAT,
        "fps": track.fps,
        "pose_space": track.pose_space,
        "loops": track.loops,
        "origin": dict(track.origin),
    }
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    write_file(path, save(tensors, metadata={_KEY: json.dumps(about)}))


def read_track(path: Path, manifest: Manifest | None = None) -> PoseTrack:
    """Read a track that somebody made.

    Args:
        path: the file.
        manifest: of the model that is to play it; None: any.

    Raises:
        UsageError: there is no such file, or its poses mean nothing to the model.
        IntegrityError: the file is no track, or damaged.
    """
    if not path.is_file():
        raise UsageError(f"no such pose track: {path}")
    if path.stat().st_size > _MAX_BYTES:
        raise IntegrityError(f"{path} is too large for a pose track of {MAX_TRACK_FRAMES} frames")
    try:
        with safetensors.safe_open(path, framework="np") as file:
            about = _about(path, (file.metadata() or {}).get(_KEY))
            found = set(file.keys())
            if not {"poses"} <= found <= set(_SHAPES):
                raise IntegrityError(f"{path}: poses and key_points expected, not other tensors")
            headers = {name: file.get_slice(name) for name in found}
            num_frames = (headers["poses"].get_shape() or [0])[0]
            for name, header in headers.items():
                _check_header(path, name, header, num_frames)
            tensors = {name: file.get_tensor(name) for name in found}
    except (safetensors.SafetensorError, OSError) as error:
        raise IntegrityError(f"{path} is no pose track, or damaged: {error}") from error
    for name, numbers in tensors.items():
        if not np.isfinite(numbers).all() or np.abs(numbers).max() > _MAX_NUMBER:
            raise IntegrityError(f"{path}: {name} holds numbers that no face has")
    track = PoseTrack(tensors["poses"], key_points=tensors.get("key_points"), **about)
    if manifest is not None:
        check_pose_space(track, manifest, path)
    return track


def check_pose_space(track: PoseTrack, manifest: Manifest, path: Path) -> None:
    """Check that a model understands a track.

    Raises:
        UsageError: the track is from a model with another pose extractor.
    """
    if track.pose_space != manifest.pose_space:
        raise UsageError(
            f"{path} is a track of another pose extractor than that of the model {manifest.name}; "
            "give the model that it was made with, or track the video again"
        )


def _check_header(path: Path, name: str, header: Any, num_frames: int) -> None:
    shape, kind = tuple(header.get_shape()), header.get_dtype()
    if not 1 <= num_frames <= MAX_TRACK_FRAMES:
        raise IntegrityError(
            f"{path}: {num_frames} poses; a track has from 1 to {MAX_TRACK_FRAMES}"
        )
    wanted = (num_frames, *_SHAPES[name])
    if shape != wanted or kind != "F32":
        raise IntegrityError(
            f"{path}: {name} is {kind} {list(shape)}, but a track has F32 {list(wanted)}"
        )


def _about(path: Path, text: str | None) -> dict[str, Any]:
    """The metadata, each value checked."""
    if text is None or len(text) > _MAX_METADATA:
        raise IntegrityError(f"{path} is no pose track: it lacks its description")
    try:
        about = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise IntegrityError(f"{path}: its description is damaged") from error
    if not isinstance(about, dict) or about.get("format") != FORMAT:
        raise IntegrityError(f"{path}: not a pose track of format {FORMAT}")
    fps, space, loops = (about.get(key) for key in ("fps", "pose_space", "loops"))
    origin = about.get("origin")
    if not isinstance(fps, int | float) or isinstance(fps, bool) or not 0 < fps <= MAX_FPS:
        raise IntegrityError(f"{path}: {str(fps)[:20]} frames a second cannot be")
    if not (isinstance(space, str) and isinstance(loops, bool) and isinstance(origin, dict)):
        raise IntegrityError(f"{path}: pose_space, loops or origin is damaged")
    return {"fps": float(fps), "pose_space": space, "loops": loops, "origin": origin}
