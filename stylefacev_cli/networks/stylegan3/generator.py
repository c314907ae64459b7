"""The StyleGAN3 generator, configurations T and R: z -> ws -> image.

Source: Karras et al., "Alias-Free Generative Adversarial Networks" (2021); names and shapes of
parameters and buffers are those of the released files.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from stylefacev_cli.common.distributed import averaged
from stylefacev_cli.networks.stylegan3.filtered_lrelu import filtered_lrelu
from stylefacev_cli.networks.stylegan3.filters import design_lowpass_filter
from stylefacev_cli.networks.stylegan3.mapping import FullyConnectedLayer, MappingNetwork
from stylefacev_cli.networks.stylegan3.modulated_conv import (
    demodulation,
    mix_channels,
    scaled_conv,
)
from stylefacev_cli.networks.stylegan3.polyphase import Padding


@dataclass(frozen=True)
class GeneratorConfig:
    """Sizes of a generator; the defaults are StyleGAN3-T at 256 px."""

    z_dim: int = 512  # numbers in a latent z
    w_dim: int = 512  # numbers in an intermediate latent w
    img_resolution: int = 256  # image height and width, px
    img_channels: int = 3
    c_dim: int = 0  # numbers in a class label, 0 = no labels
    mapping_layers: int = 2
    w_avg_beta: float = 0.998  # decay of the running mean of w
    channel_base: int = 32768  # channels = channel_base / (2 cutoff), at most channel_max
    channel_max: int = 512
    num_layers: int = 14  # without the Fourier features and ToRGB
    num_critical: int = 2  # critically sampled layers at the end
    first_cutoff: float = 2.0  # cycles per image width
    first_stopband: float = 2**2.1
    last_stopband_rel: float = 2**0.3  # relative to the cutoff
    margin_size: int = 10  # px kept outside the image on each side, so that the border is not seen
    output_scale: float = 0.25
    conv_kernel: int = 3  # 3 = T, 1 = R
    filter_size: int = 6  # taps per sample of the lower rate
    lrelu_upsampling: int = 2  # sampling rate of the leaky ReLU, relative to the layer's
    use_radial_filters: bool = False  # False = T, True = R
    conv_clamp: float | None = 256.0  # largest magnitude of an activation
    magnitude_ema_beta: float = 0.999  # decay of the running mean of the input's magnitude


@dataclass(frozen=True)
class LayerGeometry:
    """Channels, size, sampling rate and band of a synthesis layer's output."""

    channels: int
    size: int  # px, with margins
    sampling_rate: int  # px per image width
    cutoff: float  # f_c, cycles per image width
    half_width: float  # f_h, half of the transition band


def layer_geometries(config: GeneratorConfig) -> list[LayerGeometry]:
    """Geometries of the outputs of layers L0 ... ToRGB (section 3.2, appendix C.2 of the paper).

    Cutoffs and stopbands grow geometrically until the critically sampled layers; sampling rates are
    the powers of two that hold the stopband.
    """
    c = config
    last_cutoff = c.img_resolution / 2
    last_stopband = last_cutoff * c.last_stopband_rel
    progress = np.minimum(np.arange(c.num_layers + 1) / (c.num_layers - c.num_critical), 1)
    cutoffs = c.first_cutoff * (last_cutoff / c.first_cutoff) ** progress
    stopbands = c.first_stopband * (last_stopband / c.first_stopband) ** progress

    rates = np.exp2(np.ceil(np.log2(np.minimum(stopbands * 2, c.img_resolution))))
    half_widths = np.maximum(stopbands, rates / 2) - cutoffs
    sizes = rates + 2 * c.margin_size
    sizes[-2:] = c.img_resolution
    channels = np.rint(np.minimum(c.channel_base / 2 / cutoffs, c.channel_max))
    channels[-1] = c.img_channels
    return [
        LayerGeometry(int(channels[i]), int(sizes[i]), int(rates[i]), cutoffs[i], half_widths[i])
        for i in range(c.num_layers + 1)
    ]


