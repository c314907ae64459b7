"""The skin's albedo, painted on a cylinder around the canonical head.

Cheeks, lids, folds, brows, beard and the scalp under the hair are smooth functions of canonical
x, y, z; maps that are the same for all people are computed once (`_features`). With a skin from
pictures (`skins`) only beard and scalp are painted, to lie over it.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from stylefacev_cli.faces import bake
from stylefacev_cli.faces.mesh import load_mesh
from stylefacev_cli.faces.palette import skin_color, smooth_step
from stylefacev_cli.faces.parameters import Identity
from stylefacev_cli.networks.compiled import njit

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]

_BROW_INNER_DM, _BROW_OUTER_DM, _BROW_HEIGHT_DM = 0.085, 0.495, 7.487

# Height of the hairline by azimuth from the front (degrees); temples recede with `recession`.
_HAIRLINE_AZIMUTH_DEG = (0, 18, 32, 45, 58, 68, 76, 84, 95, 115, 140, 180)
_HAIRLINE_DM = (7.98, 7.97, 7.90, 7.74, 7.58, 7.46, 7.36, 7.32, 7.46, 7.10, 6.72, 6.62)
_RECESSION_DM = (0.10, 0.16, 0.22, 0.20, 0.08, 0, 0, 0, 0, 0, 0, 0)
_FOLLOWS_OFFSET = (1, 1, 1, 1, 1, 0.6, 0.2, 0, 0, 0, 0, 0)


def hairline(azimuth: F64, identity: Identity) -> F64:
    """Canonical height of the hairline (dm) for azimuths in radians, 0 = front."""
    heights = np.array(_HAIRLINE_DM) + identity.recession * np.array(_RECESSION_DM)
    heights = heights + identity.hairline_dm * np.array(_FOLLOWS_OFFSET)
    return np.interp(np.abs(azimuth), np.radians(_HAIRLINE_AZIMUTH_DEG), heights)


def average_hairline(azimuth: F64) -> F64:
    """Canonical height of the average person's hairline (dm) for azimuths in radians, 0 = front."""
    return np.interp(np.abs(azimuth), np.radians(_HAIRLINE_AZIMUTH_DEG), _HAIRLINE_DM)


def brow_point(identity: Identity, along: float, across: float) -> tuple[float, float]:
    """Canonical (x, y) on the left brow.

    along: 0 inner … 1 outer end; across: -1 lower … 1 upper edge.
    """
    x = _BROW_INNER_DM + along * (_BROW_OUTER_DM - _BROW_INNER_DM)
    centre = _brow_centre(
        along, identity.brow_height_dm, identity.brow_arch_dm, identity.brow_slant_dm
    )
    return x, centre + across * _brow_half_width(along, identity.brow_thickness_dm)


def paint_skin(identity: Identity) -> NDArray[np.uint8]:
    """The paint map [W, W, 4] uint8: square roots of the albedo's R, G, B, and 255."""
    features = _features()
    azimuth = (np.arange(bake.PAINT_SIZE) + 0.5) / bake.PAINT_SIZE - 0.5
    line = hairline(azimuth * 2 * bake.PAINT_AZIMUTH, identity)
    stubble = 0.10 * float(smooth_step(0.6, 0.9, identity.gender))
    hair = np.array(identity.hair_color, np.float32)
    skin = skin_color(identity.skin_tone)
    # Brows stay darker than the skin, also under grey or blond hair.
    brow = hair * np.float32(min(0.8, min(0.13, 0.5 * float(skin.mean())) / float(hair.max())))
    amounts = np.array(
        [
            identity.ruddiness,
            0.16,
            0.12 * (0.4 + identity.age),
            0.30,
            0.45 * identity.make_up,
            0.35 * identity.make_up,
            max(0.9 * identity.beard, stubble),
        ],
        np.float32,
    )
    shape = np.array(
        [
            identity.brow_height_dm,
            identity.brow_arch_dm,
            identity.brow_slant_dm,
            identity.brow_thickness_dm,
        ]
    )
    base = skin.astype(np.float32)
    scalp = (0.75 * hair).astype(np.float32)
    return _paint(features, amounts, shape, line.astype(np.float32), base, brow, scalp)


