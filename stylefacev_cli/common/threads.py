"""The number of CPU threads of torch, numba and our own kernels."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache

import torch


def set_num_threads(num_threads: int) -> None:
    """Let torch, numba and the fused kernels use `num_threads` CPU threads each, one at a time.

    Args:
        num_threads: At least 1; more than the machine's cores never pays.

    Raises:
        ValueError: If num_threads is below 1.
    """
    if num_threads < 1:
        raise ValueError(f"num_threads must be at least 1, not {num_threads}")
    import numba  # takes half a second, which commands that draw nothing need not wait for

    # Numba first: when it starts its own threads it gives OpenMP, torch's too, all cores.
    numba.set_num_threads(min(num_threads, numba.get_num_threads()))
    torch.set_num_threads(num_threads)


def num_threads() -> int:
    """Return the number of CPU threads in use: that of torch."""
    return torch.get_num_threads()


@cache
def _pool(workers: int, process: int) -> ThreadPoolExecutor:
    """A pool of this process: a forked child has none of its parent's threads."""
    return ThreadPoolExecutor(workers, thread_name_prefix="stylefacev-kernel")


def share_out(work: Callable[[int, int], None], count: int) -> None:
    """Call work(first, last) on ranges that cover 0 ... count, on as many threads as are set.

    The work must release the GIL. More ranges than threads are made, so that a thread that the
    system holds up does not hold up the others.
    """
    workers = min(num_threads(), count)
    if workers <= 1:
        work(0, count)
        return
    ranges = min(count, 4 * workers)
    edges = [count * i // ranges for i in range(ranges + 1)]
    pool = _pool(workers, os.getpid())
    parts = [pool.submit(work, a, b) for a, b in zip(edges, edges[1:], strict=False)]
    for part in parts:
        part.result()
