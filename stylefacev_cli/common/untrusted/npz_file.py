"""A `.npz` of a stranger: the sizes of its arrays are compared with its bytes before any is made.

Read here and not by `numpy.load`, which makes an array as large as a header says: 3 MB became
3.6 GB.
"""

from __future__ import annotations

import ast
import math
import re
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stylefacev_cli.common.untrusted.archives import member_bytes, open_archive
from stylefacev_cli.errors import IntegrityError

MAX_NPZ_BYTES = 2**28  # of all arrays: the labels of a clip of a minute have some 10 MB
_MAX_ARRAYS = 256  # labels of a clip are some 15
_MAX_HEADER_BYTES = 4096  # numpy writes 118
_MAX_SIDES = 8
_MAGIC = b"\x93NUMPY"
_PLAIN = re.compile(r"[<>|=]?(?:[biu][1248]|f[248]|[SU][0-9]{1,5})|[|]?b1")


def read_npz(path: Path, max_bytes: int = MAX_NPZ_BYTES) -> dict[str, NDArray[Any]]:
    """The arrays of a file, by name: numbers, truth values or texts.

    Args:
        path: of the file.
        max_bytes: the most that all arrays together may have.

    Raises:
        IntegrityError: it is damaged, no such file, or holds something else.
    """
    with open_archive(path, max_entries=_MAX_ARRAYS, max_bytes=max_bytes) as archive:
        names = [info.filename for info in archive.infolist()]
        members = {name: member_bytes(archive, name, max_bytes) for name in names}
    return {
        name.removesuffix(".npy"): array_of_bytes(data, name, path)
        for name, data in members.items()
    }


def array_of_bytes(data: bytes, name: str, path: Path) -> NDArray[Any]:
    """The array of an `.npy`.

    Args:
        data: the whole of it.
        name: of the array, for messages.
        path: of the file that it is from.

    Raises:
        IntegrityError: it is damaged, no such array, or holds something else.
    """
    try:
        kind, is_fortran, shape, begin = _header(data)
        dtype = np.dtype(kind)
        if math.prod(shape) * dtype.itemsize != len(data) - begin:
            raise ValueError("its length is not that of its shape")
        flat: NDArray[Any] = np.frombuffer(data, dtype, offset=begin).copy()
        return flat.reshape(shape, order="F" if is_fortran else "C")
    except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError) as error:
        reason = " ".join(str(error).split())[:80] or type(error).__name__
        raise IntegrityError(f"{path}: the array {name[:40]!r} in it is damaged: {reason}") from (
            error
        )


def _header(data: bytes) -> tuple[str, bool, tuple[int, ...], int]:
    """Type, order, shape, and where the numbers begin."""
    if data[:6] != _MAGIC or data[6:8] not in (b"\1\0", b"\2\0", b"\3\0"):
        raise ValueError("it is no array of numpy")
    width = 2 if data[6] == 1 else 4
    length = int.from_bytes(data[8 : 8 + width], "little")
    begin = 8 + width + length
    if length > _MAX_HEADER_BYTES or begin > len(data):
        raise ValueError("its header is too long")
    told = ast.literal_eval(data[8 + width : begin].decode("latin-1"))
    if not isinstance(told, dict) or set(told) != {"descr", "fortran_order", "shape"}:
        raise ValueError("its header is malformed")
    kind, is_fortran, shape = told["descr"], told["fortran_order"], told["shape"]
    if not isinstance(kind, str) or not _PLAIN.fullmatch(kind) or type(is_fortran) is not bool:
        raise ValueError("it holds more than numbers and texts")
    if not isinstance(shape, tuple) or len(shape) > _MAX_SIDES:
        raise ValueError("its shape is malformed")
    if not all(type(side) is int and 0 <= side < 2**40 for side in shape):
        raise ValueError("its shape is malformed")
    return kind, is_fortran, shape, begin
