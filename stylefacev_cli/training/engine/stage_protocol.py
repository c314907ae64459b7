"""What the training loop needs of a stage."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np

from stylefacev_cli.training.engine.best import Measure

Losses = dict[str, float]


class Stage(Protocol):
    """A stage of training: steps, a state, a validation and a sample grid."""

    name: str
    images_per_step: int

    @property
    def measure(self) -> Measure | None:
        """The number of `validate` by which its best checkpoint is chosen, if it has one."""

    def step(self, index: int, progress: float) -> Losses:
        """Train on one batch. `progress` in [0, 1] tells how much of the stage is done.

        A step that meets a non-finite loss changes nothing and returns that loss.
        """

    def state_dict(self) -> dict[str, Any]:
        """All that the next step depends on: tensors and plain containers; in any process alike."""

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from a state."""

    def sample_grid(self) -> np.ndarray:
        """A picture of where training stands, uint8 [H, W, 3]."""

    def validate(self) -> Losses:
        """Numbers on held-out data."""
