"""Computed once for the canonical head: ambient occlusion, the paint map, the skull grid."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from stylefacev_cli.faces import kernels

F32 = NDArray[np.float32]
I32 = NDArray[np.int32]

# The paint map is a cylinder around a vertical axis at depth PAINT_AXIS_Z: its columns are azimuths
# of ±PAINT_AZIMUTH rad, its rows heights from PAINT_LOW to PAINT_HIGH (dm).
PAINT_SIZE = 256
PAINT_AXIS_Z = 0.45
PAINT_AZIMUTH = 2.2
PAINT_LOW = 5.9
PAINT_HIGH = 8.95

# The skull grid: rays from a point inside the head, by azimuth (0 = front) and elevation.
NUM_AZIMUTHS = 96
NUM_ELEVATIONS = 32
SKULL_CENTRE = (0.0, 7.75, 0.35)


def paint_coordinates(points: NDArray[np.floating]) -> NDArray[np.float64]:
    """Canonical points [..., 3] → paint map coordinates [..., 2] in [0, 1]."""
    azimuth = np.arctan2(points[..., 0], points[..., 2] - PAINT_AXIS_Z)
    column = 0.5 + azimuth / (2 * PAINT_AZIMUTH)
    row = (points[..., 1] - PAINT_LOW) / (PAINT_HIGH - PAINT_LOW)
    return np.stack([column, row], -1)


def paint_positions(canonical: F32, triangles: I32) -> F32:
    """Canonical position of the paint map's texels, [W, W, 4]: x, y, z, 1 where the head is."""
    place = paint_coordinates(canonical)
    # Triangles across the seam behind the head would smear over the whole map.
    whole = triangles[np.ptp(place[triangles, 0], axis=1) < 0.3]
    radius = np.hypot(canonical[:, 0], canonical[:, 2] - PAINT_AXIS_Z)
    points = np.column_stack([place * PAINT_SIZE, radius])
    index, weights, _ = kernels.rasterise(points, whole, PAINT_SIZE)
    corners = canonical[whole[np.maximum(index, 0)]]  # [W, W, 3, 3]
    positions = (corners * weights[..., None]).sum(2)
    hit = (index >= 0)[..., None]
    return np.concatenate([positions * hit, hit], -1).astype(np.float32)


def scalp_grid(canonical: F32, skull: I32) -> tuple[I32, F32]:
    """Where the skull grid's rays leave the head: vertices and weights, both [A, E, 3]."""
    azimuth = np.arange(NUM_AZIMUTHS) / NUM_AZIMUTHS * 2 * np.pi - np.pi
    elevation = np.linspace(np.pi / 2, -1.15, NUM_ELEVATIONS)
    a, e = np.meshgrid(azimuth, elevation, indexing="ij")
    directions = np.stack([np.sin(a) * np.cos(e), np.sin(e), np.cos(a) * np.cos(e)], -1)
    directions = directions.reshape(-1, 3)
    origins = np.tile(np.array(SKULL_CENTRE), (len(directions), 1))
    hits, weights = kernels.cast_rays(origins, directions, canonical, skull)
    shape = (NUM_AZIMUTHS, NUM_ELEVATIONS, 3)
    return skull[np.maximum(hits, 0)].reshape(shape), weights.reshape(shape).astype(np.float32)


def ambient_occlusion(canonical: F32, triangles: I32) -> F32:
    """Share of the sky that each vertex sees [V], from 160 orthographic depth pictures."""
    size, num_directions, half_extent = 320, 160, 2.3
    centre = np.array([0, 7.0, 0.4])
    normals = kernels.vertex_normals(canonical, triangles)
    seen = np.zeros(len(canonical))
    total = np.zeros(len(canonical))
    k = np.arange(num_directions) + 0.5  # points of a Fibonacci sphere
    polar, turn = np.arccos(1 - 2 * k / num_directions), np.pi * (1 + 5**0.5) * k
    around = [np.cos(turn) * np.sin(polar), np.cos(polar), np.sin(turn) * np.sin(polar)]
    for direction in np.stack(around, 1):
        if direction[1] < -0.55:  # nothing shines from below
            continue
        up = np.array([0, 1.0, 0]) if abs(direction[1]) < 0.9 else np.array([1.0, 0, 0])
        x = np.cross(up, direction)
        x /= np.linalg.norm(x)
        y = np.cross(direction, x)
        view = (canonical - centre) @ np.stack([x, y, direction]).T
        points = view.copy()
        points[:, :2] = (view[:, :2] / half_extent * 0.5 + 0.5) * size
        depth = kernels.rasterise(points, triangles, size)[2]
        column, row = np.clip(points[:, :2].astype(int), 0, size - 1).T
        weight = np.maximum(normals @ direction, 0) * (1.0 if direction[1] > -0.2 else 0.5)
        seen += weight * (points[:, 2] > depth[row, column] - 0.03)
        total += weight
    return np.where(total > 0, seen / np.maximum(total, 1e-6), 0.3).astype(np.float32)
