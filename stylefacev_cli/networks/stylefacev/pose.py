"""The pose extractor: landmark heatmaps → an 8×8 map that says how a face is turned and moves.

Being one small non-negative map, the pose has no room for who the person is (StyleFaceV, section
"pose extraction"). A head predicts 14 key points from it, the target of the pose stage.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from stylefacev_cli.errors import UsageError
from stylefacev_cli.networks.initial_weights import init_residual
from stylefacev_cli.networks.stylefacev.landmarks import NUM_KEY_POINTS, NUM_LANDMARKS
from stylefacev_cli.networks.stylefacev.residual import residual_stage

POSE_SIZE = 8
_STRIDE = 2  # of each of the stages


@dataclass(frozen=True)
class PoseExtractorConfig:
    """Sizes of the pose extractor; the defaults are the released ones (1.6 M parameters)."""

    channels: tuple[int, ...] = (98, 49, 1)  # of each stage; the last is the pose's one channel
    inner_channels: tuple[int, ...] = (196, 98, 2)  # of the 3×3 convolutions of each stage
    head_channels: int = 32  # of the stage between the pose and its key points
    head_inner_channels: int = 64
    blocks_per_stage: int = 3

    def __post_init__(self) -> None:
        if not len(self.channels) == len(self.inner_channels) == 3:
            raise UsageError("pose: channels and inner_channels have 3 numbers, one a stage")
        if self.channels[-1] != 1:
            raise UsageError(f"pose: the last of channels {self.channels} is not 1")

    @property
    def heatmap_size(self) -> int:
        """Side of the heatmaps that the extractor takes: 64."""
        return POSE_SIZE * _STRIDE**3


class PoseExtractor(nn.Module):
    """E_pose: three residual stages of stride 2 to the pose, and a fourth that reads key points.

    The state dict is that of the released `latest_net_FE_pose.pth`.
    """

    def __init__(self, config: PoseExtractorConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or PoseExtractorConfig()
        (c1, c2, c3), (i1, i2, i3) = config.channels, config.inner_channels
        num_blocks = config.blocks_per_stage
        self.layer1 = residual_stage(NUM_LANDMARKS, c1, i1, num_blocks, _STRIDE)
        self.layer2 = residual_stage(c1, c2, i2, num_blocks, _STRIDE)
        self.layer3 = residual_stage(c2, c3, i3, num_blocks, _STRIDE)
        head, head_inner = config.head_channels, config.head_inner_channels
        self.layer4 = residual_stage(c3, head, head_inner, num_blocks, _STRIDE)
        self.fc = nn.Linear(head, NUM_KEY_POINTS * 2)
        init_residual(self)

    def forward(self, heatmaps: Tensor) -> Tensor:
        """The pose of each face.

        Args:
            heatmaps: [N, 98, 64, 64] float, as the landmark detector gives them.

        Returns:
            poses [N, 1, 8, 8], not negative.
        """
        size = self.config.heatmap_size
        assert heatmaps.ndim == 4 and heatmaps.shape[1:] == (NUM_LANDMARKS, size, size), (
            f"heatmaps [N, {NUM_LANDMARKS}, {size}, {size}] expected, got {list(heatmaps.shape)}"
        )
        pose: Tensor = self.layer3(self.layer2(self.layer1(heatmaps)))
        return pose

    def key_points(self, poses: Tensor) -> Tensor:
        """The key points that a pose stands for.

        Args:
            poses: [N, 1, 8, 8] float.

        Returns:
            [N, 14, 2] x and y in (0, 1), fractions of the frame, in the order of
            `landmarks.key_points_from_landmarks`.
        """
        assert poses.ndim == 4 and poses.shape[1:] == (1, POSE_SIZE, POSE_SIZE), (
            f"poses [N, 1, {POSE_SIZE}, {POSE_SIZE}] expected, got {list(poses.shape)}"
        )
        features = self.layer4(poses).mean(dim=(2, 3))  # [N, head_channels]
        return torch.sigmoid(self.fc(features)).view(-1, NUM_KEY_POINTS, 2)
