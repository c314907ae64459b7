"""Bottleneck residual blocks of the pose extractor and the appearance network.

Source: He et al. 2016, "Deep Residual Learning for Image Recognition", in the form that puts the
stride at the 3×3 convolution. Names of parameters follow that family of networks, so that
published weights fit.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from stylefacev_cli.networks.stylefacev.batch_norm import BatchNorm2d


class Bottleneck(nn.Module):
    """relu(shortcut(x) + 1×1 ∘ 3×3 ∘ 1×1 (x)), BatchNorm after each convolution.

    Args:
        in_channels: channels of the input.
        out_channels: channels of the result.
        inner_channels: channels of the 3×3 convolution.
        stride: of the 3×3 convolution and of the shortcut.
        norm: the kind of BatchNorm.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        inner_channels: int,
        stride: int = 1,
        norm: type[BatchNorm2d] = BatchNorm2d,
    ) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, inner_channels, 1, bias=False)
        self.bn1 = norm(inner_channels)
        self.conv2 = nn.Conv2d(inner_channels, inner_channels, 3, stride, padding=1, bias=False)
        self.bn2 = norm(inner_channels)
        self.conv3 = nn.Conv2d(inner_channels, out_channels, 1, bias=False)
        self.bn3 = norm(out_channels)
        self.downsample: nn.Sequential | None = None
        if stride != 1 or in_channels != out_channels:
            self.downsample = nn.Sequential(
                nn.Conv2d(in_channels, out_channels, 1, stride, bias=False),
                norm(out_channels),
            )

    def forward(self, x: Tensor) -> Tensor:
        """[N, in, H, W] → [N, out, H / stride, W / stride]."""
        shortcut = x if self.downsample is None else self.downsample(x)
        inner = F.relu(self.bn1(self.conv1(x)), inplace=True)
        inner = F.relu(self.bn2(self.conv2(inner)), inplace=True)
        return F.relu(self.bn3(self.conv3(inner)) + shortcut, inplace=True)


def residual_stage(
    in_channels: int,
    out_channels: int,
    inner_channels: int,
    num_blocks: int,
    stride: int = 1,
    norm: type[BatchNorm2d] = BatchNorm2d,
) -> nn.Sequential:
    """A sequence of bottlenecks of one width; the first changes the channels and has the stride."""
    assert num_blocks > 0, "a stage has at least one block"
    blocks = [Bottleneck(in_channels, out_channels, inner_channels, stride, norm)]
    for _ in range(1, num_blocks):
        blocks.append(Bottleneck(out_channels, out_channels, inner_channels, norm=norm))
    return nn.Sequential(*blocks)
