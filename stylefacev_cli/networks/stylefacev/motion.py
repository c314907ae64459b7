"""The motion sampler, an LSTM: a first pose and noise → the poses that follow.

    (h_0, c_0) = LSTM_enc(p_0)        (h_t, c_t) = LSTM(e_t, h_{t−1}, c_{t−1})
    p_t = p_{t−1} + step · tanh(h_t W + b)

as in MoCoGAN-HD (Tian et al. 2021), here over poses of StyleFaceV. A second head reconstructs the
noise e_t from (h_t, c_t); the diversity loss wants it to succeed, so that noise is not ignored.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn


@dataclass(frozen=True)
class MotionSamplerConfig:
    """Sizes of the motion sampler; the defaults are the released ones (83 k parameters)."""

    pose_dim: int = 64  # numbers in a pose (8 × 8), and in the noise of a step
    hidden_dim: int = 64  # of the LSTM cells
    step_size: float = 0.2  # largest change of a number of the pose from frame to frame


class MotionState(NamedTuple):
    """State of the sampler between two steps."""

    pose: Tensor  # [N, pose_dim], of the last frame
    hidden: Tensor  # [N, hidden_dim]
    cell: Tensor  # [N, hidden_dim]


class RecurrentSampler(nn.Module):
    """What both motion samplers share: cells, noise, and the reconstruction of the noise.

    A child says in `change` what a step adds.
    """

    def __init__(self, width: int, hidden_dim: int, num_directions: int) -> None:
        """Build it with the authors' first weights.

        Args:
            width: numbers of what is moved, and of the noise of a step.
            hidden_dim: of the LSTM cells.
            num_directions: numbers that a step chooses.
        """
        super().__init__()
        self._width = width
        self.enc_cell = nn.LSTMCell(width, hidden_dim)
        self.cell = nn.LSTMCell(width, hidden_dim)
        self.w = nn.Parameter(torch.empty(hidden_dim, num_directions))
        self.b = nn.Parameter(torch.empty(num_directions))
        self.fc1 = nn.Linear(hidden_dim * 2, width)
        self.fc2 = nn.Linear(width, width)
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

    def change(self, directions: Tensor) -> Tensor:
        """What a step adds [N, width], of directions [N, num_directions] in [-1, 1]."""
        raise NotImplementedError

    def start(self, first: Tensor) -> MotionState:
        """The state before the first step.

        Args:
            first: [N, width], the pose of the first frame, flattened, or its w.
        """
        self._check_width("first_pose or first_w", first)
        hidden, cell = self.enc_cell(first)
        return MotionState(first, hidden, cell)

    def step(self, state: MotionState, noise: Tensor) -> tuple[Tensor, MotionState]:
        """The next pose or w; memory does not grow with the number of steps.

        Args:
            state: of `start` or of the last step.
            noise: [N, width], standard normal.

        Returns:
            The pose or w [N, width] and the state after it.
        """
        self._check_width("noise", noise)
        hidden, cell = self.cell(noise, (state.hidden, state.cell))
        after = state.pose + self.change(torch.tanh(hidden @ self.w + self.b))
        return after, MotionState(after, hidden, cell)

    def reconstruct_noise(self, state: MotionState) -> Tensor:
        """The noise of the last step, reconstructed from the state after it: [N, width]."""
        memory = torch.cat([state.hidden, state.cell], dim=1)
        noise: Tensor = self.fc2(F.relu(self.fc1(memory)))
        return noise

    def roll_out(self, first: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        """All that follows the first one.

        Args:
            first: p_0 or w_0 [N, width].
            noise: e_1 … e_T [N, T, width], standard normal.

        Returns:
            p_1 … p_T [N, T, width] (p_0 is not among them) and the reconstruction of the noise, of
            the same shape.
        """
        assert noise.ndim == 3 and noise.shape[1] > 0, (
            f"noise [N, T, {self._width}] expected, got {list(noise.shape)}"
        )
        state = self.start(first)
        moved, reconstructions = [], []
        for noise_of_step in noise.unbind(dim=1):
            after, state = self.step(state, noise_of_step)
            moved.append(after)
            reconstructions.append(self.reconstruct_noise(state))
        return torch.stack(moved, dim=1), torch.stack(reconstructions, dim=1)

    def forward(self, first: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        """`roll_out`."""
        return self.roll_out(first, noise)

    def _check_width(self, name: str, values: Tensor) -> None:
        assert values.ndim == 2 and values.shape[1] == self._width, (
            f"{name} [N, {self._width}] expected, got {list(values.shape)}"
        )


class MotionSampler(RecurrentSampler):
    """Rolls a pose out in time; the state dict is that of the released motion sampler."""

    def __init__(self, config: MotionSamplerConfig | None = None) -> None:
        config = config or MotionSamplerConfig()
        super().__init__(config.pose_dim, config.hidden_dim, config.pose_dim)
        self.config = config

    def change(self, directions: Tensor) -> Tensor:
        """Each number of the pose by `step_size` at most."""
        return self.config.step_size * directions
