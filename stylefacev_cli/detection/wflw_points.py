"""The 98 WFLW landmarks from the 478 points of the face mesh, by a fixed table.

Source: Wu et al. 2018, "Look at Boundary" (WFLW): outline 0–32, brows 33–50 (upper edge outwards
in, lower edge back), nose 51–59, eyes 60–75 (clockwise, from the corner on the left of the
picture), outer lips 76–87, inner lips 88–95, pupils 96 and 97. Each is a point of the mesh or lies
between two; where WFLW leaves room, such as for the foot of the nose, the place is the one of the
landmarks of rendered faces, so that both kinds of footage are labelled alike. The outline is not
in the table: it is laid out evenly along the face oval. Errors against rendered faces stand in
docs/experiments.md.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

F32 = NDArray[np.float32]

_NUM_LANDMARKS = 98
_NUM_OUTLINE = 33
_MIDDLE = 16  # of the outline: the chin

# Landmark: point a, point b, share of b; of the right half of the face and its middle.
_TABLE: dict[int, tuple[int, int, float]] = {
    # Brow: upper edge from outside in, lower edge back.
    **{33: (70, 63, 0.5), 34: (63, 105, 0.8), 35: (105, 66, 0.7), 36: (66, 107, 0.5)},
    **{37: (107, 55, 0.4), 38: (107, 55, 0.8), 39: (65, 55, 0.2), 40: (52, 65, 0.2)},
    41: (53, 52, 0.1),
    # Nose: bridge to tip, then the nostrils' lower line.
    **{51: (168, 168, 0), 52: (6, 197, 0.9), 53: (5, 5, 0), 54: (4, 1, 0.5)},
    **{55: (98, 97, 0.5), 56: (97, 167, 0.5), 57: (2, 164, 0.8)},
    # Eye: outer corner, upper lid, inner corner, lower lid.
    **{60: (33, 33, 0), 61: (161, 160, 0.5), 62: (159, 159, 0), 63: (158, 157, 0.5)},
    **{64: (173, 155, 0.5), 65: (153, 153, 0), 66: (144, 145, 0.5), 67: (163, 163, 0)},
    # Outer lips: corner, upper edge, lower edge.
    **{76: (61, 76, 0.5), 77: (39, 39, 0), 78: (37, 0, 0.3), 79: (0, 0, 0)},
    **{85: (17, 17, 0), 86: (84, 85, 0.5), 87: (181, 181, 0)},
    # Inner lips.
    **{88: (78, 95, 0.5), 89: (81, 81, 0), 90: (13, 13, 0), 94: (14, 14, 0), 95: (178, 178, 0)},
    96: (468, 468, 0),  # pupil
}
# The same landmarks on the left half of the face.
_LEFT_LANDMARKS = {
    **dict(zip(range(33, 42), (46, 45, 44, 43, 42, 50, 49, 48, 47), strict=True)),
    **dict(zip(range(55, 57), (59, 58), strict=True)),
    **dict(zip(range(60, 68), (72, 71, 70, 69, 68, 75, 74, 73), strict=True)),
    **{76: 82, 77: 81, 78: 80, 86: 84, 87: 83, 88: 92, 89: 91, 95: 93, 96: 97},
}
# The same points of the mesh on the left half of the face.
_LEFT_POINTS = {
    **{70: 300, 63: 293, 105: 334, 66: 296, 107: 336, 55: 285, 65: 295, 52: 282, 53: 283},
    **{98: 327, 97: 326, 167: 393},
    **{33: 263, 161: 388, 160: 387, 159: 386, 158: 385, 157: 384, 173: 398, 155: 382, 153: 380},
    **{145: 374, 144: 373, 163: 390, 468: 473},
    **{61: 291, 76: 306, 39: 269, 37: 267, 84: 314, 85: 315, 181: 405, 78: 308, 95: 324, 81: 311},
    **{178: 402, 0: 0},
}
# The face oval from the temples down to the chin.
_RIGHT_OVAL = [127, 234, 93, 132, 58, 172, 136, 150, 149, 176, 148, 152]
_LEFT_OVAL = [356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377, 152]
_OUTLINE_BEGINS = 0.18  # of the way from temple to chin: level with the eyes


def wflw_points(points: NDArray[np.floating]) -> F32:
    """The landmarks [..., 98, 2] of faces.

    Args:
        points: [..., 478, 2 or 3] of the mesh, in any unit.
    """
    flat = points[..., :2].astype(np.float32)
    landmarks: F32 = np.empty((*flat.shape[:-2], _NUM_LANDMARKS, 2), np.float32)
    before, after, share = _PLACES
    # Term by term: a matrix product's last digits depend on where its numbers lie in memory.
    landmarks[..., _NUM_OUTLINE:, :] = (
        flat[..., before, :] * (1 - share[:, None]) + flat[..., after, :] * share[:, None]
    )
    landmarks[..., : _MIDDLE + 1, :] = _along(flat[..., _RIGHT_OVAL, :])
    landmarks[..., _MIDDLE:_NUM_OUTLINE, :] = _along(flat[..., _LEFT_OVAL, :])[..., ::-1, :]
    landmarks[np.isnan(flat).any((-2, -1))] = np.nan
    return landmarks


def _along(curve: F32) -> F32:
    """17 points [..., 17, 2], evenly along curves [..., K, 2] from where the outline begins."""
    steps = np.linalg.norm(np.diff(curve, axis=-2), axis=-1)
    ways = np.concatenate([np.zeros_like(steps[..., :1]), steps.cumsum(-1)], -1)
    shares = _OUTLINE_BEGINS + (1 - _OUTLINE_BEGINS) * np.linspace(0, 1, _MIDDLE + 1)
    targets = shares * ways[..., -1:]
    # Of each target the piece of the curve that it lies on.
    piece = (ways[..., None, 1:-1] <= targets[..., None]).sum(-1)
    start, length = (np.take_along_axis(values, piece, -1) for values in (ways, steps))
    share = ((targets - start) / np.maximum(length, 1e-9))[..., None]
    before, after = (np.take_along_axis(curve, p[..., None], -2) for p in (piece, piece + 1))
    return np.asarray(before + share * (after - before), np.float32)


def _places() -> tuple[NDArray[np.int64], NDArray[np.int64], F32]:
    """The table of landmarks 33 to 97: points a, points b, shares of b; [65] each."""
    table = dict(_TABLE)
    for landmark, left in _LEFT_LANDMARKS.items():
        a, b, share = _TABLE[landmark]
        table[left] = _LEFT_POINTS[a], _LEFT_POINTS[b], share
    rows = [table[landmark] for landmark in range(_NUM_OUTLINE, _NUM_LANDMARKS)]
    before, after, shares = zip(*rows, strict=True)
    return np.array(before), np.array(after), np.array(shares, np.float32)


_PLACES = _places()
