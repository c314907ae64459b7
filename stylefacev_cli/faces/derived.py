"""Arrays derived from the assets, kept beside them in files that are named by content.

    mesh-59daeef3c34d5d35.npz     KIND-KEY.npz; the key is a hash of all that the arrays depend on

So a file is never stale, and checkouts with other sources, which share the folder, have files of
their own. Of each kind the few most recently used are kept, and all that were used within a day.
"""

from __future__ import annotations

import contextlib
import os
import time
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stylefacev_cli.common.files import atomic_path
from stylefacev_cli.common.untrusted.npz_file import read_npz
from stylefacev_cli.errors import IntegrityError, StyleFaceVError, StyleFaceVWarning
from stylefacev_cli.faces.assets import assets_folder

NUM_KEPT = 4
KEPT_S = 24 * 3600.0
_MAX_BYTES = 2**31  # of the arrays of a kind; the largest has 0.2 GB

Arrays = dict[str, NDArray[Any]]


def has_derived(kind: str, key: str) -> bool:
    """Tell whether arrays are kept."""
    return _path_of(kind, key).is_file()


def read_derived(kind: str, key: str) -> Arrays | None:
    """The arrays kept under a kind and key, by name; None where there are none, or damaged ones.

    Of the latter a `StyleFaceVWarning` tells.
    """
    path = _path_of(kind, key)
    with contextlib.suppress(OSError):  # not there, or a folder that is shared read-only
        os.utime(path)  # its time of change says when it was last used
    if not path.is_file():
        return None
    try:
        return read_npz(path, _MAX_BYTES)
    except IntegrityError as error:
        warnings.warn(f"{error}; it is made anew", StyleFaceVWarning, stacklevel=2)
        return None


def write_derived(kind: str, key: str, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Keep arrays, and delete those of the same kind that have long not been used.

    Raises:
        StyleFaceVError: the file cannot be written.
    """
    path = _path_of(kind, key)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_path(path, synced=True) as part, part.open("wb") as file:
            np.savez(file, **arrays)  # type: ignore[arg-type]
    except OSError as error:
        raise StyleFaceVError(f"cannot write {path}: {error.strerror}") from error
    _prune(path.parent, kind)


def _prune(folder: Path, kind: str) -> None:
    long_ago_s = time.time() - KEPT_S
    files = sorted(folder.glob(f"{kind}-*.npz"), key=_used_s, reverse=True)
    parts = list(folder.glob(f".{kind}-*.part"))  # of processes that were killed
    for path in files[NUM_KEPT:] + parts:
        if _used_s(path) < long_ago_s:
            with contextlib.suppress(OSError):
                path.unlink()


def _used_s(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:  # another process was faster
        return 0.0


def _path_of(kind: str, key: str) -> Path:
    return assets_folder() / f"{kind}-{key}.npz"
