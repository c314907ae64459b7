"""Parts of a face that move more, less or not at all, in pose space.

Key points K_t [14, 2] of a track are taken apart into how the head moves and what its parts do:

    K_t = place_t + turn_t · (shape + B · nose_t + local_t)

place, in-plane rotation and scale (the complex number turn_t) are those of three stable points:
the middles of the eyes and the tip of the nose. What the nose does in that frame shows turns out of
the plane; B says how the other points follow it, fitted to the track. `local` is the rest: mouth,
eyes, brows. Each part is scaled on its own, which gives the wanted key points.

The pose that has them is found by Gauss-Newton on the pose extractor's key-point head: of all
changes the one that is smallest in units of how poses usually vary (Mahalanobis distance), damped.
The smallest in plain numbers leads to poses that no face has, and half of the wanted motion does
not arrive in the frames.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from stylefacev_cli.motion.pose_edits import smoothed
from stylefacev_cli.networks.stylefacev.landmarks import NUM_KEY_POINTS
from stylefacev_cli.networks.stylefacev.pose import POSE_SIZE, PoseExtractor

# Places in the 14 key points, see `landmarks.key_points_from_landmarks`.
GROUPS: dict[str, tuple[int, ...]] = {
    "head": (8,),  # and place, rotation and scale of all
    "mouth": (9, 10, 11, 12, 13),
    "eyes": (2, 3, 4, 5, 6, 7),
    "brows": (0, 1),
}
_EYES, _NOSE = ((2, 3, 4), (5, 6, 7)), 8
_NOSE_NOISE = 0.002  # of the frame: the nose's movements below that explain nothing
# Squared fractions of the frame, for one standard deviation of the pose.
FIRST_DAMPING, LEAST_DAMPING = 1e-6, 1e-6
_STEADY_FRAMES = 9  # over which the change of a pose is smoothed
_STEADY_HEAD_FRAMES = 15  # the same, where the head alone is changed: it is slower
_ROUNDS = 2  # of asking for key points: smoothing takes some of what was found away
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
    place, turn, shape, nose, follow, local = _taken_apart(key_points)
    factor = torch.ones(NUM_KEY_POINTS, dtype=key_points.dtype, device=key_points.device)
    for name, scale in scales.items():
        factor[list(GROUPS[name])] = scale
    of_head = float(scales.get("head", 1.0))
    log_turn = turn.log()
    middle = log_turn.mean(dim=0)
    turn = (middle + of_head * (log_turn - middle)).exp()
    place = place.mean(dim=0) + of_head * (place - place.mean(dim=0))
    inside = shape + of_head * (nose @ follow).view_as(local) + factor[:, None] * local
    return torch.view_as_real(place[:, None] + turn[:, None] * torch.view_as_complex(inside))


def amplitudes(key_points: Tensor) -> dict[str, float]:
    """How much each part moves: RMS deviation from its mean, in fractions of the frame.

    Args:
        key_points: [T, 14, 2].

    Returns:
        By group; of the head that of its place, of the others what is left when the head's
        movements are taken away.
    """
    place, _, _, _, _, local = _taken_apart(key_points)
    found = {
        name: float(local[:, list(points)].square().sum(dim=2).mean().sqrt())
        for name, points in GROUPS.items()
        if name != "head"
    }
    return {"head": float((place - place.mean(dim=0)).abs().square().mean().sqrt()), **found}


def pose_covariance(poses: Tensor) -> Tensor:
    """Covariance [64, 64] of poses [N, 1, 8, 8], with a little of every direction."""
    covariance = torch.cov(poses.flatten(1).T)
    size = len(covariance)
    eye = torch.eye(size, dtype=poses.dtype, device=poses.device)
    return covariance + (_RIDGE * covariance.trace() / size).clamp(min=1e-8) * eye


def poses_with_key_points(
    extractor: PoseExtractor, poses: Tensor, wanted: Tensor, variation: Tensor
) -> Tensor:
    """The poses nearest to given ones that have the wanted key points.

        min_δ |K(p + δ) − wanted|² + damping · δᵀ C⁻¹ δ

    Args:
        extractor: whose head reads the key points K.
        poses: [T, 1, 8, 8].
        wanted: [T, 14, 2].
        variation: C [64, 64], how poses usually vary.

    Returns:
        [T, 1, 8, 8], nothing below both 0 and what was there.
    """
    assert wanted.shape == (len(poses), NUM_KEY_POINTS, 2), list(wanted.shape)
    parts = zip(torch.split(poses, _BATCH), torch.split(wanted, _BATCH), strict=True)
    return torch.cat([_solved(extractor, some, goal, variation) for some, goal in parts])


def scale_parts(
    extractor: PoseExtractor, poses: Tensor, scales: Mapping[str, float], variation: Tensor
) -> Tensor:
    """A track with the motion of some parts of the face made larger, smaller or frozen.

    The change of key points is asked for, not the key points themselves: what the head reads
    wrongly stays as wrong as it was, and factors of 1 change nothing.

    Args:
        extractor: as in `poses_with_key_points`.
        poses: [T, 1, 8, 8].
        scales: by group of `GROUPS`.
        variation: as in `poses_with_key_points`.

    Returns:
        [T, 1, 8, 8].
    """
    head = {name: factor for name, factor in scales.items() if name == "head"}
    others = {name: factor for name, factor in scales.items() if name != "head"}
    for some, window in ((head, _STEADY_HEAD_FRAMES), (others, _STEADY_FRAMES)):
        if some:
            wanted = scaled_key_points(read_key_points(extractor, poses), some)
            poses = _asked_for(extractor, poses, wanted, variation, window)
    return poses


def scale_motion(
    extractor: PoseExtractor, poses: Tensor, factor: float, variation: Tensor
) -> Tensor:
    """All movement of a track made larger or smaller around its mean pose.

    Every deviation from the mean pose is multiplied. Poses far from the mean show less than that,
    so for factors above 1 the key points are then asked to move as much more as the factor says.

    Args:
        extractor: as in `poses_with_key_points`.
        poses: [T, 1, 8, 8].
        factor: 0 stands still, 1 changes nothing, 2 doubles every deviation.
        variation: as in `poses_with_key_points`.

    Returns:
        [T, 1, 8, 8]; nothing lies below both 0 and the lowest of `poses`.
    """
    mean = poses.mean(dim=0, keepdim=True)
    moved = (mean + factor * (poses - mean)).clamp(min=min(0.0, float(poses.min())))
    if factor <= 1:
        return moved
    read = read_key_points(extractor, poses)
    middle = read.mean(dim=0)
    wanted = middle + factor * (read - middle)
    return _asked_for(extractor, moved, wanted, variation, _STEADY_FRAMES)


def read_key_points(extractor: PoseExtractor, poses: Tensor) -> Tensor:
    """Key points [T, 14, 2] that the extractor's head reads off poses [T, 1, 8, 8], in batches."""
    with torch.no_grad():
        return torch.cat([extractor.key_points(some) for some in torch.split(poses, _BATCH)])


