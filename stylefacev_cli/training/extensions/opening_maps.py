"""Maps of eye and mouth opening, which the motion discriminators see beside the pose.

In a pose a blink is a small thing beside a nod, and the discriminators pass over what moves little.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from stylefacev_cli.networks.stylefacev.pose import POSE_SIZE, PoseExtractor
from stylefacev_cli.training.batches.rendering import as_maps
from stylefacev_cli.training.losses.image_losses import openings

NUM_MAPS = 3  # both eyes and the mouth
HeightsOf = Callable[[Tensor], Tensor]
"""Poses [N, 64] → how far both eyes and the mouth are open [N, 3], in fractions of the frame."""
_READ_AT_ONCE = 4096  # poses


@dataclass(frozen=True)
class OpeningMaps:
    """Reads openings from poses; in the poses of the data each has mean 0 and deviation `scale`."""

    heights_of: HeightsOf
    mean: Tensor  # [3]
    deviation: Tensor  # [3]
    scale: float

    def of(self, poses: Tensor) -> Tensor:
        """Planes of poses [N, T, 64]: [N, T, 3, 8, 8], each of one value, differentiable."""
        count, length = poses.shape[:2]
        values = (self.heights_of(poses.flatten(0, 1)) - self.mean) / self.deviation
        maps = self.scale * values.view(count, length, NUM_MAPS, 1, 1)
        return maps.expand(-1, -1, -1, POSE_SIZE, POSE_SIZE)


def heights(pose_extractor: PoseExtractor, poses: Tensor) -> Tensor:
    """From upper to lower lids and lips, down the frame, in fractions of it: [N, 64] → [N, 3]."""
    return openings(pose_extractor.key_points(as_maps(poses)))[..., 1]


def heights_by(pose_extractor: PoseExtractor) -> HeightsOf:
    """Those of the key points that the pose extractor reads."""
    return partial(heights, pose_extractor)


@torch.no_grad()
def opening_maps(heights_of: HeightsOf, poses: Tensor, scale: float) -> OpeningMaps:
    """Planes that are of the same size as those of the poses [N, 64] of the data."""
    heights = torch.cat([heights_of(part) for part in torch.split(poses, _READ_AT_ONCE)])
    deviation = heights.std(dim=0).clamp(min=1e-6)
    return OpeningMaps(heights_of, heights.mean(dim=0), deviation, scale)
