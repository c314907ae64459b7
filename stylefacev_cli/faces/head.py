"""A person's head at rest: all that depends on the identity alone, computed once a person."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from stylefacev_cli.faces import bake
from stylefacev_cli.faces.accessories import AccessoryPlaces, make_accessories
from stylefacev_cli.faces.brows import brow_outline
from stylefacev_cli.faces.cards import FaceCards, make_cards
from stylefacev_cli.faces.hair import Hair, make_hair
from stylefacev_cli.faces.hair_cards import (
    STYLES,
    HairCards,
    fit_hair,
    is_mirrored,
    scalp_cover,
)
from stylefacev_cli.faces.hats import NAMES as HAT_NAMES
from stylefacev_cli.faces.hats import Hat, fit_hat
from stylefacev_cli.faces.landmarks import (
    INNER_LIPS,
    LandmarkPlaces,
    landmark_points,
    landmark_table,
    place_landmarks,
)
from stylefacev_cli.faces.looks import PHOTOGRAPHIC
from stylefacev_cli.faces.mesh import FaceMesh, load_mesh, macro_weights
from stylefacev_cli.faces.parameters import HAIR_STYLES, Identity
from stylefacev_cli.faces.skin_paint import paint_hair, paint_skin
from stylefacev_cli.faces.skin_textures import blend_skin
from stylefacev_cli.faces.teeth import MouthPlace, make_arches

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]

_GENDER_CONTRAST = 1.2  # of shapes, against MakeHuman's, so that faces alone tell it
_EYE_DEPTH = 1.075  # radii between the front of the eye's box and its centre
_TONGUE_SHIFT_DM = (0.0, -0.03, -0.06)  # behind the teeth
_SHAVED_COVER = 0.32  # stubble on a shaved head
_LIP_CORNERS, _NOSE_BRIDGE = (88, 92), 51
_LEFT_EAR_TOP, _LEFT_EAR_LOBE = (0.745, 7.36, 0.50), (0.72, 6.90, 0.50)  # canonical


@dataclass(frozen=True)
class Head:
    """A head at rest: lips closed, eyes open.

    Lengths in decimetres. `skin`, `hair_cards`, `hat` and `cards` are of the photographic look.
    """

    identity: Identity
    vertices: F32  # [V, 3]
    eye_centers: F64  # [2, 3] left and right
    eye_radius: float
    paint: NDArray[np.uint8]  # [W, W, 4] by `skin.paint_hair` over a `skin`, else `paint_skin`
    skin: NDArray[np.uint8] | None  # [H, W, 4] by `skins.blend_skin`
    hair: Hair | None  # shells; also in the photographic look, for people who have that style
    hair_cards: HairCards | None
    hat: Hat | None
    teeth: F32  # [2, N, 3] upper and lower arch (see `teeth.make_arches`)
    accessories: F32  # [N, 8] (see `accessories.make_accessories`)
    landmarks: LandmarkPlaces
    landmark_shares: F64  # [98] share of the head's rotation
    cards: FaceCards | None  # brows and lashes; None where they are painted


def build_head(mesh: FaceMesh, identity: Identity, look: str = PHOTOGRAPHIC) -> Head:
    """Build a person's head from named parameters, in one of `looks.LOOKS`.

    Raises:
        MissingWeightsError, IntegrityError: as `assets.look_folder`, in the photographic look.
    """
    pictured = look == PHOTOGRAPHIC
    vertices = _close_lips(mesh, _align(mesh, _shape(mesh, identity)))
    vertices[np.unique(mesh.part("tongue"))] += np.array(_TONGUE_SHIFT_DM, np.float32)
    eyes = [_eye(vertices[np.unique(mesh.part(f"{side}_eye"))]) for side in ("left", "right")]
    centers = np.array([center for center, _ in eyes])
    tops, lobes = _on_both_sides(_LEFT_EAR_TOP), _on_both_sides(_LEFT_EAR_LOBE)
    landmarks = place_landmarks(mesh, identity, brow_outline if pictured else None)
    points = landmark_points(landmarks, vertices)
    shares = (mesh.head_share[landmarks.vertices] * landmarks.weights).sum(1)
    wears_hat = identity.hat > 0 and pictured
    style = HAIR_STYLES[identity.hair_style] if pictured else "shells"
    return Head(
        identity=identity,
        vertices=vertices,
        eye_centers=centers,
        eye_radius=float(np.mean([radius for _, radius in eyes])),
        paint=paint_hair(identity, _scalp_cover(style, identity))
        if pictured
        else paint_skin(identity),
        skin=blend_skin(identity) if pictured else None,
        hair=make_hair(mesh, identity, vertices) if style == "shells" else None,
        hair_cards=fit_hair(style, identity, vertices) if style in STYLES else None,
        hat=fit_hat(HAT_NAMES[identity.hat - 1], vertices) if wears_hat else None,
        teeth=make_arches(_mouth(points)),
        accessories=make_accessories(
            identity,
            AccessoryPlaces(
                eyes=centers,
                nose_bridge=points[_NOSE_BRIDGE],
                ear_tops=vertices[list(tops)].astype(np.float64),
                ear_lobes=vertices[list(lobes)].astype(np.float64),
            ),
        ),
        landmarks=landmarks,
        landmark_shares=np.append(shares, [1.0, 1.0]),
        cards=make_cards(identity) if pictured else None,
    )


def _scalp_cover(style: str, identity: Identity) -> F32:
    """How much of the scalp the hair hides, texels of the paint map [W, W] in [0, 1]."""
    size = bake.PAINT_SIZE
    if style in STYLES:
        cover = 0.97 * scalp_cover(style)
        return np.ascontiguousarray(cover[:, ::-1]) if is_mirrored(style, identity) else cover
    return _stubble() if style == "shaved" else np.full((size, size), 0.97, np.float32)


@lru_cache(maxsize=1)
def _stubble() -> F32:
    """Cover of a shaved scalp: stumps of hair, texels of the paint map [W, W]."""
    grain = np.random.default_rng(9).random((bake.PAINT_SIZE, bake.PAINT_SIZE))
    return np.asarray(_SHAVED_COVER * (0.5 + grain), np.float32)


def _shape(mesh: FaceMesh, identity: Identity) -> F32:
    gender = 0.5 + _GENDER_CONTRAST * (identity.gender - 0.5)
    weights = macro_weights(
        mesh.macro_names, gender, identity.age, identity.weight, identity.ancestry
    )
    # einsum, not BLAS: small sums on one thread, in the same order on every machine.
    offsets = np.einsum("m,mv->v", weights, mesh.macro_offsets)
    offsets += np.einsum("s,sv->v", np.array(identity.shape, np.float32), mesh.shape_basis)
    return np.asarray(mesh.vertices + offsets.reshape(-1, 3))


def _align(mesh: FaceMesh, vertices: F32) -> F32:
    """Vertices [V, 3] scaled to the canonical head's size, the eyes at the canonical place."""
    head = mesh.head_share > 0.95
    spread = [float(points[head].std(0).sum()) for points in (mesh.canonical, vertices)]
    vertices = vertices * np.float32((spread[0] / spread[1]) ** 0.85)
    eyes = np.unique(np.concatenate([mesh.part("left_eye"), mesh.part("right_eye")]))
    move = mesh.canonical[eyes].mean(0) - vertices[eyes].mean(0)
    return np.asarray(vertices + move, np.float32)


