"""Keeps long roll-outs among the poses that the motion sampler was trained on.

The sampler adds up velocities that know nothing of the pose, so a small bias of theirs carries the
pose away in a straight line: from the mean, the poses of `default-64` are 3.6 times as far after
100 frames as after one (in Mahalanobis distance), and 44 times after 3,000. A pull towards a pose
of rest turns the sum into a leaky one,

    p_t = p_{t−1} + velocity_t − strength · (p − rest),

which has a stationary spread and leaves movements faster than 1/strength frames as they are. It
begins where training's sequences ended, so that videos up to that length stay what they were.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

STRENGTH = 0.02  # per frame: at 25 fps, sways slower than about 12 s are damped


@dataclass(frozen=True)
class Stabiliser:
    """Pulls poses towards a pose of rest, ever more from one frame number on.

    Attributes:
        rest: [1, pose_dim].
        after: frames that are left alone; the pull grows over as many more.
        strength: share of the distance to `rest` that a frame takes back at last.
    """

    rest: torch.Tensor
    after: int
    strength: float = STRENGTH

    def hold(self, pose: torch.Tensor, frame: int) -> torch.Tensor:
        """The pose [N, pose_dim] of a frame (0 is the first), pulled; never below 0, as E_pose's.

        A pose that is left alone is returned as it is.
        """
        if frame < self.after:
            return pose
        grown = min(1.0, (frame - self.after + 1) / max(self.after, 1))
        return (pose - self.strength * grown * (pose - self.rest)).clamp(min=0)
