"""The shared-weight convolution is the modulated convolution of the definition."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from stylefacev_cli.common import autocast
from stylefacev_cli.networks.stylegan3 import modulated_conv
from stylefacev_cli.networks.stylegan3.modulated_conv import demodulation, mix_channels, scaled_conv


def definition(x: torch.Tensor, weight: torch.Tensor, styles: torch.Tensor) -> torch.Tensor:
    """Weights for every sample, scaled and divided by their norm."""
    modulated = weight * styles[:, None, :, None, None]  # [N, O, I, k, k]
    norm = modulated.square().sum(dim=(2, 3, 4), keepdim=True).sqrt()
    pad = weight.shape[-1] - 1
    outputs = [F.conv2d(a[None], w, padding=pad) for a, w in zip(x, modulated / norm, strict=True)]
    return torch.cat(outputs)


def tensors(kernel: int, dtype: torch.dtype) -> tuple[torch.Tensor, ...]:
    generator = torch.Generator().manual_seed(0)
    shapes = ((3, 6, 7, 9), (4, 6, kernel, kernel), (3, 6))
    values = [torch.randn(s, generator=generator, dtype=torch.float64) for s in shapes]
    return tuple(v.to(dtype).requires_grad_() for v in values)


def shared_weight(
    x: torch.Tensor, weight: torch.Tensor, styles: torch.Tensor, dtype: torch.dtype | None = None
) -> torch.Tensor:
    in_scale, out_scale = demodulation(weight, styles)
    return scaled_conv(x, weight, in_scale, dtype) * out_scale[:, :, None, None]


@pytest.mark.parametrize("kernel", [1, 3])
@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.float64, 1e-8), (torch.float32, 1e-5)], ids=["double", "single"]
)
def test_shared_weight_is_the_definition(kernel: int, dtype: torch.dtype, tolerance: float) -> None:
    exact = tensors(kernel, torch.float64)
    wanted = definition(*exact)
    own = tensors(kernel, dtype)
    found = shared_weight(*own)
    assert (found.double() - wanted).norm() < tolerance * wanted.norm()

    weights = torch.linspace(-1, 1, wanted.numel(), dtype=torch.float64).view_as(wanted)
    wanted_grads = torch.autograd.grad((wanted * weights).sum(), exact)
    grads = torch.autograd.grad((found * weights.to(dtype)).sum(), own)
    for grad, wanted_grad in zip(grads, wanted_grads, strict=True):
        assert grad.dtype == dtype
        assert (grad.double() - wanted_grad).norm() < tolerance * wanted_grad.norm()


@pytest.mark.parametrize("can", ["as it can", "rounded only"])
@pytest.mark.parametrize("kernel", [1, 3])
def test_bfloat16_products(kernel: int, can: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """As this CPU multiplies, and as one that multiplies no bfloat16."""
    if can == "rounded only":
        monkeypatch.setattr(autocast, "HAS_BFLOAT16_PRODUCTS", False)
    single = tensors(kernel, torch.float32)
    wanted = shared_weight(*single)
    found = shared_weight(*single, dtype=torch.bfloat16)
    assert found.dtype == torch.float32
    assert 1e-4 * wanted.norm() < (found - wanted).norm() < 0.01 * wanted.norm()
    wanted_grads = torch.autograd.grad(wanted.square().sum(), single)
    grads = torch.autograd.grad(found.square().sum(), single)
    for grad, wanted_grad in zip(grads, wanted_grads, strict=True):
        assert (grad - wanted_grad).norm() < 0.03 * wanted_grad.norm()


def test_without_onednn(monkeypatch: pytest.MonkeyPatch) -> None:
    x = torch.randn(2, 5, 4, 6)
    weights = torch.randn(2, 3, 5)
    fast = mix_channels(weights, x)
    monkeypatch.setattr(modulated_conv, "HAS_ONEDNN_PRODUCT", False)
    torch.testing.assert_close(mix_channels(weights, x), fast)
    torch.testing.assert_close(fast, torch.einsum("noi,nihw->nohw", weights, x))
