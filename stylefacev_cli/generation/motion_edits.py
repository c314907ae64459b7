"""Edits of motion, the same for pose tracks and videos: smoothing, amplitude of all or of parts."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from stylefacev_cli.errors import UsageError

if TYPE_CHECKING:
    import torch

    from stylefacev_cli.common.listener import Listener
    from stylefacev_cli.generation.requests import MotionEdits
    from stylefacev_cli.pipeline import Model

PARTS = ("head", "mouth", "eyes", "brows")
MAX_SCALE = 4.0


@dataclass(frozen=True)
class Edits:
    """Edits in the order in which they are applied; None, False and nothing change nothing.

    Attributes:
        fps: of the result.
        cut: frames `A:B`, or seconds with an s.
        reverse: backwards.
        smooth: frames to smooth over, odd.
        motion_scale: amplitude of all motion.
        scales: amplitude of single parts.
        loop: closed.
        num_fade: frames of cross-fades.
    """

    fps: float | None = None
    cut: str | None = None
    reverse: bool = False
    smooth: int | None = None
    motion_scale: float | None = None
    scales: Mapping[str, float] | None = None
    loop: bool = False
    num_fade: int = 8

    @property
    def needs_all_poses(self) -> bool:
        """Whether poses have to be held and edited together (fps, cut and reverse aside)."""
        return bool(self.smooth or self.motion_scale is not None or self.scales or self.loop)

    def as_record(self) -> dict[str, Any]:
        """Those that change something, as records hold them."""
        names = {"num_fade": "fade"}
        record = {names.get(key, key): value for key, value in vars(self).items() if value}
        if self.motion_scale is not None:
            record["motion_scale"] = self.motion_scale
        return record


def parse_edits(
    options: MotionEdits,
    *,
    fps: float | None = None,
    cut: str | None = None,
    reverse: bool = False,
) -> Edits:
    """The edits of a request, checked as far as they can be without the motion.

    Raises:
        UsageError: scales that are none, or an even number of frames to smooth over.
    """
    if options.smooth is not None and options.smooth % 2 == 0:
        raise UsageError(f"--smooth {options.smooth}: give an odd number of frames")
    return Edits(
        fps=fps,
        cut=cut,
        reverse=reverse,
        smooth=options.smooth,
        motion_scale=options.motion_scale,
        scales=parse_scales(options.scale),
        loop=options.loop,
        num_fade=options.fade,
    )


def parse_scales(texts: Sequence[str]) -> dict[str, float]:
    """The factors of `mouth=1.2` and the like, by part.

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


def edit_poses(
    poses: torch.Tensor, fps: float, edits: Edits, model: Model, listener: Listener
) -> torch.Tensor:
    """Poses [T, 1, 8, 8] smoothed and scaled, on the CPU; what that costs is noted.

    Raises:
        UsageError: there are fewer poses than are to be smoothed over.
    """
    from stylefacev_cli.motion.pose_edits import smoothed
    from stylefacev_cli.motion.pose_parts import (
        amplitudes,
        pose_covariance,
        scale_motion,
        scale_parts,
    )
    from stylefacev_cli.weights.bundle import needed

    if edits.smooth is not None:
        if edits.smooth > len(poses):
            raise UsageError(f"--smooth {edits.smooth}: the motion has {len(poses)} frames")
        before, poses = poses, smoothed(poses, edits.smooth)
        old_points, new_points = read_key_points(model, before), read_key_points(model, poses)
        listener.note(_cost_of_smoothing(old_points, new_points, fps))
    if edits.motion_scale is not None or edits.scales:
        before, poses = read_key_points(model, poses), poses.to(model.device)
        variation = pose_covariance(model.usual_poses.clone())
        head = needed(model.networks.pose, "pose")
        if edits.motion_scale is not None:
            poses = scale_motion(head, poses, edits.motion_scale, variation)
        if edits.scales:
            poses = scale_parts(head, poses, edits.scales, variation)
        poses = poses.cpu()
        old, new = amplitudes(before), amplitudes(read_key_points(model, poses))
        ratios = ", ".join(f"{name} ×{new[name] / max(old[name], 1e-9):.2f}" for name in PARTS)
        listener.note(f"motion as the pose's key points show it: {ratios}")
    return poses


def read_key_points(model: Model, poses: torch.Tensor) -> torch.Tensor:
    """Key points [T, 14, 2] that a model's pose head reads off poses [T, 1, 8, 8], on the CPU."""
    from stylefacev_cli.motion.pose_parts import read_key_points
    from stylefacev_cli.weights.bundle import needed

    return read_key_points(needed(model.networks.pose, "pose"), poses.to(model.device)).cpu()


def _cost_of_smoothing(before: torch.Tensor, after: torch.Tensor, fps: float) -> str:
    """What smoothing removed from key points [T, 14, 2]: speed, which is motion, and jitter."""
    from stylefacev_cli.metrics.motion import MIN_FRAMES, measure_motion

    if len(before) < MIN_FRAMES:
        return f"smoothing: fewer than {MIN_FRAMES} frames, its cost is not measured"
    old, new = (measure_motion(points.numpy(), fps) for points in (before, after))
    lost = [
        100 * (1 - now / was) if was > 0 else 0.0
        for now, was in ((new.speed, old.speed), (new.jitter, old.jitter), (new.range, old.range))
    ]
    assert all(math.isfinite(share) for share in lost)
    return (
        f"smoothing took {lost[0]:.0f} % of the motion energy (speed), {lost[1]:.0f} % of the "
        f"jitter and {lost[2]:.0f} % of the range"
    )
