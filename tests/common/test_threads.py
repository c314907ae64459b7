"""Work shared out to threads: each piece by one, in order, whatever their number."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import pytest
import torch

from stylefacev_cli.common.threads import each_alone, one_thread, samples_alone, set_num_threads


@pytest.fixture(autouse=True)
def two_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def test_one_thread_inside_and_as_many_as_before_behind() -> None:
    with pytest.raises(KeyError), one_thread():
        assert torch.get_num_threads() == 1
        raise KeyError
    assert torch.get_num_threads() == 2


@pytest.mark.parametrize("count", [0, 1, 2, 7])
def test_each_alone_keeps_the_order(count: int) -> None:
    def work(index: int) -> tuple[int, int]:
        return index, torch.get_num_threads()

    assert each_alone(work, count) == [(index, 1) for index in range(count)]
    assert torch.get_num_threads() == 2


def test_each_alone_works_at_once_and_in_the_modes_of_the_caller() -> None:
    meeting = threading.Barrier(2, timeout=20)

    def work(index: int) -> bool:
        meeting.wait()  # passes when two are at it
        return torch.is_inference_mode_enabled()

    with torch.inference_mode():
        assert each_alone(work, 4) == [True] * 4
    assert each_alone(work, 2) == [False] * 2
    with torch.no_grad():
        assert each_alone(lambda _: torch.is_grad_enabled(), 2) == [False] * 2


def test_each_alone_nests_and_passes_errors_on() -> None:
    assert each_alone(lambda i: each_alone(lambda j: (i, j), 2), 2) == [
        [(0, 0), (0, 1)], [(1, 0), (1, 1)],
    ]  # fmt: skip

    def fail(index: int) -> None:
        time.sleep(0.01)
        raise ValueError(index)

    with pytest.raises(ValueError, match="0"):
        each_alone(fail, 3)
    assert torch.get_num_threads() == 2


def test_samples_are_computed_one_by_one() -> None:
    seen = []

    def network(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        seen.append((len(x), len(y), x.data_ptr() % 64))
        return x + y

    x, y = torch.arange(6.0).view(3, 2), torch.ones(1, 2)
    assert torch.equal(samples_alone(network, x, y), x + y)
    assert seen == [(1, 1, 0)] * 3  # copies, which begin at a cache line
    meta = torch.zeros(3, 2, device="meta")
    assert samples_alone(network, meta, meta).shape == (3, 2) and seen[-1][:2] == (3, 3)


# In a process of its own: only the first call of a process starts numba's threads.
CODE = """
import torch
from stylefacev_cli.common.threads import num_threads, set_num_threads
torch.get_num_threads()  # torch starts its threads
set_num_threads(1)
print(num_threads(), torch.get_num_threads())
"""


def test_the_first_call_holds_for_torch_too() -> None:
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["1", "1"]


def test_at_least_one() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        set_num_threads(0)
