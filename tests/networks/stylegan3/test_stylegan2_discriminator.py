"""The image discriminator gives the numbers of the original one."""

from __future__ import annotations

import conformance_vectors
import pytest
import torch
import torch.nn.functional as F
from conformance_vectors import relative_error

from stylefacev_cli.networks.stylegan3.stylegan2_discriminator import (
    DiscriminatorConfig,
    ImageDiscriminator,
)

TINY = DiscriminatorConfig(img_resolution=16, channel_base=64, channel_max=8)


@pytest.mark.conformance
@pytest.mark.parametrize("name", conformance_vectors.names("stylegan2-discriminator"))
def test_discriminator_reproduces_original(name: str) -> None:
    vectors = conformance_vectors.load(name)
    config = dict(vectors.manifest["config"])
    assert config.pop("c_dim", 0) == 0
    discriminator = vectors.fill(ImageDiscriminator(DiscriminatorConfig(**config)))
    size = discriminator.config.img_resolution
    x = vectors.value(f"{name}/x", (4, 3, size, size), 0, 0.5).requires_grad_()

    logits = discriminator(x)
    assert relative_error(logits, vectors["logits"]) < 1e-4
    (grad,) = torch.autograd.grad(logits.sum(), x)
    assert relative_error(grad.square().sum(dim=(1, 2, 3)), vectors["r1"]) < 1e-4
    pool = size // vectors["grad_pooled"].shape[-1]
    assert relative_error(F.avg_pool2d(grad, pool), vectors["grad_pooled"]) < 1e-4


def test_r1_penalty_reaches_the_parameters() -> None:
    torch.manual_seed(0)
    discriminator = ImageDiscriminator(TINY).double()
    x = torch.randn(4, 3, 16, 16, dtype=torch.float64, requires_grad=True)

    def penalty() -> torch.Tensor:
        (grad,) = torch.autograd.grad(discriminator(x).sum(), x, create_graph=True)
        return grad.square().sum()

    penalty().backward()
    weight = discriminator.b4.conv.weight
    assert weight.grad is not None
    wanted = float(weight.grad[0, 0, 1, 1])
    step = 1e-5
    with torch.no_grad():
        weight[0, 0, 1, 1] += step
    above = penalty().item()
    with torch.no_grad():
        weight[0, 0, 1, 1] -= 2 * step
    below = penalty().item()
    assert (above - below) / (2 * step) == pytest.approx(wanted, rel=1e-4)


def test_groups_of_the_minibatch_spread() -> None:
    """Samples i and i + 2 of four form a group of two, as in the original."""
    epilogue = ImageDiscriminator(DiscriminatorConfig(16, mbstd_group_size=2, channel_max=8)).b4
    x = torch.randn(4, 8, 4, 4)
    spread = epilogue.minibatch_spread(x)
    assert spread.shape == (4, 1, 4, 4)
    pair = torch.stack([x[0], x[2]])
    wanted = (pair.var(dim=0, unbiased=False) + 1e-8).sqrt().mean()
    torch.testing.assert_close(spread[[0, 2]], wanted.expand(2, 1, 4, 4))


def test_wrong_size_is_refused() -> None:
    with pytest.raises(AssertionError):
        ImageDiscriminator(TINY)(torch.zeros(4, 3, 32, 32))