def _asked_for(
    extractor: PoseExtractor, poses: Tensor, wanted: Tensor, variation: Tensor, window: int
) -> Tensor:
    """`poses` changed towards the wanted key points [T, 14, 2], steadily over `window` frames."""
    for _ in range(_ROUNDS):
        found = poses_with_key_points(extractor, poses, wanted, variation)
        poses = _steady(poses, found, window)
    return poses


def _steady(poses: Tensor, changed: Tensor, num_frames: int) -> Tensor:
    """`poses` with their changes smoothed over so many frames.

    Each frame was solved on its own, and the many poses with nearly the same key points do not
    look the same: what was changed has to be steady in time, or the picture flickers.
    """
    window = min(num_frames, (len(poses) - 1) // 2 * 2 + 1)
    if window < 3:
        return changed
    return torch.maximum(poses + smoothed(changed - poses, window), poses.clamp(max=0))


def _taken_apart(key_points: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Place [T] and turn [T] (complex), shape [14, 2], nose [T, 2], B [2, 28], local [T, 14, 2]."""
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
    return place, turn, shape, nose, follow, local


def _solved(extractor: PoseExtractor, poses: Tensor, wanted: Tensor, variation: Tensor) -> Tensor:
    """Gauss-Newton, damped more where a step did not help (Levenberg and Marquardt), each frame."""

    def read(pose: Tensor) -> Tensor:
        return extractor.key_points(pose.view(1, 1, POSE_SIZE, POSE_SIZE)).flatten()

    def missing_at(found: Tensor) -> Tensor:
        with torch.no_grad():
            return (wanted - extractor.key_points(found.view_as(poses))).flatten(1)

    start = poses.flatten(1)  # [N, 64]
    lowest, best, missing = start.clamp(max=0), start, missing_at(start)
    damping = torch.full_like(start[:, :1, None], FIRST_DAMPING)  # [N, 1, 1]
    free = torch.ones_like(start)  # 0 where the pose stands at its lowest
    eye = torch.eye(2 * NUM_KEY_POINTS, dtype=poses.dtype, device=poses.device)
    slopes = torch.func.vmap(torch.func.jacrev(read))
    for _ in range(_NUM_ITERATIONS):
        if float(missing.abs().max()) < _CLOSE_ENOUGH:
            break
        jacobian = slopes(best)  # [N, 28, 64]
        goal = missing + ((best - start)[:, None] @ jacobian.mT)[:, 0]
        spread = free[..., None] * (variation @ (free[:, None] * jacobian).mT)  # C Jᵀ [N, 64, 28]
        weights = torch.linalg.solve(jacobian @ spread + damping * eye, goal[..., None])
        wished = start + (spread @ weights)[..., 0]
        tried = torch.maximum(wished, lowest)
        left = missing_at(tried)
        better = left.square().sum(1, keepdim=True) < missing.square().sum(1, keepdim=True)
        best, missing = torch.where(better, tried, best), torch.where(better, left, missing)
        free = torch.where(wished < lowest, 0.0, free)
        change = torch.where(better, 0.3, 10.0)[..., None]
        damping = (damping * change).clamp(LEAST_DAMPING, 1.0)
    return best.view_as(poses)
