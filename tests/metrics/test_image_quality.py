from __future__ import annotations

import numpy as np
import pytest
import torch
from skimage import metrics as oracle

from stylefacev_cli.metrics.image_quality import face_box, psnr, ssim


@pytest.fixture
def pair() -> tuple[torch.Tensor, torch.Tensor]:
    """Two colour images [1, 3, 24, 24], the second a noisy copy of the first."""
    random = np.random.default_rng(0)
    target = random.uniform(-1, 1, (1, 3, 24, 24)).astype(np.float32)
    noisy = np.clip(target + random.normal(0, 0.2, target.shape), -1, 1).astype(np.float32)
    return torch.from_numpy(noisy), torch.from_numpy(target)


def test_psnr_and_ssim_against_scikit_image(pair: tuple[torch.Tensor, torch.Tensor]) -> None:
    mask = torch.ones(1, 1, 24, 24)
    a, b = (one[0].permute(1, 2, 0).numpy() for one in pair)
    wanted = oracle.peak_signal_noise_ratio(b, a, data_range=2)
    assert psnr(*pair, mask).item() == pytest.approx(wanted, rel=1e-5)
    wanted = oracle.structural_similarity(
        a, b, data_range=2, win_size=7, use_sample_covariance=False, channel_axis=2
    )
    assert ssim(*pair, mask).item() == pytest.approx(wanted, rel=1e-4)


def test_inside_a_box_only_the_box_counts(pair: tuple[torch.Tensor, torch.Tensor]) -> None:
    made, target = pair
    corners = torch.tensor([[4 / 24, 6 / 24], [20 / 24, 18 / 24]])
    box = face_box(corners[[0, 1] * 49][None], 24)
    assert box.sum() == 16 * 12 and box[0, 0, 6:18, 4:20].all()
    cut = (slice(None), slice(None), slice(6, 18), slice(4, 20))
    everywhere = torch.ones(1, 1, 12, 16)
    torch.testing.assert_close(psnr(made, target, box), psnr(made[cut], target[cut], everywhere))
    # A window looks three pixels beyond the pixel whose similarity it gives.
    inner = oracle.structural_similarity(
        made[0].numpy(), target[0].numpy(), data_range=2, win_size=7, channel_axis=0,
        use_sample_covariance=False, full=True,
    )[1][:, 6:18, 4:20].mean()  # fmt: skip
    assert ssim(made, target, box).item() == pytest.approx(float(inner), rel=1e-4)


def test_equal_images_get_the_top(pair: tuple[torch.Tensor, torch.Tensor]) -> None:
    _, target = pair
    mask = torch.ones(1, 1, 24, 24)
    assert psnr(target, target, mask).item() == pytest.approx(106.02, abs=0.01)
    assert ssim(target, target, mask).item() == pytest.approx(1)
