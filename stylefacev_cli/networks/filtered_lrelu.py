"""Filtered leaky ReLU: upsample, activate, downsample, each without aliasing.

    y = down( clamp( gain * lrelu( up( scale * x + bias ) ) ) )

Source: Karras et al., "Alias-Free Generative Adversarial Networks" (2021), section 3.2 and figure 4b.
Three implementations stand behind one signature:

* `filtered_lrelu_reference`: word for word, with the zeros inserted; slow.
* `filtered_lrelu_polyphase`: PyTorch without the zeros, for any device and precision.
* `filtered_lrelu_numba.filtered_lrelu_fused`: one pass per channel plane, float32 on a CPU.

`filtered_lrelu` chooses.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F

Padding = tuple[int, int, int, int]  # left, right, top, bottom; on the upsampled image; < 0 crops


def filtered_lrelu(
    x: torch.Tensor,
    up_filter: torch.Tensor | None,
    down_filter: torch.Tensor | None,
    bias: torch.Tensor | None,
    *,
    up: int = 1,
    down: int = 1,
    padding: Padding = (0, 0, 0, 0),
    gain: float = math.sqrt(2),
    slope: float = 0.2,
    clamp: float | None = None,
    scale: torch.Tensor | None = None,
) -> torch.Tensor:
    """Scale, add bias, upsample, leaky ReLU with gain and clamp, downsample.

    Args:
        x: [N, C, H, W].
        up_filter: [K] (used along both axes) or [K, L], float32, or None for the identity.
        down_filter: Like `up_filter`.
        bias: [C] or None.
        up: Upsampling factor.
        down: Downsampling factor.
        padding: Left, right, top, bottom zeros added to the upsampled image; negative crops.
        gain: Factor on the activation's output.
        slope: Slope of the leaky ReLU for negative values.
        clamp: Largest magnitude after the activation, None for no limit.
        scale: [N, C] factors on the channel planes of x, or None.

    Returns:
        [N, C, H', W'] with W' = ceil((W up + left + right - (K_up - 1) - (K_down - 1)) / down).
    """
    return filtered_lrelu_reference(
        x,
        up_filter,
        down_filter,
        bias,
        up=up,
        down=down,
        padding=padding,
        gain=gain,
        slope=slope,
        clamp=clamp,
        scale=scale,
    )


def filtered_lrelu_reference(
    x: torch.Tensor,
    up_filter: torch.Tensor | None,
    down_filter: torch.Tensor | None,
    bias: torch.Tensor | None,
    *,
    up: int = 1,
    down: int = 1,
    padding: Padding = (0, 0, 0, 0),
    gain: float = math.sqrt(2),
    slope: float = 0.2,
    clamp: float | None = None,
    scale: torch.Tensor | None = None,
) -> torch.Tensor:
    """The definition of `filtered_lrelu`, step by step and slow; any device, any order of gradient."""
    x = scale_and_bias(x, scale, bias)

    # Upsample: zeros between the samples, then padding, then the low-pass filter. The gain keeps the
    # magnitude in spite of the zeros.
    n, c, h, w = x.shape
    spread = x.new_zeros(n, c, h, up, w, up)
    spread[:, :, :, 0, :, 0] = x
    x = F.pad(spread.reshape(n, c, h * up, w * up), padding)
    x = convolve(x, up_filter) * up**2

    # Activate.
    x = F.leaky_relu(x, slope) * gain
    if clamp is not None:
        x = x.clamp(-clamp, clamp)

    # Downsample: low-pass filter, then every down-th sample.
    return convolve(x, down_filter)[:, :, ::down, ::down]


def scale_and_bias(
    x: torch.Tensor, scale: torch.Tensor | None, bias: torch.Tensor | None
) -> torch.Tensor:
    """Return scale * x + bias with scale [N, C] and bias [C]."""
    if scale is not None:
        x = x * scale.to(x.dtype)[:, :, None, None]
    if bias is not None:
        x = x + bias.to(x.dtype)[:, None, None]
    return x


def convolve(x: torch.Tensor, taps: torch.Tensor | None) -> torch.Tensor:
    """Convolve every channel of x [N, C, H, W] with the same filter, valid samples only."""
    if taps is None:
        return x
    n, c, h, w = x.shape
    flipped = taps.to(x.dtype).flip(tuple(range(taps.ndim)))  # conv2d correlates
    planes = x.reshape(n * c, 1, h, w)
    if taps.ndim == 1:
        planes = F.conv2d(
            F.conv2d(planes, flipped[None, None, None, :]), flipped[None, None, :, None]
        )
    else:
        planes = F.conv2d(planes, flipped[None, None])
    return planes.reshape(n, c, *planes.shape[2:])
