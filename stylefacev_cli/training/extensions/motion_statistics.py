"""Statistics of a pose, which the losses on movement compare.

A pose has 64 numbers, but poses of faces fill few of those directions: a movement of the right size
in the others melts the face. So the principal components of the data's poses are followed each for
itself, beside the key points and how far eyes and mouth are open. All are taken from what is usual
in their clip: else the size of somebody's eyes, say, would count as a movement of them. Lids have a
group of their own, of how many of some openings they fall short: eyes half closed for long, or
never at rest between two blinks, are little to the others, and all that one sees. So has the mouth,
one value beside a hundred, which is all of speech, and the place and the size of the face: in clips
heads move about, and hardly nearer or back.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from stylefacev_cli.networks.stylefacev.pose import PoseExtractor
from stylefacev_cli.training.batches.rendering import as_maps
from stylefacev_cli.training.extensions.opening_maps import HeightsOf, heights_by

_READ_AT_ONCE = 4096  # poses
_LEAST = 1e-3  # deviation of a component or value, as a share of the largest of its group
_LEVELS = 0.4, 0.6, 0.75, 0.9, 1.1  # of the usual opening of somebody's eyes
_SOFTNESS = 0.05
_LEAST_LIDS = 0.05  # deviation: in data where nobody ever blinks there would be none
_NUM_EYES = 2  # of the openings, which end with the mouth's


@dataclass(frozen=True)
class MotionStatistics:
    """Reads values from poses, in units of their deviation within the clips of the data."""

    pose_extractor: PoseExtractor  # frozen
    heights_of: HeightsOf  # how far eyes and mouth are open
    components: Tensor  # [64, 64], columns
    usual: Tensor  # [C, K − 5], the median of each clip
    scale: Tensor  # [K]
    # Numbers of components, key points, coordinates and size of the place, eyes, mouths, levels.
    groups: tuple[int, ...]

    @classmethod
    @torch.no_grad()
    def of_data(
        cls,
        pose_extractor: PoseExtractor,
        poses: Tensor,
        spans: np.ndarray,
        heights_of: HeightsOf | None = None,
    ) -> MotionStatistics:
        """Those that fit the data.

        Args:
            pose_extractor: reads key points from poses.
            poses: [N, 64] of all frames.
            spans: rows (first, number of frames) of the clips [C, 2].
            heights_of: reads how far eyes and mouth are open; by default from the key points.
        """
        heights_of = heights_of or heights_by(pose_extractor)
        centred = poses - poses.mean(dim=0)
        _, components = torch.linalg.eigh(centred.T @ centred)
        none = poses.new_zeros(1)
        raw = cls(pose_extractor, heights_of, components, none, none, ())
        parts = [raw._groups_of(part[None]) for part in torch.split(poses, _READ_AT_ONCE)]
        together = [torch.cat(group, dim=1)[0] for group in zip(*parts, strict=True)]
        values = torch.cat(together, dim=1)
        clips = [values[first : first + length] for first, length in spans.tolist()]
        usual = torch.stack([clip.median(dim=0).values for clip in clips])
        off = [_from_usual(clip, middle) for clip, middle in zip(clips, usual, strict=True)]
        groups = [*(group.shape[1] for group in together), len(_LEVELS)]
        scales = [
            deviation.clamp(min=max(_LEAST * float(deviation.max()), 1e-6))
            for deviation in torch.split(torch.cat(off).square().mean(dim=0).sqrt(), groups)
        ]
        scales[-1] = scales[-1].clamp(min=_LEAST_LIDS)
        return cls(pose_extractor, heights_of, components, usual, torch.cat(scales), tuple(groups))

    def of(self, poses: Tensor, clips: np.ndarray) -> Tensor:
        """Values [N, T, K] of poses [N, T, 64] of some clips [N], differentiable."""
        usual = self.usual[torch.from_numpy(clips)][:, None]
        return _from_usual(torch.cat(self._groups_of(poses), dim=2), usual) / self.scale

    def mean_of(self, losses: Tensor) -> Tensor:
        """The mean of losses [K] of values: of groups, each the mean of its own."""
        return torch.stack(
            [group.mean() for group in torch.split(losses, list(self.groups))]
        ).mean()

    def _groups_of(self, poses: Tensor) -> list[Tensor]:
        key_points = self.pose_extractor.key_points(as_maps(poses.flatten(0, 1)))
        opened = self.heights_of(poses.flatten(0, 1))
        shape = poses.shape[:2]
        eyes, mouth = torch.split(opened.view(*shape, -1), [_NUM_EYES, 1], dim=2)
        place = key_points.mean(dim=1)
        size = (key_points - place[:, None]).square().sum(dim=2).mean(dim=1).sqrt()
        return [
            poses @ self.components,
            key_points.view(*shape, -1),
            torch.cat([place, size[:, None]], dim=1).view(*shape, -1),
            eyes,
            mouth,
        ]


def _from_usual(values: Tensor, usual: Tensor) -> Tensor:
    """Values [..., K − 5] from what is usual, and of which levels the lids fall short."""
    eyes = slice(-1 - _NUM_EYES, -1)
    opened, usually = (x[..., eyes].mean(dim=-1) for x in (values, usual))
    share = opened / usually.clamp(min=1e-3)
    lids = [torch.sigmoid((limit - share) / _SOFTNESS) for limit in _LEVELS]
    return torch.cat([values - usual, torch.stack(lids, dim=-1)], dim=-1)
