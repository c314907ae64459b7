"""The best checkpoint of a stage by its validation: kept beside the newest, never dropped."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stylefacev_cli.common.listener import Listener
from stylefacev_cli.errors import IntegrityError
from stylefacev_cli.training.engine.checkpoint import read_state, write_checkpoint

BEST_NAME = "best.ckpt"
WHICH = ("newest", "best")


@dataclass(frozen=True)
class Measure:
    """The number of a stage's validation by which its best checkpoint is chosen."""

    name: str
    higher_is_better: bool

    def is_better(self, value: float, than: float) -> bool:
        """Whether a value is strictly better than another one; what is no number never is."""
        return value > than if self.higher_is_better else value < than


def held_out_of(state: dict[str, Any], path: Path) -> dict[str, float]:
    """The numbers of the validation by which a checkpoint was kept.

    Raises:
        IntegrityError: it has none.
    """
    numbers = state.get("held_out")
    if not isinstance(numbers, dict) or not all(
        isinstance(name, str) and isinstance(value, int | float) for name, value in numbers.items()
    ):
        raise IntegrityError(f"{path} is damaged: it lacks the numbers of its validation")
    return numbers


class BestCheckpoint:
    """Keeps `best.ckpt` in the folder of a stage's checkpoints; its state holds its numbers."""

    def __init__(self, folder: Path, measure: Measure | None, listener: Listener) -> None:
        """Look what the best was so far.

        Args:
            folder: of the checkpoints.
            measure: by which; None: the stage has none, and nothing is kept.
            listener: is told if the best checkpoint so far is damaged.
        """
        self._path, self._measure = folder / BEST_NAME, measure
        self._value: float | None = None
        if measure is not None and self._path.exists():
            try:
                value = held_out_of(read_state(self._path), self._path).get(measure.name)
                self._value = value if value is None or math.isfinite(value) else None
            except IntegrityError as error:
                listener.note(f"{error}; the next validation makes a new one")

    def offer(self, numbers: dict[str, float], state: Callable[[], dict[str, Any]]) -> bool:
        """Save if these numbers of a validation are the best so far.

        Args:
            numbers: of the validation.
            state: gives the state, as for any checkpoint.

        Returns:
            Whether it was saved.
        """
        if self._measure is None or self._measure.name not in numbers:
            return False
        value = numbers[self._measure.name]
        if value != value:
            return False
        if self._value is not None and not self._measure.is_better(value, self._value):
            return False
        self._path.parent.mkdir(parents=True, exist_ok=True)
        write_checkpoint(self._path, state() | {"held_out": dict(numbers)})
        self._value = value
        return True
