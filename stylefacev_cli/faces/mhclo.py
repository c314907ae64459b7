"""Meshes that follow the head: MakeHuman's `.obj` with the `.mhclo` that fits it to hm08.

Each vertex is given by three vertices of the base mesh:
p_i = Σ_k w_k · V[ref_k] + offset_i · s, and s_axis = |V[a] − V[b]|_axis / width for each of the
file's lines `x_scale a b width` (source: MakeHuman's documentation of the format). A line with one
number instead of nine is that vertex itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from stylefacev_cli.errors import IntegrityError
from stylefacev_cli.faces.mesh import FaceMesh

F32 = NDArray[np.float32]
I32 = NDArray[np.int32]

_AXES = ("x_scale", "y_scale", "z_scale")


@dataclass(frozen=True)
class FittedMesh:
    """A triangle mesh fitted to the head, split at its texture's seams into R vertices.

    N vertices before the split; indices into the head's vertices are those of `FaceMesh`.
    """

    references: I32  # [N, 3] into the head's vertices
    weights: F32  # [N, 3]
    offsets: F32  # [N, 3] decimetres before scaling
    scale_pairs: I32  # [3, 2] into the head's vertices, for x, y and z
    scale_widths: F32  # [3] decimetres
    corner: I32  # [R] vertex before the split
    texture: F32  # [R, 2] texture coordinates, v upwards
    triangles: I32  # [T, 3] into R
    joined_triangles: I32  # [T, 3] into N

    def fit(self, head: F32) -> F32:
        """Vertices [N, 3] for a head's vertices [V, 3]."""
        a, b = head[self.scale_pairs[:, 0]], head[self.scale_pairs[:, 1]]
        scale = np.abs(np.diagonal(a - b)) / self.scale_widths
        points = (head[self.references] * self.weights[..., None]).sum(1)
        return np.asarray(points + self.offsets * scale, np.float32)


def read_fitted_mesh(mesh: FaceMesh, obj_path: Path, mhclo_path: Path) -> FittedMesh:
    """A mesh that follows the head, from its two files.

    Raises:
        IntegrityError: the files are not of these formats or do not belong together.
    """
    try:
        num_vertices, texture, faces = _read_obj(obj_path)
        references, weights, offsets, pairs, widths = _read_mhclo(mhclo_path)
        if len(references) != num_vertices:
            raise ValueError(f"{len(references)} fitted vertices for {num_vertices} of the mesh")
        corners = np.array([corner for face in faces for corner in _fan(face)], np.int64)
        unique, inverse = np.unique(corners, axis=0, return_inverse=True)
        return FittedMesh(
            references=mesh.index_of(references),
            weights=weights,
            offsets=offsets,
            scale_pairs=mesh.index_of(pairs),
            scale_widths=widths,
            corner=unique[:, 0].astype(np.int32),
            texture=texture[unique[:, 1]],
            triangles=inverse.reshape(-1, 3).astype(np.int32),
            joined_triangles=corners[:, 0].reshape(-1, 3).astype(np.int32),
        )
    except (ValueError, IndexError, KeyError, UnicodeDecodeError) as error:
        raise IntegrityError(f"{mhclo_path} and {obj_path.name} do not fit: {error}") from error


def _read_obj(path: Path) -> tuple[int, F32, list[list[tuple[int, int]]]]:
    """Number of vertices, texture coordinates [U, 2] and faces of (vertex, coordinate)."""
    num_vertices, texture, faces = 0, [], []
    for line in path.read_text(encoding="utf-8").splitlines():
        word, _, rest = line.partition(" ")
        if word == "v":
            num_vertices += 1
        elif word == "vt":
            texture.append([float(value) for value in rest.split()[:2]])
        elif word == "f":
            parts = [corner.split("/") for corner in rest.split()]
            faces.append([(int(part[0]) - 1, int(part[1]) - 1) for part in parts])
    return num_vertices, np.array(texture, np.float32), faces


def _fan(face: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """The corners of a polygon's triangles."""
    return [
        corner
        for i in range(1, len(face) - 1)
        if face[i][0] != face[i + 1][0] and face[i + 1][0] != face[0][0]
        for corner in (face[0], face[i], face[i + 1])
    ]


def _read_mhclo(path: Path) -> tuple[I32, F32, F32, I32, F32]:
    """References, weights and offsets [N, 3], scale pairs [3, 2] and scale widths [3]."""
    scales: dict[str, list[float]] = {}
    rows: list[list[float]] = []
    in_vertices = False
    for line in path.read_text(encoding="utf-8").splitlines():
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        if words[0] in _AXES:
            scales[words[0]] = [float(word) for word in words[1:4]]
        elif words[0] == "verts":
            in_vertices = True
        elif in_vertices and not words[0][0].isalpha():
            row = [float(word) for word in words]
            if len(row) == 1:  # it is a vertex of the base mesh
                row = [row[0]] * 3 + [1.0, 0.0, 0.0, 0.0, 0.0, 0.0]
            if len(row) == 6:
                row += [0.0, 0.0, 0.0]
            if len(row) != 9:
                raise ValueError(f"a vertex of {len(row)} numbers")
            rows.append(row)
    table, scale = np.array(rows), np.array([scales[axis] for axis in _AXES])
    return (
        table[:, :3].astype(np.int32),
        table[:, 3:6].astype(np.float32),
        table[:, 6:].astype(np.float32),
        scale[:, :2].astype(np.int32),
        scale[:, 2].astype(np.float32),
    )
