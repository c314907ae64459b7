"""Wrinkles of age and expression: a map of their places, and depths by pose and age.

The map holds, for four groups of folds, light against dark across each fold (0.5 neutral): a dark
line and beside it the ridge that catches the light.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from stylefacev_cli.faces.palette import smooth_step
from stylefacev_cli.faces.parameters import Identity, Pose

F64 = NDArray[np.float64]

GROUPS = ("smile", "eyes", "forehead", "frown")  # channels of the map

_AGE_SHARE_PICTURED = 0.55  # of the depths of age, on skins from pictures

_Line = tuple[tuple[float, float], ...]
# Polylines in canonical |x| and y (dm), and half widths. The ridge is on the left of the way.
_FOLDS: dict[str, tuple[tuple[_Line, float], ...]] = {
    "smile": ((((0.172, 7.02), (0.215, 6.945), (0.275, 6.85), (0.30, 6.74), (0.28, 6.64)), 0.024),),
    "eyes": (
        (((0.475, 7.375), (0.55, 7.42), (0.60, 7.46)), 0.013),
        (((0.475, 7.345), (0.55, 7.35), (0.61, 7.36)), 0.013),
        (((0.465, 7.31), (0.54, 7.285), (0.60, 7.26)), 0.013),
        (((0.18, 7.235), (0.28, 7.205), (0.40, 7.235)), 0.020),
    ),
    "forehead": (
        (((0.42, 7.665), (0.22, 7.685), (0.0, 7.67)), 0.017),
        (((0.40, 7.755), (0.21, 7.775), (0.0, 7.76)), 0.017),
        (((0.34, 7.845), (0.18, 7.86), (0.0, 7.85)), 0.017),
    ),
    "frown": ((((0.062, 7.43), (0.052, 7.50), (0.058, 7.57)), 0.017),),
}


def wrinkle_map(positions: NDArray[np.float32]) -> NDArray[np.uint8]:
    """The map [W, W, 4] uint8 for canonical positions of the paint map's texels [W, W, 4]."""
    x, y = np.abs(positions[..., 0]).astype(np.float64), positions[..., 1].astype(np.float64)
    front = smooth_step(0.55, 0.8, positions[..., 2]) * positions[..., 3]
    layers = []
    for name in GROUPS:
        light = np.zeros(x.shape)
        for line, width in _FOLDS[name]:
            distance, along = _from_line(x, y, line)
            ends = smooth_step(-0.02, 0.25, along)
            if line[-1][0] > 0:  # else it goes on on the other side
                ends = ends * smooth_step(1.02, 0.7, along)
            dark = np.exp(-((distance / width) ** 2))
            ridge = np.exp(-(((distance - 2.2 * width) / (1.6 * width)) ** 2))
            light += (0.4 * ridge - dark) * ends
        layers.append(np.clip(0.5 + 0.5 * light * front, 0, 1))
    return np.asarray(np.stack(layers, -1) * 255 + 0.5).astype(np.uint8)


def wrinkle_depths(identity: Identity, pose: Pose, pictured: bool = False) -> F64:
    """Depth of each group of folds [4], 0 … about 1, growing with age and expression.

    Pictures of skin have wrinkles of their own, so age adds less to a `pictured` skin.
    """
    old = max(0.0, (identity.age - 0.5) / 0.5) * (_AGE_SHARE_PICTURED if pictured else 1.0)
    smile = max(pose.smile, 0.0)
    opened = 1.0 - pose.blink
    squint = max(pose.squint, 0.0) * opened + 0.3 * pose.blink
    depths = [
        0.08 + 0.35 * old + (0.50 + 0.35 * old) * smile + 0.15 * max(-pose.pucker, 0.0),
        0.02 + 0.30 * old + (0.16 + 0.55 * old) * (smile + squint),
        0.30 * old**1.5 + (0.20 + 0.65 * old) * max(pose.brows, 0.0) ** 1.5,
        0.15 * old + (0.45 + 0.45 * old) * max(-pose.brows, 0.0),
    ]
    return np.minimum(np.array(depths, np.float64), 1.2)


def _from_line(x: F64, y: F64, line: _Line) -> tuple[F64, F64]:
    """Signed distance to a polyline (positive on its left) and the way along it in [0, 1]."""
    distance, along = np.full(x.shape, 9.0), np.zeros(x.shape)
    for i, ((ax, ay), (bx, by)) in enumerate(zip(line[:-1], line[1:], strict=True)):
        dx, dy = bx - ax, by - ay
        t = ((x - ax) * dx + (y - ay) * dy) / (dx * dx + dy * dy)
        inside = np.clip(t, 0, 1)
        gap = np.hypot(x - ax - inside * dx, y - ay - inside * dy)
        sign = np.where(dx * (y - ay) - dy * (x - ax) >= 0, 1.0, -1.0)
        nearer = gap < np.abs(distance)
        distance = np.where(nearer, gap * sign, distance)
        along = np.where(nearer, (i + inside) / (len(line) - 1), along)
    return distance, along
