"""When the second phase of the weight re-balance begins: once identities are made again.

The paper gives both parts the same weight "until identity is reconstructed". Taken as: the L1 of
the video part, averaged over so many images, is no longer lower by a given share than over as many
before; or training has got so far anyway.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass
class Rebalance:
    """Watches the video part's L1 during the joint stage.

    Attributes:
        latest: progress in [0, 1] at which the second phase begins at the latest.
        min_gain: share by which the mean must fall from one window to the next; 0: not watched.
        window_images: images of a window.
        has_begun: whether the second phase has.
    """

    latest: float
    min_gain: float
    window_images: int
    has_begun: bool = False
    _sum: float = 0.0
    _num_steps: int = 0
    _num_images: int = 0
    _last_mean: float | None = None

    def begins(self, progress: float) -> bool:
        """Whether a step at this progress belongs to the second phase; it never ends again."""
        self.has_begun = self.has_begun or progress >= self.latest
        return self.has_begun

    def note(self, video_l1: float, num_images: int) -> None:
        """Take the video part's L1 of a step into account."""
        if not self.min_gain or self.has_begun:
            return
        self._sum += video_l1
        self._num_steps += 1
        self._num_images += num_images
        if self._num_images < self.window_images:
            return
        mean = self._sum / self._num_steps
        if self._last_mean is not None and mean > (1 - self.min_gain) * self._last_mean:
            self.has_begun = True
        self._last_mean, self._sum = mean, 0.0
        self._num_steps = self._num_images = 0

    def state_dict(self) -> dict[str, Any]:
        """What was seen so far."""
        return {
            "has_begun": self.has_begun,
            "sum": self._sum,
            "steps": self._num_steps,
            "images": self._num_images,
            "last_mean": self._last_mean,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from there."""
        self.has_begun, self._sum = state["has_begun"], state["sum"]
        self._num_steps, self._num_images = state["steps"], state["images"]
        self._last_mean = state["last_mean"]
