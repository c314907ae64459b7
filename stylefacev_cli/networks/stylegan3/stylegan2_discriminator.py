"""The image discriminator of StyleGAN2, with which StyleGAN3 is trained.

Source: Karras et al., "Analyzing and Improving the Image Quality of StyleGAN" (2020), residual
discriminator; names and shapes of parameters and buffers are those of the released files.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn

from stylefacev_cli.common.distributed import gathered, num_processes, process_index
from stylefacev_cli.networks.stylegan3.mapping import FullyConnectedLayer

EPSILON = 1e-8  # of the original, in the minibatch standard deviation
BLUR = (1.0, 3.0, 3.0, 1.0)  # binomial filter before every downsampling


@dataclass(frozen=True)
class DiscriminatorConfig:
    """Sizes of an image discriminator; the defaults are those of StyleGAN3's trainings."""

    img_resolution: int = 256  # image height and width, px; a power of two
    img_channels: int = 3
    channel_base: int = 32768  # channels = channel_base / resolution, at most channel_max
    channel_max: int = 512
    conv_clamp: float | None = 256.0  # largest magnitude of an activation
    mbstd_group_size: int = 4  # images of a group of the minibatch standard deviation
    mbstd_num_channels: int = 1  # channels of the minibatch standard deviation, 0 = none


def blur_filter() -> torch.Tensor:
    """The filter [4, 4] of sum 1."""
    taps = torch.tensor(BLUR)
    return torch.outer(taps, taps) / taps.sum() ** 2


def blur(x: torch.Tensor, taps: torch.Tensor, pad: int, stride: int = 1) -> torch.Tensor:
    """Filter every channel of x [N, C, H, W], padded by `pad` zeros on each side."""
    channels = x.shape[1]
    weight = taps.to(x.dtype).expand(channels, 1, *taps.shape)
    return F.conv2d(x, weight, padding=pad, stride=stride, groups=channels)


class Conv2dLayer(nn.Module):
    """Convolution with equalised learning rate, optional blur and halving, and activation."""

    resample_filter: torch.Tensor

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: int,
        *,
        halve: bool = False,
        activate: bool = True,
        clamp: float | None = None,
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(out_channels, in_channels, kernel, kernel))
        self.bias = nn.Parameter(torch.zeros(out_channels)) if activate else None
        self.register_buffer("resample_filter", blur_filter())
        self.kernel, self.halve, self.clamp = kernel, halve, clamp
        self.weight_gain = 1 / math.sqrt(in_channels * kernel**2)

    def forward(self, x: torch.Tensor, gain: float = 1.0) -> torch.Tensor:
        """Map x [N, C, H, W] to [N, C', H, W], or half of H and W; `gain` scales the result."""
        weight = (self.weight * self.weight_gain).to(x.dtype)
        pad = self.kernel // 2
        if not self.halve:
            x = F.conv2d(x, weight, padding=pad)
        elif self.kernel == 1:  # the blur may as well skip what is thrown away
            x = F.conv2d(blur(x, self.resample_filter, 1, stride=2), weight)
        else:
            x = F.conv2d(blur(x, self.resample_filter, pad + 1), weight, stride=2)

        if self.bias is None:
            return x * gain
        x = F.leaky_relu(x + self.bias.to(x.dtype)[:, None, None], 0.2) * (math.sqrt(2) * gain)
        return x if self.clamp is None else x.clamp(-self.clamp * gain, self.clamp * gain)


