"""Parts of a file by their places; asking for what is not there is a fault of the file."""

from __future__ import annotations

import os
from typing import BinaryIO

MAX_PARTS = 4_000_000  # elements, chunks, pages of a file
_LARGEST_PART = 2**30


class FaultError(Exception):
    """What is wrong with a container: a phrase."""


class FileBytes:
    """A file of some size, read part by part."""

    def __init__(self, file: BinaryIO) -> None:
        self.size = os.fstat(file.fileno()).st_size
        self._file = file
        self._parts = 0

    def take(self, at: int, count: int) -> bytes:
        """`count` bytes from a place on.

        Raises:
            FaultError: the file ends before, or is made of too many parts.
        """
        self._parts += 1
        if self._parts > MAX_PARTS:
            raise FaultError(f"it is made of more than {MAX_PARTS} parts")
        if at + count > self.size or count > _LARGEST_PART:
            raise FaultError("it is cut off")
        self._file.seek(at)
        data = self._file.read(count)
        if len(data) != count:
            raise FaultError("it is cut off")
        return data

    def number(self, at: int, count: int) -> int:
        """An unsigned number of `count` bytes, the largest first (errors as `take`)."""
        return int.from_bytes(self.take(at, count), "big")

    def small_number(self, at: int, count: int) -> int:
        """An unsigned number of `count` bytes, the smallest first (errors as `take`)."""
        return int.from_bytes(self.take(at, count), "little")
