"""The two discriminators of DIGAN: on a pair of frames with their distance, and on single frames.

Source: Yu et al. 2022, section 3.3. Both are StyleGAN2's (`ImageDiscriminator`); the pair comes as
seven channels, of which the last is the distance in time, the same at all places.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from stylefacev_cli.networks.stylegan3.stylegan2_discriminator import (
    DiscriminatorConfig,
    ImageDiscriminator,
)


@dataclass(frozen=True)
class PairDiscriminatorConfig:
    """Sizes of DIGAN's discriminators; the defaults are those of 128 px."""

    img_resolution: int = 128  # image height and width, px; a power of two
    img_channels: int = 3
    channel_base: int = 32768  # channels = channel_base / resolution, at most channel_max
    channel_max: int = 512
    conv_clamp: float | None = 256.0  # largest magnitude of an activation
    mbstd_group_size: int = 4  # of the minibatch standard deviation


class DiganDiscriminator(nn.Module):
    """Pairs of frames → a logit a pair and a logit a frame; larger means more real."""

    def __init__(self, config: PairDiscriminatorConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or PairDiscriminatorConfig()

        def discriminator(channels: int) -> ImageDiscriminator:
            return ImageDiscriminator(
                DiscriminatorConfig(
                    config.img_resolution,
                    channels,
                    config.channel_base,
                    config.channel_max,
                    config.conv_clamp,
                    config.mbstd_group_size,
                )
            )

        self.videoD = discriminator(2 * config.img_channels + 1)
        self.imageD = discriminator(config.img_channels)

    def forward(self, pairs: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Logits [N, 1] of pairs and [2 N, 1] of their frames; differentiable twice.

        Args:
            pairs: [N, 2 C + 1, R, R]: the earlier frame, the later one, and their distance in
                time as a plane, see `pair_with_distance`.
        """
        channels = self.config.img_channels
        assert pairs.ndim == 4 and pairs.shape[1] == 2 * channels + 1, (
            f"pairs [N, {2 * channels + 1}, R, R] expected, got {list(pairs.shape)}"
        )
        frames = pairs[:, :-1].reshape(-1, channels, *pairs.shape[2:])
        return self.videoD(pairs), self.imageD(frames)


def pair_with_distance(frames: torch.Tensor, distance: torch.Tensor) -> torch.Tensor:
    """Two frames of each video and how far they are apart, as `DiganDiscriminator` takes them.

    Args:
        frames: [N, 2, C, R, R].
        distance: [N], of 1 for a whole training clip.

    Returns:
        [N, 2 C + 1, R, R].
    """
    plane = distance[:, None, None, None].expand(-1, 1, *frames.shape[3:])
    return torch.cat([frames.flatten(1, 2), plane.to(frames.dtype)], dim=1)
