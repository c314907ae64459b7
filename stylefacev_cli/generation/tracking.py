"""Pose tracks: the motion of videos and of other tracks, joined and edited."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stylefacev_cli.common.paths import expand_home
from stylefacev_cli.errors import UsageError
from stylefacev_cli.generation.driving import DrivingMotion, open_driving, read_poses
from stylefacev_cli.generation.motion_edits import Edits, edit_poses, parse_edits
from stylefacev_cli.generation.motion_plan import make_track
from stylefacev_cli.generation.outputs.output import describe_software
from stylefacev_cli.generation.outputs.output_paths import check_new_files
from stylefacev_cli.generation.requests.kind_options import check_own
from stylefacev_cli.weights.manifest import Manifest, read_manifest

if TYPE_CHECKING:
    import torch

    from stylefacev_cli.generation.requests import DriverSearchOptions, TrackRequest
    from stylefacev_cli.generation.run import Session
    from stylefacev_cli.motion.pose_tracks import PoseTrack

_SUFFIX = ".safetensors"
_PLACE = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,9})?)(s?)")


@dataclass(frozen=True)
class TrackPlan:
    """The track of a request.

    Attributes:
        manifest: of the model.
        sources: videos and tracks, one behind the other.
        edits: of all of them together.
        search: how the face is found.
        path: of the file; None: in memory.
        force: a file that is there is overwritten.
    """

    manifest: Manifest
    sources: tuple[DrivingMotion, ...]
    edits: Edits
    search: DriverSearchOptions
    path: Path | None
    force: bool = False

    @property
    def outputs(self) -> list[list[Path]]:
        """What is written, as `claimed` takes it."""
        return [] if self.path is None else [[self.path]]


def plan_track(request: TrackRequest, manifest: Manifest | None = None) -> TrackPlan:
    """The track of a request, checked before any network is loaded.

    Args:
        request: what is asked for.
        manifest: of the model; None: of `request.compute.model`.

    Raises:
        StyleFaceVError: and its children, see `errors.py`.
    """
    edits = parse_edits(request.edits, fps=request.fps, cut=request.cut, reverse=request.reverse)
    path = None
    if request.out is not None:
        path = expand_home(request.out, "--out")
        if path.suffix.lower() != _SUFFIX:
            raise UsageError(f"--out {path}: give a name that ends in {_SUFFIX}")
        check_new_files([path], request.force)
    manifest = manifest or read_manifest(request.compute.model, for_videos=True, any_kind=True)
    check_own(manifest, "track")
    sources = tuple(open_driving(one, manifest) for one in (request.source, *request.join))
    return TrackPlan(manifest, sources, edits, request.search, path, request.force)


def run_track(plan: TrackPlan, session: Session) -> PoseTrack:
    """Read, join and edit the motion, and write the track if it has a path.

    Raises:
        StyleFaceVError: and its children, see `errors.py`.
    """
    from stylefacev_cli.motion.pose_tracks import write_track

    edits, sources = plan.edits, plan.sources
    with session.clock.counting("search_s"):
        poses, fps, records = _join(plan, session)
    poses = _edit(poses, fps, edits, session)
    origin = {
        **describe_software(plan.manifest),
        "sources": records,
        "edits": edits.as_record(),
    }
    only = sources[0].track if len(sources) == 1 else None
    keeps_loop = only is not None and only.loops and edits.cut is None and edits.fps is None
    loops = edits.loop or (keeps_loop and not edits.smooth)
    track = make_track(poses, session.own_model, fps, origin, loops)
    if plan.path is not None:
        write_track(plan.path, track)
    return track


def parse_cut(text: str, num_frames: int, fps: float) -> slice:
    """The frames of `A:B`: numbers, or seconds with an s; either may be left out.

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


def _join(plan: TrackPlan, session: Session) -> tuple[torch.Tensor, float, list[dict[str, Any]]]:
    """The poses [T, 1, 8, 8] of all sources at one rate, the rate, and the sources' records."""
    import torch

    from stylefacev_cli.motion.pose_edits import crossfaded, resample
    from stylefacev_cli.motion.pose_tracks import MAX_TRACK_FRAMES

    fps = plan.edits.fps or plan.sources[0].fps
    whole: torch.Tensor | None = None
    records = []
    for source in plan.sources:
        poses, record = read_poses(source, session.own_model, plan.search, session.listener)
        if len(poses) * fps / source.fps > MAX_TRACK_FRAMES:
            raise UsageError(f"{source.name}: more than {MAX_TRACK_FRAMES} frames at {fps:g}")
        if source.fps != fps:
            resampled: Iterator[torch.Tensor] = resample(torch.split(poses, 1), source.fps / fps)
            poses = torch.cat(list(resampled))
        whole = poses if whole is None else crossfaded(whole, poses, plan.edits.num_fade)
        records.append(record)
    assert whole is not None
    if len(whole) > MAX_TRACK_FRAMES:
        raise UsageError(f"{len(whole)} frames are more than a track holds: {MAX_TRACK_FRAMES}")
    return whole, fps, records


def _edit(poses: torch.Tensor, fps: float, edits: Edits, session: Session) -> torch.Tensor:
    from stylefacev_cli.motion.pose_edits import looped

    if edits.cut is not None:
        poses = poses[parse_cut(edits.cut, len(poses), fps)]
    if edits.reverse:
        poses = poses.flip(0)
    poses = edit_poses(poses, fps, edits, session.own_model, session.listener)
    return looped(poses, edits.num_fade) if edits.loop else poses
