"""Filtered leaky ReLU: upsample, activate, downsample, each without aliasing.

    y = down( clamp( gain * lrelu( up( scale * x + bias ) ) ) )

Source: Karras et al., "Alias-Free Generative Adversarial Networks" (2021), section 3.2, figure 4b.
Three implementations stand behind one signature:

* `filtered_lrelu_reference`: word for word, with the zeros inserted; slow.
* `filtered_lrelu_polyphase`: PyTorch without the zeros, for any device and precision.
* `filtered_lrelu_fused`: one compiled pass per channel plane, for float32 on a CPU.

`filtered_lrelu` chooses.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache

import numpy as np
import torch
import torch.nn.functional as F

from stylefacev_cli.networks.stylegan3.polyphase import (
    AxisPhases,
    Doubles,
    Padding,
    output_size,
    separable_correlation,
    split_phases,
)


def filtered_lrelu(  # noqa: PLR0913 - the signature of StyleGAN3's operation
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
    implementation = None
    if x.dtype == torch.float32 and x.device.type == "cpu":
        implementation = _fused()
    return (implementation or filtered_lrelu_polyphase)(
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


@cache
def _fused() -> Callable[..., torch.Tensor] | None:
    """The fused implementation, imported when it is needed; None where numba does not run."""
    try:
        from stylefacev_cli.networks.stylegan3.filtered_lrelu_fused import filtered_lrelu_fused
    except ImportError:
        return None
    return filtered_lrelu_fused


def filtered_lrelu_reference(  # noqa: PLR0913 - as `filtered_lrelu`
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
    """Define `filtered_lrelu` step by step; slow, for any device and any order of gradient."""
    x = scale_and_bias(x, scale, bias)

    # Upsample: zeros between the samples, then padding, then the low-pass filter. The gain keeps
    # the magnitude in spite of the zeros.
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


def filtered_lrelu_polyphase(  # noqa: PLR0913 - as `filtered_lrelu`
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
    """`filtered_lrelu` without inserted zeros, in PyTorch; any device, any order of gradient.

    Each phase of the upsampled signal is a depthwise convolution of its own; the downsampling
    filters are convolutions with a stride; radial ones are sums of separable ones.
    """
    tolerance = 1e-12 if x.dtype == torch.float64 else 1e-6
    up_y, up_x = (up * axis for axis in separable_correlation(up_filter, tolerance))
    down_y, down_x = separable_correlation(down_filter, tolerance)
    left, right, top, bottom = padding
    n, c, h, w = x.shape
    out_h = output_size(h, up, down, top + bottom, up_y.shape[1], down_y.shape[1])
    out_w = output_size(w, up, down, left + right, up_x.shape[1], down_x.shape[1])

    x = scale_and_bias(x, scale, bias)
    x = _upsample_axis(x, up_x, up, left, (out_w - 1) * down + down_x.shape[1], c, axis=3)
    x = _upsample_axis(x, up_y, up, top, (out_h - 1) * down + down_y.shape[1], c, axis=2)
    x = F.leaky_relu(x, slope) * gain
    if clamp is not None:
        x = x.clamp(-clamp, clamp)

    # [C R, 1, 1, K]: a channel becomes R terms; [C, R, K, 1]: their sum becomes a channel again.
    x = F.conv2d(x, _repeated(down_x[:, None, None, :], c, x), stride=(1, down), groups=c)
    return F.conv2d(x, _repeated(down_y[None, :, :, None], c, x), stride=(down, 1), groups=c)


def _upsample_axis(
    x: torch.Tensor, correlation: Doubles, up: int, before: int, size: int, groups: int, axis: int
) -> torch.Tensor:
    """Upsample x [N, C', H, W] along axis 2 or 3 to `size` samples.

    Along axis 3 each of the C' = C channels becomes R terms; along axis 2 the C' = C R terms are
    summed to C channels; `groups` is C.
    """
    phases = split_phases(correlation, up, math.ceil(correlation.shape[1] / up), before)
    windows, first = _common_windows(phases)  # [R, U, K]
    per_phase = math.ceil(size / up)
    last = first + per_phase + windows.shape[2] - 1
    if axis == 3:
        x = F.pad(x, (-first, last - x.shape[3], 0, 0))
        weight = _repeated(windows.reshape(-1, 1, 1, windows.shape[2]), groups, x)
    else:
        x = F.pad(x, (0, 0, -first, last - x.shape[2]))
        weight = _repeated(windows.swapaxes(0, 1)[..., None], groups, x)
    x = F.conv2d(x, weight, groups=groups)
    if up == 1:
        return x
    n, c, h, w = x.shape
    x = x.reshape(n, c // up, up, h, w).movedim(2, axis + 1)  # phases next to their samples
    return x.flatten(axis, axis + 1).narrow(axis, 0, size)


def _common_windows(phases: AxisPhases) -> tuple[Doubles, int]:
    """Taps [rank, up, K] over one window that holds those of all phases, and where it begins."""
    rank, up, num_taps = phases.taps.shape
    first = int(phases.offset.min())
    windows = np.zeros((rank, up, num_taps + int(phases.offset.max()) - first))
    for phase, offset in enumerate(phases.offset - first):
        windows[:, phase, offset : offset + num_taps] = phases.taps[:, phase]
    return windows, first


def _repeated(weight: Doubles, groups: int, like: torch.Tensor) -> torch.Tensor:
    """The same convolution weight for every group."""
    one = torch.as_tensor(np.ascontiguousarray(weight), dtype=like.dtype, device=like.device)
    return one.repeat(groups, 1, 1, 1)
