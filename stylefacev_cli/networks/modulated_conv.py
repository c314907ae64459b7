"""Modulated convolution with one weight for all samples.

The definition (Karras et al., "Analyzing and Improving the Image Quality of StyleGAN", eq. 1-3)
scales the weights of each sample by its styles, s_i w_oik, and divides by their norm over i and k.
Both factors are constant over the image, so the same result is

    y_o = d_o * sum_i w_oi * (s_i x_i),    d_o = 1 / sqrt(sum_i s_i^2 sum_k w_oik^2)

with one shared weight: scale the planes that come in, convolve, scale the planes that go out.
The last factor is handed to the filtered leaky ReLU, which applies it on the way in for nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import torch
import torch.nn.functional as F

_precision: ContextVar[torch.dtype | None] = ContextVar("precision", default=None)

EPSILON = 1e-8  # of the original, in the demodulation


def demodulation(weight: torch.Tensor, styles: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Scales that stand in for per-sample weights.

    As in StyleGAN3, weights are first brought to RMS 1 per output channel and styles to RMS 1
    (per sample; the original takes the batch's mean, which the demodulation cancels, but which
    would tie the samples of a batch to each other in the last digits).

    Args:
        weight: [O, I, k, k].
        styles: [N, I].

    Returns:
        in_scale [N, I] and out_scale [N, O].
    """
    energy = weight.square().sum(dim=(2, 3))  # [O, I]
    fan_in = weight[0].numel()
    weight_norm = (energy.sum(dim=1) / fan_in).rsqrt()  # [O]
    in_scale = styles * styles.square().mean(dim=1, keepdim=True).rsqrt()
    norm = in_scale.square() @ energy.t() * weight_norm.square()  # [N, O]
    return in_scale, weight_norm * (norm + EPSILON).rsqrt()


@contextmanager
def convolving_in(dtype: torch.dtype | None) -> Iterator[None]:
    """Multiply in another precision inside the convolutions, None for that of the input.

    bfloat16 halves the time of the products on CPUs that have instructions for it; sums stay
    float32, and so does everything between the convolutions.
    """
    token = _precision.set(dtype)
    try:
        yield
    finally:
        _precision.reset(token)


def scaled_conv(x: torch.Tensor, weight: torch.Tensor, in_scale: torch.Tensor) -> torch.Tensor:
    """Convolve x [N, I, H, W], its planes scaled by in_scale [N, I], with weight [O, I, k, k].

    Padded so that every position that sees a sample of x is in the result, which is
    [N, O, H + k - 1, W + k - 1].
    """
    precision = _precision.get() or x.dtype
    scaled = (x * in_scale.to(x.dtype)[:, :, None, None]).to(precision)
    return F.conv2d(scaled, weight.to(precision), padding=weight.shape[-1] - 1).to(x.dtype)
