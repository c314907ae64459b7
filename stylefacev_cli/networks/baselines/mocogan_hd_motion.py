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
import torch.nn.functional as F
from torch import Tensor, nn

from stylefacev_cli.networks.stylefacev.motion import MotionState


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


class LatentMotionSampler(nn.Module):
    """Rolls w out in time; the state dict is that of the released files, and the basis."""

    basis: Tensor  # [num_directions, w_dim]

    def __init__(self, config: LatentMotionConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or LatentMotionConfig()
        w_dim, hidden_dim, rows = config.w_dim, config.hidden_dim, config.num_directions
        self.enc_cell = nn.LSTMCell(w_dim, hidden_dim)
        self.cell = nn.LSTMCell(w_dim, hidden_dim)
        self.w = nn.Parameter(torch.empty(hidden_dim, rows))
        self.b = nn.Parameter(torch.empty(rows))
        self.fc1 = nn.Linear(hidden_dim * 2, w_dim)
        self.fc2 = nn.Linear(w_dim, w_dim)
        self.register_buffer("basis", torch.eye(rows, w_dim))
        self.init_weights()

    def init_weights(self) -> None:
        """Initialise as the authors do: orthogonal cells (each gate) and head, small normal W."""
        for cell in (self.enc_cell, self.cell):
            for weight in (cell.weight_ih, cell.weight_hh):
                for gate in weight.data.chunk(4):
                    nn.init.orthogonal_(gate)
            nn.init.zeros_(cell.bias_ih)
            nn.init.zeros_(cell.bias_hh)
        for linear in (self.fc1, self.fc2):
            nn.init.orthogonal_(linear.weight)
        nn.init.normal_(self.w, std=0.02)
        nn.init.zeros_(self.b)

    def start(self, first_w: Tensor) -> MotionState:
        """The state before the first step, of w_0 [N, w_dim]."""
        self._check_width("first_w", first_w)
        hidden, cell = self.enc_cell(first_w)
        return MotionState(first_w, hidden, cell)

    def step(self, state: MotionState, noise: Tensor) -> tuple[Tensor, MotionState]:
        """The next w; memory does not grow with the number of steps.

        Args:
            state: of `start` or of the last step; its pose is w.
            noise: [N, w_dim], standard normal.

        Returns:
            The next w [N, w_dim] and the state after it.
        """
        self._check_width("noise", noise)
        hidden, cell = self.cell(noise, (state.hidden, state.cell))
        along = torch.tanh(hidden @ self.w + self.b)  # [N, num_directions]
        w = state.pose + self.config.step_size * (along @ self.basis)
        return w, MotionState(w, hidden, cell)

    def reconstruct_noise(self, state: MotionState) -> Tensor:
        """The noise of the last step, reconstructed from the state after it: [N, w_dim]."""
        noise: Tensor = self.fc2(F.relu(self.fc1(torch.cat([state.hidden, state.cell], dim=1))))
        return noise

    def forward(self, first_w: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        """All the w's of videos.

        Args:
            first_w: w_0 [N, w_dim].
            noise: e_1 … e_T [N, T, w_dim], standard normal.

        Returns:
            w_0 … w_T [N, T + 1, w_dim], and the reconstruction of the noise [N, T, w_dim].
        """
        state = self.start(first_w)
        ws, reconstructions = [first_w], []
        for noise_of_step in noise.unbind(dim=1):
            w, state = self.step(state, noise_of_step)
            ws.append(w)
            reconstructions.append(self.reconstruct_noise(state))
        return torch.stack(ws, dim=1), torch.stack(reconstructions, dim=1)

    def _check_width(self, name: str, values: Tensor) -> None:
        width = self.config.w_dim
        assert values.ndim == 2 and values.shape[1] == width, (
            f"{name} [N, {width}] expected, got {list(values.shape)}"
        )
