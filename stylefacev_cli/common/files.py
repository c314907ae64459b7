"""Atomic writes – a file bears its final name only when it is complete – and locks between runs.

    .NAME.MACHINE-PID-START-RANDOM.part      what is being written, and by which process

Nobody can plant a link at a name that nobody can guess, and the first write into a folder removes
what processes left there that are gone.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import hashlib
import json
import os
import platform
import re
import secrets
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import IO, Any

from stylefacev_cli.errors import MissingWeightsError, StyleFaceVError

LOCK_NAME = ".lock"  # of a folder that runs go on with
_PART = re.compile(r"\.(.+)\.([0-9a-f]{6})-([0-9]{1,10})-([0-9]{1,20})-[0-9a-f]{12}\.part", re.S)
_FOREIGN_S = 24 * 3600.0  # after which the part of another machine counts as left behind
_NOFOLLOW = getattr(os, "O_NOFOLLOW", 0)
_POLL_S = 0.1  # between two looks at a lock that another run holds
_swept: set[tuple[int, int]] = set()  # folders that this process has looked through


@contextlib.contextmanager
def replacing(target: Path, *, is_folder: bool = False) -> Iterator[Path]:
    """Give a temporary path beside `target`; rename it to `target` when the block ends well.

    On any exception (Ctrl-C and SIGTERM included) the temporary file or folder is removed and
    `target` stays as it was. A killed process can leave a hidden `.part`; the next process that
    writes into the folder removes it.

    Args:
        target: the file, or the folder, that is to appear.
        is_folder: it is a folder.

    Yields:
        The path to write to: an empty file or folder.

    Raises:
        StyleFaceVError: the folder cannot be written or the rename failed.
    """
    guard = functools.partial(writing, target)
    with _replacing(target, is_folder=is_folder, synced=False, guard=guard) as part:
        yield part


@contextlib.contextmanager
def atomic_path(target: Path, *, synced: bool = False) -> Iterator[Path]:
    """As `replacing`, for callers with an error message of their own: `OSError` is left as it is.

    Args:
        target: the file that is to appear.
        synced: have all of a file on the disk before it gets its name; a power cut then leaves the
            old file or the new one.

    Yields:
        The path to write to.
    """
    guard = contextlib.nullcontext
    with _replacing(target, is_folder=False, synced=synced, guard=guard) as part:
        yield part


@contextlib.contextmanager
def _replacing(
    target: Path,
    *,
    is_folder: bool,
    synced: bool,
    guard: Callable[[], AbstractContextManager[None]],
) -> Iterator[Path]:
    part, is_ours = part_beside(target), True
    try:  # from here: a signal can come between making the part and the next line
        with guard():
            remove_orphans(target.parent)
            try:
                _make(part, is_folder)
            except FileExistsError:
                is_ours = False
                raise
        yield part
        with guard():
            if synced:
                sync_file(part)
            _move(part, target)
    finally:
        if is_ours:
            remove(part)


def _make(part: Path, is_folder: bool) -> None:
    """Make an empty file or folder; a file exclusively, so through no link."""
    if is_folder:
        part.mkdir()
    else:
        os.close(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _NOFOLLOW, 0o666))


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
    try:
        data = text.encode()
    except UnicodeEncodeError:  # of a name that is no UTF-8; escaped, Python reads it back
        data = (json.dumps(content, indent=2) + "\n").encode()
    write_file(target, data)


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
    """The path that a temporary one of `replacing` stands for; any other path as it is.

    An over-long name is cut short in it.
    """
    match = _PART.fullmatch(part.name)
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


def part_beside(target: Path) -> Path:
    """A new hidden path beside a target, that says which process writes it."""
    owner = f"{_machine()}-{os.getpid()}-{_start_of(os.getpid()) or 0}-{secrets.token_hex(6)}"
    room = name_max(target.parent) - len(f"..{owner}.part")
    name = os.fsencode(final_name(target).name)[:room].decode("utf-8", "ignore")
    return target.with_name(f".{name or '_'}.{owner}.part")


def name_max(folder: Path) -> int:
    """The bytes that a name in a folder may have."""
    try:
        return int(os.pathconf(folder, "PC_NAME_MAX"))
    except (AttributeError, OSError, ValueError):  # there is none yet, or no such question
        return 255


def remove_orphans(folder: Path) -> None:
    """Remove what processes that are gone were writing into a folder; once in each process.

    A part of another machine, which shares the folder, goes when it is a day old.

    Raises:
        OSError: there is no such folder.
    """
    about = folder.stat()
    if (about.st_dev, about.st_ino) in _swept:
        return
    _swept.add((about.st_dev, about.st_ino))
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            match = _PART.fullmatch(entry.name) if entry.name.endswith(".part") else None
            if match and _is_left(entry, match[2], int(match[3]), int(match[4])):
                remove(folder / entry.name)


def _is_left(entry: os.DirEntry[str], machine: str, pid: int, start: int) -> bool:
    """Whether the process that was writing a part is gone."""
    if machine != _machine():
        return time.time() - entry.stat(follow_symlinks=False).st_mtime > _FOREIGN_S
    if os.name == "nt":  # os.kill would end the process there
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except (PermissionError, OverflowError):
        pass
    now = _start_of(pid)  # another one may have the same number by now
    return start != 0 and now is not None and now != start


@functools.cache
def _machine() -> str:
    """Six digits for this machine, or the container, in which process numbers are unique."""
    space = ""
    with contextlib.suppress(OSError):
        space = os.readlink("/proc/self/ns/pid")
    return hashlib.sha256(f"{platform.node()} {space}".encode()).hexdigest()[:6]


def _start_of(pid: int) -> int | None:
    """When a process began, in ticks since the machine did; None where that cannot be known."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
        return int(stat.rpartition(b")")[2].split()[19])
    except (OSError, ValueError, IndexError):
        return None


def _move(part: Path, target: Path) -> None:
    """Rename a file or folder over the target; a folder there is moved away first."""
    if not (part.is_dir() and target.is_dir()):
        os.replace(part, target)
        return
    old = part_beside(target)
    os.replace(target, old)
    os.replace(part, target)
    remove(old)


def _advice(code: int | None) -> str:
    """Say what to do about the usual failures."""
    if code in (errno.ENOSPC, errno.EDQUOT):
        return "; free some space or choose another --out"
    if code in (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.ENOENT):
        return "; choose another --out"
    return ""
