"""Several processes at one task: `torchrun --nproc-per-node N -m stylefacev_cli eval …` or `train`.

Each takes its share of the items; all get all results; the first one prints and writes them.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

Value = TypeVar("Value")

WAIT = timedelta(hours=6)  # for the first process, while it saves, measures or extracts poses


@dataclass(frozen=True)
class Processes:
    """Rank of this process and number of processes."""

    rank: int = 0
    count: int = 1

    @property
    def is_first(self) -> bool:
        """Whether this process has rank 0, which prints and writes the results."""
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
        """The value of the process of rank 0."""
        return self.exchange(value)[0]


def own_gpu() -> int:
    """Index of the GPU of this process: its rank among those of this machine."""
    return int(os.environ.get("LOCAL_RANK", "0"))


def num_started() -> int:
    """Number of processes that torchrun has started; 1 without it."""
    return int(os.environ.get("WORLD_SIZE", "1"))


@contextmanager
def joined_processes(backend: str = "gloo") -> Iterator[Processes]:
    """Join the processes that torchrun has started with this one; alone without torchrun.

    `backend` is how they talk: `gloo` on CPUs, `cpu:gloo,cuda:nccl` where tensors are on GPUs too.
    """
    count = num_started()
    if count == 1:
        yield Processes()
        return
    import torch.distributed as dist

    dist.init_process_group(backend, timeout=WAIT)
    try:
        yield Processes(dist.get_rank(), count)
    finally:
        dist.destroy_process_group()
