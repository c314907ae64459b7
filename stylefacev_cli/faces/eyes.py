"""Eyes: the picture of iris and sclera, and where the lids cross the eyeball."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates

from stylefacev_cli.faces.assets import look_folder
from stylefacev_cli.faces.palette import smooth_step
from stylefacev_cli.media.images import open_image

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
U8 = NDArray[np.uint8]

PICTURE_SIZE = 128
_IRIS_CENTRE_PX, _IRIS_RADIUS_PX = (361.5, 151.3), 58.5  # in grey_eye.png
_PUPIL, _LIMBUS, _WHITE = 0.36, 0.90, 1.18  # radii of irises where the picture's parts begin

# Landmarks by the way from the smaller to the larger x: upper lid, lower lid, with both corners.
_RIGHT = ((60, 61, 62, 63, 64), (60, 67, 66, 65, 64))
_LEFT = ((68, 69, 70, 71, 72), (68, 75, 74, 73, 72))


def eye_picture(photographic: bool) -> U8:
    """Colours relative to those of iris and sclera, halved: [S, S, 4] uint8.

    The pupil is in the middle; the picture reaches two radii of the iris to each side.
    """
    at = (np.arange(PICTURE_SIZE) + 0.5) / PICTURE_SIZE * 4 - 2
    x, y = np.meshgrid(at, at)
    radius = np.hypot(x, y)
    relative = _from_photograph(x, y) if photographic else _drawn(x, y)
    inside = smooth_step(_PUPIL - 0.05, _PUPIL + 0.05, radius)
    inside = inside * smooth_step(_LIMBUS + 0.08, _LIMBUS - 0.08, radius)
    outside = smooth_step(_WHITE - 0.1, _WHITE + 0.1, radius)
    relative = 1 + (relative - 1) * (inside + outside)[..., None]
    table = np.clip(np.concatenate([relative, np.ones((*radius.shape, 1))], -1) * 127.5, 0, 255)
    return np.asarray(table + 0.5).astype(np.uint8)


def lid_curves(points: F64, eye_centers: F64, eye_radius: float) -> F32:
    """Where the lids cross the eyeballs, [2, 2, 4] for left and right eye.

    In directions from the eye's centre: the corners' x0, y0, x1, y1; and by the way u from x0 to x1
    the lids' height over the line between the corners is 4u(1 − u)·(a + b(2u − 1)): a, b of the
    upper, a, b of the lower lid.

    Args:
        points: landmarks [≥ 76, 3] of the head, not yet turned.
        eye_centers: [2, 3] left and right.
        eye_radius: of both.
    """
    curves = np.empty((2, 2, 4))
    for i, lids in enumerate((_LEFT, _RIGHT)):
        upper, lower = (points[list(lid)] - eye_centers[i] for lid in lids)
        upper, lower = (p / np.linalg.norm(p, axis=1, keepdims=True) for p in (upper, lower))
        (x0, y0, _), (x1, y1, _) = upper[0], upper[-1]
        curves[i, 0] = x0, y0, x1, y1
        for k, lid in enumerate((upper[1:-1], lower[1:-1])):
            u = (lid[:, 0] - x0) / (x1 - x0)
            over = (lid[:, 1] - y0 - u * (y1 - y0)) / (4 * u * (1 - u))
            lean = (over[2] - over[0]) / (2 * (u[2] - u[0]))
            curves[i, 1, 2 * k] = (over - lean * (2 * u - 1)).mean()
            curves[i, 1, 2 * k + 1] = lean
    return curves.astype(np.float32)


def _from_photograph(x: F64, y: F64) -> F64:
    """Relative colours [S, S, 3] of MakeHuman's picture at x, y in radii of the iris."""
    with open_image(look_folder() / "eyes" / "grey_eye.png") as picture:
        color = (np.asarray(picture.convert("RGB")) / 255.0) ** 2.2
    at = [_IRIS_CENTRE_PX[1] - y * _IRIS_RADIUS_PX, _IRIS_CENTRE_PX[0] + x * _IRIS_RADIUS_PX]
    color = np.stack([map_coordinates(color[..., c], at, order=1) for c in range(3)], -1)
    radius = np.hypot(x, y)
    light = color.mean(-1)
    iris = (radius > _PUPIL) & (radius < _LIMBUS)
    white = color[radius > _WHITE]
    relative: F64 = np.where(
        (radius < 1.05)[..., None], (light / light[iris].mean())[..., None], color / white.mean(0)
    )
    return np.where((radius < 1.05)[..., None], relative, 1 + 1.3 * (relative - 1))


def _drawn(x: F64, y: F64) -> F64:
    """Relative colours [S, S, 3] of drawn fibres that run outwards in the iris."""
    rng = np.random.default_rng(3)
    turn, radius = np.arctan2(y, x), np.hypot(x, y)
    fibres = np.zeros(x.shape)
    for number in (17, 29, 43, 61, 83):
        fibres += np.sin(number * turn + 2.0 * radius * rng.uniform(-1, 1) + rng.uniform(0, 6))
    return np.asarray(np.where(radius < 1.05, 1 + 0.14 * fibres, 1.0)[..., None].repeat(3, -1))
