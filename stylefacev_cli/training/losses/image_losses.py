"""Losses on images, heatmaps and discriminator outputs."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from stylefacev_cli.common.distributed import averaged

# Parts of the face as WFLW points; brows count with the eyes, the contour is left out.
FEATURES = (
    (*range(33, 42), *range(60, 68), 96),
    (*range(42, 51), *range(68, 76), 97),
    (*range(51, 60),),
    (*range(76, 96),),
)
KEY_POINT_FEATURES = ((0, 2, 3, 4), (1, 5, 6, 7), (9, 10, 11, 12, 13))
# Of the 14 key points: upper and lower lids, and lips.
UPPER, LOWER = (2, 5, 9), (4, 7, 10)


def face_weights(
    landmarks: Tensor, size_px: int, face_weight: float, feature_weight: float
) -> Tensor:
    """Weight of every pixel: 1 in the background, more on the face, most on eyes, nose and mouth.

    Each part is an ellipse around its landmarks, a little larger than they are, with soft edges.

    Args:
        landmarks: [N, 98, 2] as fractions of the image, x right and y down.
        size_px: height and width of the map.
        face_weight: weight on the face.
        feature_weight: weight on eyes with brows, nose and mouth.

    Returns:
        [N, 1, size_px, size_px].
    """
    # The contour ends at the temples: the brow is within.
    axis = (torch.arange(size_px, device=landmarks.device) + 0.5) / size_px
    face = _ellipse(landmarks, axis, 1.25)
    features = [_ellipse(landmarks[:, list(part)], axis, 1.5) for part in FEATURES]
    return _stacked(face, features, face_weight, feature_weight)


def key_point_weights(
    key_points: Tensor, size_px: int, face_weight: float, feature_weight: float
) -> Tensor:
    """`face_weights` from the 14 key points [N, 14, 2]: most on eyes and mouth."""
    axis = (torch.arange(size_px, device=key_points.device) + 0.5) / size_px
    # From brows to lips: the face goes on around them; of an eye there is only its height.
    face = _ellipse(key_points, axis, 1.5, is_circle=True)
    parts = [key_points[:, list(part)] for part in KEY_POINT_FEATURES]
    features = [_ellipse(part, axis, 1.3, is_circle=True) for part in parts]
    return _stacked(face, features, face_weight, feature_weight)


def openings(key_points: Tensor) -> Tensor:
    """From upper to lower lids, and from upper to lower lip: [N, 3, 2] of key points [N, 14, 2]."""
    return key_points[:, list(LOWER)] - key_points[:, list(UPPER)]


def key_point_loss(predicted: Tensor, target: Tensor, openings_weight: float) -> Tensor:
    """Mean square error of key points [N, 14, 2], and of how far eyes and mouth are open.

    In the first alone a blink is nothing beside a nod. (The paper has the first alone: weight 0.)
    """
    loss = F.mse_loss(predicted, target)
    if openings_weight:
        loss = loss + openings_weight * F.mse_loss(openings(predicted), openings(target))
    return loss


def explained(predicted: Tensor, target: Tensor) -> float:
    """Explained variance over samples: 1 all of it, 0 no more than the mean explains.

    Args:
        predicted: [N, …].
        target: the same shape.
    """
    rest = (predicted - target).square().sum()
    return 1 - float(rest / (target - target.mean(dim=0)).square().sum().clamp(min=1e-12))


def _stacked(
    face: Tensor, features: list[Tensor], face_weight: float, feature_weight: float
) -> Tensor:
    feature = torch.stack(features).amax(dim=0)
    weights = 1 + (face_weight - 1) * face
    return weights + (feature_weight - weights).clamp(min=0) * feature


def _ellipse(points: Tensor, axis: Tensor, stretch: float, *, is_circle: bool = False) -> Tensor:
    low, high = points.amin(dim=1), points.amax(dim=1)  # [N, 2]
    centre, radius = (low + high) / 2, ((high - low) / 2 * stretch).clamp(min=0.02)
    if is_circle:
        radius = radius.amax(dim=1, keepdim=True).expand(-1, 2)
    x = (axis - centre[:, :1]) / radius[:, :1]  # [N, S]
    y = (axis - centre[:, 1:]) / radius[:, 1:]
    distance = (x[:, None, :].square() + y[:, :, None].square()).sqrt()
    return torch.sigmoid((1 - distance) * 8)[:, None]  # [N, 1, S, S]


def hair_weights(hair: Tensor, size_px: int, hair_weight: float) -> Tensor:
    """Weight of every pixel: 1 where there is no hair, `hair_weight` where all is, soft between.

    Args:
        hair: [N, 1, h, w], the share of each cell that shows hair, in [0, 1].
        size_px: height and width of the map.
        hair_weight: weight on hair.

    Returns:
        [N, 1, size_px, size_px].
    """
    shares = F.interpolate(hair, size=(size_px, size_px), mode="bilinear", align_corners=False)
    return 1 + (hair_weight - 1) * shares


def weighted_mean(values: Tensor, weights: Tensor) -> Tensor:
    """Mean of values [N, C, H, W] under weights [N, 1, H, W], which have no gradient.

    The weights are divided by the mean of their sums over all processes, so that the mean over
    processes is that of all their samples together.
    """
    return (values * weights).sum() / (averaged(weights.sum()) * values.shape[1])


def image_loss(images: Tensor, targets: Tensor, weights: Tensor, num_scales: int) -> Tensor:
    """Weighted L1 at several scales, halved each time.

    Args:
        images: [N, 3, S, S].
        targets: [N, 3, S, S].
        weights: [N, 1, S, S].
        num_scales: how many, the full size included.
    """
    total = images.new_zeros(())
    difference = images - targets
    for scale in range(num_scales):
        if scale:
            difference, weights = F.avg_pool2d(difference, 2), F.avg_pool2d(weights, 2)
        total = total + weighted_mean(difference.abs(), weights)
    return total / num_scales


def gradient_loss(images: Tensor, targets: Tensor, weights: Tensor) -> Tensor:
    """Weighted L1 between the differences of neighbouring pixels: edges in place."""
    difference = images - targets  # differences are linear: those of the difference
    right = (difference[..., :, 1:] - difference[..., :, :-1]).abs()
    down = (difference[..., 1:, :] - difference[..., :-1, :]).abs()
    return weighted_mean(right, weights[..., 1:]) + weighted_mean(down, weights[..., 1:, :])


def detail(images: Tensor, pixels: int) -> Tensor:
    """Images [N, C, S, S] less what is coarser than so many pixels; whole ones for 0."""
    if not pixels:
        return images
    coarse = F.avg_pool2d(images, pixels)
    return images - F.interpolate(coarse, size=images.shape[-2:], mode="bilinear")


def location_loss(predicted: Tensor, target: Tensor, sharpness: float = 10.0) -> Tensor:
    """Cross-entropy between where heatmaps peak and where they should.

    softmax(sharpness · heatmap) over all places against the target scaled to sum 1. Heatmaps are
    almost 0 everywhere, so that errors of their values alone say little of where to go.

    Args:
        predicted: heatmaps [N, K, H, W].
        target: the same shape, in [0, 1].
        sharpness: how much a peak of height 1 stands out.

    Returns:
        [N, K].
    """
    weights = target.flatten(2)
    weights = weights / weights.sum(dim=2, keepdim=True).clamp(min=1e-6)
    logarithms = F.log_softmax(sharpness * predicted.flatten(2), dim=2)
    return -(weights * logarithms).sum(dim=2)


def non_saturating(logits: Tensor, real: bool) -> Tensor:
    """−log σ(±logits): the logistic loss of both players."""
    return F.softplus(-logits if real else logits).mean()


def relativistic_pairs(better: Tensor, worse: Tensor) -> Tensor:
    """−log σ(better − worse) of pairs that belong together (RpGAN; Jolicoeur-Martineau 2020).

    Where both sides of a pair show the same thing, what differs from pair to pair drops out.

    Args:
        better: logits of what should be judged the more real: real images for the discriminator,
            generated ones for the generator.
        worse: those of their counterparts, of the same shape.
    """
    return F.softplus(worse - better).mean()


def r1_penalty(discriminator: Callable[[Tensor], Tensor], images: Tensor) -> Tensor:
    """½·|∂D/∂x|² on real images (Mescheder et al. 2018), before its weight gamma."""
    images = images.detach().requires_grad_(True)
    logits = discriminator(images)
    (gradient,) = torch.autograd.grad(logits.sum(), [images], create_graph=True)
    return gradient.square().sum(dim=(1, 2, 3)).mean() / 2