class SynthesisInput(nn.Module):
    """Fourier features that w rotates and shifts (section 3.2, "Transformed Fourier features")."""

    transform: torch.Tensor  # [3, 3] the user's transform of the image, inverted
    freqs: torch.Tensor  # [C, 2] x, y; cycles per image width
    phases: torch.Tensor  # [C] cycles

    def __init__(self, w_dim: int, geometry: LayerGeometry) -> None:
        super().__init__()
        self.geometry = geometry
        channels = geometry.channels

        # Frequencies uniform over a disc of the band's radius.
        freqs = torch.randn(channels, 2)
        radii = freqs.square().sum(dim=1, keepdim=True).sqrt()
        freqs = freqs / (radii * radii.square().exp().pow(0.25)) * geometry.cutoff

        self.weight = nn.Parameter(torch.randn(channels, channels))
        self.affine = FullyConnectedLayer(w_dim, 4, weight_init=0.0, bias_init=(1.0, 0.0, 0.0, 0.0))
        self.register_buffer("transform", torch.eye(3))
        self.register_buffer("freqs", freqs)
        self.register_buffer("phases", torch.rand(channels) - 0.5)

    def forward(self, w: torch.Tensor, transforms: torch.Tensor | None = None) -> torch.Tensor:
        """The features [N, C, size, size] for w.

        Angles are computed in double precision: no later layer corrects their errors.

        Args:
            w: [N, w_dim].
            transforms: [N, 3, 3] or [1, 3, 3], inverse transforms of each image beside `transform`,
                which is the same for all (`camera_transforms`).
        """
        g = self.geometry
        wide = torch.float32 if w.device.type == "mps" else torch.float64

        # Rotate, then translate, then the user's transform: inverse transforms of the image.
        cos_sin_shift = self.affine(w).to(wide)  # [N, 4]
        cos_sin_shift = cos_sin_shift / cos_sin_shift[:, :2].norm(dim=1, keepdim=True)
        cos, sin, shift_x, shift_y = cos_sin_shift.unbind(dim=1)
        zero, one = torch.zeros_like(cos), torch.ones_like(cos)
        rotation = matrices([[cos, -sin, zero], [sin, cos, zero], [zero, zero, one]])
        translation = matrices([[one, zero, -shift_x], [zero, one, -shift_y], [zero, zero, one]])
        placed = rotation @ translation @ self.transform.to(wide)  # [N, 3, 3]
        if transforms is not None:
            assert transforms.ndim == 3 and transforms.shape[1:] == (3, 3), (
                f"transforms [N, 3, 3] expected, got {list(transforms.shape)}"
            )
            assert len(transforms) in (1, len(w)), f"{len(transforms)} transforms, {len(w)} images"
            placed = placed @ transforms.to(wide).to(w.device)

        # sin(2 pi (f . T p + phase)) with the transform moved from the points p to f and phase.
        own_freqs = self.freqs.to(wide)
        phases = self.phases + (own_freqs @ placed[:, :2, 2:]).squeeze(2)  # [N, C]
        freqs = own_freqs @ placed[:, :2, :2]  # [N, C, 2]

        # Fade what a zooming transform has moved out of the band.
        excess = (freqs.norm(dim=2) - g.cutoff) / (g.sampling_rate / 2 - g.cutoff)
        amplitudes = (1 - excess).clamp(0, 1)

        # Sample positions along either axis, in image widths from the image's centre.
        axis = torch.arange(g.size, device=w.device, dtype=wide)
        axis = (axis + 0.5 - g.size / 2) / g.sampling_rate

        # sin(a + b) = sin a cos b + cos a sin b, a of the columns and b of the rows.
        across = 2 * math.pi * (freqs[:, :, :1] * axis + phases[:, :, None])  # [N, C, size]
        along = 2 * math.pi * freqs[:, :, 1:] * axis
        rows = torch.stack([along.cos(), along.sin()], dim=3) * amplitudes[:, :, None, None]
        columns = torch.stack([across.sin(), across.cos()], dim=2)
        features = rows.to(w.dtype) @ columns.to(w.dtype)  # [N, C, size, size]

        weight = self.weight / math.sqrt(g.channels)
        return mix_channels(weight.expand(len(w), -1, -1), features)


def matrices(rows: list[list[torch.Tensor]]) -> torch.Tensor:
    """Batch of matrices from rows of entries [N]: [N, len(rows), len(rows[0])]."""
    return torch.stack([torch.stack(row, dim=1) for row in rows], dim=1)


