"""Sample sheets: rows of pictures on one canvas."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

LANDMARK_COLOUR = (0.1, 1.0, 0.1)


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


def with_points(images: Tensor, points: Tensor, scale: int = 3) -> Tensor:
    """Enlarged images with points drawn in.

    Args:
        images: [N, 3, S, S] in [−1, 1].
        points: [N, K, 2] as fractions of the image, x right and y down.
        scale: the enlargement.

    Returns:
        [N, 3, scale·S, scale·S].
    """
    large = images.repeat_interleave(scale, dim=2).repeat_interleave(scale, dim=3).clone()
    size = large.shape[-1]
    pixels = (points.detach() * size).long().clamp(0, size - 1)
    colour = torch.tensor(LANDMARK_COLOUR, device=images.device) * 2 - 1
    for index in range(len(large)):
        large[index, :, pixels[index, :, 1], pixels[index, :, 0]] = colour[:, None]
    return large
