from __future__ import annotations

import os
import signal
from collections.abc import Callable

import pytest

from stylefacev_cli.common.workers import share_out
from stylefacev_cli.errors import DataError, StyleFaceVError


def start(offset: int) -> Callable[[str], int]:
    def work(task: str) -> int:
        if task == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if task == "wrong":
            raise DataError("the disk is full")
        if task == "odd":
            raise RuntimeError(lambda: "cannot be pickled")
        return int(task) + offset

    return work


def start_badly() -> Callable[[str], int]:
    raise DataError("no weights")


@pytest.mark.parametrize("num_workers", [1, 2])
def test_all_tasks_get_done(num_workers: int) -> None:
    tasks = [str(i) for i in range(7)]
    done = dict(share_out(start, (10,), tasks, num_workers))
    assert done == {task: int(task) + 10 for task in tasks}


def test_a_dead_worker_is_noticed_and_its_task_named() -> None:
    with pytest.raises(StyleFaceVError, match=r"the worker at kill ended by signal 9.*take that"):
        list(share_out(start, (0,), ["1", "kill", "2", "3"], 2))


def test_errors_come_back() -> None:
    with pytest.raises(DataError, match="the disk is full"):
        list(share_out(start, (0,), ["wrong", "1"], 2))
    with pytest.raises(StyleFaceVError, match="odd"):
        list(share_out(start, (0,), ["odd", "1"], 2))
    with pytest.raises(DataError, match="no weights"):
        list(share_out(start_badly, (), ["1", "2"], 2))
