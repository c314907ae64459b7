"""Resizing of square images to the input size of an image encoder."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor


def resize_square(images: Tensor, size_px: int) -> Tensor:
    """Square images at the size `size_px`; images of that size are returned unchanged.

    Shrinking takes the mean over each target pixel's area (which is the antialiasing); enlarging is
    bilinear between pixel centres (`align_corners=False`), without further filtering. The authors
    bring frames to 256 px in the same way.

    Args:
        images: [N, C, S, S] float.
        size_px: side of the result.

    Returns:
        [N, C, size_px, size_px], differentiable with respect to `images`.
    """
    side_px = images.shape[-1]
    assert images.ndim == 4 and images.shape[-2] == side_px, (
        f"square images [N, C, S, S] expected, got {list(images.shape)}"
    )
    if side_px == size_px:
        return images
    if side_px > size_px:
        return F.interpolate(images, size=(size_px, size_px), mode="area")
    return F.interpolate(images, size=(size_px, size_px), mode="bilinear", align_corners=False)
