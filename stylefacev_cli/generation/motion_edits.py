"""Edits of motion, the same for tracks and for videos: smoother, more, less, single parts."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from stylefacev_cli.errors import UsageError

if TYPE_CHECKING:
    import torch

    from stylefacev_cli.pipeline import Model

PARTS = ("head", "mouth", "eyes", "brows")
MAX_SCALE = 4.0


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

    @property
    def changes(self) -> bool:
        """Whether poses are to be held and edited, apart from what only tracks can have."""
        return bool(self.smooth or self.motion_scale is not None or self.scales or self.loop)

    def check(self) -> None:
        """Check what can be known without the motion.

        Raises:
            UsageError: an even number of frames to smooth over.
        """
        if self.smooth is not None and self.smooth % 2 == 0:
            raise UsageError(f"--smooth {self.smooth}: give an odd number of frames")

    def told(self) -> dict[str, Any]:
        """Those that change something, for records."""
        names = {"num_fade": "fade"}
        told = {names.get(key, key): value for key, value in vars(self).items() if value}
        if self.motion_scale is not None:
            told["motion_scale"] = self.motion_scale
        return told


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


def moved_otherwise(
    poses: torch.Tensor, fps: float, edits: Edits, model: Model, tell: Callable[[str], None]
) -> torch.Tensor:
    """Poses [T, 1, 8, 8] smoothed and scaled, on the CPU; `tell` is told what it costs.

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
        tell(_cost(key_points_of(model, before), key_points_of(model, poses), fps))
    if edits.motion_scale is not None or edits.scales:
        before, poses = key_points_of(model, poses), poses.to(model.device)
        variation = pose_covariance(model.usual_poses.clone())
        head = needed(model.networks.pose, "pose")
        if edits.motion_scale is not None:
            poses = scale_motion(head, poses, edits.motion_scale, variation)
        if edits.scales:
            poses = scale_parts(head, poses, edits.scales, variation)
        poses = poses.cpu()
        was, now = amplitudes(before), amplitudes(key_points_of(model, poses))
        told = ", ".join(f"{name} ×{now[name] / max(was[name], 1e-9):.2f}" for name in PARTS)
        tell(f"motion as the pose's key points show it: {told}")
    return poses


def key_points_of(model: Model, poses: torch.Tensor) -> torch.Tensor:
    """Key points [T, 14, 2] that a model's head reads off poses [T, 1, 8, 8], on the CPU."""
    from stylefacev_cli.motion.pose_parts import read_key_points
    from stylefacev_cli.weights.bundle import needed

    return read_key_points(needed(model.networks.pose, "pose"), poses.to(model.device)).cpu()


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
