"""IResNet-50: aligned face → identity features, trained with the ArcFace loss.

Source: Deng et al. 2019, "ArcFace", with the residual block of its section 3.1 (BN, convolution,
BN, PReLU, convolution, BN) and no pooling before the last layer. Names of parameters are those of
the released `iresnet50-7f187506.pth`.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

INPUT_SIZE_PX = 112
NUM_FEATURES = 512
STEM_CHANNELS = 64
STAGES = ((3, 64), (4, 128), (14, 256), (3, 512))  # blocks, channels; each halves its input
_LAST_SIZE_PX = INPUT_SIZE_PX >> len(STAGES)


class Block(nn.Module):
    """Two 3×3 convolutions between normalisations; the second one has the stride."""

    def __init__(self, in_channels: int, channels: int, stride: int) -> None:
        super().__init__()
        self.bn1 = nn.BatchNorm2d(in_channels)
        self.conv1 = nn.Conv2d(in_channels, channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.prelu = nn.PReLU(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, stride, padding=1, bias=False)
        self.bn3 = nn.BatchNorm2d(channels)
        self.downsample: nn.Sequential | None = None
        if stride > 1:
            self.downsample = nn.Sequential(
                nn.Conv2d(in_channels, channels, 1, stride, bias=False), nn.BatchNorm2d(channels)
            )

    def forward(self, x: Tensor) -> Tensor:
        """[N, in, H, W] → [N, out, H / stride, W / stride]."""
        shortcut = x if self.downsample is None else self.downsample(x)
        inner = self.prelu(self.bn2(self.conv1(self.bn1(x))))
        out: Tensor = self.bn3(self.conv2(inner)) + shortcut
        return out


class IResNet50(nn.Module):
    """The network in evaluation mode: without the dropout that training has before `fc`."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, STEM_CHANNELS, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(STEM_CHANNELS)
        self.prelu = nn.PReLU(STEM_CHANNELS)
        in_channels = STEM_CHANNELS
        for number, (num_blocks, channels) in enumerate(STAGES, 1):
            blocks = [Block(in_channels, channels, stride=2)]
            blocks += [Block(channels, channels, stride=1) for _ in range(num_blocks - 1)]
            self.add_module(f"layer{number}", nn.Sequential(*blocks))
            in_channels = channels
        self.bn2 = nn.BatchNorm2d(in_channels)
        self.fc = nn.Linear(in_channels * _LAST_SIZE_PX**2, NUM_FEATURES)
        self.features = nn.BatchNorm1d(NUM_FEATURES)

    def forward(self, faces: Tensor) -> Tensor:
        """Identity features.

        Args:
            faces: aligned, [N, 3, 112, 112] RGB in [−1, 1].

        Returns:
            [N, 512], not normalised.
        """
        assert faces.shape[1:] == (3, INPUT_SIZE_PX, INPUT_SIZE_PX), (
            f"faces [N, 3, {INPUT_SIZE_PX}, {INPUT_SIZE_PX}] expected, got {list(faces.shape)}"
        )
        x = self.prelu(self.bn1(self.conv1(faces)))
        for number in range(1, len(STAGES) + 1):
            x = self.get_submodule(f"layer{number}")(x)  # ends as [N, 512, 7, 7]
        x = self.fc(torch.flatten(self.bn2(x), 1))
        out: Tensor = self.features(x)
        return out
