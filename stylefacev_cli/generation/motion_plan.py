"""Where the poses of a video come from and go to: tracks, the sampler, edits, files."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain, islice, repeat
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stylefacev_cli.errors import UsageError
from stylefacev_cli.generation.camera import along, shares
from stylefacev_cli.generation.motion_edits import Edits, key_points_of, moved_otherwise
from stylefacev_cli.generation.output_paths import Columns
from stylefacev_cli.weights.manifest import Manifest

if TYPE_CHECKING:
    import torch

    from stylefacev_cli.motion.pose_tracks import PoseTrack
    from stylefacev_cli.pipeline import Model, Person

MAX_FRAMES = 10_000_000
_SPARE_FRAMES = 100  # where a loop may begin later, to close better


@dataclass(frozen=True)
class Motion:
    """What moves the faces of one column.

    Attributes:
        motion_seed: None: each video its own seed.
        track: that is played; None: the sampler invents the motion.
        source: the track as records name it.
        name: the track as file names tell it.
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
class Playing:
    """What moves the faces, how fast, and for how long.

    Attributes:
        motions: by column; one unless there is a matrix.
        num_frames: of each video.
        fps: of each video.
        edits: of each motion.
    """

    motions: tuple[Motion, ...]
    num_frames: int
    fps: float
    edits: Edits

    @property
    def columns(self) -> Columns:
        """The motions as names of files tell them."""
        if self.motions[0].track is not None:
            return Columns("track", tuple(motion.name for motion in self.motions))
        seeds = [motion.motion_seed for motion in self.motions]
        return Columns(names=tuple("" if seed is None else str(seed) for seed in seeds))

    @property
    def num_held(self) -> int:
        """Poses that edits need at once; 0 without edits."""
        if not self.edits.changes:
            return 0
        over = self.edits.num_fade + _SPARE_FRAMES if self.edits.loop else 0
        return self.num_frames + int(min(over, *(m.length - self.num_frames for m in self.motions)))


@dataclass(frozen=True)
class Pace:
    """How long and how fast, as wished for."""

    num_frames: int | None = None  # None: by seconds, or the track's, else the model's default
    seconds: float | None = None
    fps: float | None = None  # None: the track's, else the model's
    resample: bool = False

    @property
    def is_of_videos(self) -> bool:
        """Whether, as far as can be told without a model, it is of more than a single image."""
        return self.seconds is None and self.num_frames != 1


def plan_playing(
    manifest: Manifest, tracks: Sequence[str], motion_seeds: Sequence[int], pace: Pace, edits: Edits
) -> Playing:
    """Put the options together; tracks are read and checked now, before any network is loaded.

    Raises:
        UsageError: they contradict each other, or a track is too short or of another model.
        IntegrityError: a track is damaged.
    """
    if pace.resample and pace.fps is None:
        raise UsageError("--resample: to which rate? give --fps")
    if tracks and motion_seeds:
        raise UsageError("--track brings its own motion: leave out --motion-seeds")
    edits.check()
    motions = _opened(tracks, manifest) or [Motion(seed) for seed in motion_seeds] or [Motion()]
    rates = [manifest.fps if motion.track is None else motion.track.fps for motion in motions]
    if len(set(rates)) > 1 and not pace.resample:
        told = " and ".join(f"{rate:g}" for rate in sorted(set(rates)))
        raise UsageError(f"--track: at {told} frames per second; add --fps and --resample")
    fps = pace.fps or rates[0]
    if pace.resample:
        motions = [replace(one, step=rate / fps) for one, rate in zip(motions, rates, strict=True)]
    num_frames = _num_frames(motions, pace, fps, edits, manifest.default_frames)
    playing = Playing(tuple(motions), num_frames, fps, edits)
    _check_held(playing)
    return playing


def _opened(names: Sequence[str], manifest: Manifest) -> list[Motion]:
    motions = []
    for name in names:
        track, source = open_track(Path(name), manifest)
        motions.append(Motion(None, track, source, Path(name).stem))
    if len({motion.name for motion in motions}) < len(motions):
        raise UsageError("--track: two tracks have one name, and so would their videos; rename one")
    return motions


