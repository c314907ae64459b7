"""Fourteen key points of an open-eyed face, in fractions of the picture."""

from __future__ import annotations

import numpy as np

FACE = np.array(
    [
        [0.35, 0.35], [0.65, 0.35],  # brows
        [0.4, 0.41], [0.4, 0.43], [0.4, 0.45],
        [0.6, 0.41], [0.6, 0.43], [0.6, 0.45],
        [0.5, 0.55],
        [0.5, 0.64], [0.5, 0.70], [0.44, 0.67], [0.56, 0.67], [0.5, 0.67],
    ]
)  # fmt: skip
