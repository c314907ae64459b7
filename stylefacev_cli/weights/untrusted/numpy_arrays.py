"""Untrusted `.npy` files: type and shape first, numbers after they were checked, no pickles."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import numpy.typing as npt

from stylefacev_cli.errors import IntegrityError, MissingWeightsError

_MAX_HEADER_BYTES = 4096


def read_numbers(path: Path, num_axes: int, max_numbers: int) -> npt.NDArray[np.float32]:
    """The real numbers of an `.npy` file, finite.

    Args:
        path: the file.
        num_axes: that the array has.
        max_numbers: in it.

    Raises:
        MissingWeightsError: there is no such file.
        IntegrityError: it is damaged, holds something else, or is larger.
    """
    try:
        with path.open("rb") as file:
            version = np.lib.format.read_magic(file)
            if version not in ((1, 0), (2, 0)):
                raise ValueError(f"version {version} of the format")
            reader = {
                1: np.lib.format.read_array_header_1_0,
                2: np.lib.format.read_array_header_2_0,
            }[version[0]]
            shape, in_columns, dtype = reader(file, max_header_size=_MAX_HEADER_BYTES)
            if dtype.kind != "f" or len(shape) != num_axes:
                raise ValueError(f"{dtype} {list(shape)}, not {num_axes} axes of real numbers")
            count = math.prod(shape)
            if not 0 < count <= max_numbers or min(shape) < 1:
                raise ValueError(f"{list(shape)} numbers")
            data = file.read(count * dtype.itemsize + 1)
    except FileNotFoundError as error:
        raise MissingWeightsError(f"no such file: {path}") from error
    except OSError as error:
        raise MissingWeightsError(f"cannot read {path}: {error.strerror}") from error
    except (ValueError, TypeError, SyntaxError) as error:
        reason = " ".join(str(error).split())[:120]
        raise IntegrityError(
            f"{path} is no .npy file that was expected ({reason}); fetch it again"
        ) from error
    if len(data) != count * dtype.itemsize:
        raise IntegrityError(f"{path} is damaged: it does not hold {count} numbers; fetch it again")
    numbers = np.frombuffer(data, dtype).reshape(shape, order="F" if in_columns else "C")
    single = numbers.astype(np.float32)
    if not np.isfinite(single).all():
        raise IntegrityError(f"{path} holds numbers that are not finite")
    return single
