"""Pose tracks: the motion of a video without its identity, as a file.

A track is a safetensors file with `poses` [T, 1, 8, 8] and optionally `key_points` [T, 14, 2],
both float32; its metadata holds one JSON text under `stylefacev_track` with the format's version,
frames a second, the pose space (`Manifest.pose_space`), whether it is a loop, and where it is from.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from stylefacev_cli.common.tensor_files import F32, MAX_DESCRIPTION, Headers, TensorFile
from stylefacev_cli.errors import IntegrityError, UsageError
from stylefacev_cli.weights.manifest import Manifest

SUFFIX = ".safetensors"
MAX_TRACK_FRAMES = 200_000  # two hours at 25 frames a second
MIN_FPS, MAX_FPS = 1e-3, 1000.0  # a picture in a quarter of an hour; a fast camera
_FILE = TensorFile("pose track", "stylefacev_track", format=1)
_SHAPES: dict[str, tuple[int, ...]] = {"poses": (1, 8, 8), "key_points": (14, 2)}
_MAX_BYTES = MAX_TRACK_FRAMES * 4 * (64 + 28) + 2 * MAX_DESCRIPTION


@dataclass(frozen=True)
class PoseTrack:
    """The motion of a face.

    Attributes:
        poses: float32 [T, 1, 8, 8].
        fps: frames a second.
        pose_space: of the model that the poses are from.
        key_points: float32 [T, 14, 2], fractions of the frame, by the model's key-point head;
            None: not computed.
        loops: the first frame may follow the last.
        origin: source and edits of the track; plain values.
    """

    poses: F32
    fps: float
    pose_space: str
    key_points: F32 | None = None
    loops: bool = False
    origin: Mapping[str, Any] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.poses)

    def __repr__(self) -> str:
        loop = ", a loop" if self.loops else ""
        return f"<pose track: {len(self)} poses, {self.fps:g} fps{loop}>"

    def save(self, path: str | Path) -> Path:
        """Write the track to a .safetensors file; returns its path.

        Raises:
            StyleFaceVError: it cannot be written.
        """
        write_track(Path(path), self)
        return Path(path)


def write_track(path: Path, track: PoseTrack) -> None:
    """Write a track atomically; equal tracks are equal files.

    Raises:
        StyleFaceVError: the file cannot be written.
    """
    tensors = {"poses": track.poses}
    if track.key_points is not None:
        tensors["key_points"] = track.key_points
    about = {
        "fps": track.fps,
        "pose_space": track.pose_space,
        "loops": track.loops,
        "origin": dict(track.origin),
    }
    _FILE.write(path, tensors, about)


def read_track(path: Path, manifest: Manifest | None = None) -> PoseTrack:
    """A track read from an untrusted file.

    Args:
        path: the file.
        manifest: of the model that plays it; None: any.

    Raises:
        UsageError: there is no such file, or it is from a model with another pose extractor.
        IntegrityError: the file is not a track, or damaged.
    """

    def check(headers: Headers, about: dict[str, Any]) -> None:
        _check_headers(path, headers)
        _check_values(path, about)

    tensors, about = _FILE.read(path, _MAX_BYTES, check)
    track = PoseTrack(
        poses=tensors["poses"],
        fps=float(about["fps"]),
        pose_space=about["pose_space"],
        key_points=tensors.get("key_points"),
        loops=about["loops"],
        origin=about["origin"],
    )
    if manifest is not None:
        check_pose_space(track, manifest, path)
    return track


def check_pose_space(track: PoseTrack, manifest: Manifest, path: Path) -> None:
    """Check that a track is from the pose extractor of a model.

    Raises:
        UsageError: the track is from a model with another pose extractor.
    """
    if track.pose_space != manifest.pose_space:
        raise UsageError(
            f"{path} is a track of another pose extractor than that of the model {manifest.name}; "
            "give the model that it was made with, or track the video again"
        )


def _check_headers(path: Path, headers: Headers) -> None:
    if not {"poses"} <= set(headers) <= set(_SHAPES):
        raise IntegrityError(f"{path}: poses and key_points expected, not other tensors")
    num_frames = (headers["poses"].shape or (0,))[0]
    if not 1 <= num_frames <= MAX_TRACK_FRAMES:
        raise IntegrityError(
            f"{path}: {num_frames} poses; a track has from 1 to {MAX_TRACK_FRAMES}"
        )
    for name, (shape, kind) in headers.items():
        expected = (num_frames, *_SHAPES[name])
        if shape != expected or kind != "F32":
            raise IntegrityError(
                f"{path}: {name} is {kind} {list(shape)}, but a track has F32 {list(expected)}"
            )


def _check_values(path: Path, about: Mapping[str, Any]) -> None:
    fps, space, loops = (about.get(key) for key in ("fps", "pose_space", "loops"))
    if not isinstance(fps, int | float) or isinstance(fps, bool) or not MIN_FPS <= fps <= MAX_FPS:
        raise IntegrityError(f"{path}: {str(fps)[:20]} frames a second cannot be")
    origin = about.get("origin")
    if not (isinstance(space, str) and isinstance(loops, bool) and isinstance(origin, dict)):
        raise IntegrityError(f"{path}: pose_space, loops or origin is damaged")
