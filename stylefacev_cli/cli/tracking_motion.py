"""What `stylefacev track` does: poses of videos and tracks, edits, and the file."""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stylefacev_cli.cli.delivery import describe_software
from stylefacev_cli.cli.motion_sources import MotionSource, open_motion, poses_of
from stylefacev_cli.cli.outputs import Target, check_writable
from stylefacev_cli.cli.playing import key_points_of, track_of
from stylefacev_cli.cli.terminal import Terminal, holding_signals
from stylefacev_cli.errors import UsageError
from stylefacev_cli.weights.manifest import read_manifest

if TYPE_CHECKING:
    import torch

    from stylefacev_cli.pipeline import Model

PARTS = ("head", "mouth", "eyes", "brows")
MAX_SCALE = 4.0
_PLACE = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,9})?)(s?)")


@dataclass(frozen=True)
class Edits:
    """What is done to a track, in this order; None, False and nothing change nothing."""

    fps: float | None = None
    cut: str | None = None
    reverse: bool = False
    smooth: int | None = None  # frames
    motion_scale: float | None = None
    scales: Mapping[str, float] | None = None
    loop: bool = False
    num_fade: int = 8

    def told(self) -> dict[str, Any]:
        """Those that change something, for records."""
        names = {"num_fade": "fade"}
        told = {names.get(key, key): value for key, value in vars(self).items() if value}
        if self.motion_scale is not None:
            told["motion_scale"] = self.motion_scale
        return told


@dataclass(frozen=True)
class TrackWishes:
    """The options of the command, as given."""

    sources: tuple[Path, ...]
    out: Path
    crop: bool | None
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


def parse_scales(texts: list[str]) -> dict[str, float]:
    """Read `mouth=1.2` and the like.

    Raises:
        UsageError: anything else, a part that is not known or named twice.
    """
    scales: dict[str, float] = {}
    for text in texts:
        part, equals, number = (piece.strip() for piece in text.partition("="))
        how = f"give {', '.join(PARTS)} and a factor from 0 to {MAX_SCALE:g}, as in mouth=1.2"
        if part not in PARTS or not equals:
            raise UsageError(f"--scale {text[:40]!r}: {how}")
        if re.fullmatch(r"[0-9]{0,3}\.?[0-9]{1,9}", number) is None or float(number) > MAX_SCALE:
            raise UsageError(f"--scale {text[:40]!r}: {number[:40]!r} is no such factor; {how}")
        if part in scales:
            raise UsageError(f"--scale: {part} is named twice")
        scales[part] = float(number)
    return scales


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
    if edits.smooth is not None and edits.smooth % 2 == 0:
        raise UsageError(f"--smooth {edits.smooth}: give an odd number of frames")
    check_out(wishes.out, ".safetensors", wishes.force)
    manifest = read_manifest(wishes.model)
    manifest.check_complete()
    sources = [open_motion(path, manifest) for path in wishes.sources]
    with holding_signals():
        from stylefacev_cli.data.pose_tracks import write_track
        from stylefacev_cli.networks.threads import set_num_threads
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

    from stylefacev_cli.data.pose_tracks import MAX_TRACK_FRAMES
    from stylefacev_cli.networks.pose_edits import joined, resample

    fps = wishes.edits.fps or sources[0].fps
    whole: torch.Tensor | None = None
    about = []
    with terminal.progress(sum(one.num_frames for one in sources), "frames") as advance:
        for source in sources:
            poses, of_source = poses_of(source, model, wishes.crop, advance)
            if len(poses) * fps / source.fps > MAX_TRACK_FRAMES:
                raise UsageError(f"{source.path}: more than {MAX_TRACK_FRAMES} frames at {fps:g}")
            if source.fps != fps:
                poses = torch.cat(list(resample(torch.split(poses, 1), source.fps / fps)))
            whole = poses if whole is None else joined(whole, poses, wishes.edits.num_fade)
            about.append(of_source)
    assert whole is not None
    if len(whole) > MAX_TRACK_FRAMES:
        raise UsageError(f"{len(whole)} frames are more than a track holds: {MAX_TRACK_FRAMES}")
    return whole, fps, about


def _edited(
    poses: torch.Tensor, fps: float, edits: Edits, model: Model, terminal: Terminal
) -> torch.Tensor:
    from stylefacev_cli.networks.pose_edits import looped, smoothed, with_more_motion
    from stylefacev_cli.networks.pose_parts import amplitudes, scale_parts, usual_variation
    from stylefacev_cli.weights.bundle import needed

    if edits.cut is not None:
        poses = poses[parse_cut(edits.cut, len(poses), fps)]
    if edits.reverse:
        poses = poses.flip(0)
    if edits.smooth is not None:
        if edits.smooth > len(poses):
            raise UsageError(f"--smooth {edits.smooth}: the track has {len(poses)} frames")
        before, poses = poses, smoothed(poses, edits.smooth)
        terminal.note(_cost(key_points_of(model, before), key_points_of(model, poses), fps))
    if edits.motion_scale is not None:
        poses = with_more_motion(poses, edits.motion_scale)
    if edits.scales:
        before = key_points_of(model, poses)
        variation = usual_variation(model.usual_poses.clone())
        head = needed(model.networks.pose, "pose")
        poses = scale_parts(head, poses.to(model.device), edits.scales, variation).cpu()
        was, now = amplitudes(before), amplitudes(key_points_of(model, poses))
        told = ", ".join(f"{name} ×{now[name] / max(was[name], 1e-9):.2f}" for name in PARTS)
        terminal.note(f"motion as the pose's key points show it: {told}")
    return looped(poses, edits.num_fade) if edits.loop else poses


def _cost(before: torch.Tensor, after: torch.Tensor, fps: float) -> str:
    """What smoothing took away: speed, which is motion, and acceleration, which is jitter."""
    from stylefacev_cli.metrics.motion import MIN_FRAMES, measure_motion

    if len(before) < MIN_FRAMES:
        return f"smoothing: fewer than {MIN_FRAMES} frames, its cost is not measured"
    was, now = (measure_motion(points.numpy(), fps) for points in (before, after))
    lost = [
        100 * (1 - new / old) if old > 0 else 0.0
        for new, old in ((now.speed, was.speed), (now.jitter, was.jitter), (now.range, was.range))
    ]
    assert all(math.isfinite(share) for share in lost)
    return (
        f"smoothing took {lost[0]:.0f} % of the motion energy (speed), {lost[1]:.0f} % of the "
        f"jitter and {lost[2]:.0f} % of the range"
    )
