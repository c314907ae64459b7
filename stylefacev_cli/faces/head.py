"""A person's head: everything that an identity decides, computed once per person."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stylefacev_cli.faces.hair import Hair, make_hair
from stylefacev_cli.faces.landmarks import (
    INNER_LIPS,
    LandmarkPlaces,
    landmark_table,
    place_landmarks,
)
from stylefacev_cli.faces.mesh import FaceMesh, macro_weights
from stylefacev_cli.faces.parameters import Identity
from stylefacev_cli.faces.skin import paint_skin

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]

_EYE_DEPTH = 1.075  # radii between the front of the eye's box and its centre
_TEETH_SHIFT_DM = {  # the model's teeth stand too far forward and show as a white bar
    "upper_teeth": (0.0, -0.030, -0.045),
    "lower_teeth": (0.0, -0.022, -0.045),
    "tongue": (0.0, -0.02, -0.045),
}


@dataclass(frozen=True)
class Head:
    """A head at rest: lips closed, eyes open.

    vertices [V, 3] float32; eye_centers [2, 3] left and right; paint [W, W, 4] uint8 (see
    `skin.paint_skin`).
    """

    identity: Identity
    vertices: F32
    eye_centers: F64
    eye_radius: float
    paint: NDArray[np.uint8]
    hair: Hair
    landmarks: LandmarkPlaces
    landmark_shares: F64  # [98] share of the head's rotation


def build_head(mesh: FaceMesh, identity: Identity) -> Head:
    """Build a person's head from named parameters."""
    vertices = _close_lips(mesh, _align(mesh, _shape(mesh, identity)))
    for part, shift in _TEETH_SHIFT_DM.items():
        vertices[np.unique(mesh.part(part))] += np.array(shift, np.float32)
    eyes = [_eye(vertices[np.unique(mesh.part(f"{side}_eye"))]) for side in ("left", "right")]
    landmarks = place_landmarks(mesh, identity)
    shares = (mesh.head_share[landmarks.vertices] * landmarks.weights).sum(1)
    return Head(
        identity=identity,
        vertices=vertices,
        eye_centers=np.array([center for center, _ in eyes]),
        eye_radius=float(np.mean([radius for _, radius in eyes])),
        paint=paint_skin(identity),
        hair=make_hair(mesh, identity, vertices),
        landmarks=landmarks,
        landmark_shares=np.append(shares, [1.0, 1.0]),
    )


def _shape(mesh: FaceMesh, identity: Identity) -> F32:
    weights = macro_weights(
        mesh.macro_names, identity.gender, identity.age, identity.weight, identity.ancestry
    )
    # einsum, not BLAS: small sums on one thread, in the same order on every machine.
    offsets = np.einsum("m,mv->v", weights, mesh.macro_offsets)
    offsets += np.einsum("s,sv->v", np.array(identity.shape, np.float32), mesh.shape_basis)
    return np.asarray(mesh.vertices + offsets.reshape(-1, 3))


def _align(mesh: FaceMesh, vertices: F32) -> F32:
    """Scale the head to the canonical size and put the eyes where the canonical head has them."""
    head = mesh.head_share > 0.95
    spread = [float(points[head].std(0).sum()) for points in (mesh.canonical, vertices)]
    vertices = vertices * np.float32((spread[0] / spread[1]) ** 0.85)
    eyes = np.unique(np.concatenate([mesh.part("left_eye"), mesh.part("right_eye")]))
    move = mesh.canonical[eyes].mean(0) - vertices[eyes].mean(0)
    return np.asarray(vertices + move, np.float32)


def _close_lips(mesh: FaceMesh, vertices: F32) -> F32:
    """The base mesh's lips are apart; add as much `mouthClose` as makes them touch."""
    upper, lower = landmark_table().vertices[list(INNER_LIPS), 0]
    offsets = mesh.expression_offsets[mesh.expression_index("mouthClose")].reshape(-1, 3)
    gap = float(vertices[upper, 1] - vertices[lower, 1]) - 0.004
    closes = max(1e-3, float(offsets[lower, 1] - offsets[upper, 1]))
    return np.asarray(vertices + np.float32(np.clip(gap / closes, -0.015, 0.2)) * offsets)


def _eye(points: F32) -> tuple[F64, float]:
    low, high = points.min(0).astype(np.float64), points.max(0).astype(np.float64)
    radius = float(high[0] - low[0] + high[1] - low[1]) / 4
    center = np.array(
        [(low[0] + high[0]) / 2, (low[1] + high[1]) / 2, high[2] - _EYE_DEPTH * radius]
    )
    return center, radius
