"""The face's own frame: points of the face mesh without the rotation, size and place of the head.

    points_t = place_t + size_t · rotation_t · local_t

The rotation is that of points which expressions do not move: nose, temples, cheekbones, corners of
the eyes. Local points have x towards the left side of the face (right in the picture of a face that
looks ahead), y down, z towards the back, in distances between the eyes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

F64 = NDArray[np.float64]

# Points of the mesh that the skull carries: right half, the same on the left, the middle.
_RIGHT = (33, 133, 127, 234, 162, 21, 54, 103, 67, 109, 116, 123, 98, 97, 114, 217)
_LEFT = (263, 362, 356, 454, 389, 251, 284, 332, 297, 338, 345, 352, 327, 326, 343, 437)
_MIDDLE = (10, 151, 168, 6, 197, 195, 5, 4, 2)
STABLE_POINTS = (*_RIGHT, *_LEFT, *_MIDDLE)
_EYES = ((33, 133), (362, 263))  # corners of each
_TOP, _BOTTOM = (10, 151, 168), (2, 98, 327)  # of the middle line that does not move
_ROUNDS = 2  # of aligning and averaging


@dataclass(frozen=True)
class HeadFrames:
    """Heads of a video, one for each frame, see above.

    Attributes:
        rotation: float64 [T, 3, 3], orthonormal, from the face's own frame to the picture's.
        size: float64 [T], of the distance between the eyes, in the unit of the points.
        place: float64 [T, 3], of the point midway between the eyes, in the unit of the points.
        local: float64 [T, 478, 3] in distances between the eyes.
    """

    rotation: F64
    size: F64
    place: F64
    local: F64

    @property
    def angles_deg(self) -> F64:
        """Yaw, pitch and roll [T, 3]: to the right of the picture, down, clockwise as seen."""
        return angles_deg(self.rotation)


def head_frames(mesh: NDArray[np.floating], shape: F64 | None = None) -> HeadFrames:
    """The heads of meshes.

    Args:
        mesh: points [T, 478, 3], x right, y down, z towards the back, in one unit.
        shape: [478, 3] local points that heads are aligned with; None: the mean of these ones.
    """
    points: F64 = mesh.astype(np.float64)
    stable = list(STABLE_POINTS)
    middle = points[:, stable].mean(1, keepdims=True)
    rotation = _axes(points)
    if shape is None:
        local = (points - middle) @ rotation
        local /= _spread(local[:, stable])
        shape = local.mean(0)
        for _ in range(_ROUNDS):
            rotation = _aligned(points[:, stable] - middle, shape[stable])
            local = (points - middle) @ rotation
            local /= _spread(local[:, stable])
            shape = local.mean(0)
    else:
        centred = shape - shape[stable].mean(0)
        shape = centred / _spread(centred[None, stable])[0]
    rotation = _aligned(points[:, stable] - middle, shape[stable])
    local = (points - middle) @ rotation
    spread = _spread(local[:, stable])
    eyes = [shape[list(corners)].mean(0) for corners in _EYES]
    apart = float(np.linalg.norm(eyes[1] - eyes[0]))
    between = (eyes[0] + eyes[1]) / 2
    local = (local / spread - between) / apart
    place = middle[:, 0] + spread[:, 0] * (between @ rotation.transpose(0, 2, 1))
    return HeadFrames(rotation, spread[:, 0, 0] * apart, place, local)


def angles_deg(rotation: F64) -> F64:
    """Yaw, pitch and roll [T, 3] of rotations [T, 3, 3], see `HeadFrames.angles_deg`."""
    ahead = -rotation[:, :, 2]
    yaw = np.arctan2(ahead[:, 0], -ahead[:, 2])
    pitch = np.arctan2(ahead[:, 1], np.hypot(ahead[:, 0], ahead[:, 2]))
    level = np.stack([np.cos(yaw), np.zeros_like(yaw), np.sin(yaw)], 1)  # across, without roll
    down = np.cross(-ahead, level)
    across = rotation[:, :, 0]
    roll = np.arctan2((across * down).sum(1), (across * level).sum(1))
    return np.asarray(np.degrees(np.stack([yaw, pitch, roll], 1)))


def _axes(points: F64) -> F64:
    """Rotations [T, 3, 3] from symmetric points and the middle line."""
    across = points[:, list(_LEFT)].mean(1) - points[:, list(_RIGHT)].mean(1)
    down = points[:, list(_BOTTOM)].mean(1) - points[:, list(_TOP)].mean(1)
    across /= np.linalg.norm(across, axis=1, keepdims=True)
    down -= (down * across).sum(1, keepdims=True) * across
    down /= np.linalg.norm(down, axis=1, keepdims=True)
    return np.stack([across, down, np.cross(across, down)], 2)


def _spread(points: F64) -> F64:
    """RMS distance of points [T, K, 3] from their mean: [T, 1, 1]."""
    centred = points - points.mean(1, keepdims=True)
    return np.asarray(np.sqrt(np.square(centred).sum(2).mean(1))[:, None, None])


def _aligned(centred: F64, shape: F64) -> F64:
    """The rotations [T, 3, 3] that take a shape [K, 3] to points [T, K, 3] best (Kabsch 1976)."""
    u, _, vt = np.linalg.svd(np.einsum("tki,kj->tij", centred, shape - shape.mean(0)))
    sign = np.sign(np.linalg.det(u @ vt))
    u[:, :, 2] *= sign[:, None]
    return np.asarray(u @ vt)
