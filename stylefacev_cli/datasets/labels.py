"""Labels of a clip: the arrays of a .npz file, as numbers that fit its frames."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stylefacev_cli.common.untrusted.npz_file import read_npz
from stylefacev_cli.errors import DataError, IntegrityError

PER_FRAME = (
    *("landmarks", "landmarks_68", "key_points", "scores", "visible", "expressions", "head_pose"),
    *("gaze", "camera", "light", "factors", "hair"),
)
_ROWS = {
    **{"landmarks": (98, 2), "landmarks_68": (68, 2), "key_points": (14, 2), "visible": (98,)},
    "head_pose": (3,),
}
_NUM_AXES = {"factors": 2, "hair": 3}


def read_labels(path: Path, num_frames: int) -> dict[str, NDArray[Any]]:
    """The arrays of a file of labels by name.

    Args:
        path: of the file.
        num_frames: of the clip.

    Raises:
        DataError: the file is missing or damaged, or does not fit the clip.
    """
    try:
        labels = read_npz(path)
    except IntegrityError as error:
        raise DataError(f"{path}: cannot be read as labels ({error})") from error
    for name in PER_FRAME:
        if name in labels:
            _check_rows(path, name, labels[name], num_frames)
    return labels


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
