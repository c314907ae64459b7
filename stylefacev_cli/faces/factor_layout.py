"""The layout of latents: which factor of variation is at which place of z, and with which sign."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from stylefacev_cli.faces.parameters import HAIR_STYLES, POSE_NAMES

F32 = NDArray[np.float32]

Z_DIM = 256
NUM_SHAPE_FACTORS = 20

IDENTITY_NAMES = (
    *("gender", "age", "ancestry_0", "ancestry_1", "weight"),
    *(f"shape_{i}" for i in range(NUM_SHAPE_FACTORS)),
    *("skin_tone", "ruddiness", "make_up"),
    *("brow_height", "brow_arch", "brow_thickness", "brow_slant"),
    *("beard", "hair_shade", "hair_red", "hair_grey", "hairline", "recession"),
    *("hair_length", "fringe", "hair_volume", "quiff", "parting", "iris_shade"),
    *("shirt_light", "shirt_red", "shirt_blue", "collar_light", "neckline"),
    *("hair_curl", "hair_sweep", "hair_tied"),
    *("glasses", "glasses_width", "glasses_height", "glasses_square", "glasses_weight"),
    *("glasses_light", "glasses_red", "earrings", "earring_drop", "earring_gold"),
    *("neckline_v", "jacket", "jacket_light", "jacket_red", "jacket_blue"),
    *(f"hair_style_{name}" for name in HAIR_STYLES),
    *("skin_unevenness", "hat", "hat_tilt", "hat_light", "hat_red", "hat_blue"),
)
SCENE_NAMES = (
    *("light_azimuth", "light_elevation", "light_temperature"),
    *("key_light", "sky_light", "side_light"),
    *("background_light", "background_red", "background_blue"),
    *("background_right", "background_up", "background_centre"),
    *("floor_height", "floor_light", "panel_place", "panel_width", "panel_light"),
    *("lamps", "lamps_right", "lamps_up", "backdrop_warmth", "backdrop_blur"),
)

# Of layouts 0 to 399 one in which seeds 0 to 19 of numpy.random.RandomState, whose first numbers
# are no fair draw, hold as many women as men and every style of hair; all layouts have the same
# distribution.
_LAYOUT_SEED = 31


def permuted_layout() -> tuple[tuple[str, ...], F32]:
    """Names and signs (1 or -1) of the factors by their places in z: identity, scene, pose."""
    rng = np.random.RandomState(_LAYOUT_SEED)
    names: list[str] = []
    for block in (IDENTITY_NAMES, SCENE_NAMES, POSE_NAMES):
        names += [block[i] for i in rng.permutation(len(block))]
    return tuple(names), np.where(rng.rand(len(names)) < 0.5, -1, 1).astype(np.float32)
