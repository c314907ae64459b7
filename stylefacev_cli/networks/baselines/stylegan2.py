"""The StyleGAN2 generator that MoCoGAN-HD moves: z → w → image.

Source: Karras et al., "Analyzing and Improving the Image Quality of StyleGAN" (2020). Names and
shapes of parameters and buffers are those of the widespread PyTorch files (key `g_ema`), which
MoCoGAN-HD's released generators have.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn

from stylefacev_cli.networks.baselines.stylegan2_layers import (
    activated,
    demodulation,
    styled_conv,
    to_rgb,
    upsample,
)
from stylefacev_cli.networks.stylegan3.mapping import FullyConnectedLayer, normalize
from stylefacev_cli.networks.stylegan3.stylegan2_discriminator import blur_filter

_START = 4  # px, of the input


@dataclass(frozen=True)
class StyleGan2Config:
    """Sizes of a StyleGAN2 generator; the defaults are those of the released files at 256 px."""

    w_dim: int = 512  # numbers in a latent z, and in an intermediate latent w
    img_resolution: int = 256  # image height and width, px; a power of two
    mapping_layers: int = 8
    channel_base: int = 32768  # channels = channel_base / resolution, at most channel_max
    channel_max: int = 512

    def channels(self, resolution: int) -> int:
        """Channels of the features at a resolution."""
        return min(self.channel_base // resolution, self.channel_max)


class UnitMagnitude(nn.Module):
    """Latents of RMS 1."""

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        """Map z [N, C] to [N, C]."""
        return normalize(z)


class ConstantInput(nn.Module):
    """Features that do not depend on w."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.input = nn.Parameter(torch.randn(1, channels, _START, _START))


class Kernel(nn.Module):
    """A filter under the name that the released files give it: 4 times `blur_filter`."""

    kernel: torch.Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("kernel", blur_filter() * 4)

    @property
    def taps(self) -> torch.Tensor:
        """The filter [4, 4] of sum 1."""
        return self.kernel / 4


class ModulatedConv(nn.Module):
    """The parameters of a modulated convolution."""

    def __init__(
        self, in_channels: int, out_channels: int, kernel: int, w_dim: int, *, double: bool = False
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(1, out_channels, in_channels, kernel, kernel))
        self.modulation = FullyConnectedLayer(w_dim, in_channels, bias_init=1.0)
        self.gain = 1 / math.sqrt(in_channels * kernel**2)
        self.blur = Kernel() if double else None


class NoiseStrength(nn.Module):
    """A factor on the noise of a layer."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))


class Bias(nn.Module):
    """A bias of every channel."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(channels))


class StyledConv(nn.Module):
    """Modulated convolution, noise, bias and leaky ReLU, at the resolution or to twice it."""

    def __init__(
        self, in_channels: int, out_channels: int, w_dim: int, *, double: bool = False
    ) -> None:
        super().__init__()
        self.conv = ModulatedConv(in_channels, out_channels, 3, w_dim, double=double)
        self.noise = NoiseStrength()
        self.activate = Bias(out_channels)

    def forward(self, x: torch.Tensor, w: torch.Tensor, noise: torch.Tensor | None) -> torch.Tensor:
        """Map x [N, I, H, W] under w [N, w_dim] and noise [1 or N, 1, H', W'] to [N, O, H', W']."""
        conv = self.conv
        styles, weight = conv.modulation(w), conv.weight[0]
        scale = demodulation(weight, styles, conv.gain)
        x = styled_conv(x, weight, styles, None if conv.blur is None else conv.blur.taps)
        strength = None if noise is None else noise * self.noise.weight
        return activated(x, scale, self.activate.bias, None, strength)


