"""Glasses and earrings, built for a head at rest; they turn with it and do not move otherwise.

All people's arrays have the same size. Without glasses or earrings these are invisible (opacity 0,
earrings shrunk to points), so that presence is a continuous number.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from stylefacev_cli.faces import kernels
from stylefacev_cli.faces.palette import smooth_step
from stylefacev_cli.faces.parameters import Identity

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
I32 = NDArray[np.int32]

FRAME, LENS, EARRING = 1.0, 2.0, 3.0  # kinds, as in the shader
VERTEX_FLOATS = 8  # position 3, normal 3, kind, opacity

_RIM_POINTS, _ARM_POINTS, _BRIDGE_POINTS, _AROUND = 36, 6, 7, 6
_RING_POINTS = 16
_LENS_OPACITY = 0.16
_HALF_BRIDGE_DM = 0.085


class AccessoryPlaces(NamedTuple):
    """Points of a head at rest that glasses and earrings hang on, left (+x) and right."""

    eyes: F64  # [2, 3] centres of the eyeballs
    nose_bridge: F64  # [3]
    ear_tops: F64  # [2, 3]
    ear_lobes: F64  # [2, 3]


def make_accessories(identity: Identity, places: AccessoryPlaces) -> F32:
    """Vertices [N, 8] float32 of a person's glasses and earrings (see `VERTEX_FLOATS`)."""
    pieces = [*_frame(identity, places), *_lenses(identity, places), *_earrings(identity, places)]
    points = np.concatenate([piece for piece, _, _ in pieces]).astype(np.float32)
    normals = kernels.vertex_normals(points, accessory_triangles())
    kinds = np.concatenate([np.full(len(piece), kind) for piece, kind, _ in pieces])
    opacity = np.concatenate([np.full(len(piece), alpha) for piece, _, alpha in pieces])
    return np.column_stack([points, normals, kinds, opacity]).astype(np.float32)


@lru_cache(maxsize=1)
def accessory_triangles() -> I32:
    """Triangles [T, 3] of `make_accessories`' vertices: frames first, then what is behind them."""
    tubes = [_tube(_RIM_POINTS, closed=True)] * 2
    tubes += [_tube(_ARM_POINTS, closed=False)] * 2 + [_tube(_BRIDGE_POINTS, closed=False)]
    sizes = [_RIM_POINTS * _AROUND] * 2 + [_ARM_POINTS * _AROUND] * 2 + [_BRIDGE_POINTS * _AROUND]
    edge = np.arange(_RIM_POINTS)
    fan = np.stack([np.zeros_like(edge), 1 + edge, 1 + (edge + 1) % _RIM_POINTS], -1)
    tubes += [fan] * 2 + [_tube(_RING_POINTS, closed=True)] * 2
    sizes += [_RIM_POINTS + 1] * 2 + [_RING_POINTS * _AROUND] * 2
    starts = np.cumsum([0, *sizes[:-1]])
    return np.concatenate([part + start for part, start in zip(tubes, starts, strict=True)]).astype(
        np.int32
    )


_Piece = tuple[F64, float, float]  # points, kind, opacity


