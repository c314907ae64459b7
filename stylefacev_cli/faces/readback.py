"""Image and labels read back from a drawn frame: share of hair, visible landmarks."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from stylefacev_cli.faces.camera import View
from stylefacev_cli.faces.posed_head import SeenLandmarks
from stylefacev_cli.networks.compiled import njit

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
U8 = NDArray[np.uint8]

# Landmarks this far behind what is drawn are hidden; the inner lips lie in their own fold.
_HIDDEN_DM = np.where(np.isin(np.arange(98), np.arange(88, 96)), 0.10, 0.06)


def visible_landmarks(seen: SeenLandmarks, drawn: F32, view: View) -> NDArray[np.bool_]:
    """Which landmarks [98] are inside the frame and not behind skin, hair or hat.

    Args:
        seen: the landmarks before the camera.
        drawn: window depth [S, S] of the picture, bottom row first.
        view: the camera.
    """
    landmarks, depth, turned_away = seen
    side = len(drawn)
    column = np.floor(landmarks[:, 0] * side).astype(int)
    row = np.floor((1 - landmarks[:, 1]) * side).astype(int)
    inside = (column >= 0) & (column < side) & (row >= 0) & (row < side)
    # At an outline one neighbour shows the surface itself: take the farthest of the five.
    farthest = np.full(len(landmarks), -1.0)
    for dy, dx in ((0, 0), (-1, 0), (1, 0), (0, -1), (0, 1)):
        y, x = np.clip(row + dy, 0, side - 1), np.clip(column + dx, 0, side - 1)
        farthest = np.maximum(farthest, drawn[y, x])
    behind = camera_distance(depth, view) - camera_distance(farthest, view)
    return np.asarray(inside & (behind < _HIDDEN_DM) & ~turned_away)


def camera_distance(depth: F64, view: View) -> F64:
    """Distance from the camera (dm) of window depths, of any shape."""
    # The third row of the projection is (0, 0, a, b) before the camera's shift.
    matrix = view.view_projection
    a = float(matrix[2, 2])
    b = float(matrix[2, 3] + a * view.position[2])
    return np.asarray(b / (2 * depth - 1 + a))


@njit()
def shrink(pixels: U8, factor: int) -> U8:
    """The picture [S, S, 3], upright: means of boxes of RGBA pixels [F*S, F*S, 4]."""
    size = pixels.shape[0] // factor
    out = np.empty((size, size, 3), np.uint8)
    area = factor * factor
    for row in range(size):
        for column in range(size):
            for c in range(3):
                total = area // 2
                for y in range(factor):
                    for x in range(factor):
                        total += pixels[(size - 1 - row) * factor + y, column * factor + x, c]
                out[row, column, c] = total // area
    return out


@njit()
def hair_share(pixels: U8, block: int) -> U8:
    """How much of each block of RGBA pixels [B*S, B*S, 4] is hair: [S, S], upright, 255 for all.

    Hair is where alpha is about `shaders.HAIR_MARK`.
    """
    size = pixels.shape[0] // block
    out = np.empty((size, size), np.uint8)
    top = pixels.shape[0] - 1
    for row in range(size):
        for column in range(size):
            count = 0
            for y in range(block):
                for x in range(block):
                    mark = pixels[top - row * block - y, column * block + x, 3]
                    count += 100 < mark < 156
            out[row, column] = (255 * count) // (block * block)
    return out
