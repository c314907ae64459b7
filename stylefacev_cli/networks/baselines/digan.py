"""The generator of DIGAN: a network of x, y and t, pixel by pixel.

Source: Yu et al. 2022 (`digan_layers`). Every convolution is 1×1; blocks up to the base grid work
on the same grid, later ones double it and see the coordinates again. Names and shapes of parameters
and buffers are those of the released files.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import nn

from stylefacev_cli.networks.baselines.digan_layers import CoordFuser, FactorisedLayer, doubled
from stylefacev_cli.networks.baselines.stylegan2_layers import ToRgb
from stylefacev_cli.networks.baselines.stylegan_v import block_resolutions
from stylefacev_cli.networks.stylegan3.mapping import MappingNetwork
from stylefacev_cli.networks.stylegan3.stylegan2_discriminator import blur_filter

_START = 4


@dataclass(frozen=True)
class DiganConfig:
    """Sizes of a DIGAN generator; the defaults are those of 128 px."""

    z_dim: int = 512  # numbers in a latent z
    w_dim: int = 512  # numbers in an intermediate latent w, and in the motion noise
    img_resolution: int = 128  # image height and width, px; a power of two
    img_channels: int = 3
    mapping_layers: int = 2
    w_avg_beta: float = 0.995  # decay of the running mean of w
    channel_base: int = 32768  # channels = channel_base / resolution, at most channel_max
    channel_max: int = 512
    base_grid: int = 32  # px, of all blocks up to this resolution
    num_frequencies: int = 128  # of the coordinates, each as sine and cosine
    rank: int = 10  # of the modulation
    extra_convs: tuple[int, ...] = (128, 256)  # resolutions whose blocks have a third convolution


class CoordsInput(nn.Module):
    """Holds the input's coordinates under the name that the released files give them."""

    def __init__(self, config: DiganConfig) -> None:
        super().__init__()
        self.coord_fuser = CoordFuser(config.w_dim, config.num_frequencies)


class InputBlock(nn.Module):
    """Holds `CoordsInput`."""

    def __init__(self, config: DiganConfig) -> None:
        super().__init__()
        self.input = CoordsInput(config)


class SynthesisBlock(nn.Module):
    """The layers of one resolution, and the colours they add."""

    resample_filter: torch.Tensor  # of the released files; nothing is filtered

    def __init__(self, config: DiganConfig, resolution: int) -> None:
        super().__init__()

        def channels(resolution: int) -> int:
            return min(config.channel_base // resolution, config.channel_max)

        def layer(in_channels: int) -> FactorisedLayer:
            return FactorisedLayer(in_channels, own, config.w_dim, config.rank)

        own, seen = channels(resolution), 2 * config.num_frequencies
        self.register_buffer("resample_filter", blur_filter())
        self.is_first = resolution == _START
        self.doubles = resolution > config.base_grid
        self.size = max(resolution, config.base_grid)  # px
        self.conv0: FactorisedLayer | None = None
        if self.is_first:
            self.input = InputBlock(config)
            self.conv1 = layer(seen)
        else:
            before = channels(resolution // 2)
            if self.doubles:
                self.coord_fuser = CoordFuser(config.w_dim, config.num_frequencies)
            self.conv0 = layer(before + seen if self.doubles else before)
            self.conv1 = layer(own)
        # As in the released files, a grid's extra layer is in all blocks of that size.
        num_extra = int(self.size in config.extra_convs)
        self.extra_convs = nn.ModuleList([layer(own) for _ in range(num_extra)])
        self.torgb = ToRgb(own, config.img_channels, config.w_dim)
        self.num_convs = (1 if self.is_first else 2) + num_extra

    def forward(
        self,
        x: torch.Tensor | None,
        images: torch.Tensor | None,
        ws: Iterator[torch.Tensor],
        z_motion: torch.Tensor,
        t: torch.Tensor,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Features and colours of this block.

        Args:
            x: features [N · T, C, H, W] of the block before, None in the first.
            images: its colours, None in the first.
            ws: [N, w_dim] of each convolution and of ToRGB.
            z_motion: [N, w_dim].
            t: [N, T].
        """
        w = next(ws)
        if self.conv0 is None or x is None:
            x = self.conv1(self.input.input.coord_fuser(w, z_motion, t, self.size), w)
        else:
            beside = self.coord_fuser(w, z_motion, t, self.size) if self.doubles else None
            x = self.conv1(self.conv0(x, w, beside), next(ws))
        for extra in self.extra_convs:
            x = extra(x, next(ws))
        assert x is not None
        colours = self.torgb(x, next(ws).repeat_interleave(t.shape[1], dim=0))
        if images is not None:
            colours = colours + (doubled(images) if self.doubles else images)
        return x, colours


class SynthesisNetwork(nn.Module):
    """ws, motion noise and times → frames."""

    def __init__(self, config: DiganConfig) -> None:
        super().__init__()
        self.config = config
        self.block_resolutions = block_resolutions(config.img_resolution)
        blocks = [SynthesisBlock(config, resolution) for resolution in self.block_resolutions]
        for resolution, block in zip(self.block_resolutions, blocks, strict=True):
            self.add_module(f"b{resolution}", block)
        self.num_ws = sum(block.num_convs for block in blocks) + 1  # the last ToRGB has its own

    def forward(self, ws: torch.Tensor, z_motion: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        """Frames of videos.

        Args:
            ws: [N, num_ws, w_dim].
            z_motion: [N, w_dim], standard normal.
            t: [N, T] times; a training clip runs from 0 to 1.

        Returns:
            [N · T, img_channels, R, R] float32, about in [−1, 1]: the frames of video 0 first.
        """
        assert ws.ndim == 3 and ws.shape[1:] == (self.num_ws, self.config.w_dim), (
            f"ws [N, {self.num_ws}, {self.config.w_dim}] expected, got {list(ws.shape)}"
        )
        layers, place = ws.unbind(dim=1), 0
        x: torch.Tensor | None = None
        images: torch.Tensor | None = None
        for resolution in self.block_resolutions:
            block = self.get_submodule(f"b{resolution}")
            assert isinstance(block, SynthesisBlock)
            x, images = block(x, images, iter(layers[place:]), z_motion, t)
            place += block.num_convs
        assert images is not None
        return images


class Digan(nn.Module):
    """z, motion noise and times → frames; `mapping` and `synthesis` can be called on their own."""

    def __init__(self, config: DiganConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or DiganConfig()
        self.synthesis = SynthesisNetwork(config)
        self.num_ws = self.synthesis.num_ws
        self.mapping = MappingNetwork(
            config.z_dim, 0, config.w_dim, self.num_ws, config.mapping_layers, config.w_avg_beta
        )

    def forward(
        self, z: torch.Tensor, z_motion: torch.Tensor, t: torch.Tensor, truncation_psi: float = 1.0
    ) -> torch.Tensor:
        """Frames [N · T, img_channels, R, R] of latents z [N, z_dim]; as in the parts."""
        ws = self.mapping(z, truncation_psi=truncation_psi)
        frames: torch.Tensor = self.synthesis(ws, z_motion, t)
        return frames
