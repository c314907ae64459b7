"""The motion discriminators, on pairs of frames (2D) and on whole clips (3D).

Each works at two scales, on 8×8 poses or on images. Every frame is concatenated with the first one,
so that they judge motion and not appearance
(MoCoGAN-HD, Tian et al. 2021; pix2pixHD's multi-scale discriminator, Wang et al. 2018).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stylefacev_cli.networks.initial_weights import init_normal_convolutions

_KERNEL, _PADDING = 4, 2
_LONG_CLIP = 16  # pairs of frames; longer clips are halved in time too for the coarse scale


@dataclass(frozen=True)
class MotionDiscriminatorConfig:
    """Sizes of a motion discriminator; the defaults are the authors' for poses."""

    frame_channels: int = 1  # of one frame: 1 for poses, 3 for images
    base_channels: int = 64  # of the first layer, doubled by each later one
    max_channels: int = 512
    num_layers: int = 3  # of stride 2
    num_scales: int = 2
    num_frames: int = 30  # in a clip; used by the clip discriminator only


def pair_with_first(clips: Tensor, frame: int) -> Tensor:
    """The first frame and another one, concatenated along the channels.

    Args:
        clips: [N, T, C, H, W].
        frame: index of the other frame, 1 to T − 1.

    Returns:
        [N, 2 C, H, W], the input of `PairDiscriminator`.
    """
    assert clips.ndim == 5, f"clips [N, T, C, H, W] expected, got {list(clips.shape)}"
    return torch.cat([clips[:, 0], clips[:, frame]], dim=1)


def clip_with_first(clips: Tensor) -> Tensor:
    """Every later frame concatenated with the first one, as a clip.

    Args:
        clips: [N, T, C, H, W].

    Returns:
        [N, 2 C, T − 1, H, W], the input of `ClipDiscriminator`.
    """
    assert clips.ndim == 5, f"clips [N, T, C, H, W] expected, got {list(clips.shape)}"
    later = clips[:, 1:]
    return torch.cat([clips[:, :1].expand_as(later), later], dim=2).transpose(1, 2)


class _MultiScale(nn.Module):
    """Patch discriminators of equal architecture, on the input and on its halvings."""

    def __init__(
        self, config: MotionDiscriminatorConfig, in_channels: int, downsample: nn.Module, dims: int
    ) -> None:
        super().__init__()
        self.num_scales = config.num_scales
        self.num_layers = config.num_layers + 2  # the strided ones, one without stride, the logits
        self.downsample = downsample
        for scale in range(self.num_scales):
            for index, layer in enumerate(_patch_layers(config, in_channels, dims)):
                self.add_module(f"scale{scale}_layer{index}", layer)

    def forward(self, x: Tensor) -> list[Tensor]:
        logits = []
        for coarseness in range(self.num_scales):
            x = self.downsample(x) if coarseness > 0 else x
            features = x
            for index in range(self.num_layers):
                name = f"scale{self.num_scales - 1 - coarseness}_layer{index}"
                features = self.get_submodule(name)(features)
            logits.append(features)
        return logits


class _Conv3d(nn.Conv3d):
    """A convolution that pads clips shorter than its kernel beforehand, with equal results.

    PyTorch 2.14's own padding of such clips gives wrong gradients in bfloat16 on a CPU.
    """

    def forward(self, clips: Tensor) -> Tensor:
        if clips.shape[2] >= _KERNEL:
            return super().forward(clips)
        clips = F.pad(clips, (0, 0, 0, 0, _PADDING, _PADDING))
        padding = (0, _PADDING, _PADDING)
        return F.conv3d(clips, self.weight, self.bias, self.stride, padding)


def _patch_layers(
    config: MotionDiscriminatorConfig, in_channels: int, dims: int
) -> list[nn.Sequential]:
    convolution = {2: nn.Conv2d, 3: _Conv3d}[dims]
    norm = {2: nn.InstanceNorm2d, 3: nn.InstanceNorm3d}[dims]

    def layer(in_channels: int, out_channels: int, stride: int, normed: bool) -> nn.Sequential:
        parts: list[nn.Module] = [
            convolution(in_channels, out_channels, _KERNEL, stride, padding=_PADDING)
        ]
        if normed:  # statistics of the sample while training, running ones in eval mode
            parts.append(norm(out_channels, affine=False, track_running_stats=True))
        return nn.Sequential(*parts, nn.LeakyReLU(0.2, inplace=True))

    widths = [
        min(config.base_channels << i, config.max_channels) for i in range(config.num_layers + 1)
    ]
    layers = [layer(in_channels, widths[0], stride=2, normed=False)]
    for i in range(1, config.num_layers):
        layers.append(layer(widths[i - 1], widths[i], stride=2, normed=True))
    layers.append(layer(widths[-2], widths[-1], stride=1, normed=True))
    logits = convolution(widths[-1], 1, _KERNEL, stride=1, padding=_PADDING)
    return [*layers, nn.Sequential(logits)]


class PairDiscriminator(nn.Module):
    """The 2D motion discriminator, on two frames of a clip."""

    def __init__(self, config: MotionDiscriminatorConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or MotionDiscriminatorConfig()
        halve = nn.AvgPool2d(3, stride=2, padding=1, count_include_pad=False)
        self.netD = _MultiScale(config, 2 * config.frame_channels, halve, dims=2)
        init_normal_convolutions(self)

    def forward(self, pairs: Tensor) -> list[Tensor]:
        """Logits of every patch, one map a scale, the finest first.

        Args:
            pairs: [N, 2 C, H, W], see `pair_with_first`.

        Returns:
            `num_scales` maps [N, 1, h, w].
        """
        channels = 2 * self.config.frame_channels
        assert pairs.ndim == 4 and pairs.shape[1] == channels, (
            f"pairs [N, {channels}, H, W] expected, got {list(pairs.shape)}"
        )
        logits: list[Tensor] = self.netD(pairs)
        return logits


class ClipDiscriminator(nn.Module):
    """The 3D motion discriminator, on all the frames of a clip."""

    def __init__(
        self, config: MotionDiscriminatorConfig | None = None, *, beside_first: bool = True
    ) -> None:
        """Make a discriminator.

        Args:
            config: its sizes.
            beside_first: it sees the first frame beside each later one (`clip_with_first`); else
                the frames of a clip as they are (MoCoGAN-HD between domains).
        """
        super().__init__()
        self.config = config = config or MotionDiscriminatorConfig()
        channels, num_frames = config.frame_channels, config.num_frames
        self._shape = (2 * channels, num_frames - 1) if beside_first else (channels, num_frames)
        time_stride = 2 if self._shape[1] > _LONG_CLIP else 1
        halve = nn.AvgPool3d(3, stride=(time_stride, 2, 2), padding=1, count_include_pad=False)
        self.netD = _MultiScale(config, self._shape[0], halve, dims=3)
        init_normal_convolutions(self)

    def forward(self, clips: Tensor) -> list[Tensor]:
        """Logits of every patch of space and time, one map a scale, the finest first.

        Args:
            clips: [N, 2 C, num_frames − 1, H, W], see `clip_with_first`; [N, C, num_frames, H, W]
                where frames are seen as they are.

        Returns:
            `num_scales` maps [N, 1, t, h, w].
        """
        shape = self._shape
        assert clips.ndim == 5 and clips.shape[1:3] == shape, (
            f"clips [N, {shape[0]}, {shape[1]}, H, W] expected, got {list(clips.shape)}"
        )
        logits: list[Tensor] = self.netD(clips)
        return logits