def _close_lips(mesh: FaceMesh, vertices: F32) -> F32:
    """Vertices [V, 3] with touching lips: the base mesh's are apart, `mouthClose` joins them."""
    upper, lower = landmark_table().vertices[list(INNER_LIPS), 0]
    offsets = mesh.expression_offsets[mesh.expression_index("mouthClose")].reshape(-1, 3)
    gap = float(vertices[upper, 1] - vertices[lower, 1]) - 0.004
    closes = max(1e-3, float(offsets[lower, 1] - offsets[upper, 1]))
    return np.asarray(vertices + np.float32(np.clip(gap / closes, -0.015, 0.2)) * offsets)


def _mouth(points: F64) -> MouthPlace:
    """The mouth of a head at rest, from its landmarks [96, 3]."""
    upper, lower = points[list(INNER_LIPS)]
    corners = points[list(_LIP_CORNERS)]
    return MouthPlace(
        line_y=float(upper[1] + lower[1]) / 2,
        inner_z=float(min(upper[2], lower[2])),
        half_width=float(np.linalg.norm(corners[1] - corners[0])) / 2,
    )


@lru_cache(maxsize=2)
def _on_both_sides(left: tuple[float, float, float]) -> tuple[int, int]:
    """The vertices nearest to a canonical point on the left, and to its mirror image."""
    canonical = load_mesh().canonical
    places = np.array([left, (-left[0], *left[1:])])
    near_left, near_right = np.linalg.norm(canonical - places[:, None], axis=2).argmin(1)
    return int(near_left), int(near_right)


def _eye(points: F32) -> tuple[F64, float]:
    low, high = points.min(0).astype(np.float64), points.max(0).astype(np.float64)
    radius = float(high[0] - low[0] + high[1] - low[1]) / 4
    center = np.array(
        [(low[0] + high[0]) / 2, (low[1] + high[1]) / 2, high[2] - _EYE_DEPTH * radius]
    )
    return center, radius
