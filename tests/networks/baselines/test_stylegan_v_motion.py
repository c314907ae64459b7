"""Motion codes are continuous, and need but a window of the noise."""

from __future__ import annotations

import pytest
import torch

from stylefacev_cli.networks.baselines.stylegan_v_motion import MotionEncoder, TimeConfig

CONFIG = TimeConfig(z_dim=4, u_dim=6, distance=8, kernel_size=3, num_frequencies=5)


@pytest.fixture
def encoder() -> MotionEncoder:
    torch.manual_seed(0)
    encoder = MotionEncoder(CONFIG).double()
    for parameter in encoder.parameters():
        parameter.data += torch.randn_like(parameter)
    return encoder.requires_grad_(False)


def test_codes_are_continuous_where_stretches_meet(encoder: MotionEncoder) -> None:
    noise = torch.randn(1, 12, 4, dtype=torch.float64)
    around = torch.tensor([[8 - 1e-7, 8, 8 + 1e-7, 16 - 1e-7, 16]], dtype=torch.float64)
    codes = encoder(noise, around)[0]
    scale = codes.std()
    assert (codes[0] - codes[1]).abs().max() < 1e-5 * scale
    assert (codes[1] - codes[2]).abs().max() < 1e-5 * scale
    assert (codes[1] - codes[4]).abs().max() > 0.1 * scale  # and they do move


def test_codes_at_the_ends_are_aligned(encoder: MotionEncoder) -> None:
    """v(t_l) = A u_l."""
    noise = torch.randn(1, 12, 4, dtype=torch.float64)
    times = torch.tensor([[0.0, 8.0, 16.0]], dtype=torch.float64)
    codes = encoder.conv(noise.transpose(1, 2)).transpose(1, 2)[:, :3]
    aligned = encoder.time_encoder.aligners_predictor(codes)
    torch.testing.assert_close(encoder(noise, times), aligned)


def test_a_window_of_the_noise_is_enough(encoder: MotionEncoder) -> None:
    noise = torch.randn(1, 30, 4, dtype=torch.float64)
    times = torch.tensor([[41.0, 50.5]], dtype=torch.float64)
    first, needed = 41 // 8, encoder.num_noise(50.5)
    window = noise[:, first:needed]
    torch.testing.assert_close(encoder(window, times, first), encoder(noise, times))
    with pytest.raises(AssertionError, match="too few"):
        encoder(window[:, :-1], times, first)
