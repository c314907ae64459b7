"""Ogg (RFC 3533): pages with numbers and checksums, and a mark on the last one."""

from __future__ import annotations

import zlib

from stylefacev_cli.media.containers.file_bytes import FaultError, FileBytes

_LAST = 4  # a flag of a page
_TURNED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


def check(data: FileBytes) -> None:
    """Check the numbers and checksums of all pages, and that each stream has its last one.

    Raises:
        FaultError: one is wrong, or missing.
    """
    at, next_number, ended = 0, dict[int, int](), dict[int, bool]()
    while at < data.size:
        head = data.take(at, 27)
        if head[:4] != b"OggS":
            raise FaultError("it has bytes that belong to no page")
        size = 27 + head[26] + sum(data.take(at + 27, head[26]))
        page = data.take(at, size)
        if _checksum(page) != int.from_bytes(head[22:26], "little"):
            raise FaultError("the checksum of a page is wrong")
        stream = int.from_bytes(head[14:18], "little")
        number = int.from_bytes(head[18:22], "little")
        if number != next_number.get(stream, number):
            raise FaultError("pages are missing")
        next_number[stream], ended[stream] = number + 1, bool(head[5] & _LAST)
        at += size
    if not all(ended.values()):
        raise FaultError("it is cut off: its last page is missing")


def _checksum(page: bytes) -> int:
    """CRC-32 of a page, the highest bit first: zlib's of the bytes turned round."""
    bare = page[:22] + bytes(4) + page[26:]
    turned = zlib.crc32(bare.translate(_TURNED), 0xFFFFFFFF) ^ 0xFFFFFFFF
    return int(f"{turned:032b}"[::-1], 2)