class SynthesisLayer(nn.Module):
    """Modulated convolution and filtered leaky ReLU, from one geometry to the next (figure 4b)."""

    magnitude_ema: torch.Tensor
    up_filter: torch.Tensor | None
    down_filter: torch.Tensor | None

    def __init__(
        self,
        config: GeneratorConfig,
        before: LayerGeometry,
        after: LayerGeometry,
        *,
        is_torgb: bool,
        is_critically_sampled: bool,
    ) -> None:
        super().__init__()
        self.before, self.after, self.is_torgb = before, after, is_torgb
        self.clamp = config.conv_clamp
        self.magnitude_ema_beta = config.magnitude_ema_beta
        kernel = 1 if is_torgb else config.conv_kernel

        self.affine = FullyConnectedLayer(config.w_dim, before.channels, bias_init=1.0)
        weight = torch.randn(after.channels, before.channels, kernel, kernel)
        self.weight = nn.Parameter(weight)
        self.bias = nn.Parameter(torch.zeros(after.channels))
        self.register_buffer("magnitude_ema", torch.ones([]))

        # The leaky ReLU runs at a higher rate than both sides of the layer.
        lrelu_rate = max(before.sampling_rate, after.sampling_rate)
        lrelu_rate *= 1 if is_torgb else config.lrelu_upsampling
        self.up = lrelu_rate // before.sampling_rate
        self.down = lrelu_rate // after.sampling_rate
        up_taps = config.filter_size * self.up if self.up > 1 and not is_torgb else 1
        down_taps = config.filter_size * self.down if self.down > 1 and not is_torgb else 1
        radial = config.use_radial_filters and not is_critically_sampled
        up_filter = design_lowpass_filter(up_taps, before.cutoff, 2 * before.half_width, lrelu_rate)
        down_filter = design_lowpass_filter(
            down_taps, after.cutoff, 2 * after.half_width, lrelu_rate, radial=radial
        )
        self.register_buffer("up_filter", up_filter)
        self.register_buffer("down_filter", down_filter)

        # Size before downsampling minus the size so far; split so that the samples stay centred
        # (appendix C.3).
        total = (after.size - 1) * self.down + 1
        total -= (before.size + kernel - 1) * self.up
        total += up_taps + down_taps - 2
        low = (total + self.up) // 2
        self.padding: Padding = (low, total - low, low, total - low)

    def forward(
        self,
        x: torch.Tensor,
        w: torch.Tensor,
        update_emas: bool = False,
        conv_dtype: torch.dtype | None = None,
    ) -> torch.Tensor:
        """Map x [N, C, size, size] under w [N, w_dim] to the next geometry."""
        assert x.shape[1:] == (self.before.channels, self.before.size, self.before.size)
        if update_emas:
            with torch.no_grad():
                magnitude = torch.linalg.vector_norm(x).square() / x.numel()
                self.magnitude_ema.lerp_(averaged(magnitude), 1 - self.magnitude_ema_beta)
        input_gain = self.magnitude_ema.rsqrt()

        styles = self.affine(w)
        if self.is_torgb:  # no demodulation, no activation
            in_scale = styles * (input_gain / math.sqrt(self.before.channels))
            x = scaled_conv(x, self.weight, in_scale, conv_dtype)
            x = x + self.bias.to(x.dtype)[:, None, None]
            return x if self.clamp is None else x.clamp(-self.clamp, self.clamp)

        in_scale, out_scale = demodulation(self.weight, styles)
        x = scaled_conv(x, self.weight, in_scale * input_gain, conv_dtype)
        return filtered_lrelu(
            x,
            self.up_filter,
            self.down_filter,
            self.bias,
            up=self.up,
            down=self.down,
            padding=self.padding,
            clamp=self.clamp,
            scale=out_scale,
        )


class SynthesisNetwork(nn.Module):
    """ws -> image."""

    def __init__(self, config: GeneratorConfig) -> None:
        super().__init__()
        self.config = config
        self.num_ws = config.num_layers + 2
        geometries = layer_geometries(config)
        self.input = SynthesisInput(config.w_dim, geometries[0])
        self.layer_names: list[str] = []
        for index, after in enumerate(geometries):
            layer = SynthesisLayer(
                config,
                geometries[max(index - 1, 0)],
                after,
                is_torgb=index == config.num_layers,
                is_critically_sampled=index >= config.num_layers - config.num_critical,
            )
            name = f"L{index}_{after.size}_{after.channels}"
            self.add_module(name, layer)
            self.layer_names.append(name)

    def forward(
        self,
        ws: torch.Tensor,
        update_emas: bool = False,
        conv_dtype: torch.dtype | None = None,
        transforms: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Images of ws.

        Args:
            ws: [N, num_ws, w_dim].
            update_emas: Let this batch move the running magnitudes of the activations (training).
            conv_dtype: Precision of the convolutions, such as torch.bfloat16; None for that
                of the weights. Everything else keeps the precision of the weights.
            transforms: [N, 3, 3] or [1, 3, 3], see `camera_transforms`; None leaves images as
                they are.

        Returns:
            images [N, img_channels, img_resolution, img_resolution] float32, about in [-1, 1].
        """
        w_dim = self.config.w_dim
        assert ws.ndim == 3 and ws.shape[1:] == (self.num_ws, w_dim), (
            f"ws [N, {self.num_ws}, {w_dim}] expected, got {list(ws.shape)}"
        )
        first, *others = ws.to(self.input.weight.dtype).unbind(dim=1)
        x = self.input(first, transforms)
        for name, w in zip(self.layer_names, others, strict=True):
            x = self.get_submodule(name)(x, w, update_emas, conv_dtype)
        images: torch.Tensor = x * self.config.output_scale
        return images


class Generator(nn.Module):
    """z -> ws -> image; `mapping` and `synthesis` can be called on their own."""

    def __init__(self, config: GeneratorConfig) -> None:
        super().__init__()
        self.config = config
        self.synthesis = SynthesisNetwork(config)
        self.num_ws = self.synthesis.num_ws
        self.mapping = MappingNetwork(
            config.z_dim,
            config.c_dim,
            config.w_dim,
            self.num_ws,
            config.mapping_layers,
            config.w_avg_beta,
        )

    def forward(
        self,
        z: torch.Tensor,
        c: torch.Tensor | None = None,
        truncation_psi: float = 1.0,
        truncation_cutoff: int | None = None,
        update_emas: bool = False,
        conv_dtype: torch.dtype | None = None,
    ) -> torch.Tensor:
        """Images [N, img_channels, R, R] of latents z [N, z_dim]; arguments as in the parts."""
        ws = self.mapping(z, c, truncation_psi, truncation_cutoff, update_emas)
        images: torch.Tensor = self.synthesis(ws, update_emas, conv_dtype)
        return images
