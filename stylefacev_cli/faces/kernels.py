"""The geometry's inner loops, compiled by numba: normals, rays, a small depth rasteriser."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from stylefacev_cli.networks.compiled import njit

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
I32 = NDArray[np.int32]


@njit()
def vertex_normals(vertices: F32, triangles: I32) -> F32:
    """Area-weighted unit normals. vertices: [V, 3]; triangles: [T, 3] → [V, 3] float32."""
    normals = np.zeros_like(vertices)
    for t in range(triangles.shape[0]):
        i, j, k = triangles[t, 0], triangles[t, 1], triangles[t, 2]
        ax = vertices[j, 0] - vertices[i, 0]
        ay = vertices[j, 1] - vertices[i, 1]
        az = vertices[j, 2] - vertices[i, 2]
        bx = vertices[k, 0] - vertices[i, 0]
        by = vertices[k, 1] - vertices[i, 1]
        bz = vertices[k, 2] - vertices[i, 2]
        nx = ay * bz - az * by
        ny = az * bx - ax * bz
        nz = ax * by - ay * bx
        for v in (i, j, k):
            normals[v, 0] += nx
            normals[v, 1] += ny
            normals[v, 2] += nz
    for v in range(vertices.shape[0]):
        length = np.sqrt(normals[v, 0] ** 2 + normals[v, 1] ** 2 + normals[v, 2] ** 2) + 1e-9
        normals[v, 0] /= length
        normals[v, 1] /= length
        normals[v, 2] /= length
    return normals


@njit()
def cast_rays(
    origins: F64, directions: F64, vertices: F32, triangles: I32
) -> tuple[NDArray[np.int64], F64]:
    """Farthest hit of each ray (Möller–Trumbore).

    The farthest hit is the outer skin for rays from inside the head, and for rays from the front
    the caller hands over front triangles only.

    Args:
        origins: [R, 3].
        directions: [R, 3].
        vertices: [V, 3].
        triangles: [T, 3].

    Returns:
        Index of the triangle [R] (-1 for a miss) and barycentric weights [R, 3].
    """
    hits = np.full(directions.shape[0], -1, np.int64)
    weights = np.zeros((directions.shape[0], 3))
    for r in range(directions.shape[0]):
        ox, oy, oz = origins[r, 0], origins[r, 1], origins[r, 2]
        dx, dy, dz = directions[r, 0], directions[r, 1], directions[r, 2]
        best = 1e-4
        for t in range(triangles.shape[0]):
            a, b, c = triangles[t, 0], triangles[t, 1], triangles[t, 2]
            e1x = vertices[b, 0] - vertices[a, 0]
            e1y = vertices[b, 1] - vertices[a, 1]
            e1z = vertices[b, 2] - vertices[a, 2]
            e2x = vertices[c, 0] - vertices[a, 0]
            e2y = vertices[c, 1] - vertices[a, 1]
            e2z = vertices[c, 2] - vertices[a, 2]
            px = dy * e2z - dz * e2y
            py = dz * e2x - dx * e2z
            pz = dx * e2y - dy * e2x
            det = px * e1x + py * e1y + pz * e1z
            if abs(det) < 1e-12:
                continue
            sx, sy, sz = ox - vertices[a, 0], oy - vertices[a, 1], oz - vertices[a, 2]
            u = (px * sx + py * sy + pz * sz) / det
            if u < 0.0 or u > 1.0:
                continue
            qx = sy * e1z - sz * e1y
            qy = sz * e1x - sx * e1z
            qz = sx * e1y - sy * e1x
            v = (dx * qx + dy * qy + dz * qz) / det
            if v < 0.0 or u + v > 1.0:
                continue
            distance = (e2x * qx + e2y * qy + e2z * qz) / det
            if distance > best:
                best = distance
                hits[r] = t
                weights[r, 0] = 1.0 - u - v
                weights[r, 1] = u
                weights[r, 2] = v
    return hits, weights


@njit()
def rasterise(points: F64, triangles: I32, size: int) -> tuple[I32, F64, F64]:
    """Depth-buffered triangles on a square grid.

    Args:
        points: [V, 3]; x and y in pixels, z grows towards the viewer.
        triangles: [T, 3].
        size: side of the grid.

    Returns:
        Triangle index [size, size] (-1 where empty), barycentric weights [size, size, 3] and
        depth [size, size] (-inf where empty); row = floor(y), column = floor(x).
    """
    index = np.full((size, size), -1, np.int32)
    weights = np.zeros((size, size, 3))
    depth = np.full((size, size), -np.inf)
    for t in range(triangles.shape[0]):
        i, j, k = triangles[t, 0], triangles[t, 1], triangles[t, 2]
        x0, y0, x1, y1 = points[i, 0], points[i, 1], points[j, 0], points[j, 1]
        x2, y2 = points[k, 0], points[k, 1]
        area = (x1 - x0) * (y2 - y0) - (x2 - x0) * (y1 - y0)
        if abs(area) < 1e-12:
            continue
        left = max(int(np.floor(min(x0, x1, x2) - 0.5)), 0)
        right = min(int(np.ceil(max(x0, x1, x2) + 0.5)), size - 1)
        bottom = max(int(np.floor(min(y0, y1, y2) - 0.5)), 0)
        top = min(int(np.ceil(max(y0, y1, y2) + 0.5)), size - 1)
        for row in range(bottom, top + 1):
            for column in range(left, right + 1):
                x, y = column + 0.5, row + 0.5
                w1 = ((x - x0) * (y2 - y0) - (x2 - x0) * (y - y0)) / area
                w2 = ((x1 - x0) * (y - y0) - (x - x0) * (y1 - y0)) / area
                w0 = 1.0 - w1 - w2
                if w0 < 0.0 or w1 < 0.0 or w2 < 0.0:
                    continue
                z = w0 * points[i, 2] + w1 * points[j, 2] + w2 * points[k, 2]
                if z > depth[row, column]:
                    depth[row, column] = z
                    index[row, column] = t
                    weights[row, column, 0] = w0
                    weights[row, column, 1] = w1
                    weights[row, column, 2] = w2
    return index, weights, depth
