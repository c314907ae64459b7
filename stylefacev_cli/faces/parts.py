"""Eyes, teeth, tongue and lashes: the small parts that the renderer draws besides the skin."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from stylefacev_cli.faces import kernels
from stylefacev_cli.faces.head import Head
from stylefacev_cli.faces.mesh import FaceMesh
from stylefacev_cli.faces.palette import smooth_step
from stylefacev_cli.faces.teeth import LowerJaw, arch_places, arch_triangles

F32 = NDArray[np.float32]
I32 = NDArray[np.int32]

_EYE, _TEETH, _TONGUE = 1.0, 2.0, 3.0  # kinds, as in the shader
_LASH_OPACITY = {"upper": 1.0, "lower": 0.3}


class MouthAndEyes:
    """Two analytic eyeballs, two arches of teeth and the mesh's tongue as one array.

    triangles [T, 3]; kinds [N, 4] float32, see `part_shaders.PART_FRAGMENT`.
    """

    def __init__(self, mesh: FaceMesh) -> None:
        self._sphere, sphere_triangles = _unit_sphere()
        num = len(self._sphere)
        triangles = [sphere_triangles, sphere_triangles + num]
        kinds = [np.tile([_EYE, side, 0, 0], (num, 1)) for side in (0.0, 1.0)]
        start = 2 * num
        places = arch_places()
        for upper in (1.0, 0.0):
            arch = arch_triangles() if upper == 0 else arch_triangles()[:, ::-1]  # facing outwards
            triangles.append(arch + start)
            start += len(places)
            kinds.append(np.insert(places, [0, 2], [_TEETH, upper], axis=1))
        used, inverse = np.unique(mesh.part("tongue"), return_inverse=True)
        triangles.append((inverse.reshape(-1, 3) + start).astype(np.int32))
        start += len(used)
        in_front = 0.05 + 0.9 * smooth_step(0.95, 1.45, mesh.canonical[used, 2])
        zero = np.zeros(len(used))
        kinds.append(np.column_stack([zero + _TONGUE, in_front, zero, zero]))
        self._tongue = used
        self._jaw = LowerJaw(mesh)
        self.triangles = np.concatenate(triangles).astype(np.int32)
        self.kinds = np.concatenate(kinds).astype(np.float32)
        self.num_vertices = start

    def vertices(self, head: Head, posed: F32) -> F32:
        """Positions and normals [N, 6] for a head whose vertices with expression are `posed`."""
        num = len(self._sphere)
        eyes = [self._sphere * head.eye_radius + center for center in head.eye_centers]
        lower = self._jaw.move(head.teeth[1], head.vertices, posed)
        parts = [*eyes, head.teeth[0], lower, posed[self._tongue]]
        position = np.concatenate(parts).astype(np.float32)
        normal = kernels.vertex_normals(position, self.triangles)
        normal[: 2 * num] = np.tile(self._sphere, (2, 1))
        return np.concatenate([position, normal], 1)


class LashSheet:
    """The mesh's eyelashes; opacity falls away from the lid. Fields as in `MouthAndEyes`."""

    def __init__(self, mesh: FaceMesh) -> None:
        ids, triangles, kinds = [], [], []
        start = 0
        for side in ("left", "right"):
            eye = mesh.canonical[np.unique(mesh.part(f"{side}_eye"))].mean(0)
            eye[2] = 1.17
            for lid, opacity in _LASH_OPACITY.items():
                used, inverse = np.unique(mesh.part(f"{side}_{lid}_lashes"), return_inverse=True)
                triangles.append((inverse.reshape(-1, 3) + start).astype(np.int32))
                start += len(used)
                ids.append(used)
                away = np.linalg.norm(mesh.canonical[used] - eye, axis=1)
                table = np.zeros((len(used), 4))
                table[:, 1] = (away - away.min()) / np.ptp(away)
                table[:, 2] = opacity
                kinds.append(table)
        self._ids = np.concatenate(ids)
        self.triangles = np.concatenate(triangles).astype(np.int32)
        self.kinds = np.concatenate(kinds).astype(np.float32)
        self.num_vertices = start

    def vertices(self, posed: F32) -> F32:
        """Positions and (unused) normals [N, 6]."""
        position = posed[self._ids]
        normal = np.tile(np.array([0, 0, 1], np.float32), (len(position), 1))
        return np.concatenate([position, normal], 1)


def _unit_sphere(around: int = 20, down: int = 14) -> tuple[F32, I32]:
    turn, polar = np.meshgrid(np.arange(around) / around * 2 * np.pi, np.linspace(0, np.pi, down))
    points = [np.sin(polar) * np.cos(turn), np.sin(polar) * np.sin(turn), np.cos(polar)]
    triangles = []
    for i in range(down - 1):
        for j in range(around):
            a, b = i * around + j, i * around + (j + 1) % around
            triangles += [[a, a + around, b], [b, a + around, b + around]]
    return np.stack(points, -1).reshape(-1, 3).astype(np.float32), np.array(triangles, np.int32)
