"""The members of a tar of a stranger, one after another, in little memory.

Read here and not by `tarfile`, which reads a name of any announced length into the memory (3 GB),
and takes a minute over headers of attributes.
"""

from __future__ import annotations

import bz2
import gzip
import lzma
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, cast

from stylefacev_cli.errors import IntegrityError

MAX_MEMBERS = 100_000  # the largest published archive has 2,000
MAX_NAME_BYTES = 4096  # what systems allow for a path
MAX_RATIO = 100  # unpacked to packed, beyond:
FREE_BYTES = 2**28  # what any archive may unpack to
_BLOCK = 512
_SKIP_BYTES = 2**20
_MAX_HEADER_BYTES = 2**16  # of a long name, or of a member's attributes
_PLAIN = (b"0", b"\0", b"7")
_LONG_NAME, _ATTRIBUTES, _GLOBAL_ATTRIBUTES = b"L", b"x", b"g"
_DAMAGES = (EOFError, OSError, ValueError, zlib.error, lzma.LZMAError)


@dataclass(frozen=True)
class TarMember:
    """A member: its path as it stands there, its length, whether it is a plain file."""

    name: str
    size: int
    is_plain: bool
    content: IO[bytes]  # at its first byte, until the next member is asked for


def tar_members(path: Path) -> Iterator[TarMember]:
    """The members of an archive, packed by gzip, bzip2, xz or not at all.

    Raises:
        IntegrityError: it is damaged or no tar, or unpacks to far more than it is.
    """
    try:
        yield from _members(path)
    except _DAMAGES as error:
        raise IntegrityError(f"{path.name} is no archive that can be read: {error}") from error


def _members(path: Path) -> Iterator[TarMember]:
    left = FREE_BYTES + MAX_RATIO * path.stat().st_size
    name: str | None = None
    count = 0
    with _opened(path) as stream:
        while True:
            header = stream.read(_BLOCK)
            if len(header) < _BLOCK or not any(header):
                if count == 0 or 0 < len(header) < _BLOCK:
                    raise ValueError("no tar, or cut off")
                return
            size, kind = _checked(header), header[156:157]
            count += 1
            left -= _BLOCK + size
            if count > MAX_MEMBERS or left < 0:
                raise IntegrityError(f"{path.name} holds more than {MAX_MEMBERS} files, or grows")
            padding = -size % _BLOCK
            if kind in (_LONG_NAME, _ATTRIBUTES, _GLOBAL_ATTRIBUTES):
                if size > _MAX_HEADER_BYTES:
                    raise ValueError(f"a header of {size} bytes")
                data = _exactly(stream, size + padding)[:size]
                if kind == _LONG_NAME:
                    name = _text(data.split(b"\0")[0])
                elif kind == _ATTRIBUTES:
                    name = _path_among(data) or name
                continue
            begin = stream.tell()
            yield TarMember((name or _name_of(header)).rstrip("/"), size, kind in _PLAIN, stream)
            name = None
            _skip(stream, begin + size + padding - stream.tell())


def _opened(path: Path) -> IO[bytes]:
    with path.open("rb") as file:
        start = file.read(6)
    if start[:2] == b"\x1f\x8b":
        return cast(IO[bytes], gzip.open(path))
    if start[:3] == b"BZh":
        return bz2.open(path)
    if start == b"\xfd7zXZ\0":
        return lzma.open(path)
    return path.open("rb")


def _checked(header: bytes) -> int:
    """The length that a header announces, once its checksum was found to fit."""
    told = _number(header[148:156])
    if told != sum(header[:148]) + 8 * 32 + sum(header[156:]):
        raise ValueError("a header does not fit its checksum")
    return _number(header[124:136])


def _number(field: bytes) -> int:
    """Octal digits, or big-endian bytes behind a byte 0x80."""
    if field[:1] == b"\x80":
        return int.from_bytes(field[1:], "big")
    digits = field.split(b"\0")[0].strip()
    if not all(48 <= digit < 56 for digit in digits):
        raise ValueError("a number in it is malformed")
    return int(digits or b"0", 8)


def _name_of(header: bytes) -> str:
    name, prefix = header[:100].split(b"\0")[0], b""
    if header[257:263] == b"ustar\0":
        prefix = header[345:500].split(b"\0")[0]
    return _text(prefix + b"/" + name if prefix else name)


def _path_among(data: bytes) -> str | None:
    """The path among attributes: lines `LENGTH KEY=VALUE`, each as long as it says."""
    at, found = 0, None
    while at < len(data):
        length_text, _, _ = data[at : at + 10].partition(b" ")
        length = int(length_text) if length_text.isdigit() else 0
        line = data[at : at + length]
        if length < len(length_text) + 3 or len(line) != length:
            raise ValueError("attributes of a member are malformed")
        key, is_pair, value = line[len(length_text) + 1 : -1].partition(b"=")
        if not is_pair:
            raise ValueError("attributes of a member are malformed")
        if key == b"path":
            found = _text(value)
        at += length
    return found


def _text(data: bytes) -> str:
    if len(data) > MAX_NAME_BYTES:
        raise ValueError(f"a name of {len(data)} bytes")
    return data.decode("utf-8", "replace")


def _exactly(stream: IO[bytes], count: int) -> bytes:
    data = stream.read(count)
    if len(data) != count:
        raise EOFError("its end is missing")
    return data


def _skip(stream: IO[bytes], count: int) -> None:
    while count > 0:
        count -= len(_exactly(stream, min(count, _SKIP_BYTES)))
