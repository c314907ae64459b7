"""Drift control: keeps long roll-outs near the poses that the motion sampler was trained on.

The sampler sums velocities that do not depend on the pose, so a small bias of theirs lets the pose
drift. A pull towards a rest pose turns the sum into a leaky one,

    p_t = p_{t−1} + velocity_t − strength · (p − rest),

which has a stationary spread and leaves movements faster than 1/strength frames as they are. It
begins where training's sequences ended, so that shorter videos are unchanged, and the rest pose is
the mean of the frames until then, so that a video stays near its own beginning.
"""

from __future__ import annotations

import torch

STRENGTH = 0.02  # per frame: at 25 fps, sways slower than about 12 s are damped


class DriftControl:
    """Pulls the poses of one video towards their own mean, from one frame number on."""

    def __init__(self, after: int, strength: float = STRENGTH) -> None:
        """Start a video.

        Args:
            after: frames that are unchanged, and whose mean is the rest pose; the pull grows over
                as many more.
            strength: share of the distance to the rest pose that a frame loses once it has grown.
        """
        self._after, self._strength = max(1, after), strength
        self._sum: torch.Tensor | float = 0.0

    def hold(self, pose: torch.Tensor, frame: int) -> torch.Tensor:
        """The pose of a frame after the pull, clamped at 0 like the pose extractor's.

        Args:
            pose: [N, pose_dim] of this frame.
            frame: its index; frames come in order, beginning with 0.

        Returns:
            [N, pose_dim]; before frame `after`, the pose itself.
        """
        if frame < self._after:
            self._sum = self._sum + pose
            return pose
        grown = min(1.0, (frame - self._after + 1) / self._after)
        return (pose - self._strength * grown * (pose - self._sum / self._after)).clamp(min=0)
