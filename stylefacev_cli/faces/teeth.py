"""Teeth: two arches fitted to a person's mouth.

The mesh's own teeth are plain strips that stand where the average mouth is; these follow the lips
of each person, so that they show when the mouth opens and never pierce it.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from stylefacev_cli.faces.mesh import FaceMesh

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
I32 = NDArray[np.int32]

_NUM_ALONG, _NUM_DOWN = 25, 4
_DEPTH_DM = 0.36  # from the incisors to the last molars
_BEHIND_LIPS_DM = 0.07
_UPPER_EDGE_DM, _LOWER_EDGE_DM = -0.042, -0.052  # against the line where the closed lips meet
_UPPER_HEIGHT_DM, _LOWER_HEIGHT_DM = 0.150, 0.120
_OVERBITE_DM = 0.030  # how far the lower incisors stand behind the upper ones
_WIDER_THAN_LIPS = 1.45


class MouthPlace(NamedTuple):
    """Where a mouth at rest is, in decimetres."""

    line_y: float  # height at which the lips meet
    inner_z: float  # depth of the lips' inner edge
    half_width: float  # between the inner corners


def arch_triangles() -> I32:
    """Triangles [T, 3] of one arch of `arch_places`."""
    a = np.arange(_NUM_ALONG - 1)[:, None] * _NUM_DOWN + np.arange(_NUM_DOWN - 1)
    b = a + _NUM_DOWN
    return np.stack([a, a + 1, b, b, a + 1, b + 1], -1).reshape(-1, 3).astype(np.int32)


def arch_places() -> F64:
    """Coordinates on an arch [N, 2]: -1 … 1 from side to side, 0 biting edge … 1 in the gum."""
    along, down = np.linspace(-1, 1, _NUM_ALONG), np.linspace(0, 1, _NUM_DOWN)
    return np.stack(np.meshgrid(along, down, indexing="ij"), -1).reshape(-1, 2)


def make_arches(mouth: MouthPlace) -> F32:
    """Points [2, N, 3] of upper and lower arch of a mouth at rest."""
    along, down = arch_places().T
    x = along * mouth.half_width * _WIDER_THAN_LIPS
    z = mouth.inner_z - _BEHIND_LIPS_DM - _DEPTH_DM * np.abs(along) ** 2.2
    bulge = 0.02 * np.sin(np.pi * down)  # crowns are a little convex
    rise = 0.02 * along**2
    upper = [x, mouth.line_y + _UPPER_EDGE_DM + rise + _UPPER_HEIGHT_DM * down, z + bulge]
    lower = [0.93 * x, mouth.line_y + _LOWER_EDGE_DM + rise - _LOWER_HEIGHT_DM * down, z]
    lower[2] = lower[2] - _OVERBITE_DM + bulge
    return np.stack([np.stack(upper, -1), np.stack(lower, -1)]).astype(np.float32)


class LowerJaw:
    """How the lower arch moves with an expression: as the mesh's own lower teeth do."""

    def __init__(self, mesh: FaceMesh) -> None:
        ids = np.unique(mesh.part("lower_teeth"))
        depth = mesh.canonical[ids, 2]
        self._front, self._back = ids[depth > depth.max() - 0.1], ids[depth < depth.min() + 0.1]

    def move(self, arch: F32, rest: F32, posed: F32) -> F32:
        """The lower arch [N, 3] of a head whose vertices went from `rest` to `posed` [V, 3]."""
        front, back = ((posed[i] - rest[i]).mean(0) for i in (self._front, self._back))
        near, far = rest[self._front, 2].mean(), rest[self._back, 2].mean()
        share = np.clip((arch[:, 2:] - far) / (near - far), 0, 1.3)
        return np.asarray(arch + back + (front - back) * share, np.float32)
