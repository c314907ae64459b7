"""Labels of a clip: the arrays of a .npz file, as numbers that fit its frames."""

from __future__ import annotations

import math
import struct
import tokenize
import zipfile
import zlib
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from stylefacev_cli.errors import DataError

PER_FRAME = (
    *("landmarks", "landmarks_68", "key_points", "scores", "visible", "expressions", "head_pose"),
    *("gaze", "camera", "light", "factors", "hair"),
)
_ROWS = {
    **{"landmarks": (98, 2), "landmarks_68": (68, 2), "key_points": (14, 2), "visible": (98,)},
    "head_pose": (3,),
}
_NUM_AXES = {"factors": 2, "hair": 3}
MAX_LABEL_BYTES = 2**28  # of the labels of a clip, unpacked
_NPZ_FAULTS = (
    *(OSError, ValueError, TypeError, KeyError, EOFError, MemoryError, OverflowError),
    *(zipfile.BadZipFile, zlib.error, struct.error, NotImplementedError, RuntimeError),
    *(SyntaxError, tokenize.TokenError, RecursionError, IndexError, AttributeError),
)
"""What numpy and zipfile raise at damaged archives of arrays."""


def read_labels(path: Path, num_frames: int) -> dict[str, NDArray[Any]]:
    """The arrays of a file of labels by name.

    Args:
        path: of the file.
        num_frames: of the clip.

    Raises:
        DataError: the file is missing or damaged, or does not fit the clip.
    """
    try:
        labels = _read_arrays(path)
    except _NPZ_FAULTS as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise DataError(f"{path}: cannot be read as labels ({reason})") from error
    for name in PER_FRAME:
        if name in labels:
            _check_rows(path, name, labels[name], num_frames)
    return labels


def _read_arrays(path: Path) -> dict[str, NDArray[Any]]:
    """The arrays of a .npz file; pickles are refused, and what unpacks to more than labels do."""
    if path.exists() and not path.is_file():
        raise OSError("not a regular file")
    # Opened here: numpy leaves the file open when it turns out to be no archive.
    with path.open("rb") as file:
        with zipfile.ZipFile(file) as archive:
            unpacked = sum(part.file_size for part in archive.infolist())
        if unpacked > MAX_LABEL_BYTES:
            raise ValueError(f"it unpacks to {unpacked} bytes, {MAX_LABEL_BYTES} at most are read")
        _check_claims(file)
        file.seek(0)
        with np.load(file, allow_pickle=False) as stored:
            return {name: np.asarray(stored[name]) for name in stored.files}


def _check_claims(file: IO[bytes]) -> None:
    """Check that the arrays of a .npz file are as large as their headers say: numpy believes them.

    Raises:
        ValueError: one is not, or is of no known version.
    """
    readers = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }
    with zipfile.ZipFile(file) as archive:
        for part in archive.infolist():
            with archive.open(part) as data:
                shape, _, dtype = readers[np.lib.format.read_magic(data)](data)
                claimed = math.prod(shape) * dtype.itemsize
                if claimed != part.file_size - data.tell():
                    raise ValueError(f"{part.filename} claims {claimed} bytes, but has others")


def _check_rows(path: Path, name: str, rows: NDArray[Any], num_frames: int) -> None:
    """Check labels of frames: how many they are, their shape, and that they are numbers.

    Raises:
        DataError: they are others.
    """
    num_rows = len(rows) if rows.ndim else 0
    if num_rows != num_frames:
        raise DataError(
            f"{path}: {name} has {num_rows} rows for {num_frames} frames; make the set again"
        )
    shape = _ROWS.get(name, rows.shape[1:])
    has_axes = rows.ndim == _NUM_AXES.get(name, rows.ndim)
    if rows.dtype.kind not in "fiub" or rows.shape[1:] != shape or not has_axes:
        raise DataError(f"{path}: {name} has another shape or type; make the set again")
    if rows.dtype.kind == "f" and not np.isfinite(rows).all():
        raise DataError(f"{path}: {name} holds numbers that are not finite; make the set again")
