"""Untrusted `.npy` files of real numbers: sizes, type and shape are checked, no pickles."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from stylefacev_cli.common.untrusted.npz_file import array_of_bytes
from stylefacev_cli.errors import IntegrityError, MissingWeightsError


def read_numbers(path: Path, num_axes: int, max_bytes: int) -> npt.NDArray[np.float32]:
    """The real numbers of an `.npy` file, finite.

    Args:
        path: the file.
        num_axes: that the array has.
        max_bytes: of the file.

    Raises:
        MissingWeightsError: there is no such file.
        IntegrityError: it is damaged, holds something else, or is larger.
    """
    try:
        with path.open("rb") as file:
            data = file.read(max_bytes + 1)
    except OSError as error:
        raise MissingWeightsError(f"cannot read {path}: {error.strerror}") from error
    if len(data) > max_bytes:
        raise IntegrityError(f"{path} is larger than any file of its kind: refused")
    numbers = array_of_bytes(data, path.stem, path)
    if numbers.dtype.kind != "f" or numbers.ndim != num_axes or not numbers.size:
        raise IntegrityError(
            f"{path} holds {numbers.dtype} {list(numbers.shape)}, "
            f"not {num_axes} axes of real numbers"
        )
    with np.errstate(over="ignore"):
        single = numbers.astype(np.float32)
    if not np.isfinite(single).all():
        raise IntegrityError(f"{path} holds numbers that are not finite")
    return single
