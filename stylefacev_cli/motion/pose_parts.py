"""Scaling of the motion of parts of a face, in pose space.

Key points K_t [14, 2] of a track are decomposed into the motion of the head and of its parts:

    K_t = place_t + turn_t · (shape + B · nose_t + local_t)

place, in-plane rotation and scale (the complex number turn_t) are those of three stable points:
the middles of the eyes and the tip of the nose. The motion of the nose in that frame shows rotation
out of the plane; B, fitted to the track, says how the other points follow it. `local` is the rest:
mouth, eyes, brows. Each part is scaled on its own, which gives the target key points.

The pose with these key points is found by damped Gauss-Newton on the pose extractor's key-point
head: of all changes, the one of smallest Mahalanobis distance under the usual variation of poses.
(The change of smallest L2 norm leads to poses that no face has.)
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from stylefacev_cli.motion.pose_edits import smoothed
from stylefacev_cli.networks.stylefacev.landmarks import NUM_KEY_POINTS
from stylefacev_cli.networks.stylefacev.pose import POSE_SIZE, PoseExtractor

# Indices of the 14 key points, see `landmarks.key_points_from_landmarks`.
GROUPS: dict[str, tuple[int, ...]] = {
    "head": (8,),  # and place, rotation and scale of all
    "mouth": (9, 10, 11, 12, 13),
    "eyes": (2, 3, 4, 5, 6, 7),
    "brows": (0, 1),
}
_EYES, _NOSE = ((2, 3, 4), (5, 6, 7)), 8
_NOSE_NOISE = 0.002  # of the frame: smaller movements of the nose are noise
# Squared fractions of the frame, for one standard deviation of the pose.
FIRST_DAMPING, LEAST_DAMPING = 1e-6, 1e-6
_SMOOTHING_FRAMES = 9  # over which the change of a pose is smoothed
_SMOOTHING_HEAD_FRAMES = 15  # the same, where the head alone is changed: it is slower
_ROUNDS = 2  # of solving and smoothing, since smoothing takes back a part of the change
_NUM_ITERATIONS = 10
_CLOSE_ENOUGH = 1e-5  # of the frame
_BATCH = 256  # frames
_RIDGE = 1e-3  # of the mean variance, added to all directions


def scaled_key_points(key_points: Tensor, scales: Mapping[str, float]) -> Tensor:
    """The key points of a track with the motion of its parts scaled.

    Args:
        key_points: [T, 14, 2] fractions of the frame.
        scales: by group; 1 for those that are not named, 0 freezes a part at its mean.

    Returns:
        [T, 14, 2].
    """
    assert set(scales) <= set(GROUPS), f"groups are {', '.join(GROUPS)}"
    d = _decompose(key_points)
    factor = torch.ones(NUM_KEY_POINTS, dtype=key_points.dtype, device=key_points.device)
    for name, scale in scales.items():
        factor[list(GROUPS[name])] = scale
    of_head = float(scales.get("head", 1.0))
    log_turn = d.turn.log()
    middle = log_turn.mean(dim=0)
    turn = (middle + of_head * (log_turn - middle)).exp()
    place = d.place.mean(dim=0) + of_head * (d.place - d.place.mean(dim=0))
    inside = d.shape + of_head * (d.nose @ d.follow).view_as(d.local) + factor[:, None] * d.local
    return torch.view_as_real(place[:, None] + turn[:, None] * torch.view_as_complex(inside))


def amplitudes(key_points: Tensor) -> dict[str, float]:
    """How much each part moves: RMS deviation from its mean, in fractions of the frame.

    Args:
        key_points: [T, 14, 2].

    Returns:
        By group: of the head's place, and of the other parts relative to the head.
    """
    d = _decompose(key_points)
    of_parts = {
        name: float(d.local[:, list(points)].square().sum(dim=2).mean().sqrt())
        for name, points in GROUPS.items()
        if name != "head"
    }
    return {"head": float((d.place - d.place.mean(dim=0)).abs().square().mean().sqrt()), **of_parts}


def pose_covariance(poses: Tensor) -> Tensor:
    """Covariance [64, 64] of poses [N, 1, 8, 8], with a small ridge."""
    covariance = torch.cov(poses.flatten(1).T)
    size = len(covariance)
    eye = torch.eye(size, dtype=poses.dtype, device=poses.device)
    return covariance + (_RIDGE * covariance.trace() / size).clamp(min=1e-8) * eye


def poses_with_key_points(
    extractor: PoseExtractor, poses: Tensor, targets: Tensor, covariance: Tensor
) -> Tensor:
    """The poses nearest to given ones whose key points are the targets.

        min_δ |K(p + δ) − targets|² + damping · δᵀ C⁻¹ δ

    Args:
        extractor: whose head reads the key points K.
        poses: [T, 1, 8, 8].
        targets: [T, 14, 2], fractions of the frame.
        covariance: C [64, 64] of poses, see `pose_covariance`.

    Returns:
        [T, 1, 8, 8]; no number falls below both 0 and its former value.
    """
    assert targets.shape == (len(poses), NUM_KEY_POINTS, 2), list(targets.shape)
    parts = zip(torch.split(poses, _BATCH), torch.split(targets, _BATCH), strict=True)
    return torch.cat([_solve(extractor, batch, goals, covariance) for batch, goals in parts])


def scale_parts(
    extractor: PoseExtractor, poses: Tensor, scales: Mapping[str, float], covariance: Tensor
) -> Tensor:
    """A track with the motion of some parts of the face scaled or frozen.

    Key points are changed relative to those that the head reads, so that its errors cancel and
    factors of 1 change nothing.

    Args:
        extractor: as in `poses_with_key_points`.
        poses: [T, 1, 8, 8].
        scales: by group of `GROUPS`.
        covariance: as in `poses_with_key_points`.

    Returns:
        [T, 1, 8, 8].
    """
    head = {name: factor for name, factor in scales.items() if name == "head"}
    others = {name: factor for name, factor in scales.items() if name != "head"}
    for some, window in ((head, _SMOOTHING_HEAD_FRAMES), (others, _SMOOTHING_FRAMES)):
        if some:
            targets = scaled_key_points(read_key_points(extractor, poses), some)
            poses = _move_towards(extractor, poses, targets, covariance, window)
    return poses


def scale_motion(
    extractor: PoseExtractor, poses: Tensor, factor: float, covariance: Tensor
) -> Tensor:
    """A track with all motion scaled around its mean pose.

    Every deviation from the mean pose is multiplied. Poses far from the mean move the face by less
    than that, so for factors above 1 the scaled key points are then solved for.

    Args:
        extractor: as in `poses_with_key_points`.
        poses: [T, 1, 8, 8].
        factor: 0 stands still, 1 changes nothing, 2 doubles every deviation.
        covariance: as in `poses_with_key_points`.

    Returns:
        [T, 1, 8, 8]; nothing lies below both 0 and the lowest of `poses`.
    """
    mean = poses.mean(dim=0, keepdim=True)
    moved = (mean + factor * (poses - mean)).clamp(min=min(0.0, float(poses.min())))
    if factor <= 1:
        return moved
    read = read_key_points(extractor, poses)
    middle = read.mean(dim=0)
    targets = middle + factor * (read - middle)
    return _move_towards(extractor, moved, targets, covariance, _SMOOTHING_FRAMES)


def read_key_points(extractor: PoseExtractor, poses: Tensor) -> Tensor:
    """Key points [T, 14, 2] of poses [T, 1, 8, 8] by the extractor's head, in batches."""
    with torch.no_grad():
        return torch.cat([extractor.key_points(some) for some in torch.split(poses, _BATCH)])


