"""MoCoGAN-HD's image discriminator between domains: BigGAN's, with a contrastive projection.

Sources: Brock et al., "Large Scale GAN Training for High Fidelity Natural Image Synthesis" (2019);
Tian et al. 2021, section 3.2. Every weight is divided by its largest singular value (Miyato et al.,
"Spectral Normalization for Generative Adversarial Networks", 2018). MoCoGAN-HD's other
discriminators are those of `networks.stylefacev.motion_discriminator`: pairs of frames, and clips,
with frames beside the first one or, between domains, as they are.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import spectral_norm

_MULTIPLES = {  # of base_channels, by resolution: channels after each block
    64: (1, 2, 4, 8, 16),
    128: (1, 2, 4, 8, 16, 16),
    256: (1, 2, 4, 8, 8, 16, 16),
}


@dataclass(frozen=True)
class ContrastiveDiscriminatorConfig:
    """Sizes of MoCoGAN-HD's image discriminator; the defaults are the authors'."""

    img_resolution: int = 128  # image height and width, px: 64, 128 or 256
    base_channels: int = 96
    projection_dim: int = 256  # numbers in the features and in their projection


class ResidualBlock(nn.Module):
    """Two 3×3 convolutions beside a shortcut; halves the resolution."""

    def __init__(self, in_channels: int, out_channels: int, *, is_first: bool, halve: bool) -> None:
        super().__init__()
        self.is_first, self.halve = is_first, halve
        self.conv1 = spectral_norm(nn.Conv2d(in_channels, out_channels, 3, padding=1))
        self.conv2 = spectral_norm(nn.Conv2d(out_channels, out_channels, 3, padding=1))
        self.conv_sc: nn.Module | None = None
        if in_channels != out_channels or halve:
            self.conv_sc = spectral_norm(nn.Conv2d(in_channels, out_channels, 1))

    def forward(self, x: Tensor) -> Tensor:
        """Map x [N, C, H, W] to [N, C', H / 2, W / 2], or to the same size in the last block."""
        features = self.conv2(F.relu(self.conv1(x if self.is_first else F.relu(x))))
        # A 1×1 convolution and an average may change places: averaging first is cheaper.
        shortcut = F.avg_pool2d(x, 2) if self.halve else x
        shortcut = shortcut if self.conv_sc is None else self.conv_sc(shortcut)
        return (F.avg_pool2d(features, 2) if self.halve else features) + shortcut


class ContrastiveDiscriminator(nn.Module):
    """Image → logit and projection; larger logits mean more real."""

    def __init__(self, config: ContrastiveDiscriminatorConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or ContrastiveDiscriminatorConfig()
        assert config.img_resolution in _MULTIPLES, "the resolution is 64, 128 or 256"
        after = [config.base_channels * m for m in _MULTIPLES[config.img_resolution]]
        before = [3, *after[:-1]]
        self.blocks = nn.ModuleList(
            nn.ModuleList([ResidualBlock(a, b, is_first=i == 0, halve=i < len(after) - 1)])
            for i, (a, b) in enumerate(zip(before, after, strict=True))
        )
        width = config.projection_dim
        self.proj0 = spectral_norm(nn.Linear(after[-1], width))
        self.proj1 = spectral_norm(nn.Linear(width, width))
        self.proj2 = spectral_norm(nn.Linear(width, width))
        self.linear = spectral_norm(nn.Linear(width, 1))

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Logits [N, 1] and projections [N, projection_dim] of images [N, 3, R, R] in [−1, 1]."""
        size = self.config.img_resolution
        assert images.shape[1:] == (3, size, size), (
            f"images [N, 3, {size}, {size}] expected, got {list(images.shape)}"
        )
        x = images
        for index in range(len(self.blocks)):
            x = self.get_submodule(f"blocks.{index}.0")(x)
        features = F.relu(self.proj0(F.relu(x).sum(dim=(2, 3))))
        projections: Tensor = self.proj2(F.relu(self.proj1(features)))
        return self.linear(features), projections