class DiscriminatorBlock(nn.Module):
    """Two convolutions beside a skip connection; halves the resolution."""

    resample_filter: torch.Tensor

    def __init__(
        self,
        config: DiscriminatorConfig,
        channels: int,
        out_channels: int,
        *,
        is_first: bool,
        in_channels: int | None = None,
    ) -> None:
        """Make a block.

        Args:
            config: of the discriminator.
            channels: at this resolution.
            out_channels: at half of it.
            is_first: takes the image.
            in_channels: of what comes in, where those are not `channels`.
        """
        super().__init__()
        clamp = config.conv_clamp
        entering = channels if in_channels is None else in_channels
        self.register_buffer("resample_filter", blur_filter())
        self.fromrgb = (
            Conv2dLayer(config.img_channels, channels, 1, clamp=clamp) if is_first else None
        )
        self.conv0 = Conv2dLayer(entering, channels, 3, clamp=clamp)
        self.conv1 = Conv2dLayer(channels, out_channels, 3, halve=True, clamp=clamp)
        self.skip = Conv2dLayer(entering, out_channels, 1, halve=True, activate=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map x [N, C, H, W], in the first block the image, to [N, C', H / 2, W / 2]."""
        if self.fromrgb is not None:
            x = self.fromrgb(x)
        half_power = math.sqrt(0.5)  # the sum of the two branches keeps the magnitude
        skipped: torch.Tensor = self.skip(x, gain=half_power)
        halved: torch.Tensor = self.conv1(self.conv0(x), gain=half_power)
        return skipped + halved


class DiscriminatorEpilogue(nn.Module):
    """From 4x4 features to one logit, or to a vector."""

    def __init__(
        self, config: DiscriminatorConfig, channels: int, resolution: int, out_features: int = 1
    ) -> None:
        super().__init__()
        self.group_size = config.mbstd_group_size
        self.num_channels = config.mbstd_num_channels
        clamp = config.conv_clamp
        self.conv = Conv2dLayer(channels + self.num_channels, channels, 3, clamp=clamp)
        self.fc = FullyConnectedLayer(channels * resolution**2, channels, activate=True)
        self.out = FullyConnectedLayer(channels, out_features)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map x [N, C, 4, 4] to logits [N, out_features]."""
        if self.num_channels > 0:
            x = torch.cat([x, self.minibatch_spread(x)], dim=1)
        x = self.conv(x)
        logits: torch.Tensor = self.out(self.fc(x.flatten(1)))
        return logits

    def minibatch_spread(self, x: torch.Tensor) -> torch.Tensor:
        """Standard deviation over groups of samples, averaged over features: [N, F, H, W].

        Sample i belongs to the group i modulo the number of groups (section 4 of Karras et al.,
        "Progressive Growing of GANs", 2018, with groups as in StyleGAN2). Of several processes,
        each holds samples r, r + P, r + 2 P, …, so that most groups stay whole; others
        are put together from all processes.
        """
        n, processes = len(x), num_processes()
        if processes == 1 or n % min(self.group_size, n * processes) == 0:
            return self._spread(x)
        everywhere = gathered(x).transpose(0, 1).flatten(0, 1)  # sample i of process r: i · P + r
        return self._spread(everywhere)[process_index() :: processes]

    def _spread(self, x: torch.Tensor) -> torch.Tensor:
        n, c, h, w = x.shape
        size = min(self.group_size, n)
        assert n % size == 0, f"a batch of {n} does not split into groups of {size}"
        grouped = x.reshape(size, n // size, self.num_channels, c // self.num_channels, h, w)
        variance = (grouped - grouped.mean(dim=0)).square().mean(dim=0)  # [groups, F, C / F, H, W]
        spread = (variance + EPSILON).sqrt().mean(dim=(2, 3, 4))  # [groups, F]
        return spread[:, :, None, None].repeat(size, 1, h, w)


class ImageDiscriminator(nn.Module):
    """Image -> logit; larger means more real."""

    def __init__(self, config: DiscriminatorConfig) -> None:
        super().__init__()
        self.config = config
        top = int(math.log2(config.img_resolution))
        assert 2**top == config.img_resolution and top > 2, "the resolution is a power of two > 4"
        self.block_resolutions = [2**i for i in range(top, 2, -1)]

        def channels(resolution: int) -> int:
            return min(config.channel_base // resolution, config.channel_max)

        for resolution in self.block_resolutions:
            block = DiscriminatorBlock(
                config,
                channels(resolution),
                channels(resolution // 2),
                is_first=resolution == config.img_resolution,
            )
            self.add_module(f"b{resolution}", block)
        self.b4 = DiscriminatorEpilogue(config, channels(4), resolution=4)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Logits [N, 1] of images [N, img_channels, R, R] in [-1, 1].

        N must be divisible by the group size, or be smaller. Differentiable twice (R1 penalty).
        """
        size = self.config.img_resolution
        channels = self.config.img_channels
        assert images.ndim == 4 and images.shape[1:] == (channels, size, size), (
            f"images [N, {channels}, {size}, {size}] expected, got {list(images.shape)}"
        )
        x = images.to(self.b4.out.weight.dtype)
        for resolution in self.block_resolutions:
            x = self.get_submodule(f"b{resolution}")(x)
        logits: torch.Tensor = self.b4(x)
        return logits
