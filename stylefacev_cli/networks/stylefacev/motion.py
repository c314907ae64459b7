"""The motion sampler: a first pose and noise → the poses that follow.

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
    step_size: float = 0.2  # the most that a number of the pose changes from frame to frame


class MotionState(NamedTuple):
    """All that a step needs to know of the past."""

    pose: Tensor  # [N, pose_dim], of the last frame
    hidden: Tensor  # [N, hidden_dim]
    cell: Tensor  # [N, hidden_dim]


class MotionSampler(nn.Module):
    """Rolls a pose out in time; the state dict is that of the released motion sampler."""

    def __init__(self, config: MotionSamplerConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or MotionSamplerConfig()
        pose_dim, hidden_dim = config.pose_dim, config.hidden_dim
        self.enc_cell = nn.LSTMCell(pose_dim, hidden_dim)
        self.cell = nn.LSTMCell(pose_dim, hidden_dim)
        self.w = nn.Parameter(torch.empty(hidden_dim, pose_dim))
        self.b = nn.Parameter(torch.empty(pose_dim))
        self.fc1 = nn.Linear(hidden_dim * 2, pose_dim)
        self.fc2 = nn.Linear(pose_dim, pose_dim)
        self.init_weights()

    def init_weights(self) -> None:
        """Orthogonal cells (each gate) and head, small normal W, as the authors train from."""
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

    def start(self, first_pose: Tensor) -> MotionState:
        """The state before the first step.

        Args:
            first_pose: [N, pose_dim], the pose of the first frame, flattened.
        """
        self._check_width("first_pose", first_pose)
        hidden, cell = self.enc_cell(first_pose)
        return MotionState(first_pose, hidden, cell)

    def step(self, state: MotionState, noise: Tensor) -> tuple[Tensor, MotionState]:
        """The next pose; memory does not grow with the number of steps.

        Args:
            state: of `start` or of the last step.
            noise: [N, pose_dim], standard normal.

        Returns:
            The pose [N, pose_dim] and the state after it.
        """
        self._check_width("noise", noise)
        hidden, cell = self.cell(noise, (state.hidden, state.cell))
        velocity = torch.tanh(hidden @ self.w + self.b)
        pose = state.pose + self.config.step_size * velocity
        return pose, MotionState(pose, hidden, cell)

    def reconstruct_noise(self, state: MotionState) -> Tensor:
        """What the state tells of the noise of its last step: [N, pose_dim]."""
        memory = torch.cat([state.hidden, state.cell], dim=1)
        noise: Tensor = self.fc2(F.relu(self.fc1(memory)))
        return noise

    def roll_out(self, first_pose: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        """All the poses that follow the first one.

        Args:
            first_pose: p_0 [N, pose_dim].
            noise: e_1 … e_T [N, T, pose_dim], standard normal.

        Returns:
            Poses p_1 … p_T [N, T, pose_dim] (p_0 is not among them) and the reconstruction of the
            noise, of the same shape.
        """
        assert noise.ndim == 3 and noise.shape[1] > 0, (
            f"noise [N, T, pose_dim] expected, got {list(noise.shape)}"
        )
        state = self.start(first_pose)
        poses, reconstructions = [], []
        for noise_of_step in noise.unbind(dim=1):
            pose, state = self.step(state, noise_of_step)
            poses.append(pose)
            reconstructions.append(self.reconstruct_noise(state))
        return torch.stack(poses, dim=1), torch.stack(reconstructions, dim=1)

    def forward(self, first_pose: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        """`roll_out`."""
        return self.roll_out(first_pose, noise)

    def _check_width(self, name: str, values: Tensor) -> None:
        width = self.config.pose_dim
        assert values.ndim == 2 and values.shape[1] == width, (
            f"{name} [N, {width}] expected, got {list(values.shape)}"
        )
