"""Lashes of the photographic look: MakeHuman's fitted cards, shortened towards the lid.

They are fitted to the mesh's helper vertices of lashes, which follow lids and gaze.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from stylefacev_cli.faces.assets import look_folder
from stylefacev_cli.faces.landmarks import landmark_points, landmark_table
from stylefacev_cli.faces.mesh import load_mesh
from stylefacev_cli.faces.mhclo import FittedMesh, read_fitted_mesh
from stylefacev_cli.faces.parameters import Identity
from stylefacev_cli.media.images import open_image

F32 = NDArray[np.float32]
U8 = NDArray[np.uint8]

STYLES = ("eyelashes01", "eyelashes02", "eyelashes03", "eyelashes04")
PICTURE_SIZE = 256
_LIDS = slice(60, 76)  # landmarks
_LOWER_SHARE = 0.7
_ROOT_DM = 0.02  # vertices this near to the lid are roots


class LashStyle(NamedTuple):
    """A set of lashes: N vertices of the card, R after the split at seams."""

    card: FittedMesh
    root: NDArray[np.intp]  # [N] the vertex at the lid that each vertex grows from
    share: F32  # [N] of the cards' length; the lower lid's are shorter
    lower: NDArray[np.bool_]  # [R] of the lower lid
    picture: U8  # [PICTURE_SIZE, PICTURE_SIZE] opacity; row 0 is v = 0

    def fit(self, vertices: F32, length: float) -> F32:
        """Vertices [R, 3] on a head's vertices [V, 3] with expression."""
        points = self.card.fit(vertices)
        roots = points[self.root]
        share = np.float32(length) * self.share[:, None]
        return np.asarray((roots + share * (points - roots))[self.card.corner])


def lash_style(identity: Identity) -> int:
    """Index into `STYLES` of a person's lashes: fuller with make-up, sparser for men."""
    return int(np.clip(1.3 + 2.6 * identity.make_up - 0.5 * identity.gender, 0, 3))


def lash_length(identity: Identity) -> float:
    """Share of the cards' length."""
    return float(0.42 + 0.22 * (1 - identity.gender) + 0.22 * identity.make_up)


def lash_opacity(identity: Identity) -> tuple[float, float]:
    """Opacity of upper and lower lashes."""
    full = 0.55 + 0.15 * (1 - identity.gender) + 0.3 * identity.make_up
    return full, 0.32 * full


@lru_cache(maxsize=1)
def load_lash_styles() -> tuple[LashStyle, ...]:
    """All `STYLES`, from the files of the photographic look."""
    return tuple(_load(name) for name in STYLES)


def _load(name: str) -> LashStyle:
    """A style from its files; its vertices near the lids are the roots of the others."""
    mesh, folder = load_mesh(), look_folder() / "eyelashes"
    card = read_fitted_mesh(mesh, folder / f"{name}.obj", folder / f"{name}.mhclo")
    lids = landmark_points(landmark_table(), mesh.canonical)[_LIDS]
    points = card.fit(mesh.canonical)
    # Upper and lower lashes are islands of their own.
    island = _islands(len(points), card.joined_triangles)
    ring = np.concatenate([np.linspace(lids[i], lids[_next(i)], 8) for i in range(16)])
    away = np.linalg.norm(points[:, None] - ring, axis=2).min(1)
    root = np.arange(len(points))
    lower = np.zeros(len(points), np.bool_)
    for k in np.unique(island):
        members = np.flatnonzero(island == k)
        roots = members[away[members] < max(_ROOT_DM, float(np.sort(away[members])[8]))]
        gaps = np.linalg.norm(points[members, None] - points[roots], axis=2)
        root[members] = roots[gaps.argmin(1)]
        lower[members] = points[members, 1].mean() < lids[:, 1].mean()
    share = np.where(lower, _LOWER_SHARE, 1.0).astype(np.float32)
    with open_image(folder / f"{name}.png") as picture:
        opacity = picture.convert("RGBA").getchannel("A").resize((PICTURE_SIZE, PICTURE_SIZE))
    return LashStyle(card, root, share, lower[card.corner], np.asarray(opacity)[::-1].copy())


def _next(i: int) -> int:
    """The lid landmark after the i-th, around each eye."""
    return i // 8 * 8 + (i + 1) % 8


def _islands(num: int, triangles: NDArray[np.int32]) -> NDArray[np.int64]:
    """A label [num] that vertices share which triangles join."""
    label = np.arange(num)
    while True:
        lowest = label[triangles].min(1)
        new = label.copy()
        np.minimum.at(new, triangles.ravel(), np.repeat(lowest, 3))
        if np.array_equal(new, label):
            return label
        label = new
