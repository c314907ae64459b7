"""Work shared out to processes: a dead worker is noticed, and the file that it was at is named."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.connection import Connection, wait
from typing import Any, Generic, TypeVar

from stylefacev_cli.errors import StyleFaceVError

Task = TypeVar("Task")
Result = TypeVar("Result")


def map_in_processes(
    start: Callable[..., Callable[[Task], Result]],
    arguments: tuple[Any, ...],
    tasks: Sequence[Task],
    num_workers: int,
) -> Iterator[tuple[Task, Result]]:
    """Do tasks in processes, each of which has one task at a time.

    With one worker everything happens in this process.

    Args:
        start: makes the function that does a task; called once in each process, so that what is
            slow to load is loaded once.
        arguments: of `start`.
        tasks: what to do; `str(task)` names one in messages.
        num_workers: how many processes.

    Yields:
        Each task with its result, as they get done.

    Raises:
        StyleFaceVError: a worker died.
        Exception: what `start` or a task raised.
    """
    if num_workers == 1:
        work = start(*arguments)
        for task in tasks:
            yield task, work(task)
        return
    waiting = iter(tasks)
    workers = [_Worker(start, arguments) for _ in range(min(num_workers, len(tasks)))]
    try:
        busy = {worker.connection: worker for worker in workers if worker.take(waiting)}
        while busy:
            for ready in wait([*busy]):
                assert isinstance(ready, Connection)
                worker = busy[ready]
                task, result = worker.task, worker.result()
                if not worker.take(waiting):
                    del busy[ready]
                yield task, result
    finally:
        for worker in workers:
            worker.end()


class _Worker(Generic[Task, Result]):
    """One process, and this side's end of the pipe to it."""

    def __init__(
        self, start: Callable[..., Callable[[Task], Result]], arguments: tuple[Any, ...]
    ) -> None:
        # Spawned, not forked: threads and locks of torch do not survive a fork.
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        self.process = context.Process(target=_serve, args=(theirs, start, arguments), daemon=True)
        self.process.start()
        theirs.close()  # so that the pipe ends with the process
        self.task: Task

    def take(self, tasks: Iterator[Task]) -> bool:
        """Begin the next task, if there is one."""
        for task in tasks:
            self.task = task
            try:
                self.connection.send(task)
            except OSError as error:
                raise self._died() from error
            return True
        return False

    def result(self) -> Result:
        try:
            is_done, result = self.connection.recv()
        except (EOFError, OSError) as error:
            raise self._died() from error
        if not is_done:
            raise result
        done: Result = result
        return done

    def end(self) -> None:
        self.connection.close()
        self.process.terminate()
        self.process.join()

    def _died(self) -> StyleFaceVError:
        self.process.join(1)
        code = self.process.exitcode
        how = f"by signal {-code}" if code is not None and code < 0 else f"with code {code}"
        return StyleFaceVError(
            f"the worker at {self.task} ended {how}, perhaps for want of memory: run the same "
            "command again with fewer --workers; if it ends there again, take that file away"
        )


def _serve(
    connection: Connection,
    start: Callable[..., Callable[[Task], Result]],
    arguments: tuple[Any, ...],
) -> None:
    """Do one task after the other until the other side has gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    threading.Thread(target=_end_with_parent, daemon=True).start()
    work: Callable[[Task], Result] | None = None
    while True:
        try:
            task = connection.recv()
        except (EOFError, OSError):
            return
        answer: tuple[bool, Any]
        try:
            work = work or start(*arguments)
            answer = True, work(task)
        except Exception as error:  # handed on to the parent, which raises it
            answer = False, error
        try:
            connection.send(answer)
        except OSError:
            return
        except Exception:  # an error that cannot be pickled: its text can
            connection.send((False, StyleFaceVError(f"{task}: {answer[1]}")))


def _end_with_parent() -> None:
    """A parent that is killed must not leave workers behind that write beside the next run's."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    wait([parent.sentinel])
    os._exit(1)
