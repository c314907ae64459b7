"""The StyleGAN2 image discriminator, which StyleGAN3 trains against too.

Source: Karras et al. 2020, "Analyzing and Improving the Image Quality of StyleGAN" (residual
blocks, blurred down-sampling, equalised learning rate, minibatch deviation); names and shapes are
those of the released files.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stylefacev_cli.networks.generator import FullyConnectedLayer

_LEAK, _GAIN = 0.2, math.sqrt(2)
_TAPS = (1.0, 3.0, 3.0, 1.0)
_LAST_SIZE = 4


@dataclass(frozen=True)
class ImageDiscriminatorConfig:
    """Sizes of the image discriminator; the defaults are StyleGAN3's at 256 px."""

    img_resolution: int = 256  # a power of two, at least 8
    img_channels: int = 3
    channel_base: int = 32768  # channels = channel_base / resolution, at most channel_max
    channel_max: int = 512
    group_size: int = 4  # samples whose deviation is shown to the last layers
    conv_clamp: float = 256.0  # largest magnitude of an activation

    def channels(self, resolution: int) -> int:
        """Channels at a resolution."""
        return min(self.channel_base // resolution, self.channel_max)


class ConvLayer(nn.Module):
    """Convolution with equalised learning rate; with `down`, blurred and every second sample."""

    resample_filter: Tensor

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: int,
        clamp: float,
        *,
        down: bool = False,
        is_linear: bool = False,
    ) -> None:
        super().__init__()
        self.kernel, self.clamp, self.down = kernel, clamp, down
        self.weight = nn.Parameter(torch.randn(out_channels, in_channels, kernel, kernel))
        self.bias = None if is_linear else nn.Parameter(torch.zeros(out_channels))
        taps = torch.tensor(_TAPS) / sum(_TAPS)
        self.register_buffer("resample_filter", torch.outer(taps, taps))
        self.weight_gain = 1 / math.sqrt(in_channels * kernel**2)

    def forward(self, x: Tensor, gain: float = 1.0) -> Tensor:
        """Map x [N, in, H, W] to [N, out, H, W], halved with `down`."""
        weight = self.weight * self.weight_gain
        if not self.down:
            x = F.conv2d(x, weight, padding=self.kernel // 2)
        elif self.kernel == 1:  # blur at half rate, then mix
            x = F.conv2d(self._blurred(x, 1, stride=2), weight)
        else:
            x = F.conv2d(self._blurred(x, 1 + self.kernel // 2, stride=1), weight, stride=2)
        if self.bias is None:
            return x * gain
        x = F.leaky_relu(x + self.bias[:, None, None], _LEAK) * (_GAIN * gain)
        return x.clamp(-self.clamp * gain, self.clamp * gain)

    def _blurred(self, x: Tensor, padding: int, stride: int) -> Tensor:
        channels = x.shape[1]
        taps = self.resample_filter.expand(channels, 1, -1, -1)
        return F.conv2d(x, taps, stride=stride, padding=padding, groups=channels)


class Block(nn.Module):
    """Two convolutions beside a shortcut, to half the resolution."""

    def __init__(self, config: ImageDiscriminatorConfig, resolution: int) -> None:
        super().__init__()
        inner, outer = config.channels(resolution), config.channels(resolution // 2)
        clamp = config.conv_clamp
        self.has_rgb = resolution == config.img_resolution
        self.register_buffer(
            "resample_filter", torch.outer(*[torch.tensor(_TAPS) / sum(_TAPS)] * 2)
        )
        if self.has_rgb:
            self.fromrgb = ConvLayer(config.img_channels, inner, 1, clamp)
        self.conv0 = ConvLayer(inner, inner, 3, clamp)
        self.conv1 = ConvLayer(inner, outer, 3, clamp, down=True)
        self.skip = ConvLayer(inner, outer, 1, clamp, down=True, is_linear=True)

    def forward(self, x: Tensor) -> Tensor:
        """Map [N, C, R, R] (or the image) to [N, C', R / 2, R / 2]."""
        if self.has_rgb:
            x = self.fromrgb(x)
        shortcut: Tensor = self.skip(x, gain=math.sqrt(0.5))
        deep: Tensor = self.conv1(self.conv0(x), gain=math.sqrt(0.5))
        return shortcut + deep


class Epilogue(nn.Module):
    """Deviation within groups of samples, then a logit."""

    def __init__(self, config: ImageDiscriminatorConfig) -> None:
        super().__init__()
        channels = config.channels(_LAST_SIZE)
        self.group_size = config.group_size
        self.conv = ConvLayer(channels + 1, channels, 3, config.conv_clamp)
        self.fc = FullyConnectedLayer(channels * _LAST_SIZE**2, channels, activate=True)
        self.out = FullyConnectedLayer(channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Map [N, C, 4, 4] to logits [N, 1]."""
        x = torch.cat([x, self._deviation(x)], dim=1)
        logits: Tensor = self.out(self.fc(self.conv(x).flatten(1)))
        return logits

    def _deviation(self, x: Tensor) -> Tensor:
        """Mean standard deviation over the samples of a group: [N, 1, 4, 4]."""
        group = math.gcd(self.group_size, len(x))
        grouped = x.view(group, -1, *x.shape[1:])  # [G, N / G, C, 4, 4]
        variance = (grouped - grouped.mean(dim=0)).square().mean(dim=0)
        deviation = (variance + 1e-8).sqrt().mean(dim=(1, 2, 3))  # [N / G]
        return deviation.repeat(group).view(-1, 1, 1, 1).expand(-1, 1, *x.shape[2:])


class ImageDiscriminator(nn.Module):
    """Is this image real? Residual blocks from the full resolution to 4 × 4."""

    def __init__(self, config: ImageDiscriminatorConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or ImageDiscriminatorConfig()
        assert config.img_resolution >= 8 and config.img_resolution.bit_count() == 1
        self.resolutions = []
        resolution = config.img_resolution
        while resolution > _LAST_SIZE:
            self.add_module(f"b{resolution}", Block(config, resolution))
            self.resolutions.append(resolution)
            resolution //= 2
        self.b4 = Epilogue(config)

    def forward(self, images: Tensor) -> Tensor:
        """Logits [N, 1] of images [N, 3, R, R] in about [−1, 1]; higher is more real."""
        config = self.config
        wanted = (config.img_channels, config.img_resolution, config.img_resolution)
        assert images.shape[1:] == wanted, f"images {list(images.shape)}, [N, *{wanted}] expected"
        x = images
        for resolution in self.resolutions:
            x = self.get_submodule(f"b{resolution}")(x)
        logits: Tensor = self.b4(x)
        return logits
