"""Head pose estimated from key points: coarse, meant for the statistics of a set.

The coefficients are a linear fit to renders with yaw up to 45°; see docs/experiments.md for the
errors. Faces differ in shape, which pitch confounds most.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_RIGHT_LIDS, _LEFT_LIDS, _NOSE, _MOUTH = (2, 4), (5, 7), 8, (11, 12)
_YAW_DEG_PER_UNIT = 108.7
_PITCH_DEG_PER_UNIT = -55.9
_PITCH_AT_ZERO_DEG = 30.4


def head_poses(key_points: NDArray[np.floating]) -> NDArray[np.float64]:
    """Yaw, pitch and roll in degrees, as in the labels `head_pose` of rendered sets.

    Where the tip of the nose lies between eyes and mouth gives yaw and pitch, the line of the eyes
    gives roll.

    Args:
        key_points: [T, 14, 2].

    Returns:
        [T, 3].
    """
    points = key_points.astype(np.float64)
    right, left, mouth = (
        points[:, list(part)].mean(1) for part in (_RIGHT_LIDS, _LEFT_LIDS, _MOUTH)
    )
    along = left - right
    along /= np.maximum(np.linalg.norm(along, axis=1, keepdims=True), 1e-9)
    across = np.stack([-along[:, 1], along[:, 0]], axis=1)  # from the eyes to the mouth
    eyes = (left + right) / 2
    height = np.maximum(((mouth - eyes) * across).sum(1), 1e-9)
    nose = points[:, _NOSE] - eyes
    yaw = _YAW_DEG_PER_UNIT * (nose * along).sum(1) / height
    pitch = _PITCH_AT_ZERO_DEG + _PITCH_DEG_PER_UNIT * (nose * across).sum(1) / height
    roll = -np.degrees(np.arctan2(along[:, 1], along[:, 0]))
    return np.stack([yaw, pitch, roll], axis=1)
