"""Where the poses of a video come from and go to: a track, the sampler, other rates, files."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, islice, repeat
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stylefacev_cli.errors import UsageError
from stylefacev_cli.weights.manifest import Manifest

if TYPE_CHECKING:
    import torch

    from stylefacev_cli.data.pose_tracks import PoseTrack
    from stylefacev_cli.pipeline import Model, Person

DEFAULT_FRAMES = 64


@dataclass(frozen=True)
class Playing:
    """What moves the faces, how fast, and for how long.

    Attributes:
        track: that is played; None: each video has a motion of its own.
        source: the track as records name it.
        num_frames: of each video.
        fps: of each video.
        step: from frame to frame, in poses; 1 unless motion is resampled.
    """

    track: PoseTrack | None
    source: dict[str, Any] | None
    num_frames: int
    fps: float
    step: float


def plan_playing(
    manifest: Manifest, track_name: str | None, num_frames: int | None, fps: float | None,
    resample: bool, motion_seed: int | None,
) -> Playing:  # fmt: skip
    """Put the options together; a track is read and checked now, before any network is loaded.

    Raises:
        UsageError: they contradict each other, or the track is too short or of another model.
        IntegrityError: the track is damaged.
    """
    if resample and fps is None:
        raise UsageError("--resample: to which rate? give --fps")
    if track_name is None:
        step = manifest.fps / fps if resample and fps else 1.0
        return Playing(None, None, num_frames or DEFAULT_FRAMES, fps or manifest.fps, step)
    if motion_seed is not None:
        raise UsageError("--track brings its own motion: leave out --motion-seed")
    track, source = open_track(Path(track_name), manifest)
    step = track.fps / fps if resample and fps else 1.0
    if track.loops:
        most = max(1, round(len(track) / step))
    else:
        most = math.floor((len(track) - 1) / step + 1e-6) + 1
    if num_frames is not None and num_frames > most and not track.loops:
        raise UsageError(
            f"--frames {num_frames}: the track has {most}; make a loop of it: "
            f"stylefacev track {track_name} --loop -o loop.safetensors"
        )
    return Playing(track, source, num_frames or most, fps or track.fps, step)


def open_track(path: Path, manifest: Manifest) -> tuple[PoseTrack, dict[str, Any]]:
    """A track that a model is to play, and how records name it (errors as `read_track`)."""
    from stylefacev_cli.data.pose_tracks import read_track
    from stylefacev_cli.weights.hashing import sha256_of

    track = read_track(path, manifest)
    return track, {"file": path.name, "sha256": sha256_of(path)}


def moving(
    model: Model, playing: Playing, person: Person, seed: int, motion_seed: int | None,
    stabilise: bool,
) -> Iterator[torch.Tensor]:  # fmt: skip
    """The poses [1, 1, 8, 8] of a person's frames; the noise is that of the seed."""
    import torch

    from stylefacev_cli.networks.pose_edits import resample

    poses: Iterable[torch.Tensor]
    if playing.track is not None:
        whole = torch.from_numpy(playing.track.poses).to(model.device)
        poses = torch.split(whole, 1)
        if playing.track.loops:
            poses = chain.from_iterable(repeat(poses))
    else:
        # Two more than are shown, so that the last frames of a short video are those of a long one.
        num = math.ceil((playing.num_frames - 1) * playing.step) + (1 if playing.step == 1 else 3)
        own = seed if motion_seed is None else motion_seed
        poses = model.motion(person.first_pose, own, num, stabilise)
    if playing.step != 1:
        poses = resample(poses, playing.step)
    return islice(poses, playing.num_frames)


def kept(poses: Iterator[torch.Tensor], into: list[torch.Tensor]) -> Iterator[torch.Tensor]:
    """Hand poses on, and keep them."""
    for pose in poses:
        into.append(pose.cpu())
        yield pose


def save_poses(
    path: Path, poses: list[torch.Tensor], model: Model, fps: float, origin: dict[str, Any]
) -> None:
    """Write poses [1, 1, 8, 8] as a track (errors as `write_track`)."""
    import torch

    from stylefacev_cli.data.pose_tracks import write_track

    write_track(path, track_of(torch.cat(poses), model, fps, origin))


def track_of(
    poses: torch.Tensor, model: Model, fps: float, origin: dict[str, Any], loops: bool = False
) -> PoseTrack:
    """A track of a model's poses [T, 1, 8, 8], with the key points that its head reads."""
    from stylefacev_cli.data.pose_tracks import PoseTrack

    pose_space = model.manifest.pose_space
    assert pose_space is not None, "poses come from a model that has an extractor"
    points = key_points_of(model, poses).numpy()
    return PoseTrack(poses.cpu().numpy(), fps, pose_space, points, loops, origin)


def key_points_of(model: Model, poses: torch.Tensor) -> torch.Tensor:
    """Key points [T, 14, 2] that a model's head reads off poses [T, 1, 8, 8], on the CPU."""
    import torch

    from stylefacev_cli.weights.bundle import needed

    head = needed(model.networks.pose, "pose")
    with torch.inference_mode():
        return torch.cat(
            [head.key_points(some.to(model.device)) for some in torch.split(poses, 256)]
        ).cpu()
