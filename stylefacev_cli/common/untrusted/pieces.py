"""Pieces of a file that is opened once: described and checked first, read when they are needed.

A reader of a foreign format gets a `Piece`, hands parts of it on, and whoever needs the bytes reads
them from that same open file. So what is loaded is what was checked, and a huge file, or a sparse
one, costs no more memory than what is asked of it.
"""

from __future__ import annotations

import io
import os
import weakref
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from stylefacev_cli.errors import IntegrityError

MAX_FILE_BYTES = 2**32  # the largest released file of weights has 0.4 GB
_BLOCK_BYTES = 2**20
_MOST_AT_ONCE = 2**30  # systems read no more than 2 GB at once


class _OpenFile:
    """An open file, read at any place; closed when nothing refers to it any more."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.file = path.open("rb", buffering=0)
        weakref.finalize(self, self.file.close)
        self.state = self._state()

    def read(self, start: int, into: memoryview) -> None:
        """Fill a buffer from a place in the file.

        Raises:
            IntegrityError: the file is another one than when it was opened, or cannot be read.
        """
        done = 0
        try:
            self.file.seek(start)
            while done < len(into):
                count = self.file.readinto(into[done : done + _MOST_AT_ONCE])
                if not count:
                    break
                done += count
            same = done == len(into) and self._state() == self.state
        except OSError as error:
            raise IntegrityError(f"cannot read {self.path}: {error.strerror}") from error
        if not same:
            raise IntegrityError(f"{self.path} changed while it was read: try again")

    def _state(self) -> tuple[int, int]:
        found = os.fstat(self.file.fileno())
        return found.st_size, found.st_mtime_ns


@dataclass(frozen=True, eq=False)
class Piece:
    """Some bytes of an open file, or of the memory; nothing is read before it is asked for."""

    origin: _OpenFile | memoryview
    start: int
    length: int

    def __len__(self) -> int:
        return self.length

    def part(self, start: int, length: int) -> Piece:
        """A piece of the piece; it has to lie within."""
        assert 0 <= start and 0 <= length and start + length <= self.length
        return Piece(self.origin, self.start + start, length)

    def read(self, start: int = 0, length: int | None = None) -> bytearray:
        """Bytes of the piece, those that there are.

        Args:
            start: the first of them.
            length: how many; None: all that follow.

        Raises:
            IntegrityError: the file cannot be read, or changed since it was opened.
        """
        start = min(start, self.length)
        left = self.length - start
        length = left if length is None else min(length, left)
        at = self.start + start
        if isinstance(self.origin, memoryview):
            return bytearray(self.origin[at : at + length])
        data = bytearray(length)
        self.origin.read(at, memoryview(data))
        return data

    def blocks(self) -> Iterator[bytearray]:
        """All bytes, block by block."""
        for start in range(0, self.length, _BLOCK_BYTES):
            yield self.read(start, _BLOCK_BYTES)

    def raw(self) -> io.RawIOBase:
        """The piece as a file of its own, for readers that want one."""
        return _PieceFile(self)


class _PieceFile(io.RawIOBase):
    """A piece behind the methods of a file."""

    def __init__(self, piece: Piece) -> None:
        self.piece, self.position = piece, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def readinto(self, into: object) -> int:
        view = memoryview(into)  # type: ignore[arg-type]
        data = self.piece.read(self.position, len(view))
        view[: len(data)] = data
        self.position += len(data)
        return len(data)

    def seek(self, offset: int, whence: int = 0) -> int:
        base = (0, self.position, len(self.piece))[whence]
        if base + offset < 0:
            raise ValueError("a place before the beginning")
        self.position = base + offset
        return self.position

    def tell(self) -> int:
        return self.position


def open_piece(path: Path, max_bytes: int = MAX_FILE_BYTES) -> Piece:
    """A whole file; it stays open as long as a piece of it is used.

    Args:
        path: of the file.
        max_bytes: the most that one of its kind can have.

    Raises:
        OSError: it cannot be opened.
        IntegrityError: it is larger.
    """
    origin = _OpenFile(path)
    size = origin.state[0]
    if size > max_bytes:
        raise IntegrityError(f"{path} has {size} bytes, more than any file of its kind: refused")
    return Piece(origin, 0, size)


def piece_of(data: bytes | bytearray | memoryview) -> Piece:
    """Bytes in the memory as a piece."""
    return Piece(memoryview(data), 0, len(data))