def _frame(identity: Identity, places: AccessoryPlaces) -> list[_Piece]:
    radius = _frame_radius(identity)
    rims, arms = [], []
    for side, ear in zip((0, 1), places.ear_tops, strict=True):
        rim = _rim(identity, places, side)
        rims.append(_sweep(rim, radius, closed=True))
        out = 1 if side == 0 else -1
        hinge = rim[np.argmax(rim[:, 0] * out)] + [0.0, 0.04, 0.0]
        along = np.linspace(0, 1, _ARM_POINTS)[:, None]
        bow = np.sin(np.pi * along) * [0.05 * out, 0.0, 0.0]  # around the temples
        arms.append(_sweep(hinge + (ear + [0.05 * out, 0.02, 0] - hinge) * along + bow, radius))
    inner = [_rim(identity, places, 0)[_RIM_POINTS // 2], _rim(identity, places, 1)[0]]
    along = np.linspace(0, 1, _BRIDGE_POINTS)[:, None]
    bridge = inner[0] + (inner[1] - inner[0]) * along
    arc = np.sin(np.pi * along[:, 0])
    bridge[:, 1] += 0.05 * arc
    bridge[:, 2] += max(places.nose_bridge[2] + 0.03 - inner[0][2], 0.03) * arc
    points = [*rims, *arms, _sweep(bridge, radius)]
    return [(piece, FRAME, identity.glasses) for piece in points]


def metal_share(identity: Identity) -> float:
    """0 plastic … 1 metal: the light frames are of wire."""
    return float(smooth_step(0.45, 0.30, identity.glasses_weight))


def _frame_radius(identity: Identity) -> float:
    metal = metal_share(identity)
    plastic = 0.009 + 0.011 * identity.glasses_weight
    return plastic + (0.0065 - plastic) * metal


def _lenses(identity: Identity, places: AccessoryPlaces) -> list[_Piece]:
    pieces = []
    for side in (0, 1):
        rim = _rim(identity, places, side)
        points = np.concatenate([rim.mean(0, keepdims=True) + [0, 0, 0.02], rim])
        pieces.append((points, LENS, _LENS_OPACITY * identity.glasses))
    return pieces


def _rim(identity: Identity, places: AccessoryPlaces, side: int) -> F64:
    """The line of a rim [P, 3], a superellipse that wraps a little around the face.

    It starts at +x and runs over the top.
    """
    turn = np.arange(_RIM_POINTS) / _RIM_POINTS * 2 * np.pi
    power = 2 / (2.1 + 2.2 * identity.glasses_square)
    centre = places.eyes[side]
    # Frames are made for eyes a little apart; a bridge's width is left free for the nose.
    middle = 0.5 * (abs(centre[0]) + 0.33)
    half_width = min(0.222 * (1 + 0.10 * identity.glasses_width), middle - _HALF_BRIDGE_DM)
    x = half_width * _power(np.cos(turn), power) + np.sign(centre[0]) * middle
    y = 0.172 * (1 + 0.16 * identity.glasses_height) * _power(np.sin(turn), power)
    y = y + centre[1] - 0.03
    front = max(centre[2] + 0.28, places.nose_bridge[2] - 0.01)
    z = front - 0.32 * np.maximum(np.abs(x) - 0.12, 0) ** 2 + 0.05 * (y - centre[1])
    return np.stack([x, y, z], -1)


def _earrings(identity: Identity, places: AccessoryPlaces) -> list[_Piece]:
    """Studs that grow into hoops; both are rings seen from the side of the head."""
    turn = np.arange(_RING_POINTS) / _RING_POINTS * 2 * np.pi
    grown = identity.earrings
    radius = grown * (0.014 + 0.075 * identity.earring_drop**2)
    pieces = []
    for out, lobe in zip((1, -1), places.ear_lobes, strict=True):
        centre = lobe + [0.035 * out, 0.02 - radius, 0.03]
        # Hoops hang halfway between facing forwards and sideways, and show from both.
        ring = centre + radius * np.stack(
            [0.7 * out * np.sin(turn), np.cos(turn), 0.7 * np.sin(turn)], -1
        )
        pieces.append((_sweep(ring, grown * 0.022, closed=True), EARRING, min(1.0, 2 * grown)))
    return pieces


def _sweep(line: F64, radius: float, closed: bool = False) -> F64:
    """A tube of `_AROUND` points around each point of a line [P, 3] → [P * _AROUND, 3]."""
    if closed:
        along = np.roll(line, -1, 0) - np.roll(line, 1, 0)
    else:
        along = np.gradient(line, axis=0)
    along = along / (np.linalg.norm(along, axis=1, keepdims=True) + 1e-9)
    helper = np.where(np.abs(along[:, 2:]) < 0.9, [[0.0, 0.0, 1.0]], [[0.0, 1.0, 0.0]])
    side = np.cross(along, helper)
    side = side / (np.linalg.norm(side, axis=1, keepdims=True) + 1e-9)
    up = np.cross(side, along)
    turn = np.arange(_AROUND) / _AROUND * 2 * np.pi
    around = side[:, None] * np.cos(turn)[:, None] + up[:, None] * np.sin(turn)[:, None]
    return np.asarray((line[:, None] + radius * around).reshape(-1, 3))


def _tube(num: int, closed: bool) -> NDArray[np.int64]:
    i = np.arange(num if closed else num - 1)[:, None]
    k = np.arange(_AROUND)[None]
    a, b = i * _AROUND + k, i * _AROUND + (k + 1) % _AROUND
    c, d = ((i + 1) % num) * _AROUND + k, ((i + 1) % num) * _AROUND + (k + 1) % _AROUND
    return np.stack([a, c, b, b, c, d], -1).reshape(-1, 3)


def _power(value: F64, power: float) -> F64:
    return np.asarray(np.sign(value) * np.abs(value) ** power)
