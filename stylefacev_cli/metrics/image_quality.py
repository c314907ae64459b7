"""How near images are to others, pixel by pixel, in the whole frame or in a part of it."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

_LEAST_ERROR = 1e-10  # mean square; keeps the PSNR of equal images at 106 dB


def face_box(landmarks: Tensor, size_px: int) -> Tensor:
    """1 inside the bounding box of landmarks [N, 98, 2], else 0: [N, 1, size_px, size_px]."""
    axis = (torch.arange(size_px, device=landmarks.device) + 0.5) / size_px
    low, high = landmarks.amin(dim=1)[..., None], landmarks.amax(dim=1)[..., None]  # [N, 2, 1]
    inside = ((axis >= low) & (axis <= high)).float()  # [N, 2, S]
    return (inside[:, 1, :, None] * inside[:, 0, None, :])[:, None]


def psnr(images: Tensor, targets: Tensor, mask: Tensor) -> Tensor:
    """Peak signal-to-noise ratio in dB, inside the mask: [N]; 106 for equal images.

    Args:
        images: [N, C, S, S], clamped to [−1, 1].
        targets: [N, C, S, S] in [−1, 1].
        mask: [N, 1, S, S] of 0 and 1.
    """
    error = (images.clamp(-1, 1) - targets).square().mean(dim=1, keepdim=True)
    return 10 * torch.log10(4 / _masked_mean(error, mask).clamp(min=_LEAST_ERROR))


def ssim(images: Tensor, targets: Tensor, mask: Tensor, window_px: int = 7) -> Tensor:
    """Structural similarity (Wang et al. 2004) with a uniform window, inside the mask: [N].

    Arguments as in `psnr`; `window_px` is odd.
    """
    x, y = images.clamp(-1, 1), targets

    def mean(values: Tensor) -> Tensor:
        return F.avg_pool2d(values, window_px, stride=1)

    mean_x, mean_y = mean(x), mean(y)
    var_x = mean(x * x) - mean_x.square()
    var_y = mean(y * y) - mean_y.square()
    covariance = mean(x * y) - mean_x * mean_y
    c1, c2 = (0.01 * 2) ** 2, (0.03 * 2) ** 2
    top = (2 * mean_x * mean_y + c1) * (2 * covariance + c2)
    bottom = (mean_x.square() + mean_y.square() + c1) * (var_x + var_y + c2)
    edge = window_px // 2
    inner = mask[..., edge:-edge, edge:-edge]
    return _masked_mean((top / bottom).mean(dim=1, keepdim=True), inner)


def _masked_mean(values: Tensor, mask: Tensor) -> Tensor:
    return (values * mask).sum(dim=(1, 2, 3)) / mask.sum(dim=(1, 2, 3)).clamp(min=1)
