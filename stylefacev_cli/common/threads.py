"""The number of CPU threads of torch, numba and our own kernels."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import TypeVar

import torch

Result = TypeVar("Result")


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


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Let torch compute with one thread inside.

    How the libraries behind torch split a sum depends on their number of threads, and so do the
    last digits of what they say.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def each_alone(work: Callable[[int], Result], count: int) -> list[Result]:
    """work(0) … work(count - 1), each by a single thread, on as many threads as are set.

    Each result is bit for bit the same, whatever the number of threads and of results: sums are
    made in one order. Whole results a thread also waste less than threads that share each one.
    """
    workers = min(num_threads(), count)
    if workers <= 1:
        with one_thread():
            return [work(index) for index in range(count)]
    inference, gradients = torch.is_inference_mode_enabled(), torch.is_grad_enabled()

    def do(index: int) -> Result:  # modes are those of a thread
        with torch.inference_mode(inference), torch.set_grad_enabled(gradients):
            return work(index)

    with one_thread():
        return list(_single_threads(workers, os.getpid()).map(do, range(count)))


def samples_alone(network: Callable[..., torch.Tensor], *inputs: torch.Tensor) -> torch.Tensor:
    """What a network makes of inputs [N, …], or [1, …] for all: on a CPU each sample alone.

    Its last bits then depend on nothing beside it, see `each_alone`; other devices get the batch.
    """
    if any(x.device.type != "cpu" for x in inputs):
        return network(*inputs)

    def made(i: int) -> torch.Tensor:  # copies: sums may depend on where in memory they begin
        return network(*(x if len(x) == 1 else x[i : i + 1].clone() for x in inputs))

    return torch.cat(each_alone(made, max(map(len, inputs))))


@cache
def _single_threads(workers: int, process: int) -> ThreadPoolExecutor:
    """A pool of this process, in whose threads torch uses no further ones."""
    started = threading.Barrier(workers + 1)

    def start() -> None:
        torch.set_num_threads(1)
        torch.get_num_threads()  # has the thread take it up now, not with its first operation
        started.wait()

    pool = ThreadPoolExecutor(workers, "stylefacev-alone", initializer=start)
    for _ in range(workers):
        pool.submit(lambda: None)
    started.wait()
    return pool