def paint_hair(identity: Identity, scalp_cover: F32) -> NDArray[np.uint8]:
    """Beard and scalp to lay over a skin's picture: the map [W, W, 4] uint8.

    RGB: square roots of the hair's linear colour times its cover; A: the cover.

    Args:
        identity: the person.
        scalp_cover: how much of the scalp hair hides, [W, W] in [0, 1]; counts above the hairline.
    """
    features = _features()
    azimuth = (np.arange(bake.PAINT_SIZE) + 0.5) / bake.PAINT_SIZE - 0.5
    line = hairline(azimuth * 2 * bake.PAINT_AZIMUTH, identity)
    hair = np.array(identity.hair_color, np.float32)
    skin = skin_color(identity.skin_tone).astype(np.float32)
    stubble = 0.24 * float(smooth_step(0.6, 0.9, identity.gender))
    stubble *= float(smooth_step(0.38, 0.46, identity.age))
    # Seen through the skin, short hair is darker and greyer than it; a full beard has its colour.
    short = np.minimum(0.5 * hair + 0.05 * skin, 0.5 * skin.mean())
    full = np.float32(smooth_step(0.2, 0.7, identity.beard))
    return _cover(
        features,
        max(0.93 * identity.beard, stubble),
        line.astype(np.float32),
        short + (0.9 * hair - short) * full,
        np.float32(0.75) * hair,
        scalp_cover,
    )


class _Features(NamedTuple):
    """Maps [W, W] of the canonical head that are the same for all people."""

    width: F32  # |x|
    height: F32  # y
    depth: F32  # z
    masks: F32  # [8, W, W], one for each of `paint_skin`'s amounts, and `paint_hair`'s beard
    noise: F32


@lru_cache(maxsize=1)
def _features() -> _Features:
    size = bake.PAINT_SIZE
    table = load_mesh().paint_positions
    hit = table[..., 3] > 0
    # Holes (inside of the mouth, between chin and neck) get a place on a plain cylinder.
    row, column = np.meshgrid(*[(np.arange(size) + 0.5) / size] * 2, indexing="ij")
    azimuth = (column - 0.5) * 2 * bake.PAINT_AZIMUTH
    x = np.where(hit, table[..., 0], np.sin(azimuth) * 0.9)
    y = np.where(hit, table[..., 1], row * (bake.PAINT_HIGH - bake.PAINT_LOW) + bake.PAINT_LOW)
    z = np.where(hit, table[..., 2], bake.PAINT_AXIS_Z + np.cos(azimuth) * 0.9)
    a = np.abs(x)

    def spot(x0: float, y0: float, width: float, height: float, front: float = 0.5) -> F64:
        inside = np.exp(-(((a - x0) / width) ** 2) - ((y - y0) / height) ** 2)
        return np.asarray(inside * smooth_step(front - 0.1, front + 0.1, z))

    def fold(points: list[tuple[float, float]], width: float) -> F64:
        nearest = np.full(a.shape, 9.0)
        for (ax, ay), (bx, by) in zip(points[:-1], points[1:], strict=True):
            dx, dy = bx - ax, by - ay
            t = np.clip(((a - ax) * dx + (y - ay) * dy) / (dx * dx + dy * dy), 0, 1)
            nearest = np.minimum(nearest, np.hypot(a - ax - t * dx, y - ay - t * dy))
        return np.asarray(np.exp(-((nearest / width) ** 2)) * (z > 0.6))

    red = spot(0.42, 6.98, 0.22, 0.22) + 0.8 * spot(0, 7.02, 0.17, 0.12, 1.2)
    red += 0.4 * spot(0, 6.38, 0.25, 0.12) + 0.25 * spot(0.2, 7.30, 0.35, 0.10)
    red += 0.8 * smooth_step(0.66, 0.74, a) * smooth_step(0.6, 0.5, z)  # ears
    cheek_line = 6.70 + 0.62 * smooth_step(0.28, 0.78, a)
    jaw = 1 - smooth_step(-0.10, 0.10, y - cheek_line)
    jaw = jaw * smooth_step(6.16, 6.34, y) * smooth_step(0.35, 0.55, z)
    lip = np.exp(-((a / 0.215) ** 6) - ((y - 6.675) / 0.105) ** 4) * (z > 1.1)
    moustache = np.exp(-(((y - 6.835 + 0.12 * a**2 + 0.10 * a) / 0.050) ** 2))
    moustache = moustache * (1 - smooth_step(0.18, 0.32, a)) * (z > 1.0)
    beard = np.maximum(jaw, moustache) * (1 - lip)
    wide = np.exp(-(((y - 6.845 + 0.12 * a**2 + 0.10 * a) / 0.066) ** 4))
    wide = wide * (1 - smooth_step(0.22, 0.34, a)) * (z > 1.0)
    corners = np.exp(-(((a - 0.285) / 0.055) ** 2)) * smooth_step(6.86, 6.76, y) * (z > 1.0)
    full_beard = np.maximum(np.maximum(jaw * smooth_step(0.34, 0.85, z), wide), corners)
    full_beard = full_beard * (1 - lip)
    masks = [
        red,
        spot(0.30, 7.36, 0.20, 0.13, 0.8),
        spot(0.28, 7.235, 0.15, 0.035, 0.8),
        fold([(0.16, 7.375), (0.23, 7.428), (0.33, 7.435), (0.43, 7.385)], 0.013),
        spot(0.30, 7.44, 0.16, 0.05, 0.8),
        spot(0.50, 7.0, 0.15, 0.12),
        beard,
        full_beard,
    ]
    white = np.random.default_rng(5).standard_normal((size, size))
    noise = 0.4 * 2.5 * gaussian_filter(white, 2.5) + 0.6 * 9.0 * gaussian_filter(white, 9.0)
    stack = np.stack(masks).astype(np.float32)
    return _Features(
        a.astype(np.float32),
        y.astype(np.float32),
        z.astype(np.float32),
        stack,
        (noise / noise.std()).astype(np.float32),
    )


