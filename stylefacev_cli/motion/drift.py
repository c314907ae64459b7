"""Keeps long roll-outs among the poses that the motion sampler was trained on.

The sampler adds up velocities that know nothing of the pose, so a small bias of theirs carries the
pose away in a straight line: from the mean, the poses of `default-64` are 3.6 times as far after
100 frames as after one (in Mahalanobis distance), and 44 times after 3,000. A pull towards a pose
of rest turns the sum into a leaky one,

    p_t = p_{t−1} + velocity_t − strength · (p − rest),

which has a stationary spread and leaves movements faster than 1/strength frames as they are. It
begins where training's sequences ended, so that videos up to that length stay what they were, and
its pose of rest is their mean: so a video stays where it began, and with whom. (The mean pose of
many people, taken before, moved heads that began at the side, and changed their form.)
"""

from __future__ import annotations

import torch

STRENGTH = 0.02  # per frame: at 25 fps, sways slower than about 12 s are damped


class DriftControl:
    """Pulls the poses of one video towards their own mean, ever more from one frame number on."""

    def __init__(self, after: int, strength: float = STRENGTH) -> None:
        """Begin a video.

        Args:
            after: frames that are left alone, and whose mean is the pose of rest; the pull grows
                over as many more.
            strength: share of the distance to it that a frame takes back at last.
        """
        self._after, self._strength = max(1, after), strength
        self._sum: torch.Tensor | float = 0.0

    def hold(self, pose: torch.Tensor, frame: int) -> torch.Tensor:
        """The pose [N, pose_dim] of a frame, pulled; never below 0, as E_pose's.

        A pose that is left alone is returned as it is.

        Args:
            pose: of this frame.
            frame: its number; they come one after the other, 0 first.
        """
        if frame < self._after:
            self._sum = self._sum + pose
            return pose
        grown = min(1.0, (frame - self._after + 1) / self._after)
        return (pose - self._strength * grown * (pose - self._sum / self._after)).clamp(min=0)
