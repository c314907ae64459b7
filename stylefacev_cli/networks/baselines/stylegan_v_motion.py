"""The motion code of StyleGAN-V: noise and a time, any t ≥ 0 → v(t), continuous in t.

Source: Skorokhodov et al., "StyleGAN-V: A Continuous Video Generator with the Price, Image Quality
and Perks of StyleGAN2" (2022), section 3.2. Noise ζ_k stands at every d-th frame; two convolutions
without padding make codes u_k of it. Between t_l = ⌊t/d⌋ d and t_r = t_l + d, with a = (t − t_l)/d,

    ψ(s) = [sin, cos](ω (tanh(P u_l) + 1) s + (1024 / periods) Φ u_l)
    v(t) = ψ(t) − [(1 − a) ψ(t_l) + a ψ(t_r)] + (1 − a) A u_l + a A u_r

so that v(t_l) = A u_l and v(t_r) = A u_r: neighbouring stretches agree where they meet.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn

_RATE = 0.01  # learning-rate multiplier of the convolutions
_SLOPE = 0.2


@dataclass(frozen=True)
class TimeConfig:
    """Sizes of a motion code; the defaults are StyleGAN-V's for faces."""

    z_dim: int = 512  # numbers in a noise vector ζ
    u_dim: int = 512  # numbers in a code u
    distance: int = 16  # frames between two codes
    kernel_size: int = 11  # codes that each of the two convolutions sees
    num_frequencies: int = 256  # of the time code, whose numbers are twice as many
    min_period: int = 16  # frames
    max_period: int = 1024  # frames

    @property
    def v_dim(self) -> int:
        """Numbers in a motion code v."""
        return 2 * self.num_frequencies

    @property
    def margin(self) -> int:
        """Noise vectors that the convolutions see beyond the code."""
        return 2 * (self.kernel_size - 1)


class NoiseConvolution(nn.Module):
    """Convolution along time without padding, with equalised learning rate; leaky ReLU, no gain."""

    def __init__(self, in_features: int, out_features: int, kernel_size: int) -> None:
        super().__init__()
        weight = torch.randn(out_features, in_features, kernel_size) / _RATE
        self.weight = nn.Parameter(weight)
        self.bias = nn.Parameter(torch.zeros(out_features))
        self.weight_gain = _RATE / math.sqrt(in_features * kernel_size)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map x [N, I, K] to [N, O, K − kernel_size + 1]."""
        x = F.conv1d(x, self.weight * self.weight_gain, self.bias * _RATE)
        return F.leaky_relu(x, _SLOPE)


class Unbiased(nn.Module):
    """Linear layer with equalised learning rate and no bias."""

    def __init__(self, in_features: int, out_features: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(out_features, in_features))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map x [..., I] to [..., O]."""
        return F.linear(x, self.weight) / math.sqrt(self.weight.shape[1])


class TimeEncoder(nn.Module):
    """Two codes u and a time between them → v(t); parameters as in the released files."""

    freqs: torch.Tensor  # [1, F] ω, radians per frame, from slow to fast
    phase_scales: torch.Tensor  # [1, F] longest period / own period

    def __init__(self, config: TimeConfig) -> None:
        super().__init__()
        self.config = config
        low, high = math.log2(config.max_period), math.log2(config.min_period)
        periods = torch.exp2(
            torch.linspace(low, high, config.num_frequencies, dtype=torch.float64)
        )[None]
        self.register_buffer("freqs", (2 * math.pi / periods).float())
        self.register_buffer("phase_scales", (config.max_period / periods).float())
        self.periods_predictor = Unbiased(config.u_dim, config.num_frequencies)
        self.phase_predictor = Unbiased(config.u_dim, config.num_frequencies)
        self.aligners_predictor = Unbiased(config.u_dim, config.v_dim)

    def forward(self, left: torch.Tensor, right: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        """Motion codes v [M, v_dim] at times t [M] between the codes left and right [M, u_dim]."""
        distance = self.config.distance
        t = t[:, None].to(self.freqs.dtype)
        start = t - t % distance
        share = (t - start) / distance  # a
        rate = self.freqs * (self.periods_predictor(left).tanh() + 1)
        phase = self.phase_predictor(left) * self.phase_scales

        def wave(s: torch.Tensor) -> torch.Tensor:
            angle = rate * s + phase
            return torch.cat([angle.sin(), angle.cos()], dim=1)

        ends: torch.Tensor = wave(start).lerp(wave(start + distance), share)
        aligned = self.aligners_predictor(left).lerp(self.aligners_predictor(right), share)
        codes: torch.Tensor = wave(t) - ends + aligned
        return codes


class MotionEncoder(nn.Module):
    """Noise and times → motion codes."""

    def __init__(self, config: TimeConfig) -> None:
        super().__init__()
        self.config = config
        self.time_encoder = TimeEncoder(config)
        self.conv = nn.Sequential(
            NoiseConvolution(config.z_dim, config.z_dim, config.kernel_size),
            NoiseConvolution(config.z_dim, config.u_dim, config.kernel_size),
        )

    def num_noise(self, last_time: float) -> int:
        """How many noise vectors a video needs that ends at `last_time`."""
        return math.floor(last_time / self.config.distance) + 2 + self.config.margin

    def forward(self, noise: torch.Tensor, t: torch.Tensor, first: int = 0) -> torch.Tensor:
        """Motion codes of frames.

        Args:
            noise: ζ_first … [N, K, z_dim], K as many as `num_noise` says less `first`, or more.
            t: [N, T] times in training frames, from first · distance.
            first: index of the first noise vector, so that a long video keeps few of them.

        Returns:
            v [N, T, v_dim].
        """
        config = self.config
        assert noise.ndim == 3 and noise.shape[2] == config.z_dim, (
            f"noise [N, K, {config.z_dim}] expected, got {list(noise.shape)}"
        )
        codes = self.conv(noise.transpose(1, 2)).transpose(1, 2)  # u [N, K − margin, u_dim]
        index = (t / config.distance).floor().long() - first  # [N, T]
        assert int(index.max()) + 1 < codes.shape[1], f"{len(noise[0])} noise vectors are too few"
        rows = torch.arange(len(noise), device=t.device)[:, None]
        left, right = codes[rows, index], codes[rows, index + 1]  # [N, T, u_dim]
        v: torch.Tensor = self.time_encoder(left.flatten(0, 1), right.flatten(0, 1), t.flatten())
        return v.view(*t.shape, -1)
