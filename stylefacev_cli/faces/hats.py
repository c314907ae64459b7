"""Hats: MakeHuman's fedora, straight or aslant, in a plain colour."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from stylefacev_cli.faces import kernels
from stylefacev_cli.faces.assets import look_folder
from stylefacev_cli.faces.mesh import load_mesh
from stylefacev_cli.faces.mhclo import FittedMesh, read_fitted_mesh

F32 = NDArray[np.float32]

NAMES = ("fedora", "fedora_cocked")
_LOWER_DM = 0.02  # how far below the brim hair ends


class Hat(NamedTuple):
    """A hat on a head: vertices [N, 6] float32, position and normal; rim: the plane of the brim.

    Hair at (x, y, z) with y > rim · (x, z, 1) is inside the hat.
    """

    name: str
    vertices: F32
    rim: tuple[float, float, float]


def fit_hat(name: str, vertices: F32) -> Hat:
    """A hat on a head's vertices [V, 3] at rest (errors as `read_fitted_mesh`)."""
    mesh = hat_mesh(name)
    points = mesh.fit(vertices)
    normals = kernels.vertex_normals(points, mesh.joined_triangles)
    middle = points.mean(0)
    out = np.hypot(points[:, 0] - middle[0], points[:, 2] - middle[2])
    brim = points[out > np.quantile(out, 0.6)].astype(np.float64)
    table = np.column_stack([brim[:, 0], brim[:, 2], np.ones(len(brim))])
    rim = np.linalg.lstsq(table, brim[:, 1], rcond=None)[0]
    rim[2] -= _LOWER_DM
    return Hat(
        name,
        np.concatenate([points, normals], 1).astype(np.float32),
        (float(rim[0]), float(rim[1]), float(rim[2])),
    )


@lru_cache(maxsize=len(NAMES))
def hat_mesh(name: str) -> FittedMesh:
    """The mesh of a hat (errors as `read_fitted_mesh`)."""
    folder = look_folder() / "hats"
    return read_fitted_mesh(load_mesh(), folder / f"{name}.obj", folder / f"{name}.mhclo")
