"""Reconstruction losses of two stages: L1 and perceptual."""

from __future__ import annotations

from typing import Protocol

from torch import Tensor

from stylefacev_cli.metrics.perceptual import PerceptualLoss
from stylefacev_cli.training.batches.pose_features import products_in
from stylefacev_cli.training.losses.image_losses import key_point_weights, weighted_mean


class ReconstructionWeights(Protocol):
    """What the settings of a stage say of it."""

    @property
    def l1_weight(self) -> float: ...  # noqa: D102 - named as the settings are
    @property
    def face_weight(self) -> float: ...  # noqa: D102
    @property
    def feature_weight(self) -> float: ...  # noqa: D102
    @property
    def perceptual_weight(self) -> float: ...  # noqa: D102
    @property
    def dtype(self) -> str: ...  # noqa: D102


def reconstruction_losses(
    weights: ReconstructionWeights,
    perceptual: PerceptualLoss | None,
    images: Tensor,
    targets: Tensor,
    key_points: Tensor,
) -> dict[str, Tensor]:
    """L1, where the face and its features may weigh more, and the perceptual distance.

    Args:
        weights: of the parts.
        perceptual: None for none.
        images: [N, 3, S, S].
        targets: [N, 3, S, S] in [−1, 1].
        key_points: [N, 14, 2] of the targets.

    Returns:
        `l1` and, if it has a weight, `perc`: scalars.
    """
    per_pixel = key_point_weights(
        key_points, images.shape[-1], weights.face_weight, weights.feature_weight
    )
    losses = {"l1": weights.l1_weight * weighted_mean((images - targets).abs(), per_pixel)}
    if perceptual is not None and weights.perceptual_weight:
        with products_in(weights.dtype):
            losses["perc"] = weights.perceptual_weight * perceptual(images, targets)
    return losses
