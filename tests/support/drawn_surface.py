"""How far what a renderer drew last is from the camera."""

from __future__ import annotations

import numpy as np

from stylefacev_cli.faces.camera import View
from stylefacev_cli.faces.readback import camera_distance
from stylefacev_cli.faces.renderer import FaceRenderer


def surface_distance(renderer: FaceRenderer, view: View) -> np.ndarray:
    """Distances in decimetres of all samples of the picture, [S, S] upright."""
    with renderer._gl.context:
        depth = renderer._target.read_depth()
    return camera_distance(depth[::-1].astype(np.float64), view)
