"""Made-up faces of the face mesh: points where the measures look, in distances between the eyes."""

import numpy as np
from numpy.typing import NDArray

from stylefacev_cli.motion.face_measures import EYE_POINTS
from stylefacev_cli.motion.head_frame import _LEFT, _MIDDLE, _RIGHT

F64 = NDArray[np.float64]
_LIPS_UP = (13, 82, 312, 81, 80, 311, 310)  # of the inner lips
_LIPS_DOWN = (14, 87, 317, 178, 88, 402, 318)
_BROWS = (70, 63, 105, 66, 107, 55, 300, 293, 334, 296, 336, 285)


def face_shape() -> F64:
    """A face [478, 3] that looks ahead, at rest; symmetric where the head's frame looks."""
    rng = np.random.default_rng(0)
    shape = rng.uniform(-1, 1, (478, 3))
    for right, left in zip(_RIGHT, _LEFT, strict=True):
        shape[right, 0] = -abs(shape[right, 0]) - 0.1
        shape[left] = shape[right] * [-1, 1, 1]
    shape[list(_MIDDLE), 0] = 0
    for number in (10, 151, 168):
        shape[number, 1] = -0.5
    for number in (2, 98, 327):
        shape[number, 1] = 0.7
    for side, ((outer, inner), lids, pupil) in zip((-1, 1), EYE_POINTS, strict=True):
        shape[outer] = [0.7 * side, 0, 0]
        shape[inner] = [0.3 * side, 0, 0]
        shape[pupil] = [0.5 * side, 0, 0]
        for place, (upper, lower) in zip((0.4, 0.5, 0.6), lids, strict=True):
            shape[upper], shape[lower] = [place * side, -0.06, 0], [place * side, 0.06, 0]
    for up, down in zip(_LIPS_UP, _LIPS_DOWN, strict=True):
        shape[up, 1:] = [1, 0]
        shape[down] = shape[up]
    shape[[61, 291]] = [[-0.3, 1, 0], [0.3, 1, 0]]
    shape[[0, 17]] = [[0, 0.9, 0], [0, 1.1, 0]]
    shape[list(_BROWS), 1] = -0.4
    return shape


def expression(
    *,
    mouth: float = 0.0,
    smile: float = 0.0,
    lids: float = 1.0,
    brows: float = 0.0,
    gaze: float = 0,
) -> F64:
    """That face with its lips apart, corners drawn out, lids open, brows up, pupils aside."""
    shape = face_shape()
    shape[list(_LIPS_UP), 1] -= mouth / 2
    shape[list(_LIPS_DOWN), 1] += mouth / 2
    shape[61, 0] -= smile / 2
    shape[291, 0] += smile / 2
    shape[list(_BROWS), 1] -= brows
    for _, pairs, pupil in EYE_POINTS:
        shape[list(np.ravel(pairs)), 1] *= lids
        shape[pupil, 0] += gaze
    return shape


def rotation_of(angles: F64) -> F64:
    """The rotations [T, 3, 3] of yaw, pitch and roll [T, 3] in degrees."""
    yaw, pitch, roll = np.radians(angles).T
    ahead = np.stack([np.sin(yaw) * np.cos(pitch), np.sin(pitch), -np.cos(yaw) * np.cos(pitch)], 1)
    level = np.stack([np.cos(yaw), np.zeros_like(yaw), np.sin(yaw)], 1)
    down = np.cross(-ahead, level)
    across = np.cos(roll)[:, None] * level + np.sin(roll)[:, None] * down
    return np.stack([across, np.cross(-ahead, across), -ahead], 2)


def posed(rotation: F64, size: F64, place: F64, local: F64) -> F64:
    """Points [T, K, 3] of heads: the inverse of `head_frames`."""
    return np.asarray(place[:, None] + size[:, None, None] * (local @ rotation.transpose(0, 2, 1)))
