"""Layers of StyleGAN2's synthesis: modulated convolutions, FIR upsampling, ToRGB.

The definition (Karras et al., "Analyzing and Improving the Image Quality of StyleGAN", 2020,
section 2.2) scales the weights of each sample by its styles and normalises them:

    k_oi = s_i w_oi        k'_oi = k_oi / sqrt(sum_i,h,w k_oi² + ε)        y_o = sum_i k'_oi * x_i

Both factors are constant over the image, so one shared weight gives the same:

    y_o = d_o · sum_i w_oi * (s_i x_i)        d_o = 1 / sqrt(sum_i s_i² sum_h,w w_oi² + ε)

Scale the planes that come in, convolve, scale the planes that go out; d_o, the noise, the bias and
the gain √2 of the leaky ReLU are one pass over memory. Names and shapes of parameters and buffers
are those of the released files of StyleGAN-V (`SynthesisLayer`, `ToRgb`).
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import nn

from stylefacev_cli.networks.stylegan3.mapping import FullyConnectedLayer
from stylefacev_cli.networks.stylegan3.stylegan2_discriminator import blur, blur_filter

EPSILON = 1e-8  # of the original, in the demodulation
SLOPE = 0.2  # of the leaky ReLU
GAIN = math.sqrt(2)  # of the leaky ReLU, which halves the variance


def upsample(images: torch.Tensor, taps: torch.Tensor) -> torch.Tensor:
    """Images [N, C, H, W] at twice the size: zeros between the samples, then a filter of gain 4.

    Args:
        images: [N, C, H, W].
        taps: [4, 4], of sum 1.
    """
    channels = images.shape[1]
    weight = (taps * 4).to(images.dtype).expand(channels, 1, *taps.shape)
    return F.conv_transpose2d(images, weight, stride=2, padding=1, groups=channels)


def demodulation(weight: torch.Tensor, styles: torch.Tensor, gain: float = 1.0) -> torch.Tensor:
    """Factors [N, O] on the planes of `styled_conv` that replace normalised weights per sample.

    Args:
        weight: [O, I, k, k].
        styles: [N, I].
        gain: on the weight, before it is normalised: only ε notices.
    """
    energy = weight.square().sum(dim=(2, 3)) * gain**2  # [O, I]
    return gain * (styles.square() @ energy.t() + EPSILON).rsqrt()


def styled_conv(
    x: torch.Tensor, weight: torch.Tensor, styles: torch.Tensor, taps: torch.Tensor | None = None
) -> torch.Tensor:
    """Convolve planes, each scaled by its style, with a weight that all samples share.

    Args:
        x: [N, I, H, W].
        weight: [O, I, k, k].
        styles: [N, I].
        taps: [4, 4] of sum 1: double the size, and filter with these; None keeps it.

    Returns:
        [N, O, H, W], or [N, O, 2 H, 2 W] with taps.
    """
    x = x * styles[:, :, None, None]
    if taps is None:
        return F.conv2d(x, weight, padding=weight.shape[-1] // 2)
    return blur(F.conv_transpose2d(x, weight.transpose(0, 1), stride=2), taps * 4, pad=1)


def activated(
    x: torch.Tensor,
    scale: torch.Tensor,
    bias: torch.Tensor,
    clamp: float | None,
    noise: torch.Tensor | None = None,
) -> torch.Tensor:
    """Leaky ReLU of scale · x + noise + bias, times √2, clamped.

    Args:
        x: [N, C, H, W].
        scale: [N, C], see `demodulation`.
        bias: [C].
        clamp: largest magnitude of the result, None = any.
        noise: [1, 1, H, W] or [N, 1, H, W].
    """
    shift = bias[:, None, None] * GAIN
    if noise is not None:
        shift = shift + noise * GAIN
    x = F.leaky_relu(torch.addcmul(shift, x, (scale * GAIN)[:, :, None, None]), SLOPE)
    return x if clamp is None else x.clamp(-clamp, clamp)


class SynthesisLayer(nn.Module):
    """Modulated convolution and leaky ReLU, at the resolution or to twice it."""

    resample_filter: torch.Tensor

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        w_dim: int,
        *,
        double: bool = False,
        clamp: float | None = None,
    ) -> None:
        super().__init__()
        self.doubles, self.clamp = double, clamp
        self.affine = FullyConnectedLayer(w_dim, in_channels, bias_init=1.0)
        self.weight = nn.Parameter(torch.randn(out_channels, in_channels, 3, 3))
        self.bias = nn.Parameter(torch.zeros(out_channels))
        self.register_buffer("resample_filter", blur_filter())

    def forward(self, x: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
        """Map x [N, I, H, W] under w [N, w_dim] to [N, O, H, W], or twice H and W."""
        styles = self.affine(w)
        scale = demodulation(self.weight, styles)
        x = styled_conv(x, self.weight, styles, self.resample_filter if self.doubles else None)
        return activated(x, scale, self.bias, self.clamp)


class ToRgb(nn.Module):
    """Modulated 1×1 convolution to colours, without demodulation."""

    def __init__(
        self, in_channels: int, img_channels: int, w_dim: int, *, clamp: float | None = None
    ) -> None:
        super().__init__()
        self.clamp = clamp
        self.affine = FullyConnectedLayer(w_dim, in_channels, bias_init=1.0)
        self.weight = nn.Parameter(torch.randn(img_channels, in_channels, 1, 1))
        self.bias = nn.Parameter(torch.zeros(img_channels))
        self.weight_gain = 1 / math.sqrt(in_channels)

    def forward(self, x: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
        """Colours [N, img_channels, H, W] of features [N, C, H, W] under w [N, w_dim]."""
        return to_rgb(x, self.weight, self.affine(w) * self.weight_gain, self.bias, self.clamp)


def to_rgb(
    x: torch.Tensor,
    weight: torch.Tensor,
    styles: torch.Tensor,
    bias: torch.Tensor,
    clamp: float | None = None,
) -> torch.Tensor:
    """Colours [N, O, H, W]: few channels, so that the weights and not the planes are scaled.

    Args:
        x: [N, I, H, W].
        weight: [O, I, 1, 1].
        styles: [N, I].
        bias: [O].
        clamp: largest magnitude of the result, None = any.
    """
    mixed = (weight[:, :, 0, 0] * styles[:, None]) @ x.flatten(2)  # [N, O, H W]
    colours = mixed.view(len(x), -1, *x.shape[2:]) + bias[:, None, None]
    return colours if clamp is None else colours.clamp(-clamp, clamp)
