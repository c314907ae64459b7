"""Pose anchor: poses stay near those that a motion sampler has learnt."""

from __future__ import annotations

from torch import Tensor


def pose_anchor_loss(poses: Tensor, before: Tensor) -> Tensor:
    """Squared distance of poses to those of the networks before, as a share of their variance.

    Args:
        poses: [N, 1, 8, 8].
        before: the same shape, without a gradient.
    """
    variance = before.var(dim=0, unbiased=False).mean().clamp(min=1e-8)
    loss: Tensor = (poses - before).square().mean() / variance
    return loss
