"""Regions of the face mesh: upright squares around faces, cut out of pictures.

A region is a square of any size, place and turn, given as [4] x and y of its centre, side (pixels
of the picture, the centre of column i at i + 0.5) and angle (radians, clockwise as seen). Its size
and turn are MediaPipe's: one and a half times the longer side of the box around the face, turned so
that the line of the eyes is level (graphs `face_detector` and `face_landmarks_detector`).
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
U8 = NDArray[np.uint8]

_ENLARGED = 1.5  # side of a region in longer sides of the box around the face
_EYE_CORNERS = (33, 263)  # of the mesh: the outer ones
_BOX_EYES = (0, 1)  # of the detector's points


def region_of_box(box: F64, eye_points: F64) -> F64:
    """The region [4] of a face of the detector.

    Args:
        box: [4] left, top, right, bottom px.
        eye_points: [6, 2] px, see `DetectedFaces`.
    """
    return _region(box, eye_points[list(_BOX_EYES)])


def region_of_points(points: NDArray[np.floating]) -> F64:
    """The region [4] around a face of the mesh, points [478, 3] px."""
    flat = points[:, :2].astype(np.float64)
    box = np.concatenate([flat.min(0), flat.max(0)])
    return _region(box, flat[list(_EYE_CORNERS)])


def _region(box: F64, eyes: F64) -> F64:
    across = eyes[1] - eyes[0]
    side = _ENLARGED * float((box[2:] - box[:2]).max())
    return np.array([*(box[:2] + box[2:]) / 2, side, np.arctan2(across[1], across[0])])


def points_in_picture(points: F32, region: F64) -> F32:
    """Points [K, 3] in sides of a region as pixels of the picture; z grows with the region."""
    x, y, side, angle = region
    across, down = (points[:, axis] - 0.5 for axis in (0, 1))
    cos, sin = side * np.cos(angle), side * np.sin(angle)
    placed = [x + across * cos - down * sin, y + across * sin + down * cos, points[:, 2] * side]
    return np.stack(placed, 1).astype(np.float32)


def cut_region(picture: U8, region: F64, size_px: int, device: torch.device) -> Tensor:
    """A region of a picture [H, W, 3] as [3, size_px, size_px] in [0, 1].

    Bilinear, of the picture shrunk by a whole factor where the region is twice as large or more;
    beyond the picture its edge goes on.
    """
    x, y, side, angle = region
    height, width = picture.shape[:2]
    reach = side / 2 * (abs(np.cos(angle)) + abs(np.sin(angle))) + 2
    left, right = _span(x, reach, width)
    top, bottom = _span(y, reach, height)
    image = as_image(picture[top:bottom, left:right], device)
    return cut_squares(image, region[None] - [left, top, 0, 0], size_px)[0]


def as_image(picture: U8, device: torch.device) -> Tensor:
    """A picture [H, W, 3] as [1, 3, H, W] in [0, 1]."""
    return torch.tensor(picture, device=device).permute(2, 0, 1)[None].float() / 255


def cut_squares(image: Tensor, regions: F64, size_px: int) -> Tensor:
    """Regions [N, 4] of one size of an image [1, 3, H, W], see `cut_region`: [N, 3, S, S]."""
    factor = max(min(int(regions[0, 2] / size_px), *image.shape[2:]), 1)
    if factor >= 2:
        image = F.avg_pool2d(image, factor)
    # From places in [-1, 1] of the region to places in [-1, 1] of the image, which may have lost
    # a rest of rows and columns.
    wide, high = image.shape[3] * factor, image.shape[2] * factor
    x, y, side, angle = regions.T
    cos, sin = side * np.cos(angle), side * np.sin(angle)
    to_image = np.stack(
        [cos / wide, -sin / wide, 2 * x / wide - 1, sin / high, cos / high, 2 * y / high - 1], 1
    )
    matrices = torch.tensor(to_image.reshape(-1, 2, 3), dtype=image.dtype, device=image.device)
    grid = F.affine_grid(matrices, [len(regions), 3, size_px, size_px], align_corners=False)
    images = image.expand(len(regions), -1, -1, -1)
    return F.grid_sample(images, grid, "bilinear", "border", align_corners=False)


def _span(centre: float, reach: float, length: int) -> tuple[int, int]:
    """First and last pixel of an axis within reach; one at least."""
    first = int(np.clip(np.floor(centre - reach), 0, length - 1))
    return first, int(np.clip(np.ceil(centre + reach), first + 1, length))
