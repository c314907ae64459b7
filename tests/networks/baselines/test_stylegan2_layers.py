"""The layers do what their definitions say, and can be trained."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from stylefacev_cli.networks.baselines.stylegan2_layers import (
    EPSILON,
    SynthesisLayer,
    ToRgb,
    activated,
    demodulation,
    styled_conv,
    to_rgb,
    upsample,
)
from stylefacev_cli.networks.stylegan3.stylegan2_discriminator import blur_filter

DOUBLE = torch.float64


def zeros_between(x: torch.Tensor) -> torch.Tensor:
    """Every sample followed by a zero, along both axes."""
    n, c, h, w = x.shape
    spread = x.new_zeros(n, c, h, 2, w, 2)
    spread[:, :, :, 0, :, 0] = x
    return spread.reshape(n, c, 2 * h, 2 * w)


def filtered(x: torch.Tensor, taps: torch.Tensor, before: int, after: int) -> torch.Tensor:
    """Zeros on the left and top, on the right and bottom, then the filter."""
    padded = F.pad(x, (before, after, before, after)).flatten(0, 1)[:, None]
    out = F.conv2d(padded, taps.flip(0, 1)[None, None])
    return out.view(*x.shape[:2], *out.shape[2:])


def test_upsampling_is_zeros_and_a_filter() -> None:
    x, taps = torch.randn(2, 3, 5, 7, dtype=DOUBLE), blur_filter().double()
    torch.testing.assert_close(upsample(x, taps), filtered(zeros_between(x), taps * 4, 2, 1))
    flat = upsample(torch.ones(1, 1, 8, 8, dtype=DOUBLE), taps)
    torch.testing.assert_close(flat[:, :, 2:-2, 2:-2], torch.ones(1, 1, 12, 12, dtype=DOUBLE))


def test_one_weight_for_all_is_a_weight_for_each() -> None:
    """The paper's definition: weights scaled by styles and normalised, sample by sample."""
    torch.manual_seed(0)
    x, styles = torch.randn(3, 4, 6, 6, dtype=DOUBLE), torch.randn(3, 4, dtype=DOUBLE)
    weight, taps = torch.randn(5, 4, 3, 3, dtype=DOUBLE), blur_filter().double()
    for gain in (1.0, 0.3):
        scale = demodulation(weight, styles, gain)
        for sample in range(3):
            own = weight * gain * styles[sample][None, :, None, None]
            own = own / (own.square().sum(dim=(1, 2, 3), keepdim=True) + EPSILON).sqrt()
            plain = F.conv2d(x[sample : sample + 1], own, padding=1)
            found = styled_conv(x, weight, styles)[sample] * scale[sample][:, None, None]
            torch.testing.assert_close(found, plain[0])
            # To twice the size: zeros between samples, a true convolution, then the filter.
            spread = F.pad(zeros_between(x[sample : sample + 1]), (2, 1, 2, 1))
            doubled = filtered(F.conv2d(spread, own.flip(2, 3)), taps * 4, 1, 1)
            found = styled_conv(x, weight, styles, taps)[sample] * scale[sample][:, None, None]
            torch.testing.assert_close(found, doubled[0])


def test_activation_is_scaled_shifted_and_clamped() -> None:
    x, scale = torch.randn(2, 3, 4, 4, dtype=DOUBLE), torch.rand(2, 3, dtype=DOUBLE)
    bias, noise = torch.randn(3, dtype=DOUBLE), torch.randn(1, 1, 4, 4, dtype=DOUBLE)
    plain = x * scale[:, :, None, None] + noise + bias[:, None, None]
    plain = (F.leaky_relu(plain, 0.2) * 2**0.5).clamp(-0.5, 0.5)
    torch.testing.assert_close(activated(x, scale, bias, 0.5, noise), plain)


def test_colours_are_a_modulated_convolution() -> None:
    x, styles = torch.randn(2, 4, 5, 5, dtype=DOUBLE), torch.randn(2, 4, dtype=DOUBLE)
    weight, bias = torch.randn(3, 4, 1, 1, dtype=DOUBLE), torch.randn(3, dtype=DOUBLE)
    plain = F.conv2d(x * styles[:, :, None, None], weight) + bias[:, None, None]
    torch.testing.assert_close(to_rgb(x, weight, styles, bias), plain)
    torch.testing.assert_close(to_rgb(x, weight, styles, bias, 0.1), plain.clamp(-0.1, 0.1))


def test_layers_have_gradients() -> None:
    torch.manual_seed(0)
    x, w = (torch.randn(2, 3, 4, 4, dtype=DOUBLE), torch.randn(2, 5, dtype=DOUBLE))
    x.requires_grad_(), w.requires_grad_()
    for layer in (SynthesisLayer(3, 2, 5), SynthesisLayer(3, 2, 5, double=True), ToRgb(3, 3, 5)):
        assert torch.autograd.gradcheck(layer.double(), (x, w))