def _num_frames(motions: list[Motion], pace: Pace, fps: float, edits: Edits, default: int) -> int:
    shortest = min(motion.length for motion in motions)
    wanted, option = pace.num_frames, f"--frames {pace.num_frames}"
    if pace.seconds is not None:
        wanted, option = max(1, round(pace.seconds * fps)), f"--seconds {pace.seconds:g}"
        if wanted > MAX_FRAMES:
            raise UsageError(f"{option}: {wanted} frames; a video has at most {MAX_FRAMES}")
    if wanted is not None and wanted > shortest:
        raise UsageError(
            f"{option}: the track has {shortest:g}; make a loop of it: "
            f"stylefacev track TRACK --loop -o loop.safetensors"
        )
    if wanted is not None:
        return wanted
    if motions[0].track is None:
        return default
    if shortest == math.inf:  # loops only
        tracks = [(motion.track, motion.step) for motion in motions if motion.track is not None]
        return min(max(1, round(len(track) / step)) for track, step in tracks)
    # A loop gives up what fades, and where it may begin.
    given_up = min(edits.num_fade, int(shortest) // 4) + int(shortest) // 8 if edits.loop else 0
    return int(shortest) - given_up


def _check_held(playing: Playing) -> None:
    from stylefacev_cli.motion.pose_tracks import MAX_TRACK_FRAMES

    if playing.num_held > MAX_TRACK_FRAMES:
        raise UsageError(
            f"{playing.num_frames} frames are too many to be edited: at most {MAX_TRACK_FRAMES}"
        )
    smooth = playing.edits.smooth or 0
    if smooth > playing.num_frames:
        raise UsageError(f"--smooth {smooth}: the video has {playing.num_frames} frames")


def open_track(path: Path, manifest: Manifest) -> tuple[PoseTrack, dict[str, Any]]:
    """A track that a model is to play, and how records name it (errors as `read_track`)."""
    from stylefacev_cli.common.hashing import sha256_of
    from stylefacev_cli.motion.pose_tracks import read_track

    track = read_track(path, manifest)
    return track, {"file": path.name, "sha256": sha256_of(path)}


def moving(
    model: Model, playing: Playing, motion: Motion, people: Sequence[Person], own_seed: int,
    stabilise: bool, tell: Callable[[str], None],
) -> tuple[torch.Tensor | Iterator[torch.Tensor], Iterator[torch.Tensor]]:  # fmt: skip
    """Who is seen, and how the face moves.

    Each of the identities moves as it would alone, with the same noise; between two of them the
    appearance maps and the poses are mixed linearly. So the video begins and ends as theirs do.
    Appearances go before ws, whose straight lines lead through the mean face, and before z, whose
    arcs jump: of the eight pairs tried with default-64 theirs were the most even and the sharpest.

    Args:
        model: that draws them.
        playing: length, rate and edits.
        motion: one of `playing.motions`.
        people: one person, or several that follow each other over the video.
        own_seed: of the motion, if `motion` names none.
        stabilise: hold poses of long videos.
        tell: is told what edits cost.

    Returns:
        The appearance [1, C, 8, 8] of a person, or one for each frame; the poses [1, 1, 8, 8].
    """
    own = own_seed if motion.motion_seed is None else motion.motion_seed
    firsts = [person.first_pose for person in people]
    if motion.track is not None:
        firsts = firsts[:1]  # a track moves everybody alike
    num = playing.num_held or playing.num_frames
    moves: list[Iterator[torch.Tensor]] = [
        islice(_unedited(model, motion, pose, own, num, stabilise), num) for pose in firsts
    ]
    if playing.edits.changes:
        moves = _edited(moves, playing, model, tell)
    closed = playing.edits.loop
    ways = shares(playing.num_frames, closed)
    poses = (along(some, share) for *some, share in zip(*moves, ways, strict=False))
    if len(people) == 1:
        return people[0].appearance, poses
    faces = [person.appearance for person in people]
    return (along(faces, share) for share in shares(playing.num_frames, closed)), poses


def _unedited(
    model: Model, motion: Motion, first_pose: torch.Tensor, motion_seed: int, num_frames: int,
    stabilise: bool,
) -> Iterator[torch.Tensor]:  # fmt: skip
    """The poses [1, 1, 8, 8] of at least so many frames, if the track has them."""
    import torch

    from stylefacev_cli.motion.pose_edits import resample

    poses: Iterable[torch.Tensor]
    if motion.track is not None:
        poses = torch.split(torch.from_numpy(motion.track.poses).to(model.device), 1)
        if motion.track.loops:
            poses = chain.from_iterable(repeat(poses))
    else:
        # Two more than are shown, so that the last frames of a short video are those of a long one.
        num = math.ceil((num_frames - 1) * motion.step) + (1 if motion.step == 1 else 3)
        poses = model.motion(first_pose, motion_seed, num, stabilise)
    return iter(poses if motion.step == 1 else resample(poses, motion.step))


def _edited(
    moves: list[Iterator[torch.Tensor]], playing: Playing, model: Model, tell: Callable[[str], None]
) -> list[Iterator[torch.Tensor]]:
    import torch

    from stylefacev_cli.motion.pose_edits import loop_of_length

    edits = playing.edits
    whole = [torch.cat(list(poses)).cpu() for poses in moves]
    whole = [moved_otherwise(poses, playing.fps, edits, model, tell) for poses in whole]
    together = torch.cat(whole, dim=1)  # [T, K, 8, 8]: all begin and end at the same time
    if edits.loop:
        together = loop_of_length(together, playing.num_frames, edits.num_fade)
    tracks = torch.split(together.to(model.device), 1, dim=1)
    return [iter(torch.split(track, 1)) for track in tracks]


def kept(poses: Iterator[torch.Tensor], into: list[torch.Tensor]) -> Iterator[torch.Tensor]:
    """Hand poses on, and keep them."""
    for pose in poses:
        into.append(pose.cpu())
        yield pose


def save_poses(
    path: Path,
    poses: list[torch.Tensor],
    model: Model,
    fps: float,
    origin: dict[str, Any],
    loops: bool,
) -> None:
    """Write poses [1, 1, 8, 8] as a track (errors as `write_track`)."""
    import torch

    from stylefacev_cli.motion.pose_tracks import write_track

    write_track(path, track_of(torch.cat(poses), model, fps, origin, loops))


def track_of(
    poses: torch.Tensor, model: Model, fps: float, origin: dict[str, Any], loops: bool = False
) -> PoseTrack:
    """A track of a model's poses [T, 1, 8, 8], with the key points that its head reads."""
    from stylefacev_cli.motion.pose_tracks import PoseTrack

    pose_space = model.manifest.pose_space
    assert pose_space is not None, "poses come from a model that has an extractor"
    points = key_points_of(model, poses).numpy()
    return PoseTrack(poses.cpu().numpy(), fps, pose_space, points, loops, origin)