class ToColours(nn.Module):
    """Modulated 1×1 convolution to colours, added to those of the resolution before."""

    def __init__(self, in_channels: int, w_dim: int, *, double: bool = True) -> None:
        super().__init__()
        self.upsample = Kernel() if double else None
        self.conv = ModulatedConv(in_channels, 3, 1, w_dim)
        self.bias = nn.Parameter(torch.zeros(1, 3, 1, 1))

    def forward(
        self, x: torch.Tensor, w: torch.Tensor, images: torch.Tensor | None
    ) -> torch.Tensor:
        """Colours [N, 3, H, W] of features x [N, C, H, W] and of images at half the size."""
        styles = self.conv.modulation(w) * self.conv.gain
        colours = to_rgb(x, self.conv.weight[0], styles, self.bias.flatten())
        if images is None or self.upsample is None:
            return colours
        return colours + upsample(images, self.upsample.taps)


class StyleGan2(nn.Module):
    """z → w → image; the state dict is that of the released files."""

    def __init__(self, config: StyleGan2Config | None = None) -> None:
        super().__init__()
        self.config = config = config or StyleGan2Config()
        top = int(math.log2(config.img_resolution))
        assert 2**top == config.img_resolution and top > 2, "the resolution is a power of two > 4"
        w_dim, channels = config.w_dim, config.channels(_START)
        self.style = nn.Sequential(
            UnitMagnitude(),
            *(
                FullyConnectedLayer(w_dim, w_dim, activate=True, lr_multiplier=0.01)
                for _ in range(config.mapping_layers)
            ),
        )
        self.input = ConstantInput(channels)
        self.conv1 = StyledConv(channels, channels, w_dim)
        self.to_rgb1 = ToColours(channels, w_dim, double=False)
        self.convs, self.to_rgbs = nn.ModuleList(), nn.ModuleList()
        for resolution in (2**i for i in range(3, top + 1)):
            before, own = config.channels(resolution // 2), config.channels(resolution)
            self.convs.append(StyledConv(before, own, w_dim, double=True))
            self.convs.append(StyledConv(own, own, w_dim))
            self.to_rgbs.append(ToColours(own, w_dim))
        self.noises = nn.Module()
        for index, size in enumerate(self.noise_sizes):
            self.noises.register_buffer(f"noise_{index}", torch.randn(1, 1, size, size))

    @property
    def noise_sizes(self) -> list[int]:
        """Height and width of the noise map of each convolution, px."""
        num_layers = 1 + len(self.convs)
        return [2 ** ((index + 5) // 2) for index in range(num_layers)]

    @property
    def stored_noise(self) -> list[torch.Tensor]:
        """The noise maps [1, 1, H, W] that stand in the file, one for each convolution."""
        return [self.noises.get_buffer(f"noise_{index}") for index in range(1 + len(self.convs))]

    def mapping(self, z: torch.Tensor) -> torch.Tensor:
        """Intermediate latents w [N, w_dim] of latents z [N, w_dim]."""
        w: torch.Tensor = self.style(z)
        return w

    def synthesis(
        self, w: torch.Tensor, noise: Sequence[torch.Tensor] | None = None
    ) -> torch.Tensor:
        """Images of intermediate latents.

        Args:
            w: [N, w_dim], the same for all layers.
            noise: maps [1 or N, 1, H, W] of each convolution, as `noise_sizes` says; None = none.

        Returns:
            [N, 3, R, R] float32, about in [−1, 1].
        """
        assert w.ndim == 2 and w.shape[1] == self.config.w_dim, (
            f"w [N, {self.config.w_dim}] expected, got {list(w.shape)}"
        )
        maps = [None] * len(self.noise_sizes) if noise is None else noise
        x = self.conv1(self.input.input.expand(len(w), -1, -1, -1), w, maps[0])
        images: torch.Tensor = self.to_rgb1(x, w, None)
        for index, colours in enumerate(self.to_rgbs):
            x = self.convs[2 * index](x, w, maps[2 * index + 1])
            x = self.convs[2 * index + 1](x, w, maps[2 * index + 2])
            images = colours(x, w, images)
        return images

    def forward(self, z: torch.Tensor, noise: Sequence[torch.Tensor] | None = None) -> torch.Tensor:
        """Images [N, 3, R, R] of latents z [N, w_dim]; as in the parts."""
        return self.synthesis(self.mapping(z), noise)
