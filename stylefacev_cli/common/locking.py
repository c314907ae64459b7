"""Two runs at once, and runs that are killed: locks that go with a process, late renames."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from stylefacev_cli.errors import MissingWeightsError

_POLL_S = 0.1


@contextlib.contextmanager
def locked(path: Path, on_wait: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Hold a lock that other runs respect; it goes with the process, however that ends.

    Args:
        path: of the lock file, made if need be.
        on_wait: called once when another run holds the lock.

    Raises:
        MissingWeightsError: the lock file cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("ab")
    except OSError as error:
        raise MissingWeightsError(f"cannot write to {path.parent}: {error.strerror}") from error
    with file:
        if sys.platform != "win32":  # there, two runs at once may fetch a file twice
            import fcntl

            waits = False
            while True:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if not waits:
                        on_wait()
                    waits = True
                    time.sleep(_POLL_S)
        yield


def replace_synced(part: Path, path: Path) -> None:
    """Give a finished file its final name once all of it is on the disk."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with part.open("rb+") as file:
        os.fsync(file.fileno())
    os.replace(part, path)