def _move_towards(
    extractor: PoseExtractor, poses: Tensor, targets: Tensor, covariance: Tensor, window: int
) -> Tensor:
    """Poses moved towards target key points [T, 14, 2], smoothed over `window` frames."""
    for _ in range(_ROUNDS):
        solved = poses_with_key_points(extractor, poses, targets, covariance)
        poses = _smooth_change(poses, solved, window)
    return poses


def _smooth_change(poses: Tensor, changed: Tensor, num_frames: int) -> Tensor:
    """`poses` with their changes smoothed over `num_frames` frames.

    Each frame is solved on its own, and poses with nearly equal key points do not look equal:
    without smoothing of the change, frames flicker.
    """
    window = min(num_frames, (len(poses) - 1) // 2 * 2 + 1)
    if window < 3:
        return changed
    return torch.maximum(poses + smoothed(changed - poses, window), poses.clamp(max=0))


class _Decomposition(NamedTuple):
    """Key points of a track as motion of the head and of its parts (see the module)."""

    place: Tensor  # [T] complex
    turn: Tensor  # [T] complex: in-plane rotation and scale
    shape: Tensor  # [14, 2]
    nose: Tensor  # [T, 2]
    follow: Tensor  # B [2, 28]
    local: Tensor  # [T, 14, 2]


def _decompose(key_points: Tensor) -> _Decomposition:
    assert key_points.ndim == 3 and key_points.shape[1:] == (NUM_KEY_POINTS, 2), (
        f"key points [T, {NUM_KEY_POINTS}, 2] expected, got {list(key_points.shape)}"
    )
    points = torch.view_as_complex(key_points.contiguous())  # [T, 14]
    stable = torch.stack([*(points[:, list(eye)].mean(1) for eye in _EYES), points[:, _NOSE]], 1)
    place = stable.mean(dim=1)
    centred = stable - place[:, None]
    model = centred.mean(dim=0)  # near enough to be fitted to
    power = model.abs().square().sum().clamp(min=1e-9)
    turn = (centred * model.conj()).sum(dim=1) / power
    turn = torch.where(turn.abs() < 1e-3, torch.ones_like(turn), turn)
    inside = torch.view_as_real((points - place[:, None]) / turn[:, None])  # [T, 14, 2]
    shape = inside.mean(dim=0)
    moved = inside - shape
    nose = moved[:, _NOSE]
    ridge = len(nose) * _NOSE_NOISE**2 * torch.eye(2, dtype=nose.dtype, device=nose.device)
    follow = torch.linalg.solve(nose.T @ nose + ridge, nose.T @ moved.flatten(1))
    local = moved - (nose @ follow).view_as(moved)
    return _Decomposition(place, turn, shape, nose, follow, local)


def _solve(extractor: PoseExtractor, poses: Tensor, targets: Tensor, covariance: Tensor) -> Tensor:
    """Levenberg-Marquardt, for each frame separately: Gauss-Newton with adaptive damping."""

    def read(pose: Tensor) -> Tensor:
        return extractor.key_points(pose.view(1, 1, POSE_SIZE, POSE_SIZE)).flatten()

    def residual_at(candidate: Tensor) -> Tensor:
        with torch.no_grad():
            return (targets - extractor.key_points(candidate.view_as(poses))).flatten(1)

    start = poses.flatten(1)  # [N, 64]
    lowest, best, residual = start.clamp(max=0), start, residual_at(start)
    damping = torch.full_like(start[:, :1, None], FIRST_DAMPING)  # [N, 1, 1]
    free = torch.ones_like(start)  # 0 where the pose stands at its lowest
    eye = torch.eye(2 * NUM_KEY_POINTS, dtype=poses.dtype, device=poses.device)
    jacobians = torch.func.vmap(torch.func.jacrev(read))
    for _ in range(_NUM_ITERATIONS):
        if float(residual.abs().max()) < _CLOSE_ENOUGH:
            break
        jacobian = jacobians(best)  # [N, 28, 64]
        goal = residual + ((best - start)[:, None] @ jacobian.mT)[:, 0]
        spread = free[..., None] * (covariance @ (free[:, None] * jacobian).mT)  # C Jᵀ [N, 64, 28]
        weights = torch.linalg.solve(jacobian @ spread + damping * eye, goal[..., None])
        proposed = start + (spread @ weights)[..., 0]
        tried = torch.maximum(proposed, lowest)
        left = residual_at(tried)
        better = left.square().sum(1, keepdim=True) < residual.square().sum(1, keepdim=True)
        best, residual = torch.where(better, tried, best), torch.where(better, left, residual)
        free = torch.where(proposed < lowest, 0.0, free)
        change = torch.where(better, 0.3, 10.0)[..., None]
        damping = (damping * change).clamp(LEAST_DAMPING, 1.0)
    return best.view_as(poses)
