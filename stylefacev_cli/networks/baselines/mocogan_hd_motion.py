"""MoCoGAN-HD's motion sampler, an LSTM: a first w and noise → the w's that follow.

    (h_0, c_0) = LSTM_enc(w_0)        (h_t, c_t) = LSTM(e_t, h_{t−1}, c_{t−1})
    w_t = w_{t−1} + step · tanh(h_t W + b) B

with the basis B of the directions in which w varies most, each as long as its standard deviation.
Source: Tian et al., "A Good Image Generator Is What You Need for High-Resolution Video Synthesis"
(2021), section 3.1. A second head reconstructs e_t from (h_t, c_t), for the diversity loss.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from stylefacev_cli.networks.stylefacev.motion import RecurrentSampler


@dataclass(frozen=True)
class LatentMotionConfig:
    """Sizes of MoCoGAN-HD's motion sampler; the defaults are the released ones."""

    w_dim: int = 512  # numbers in w, and in the noise of a step
    hidden_dim: int = 384  # of the LSTM cells
    num_directions: int = 384  # rows of the basis
    step_size: float = 0.2  # largest change along a direction, in standard deviations
    num_frames: int = 16  # of the clips that motion was learnt from


def basis_of_components(components: Tensor, deviations: Tensor, num_directions: int) -> Tensor:
    """The basis B [num_directions, w_dim] of principal components.

    Args:
        components: [K, w_dim] of unit length, the most important first.
        deviations: [K] standard deviations along them.
        num_directions: how many are kept.
    """
    return components[:num_directions] * deviations[:num_directions, None]


class LatentMotionSampler(RecurrentSampler):
    """Rolls w out in time; the state dict is that of the released files, and the basis."""

    basis: Tensor  # [num_directions, w_dim]

    def __init__(self, config: LatentMotionConfig | None = None) -> None:
        config = config or LatentMotionConfig()
        super().__init__(config.w_dim, config.hidden_dim, config.num_directions)
        self.config = config
        self.register_buffer("basis", torch.eye(config.num_directions, config.w_dim))

    def change(self, directions: Tensor) -> Tensor:
        """Along the basis, by `step_size` standard deviations at most."""
        return self.config.step_size * (directions @ self.basis)

    def forward(self, first: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        """All the w's of videos.

        Args:
            first: w_0 [N, w_dim].
            noise: e_1 … e_T [N, T, w_dim], standard normal.

        Returns:
            w_0 … w_T [N, T + 1, w_dim], and the reconstruction of the noise [N, T, w_dim].
        """
        ws, reconstructions = self.roll_out(first, noise)
        return torch.cat([first[:, None], ws], dim=1), reconstructions
