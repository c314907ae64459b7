"""Poses that lie on rings: each coordinate alone may be anything, two together may not."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from stylefacev_cli.training.extensions import pose_prior
from stylefacev_cli.training.extensions.pose_prior import PoseManifold

NUM = 4
SPANS = np.stack([np.arange(40) * 50, np.full(40, 50)], axis=1)


def on_rings(count: int, seed: int, radius: float = 1.0) -> torch.Tensor:
    """Pairs of coordinates, each somewhere on its ring."""
    random = torch.Generator().manual_seed(seed)
    angle = 2 * np.pi * torch.rand(count, NUM, generator=random)
    rings = radius * torch.cat([angle.cos(), angle.sin()], dim=1)
    return 3 + F.pad(rings, (0, 64 - 2 * NUM)) + 0.001 * torch.randn(count, 64, generator=random)


@pytest.fixture(scope="module", autouse=True)
def short_training() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pose_prior, "_STEPS", 800)
        yield


@pytest.fixture(scope="module")
def manifold(short_training: None) -> PoseManifold:
    return PoseManifold.of_data(on_rings(2000, 1), SPANS, seed=1)


def test_poses_of_the_data_are_near_and_others_far(manifold: PoseManifold) -> None:
    seen = float(manifold.distance(on_rings(500, 2)))
    assert 0.8 < seen < 1.25  # of others than it was trained on
    assert float(manifold.distance(on_rings(500, 3, radius=1.6))) > 3
    mixed = torch.cat([on_rings(500, 4)[:, :NUM], on_rings(500, 5)[:, NUM:]], dim=1)
    assert float(manifold.distance(mixed)) > 1.5 * seen  # though each number is as in the data


def test_its_gradient_leads_back(manifold: PoseManifold) -> None:
    poses = on_rings(200, 4, radius=1.6).requires_grad_(True)
    (gradient,) = torch.autograd.grad(manifold.distance(poses), [poses])
    outwards = gradient * (poses - 3).detach()
    outwards = outwards[:, :NUM] + outwards[:, NUM : 2 * NUM]
    assert float((outwards > 0).float().mean()) > 0.95


def test_the_same_data_and_seed_give_the_same(manifold: PoseManifold) -> None:
    before = torch.random.get_rng_state()
    again = PoseManifold.of_data(on_rings(2000, 1), SPANS, seed=1)
    poses = on_rings(50, 5)
    assert torch.equal(again.distance(poses), manifold.distance(poses))
    assert torch.equal(before, torch.random.get_rng_state())


def test_one_clip_whose_poses_never_change() -> None:
    still = PoseManifold.of_data(torch.ones(20, 64), np.array([(0, 20)]), seed=1)
    assert np.isfinite(float(still.distance(torch.ones(4, 64))))
