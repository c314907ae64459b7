"""Brows and lashes of the photographic look, joined to one mesh of cards."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from stylefacev_cli.faces import brows, kernels, lashes
from stylefacev_cli.faces.parameters import Identity

F32 = NDArray[np.float32]
I32 = NDArray[np.int32]
U8 = NDArray[np.uint8]

MAX_VERTICES, NUM_TRIANGLES = 512, 736
_BROW = 0.0  # kind, as in the shader; lashes have their opacity instead
_BROW_ROWS = len(brows.STYLES) * brows.PICTURE_HEIGHT
_PICTURE_ROWS = _BROW_ROWS + len(lashes.STYLES) * lashes.PICTURE_SIZE


@dataclass(frozen=True)
class FaceCards:
    """A person's brows, then lashes: N vertices on the posed head."""

    triangles: I32  # [NUM_TRIANGLES, 3]
    places: F32  # [N, 3] place in `card_pictures`, and kind
    brow_points: brows.SkinPoints
    lash_style: lashes.LashStyle
    lash_length: float

    def vertices(self, posed: F32) -> F32:
        """Positions and normals [N, 6] on vertices with expression [V, 3]."""
        brow = (posed[self.brow_points.vertices] * self.brow_points.weights[..., None]).sum(1)
        position = np.concatenate([brow, self.lash_style.fit(posed, self.lash_length)])
        position = position.astype(np.float32)
        normal = kernels.vertex_normals(position, self.triangles)
        return np.concatenate([position, normal], 1)


def make_cards(identity: Identity) -> FaceCards:
    """Brow and lash cards of a person."""
    points, brow_triangles, brow_places = brows.brow_card(identity)
    style = lashes.lash_style(identity)
    lash = lashes.load_lash_styles()[style]
    first = brows.brow_style(identity) * brows.PICTURE_HEIGHT
    brow_places = _into(brow_places, first, brows.PICTURE_HEIGHT)
    first = _BROW_ROWS + style * lashes.PICTURE_SIZE
    lash_places = _into(lash.card.texture, first, lashes.PICTURE_SIZE)
    upper, lower = lashes.lash_opacity(identity)
    kinds = np.concatenate([np.full(len(brow_places), _BROW), np.where(lash.lower, lower, upper)])
    return FaceCards(
        triangles=np.concatenate([brow_triangles, lash.card.triangles + len(brow_places)]).astype(
            np.int32
        ),
        places=np.column_stack([np.concatenate([brow_places, lash_places]), kinds]).astype(
            np.float32
        ),
        brow_points=points,
        lash_style=lash,
        lash_length=lashes.lash_length(identity),
    )


@lru_cache(maxsize=1)
def card_pictures() -> U8:
    """Opacity of all styles' pictures, one below the other [H, W]; row 0 is v = 0."""
    pictures = [style.picture for style in brows.load_brow_styles()]
    pictures += [style.picture for style in lashes.load_lash_styles()]
    return np.ascontiguousarray(np.concatenate(pictures))


def _into(places: F32, first_row: int, rows: int) -> F32:
    """Places of one picture as places of `card_pictures`."""
    return np.stack([places[:, 0], (first_row + places[:, 1] * rows) / _PICTURE_ROWS], -1)
