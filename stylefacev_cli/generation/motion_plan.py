"""The motion of videos: from the motion sampler or a pose track, edited, and saved as a track."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain, islice, repeat
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stylefacev_cli.errors import UsageError
from stylefacev_cli.generation.mixing import interpolated, positions
from stylefacev_cli.generation.motion_edits import Edits, edit_poses, read_key_points
from stylefacev_cli.generation.outputs.output_paths import Columns

if TYPE_CHECKING:
    import torch

    from stylefacev_cli.common.listener import Listener
    from stylefacev_cli.generation.requests import MotionInMemory
    from stylefacev_cli.motion.pose_tracks import PoseTrack
    from stylefacev_cli.pipeline import Model, Person
    from stylefacev_cli.weights.manifest import Manifest

MAX_FRAMES = 10_000_000
_SPARE_FRAMES = 100  # where a loop may begin later, to close better


@dataclass(frozen=True)
class Motion:
    """The motion of the faces of one column.

    Attributes:
        motion_seed: None: each video its own seed.
        track: that is played; None: the motion sampler generates the poses.
        source: the track as records name it.
        name: the track as file names have it.
        step: from frame to frame, in poses; 1 unless motion is resampled.
    """

    motion_seed: int | None = None
    track: PoseTrack | None = None
    source: dict[str, Any] | None = None
    name: str = ""
    step: float = 1.0

    @property
    def length(self) -> float:
        """How many frames it has: those of a track, without end for a loop or the sampler."""
        if self.track is None or self.track.loops:
            return math.inf
        return math.floor((len(self.track) - 1) / self.step + 1e-6) + 1


@dataclass(frozen=True)
class MotionPlan:
    """The motions of a request's videos, their length and rate.

    Attributes:
        motions: by column; one unless there is a matrix.
        num_frames: of each video.
        fps: of each video.
        edits: of each motion; None: it stays as it is.
    """

    motions: tuple[Motion, ...]
    num_frames: int
    fps: float
    edits: Edits | None = None

    @property
    def columns(self) -> Columns:
        """The motions as file names have them."""
        if self.motions[0].track is not None:
            return Columns("track", tuple(motion.name for motion in self.motions))
        seeds = [motion.motion_seed for motion in self.motions]
        return Columns(names=tuple("" if seed is None else str(seed) for seed in seeds))

    @property
    def loops(self) -> bool:
        """Whether what follows the last frame is the first one."""
        return self.edits is not None and self.edits.loop

    @property
    def needs_all_poses(self) -> bool:
        """Whether poses are held and edited together."""
        return self.edits is not None and self.edits.needs_all_poses

    @property
    def num_held(self) -> int:
        """Poses that edits need at once; 0 without edits."""
        if self.edits is None or not self.edits.needs_all_poses:
            return 0
        over = self.edits.num_fade + _SPARE_FRAMES if self.edits.loop else 0
        return self.num_frames + int(min(over, *(m.length - self.num_frames for m in self.motions)))


@dataclass(frozen=True)
class Pace:
    """The length and speed that a request asks for.

    Attributes:
        num_frames: None: by seconds, or the track's, else the model's default.
        seconds: the length in seconds.
        fps: None: the track's, else the model's.
        resample: another rate leaves the speed of the motion as it is.
    """

    num_frames: int | None = None
    seconds: float | None = None
    fps: float | None = None
    resample: bool = False

    @property
    def is_of_videos(self) -> bool:
        """Whether, as far as is known without a model, it is of more than a single image."""
        return self.seconds is None and self.num_frames != 1


def plan_motions(
    manifest: Manifest,
    tracks: Sequence[str | MotionInMemory],
    motion_seeds: Sequence[int],
    pace: Pace,
    edits: Edits | None,
) -> MotionPlan:
    """The motions of a request; tracks are read and checked before any network is loaded.

    Raises:
        UsageError: options contradict each other, or a track is too short or of another model.
        IntegrityError: a track is damaged.
    """
    if pace.resample and pace.fps is None:
        raise UsageError("--resample: to which rate? give --fps")
    if tracks and motion_seeds:
        raise UsageError("--track brings its own motion: leave out --motion-seeds")
    motions = _open_motions(tracks, manifest) or [Motion(seed) for seed in motion_seeds]
    motions = motions or [Motion()]
    rates = [manifest.fps if motion.track is None else motion.track.fps for motion in motions]
    if len(set(rates)) > 1 and not pace.resample:
        listed = " and ".join(f"{rate:g}" for rate in sorted(set(rates)))
        raise UsageError(f"--track: at {listed} frames per second; add --fps and --resample")
    fps = pace.fps or rates[0]
    if pace.resample:
        motions = [replace(one, step=rate / fps) for one, rate in zip(motions, rates, strict=True)]
    num_frames = _num_frames(motions, pace, fps, edits, manifest.default_frames)
    plan = MotionPlan(tuple(motions), num_frames, fps, edits)
    _check_length(plan)
    return plan


def _open_motions(tracks: Sequence[str | MotionInMemory], manifest: Manifest) -> list[Motion]:
    motions = []
    for number, one in enumerate(tracks, start=1):
        track, source = open_track(one, manifest)
        name = Path(one).stem if isinstance(one, str) else f"track-{number}"
        motions.append(Motion(None, track, source, name))
    if len({motion.name for motion in motions}) < len(motions):
        raise UsageError("--track: two tracks have one name, and so would their videos; rename one")
    return motions


def _num_frames(
    motions: list[Motion], pace: Pace, fps: float, edits: Edits | None, default: int
) -> int:
    shortest = min(motion.length for motion in motions)
    target, option = pace.num_frames, f"--frames {pace.num_frames}"
    if pace.seconds is not None:
        target, option = max(1, round(pace.seconds * fps)), f"--seconds {pace.seconds:g}"
        if target > MAX_FRAMES:
            raise UsageError(f"{option}: {target} frames; a video has at most {MAX_FRAMES}")
    if target is not None and target > shortest:
        raise UsageError(
            f"{option}: the track has {shortest:g}; make a loop of it: "
            f"stylefacev track TRACK --loop -o loop.safetensors"
        )
    if target is not None:
        return target
    if motions[0].track is None:
        return default
    if shortest == math.inf:  # loops only
        tracks = [(motion.track, motion.step) for motion in motions if motion.track is not None]
        return min(max(1, round(len(track) / step)) for track, step in tracks)
    if edits is None or not edits.loop:
        return int(shortest)
    # A loop gives up what fades, and where it may begin.
    return int(shortest) - min(edits.num_fade, int(shortest) // 4) - int(shortest) // 8


def _check_length(plan: MotionPlan) -> None:
    if plan.num_held:
        from stylefacev_cli.motion.pose_tracks import MAX_TRACK_FRAMES

        if plan.num_held > MAX_TRACK_FRAMES:
            raise UsageError(
                f"{plan.num_frames} frames are too many to be edited: at most {MAX_TRACK_FRAMES}"
            )
    smooth = (plan.edits and plan.edits.smooth) or 0
    if smooth > plan.num_frames:
        raise UsageError(f"--smooth {smooth}: the video has {plan.num_frames} frames")


def open_track(
    source: str | MotionInMemory, manifest: Manifest
) -> tuple[PoseTrack, dict[str, Any]]:
    """A track of a file or of `sf.track`, and how records name it (errors as `read_track`)."""
    import hashlib

    from stylefacev_cli.common.hashing import sha256_of
    from stylefacev_cli.motion.pose_tracks import PoseTrack, check_pose_space, read_track

    if isinstance(source, PoseTrack):
        check_pose_space(source, manifest, Path("track"))
        return source, {"poses_sha256": hashlib.sha256(source.poses.tobytes()).hexdigest()}
    if not isinstance(source, str):
        raise UsageError(f"a {type(source).__name__} is no pose track; give a file or sf.track's")
    path = Path(source)
    return read_track(path, manifest), {"file": path.name, "sha256": sha256_of(path)}


def appearance_and_poses(
    model: Model,
    plan: MotionPlan,
    motion: Motion,
    people: Sequence[Person],
    own_seed: int,
    stabilise: bool,
    listener: Listener,
) -> tuple[torch.Tensor | Iterator[torch.Tensor], Iterator[torch.Tensor]]:
    """Who is seen, and how the face moves.

    Each identity moves as it would alone, with the same noise; between two of them the appearance
    maps and the poses are interpolated linearly, so that the video begins and ends as theirs do.

    Args:
        model: that renders them.
        plan: length, rate and edits.
        motion: one of `plan.motions`.
        people: one person, or several that follow each other over the video.
        own_seed: of the motion, if `motion` names none.
        stabilise: keep the poses of long videos near the first ones.
        listener: receives notes on what edits cost.

    Returns:
        The appearance [1, C, 8, 8] of a person, or one for each frame; the poses [1, 1, 8, 8].
    """
    seed = own_seed if motion.motion_seed is None else motion.motion_seed
    moving = people if motion.track is None else people[:1]  # a track moves everybody alike
    num = plan.num_held or plan.num_frames
    sequences: list[Iterator[torch.Tensor]] = [
        islice(_unedited(model, motion, person, seed, num, stabilise), num) for person in moving
    ]
    if plan.edits is not None and plan.edits.needs_all_poses:
        sequences = _edited(sequences, plan, plan.edits, model, listener)
    num_frames, closed = plan.num_frames, plan.loops
    poses = sequences[0]
    if len(sequences) > 1:
        keys_and_places = zip(*sequences, positions(num_frames, closed), strict=False)
        poses = (interpolated(keys, place) for *keys, place in keys_and_places)
    if len(people) == 1:
        return people[0].appearance, poses
    faces = [person.appearance for person in people]
    return (interpolated(faces, place) for place in positions(num_frames, closed)), poses


def _unedited(
    model: Model, motion: Motion, person: Person, motion_seed: int, num_frames: int, stabilise: bool
) -> Iterator[torch.Tensor]:
    """The poses [1, 1, 8, 8] of at least so many frames, if the track has them."""
    poses: Iterable[torch.Tensor]
    if motion.track is not None:
        import torch

        whole = torch.from_numpy(motion.track.poses).to(model.device)
        poses = torch.split(whole, 1)
        if motion.track.loops:
            poses = chain.from_iterable(repeat(poses))
    else:
        # Two more than are shown, so that the last frames of a short video are those of a long one.
        num = math.ceil((num_frames - 1) * motion.step) + (1 if motion.step == 1 else 3)
        poses = model.motion(person.first_pose, motion_seed, num, stabilise)
    if motion.step == 1:
        return iter(poses)
    from stylefacev_cli.motion.pose_edits import resample

    return resample(poses, motion.step)


def _edited(
    sequences: Sequence[Iterator[torch.Tensor]],
    plan: MotionPlan,
    edits: Edits,
    model: Model,
    listener: Listener,
) -> list[Iterator[torch.Tensor]]:
    """The poses of each sequence, edited together so that all have the same length."""
    import torch

    from stylefacev_cli.motion.pose_edits import loop_of_length

    whole = [torch.cat(list(poses)).cpu() for poses in sequences]
    whole = [edit_poses(poses, plan.fps, edits, model, listener) for poses in whole]
    together = torch.cat(whole, dim=1)  # [T, K, 8, 8]: all begin and end at the same time
    if edits.loop:
        together = loop_of_length(together, plan.num_frames, edits.num_fade)
    tracks = torch.split(together.to(model.device), 1, dim=1)
    return [iter(torch.split(track, 1)) for track in tracks]


def make_track(
    poses: torch.Tensor, model: Model, fps: float, origin: dict[str, Any], loops: bool = False
) -> PoseTrack:
    """A track of a model's poses [T, 1, 8, 8], with the key points that its head reads."""
    from stylefacev_cli.motion.pose_tracks import PoseTrack

    pose_space = model.manifest.pose_space
    assert pose_space is not None, "poses come from a model that has an extractor"
    points = read_key_points(model, poses).numpy()
    return PoseTrack(poses.cpu().numpy(), fps, pose_space, points, loops, origin)
