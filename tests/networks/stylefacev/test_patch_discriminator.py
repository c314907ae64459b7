from __future__ import annotations

import pytest
import torch

from stylefacev_cli.networks.stylefacev.patch_discriminator import (
    PatchDiscriminator,
    PatchDiscriminatorConfig,
)

SMALL = PatchDiscriminatorConfig(base_channels=8, num_layers=2)


def test_released_size_judges_30_by_30_patches_of_a_256_px_frame():
    discriminator = PatchDiscriminator().eval()
    with torch.no_grad():
        assert discriminator(torch.zeros(1, 3, 256, 256)).shape == (1, 1, 30, 30)
    names = [name for name, _ in discriminator.named_parameters()]
    assert names[:4] == ["model.0.weight", "model.0.bias", "model.2.weight", "model.3.weight"]
    assert sum(p.numel() for p in discriminator.parameters()) == 2_765_633


def test_a_patch_sees_70_pixels():
    torch.manual_seed(0)
    discriminator = PatchDiscriminator(PatchDiscriminatorConfig(base_channels=4)).eval()
    images = torch.zeros(1, 3, 256, 256, requires_grad=True)
    discriminator(images)[0, 0, 15, 15].backward()
    assert images.grad is not None
    seen = images.grad.abs().sum(dim=(0, 1, 2)).nonzero()
    assert seen.max() - seen.min() + 1 == 70


def test_every_parameter_learns_at_batch_1():
    torch.manual_seed(0)
    discriminator = PatchDiscriminator(SMALL)
    discriminator(torch.randn(1, 3, 64, 64)).square().sum().backward()
    for name, parameter in discriminator.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().sum() > 0, name


def test_starts_from_normal_weights():
    torch.manual_seed(0)
    model = PatchDiscriminator().model
    assert model[5].weight.std().item() == pytest.approx(0.02, rel=0.05)
    assert model[6].weight.mean().item() == pytest.approx(1.0, abs=0.01)
    assert model[6].weight.std().item() == pytest.approx(0.02, rel=0.2)


def test_other_shapes_are_refused():
    with pytest.raises(AssertionError, match="images"):
        PatchDiscriminator(SMALL)(torch.zeros(1, 6, 64, 64))
