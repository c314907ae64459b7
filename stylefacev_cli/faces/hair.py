"""Hair: shells over the scalp that follow guide curves from the crown over the hairline down.

For each azimuth of the skull grid a curve runs from the crown along the scalp to the hairline and,
where hair is long, hangs on from there. The shells are offset copies of the sheet of curves; the
shader thins the outer ones to strands.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, gaussian_filter1d

from stylefacev_cli.faces import bake
from stylefacev_cli.faces.mesh import FaceMesh
from stylefacev_cli.faces.palette import smooth_step
from stylefacev_cli.faces.parameters import Identity
from stylefacev_cli.faces.skin_paint import hairline
from stylefacev_cli.networks.compiled import njit

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
I32 = NDArray[np.int32]

NUM_RINGS = 18  # points along a curve
SHELL_LEVELS = (0.0, 0.5, 0.85, 1.0)
SHELL_VERTICES = (bake.NUM_AZIMUTHS + 1) * NUM_RINGS
SHELL_INDICES = bake.NUM_AZIMUTHS * (NUM_RINGS - 1) * 6
VERTEX_FLOATS = 13  # position 3, normal 3, tangent 3, (around, along, level, tip)

_CENTRE = (0.0, 7.55, 0.33)
_ALONG_DM = 2.5  # the unit of the way along a curve, as the shader's texture has it
_GIRTH_DM = 5.0  # around the head: what a step of the strands' first coordinate is wide


class Hair(NamedTuple):
    """vertices [L*(A+1)*NUM_RINGS, 13] float32: shells from the inside out."""

    vertices: F32


def hair_triangles() -> I32:
    """Triangles of all shells [T, 3], the outermost shell first (it hides the others)."""
    a = np.arange(bake.NUM_AZIMUTHS)[:, None] * NUM_RINGS + np.arange(NUM_RINGS - 1)
    b = a + NUM_RINGS
    sheet = np.stack([a, a + 1, b, b, a + 1, b + 1], -1).reshape(-1, 3)
    shells = [sheet + level * SHELL_VERTICES for level in reversed(range(len(SHELL_LEVELS)))]
    return np.concatenate(shells).astype(np.int32)


def make_hair(mesh: FaceMesh, identity: Identity, vertices: F32) -> Hair:
    """Grow hair on a head.

    Args:
        mesh: the face mesh.
        identity: who.
        vertices: the head's vertices [V, 3] at rest.
    """
    noise = _noise()
    scalp = (vertices[mesh.scalp_vertices] * mesh.scalp_weights[..., None]).sum(2)
    on_canonical = mesh.canonical[mesh.scalp_vertices, 1] * mesh.scalp_weights
    azimuth = np.arange(bake.NUM_AZIMUTHS) / bake.NUM_AZIMUTHS * 2 * np.pi - np.pi
    away = np.abs(azimuth)
    line = hairline(azimuth, identity) + 0.02 + 0.012 * noise.fine
    # Swept long hair frames the face: it hangs from farther in front.
    framing = 12 * identity.hair_sweep * float(smooth_step(0.0, 0.5, identity.hair_length_dm))
    front = 1 - smooth_step(np.radians(40 - framing), np.radians(64 - framing), away)
    length = identity.hair_length_dm
    curl = identity.hair_curl
    side = max(length, 0.0)
    back = float(np.clip(length * 0.95 + 0.06, 0, 1.5))
    hang = side + (back - side) * smooth_step(np.radians(95), np.radians(125), away)
    hang = hang * (1 + 0.05 * noise.middle)
    hang += (identity.fringe_dm * front - hang) * smooth_step(0.3, 0.7, front)
    hang = np.convolve(np.r_[hang[-2:], hang, hang[:2]], np.ones(5) / 5, "valid")
    fade = float(np.clip(0.3 - 0.6 * length, 0, 0.75))
    volume = identity.hair_volume_dm * (1 + (0.10 + 0.08 * curl) * noise.coarse)
    volume = volume * (1 - fade * smooth_step(np.radians(45), np.radians(85), away))
    settings = np.array(
        [identity.hair_volume_dm, identity.quiff, identity.parting, identity.fringe_dm]
    )
    heights = on_canonical.sum(2).astype(np.float64)
    points, offsets, along, tip = _guide_curves(
        scalp.astype(np.float64), heights, azimuth, line, front, hang, volume, settings
    )
    rough = (0.13 + 0.14 * curl) * noise.sheet * smooth_step(0.05, 0.45, along * 1.1)
    offsets *= (1 + rough)[..., None]
    points = (np.roll(points, 1, 0) + points * 2 + np.roll(points, -1, 0)) / 4
    points = (np.roll(points, 1, 0) + points * 2 + np.roll(points, -1, 0)) / 4
    shear = _combing(identity, azimuth)
    return Hair(_shells(points, offsets, along, tip, shear, np.array(SHELL_LEVELS)))


def _combing(identity: Identity, azimuth: F64) -> F64:
    """How far strands lean from the curves [A]: steps around the head for a step along them.

    Swept hair runs from the parting to the sides; tied hair runs from the temples to the back.
    """
    front = 1 - smooth_step(np.radians(35), np.radians(80), np.abs(azimuth))
    side = smooth_step(np.radians(25), np.radians(60), np.abs(azimuth))
    swept = -0.8 * identity.hair_sweep * np.tanh((azimuth - _parting(identity)) / 0.25) * front
    tied = 0.9 * identity.hair_tied * np.sign(azimuth) * side
    tied = tied * (1 - smooth_step(np.radians(120), np.radians(175), np.abs(azimuth)))
    return np.asarray(swept + tied)


def _parting(identity: Identity) -> float:
    return 0.6 * identity.parting  # azimuth in radians


class _Noise(NamedTuple):
    """Irregularities of the hair, equal for all people; no factor changes them."""

    fine: F64  # [A]
    middle: F64  # [A]
    coarse: F64  # [A]
    sheet: F64  # [A, NUM_RINGS]


@lru_cache(maxsize=1)
def _noise() -> _Noise:
    rng = np.random.default_rng(6)

    def ring(sigma: float) -> F64:
        smooth = gaussian_filter1d(rng.standard_normal(bake.NUM_AZIMUTHS), sigma, mode="wrap")
        return np.asarray(smooth / smooth.std())

    sheet = rng.standard_normal((bake.NUM_AZIMUTHS, NUM_RINGS))
    sheet = gaussian_filter(sheet, (2.5, 3.0), mode=("wrap", "nearest"))
    return _Noise(ring(1.5), ring(2.0), ring(5.0), sheet / sheet.std())


@njit()
def _step(low: float, high: float, x: float) -> float:
    t = min(max((x - low) / (high - low), 0.0), 1.0)
    return t * t * (3.0 - 2.0 * t)


@njit()
def _guide_curves(
    scalp: F64,
    scalp_height: F64,
    azimuth: F64,
    line: F64,
    front: F64,
    hang: F64,
    volume: F64,
    settings: F64,
) -> tuple[F64, F64, F64, F64]:
    """Curves [A, K, 3], their outward offsets [A, K, 3], way along [A, K] and tip weight [A, K]."""
    volume_dm, quiff, parting, fringe = settings[0], settings[1], settings[2], settings[3]
    num_azimuths, num_heights = scalp_height.shape
    points = np.zeros((num_azimuths, NUM_RINGS, 3))
    offsets = np.zeros((num_azimuths, NUM_RINGS, 3))
    along = np.zeros((num_azimuths, NUM_RINGS))
    tip = np.zeros((num_azimuths, NUM_RINGS))
    path = np.zeros((num_heights + 1, 3))
    arc = np.zeros(num_heights + 1)
    p, q = np.zeros(3), np.zeros(3)
    for i in range(num_azimuths):
        outward_x, outward_z = math.sin(azimuth[i]), math.cos(azimuth[i])
        # The scalp's line from the crown to the hairline.
        last = 3
        while last < num_heights - 1 and scalp_height[i, last] >= line[i]:
            last += 1
        above, below = scalp_height[i, last - 1], scalp_height[i, last]
        share = min(max((above - line[i]) / max(above - below, 1e-6), 0.0), 1.0)
        path[:last] = scalp[i, :last]
        path[last] = scalp[i, last - 1] * (1 - share) + scalp[i, last] * share
        for k in range(1, last + 1):
            arc[k] = arc[k - 1] + math.sqrt(((path[k] - path[k - 1]) ** 2).sum())
        on_scalp, hanging = arc[last], max(hang[i], 0.0)
        total = on_scalp + hanging
        widest = 0.0
        beside = 1 - _step(0.3, 0.7, front[i])
        k = 0
        for r in range(NUM_RINGS):
            s = (r / (NUM_RINGS - 1)) ** 0.9 * total
            if s <= on_scalp or r == 0:
                while k < last - 1 and arc[k + 1] < s:
                    k += 1
                t = min(max((s - arc[k]) / max(arc[k + 1] - arc[k], 1e-9), 0.0), 1.0)
                p[:] = path[k] * (1 - t) + path[k + 1] * t
                nx, ny, nz = p[0] - _CENTRE[0], p[1] - _CENTRE[1], p[2] - _CENTRE[2]
                norm = math.sqrt(nx * nx + ny * ny + nz * nz)
                radius = math.sqrt(p[0] ** 2 + (p[2] - _CENTRE[2]) ** 2)
                # Long hair falls, it does not hug the head.
                widest = max(widest, radius)
                gap = max(widest * 0.95 - radius, 0.0) * _step(0.0, 0.1, hanging) * beside
                p[0] += outward_x * gap
                p[2] += outward_z * gap
                way = s / on_scalp
                loose = _step(0.0, 0.12, hanging)
                edge = 1 - (0.97 - 0.67 * loose) * _step(0.5 + 0.05 * loose, 1.0, way)
                # Off the forehead: low at the hairline, highest a finger's breadth behind it.
                lift = 1 + 0.9 * quiff * _step(0.4, 0.8, way)
                swept = (1 - 0.97 * _step(0.72, 1.0, way)) * lift
                edge += (swept - edge) * _step(0.3, 0.6, front[i]) * (1 - _step(0.0, 0.08, fringe))
                v = volume_dm + (volume[i] - volume_dm) * _step(0.05, 0.5, way)
                turn = (azimuth[i] - 0.6 * parting) / 0.18
                v *= 1 - 0.35 * math.exp(-turn * turn) * _step(0.1, 0.5, way)
                v *= (_step(-0.3, 0.35, way) * 0.75 + 0.25) * edge
                offsets[i, r, 0] = nx / norm * v
                offsets[i, r, 1] = ny / norm * v + 0.25 * volume_dm * (1 - way)
                offsets[i, r, 2] = nz / norm * v
                q[:] = p
            else:
                d = s - on_scalp
                fringed = 0.06 * _step(0.0, 0.12, d) + 0.08 * math.sin(min(d / 0.5, 1.0) * 1.6)
                out = fringed + (0.04 * d + 0.10 * _step(0.0, 0.5, d) - fringed) * beside
                p[0] = q[0] + outward_x * out
                p[1] = q[1] - d
                p[2] = q[2] + outward_z * out
                offsets[i, r] = offsets[i, r - 1]
            points[i, r] = p
            along[i, r] = s / _ALONG_DM
            # Short hair thins out over the last finger's breadth before the hairline.
            short = 1 - _step(0.0, 0.12, hanging)
            tip[i, r] = _step(0.8, 1.0, s / total) * (1 - short) + short * _step(
                0.3, 0.0, total - s
            )
    return points, offsets, along, tip


@njit()
def _shells(points: F64, offsets: F64, along: F64, tip: F64, shear: F64, levels: F64) -> F32:
    """Vertices [L*(A+1)*K, 13] of the offset sheets, with normals and strands' tangents."""
    num, rings = along.shape
    out = np.empty((len(levels) * (num + 1) * rings, VERTEX_FLOATS), np.float32)
    sheet = np.empty((num, rings, 3))
    row = 0
    for level in levels:
        sheet[:] = points + offsets * (0.12 + 0.88 * level)
        for i in range(num + 1):
            here, left, right = i % num, (i - 1) % num, (i + 1) % num
            for r in range(rings):
                p = sheet[here, r]
                t = sheet[here, min(r + 1, rings - 1)] - sheet[here, max(r - 1, 0)]
                t /= math.sqrt((t * t).sum()) + 1e-9
                e = sheet[right, r] - sheet[left, r]
                nx = t[1] * e[2] - t[2] * e[1]
                ny = t[2] * e[0] - t[0] * e[2]
                nz = t[0] * e[1] - t[1] * e[0]
                norm = math.sqrt(nx * nx + ny * ny + nz * nz) + 1e-9
                outward = nx * (p[0] - _CENTRE[0]) + ny * (p[1] - _CENTRE[1])
                outward += nz * (p[2] - _CENTRE[2])
                if outward < 0:
                    norm = -norm
                out[row, 0:3] = p
                out[row, 3] = nx / norm
                out[row, 4] = ny / norm
                out[row, 5] = nz / norm
                e /= math.sqrt((e * e).sum()) + 1e-9
                out[row, 6:9] = t - e * (shear[here] * _GIRTH_DM / _ALONG_DM)
                out[row, 9] = i / num + shear[here] * along[here, r]
                out[row, 10] = along[here, r]
                out[row, 11] = level
                out[row, 12] = tip[here, r]
                row += 1
    return out
