"""Atomic writes – a file bears its final name only when it is complete – and locks between runs."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import IO, Any

from stylefacev_cli.errors import MissingWeightsError, StyleFaceVError

LOCK_NAME = ".lock"  # of a folder that runs go on with
_PART = ".part"
_POLL_S = 0.1  # between two looks at a lock that another run holds


@contextlib.contextmanager
def replacing(target: Path) -> Iterator[Path]:
    """Give a temporary path beside `target`; rename it to `target` when the block ends well.

    On any exception (Ctrl-C and SIGTERM included) the temporary file or folder is removed and
    `target` stays as it was. A killed process can leave a hidden `.NAME.PID.part`; the next writer
    of the same target removes it.

    Args:
        target: the file, or the folder of frames, that is to appear.

    Yields:
        The path to write to.

    Raises:
        StyleFaceVError: the folder cannot be written or the rename failed.
    """
    with _replacing(target, synced=False, guard=lambda: writing(target)) as part:
        yield part


@contextlib.contextmanager
def atomic_path(target: Path, *, synced: bool = False) -> Iterator[Path]:
    """As `replacing`, for callers with an error message of their own: `OSError` is left as it is.

    Args:
        target: the file, or the folder, that is to appear.
        synced: have all of a file on the disk before it gets its name; a power cut then leaves the
            old file or the new one.

    Yields:
        The path to write to.
    """
    with _replacing(target, synced=synced, guard=contextlib.nullcontext) as part:
        yield part


@contextlib.contextmanager
def _replacing(
    target: Path, *, synced: bool, guard: Callable[[], AbstractContextManager[None]]
) -> Iterator[Path]:
    part = _part_of(target)
    with guard():
        _remove_orphans(target)
        if os.path.lexists(part):  # perhaps a link that somebody planted: never written through
            remove(part)
    try:
        yield part
        with guard():
            if synced:
                sync_file(part)
            _move(part, target)
    finally:
        remove(part)


def move_synced(part: Path, target: Path) -> None:
    """Give a finished file, such as a download, its final name once all of it is on the disk.

    Raises:
        OSError: it cannot be written.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    sync_file(part)
    _move(part, target)


def sync_file(path: Path) -> None:
    """Have the content of a file on the disk."""
    with path.open("rb+") as file:
        os.fsync(file.fileno())


@contextlib.contextmanager
def writing(target: Path) -> Iterator[None]:
    """Turn an `OSError` of the block into an error that names the output and what to do."""
    try:
        yield
    except OSError as error:
        raise StyleFaceVError(
            f"cannot write {final_name(target)}: {error.strerror or error}{_advice(error.errno)}"
        ) from error


def write_json(target: Path, content: Mapping[str, Any]) -> None:
    """Write a JSON file through a temporary one.

    Raises:
        StyleFaceVError: the file cannot be written.
    """
    text = json.dumps(content, indent=2, ensure_ascii=False) + "\n"
    write_file(target, text.encode())


def write_file(target: Path, content: bytes) -> None:
    """Write a file through a temporary one, into a folder that is there.

    Raises:
        StyleFaceVError: the file cannot be written.
    """
    with writing(target):
        write_atomic(target, content)


def write_atomic(target: Path, content: bytes, *, synced: bool = False) -> None:
    """As `write_file`, for callers with an error message of their own; see `atomic_path`.

    Raises:
        OSError: the file cannot be written.
    """
    with atomic_path(target, synced=synced) as part:
        part.write_bytes(content)


def final_name(part: Path) -> Path:
    """The path that a temporary one of `replacing` stands for; any other path as it is."""
    match = re.fullmatch(r"\.(.+?)\.[0-9]+(?:\.again)?" + re.escape(_PART), part.name)
    return part.with_name(match[1]) if match else part


def remove(path: Path) -> None:
    """Remove a file or a folder of ours if it is there; errors are ignored."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with contextlib.suppress(OSError):
            path.unlink()


@contextlib.contextmanager
def locked(path: Path, on_wait: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Hold an exclusive lock between processes; it is released however the process ends.

    Args:
        path: of the lock file, made if need be.
        on_wait: called once when another run holds the lock.

    Raises:
        MissingWeightsError: the lock file cannot be written.
    """
    try:
        file = _lock_file(path)
    except OSError as error:
        raise MissingWeightsError(f"cannot write to {path.parent}: {error.strerror}") from error
    with file:
        _lock(file, on_wait)
        yield


@contextlib.contextmanager
def only_run(folder: Path, doing: str) -> Iterator[None]:
    """Keep two runs from going on with one folder at a time: the second is refused.

    Args:
        folder: made if need be; it keeps a file `.lock`.
        doing: what runs do there, for the message, such as `training in`.

    Raises:
        StyleFaceVError: another run is at it.
        OSError: the folder cannot be written.
    """

    def refuse() -> None:
        raise StyleFaceVError(f"another run is {doing} {folder}: wait or stop it")

    with _lock_file(folder / LOCK_NAME) as file:
        _lock(file, refuse)
        yield


def holds_nothing(folder: Path) -> bool:
    """Whether a folder is empty but for the lock of `only_run`, which a run may just have made."""
    return all(path.name == LOCK_NAME for path in folder.iterdir())


def _lock_file(path: Path) -> IO[bytes]:
    path.parent.mkdir(parents=True, exist_ok=True)
    return path.open("ab")


def _lock(file: IO[bytes], on_wait: Callable[[], None]) -> None:
    """Lock a file until it is closed; `on_wait` is called once when another run holds it."""
    if sys.platform == "win32":  # there, two runs at once may do the same work
        return
    import fcntl

    waits = False
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if not waits:
                on_wait()
            waits = True
            time.sleep(_POLL_S)


def _part_of(target: Path) -> Path:
    """The temporary path of a target; of a temporary one, a second for the same final name."""
    final = final_name(target)
    again = "" if final == target else ".again"
    return target.with_name(f".{final.name}.{os.getpid()}{again}{_PART}")


def _move(part: Path, target: Path) -> None:
    """Rename a file or folder over the target; a folder there is moved away first."""
    if not (part.is_dir() and target.is_dir()):
        os.replace(part, target)
        return
    old = target.with_name(f".{target.name}.{os.getpid()}.old{_PART}")
    os.replace(target, old)
    os.replace(part, target)
    remove(old)


def _remove_orphans(target: Path) -> None:
    """Remove what a killed process left of the same target, unless that process still lives."""
    prefix = f".{final_name(target).name}."
    for path in target.parent.iterdir():
        if path.name.startswith(prefix) and path.name.endswith(_PART):
            pid = path.name[len(prefix) :].split(".")[0]
            if pid.isdecimal() and int(pid) != os.getpid() and not _alive(int(pid)):
                remove(path)


def _alive(pid: int) -> bool:
    if os.name == "nt":  # os.kill would end the process there
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True


def _advice(code: int | None) -> str:
    """Say what to do about the usual failures."""
    if code in (errno.ENOSPC, errno.EDQUOT):
        return "; free some space or choose another --out"
    if code in (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.ENOENT):
        return "; choose another --out"
    return ""
