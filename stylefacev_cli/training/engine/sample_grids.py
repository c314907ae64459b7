"""Sample grids: rows of images on one canvas."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

LANDMARK_COLOUR = (0.1, 1.0, 0.1)
PREDICTED_COLOUR = (1.0, 0.2, 0.1)
MIN_SIDE_PX = 96  # smaller pictures are enlarged, so that key points can be told apart


def grid(rows: list[Tensor]) -> np.ndarray:
    """Put pictures together, one tensor a row.

    Args:
        rows: each [N, 3, S, S] in [−1, 1]; shorter rows are filled up with black.

    Returns:
        uint8 [H, W, 3].
    """
    size = max(row.shape[-1] for row in rows)
    columns = max(len(row) for row in rows)
    canvas = np.zeros((len(rows) * size, columns * size, 3), np.uint8)
    for y, row in enumerate(rows):
        pictures = ((row.detach().float().clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)
        for x, picture in enumerate(pictures.permute(0, 2, 3, 1).cpu().numpy()):
            height, width = picture.shape[:2]
            canvas[y * size : y * size + height, x * size : x * size + width] = picture
    return canvas


def recomposition(
    appearance_from: Tensor,
    frames: Tensor,
    recomposed: Tensor,
    swapped: Tensor,
    detected: Tensor,
    predicted: Tensor,
) -> np.ndarray:
    """Decomposition and recomposition of examples, five rows.

    Args:
        appearance_from: where the appearance is from [N, 3, S, S] in [−1, 1].
        frames: the target, and where the pose is from; the same shape, as the next two.
        recomposed: images of both.
        swapped: the same appearance in the pose of the next column.
        detected: key points that the detector finds in `frames` [N, 14, 2], drawn green.
        predicted: key points that the poses stand for, drawn red over them.

    Returns:
        uint8 [H, W, 3].
    """
    scale = max(1, -(-MIN_SIDE_PX // frames.shape[-1]))
    none = frames.new_zeros(len(frames), 0, 2)
    rows = [with_points(row, none, scale) for row in (appearance_from, frames, recomposed, swapped)]
    marked = with_points(frames, detected, scale)
    return grid([*rows, with_points(marked, predicted, 1, PREDICTED_COLOUR)])


def with_points(
    images: Tensor,
    points: Tensor,
    scale: int = 3,
    rgb: tuple[float, float, float] = LANDMARK_COLOUR,
) -> Tensor:
    """Enlarged images with points drawn in.

    Args:
        images: [N, 3, S, S] in [−1, 1].
        points: [N, K, 2] as fractions of the image, x right and y down.
        scale: the enlargement.
        rgb: colour of the points, in [0, 1].

    Returns:
        [N, 3, scale·S, scale·S].
    """
    large = images.repeat_interleave(scale, dim=2).repeat_interleave(scale, dim=3).clone()
    size = large.shape[-1]
    pixels = (points.detach() * size).long().clamp(0, size - 1)
    colour = torch.tensor(rgb, device=images.device) * 2 - 1
    for index in range(len(large)):
        large[index, :, pixels[index, :, 1], pixels[index, :, 0]] = colour[:, None]
    return large
