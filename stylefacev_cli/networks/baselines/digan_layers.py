"""Layers of DIGAN's generator: Fourier features that move, and factorised modulation.

Sources: Yu et al., "Generating Videos with Dynamics-aware Implicit Generative Adversarial Networks"
(2022), section 3.2; for the modulation Skorokhodov et al., "Adversarial Generation of Continuous
Images" (INR-GAN, 2021), section 3.2. Names and shapes of parameters and buffers are those of the
released files.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import nn

from stylefacev_cli.networks.stylegan3.mapping import FullyConnectedLayer
from stylefacev_cli.networks.stylegan3.modulated_conv import mix_channels
from stylefacev_cli.networks.stylegan3.stylegan2_discriminator import blur_filter

_FREQUENCY_SCALE = math.sqrt(10)  # of the predicted frequencies
_MOTION_SCALE = 0.25  # of the motion, times t
_MOTION_SLOPE = 0.01  # of the first leaky ReLU of the motion; that of the others is 0.2
_GAIN = math.sqrt(2)  # of a leaky ReLU, which halves the variance
_SLOPE = 0.2
_EPSILON = 1e-8  # of the original, in the norm of a row of weights


class CoordFuser(nn.Module):
    """w, motion noise and times → Fourier features of the coordinates x and y.

        m = MLP(lrelu(0.25 t A[w; z_m]))        raw = W (x, y) + β + m        [sin raw; cos raw]

    with W and β affine in w. The motion moves phases only, so that time enters through m alone.
    """

    def __init__(self, w_dim: int, num_frequencies: int) -> None:
        super().__init__()
        self.num_frequencies = p = num_frequencies
        self.xyaffine = FullyConnectedLayer(w_dim, 3 * p)
        self.affine = FullyConnectedLayer(2 * w_dim, p)
        self.motion_mlp = nn.Sequential(
            FullyConnectedLayer(p, p, activate=True), FullyConnectedLayer(p, p)
        )

    def forward(
        self, w: torch.Tensor, z_motion: torch.Tensor, t: torch.Tensor, size: int
    ) -> torch.Tensor:
        """Features [N · T, 2 p, size, size].

        Args:
            w: [N, w_dim], of the convolution that takes the features.
            z_motion: [N, w_dim].
            t: [N, T], 0 to 1 over a training clip; may go beyond.
            size: px.
        """
        p, (n, num_frames) = self.num_frequencies, t.shape
        predicted = self.xyaffine(w)
        freqs = predicted[:, : 2 * p].view(n, p, 2) * _FREQUENCY_SCALE
        motion = self.affine(torch.cat([w, z_motion], dim=1)) * _MOTION_SCALE  # [N, p]
        motion = F.leaky_relu(motion[:, None] * t[:, :, None].to(w.dtype), _MOTION_SLOPE)
        motion = self.motion_mlp(motion.flatten(0, 1)).view(n, num_frames, p)
        phases = predicted[:, None, 2 * p :] + motion  # [N, T, p]

        # Columns run from −1, rows to −1. sin(a + b) = sin a cos b + cos a sin b, a of the columns
        # and b of the rows: planes are products of two lines, and the columns' last a whole video.
        axis = torch.arange(size, device=w.device, dtype=w.dtype) * (2 / size) - 1
        across = freqs[:, :, :1] * axis  # [N, p, size]
        along = freqs[:, None, :, 1:] * axis.flip(0) + phases[..., None]  # [N, T, p, size]
        columns = torch.stack([across.sin(), across.cos()], dim=2)[:, None]  # [N, 1, p, 2, size]
        sin, cos = along.sin(), along.cos()
        sines = torch.stack([cos, sin], dim=4) @ columns
        cosines = torch.stack([-sin, cos], dim=4) @ columns
        return torch.cat([sines, cosines], dim=2).flatten(0, 1)


class FactorisedLayer(nn.Module):
    """1×1 convolution whose weight a matrix of low rank modulates, and leaky ReLU.

    M = L R / √rank, L [O, rank] and R [rank, I] affine in w; K = W ∘ (M + 1) with rows of norm 1.
    """

    resample_filter: torch.Tensor  # of the released files; nothing is filtered

    def __init__(self, in_channels: int, out_channels: int, w_dim: int, rank: int) -> None:
        super().__init__()
        self.rank = rank
        self.affine = FullyConnectedLayer(w_dim, (in_channels + out_channels) * rank)
        self.weight = nn.Parameter(torch.randn(out_channels, in_channels, 1, 1))
        self.bias = nn.Parameter(torch.zeros(out_channels))
        self.register_buffer("resample_filter", blur_filter())

    def modulated(self, w: torch.Tensor) -> torch.Tensor:
        """The weights √2 K [N, O, I] under w [N, w_dim]; √2 is the gain of the leaky ReLU."""
        out_channels, in_channels = self.weight.shape[:2]
        factors = self.affine(w)
        left = factors[:, : out_channels * self.rank].view(-1, out_channels, self.rank)
        right = factors[:, out_channels * self.rank :].view(-1, self.rank, in_channels)
        modulation = left @ right / math.sqrt(self.rank)
        weights = self.weight[:, :, 0, 0] * (modulation + 1)
        scaled: torch.Tensor = weights * (_GAIN / (weights.norm(dim=2, keepdim=True) + _EPSILON))
        return scaled

    def forward(
        self,
        x: torch.Tensor,
        w: torch.Tensor,
        beside: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Features of the next layer.

        Args:
            x: [N · T, I, H, W]; with `beside` at half the size of the result, which is the same as
                doubling it before, since a 1×1 convolution sees single pixels.
            w: [N, w_dim].
            beside: [N · T, I', 2 H, 2 W], further channels behind those of x.

        Returns:
            [N · T, O, H, W], or twice H and W with `beside`.
        """
        repeats = len(x) // len(w)
        weights = self.modulated(w).repeat_interleave(repeats, dim=0)
        if beside is None:
            mixed = mix_channels(weights, x)
        else:
            own = x.shape[1]
            below = mix_channels(weights[:, :, :own].contiguous(), x)
            mixed = mix_channels(weights[:, :, own:].contiguous(), beside) + doubled(below)
        return F.leaky_relu(mixed + _GAIN * self.bias[:, None, None], _SLOPE)


def doubled(planes: torch.Tensor) -> torch.Tensor:
    """Planes [N, C, H, W] at twice the size, every pixel four times."""
    return F.interpolate(planes, scale_factor=2, mode="nearest")
