"""Losses of the motion stage against their formulas."""

from __future__ import annotations

import numpy as np
import torch

from stylefacev_cli.training.losses.motion_losses import (
    gradient_penalty,
    increments_loss,
    marginal_loss,
    relativistic,
    structure,
    structure_loss,
)


def test_relativistic_loss_is_what_its_formula_says() -> None:
    better, worse = torch.tensor([3.0, 1.0]), torch.tensor([0.0, 2.0])
    wanted = 0.5 * ((better - 1 - 1) ** 2).mean() + 0.5 * ((worse - 2) ** 2).mean()
    assert relativistic([better], [worse]) == wanted
    assert relativistic([better] * 2, [worse] * 2) == 2 * wanted


def test_gradient_penalty_is_zero_for_unit_slope() -> None:
    class Slope(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
            return [x[:, :1] * 0.6 + x[:, 1:] * 0.8]

    x = torch.randn(2, 2, 3, 4, 4)
    penalty = gradient_penalty(Slope(), x, x + 1, torch.tensor([0.2, 0.7]))
    assert penalty < 1e-10


def test_structure_of_walks_and_of_jitter() -> None:
    random = torch.Generator().manual_seed(2)
    jitter = torch.randn(2000, 64, 2, generator=random)
    found = structure(torch.cat([jitter.cumsum(dim=1), jitter], dim=2))
    lags = torch.tensor([1.0, 2, 4, 8, 16, 32, 48])[:, None]
    torch.testing.assert_close(found[:, :2], lags.sqrt().expand(-1, 2), rtol=0.05, atol=0)
    torch.testing.assert_close(found[:, 2:], torch.full((7, 2), 2**0.5), rtol=0.05, atol=0)
    assert structure(jitter[:, :5]).shape == (3, 2)  # lags 1, 2 and 4
    loss = structure_loss(jitter * torch.tensor([2.0, 1.0]), structure(jitter))
    torch.testing.assert_close(loss, torch.tensor([np.log(2) ** 2, 0]).float())


def test_marginals_are_compared_by_rank() -> None:
    random = torch.Generator().manual_seed(3)
    real = torch.randn(1000, 2, generator=random)
    made = real[torch.randperm(1000, generator=random)] + torch.tensor([0.0, 0.3])
    torch.testing.assert_close(marginal_loss(made, real), torch.tensor([0.0, 0.3]))


def test_steps_tell_blinks_from_trembling() -> None:
    random = torch.Generator().manual_seed(4)
    blinks = (torch.rand(200, 60, 1, generator=random) < 0.1).float()
    trembling = blinks.std() * torch.randn(200, 60, 1, generator=random)
    wanted = structure(blinks)
    assert structure_loss(trembling, wanted).max() < 1e-3  # it cannot tell
    again = blinks[torch.randperm(200, generator=random)]
    assert increments_loss(again, blinks) == 0
    assert increments_loss(trembling, blinks) > 0.3
    assert increments_loss(3 * trembling[:, :3], 3 * blinks[:, :3]) > 0.3  # one lag alone
