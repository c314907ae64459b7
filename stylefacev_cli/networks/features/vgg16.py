"""VGG16's convolutions: the image network of the paper's perceptual loss.

Source: Simonyan and Zisserman, "Very Deep Convolutional Networks" (2015), configuration D. Names of
parameters are those of torchvision's `vgg16().features`, as `0.weight`.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

CHANNELS = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))
MEAN = (0.485, 0.456, 0.406)  # of ImageNet, for images in [0, 1]
STD = (0.229, 0.224, 0.225)


class Vgg16(nn.Module):
    """The features after the last ReLU of each of the five blocks."""

    mean: Tensor
    std: Tensor

    def __init__(self) -> None:
        """Build it with random weights."""
        super().__init__()
        layers: list[nn.Module] = []
        ends: list[int] = []
        num_channels = 3
        for block in CHANNELS:
            if ends:
                layers.append(nn.MaxPool2d(2))
            for channels in block:
                layers += [nn.Conv2d(num_channels, channels, 3, padding=1), nn.ReLU(inplace=True)]
                num_channels = channels
            ends.append(len(layers))
        self.layers = nn.Sequential(*layers)
        self._ends = frozenset(ends)
        self.register_buffer("mean", torch.tensor(MEAN)[:, None, None])
        self.register_buffer("std", torch.tensor(STD)[:, None, None])

    def forward(self, images: Tensor) -> list[Tensor]:
        """Features of images [N, 3, H, W] in [−1, 1]: [N, C, H / 2^i, W / 2^i] of block i."""
        values = ((images + 1) / 2 - self.mean) / self.std
        features = []
        for number, layer in enumerate(self.layers, 1):
            values = layer(values)
            if number in self._ends:
                features.append(values)
        return features
