"""The discriminator of StyleGAN-V: three frames of a video and their times → one logit.

Source: Skorokhodov et al. 2022, section 3.3. Frames are seen one by one down to 16 px; there they
are put side by side along the channels. The logit is the product of the video's features with a
projection of the time differences (Miyato and Koyama, "cGANs with Projection Discriminator", 2018).
Names and shapes of parameters and buffers are those of the released files.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import nn

from stylefacev_cli.networks.baselines.stylegan_v import block_resolutions
from stylefacev_cli.networks.stylegan3.mapping import FullyConnectedLayer, normalize
from stylefacev_cli.networks.stylegan3.stylegan2_discriminator import (
    DiscriminatorBlock,
    DiscriminatorConfig,
    DiscriminatorEpilogue,
)

_EMBEDDING = 256  # numbers of the learnt code of a time difference
_NUM_LAYERS = 2  # of the mapping network


@dataclass(frozen=True)
class VideoDiscriminatorConfig:
    """Sizes of StyleGAN-V's discriminator; the defaults are those of 256 px."""

    img_resolution: int = 256  # image height and width, px; a power of two
    img_channels: int = 3
    channel_base: int = 16384  # channels = channel_base / resolution, at most channel_max
    channel_max: int = 512
    conv_clamp: float | None = 256.0  # largest magnitude of an activation
    mbstd_group_size: int = 4  # videos of a group of the minibatch standard deviation
    num_frames: int = 3  # of a video
    concat_resolution: int = 16  # px, where the frames are put side by side
    frame_divisor: int = 2  # a frame has this share of the channels there
    max_time: int = 1024  # frames between two of them, at most


class DifferenceEncoder(nn.Module):
    """Times of frames → codes of the differences between neighbours."""

    def __init__(self, config: VideoDiscriminatorConfig) -> None:
        super().__init__()
        self.num_differences = config.num_frames - 1
        self.const_embed = nn.Embedding(config.max_time, _EMBEDDING)
        self.time_encoder = FourierCode(config.max_time)
        self.num_features = self.num_differences * (_EMBEDDING + self.time_encoder.num_features)

    def forward(self, t: torch.Tensor) -> torch.Tensor:
        """Codes [N, num_features] of times t [N, num_frames], in training frames."""
        differences = t.diff(dim=1).flatten()
        embedded = self.const_embed(differences.round().long())
        codes = torch.cat([embedded, self.time_encoder(differences)], dim=1)
        return codes.view(len(t), -1)


class FourierCode(nn.Module):
    """sin and cos of Δ π 2^k / longest for k from 0, longest rounded up to a power of two."""

    fourier_coefs: torch.Tensor  # [1, F]

    def __init__(self, longest: int) -> None:
        super().__init__()
        num_octaves = math.ceil(math.log2(longest))
        octaves = torch.arange(num_octaves)
        self.register_buffer("fourier_coefs", (math.pi * 2.0 ** (octaves - num_octaves))[None])
        self.num_features = 2 * num_octaves

    def forward(self, t: torch.Tensor) -> torch.Tensor:
        """Codes [M, num_features] of numbers t [M]."""
        angle = t[:, None] * self.fourier_coefs
        return torch.cat([angle.sin(), angle.cos()], dim=1)


class DifferenceMapping(nn.Module):
    """Codes of time differences → the vector that features are projected on."""

    def __init__(self, in_features: int, features: int) -> None:
        super().__init__()
        self.embed = FullyConnectedLayer(in_features, features)
        for index in range(_NUM_LAYERS):
            layer = FullyConnectedLayer(features, features, activate=True, lr_multiplier=0.01)
            self.add_module(f"fc{index}", layer)

    def forward(self, codes: torch.Tensor) -> torch.Tensor:
        """Map codes [N, in_features] to [N, features]."""
        x = normalize(self.embed(codes))
        for index in range(_NUM_LAYERS):
            x = self.get_submodule(f"fc{index}")(x)
        return x


class VideoDiscriminator(nn.Module):
    """Frames and their times → a logit a video; larger means more real."""

    def __init__(self, config: VideoDiscriminatorConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or VideoDiscriminatorConfig()
        self.block_resolutions = block_resolutions(config.img_resolution)[:0:-1]
        sizes = DiscriminatorConfig(
            config.img_resolution,
            config.img_channels,
            config.channel_base,
            config.channel_max,
            config.conv_clamp,
            config.mbstd_group_size,
        )

        def channels(resolution: int) -> int:
            return min(config.channel_base // resolution, config.channel_max)

        self.time_encoder = DifferenceEncoder(config)
        for resolution in self.block_resolutions:
            own, after = channels(resolution), channels(resolution // 2)
            entering = own
            if resolution // 2 == config.concat_resolution:
                after //= config.frame_divisor
            if resolution == config.concat_resolution:
                entering = own // config.frame_divisor * config.num_frames
            is_first = resolution == config.img_resolution
            block = DiscriminatorBlock(sizes, own, after, is_first=is_first, in_channels=entering)
            self.add_module(f"b{resolution}", block)
        self.num_features = channels(4)
        self.mapping = DifferenceMapping(self.time_encoder.num_features, self.num_features)
        self.b4 = DiscriminatorEpilogue(sizes, self.num_features, 4, self.num_features)

    def forward(self, frames: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        """Logits [N, 1] of videos; differentiable twice (R1 penalty).

        Args:
            frames: [N · num_frames, img_channels, R, R] in [−1, 1]: those of video 0 first.
            t: [N, num_frames] their times, in training frames, rising.
        """
        num_frames, size = self.config.num_frames, self.config.img_resolution
        shape = (t.numel(), self.config.img_channels, size, size)
        assert frames.shape == shape and t.shape[1] == num_frames, (
            f"frames {list(shape)} expected, got {list(frames.shape)} for t {list(t.shape)}"
        )
        x = frames
        for resolution in self.block_resolutions:
            if resolution == self.config.concat_resolution:
                x = x.view(len(t), -1, *x.shape[2:])  # the frames of a video side by side
            x = self.get_submodule(f"b{resolution}")(x)
        direction = self.mapping(self.time_encoder(t.to(x.dtype)))
        products: torch.Tensor = self.b4(x) * direction
        return products.sum(dim=1, keepdim=True) / math.sqrt(self.num_features)
