"""Numbers that tell of a pose, of which the losses on movement are made.

A pose has 64 numbers, but poses of faces fill few of those directions: a movement of the right size
in the others melts the face. So the principal components of the data's poses are followed each for
itself, beside the key points and how far eyes and mouth are open.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from stylefacev_cli.networks.pose import PoseExtractor
from stylefacev_cli.training.losses import openings
from stylefacev_cli.training.rendering import as_maps

_READ_AT_ONCE = 4096  # poses
_LEAST = 1e-3  # deviation of a component or value, as a share of the largest of its group


@dataclass(frozen=True)
class MotionValues:
    """Reads values from poses, in units of their deviation in the data."""

    pose_extractor: PoseExtractor  # frozen
    components: Tensor  # [64, 64], columns
    scale: Tensor  # [K]
    groups: tuple[int, ...]  # numbers of principal components, of key points, of openings

    @classmethod
    @torch.no_grad()
    def of_data(cls, pose_extractor: PoseExtractor, poses: Tensor) -> MotionValues:
        """Those that fit the poses [N, 64] of the data."""
        centred = poses - poses.mean(dim=0)
        _, components = torch.linalg.eigh(centred.T @ centred)
        raw = cls(pose_extractor, components, poses.new_ones(1), ())
        parts = [raw._groups_of(part[None]) for part in torch.split(poses, _READ_AT_ONCE)]
        scales, groups = [], []
        for group in zip(*parts, strict=True):
            deviation = torch.cat(group, dim=1)[0].std(dim=0)
            scales.append(deviation.clamp(min=max(_LEAST * float(deviation.max()), 1e-6)))
            groups.append(len(deviation))
        return cls(pose_extractor, components, torch.cat(scales), tuple(groups))

    def of(self, poses: Tensor) -> Tensor:
        """Values [N, T, K] of poses [N, T, 64], differentiable."""
        return torch.cat(self._groups_of(poses), dim=2) / self.scale

    def mean_of(self, losses: Tensor) -> Tensor:
        """The mean of losses [K] of values: of groups, each the mean of its own."""
        return torch.stack(
            [group.mean() for group in torch.split(losses, list(self.groups))]
        ).mean()

    def _groups_of(self, poses: Tensor) -> list[Tensor]:
        key_points = self.pose_extractor.key_points(as_maps(poses.flatten(0, 1)))
        opened = openings(key_points)[..., 1]
        shape = poses.shape[:2]
        return [poses @ self.components, key_points.view(*shape, -1), opened.view(*shape, -1)]
