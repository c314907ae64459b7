"""Names of outputs, claimed before the work, so that no two runs make the same file.

    videos/.stylefacev.claims      a byte of it is locked for each name that a run is to write

The system releases the locks of a process however it ends, and file servers know of them, too. The
file is empty, and goes with the last claim. Where there are no locks, there are no claims.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from stylefacev_cli.common.files import writing
from stylefacev_cli.errors import StyleFaceVError, UsageError

if TYPE_CHECKING:
    from stylefacev_cli.generation.spec import Plan

CLAIMS_NAME = ".stylefacev.claims"
_TRIES, _WAIT_S = 5, 0.02  # while another run, which is ending, looks whether it was the last


@dataclass
class _Folder:
    """The claims of this process in one folder."""

    file: int | None  # descriptor; None: this folder has no locks
    names: set[str] = field(default_factory=set)


_folders: dict[str, _Folder] = {}
_mutex = threading.Lock()


@contextlib.contextmanager
def claimed(
    outputs: Sequence[Sequence[Path]], *, force: bool, skip_existing: bool | None = None
) -> Iterator[list[bool]]:
    """Hold the names of outputs while the block runs; no other run begins to write them.

    Folders are made if need be; those that are empty at the end are removed again.

    Args:
        outputs: the files, or folders of frames, of each.
        force: what is there is to be overwritten.
        skip_existing: leave out what is there, or is claimed; None: there is no such option.

    Yields:
        For each output, whether it is to be made.

    Raises:
        StyleFaceVError: another run is writing one of them, or a folder cannot be written.
        UsageError: one has appeared since it was planned.
    """
    with contextlib.ExitStack() as stack:
        yield [_claim(paths, force, skip_existing, stack) for paths in outputs]


@contextlib.contextmanager
def claimed_videos(plan: Plan) -> Iterator[Plan]:
    """The plan with the videos that no other run is making (see `claimed`); others are skipped."""
    outputs = [spec.paths for spec in plan.specs]
    with claimed(outputs, force=plan.force, skip_existing=plan.skip_existing) as ours:
        specs = tuple(spec for spec, own in zip(plan.specs, ours, strict=True) if own)
        taken = [str(spec.path) for spec, own in zip(plan.specs, ours, strict=True) if not own]
        yield replace(plan, specs=specs, skipped=(*plan.skipped, *taken))


def _claim(
    paths: Sequence[Path], force: bool, skip_existing: bool | None, stack: contextlib.ExitStack
) -> bool:
    with contextlib.ExitStack() as of_this_output:
        for path in paths:
            with writing(path):
                for folder in _missing_folders(path.parent):
                    with contextlib.suppress(FileExistsError):  # another run was faster
                        folder.mkdir()
                        stack.callback(_remove_if_empty, folder)
            if not _take(path):
                if skip_existing:
                    return False
                way = "" if skip_existing is None else ", or add --skip-existing"
                raise StyleFaceVError(
                    f"another run is writing {path}: wait for it{way}, or choose another --out"
                )
            of_this_output.callback(_release, path)
            if os.path.lexists(path) and not force:  # since it was planned
                if skip_existing:
                    return False
                raise UsageError(f"{path} would be overwritten; add --force")
        stack.push(of_this_output.pop_all())
    return True


def _missing_folders(folder: Path) -> list[Path]:
    """The folders to make, the outermost first."""
    missing: list[Path] = []
    while not os.path.lexists(folder) and folder != folder.parent:
        missing.insert(0, folder)
        folder = folder.parent
    return missing


def _remove_if_empty(folder: Path) -> None:
    with contextlib.suppress(OSError):
        folder.rmdir()


def _take(path: Path) -> bool:
    """Claim a name; False if another run, or another thread of this one, holds it."""
    key = os.path.realpath(path.parent)
    with _mutex:
        for _ in range(_TRIES):
            folder = _folders.get(key) or _folders.setdefault(key, _Folder(_open(key)))
            if path.name in folder.names:
                return False
            if _is_locked_by_us(folder, path.name, key):
                folder.names.add(path.name)
                return True
            if not folder.names:
                _forget(key, folder)
            time.sleep(_WAIT_S)
    return False


def _is_locked_by_us(folder: _Folder, name: str, key: str) -> bool:
    if folder.file is None:
        return True
    try:
        is_ours = _lock(folder.file, name)
    except OSError:
        _forget(key, folder)
        _folders[key] = folder
        folder.file = None
        return True
    # Who was the last to claim has deleted the file, perhaps between our opening and locking.
    return is_ours and (bool(folder.names) or _is_in_place(folder.file, key))


def _release(path: Path) -> None:
    key = os.path.realpath(path.parent)
    with _mutex:
        folder = _folders[key]
        folder.names.discard(path.name)
        if folder.names:
            _unlock(folder.file, path.name)
        else:
            _forget(key, folder)


def _forget(key: str, folder: _Folder) -> None:
    """Close the file of claims, and delete it if nobody else has any."""
    del _folders[key]
    if folder.file is None:
        return
    with contextlib.suppress(OSError):
        if _is_last(folder.file) and _is_in_place(folder.file, key):
            os.unlink(os.path.join(key, CLAIMS_NAME))
    os.close(folder.file)


def _is_last(file: int) -> bool:
    try:
        return _lock(file, None)
    except OSError:  # without locks nobody needs the file
        return True


def _is_in_place(file: int, key: str) -> bool:
    """Whether the file of claims is still the one that others open."""
    try:
        return os.path.samestat(os.fstat(file), os.lstat(os.path.join(key, CLAIMS_NAME)))
    except OSError:
        return False


def _open(key: str) -> int | None:
    """Open the file of claims; None where that cannot be, as in a folder of somebody else's."""
    if sys.platform == "win32":
        return None
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK
    try:
        file = os.open(os.path.join(key, CLAIMS_NAME), flags, 0o666)
    except OSError:
        return None
    if stat.S_ISREG(os.fstat(file).st_mode):
        return file
    os.close(file)
    return None


def _lock(file: int, name: str | None) -> bool:
    """Lock the byte of a name, or the whole file; False if another process has locked there.

    Raises:
        OSError: the file system has no locks.
    """
    if sys.platform == "win32":
        return True
    import fcntl

    length, start = (0, 0) if name is None else (1, _place(name))
    try:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, length, start)
    except (BlockingIOError, PermissionError):
        return False
    return True


def _unlock(file: int | None, name: str) -> None:
    if sys.platform == "win32" or file is None:
        return
    import fcntl

    with contextlib.suppress(OSError):
        fcntl.lockf(file, fcntl.LOCK_UN, 1, _place(name))


def _place(name: str) -> int:
    """The byte that stands for a name, the same in every run."""
    return int.from_bytes(hashlib.sha256(os.fsencode(name)).digest()[:8], "big") >> 2
