"""Files that bear their final name only when they are complete."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from stylefacev_cli.errors import StyleFaceVError

_PART = ".part"


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
    part = target.with_name(f".{target.name}.{os.getpid()}{_PART}")
    with writing(target):
        _remove_orphans(target)
    try:
        yield part
        with writing(target):
            _move(part, target)
    finally:
        remove(part)


@contextlib.contextmanager
def writing(target: Path) -> Iterator[None]:
    """Turn an `OSError` of the block into one line that says which output failed and what to do."""
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
    with replacing(target) as part, writing(target):
        part.write_bytes(content)


def final_name(part: Path) -> Path:
    """The path that a temporary one of `replacing` stands for; any other path as it is."""
    match = re.fullmatch(r"\.(.+)\.[0-9]+" + re.escape(_PART), part.name)
    return part.with_name(match[1]) if match else part


def remove(path: Path) -> None:
    """Remove a file or a folder of ours if it is there; never complain."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with contextlib.suppress(OSError):
            path.unlink()


def _move(part: Path, target: Path) -> None:
    """Rename; a folder first makes way for its successor, which `os.replace` cannot do."""
    if not (part.is_dir() and target.is_dir()):
        os.replace(part, target)
        return
    old = target.with_name(f".{target.name}.{os.getpid()}.old{_PART}")
    os.replace(target, old)
    os.replace(part, target)
    remove(old)


def _remove_orphans(target: Path) -> None:
    """Remove what a killed process left of the same target, unless that process still lives."""
    prefix = f".{target.name}."
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
