"""TensorBoard events, where the package `tensorboard` is installed; else nothing."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

FOLDER_NAME = "tensorboard"


class Board:
    """Writes `log.jsonl` and `sample_grids/` as events, too: `tensorboard --logdir RUN`."""

    def __init__(self, folder: Path) -> None:
        """Start with no writer if tensorboard is not installed; it makes its folder when it is."""
        self._writer: Any = None
        if find_spec("tensorboard") is not None:
            from torch.utils.tensorboard import SummaryWriter  # slow to import, and optional

            self._writer = SummaryWriter(str(folder / FOLDER_NAME))

    def numbers(self, step: int, values: dict[str, Any]) -> None:
        """Write numbers; those of a dictionary in it under `key/name`."""
        if self._writer is None:
            return
        for name, value in values.items():
            if isinstance(value, dict):
                self.numbers(step, {f"{name}/{key}": number for key, number in value.items()})
            elif name not in ("step", "images"):
                self._writer.add_scalar(name, value, step)
        self._writer.flush()

    def picture(self, step: int, grid: np.ndarray) -> None:
        """Write a sample grid, uint8 [H, W, 3]."""
        if self._writer is not None:
            self._writer.add_image("sample_grid", grid, step, dataformats="HWC")
            self._writer.flush()

    def close(self) -> None:
        """Close the file of events."""
        if self._writer is not None:
            self._writer.close()
