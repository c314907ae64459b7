"""Several processes at one measurement: `torchrun --nproc-per-node N -m stylefacev_cli eval …`.

Each takes its share of the items; all of them know all results; the first one tells them.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

Value = TypeVar("Value")


@dataclass(frozen=True)
class Processes:
    """Which of how many processes this one is."""

    rank: int = 0
    count: int = 1

    @property
    def is_first(self) -> bool:
        """Whether this process tells the results."""
        return self.rank == 0

    def exchange(self, value: Value) -> list[Value]:
        """The values of all processes, in their order; each gives one and gets all."""
        if self.count == 1:
            return [value]
        import torch.distributed as dist

        values: list[Value] = [value] * self.count
        dist.all_gather_object(values, value)
        return values

    def of_first(self, value: Value) -> Value:
        """What the first process has."""
        return self.exchange(value)[0]


@contextmanager
def joined_processes() -> Iterator[Processes]:
    """Join the processes that torchrun has started with this one; alone without torchrun."""
    count = int(os.environ.get("WORLD_SIZE", "1"))
    if count == 1:
        yield Processes()
        return
    import torch.distributed as dist

    dist.init_process_group("gloo")
    try:
        yield Processes(dist.get_rank(), count)
    finally:
        dist.destroy_process_group()
