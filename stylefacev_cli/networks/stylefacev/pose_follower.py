"""The pose follower: measures of a face, as another face shows them → that one's poses.

    p = max(p₀ + W x + f(x), 0),  x = (target − rest, rest, p₀)

Rest and p₀ are of a frame of the person who is moved, so that the pose of a movement is learnt
beside that of the person at rest. It learns from generated frames, on which the face mesh says what
the face does (examples/train_follower.py).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from stylefacev_cli.errors import UsageError
from stylefacev_cli.networks.stylefacev.pose import POSE_SIZE

_POSE_DIM = POSE_SIZE**2


@dataclass(frozen=True)
class PoseFollowerConfig:
    """Sizes of the pose follower."""

    num_measures: int = 94  # see `motion.face_measures`
    num_plain: int = 14  # of them, the first, that are taken as they are; the others are lips
    num_lip_components: int = 8
    hidden: int = 256

    def __post_init__(self) -> None:
        if not 6 <= self.num_plain < self.num_measures:
            raise UsageError("follower: num_plain is not from 6 to num_measures - 1")
        if min(self.num_lip_components, self.hidden) < 1:
            raise UsageError("follower: num_lip_components and hidden are 1 or more")

    @property
    def num_features(self) -> int:
        """Numbers that a face is reduced to."""
        return self.num_plain + self.num_lip_components


class PoseFollower(nn.Module):
    """The pose follower, see above."""

    lip_basis: Tensor
    scale: Tensor
    lowest: Tensor
    highest: Tensor
    pose_mean: Tensor
    pose_scale: Tensor
    mean_rest: Tensor
    mean_pose: Tensor
    place_of_turn: Tensor

    def __init__(self, config: PoseFollowerConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or PoseFollowerConfig()
        num, width = config.num_features, config.hidden
        self.linear = nn.Linear(2 * num + _POSE_DIM, _POSE_DIM)
        self.hidden = nn.Sequential(
            nn.Linear(2 * num + _POSE_DIM, width),
            nn.SiLU(),
            nn.Linear(width, width),
            nn.SiLU(),
            nn.Linear(width, _POSE_DIM),
        )
        lips = config.num_measures - config.num_plain
        self.register_buffer("lip_basis", torch.zeros(config.num_lip_components, lips))
        self.register_buffer("scale", torch.ones(num))  # usual size of each feature's movements
        self.register_buffer("lowest", torch.full((num,), -1.0))  # of features, in scales
        self.register_buffer("highest", torch.ones(num))
        self.register_buffer("pose_mean", torch.zeros(_POSE_DIM))
        self.register_buffer("pose_scale", torch.ones(_POSE_DIM))
        # A mean person, for tracks, which are nobody's: measures at rest and the pose of them.
        self.register_buffer("mean_rest", torch.zeros(config.num_measures))
        self.register_buffer("mean_pose", torch.zeros(_POSE_DIM))
        self.register_buffer("place_of_turn", torch.zeros(3, 3))

    def features(self, measures: Tensor) -> Tensor:
        """Measures [N, 94] reduced to features [N, F], in their usual sizes."""
        assert measures.ndim == 2 and measures.shape[1] == self.config.num_measures, (
            f"measures [N, {self.config.num_measures}] expected, got {list(measures.shape)}"
        )
        plain = self.config.num_plain
        lips = measures[:, plain:] @ self.lip_basis.T
        return torch.cat([measures[:, :plain], lips], 1) / self.scale

    def within_range(self, features: Tensor) -> Tensor:
        """Features [N, F], none beyond what the model's faces do."""
        return features.clamp(self.lowest, self.highest)

    def forward(self, targets: Tensor, rest: Tensor, first_pose: Tensor) -> Tensor:
        """The poses of a person who does what the targets say.

        Args:
            targets: [N, F] features, see `features`.
            rest: [N or 1, F] features of the person in the first pose.
            first_pose: [N or 1, 1, 8, 8], of the same frame.

        Returns:
            poses [N, 1, 8, 8], not negative.
        """
        start = (first_pose.flatten(1) - self.pose_mean) / self.pose_scale
        start, rest = start.expand(len(targets), -1), rest.expand(len(targets), -1)
        x = torch.cat([self.within_range(targets) - rest, rest, start], 1)
        poses = start + self.linear(x) + self.hidden(x)
        poses = (poses * self.pose_scale + self.pose_mean).clamp(min=0)
        result: Tensor = poses.view(-1, 1, POSE_SIZE, POSE_SIZE)
        return result
