"""Principal components of poses, in units of their deviation."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

_LEAST = 0.02  # deviation of a component, as a share of the largest


@dataclass(frozen=True)
class PoseComponents:
    """Where the data's poses lie; components that hardly vary count as if they varied a little."""

    mean: Tensor  # [64]
    to_components: Tensor  # [64, 64]
    to_poses: Tensor  # [64, 64], of differences

    @classmethod
    def of_data(cls, poses: Tensor) -> PoseComponents:
        """Those of poses [N, 64]."""
        mean = poses.mean(dim=0)
        variances, directions = torch.linalg.eigh((poses - mean).T @ (poses - mean) / len(poses))
        deviations = variances.clamp(min=0).sqrt()
        deviations = deviations.clamp(min=max(_LEAST * float(deviations.max()), 1e-6))
        return cls(mean, directions / deviations, (directions * deviations).T)

    def of(self, poses: Tensor) -> Tensor:
        """Components of poses, both [..., 64]."""
        return (poses - self.mean) @ self.to_components
