"""The 98 landmarks (WFLW order) as points of the mesh, exact for every face.

`landmarks.json` places most of them as barycentric points between vertices of hm08. Those of brows
are found per person by rays through the edges of the painted or pictured brows; pupils follow the
gaze. The jaw's are marching landmarks: each has a row of places from the jaw's line to the middle
of the face, and is where the row reaches farthest out in the picture, as annotators mark it.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import lru_cache
from importlib import resources
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from stylefacev_cli.faces import kernels
from stylefacev_cli.faces.mesh import FaceMesh, load_mesh
from stylefacev_cli.faces.parameters import Identity
from stylefacev_cli.faces.skin_paint import brow_point

F64 = NDArray[np.float64]
I32 = NDArray[np.int32]

NUM_LANDMARKS = 98
JAW = slice(0, 33)
_LOWEST_CHIN_DM = 6.1
INNER_LIPS = (90, 94)  # middle of upper and lower lip
_UPPER_LIDS, _LOWER_LIDS = [61, 62, 63, 69, 70, 71], [67, 66, 65, 75, 74, 73]
_RIGHT_BROW, _LEFT_BROW = slice(33, 42), slice(42, 51)
_NUM_ON_MESH = 96  # all but the pupils

_MARCH = np.linspace(0.0, 0.64, 9)  # shares of the way from the jaw's line to the mouth
_MARCH_TO = np.array([0.0, 6.85, 1.05])  # canonical: inside the mouth
_MARCH_RAYS_FROM = np.array([0.0, 6.85, 0.45])
FACE_AXIS = np.array([0.0, 6.95, 0.55])  # seen from here, out is where the outline lies
_SHARPNESS = 320.0  # of the choice along the row, per head height; finite, so that nothing jumps


class LandmarkPlaces(NamedTuple):
    """Vertices [96, 3] and barycentric weights [96, 3] of the landmarks before the pupils."""

    vertices: I32
    weights: F64


BrowOutline = Callable[[Identity, F64, F64], F64]


def place_landmarks(
    mesh: FaceMesh, identity: Identity, brow_outline: BrowOutline | None = None
) -> LandmarkPlaces:
    """The landmarks of a person on the mesh.

    Args:
        mesh: the face mesh.
        identity: the person.
        brow_outline: canonical (x, y) [N, 2] of places along [N] and across [N] the left brow,
            across -1 at the lower and 1 at the upper edge; the painted brow's if None.
    """
    vertices, weights = (table.copy() for table in landmark_table())
    # Outer → inner along the upper edge, inner → outer along the lower one.
    along = np.array([1.0, 0.75, 0.5, 0.25, 0.0, 0.0, 0.3, 0.6, 0.85])
    edge = np.array([1.0] * 5 + [-1.0] * 4)
    if brow_outline is not None:
        outline = brow_outline(identity, along, edge)
    else:
        places = zip(along.tolist(), (0.8 * edge).tolist(), strict=True)
        outline = np.array([brow_point(identity, *place) for place in places])
    origins = np.concatenate(
        [np.column_stack([outline * [side, 1], np.zeros(9)]) for side in (-1, 1)]
    )
    forward = np.tile([0.0, 0.0, 1.0], (len(origins), 1))  # from inside the head outwards
    front = _brow_triangles()
    hits, at = kernels.cast_rays(origins, forward, mesh.canonical, front)
    assert (hits >= 0).all(), "the brows lie on the forehead"
    to_left = [4, 3, 2, 1, 0, 8, 7, 6, 5]  # the left brow runs from the inner end outwards
    vertices[_RIGHT_BROW], weights[_RIGHT_BROW] = front[hits[:9]], at[:9]
    vertices[_LEFT_BROW], weights[_LEFT_BROW] = front[hits[9:]][to_left], at[9:][to_left]
    return LandmarkPlaces(vertices, weights)


def landmark_points(places: LandmarkPlaces, vertices: NDArray[np.float32]) -> F64:
    """Points [..., 3] of a head with these vertices [V, 3]; usually the 96 before the pupils."""
    return np.asarray((vertices[places.vertices] * places.weights[..., None]).sum(-2), np.float64)


def lids_meeting(points: F64) -> F64:
    """Points [96, 3] whose lower lids are nowhere above the upper ones.

    In a blink the mesh's upper lid slides over the lower one; what is seen, and what annotators
    mark for both, is its edge.
    """
    covered = points[_LOWER_LIDS, 1] > points[_UPPER_LIDS, 1]
    seen: F64 = points.copy()
    seen[_LOWER_LIDS] = np.where(covered[:, None], points[_UPPER_LIDS], points[_LOWER_LIDS])
    return seen


@lru_cache(maxsize=1)
def jaw_rows() -> LandmarkPlaces:
    """Places [33, K, 3] that the jaw's landmarks march along, from the jaw's line inwards."""
    mesh = load_mesh()
    places = landmark_table()
    line = LandmarkPlaces(places.vertices[JAW], places.weights[JAW])
    jaw = landmark_points(line, mesh.canonical)
    targets = jaw[:, None] + _MARCH[1:, None] * (_MARCH_TO - jaw)[:, None]
    directions = (targets - _MARCH_RAYS_FROM).reshape(-1, 3)
    origins = np.tile(_MARCH_RAYS_FROM, (len(directions), 1))
    outer = mesh.skin_triangles[mesh.canonical[mesh.skin_triangles, 1].min(1) > _LOWEST_CHIN_DM]
    hits, at = kernels.cast_rays(origins, directions, mesh.canonical, outer)
    assert (hits >= 0).all(), "the rows lie on the face"
    shape = (len(jaw), len(_MARCH) - 1, 3)
    vertices = np.concatenate([places.vertices[JAW, None], outer[hits].reshape(shape)], 1)
    weights = np.concatenate([places.weights[JAW, None], at.reshape(shape)], 1)
    return LandmarkPlaces(vertices.astype(np.int32), weights)


def march(rows: F64, axis: F64, head_fraction: float) -> F64:
    """How much of each place of a row its landmark is: [33, K], rows sum to 1.

    Args:
        rows: the places in the picture [33, K, 2].
        axis: the middle of the face in the picture [2].
        head_fraction: height of the head in frames.
    """
    out = rows[:, 0] - axis
    out = out / np.linalg.norm(out, axis=1, keepdims=True)
    stands_out = ((rows - axis) * out[:, None]).sum(2) * (_SHARPNESS / head_fraction)
    shares = np.exp(stands_out - stands_out.max(1, keepdims=True))
    return np.asarray(shares / shares.sum(1, keepdims=True))


@lru_cache(maxsize=1)
def landmark_table() -> LandmarkPlaces:
    """The shipped table on the mesh; brows are zero."""
    text = resources.files(__package__).joinpath("landmarks.json").read_text(encoding="utf-8")
    mesh = load_mesh()
    vertices = np.zeros((_NUM_ON_MESH, 3), np.int32)
    weights = np.zeros((_NUM_ON_MESH, 3))
    for point in json.loads(text)["points"]:
        if "bary" in point:
            vertices[point["i"]] = mesh.index_of(np.array(point["hm08_vertices"]))
            weights[point["i"]] = point["bary"]
    return LandmarkPlaces(vertices, weights)


@lru_cache(maxsize=1)
def _brow_triangles() -> I32:
    mesh = load_mesh()
    corners = mesh.canonical[mesh.skin_triangles]  # [T, 3, 3]
    near = (corners[..., 2].min(1) > 0.5) & (np.abs(corners[..., 1] - 7.5).max(1) < 0.4)
    facing = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])[:, 2] > 0
    return np.ascontiguousarray(mesh.skin_triangles[near & facing])
