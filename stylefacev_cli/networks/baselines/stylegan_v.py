"""The generator of StyleGAN-V: StyleGAN2, whose constant input is joined by a motion code.

Source: Skorokhodov et al. 2022 (`stylegan_v_motion`), section 3; Karras et al. 2020 for the
synthesis. Names and shapes of parameters and buffers are those of the released files.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import nn

from stylefacev_cli.networks.baselines.stylegan2_layers import SynthesisLayer, ToRgb, upsample
from stylefacev_cli.networks.baselines.stylegan_v_motion import MotionEncoder, TimeConfig
from stylefacev_cli.networks.stylegan3.mapping import MappingNetwork
from stylefacev_cli.networks.stylegan3.stylegan2_discriminator import blur_filter

_START = 4  # px, of the input


@dataclass(frozen=True)
class StyleGanVConfig:
    """Sizes of a StyleGAN-V generator; the defaults are those of 256 px."""

    z_dim: int = 512  # numbers in a latent z
    w_dim: int = 512  # numbers in an intermediate latent w
    img_resolution: int = 256  # image height and width, px; a power of two
    img_channels: int = 3
    mapping_layers: int = 2
    w_avg_beta: float = 0.995  # decay of the running mean of w
    channel_base: int = 16384  # channels = channel_base / resolution, at most channel_max
    channel_max: int = 512
    conv_clamp: float | None = 256.0  # largest magnitude of an activation
    motion: TimeConfig = field(default_factory=TimeConfig)


def block_resolutions(img_resolution: int) -> list[int]:
    """4, 8, … up to the resolution of the images."""
    top = int(math.log2(img_resolution))
    assert 2**top == img_resolution and top > 2, "the resolution is a power of two > 4"
    return [2**i for i in range(2, top + 1)]


class TemporalInput(nn.Module):
    """A learnt constant beside the motion code, the same at all places."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.const = nn.Parameter(torch.randn(1, channels, _START, _START))

    def forward(self, codes: torch.Tensor) -> torch.Tensor:
        """Features [M, C + v_dim, 4, 4] of motion codes [M, v_dim]."""
        constant = self.const.expand(len(codes), -1, -1, -1)
        return torch.cat([constant, codes[:, :, None, None].expand(-1, -1, _START, _START)], dim=1)


class InputBlock(nn.Module):
    """Holds the input under the name that the released files give it."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.input = TemporalInput(channels)

    def forward(self, codes: torch.Tensor) -> torch.Tensor:
        """`TemporalInput`."""
        features: torch.Tensor = self.input(codes)
        return features


class SynthesisBlock(nn.Module):
    """The layers of one resolution, and the colours they add."""

    resample_filter: torch.Tensor

    def __init__(self, config: StyleGanVConfig, resolution: int) -> None:
        super().__init__()

        def channels(resolution: int) -> int:
            return min(config.channel_base // resolution, config.channel_max)

        clamp, w_dim, own = config.conv_clamp, config.w_dim, channels(resolution)
        self.register_buffer("resample_filter", blur_filter())
        if resolution == _START:
            self.input = InputBlock(own)
            self.conv1 = SynthesisLayer(own + config.motion.v_dim, own, w_dim, clamp=clamp)
        else:
            before = channels(resolution // 2)
            self.conv0 = SynthesisLayer(before, own, w_dim, double=True, clamp=clamp)
            self.conv1 = SynthesisLayer(own, own, w_dim, clamp=clamp)
        self.torgb = ToRgb(own, config.img_channels, w_dim, clamp=clamp)
        self.num_convs = 1 if resolution == _START else 2

    def forward(
        self, x: torch.Tensor, images: torch.Tensor | None, ws: Sequence[torch.Tensor]
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Features and colours at this resolution.

        Args:
            x: features of the block before; motion codes [M, v_dim] in the first.
            images: colours of the block before, None in the first.
            ws: [M, w_dim] of each convolution and of ToRGB.
        """
        if images is None:
            x = self.conv1(self.input(x), ws[0])
        else:
            x = self.conv1(self.conv0(x, ws[0]), ws[1])
        colours = self.torgb(x, ws[-1])
        if images is not None:
            colours = colours + upsample(images, self.resample_filter)
        return x, colours


class SynthesisNetwork(nn.Module):
    """ws, noise and times → frames."""

    def __init__(self, config: StyleGanVConfig) -> None:
        super().__init__()
        self.config = config
        self.motion_encoder = MotionEncoder(config.motion)
        self.block_resolutions = block_resolutions(config.img_resolution)
        for resolution in self.block_resolutions:
            self.add_module(f"b{resolution}", SynthesisBlock(config, resolution))
        self.num_ws = 2 * len(self.block_resolutions)  # the last ToRGB has its own

    def forward(
        self, ws: torch.Tensor, noise: torch.Tensor, t: torch.Tensor, first: int = 0
    ) -> torch.Tensor:
        """Frames of videos.

        Args:
            ws: [N, num_ws, w_dim].
            noise: [N, K, z_dim of the motion], see `MotionEncoder`.
            t: [N, T] times in training frames.
            first: index of the first noise vector.

        Returns:
            [N · T, img_channels, R, R] float32, about in [−1, 1]: the frames of video 0 first.
        """
        assert ws.ndim == 3 and ws.shape[1:] == (self.num_ws, self.config.w_dim), (
            f"ws [N, {self.num_ws}, {self.config.w_dim}] expected, got {list(ws.shape)}"
        )
        x = self.motion_encoder(noise, t, first).flatten(0, 1)
        layers = ws.repeat_interleave(t.shape[1], dim=0).unbind(dim=1)
        images: torch.Tensor | None = None
        place = 0
        for resolution in self.block_resolutions:
            block = self.get_submodule(f"b{resolution}")
            assert isinstance(block, SynthesisBlock)
            x, images = block(x, images, layers[place : place + block.num_convs + 1])
            place += block.num_convs
        assert images is not None
        return images


class StyleGanV(nn.Module):
    """z, noise and times → frames; `mapping` and `synthesis` can be called on their own."""

    def __init__(self, config: StyleGanVConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or StyleGanVConfig()
        self.synthesis = SynthesisNetwork(config)
        self.num_ws = self.synthesis.num_ws
        self.mapping = MappingNetwork(
            config.z_dim, 0, config.w_dim, self.num_ws, config.mapping_layers, config.w_avg_beta
        )

    def forward(
        self, z: torch.Tensor, noise: torch.Tensor, t: torch.Tensor, truncation_psi: float = 1.0
    ) -> torch.Tensor:
        """Frames [N · T, img_channels, R, R] of latents z [N, z_dim]; as in the parts."""
        ws = self.mapping(z, truncation_psi=truncation_psi)
        frames: torch.Tensor = self.synthesis(ws, noise, t)
        return frames
