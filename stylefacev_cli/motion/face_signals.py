"""Signals of a face over time: how the head is turned, and what mouth, eyes and brows do.

All are read from points of the face mesh in the face's own frame (`head_frame`), so that movements
of the head do not show in those of its parts.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from stylefacev_cli.motion.face_measures import eye_openings, gazes, usual_openings
from stylefacev_cli.motion.head_frame import HeadFrames

F64 = NDArray[np.float64]

# Units: degrees; distances between the eyes; of `eyes` shares of the usual opening.
SIGNAL_NAMES = (*("yaw", "pitch", "roll", "mouth", "smile", "brows", "eyes", "gaze_x", "gaze_y"),)
_INNER_LIPS = ((13, 14), (82, 87), (312, 317))
_MOUTH_CORNERS = (61, 291)
_BROWS = (70, 63, 105, 66, 107, 300, 293, 334, 296, 336)


def face_signals(heads: HeadFrames) -> F64:
    """The signals [T, 9] of heads, in the order of `SIGNAL_NAMES`.

    Yaw, pitch and roll as in `HeadFrames`; how far the lips are apart; how far the corners of the
    mouth are drawn apart and up; how high the brows are; how far the eyes are open, by their usual
    opening in these frames; where the pupils are, to the right of the picture and down.
    """
    local = heads.local
    openings = eye_openings(local)
    opening = (openings / usual_openings(openings)).mean(1)
    lips = np.mean([_distance(local, *pair) for pair in _INNER_LIPS], axis=0)
    brows = -local[:, list(_BROWS), 1].mean(1)
    columns = [lips, _smile(local), brows, opening, *gazes(local).T]
    return np.concatenate([heads.angles_deg, np.stack(columns, 1)], 1)


def _distance(local: F64, a: int, b: int) -> F64:
    return np.asarray(np.linalg.norm(local[:, a] - local[:, b], axis=1))


def _smile(local: F64) -> F64:
    """Width of the mouth, and how high its corners are over the middle of the lips."""
    right, left = _MOUTH_CORNERS
    middle = (local[:, 0, 1] + local[:, 17, 1]) / 2
    lift = middle - (local[:, right, 1] + local[:, left, 1]) / 2
    return np.asarray(_distance(local, right, left) + lift)
