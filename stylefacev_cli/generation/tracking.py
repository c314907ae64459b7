"""What `stylefacev track` does: poses of videos and tracks, edits, and the file."""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stylefacev_cli.cli.terminal import Terminal
from stylefacev_cli.common.signals import holding_signals
from stylefacev_cli.errors import UsageError
from stylefacev_cli.generation.driving import MotionSource, open_motion, poses_of
from stylefacev_cli.generation.motion_edits import Edits, moved_otherwise
from stylefacev_cli.generation.motion_plan import track_of
from stylefacev_cli.generation.output import describe_software
from stylefacev_cli.generation.output_paths import Target, check_writable
from stylefacev_cli.weights.manifest import read_manifest

if TYPE_CHECKING:
    import torch

    from stylefacev_cli.pipeline import Model

_PLACE = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,9})?)(s?)")


@dataclass(frozen=True)
class TrackWishes:
    """The options of the command, as given."""

    sources: tuple[Path, ...]
    out: Path
    crop: bool | None
    detector: str | None
    edits: Edits
    model: str
    device: str
    num_threads: int | None
    force: bool
    as_json: bool


def parse_cut(text: str, num_frames: int, fps: float) -> slice:
    """Read `A:B`: frames, or seconds with an s; either may be left out.

    Raises:
        UsageError: anything else, or a part that is empty or leaves the track.
    """
    how = f"give frames from 0 to {num_frames}, as in 10:50, or seconds, as in 0.5s:2s"
    edges = text.split(":")
    if len(edges) != 2:
        raise UsageError(f"--cut {text[:40]!r}: {how}")
    frames = []
    for edge, otherwise in zip(edges, (0, num_frames), strict=True):
        match = _PLACE.fullmatch(edge.strip())
        if edge.strip() and (match is None or ("." in edge and not match[2])):
            raise UsageError(f"--cut {text[:40]!r}: {edge.strip()[:40]!r} is no place; {how}")
        if match is None:
            frames.append(otherwise)
        else:
            frames.append(round(float(match[1]) * fps) if match[2] else int(match[1]))
    first, last = frames
    if not 0 <= first < last <= num_frames:
        raise UsageError(f"--cut {text[:40]!r}: frames {first} to {last} are not there; {how}")
    return slice(first, last)


def check_out(path: Path, suffix: str, force: bool) -> None:
    """Check the one file that a command will write.

    Raises:
        UsageError: its name is of another kind, or it is there already.
        StyleFaceVError: its folder cannot be written.
    """
    if path.suffix.lower() != suffix:
        raise UsageError(f"--out {path}: give a name that ends in {suffix}")
    if os.path.lexists(path) and not force:
        raise UsageError(f"{path} would be overwritten; add --force or choose another --out")
    if path.is_dir():
        raise UsageError(f"{path} is a folder: not overwritten; choose another --out")
    check_writable([Target((0,), path)])


def make_track(wishes: TrackWishes, terminal: Terminal) -> None:
    """Make a track; what can be known to fail is told before any network is loaded.

    Raises:
        StyleFaceVError: and its children, see `errors.py`.
    """
    edits = wishes.edits
    edits.check()
    check_out(wishes.out, ".safetensors", wishes.force)
    manifest = read_manifest(wishes.model, for_videos=True)
    sources = [open_motion(path, manifest) for path in wishes.sources]
    with holding_signals():
        from stylefacev_cli.common.threads import set_num_threads
        from stylefacev_cli.motion.pose_tracks import write_track
        from stylefacev_cli.pipeline import load_model

    if wishes.num_threads is not None:
        set_num_threads(wishes.num_threads)
    model = load_model(manifest.folder, wishes.device)
    poses, fps, about = _joined(sources, model, wishes, terminal)
    poses = _edited(poses, fps, edits, model, terminal)
    origin = {**describe_software(manifest), "sources": about, "edits": edits.told()}
    sole = sources[0].track if len(sources) == 1 else None
    still_loops = sole is not None and sole.loops and edits.cut is None and edits.fps is None
    track = track_of(poses, model, fps, origin, edits.loop or (still_loops and not edits.smooth))
    write_track(wishes.out, track)
    seconds = len(track) / track.fps
    terminal.note(f"{len(track)} poses, {seconds:.1f} s at {track.fps:g} frames per second")
    if wishes.as_json:
        facts = {"path": str(wishes.out), "frames": len(track), "fps": track.fps}
        facts |= {"loops": track.loops, "pose_space": track.pose_space, "origin": origin}
        terminal.result(json.dumps(facts, indent=2))
    else:
        terminal.result(str(wishes.out))


def _joined(
    sources: list[MotionSource], model: Model, wishes: TrackWishes, terminal: Terminal
) -> tuple[torch.Tensor, float, list[dict[str, Any]]]:
    """The poses of all sources at one rate, one behind the other."""
    import torch

    from stylefacev_cli.motion.pose_edits import crossfaded, resample
    from stylefacev_cli.motion.pose_tracks import MAX_TRACK_FRAMES

    fps = wishes.edits.fps or sources[0].fps
    whole: torch.Tensor | None = None
    about = []
    with terminal.progress(sum(one.num_frames for one in sources), "frames") as advance:
        for source in sources:
            poses, of_source = poses_of(source, model, wishes.crop, wishes.detector, advance)
            if len(poses) * fps / source.fps > MAX_TRACK_FRAMES:
                raise UsageError(f"{source.path}: more than {MAX_TRACK_FRAMES} frames at {fps:g}")
            if source.fps != fps:
                poses = torch.cat(list(resample(torch.split(poses, 1), source.fps / fps)))
            whole = poses if whole is None else crossfaded(whole, poses, wishes.edits.num_fade)
            about.append(of_source)
    assert whole is not None
    if len(whole) > MAX_TRACK_FRAMES:
        raise UsageError(f"{len(whole)} frames are more than a track holds: {MAX_TRACK_FRAMES}")
    return whole, fps, about


def _edited(
    poses: torch.Tensor, fps: float, edits: Edits, model: Model, terminal: Terminal
) -> torch.Tensor:
    from stylefacev_cli.motion.pose_edits import looped

    if edits.cut is not None:
        poses = poses[parse_cut(edits.cut, len(poses), fps)]
    if edits.reverse:
        poses = poses.flip(0)
    poses = moved_otherwise(poses, fps, edits, model, terminal.note)
    return looped(poses, edits.num_fade) if edits.loop else poses
