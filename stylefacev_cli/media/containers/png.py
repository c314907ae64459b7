"""PNG and APNG: chunks with checksums, a count of pictures, and an end."""

from __future__ import annotations

import zlib

from stylefacev_cli.media.containers.file_bytes import FaultError, FileBytes

_SIGNATURE = b"\x89PNG\r\n\x1a\n"


def check(data: FileBytes) -> None:
    """Check the checksums of all chunks, the number of pictures and the end.

    Raises:
        FaultError: one is wrong, or missing.
    """
    at, claimed, found = len(_SIGNATURE), 0, 0
    if data.take(0, at) != _SIGNATURE:
        raise FaultError("its beginning is damaged")
    kind = b""
    while kind != b"IEND":
        size = data.number(at, 4)
        chunk = data.take(at + 4, 4 + size)
        kind = chunk[:4]
        if zlib.crc32(chunk) != data.number(at + 8 + size, 4):
            raise FaultError("the checksum of a chunk is wrong")
        if kind == b"acTL":
            claimed = int.from_bytes(chunk[4:8], "big")
        found += kind == b"fcTL"
        at += 12 + size
    if found != claimed:
        raise FaultError(f"it has {found} pictures where it claims {claimed}")
