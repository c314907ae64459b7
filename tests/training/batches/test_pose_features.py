"""What the pose stage sees: heatmaps, shifts and transforms."""

from __future__ import annotations

import torch

from stylefacev_cli.networks.stylegan3.generator import Generator
from stylefacev_cli.training.batches.pose_features import (
    placed,
    random_shifts,
    random_transforms,
    shifted,
)


def test_shift_moves_pictures_and_landmarks_alike() -> None:
    frames = torch.full((3, 3, 32, 32), -1.0)
    frames[:, :, 14:18, 14:18] = 1.0
    landmarks = torch.full((3, 98, 2), 0.5)
    shifts = random_shifts(3, 0.25, torch.Generator().manual_seed(1))
    moved, points = shifted(frames, landmarks, shifts)
    mass = moved[:, 0] + 1
    axis = (torch.arange(32) + 0.5) / 32
    x = (mass.sum(dim=1) * axis).sum(dim=1) / mass.sum(dim=(1, 2))
    y = (mass.sum(dim=2) * axis).sum(dim=1) / mass.sum(dim=(1, 2))
    torch.testing.assert_close(torch.stack([x, y], dim=1), points[:, 0], atol=5e-3, rtol=0)
    assert (points - landmarks).abs().max() > 0.05


def test_transforms_are_inverse_rotations_and_shifts(generator: Generator) -> None:
    transforms = random_transforms(6, 45, 0.25, torch.Generator().manual_seed(0))
    rotations = transforms[:, :2, :2]
    products = rotations @ rotations.transpose(1, 2)
    torch.testing.assert_close(products, torch.eye(2).expand(6, 2, 2))
    shifts = torch.linalg.inv(transforms)[:, :2, 2]
    assert shifts.abs().max() <= 0.25 and shifts.std() > 0.05
    ws = generator.mapping(torch.randn(1, generator.config.z_dim)).expand(6, -1, -1)
    with placed(generator, transforms):
        together = generator.synthesis(ws)
    with placed(generator, transforms[2:3]):
        alone = generator.synthesis(ws[2:3])
    torch.testing.assert_close(together[2:3], alone, atol=1e-4, rtol=1e-4)
    assert (together[0] - together[1]).abs().max() > 0.01
