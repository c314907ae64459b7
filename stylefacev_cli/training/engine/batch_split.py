"""Which process trains on which part of a batch, and the parts one after the other.

The batch of a config is that of all processes and parts together. Every process draws all of it
from the same seeds, then works on its splits; so the numbers are those of one process, samplers
stand at the same place everywhere, and a run can go on with another number of processes.

Statistics of the batch (batch normalisation, the mean that a relativistic loss compares with, the
weights that a weighted mean is divided by) are those of all processes, but of one part at a time:
with more parts they are of fewer samples, and results differ by more than rounding.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from stylefacev_cli.common.distributed import num_processes, process_index
from stylefacev_cli.errors import UsageError


@dataclass(frozen=True)
class BatchSplit:
    """One of `count` equal shares of a batch: samples i, i + count and so on, i its index."""

    index: int = 0
    count: int = 1

    def of(self, *groups: np.ndarray) -> np.ndarray:
        """The samples of this share, as many of each group as every other share has, sorted."""
        return np.sort(np.concatenate([group[self.index :: self.count] for group in groups]))


class Divided(Protocol):
    """What the settings of a stage say of its batches."""

    @property
    def accumulate(self) -> int: ...  # noqa: D102 - named as the setting is
    @property
    def must_split(self) -> dict[str, int]:
        """Numbers of samples that must split evenly, by their names in the config."""


def own_splits(stage: str, config: Divided) -> tuple[BatchSplit, ...]:
    """The shares that this process works on, one after the other.

    Args:
        stage: its name, for the message.
        config: its settings.

    Raises:
        UsageError: one of them does not split.
    """
    accumulate = config.accumulate
    if accumulate < 1:
        raise UsageError(f"{stage}.accumulate is at least 1")
    processes = num_processes()
    count = processes * accumulate
    for name, size in config.must_split.items():
        if size % count:
            raise UsageError(
                f"{stage}: {name} {size} does not split evenly over {processes} processes × "
                f"{accumulate} parts: choose a multiple of {count}"
            )
    first = process_index()
    return tuple(BatchSplit(first + processes * part, count) for part in range(accumulate))