@njit()
def _brow_centre(along: float, height: float, arch: float, slant: float) -> float:
    t = min(max(along, 0.0), 1.0)
    rise = arch * math.sin(t**1.1 * math.pi * 0.8) - 0.022 * along
    inner = 1.0 - _step(0.0, 0.4, along)
    return _BROW_HEIGHT_DM + height + rise - slant * inner


@njit()
def _brow_half_width(along: float, thickness: float) -> float:
    return float(thickness * (0.86 + 0.14 * _step(0.0, 0.3, along) - 0.66 * _step(0.4, 1.0, along)))


@njit()
def _step(low: float, high: float, x: float) -> float:
    t = min(max((x - low) / (high - low), 0.0), 1.0)
    return t * t * (3.0 - 2.0 * t)


# How much red, green and blue each amount takes away.
_TAKES = np.array(
    [
        [0.04, 0.30, 0.30],  # ruddiness
        [0.55, 0.80, 0.75],  # eye sockets
        [0.70, 0.90, 0.70],  # bags under the eyes
        [0.80, 1.00, 1.00],  # crease of the upper lid
        [0.50, 0.80, 0.55],  # lid shadow
        [0.05, 0.60, 0.50],  # blush
    ],
    np.float32,
)


@njit(fastmath=True)
def _paint(
    features: _Features,
    amounts: F32,
    brow_shape: F64,
    line: F32,
    base: F32,
    brow: F32,
    scalp: F32,
) -> NDArray[np.uint8]:
    size = features.width.shape[0]
    out = np.empty((size, size, 4), np.uint8)
    color = np.empty(3, np.float32)
    span = _BROW_OUTER_DM - _BROW_INNER_DM
    for row in range(size):
        for column in range(size):
            y, z = features.height[row, column], features.depth[row, column]
            for c in range(3):
                color[c] = base[c] * (1.0 + 0.025 * (1 + 0.5 * c) * features.noise[row, column])
            for k in range(6):
                amount = amounts[k] * features.masks[k, row, column]
                if amount > 1e-4:
                    for c in range(3):
                        color[c] *= 1.0 - amount * _TAKES[k, c]
            along = (features.width[row, column] - _BROW_INNER_DM) / span
            near = -0.15 < along < 1.12 and z > 0.6 and abs(y - _BROW_HEIGHT_DM) < 0.2
            if near:
                centre = _brow_centre(along, brow_shape[0], brow_shape[1], brow_shape[2])
                half = _brow_half_width(along, brow_shape[3])
                # Soft edges, sparse at the inner end: hairs, not a painted bar.
                cover = math.exp(-(abs((y - centre) / half) ** 2.0))
                cover *= 1.0 - _step(0.85, 1.12, along)
                cover *= 0.92 * (0.78 * _step(-0.16, 0.04, along) + 0.22 * _step(0.0, 0.3, along))
                cover *= 1.0 + 0.12 * features.noise[row, column]
                for c in range(3):
                    color[c] += (brow[c] - color[c]) * cover
            cover = amounts[6] * features.masks[6, row, column]
            for c in range(3):
                color[c] += (brow[c] - color[c]) * cover
            cover = 0.97 * _step(-0.06, 0.10, y - line[column])
            for c in range(3):
                color[c] += (scalp[c] - color[c]) * cover
                out[row, column, c] = int(255.0 * math.sqrt(min(max(color[c], 0.0), 1.0)) + 0.5)
            out[row, column, 3] = 255
    return out


@njit(fastmath=True)
def _cover(
    features: _Features, beard_amount: float, line: F32, beard: F32, scalp: F32, scalp_cover: F32
) -> NDArray[np.uint8]:
    size = features.width.shape[0]
    out = np.empty((size, size, 4), np.uint8)
    for row in range(size):
        for column in range(size):
            y = features.height[row, column]
            low = beard_amount * features.masks[7, row, column]
            high = scalp_cover[row, column] * _step(-0.10, 0.14, y - line[column])
            for c in range(3):
                color = beard[c] * low * (1.0 - high) + scalp[c] * high
                out[row, column, c] = int(255.0 * math.sqrt(min(max(color, 0.0), 1.0)) + 0.5)
            out[row, column, 3] = int(255.0 * (low + high - low * high) + 0.5)
    return out
